# Sourced by the scripts beside it: a tiny model, its text, and what a check is.
set -u
bad=0
cat >tiny.bm <<'END'
let width = 16
model Tiny {
  wte: Embedding(256, width)
  out: Linear(width, 256)
  forward(tokens: int[8], targets: int[8]) {
    return cross_entropy(out(wte(tokens)), targets)
  }
}
train {
  data      = text("text.txt")
  batch     = 4
  steps     = 5
  optimizer = sgd(lr = 0.1)
}
END
awk 'BEGIN { for (i = 0; i < 200; i++) print "line " i " of a text that is long enough" }' >text.txt

# expect CODE WORD... : runs it; its output goes to `out` and `err`.
expect() {
    wanted=$1
    shift
    "$@" >out 2>err </dev/null
    code=$?
    if [ $code != "$wanted" ]; then
        echo "exit $code, not $wanted: $*"
        head -n 20 out err
        bad=1
        return 1
    fi
}
# says FILE TEXT: the file holds the text.
says() {
    if ! grep -qF -- "$2" "$1"; then
        echo "does not say '$2':"
        head -n 20 "$1"
        bad=1
    fi
}
must() { # must WHAT COMMAND...
    what=$1
    shift
    if ! "$@"; then
        echo "not so: $what"
        bad=1
    fi
}
