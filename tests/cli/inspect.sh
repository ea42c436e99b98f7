# `bmc inspect` and `bmc verify` on a plan the compiler wrote, and on what became of it.
set -eu
"$BMC" plan "$SOURCE/samples/mlp.bm" -o run >/dev/null

for page in "" --params --memory --timeline --json --dot --comm --recompute --html --why; do
    [ "$page" = --why ] && page="--why memory"
    # shellcheck disable=SC2086
    "$BMC" inspect run $page >out
    test -s out
    # shellcheck disable=SC2086
    "$BMC" inspect run/plan.json $page | cmp - out # the folder or the file
    [ "$page" = --memory ] && continue             # of `plan`, a size
    # shellcheck disable=SC2086
    "$BMC" plan "$SOURCE/samples/mlp.bm" $page | cmp - out # or what is planned now
done
"$BMC" inspect run | grep -q '^MLP  (mlp.bm, plan [0-9a-f]\{16\})$'
"$BMC" inspect run --params | grep -q '^  hidden.0.fc.weight '
"$BMC" inspect run --dot | head -n 1 | grep -q '^digraph "MLP" {$'
"$BMC" inspect run --json >again.json
"$BMC" inspect again.json --json | cmp - again.json
"$BMC" verify run | grep -q 'keeps every rule'
"$BMC" verify again.json >/dev/null
"$BMC" verify run --json >out
grep -q '"ok": true' out
grep -q '{"id": "V11", "name": "lifetime"}' out
grep -q '"errors": \[\]' out

# expect CODE WORDS command...: it ends with CODE and says WORDS on stderr.
expect() {
    code=$1 words=$2
    shift 2
    got=0
    "$@" >out 2>err || got=$?
    if [ "$got" != "$code" ] || ! grep -q "$words" err; then
        echo "wanted $code and '$words' of: $*"
        echo "got $got:"
        cat err
        exit 1
    fi
}

expect 1 'cannot open' "$BMC" inspect nowhere
expect 1 "nothing is called 'h.77'" "$BMC" plan "$SOURCE/samples/mlp.bm" --why h.77
expect 2 'one of them' "$BMC" plan "$SOURCE/samples/mlp.bm" --why memory --emit=plan
expect 2 'one view at a time' "$BMC" plan "$SOURCE/samples/mlp.bm" --why memory --comm
"$BMC" plan "$SOURCE/samples/mlp.bm" --html=page.html >out
[ ! -s out ] && "$BMC" inspect run --html | cmp - page.html
[ -e /dev/full ] && expect 4 'cannot write' sh -c '"$1" inspect run >/dev/full' - "$BMC"

# A changed plan: the peak is a lie, a buffer moves, a step reads what is not there yet.
change() { sed "$1" run/plan.json >changed.json; cmp -s run/plan.json changed.json && { echo "nothing changed by $1"; exit 1; }; :; }
change 's/"max_live_bytes":[0-9]*/"max_live_bytes":64/'
expect 1 'V13 peak' "$BMC" verify changed.json
expect 1 'V13 peak' "$BMC" verify --json changed.json # for programs on stdout, for people on stderr
grep -q '"ok": false' out
grep -q '^  "changed.json: V13 peak: ' out
change '/^{"id":60,/s/"offset":[0-9]*/"offset":0/'
expect 1 'V12 bounds-align' "$BMC" verify changed.json
change '/"id":8,"stream"/s/"kernel":"[a-z0-9_]*"/"kernel":"none"/'
expect 1 "steps\[8\].kernel: no kernel is named 'none'" "$BMC" inspect changed.json
head -c 5000 run/plan.json >changed.json
expect 1 'no plan' "$BMC" verify changed.json
