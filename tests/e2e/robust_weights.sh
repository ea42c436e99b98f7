# Weights that do not fit are refused by name; weights that do are taken to the last bit.
. "$SOURCE/tests/e2e/lib_e2e.sh"
expect 0 "$BMC" compile tiny.bm -o out.run || exit 1
expect 0 "$BMC" compile tiny.bm -D width=8 -o narrow.run || exit 1
sed 's/ out:/ last:/; s/out(wte/last(wte/' tiny.bm >renamed.bm
expect 0 "$BMC" compile renamed.bm -o renamed.run || exit 1
t=out.run/trainer

loss() { # loss RUN OPTION... : of its first step
    run=$1
    shift
    expect 0 "$run/trainer" --steps 1 --metrics m.jsonl "$@" || return
    sed -n 's/.*"loss":\([^,]*\),.*/\1/p' m.jsonl | head -n 1
}

# ---- exported, read again

expect 0 $t --steps 0 --seed 7 --save first.safetensors
expect 0 $t --steps 0 --seed 8 --save other.safetensors
must "a seed is a seed" [ -n "$(cmp first.safetensors other.safetensors)" ]
own=$(loss out.run --seed 7)
must "a loss" [ -n "$own" ]
must "--init of other weights is another loss" [ "$(loss out.run --seed 7 --init other.safetensors)" != "$own" ]
must "--init of its own weights is its own loss" [ "$(loss out.run --seed 7 --init first.safetensors)" = "$own" ]
# A model that starts elsewhere, with the same names: only --init can give it that loss.
sed 's/Linear(width, 256)/Linear(width, 256, std = 0.7)/' tiny.bm >elsewhere.bm
expect 0 "$BMC" compile elsewhere.bm -o elsewhere.run
must "it starts elsewhere" [ "$(loss elsewhere.run --seed 7)" != "$own" ]
must "and --init brings it here" [ "$(loss elsewhere.run --seed 7 --init first.safetensors)" = "$own" ]
expect 0 elsewhere.run/trainer --steps 0 --init first.safetensors --save again.safetensors
must "saved again to the last bit" cmp first.safetensors again.safetensors

# ---- refused

expect 0 narrow.run/trainer --steps 0 --save narrow.safetensors
expect 0 renamed.run/trainer --steps 0 --save renamed.safetensors
head -c 5000 /dev/urandom >random.safetensors
: >empty.safetensors
head -c 6 first.safetensors >six.safetensors
head -c 60 first.safetensors >head.safetensors
head -c $(($(wc -c <first.safetensors) - 1)) first.safetensors >cut.safetensors
{
    cat first.safetensors
    printf x
} >longer.safetensors
{ # a header of 100 bytes that is no JSON
    printf '\144\000\000\000\000\000\000\000'
    head -c 200 /dev/zero | tr '\0' '{'
} >braces.safetensors
for file in random empty six head cut longer braces text; do
    [ $file = text ] && cp text.txt text.safetensors
    refuses 1 "$file.safetensors" $t --init $file.safetensors --save w.safetensors
done
refuses 1 "wte.weight" $t --init narrow.safetensors
says err "[256, 8]"
says err "[256, 16]"
refuses 1 "out." $t --init renamed.safetensors
refuses 1 "cannot open 'none'" $t --init none
exit $bad
