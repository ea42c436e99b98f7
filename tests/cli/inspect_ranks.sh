# `bmc inspect` on plans of four ranks and of a machine: the pages about who keeps what, what is sent
# and when, why, two plans side by side.
set -eu
sed -e 's/ranks *= 1$/ranks = 4/' -e 's/zero h *= auto/zero h = 3/' \
    -e 's/recompute h *= auto/recompute h.1 = all/' "$SOURCE/samples/gpt.bm" >gpt.bm
grep -q 'ranks = 4' gpt.bm
grep -q 'zero h = 3' gpt.bm
"$BMC" plan gpt.bm --micro-batch 1 --machine cpu -o run >/dev/null
"$BMC" plan gpt.bm --micro-batch 1 --machine h100-80g -o h100 >/dev/null

for page in "" --params --memory --timeline --comm --recompute --html --trace '--why memory' '--why h.1' \
    '--why overlap' '--why zero' '--params --rank 3'; do
    # shellcheck disable=SC2086
    "$BMC" inspect run $page >out
    test -s out
done
"$BMC" inspect run --params --rank 3 | grep -q "rank 3's elements"
"$BMC" inspect h100 >out
grep -q '^time by class' out
for class in math memory net; do
    grep -q "^  $class  *[0-9].* %  " out
done
"$BMC" inspect run --timeline | grep -q 'all_gather .*  net  '
"$BMC" inspect run --comm >out
grep -q '^  all_gather  *h\.' out
grep -q '^  reduce_scatter  *h\.' out
grep -q ' hidden, ' out
"$BMC" inspect run --recompute | grep -q '^  h.1 .* %$'
"$BMC" inspect run --why h.1 | grep -q '^h.1 (Layer): level 3'
"$BMC" inspect run --html=page.html >out
[ ! -s out ]
head -n 1 page.html | grep -q '^<!DOCTYPE html>$'
tail -n 1 page.html | grep -q '</html>$'
for never in '<script' 'http:' 'https:' 'src=' 'url('; do
    if grep -q "$never" page.html; then
        echo "the page holds $never"
        exit 1
    fi
done
"$BMC" inspect run --trace=trace.json
head -n 1 trace.json | grep -q '^{"displayTimeUnit":"ms","traceEvents":\[$'
"$BMC" inspect --diff run run | grep -q 'the same plan'
"$BMC" inspect --diff run h100 | grep -q "^  machine  *cpu  h100-80g"

expect() { # expect CODE WORDS command...
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
expect 1 "there is no rank 4: the plan's are 0 to 3" "$BMC" inspect run --params --rank 4
expect 1 "nothing is called 'h.77'" "$BMC" inspect run --why h.77
expect 2 "bmc: --rank wants a rank's number" "$BMC" inspect run --params --rank=-1
expect 1 'cannot open' "$BMC" inspect --diff run nowhere
