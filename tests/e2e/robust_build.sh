# What `bmc compile` and `bmc run` need of the machine: told when it is missing, and used again when
# nothing changed.
. "$SOURCE/tests/e2e/lib_e2e.sh"
export XDG_CACHE_HOME="$PWD/cache"

# fails CODE TEXT WORD... : like refuses, where the texts of the plan may be written already.
fails() {
    fails_code=$1
    fails_text=$2
    shift 2
    expect "$fails_code" "$@" || return
    says err "$fails_text"
    must "one error of: $*" [ "$(grep -E '(^|: )error: |^bmc: ' err | grep -cvE '^(bmc: (note|warning)|collect2|clang|[^ ]*ld)')" = 1 ]
    must "no fault of ours: $*" [ -z "$(grep -E 'internal error|Sanitizer|bug in bmc' err)" ]
    must "no trainer of: $*" [ ! -e out.run/trainer ]
    must "nothing half-written of: $*" [ -z "$(leftovers .)" ]
}

# ---- the C compiler

fails 4 "no C compiler: cannot run \`cc\`" env -u CC PATH=/nonexistent "$BMC" compile tiny.bm -o out.run
says err "apt-get install gcc"
fails 4 "cannot run \`false\`" env CC=false "$BMC" compile tiny.bm -o out.run
fails 4 "cannot run \`   \`" env CC="   " "$BMC" compile tiny.bm -o out.run
cat >broken <<'END2'
#!/bin/sh
[ "$1" = --version ] && echo "broken 1.0" && exit 0
echo "broken: no such thing" >&2
exit 1
END2
chmod +x broken
fails 4 "compiles nothing with" env CC=./broken "$BMC" compile tiny.bm -o out.run
says err "broken: no such thing"
cat >killed <<'END2'
#!/bin/sh
[ "$1" = --version ] && echo "killed 1.0" && exit 0
kill -9 $$
END2
chmod +x killed
fails 4 "was stopped while it compiled" env CC=./killed "$BMC" compile tiny.bm -o out.run
fails 4 "cannot link" env CC="${CC:-cc} -Wl,--no-such-option" "$BMC" compile tiny.bm -o out.run

# ---- the folder

: >file
refuses 4 "'file'" "$BMC" compile tiny.bm -o file
refuses 4 "'file'" "$BMC" compile tiny.bm -o file/run
refuses 4 "/proc/none" "$BMC" compile tiny.bm -o /proc/none/run
refuses 2 "-o wants a path" "$BMC" compile tiny.bm -o ''
mkdir -m 555 locked
chmod 755 .
if [ "$(id -u)" != 0 ]; then
    refuses 4 "Permission denied" "$BMC" compile tiny.bm -o locked/run
elif setpriv --reuid=65534 --clear-groups test -x "$BMC" -a -r tiny.bm 2>setpriv.err; then
    rm setpriv.err
    refuses 4 "Permission denied" setpriv --reuid=65534 --clear-groups "$BMC" compile tiny.bm -o locked/run
fi

# ---- run: compiled again only when something changed

made() { # made WHEN: was the trainer's text written again?
    case $1 in
    again) must "compiled again: $2" [ -z "$(find tiny.run/trainer.c ! -newermt 2001-01-02)" ] ;;
    kept) must "not compiled again: $2" [ -n "$(find tiny.run/trainer.c ! -newermt 2001-01-02)" ] ;;
    esac
    touch -d 2001-01-01 tiny.run/trainer.c
}
run() {
    expect 0 "$BMC" run tiny.bm "$@" -- --steps 1
}
cat >part.bm <<'END2'
let scale = 1.0
block Scaled(width) { forward(x: [8, width]) { return x * scale } }
END2
sed -i '1i use "part.bm"' tiny.bm
sed -i 's/^  out: /  sc: Scaled(width)\n&/; s/out(wte(tokens))/out(sc(wte(tokens)))/' tiny.bm
run
made again "the first time"
run
made kept "the second time"
touch tiny.bm part.bm
run
made kept "new times, the same text"
sed -i 's/scale = 1.0/scale = 2.0/' part.bm
run
made again "a used file changed"
run --no-fuse
made again "another option"
run --no-fuse
made kept "the same option"
run --micro-batch 2
made again "another micro-batch"
rm tiny.run/trainer
run --micro-batch 2
made again "no trainer"
rm tiny.run/plan.json
run --micro-batch 2
made again "no plan"
: >tiny.run/stamp
run --micro-batch 2
made again "an empty stamp"
head -c 20 /dev/urandom >tiny.run/stamp
run --micro-batch 2
made again "a stamp of nothing"
exit $bad
