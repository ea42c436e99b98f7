# The loss head in parts of a sample has the bits of whole samples: gpt and llama with long samples,
# of which the planner cuts the logits in parts; and once more with a report that needs a sample's
# logits whole, so that they are not. The same losses, norms, weights and looks at the logits, to the
# bit, in less memory; on 1 rank and on 3, fused and not, with one sample at once and with several.
. "$SOURCE/tests/e2e/lib_e2e.sh"
quick_cc
sanitized && skip "some twenty times slower; run_same_bits has sanitized trainers"
sample_data
steps=2
ctx=2048
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# model NAME: NAME.parts.bm: gpt, its head tied, with smoothing; llama's head with a bias, targets
# with weights. NAME.whole.bm: with a report that takes a sample's logits whole.
model() {
    sed -e '/^plan {/,$d' -e 's/^  batch  *=.*/  batch = 6/' "$SOURCE/samples/$1.bm" >"$1.bm"
    if [ "$1" = gpt ]; then
        sed 's/cross_entropy(logits, targets)/cross_entropy(logits, targets, smoothing = 0.1)/'
    else
        sed -e 's/lm_head: Linear(width, vocab, bias = false)/lm_head: Linear(width, vocab)/' -e \
            's/cross_entropy(logits, targets)/cross_entropy(logits, targets, weight = where(targets < 99, 2, 1))/'
    fi <"$1.bm" >"$1.parts.bm"
    must "$1: the loss is changed" sh -c "! cmp -s $1.bm $1.parts.bm"
    sed 's/^    return cross_entropy/    report high = average(max(max(logits, axis = 0)))\n&/' "$1.parts.bm" \
        >"$1.whole.bm"
}

# go TAG FILE PARTS RANKS OPTION...: trains; the head has so many parts
go() {
    tag=$1
    file=$2
    parts=$3
    ranks=$4
    shift 4
    expect 0 "$BMC" compile "$file" -o "$tag" --ranks "$ranks" -D layers=1 -D width=48 -D heads=4 \
        -D ctx=$ctx "$@" || return
    must "$tag: the head in $parts parts" [ "$(number "$tag/plan.json" region_parts)" = "$parts" ]
    must "$tag has whole grains" grep -q '"below_grain":false' "$tag/plan.json"
    launch=""
    [ "$ranks" -gt 1 ] && launch="mpirun -n $ranks --oversubscribe --bind-to none"
    # shellcheck disable=SC2086
    expect 0 $launch "$tag/trainer" --threads 2 --stop-after $steps --save "$tag.safetensors" \
        --metrics "$tag.jsonl" --valid few.txt --inspect '**' || return
    grep -o '"step":[0-9]*\|"loss":[^,}]*\|"grad_norm":[^,}]*\|"accuracy":[^,}]*' "$tag.jsonl" \
        >"$tag.lines"
    grep '"path":"\(logits\|lm_head.y\)","what":"value"' inspect.jsonl >>"$tag.lines"
    must "$tag: $steps steps are written" [ "$(grep -c grad_norm "$tag.lines")" = $steps ]
}

# as TAG FIRST
as() {
    must "$1: losses and norms as of $2" cmp "$2.lines" "$1.lines"
    must "$1: weights as of $2" cmp "$2.safetensors" "$1.safetensors"
}

for name in gpt llama; do
    model $name
    go $name.parts $name.parts.bm 2 1 --micro-batch 1
    go $name.whole $name.whole.bm 0 1 --micro-batch 1
    as $name.parts $name.whole
    parts=$(number $name.parts/plan.json max_live_bytes)
    whole=$(number $name.whole/plan.json max_live_bytes)
    must "$name: parts take less, $parts of $whole bytes" [ "$parts" -lt "$whole" ]
    go $name.three $name.parts.bm 2 1 --micro-batch 3
    as $name.three $name.whole
    go $name.plain $name.parts.bm 2 1 --micro-batch 2 --no-fuse
    as $name.plain $name.whole
    if command -v mpirun >/dev/null 2>&1 && [ -e "$BUILD/libbmrt_mpi.a" ]; then
        go $name.parts.3 $name.parts.bm 2 3 --micro-batch 2
        go $name.whole.3 $name.whole.bm 0 3 --micro-batch 1
        as $name.parts.3 $name.whole.3
    fi
done
exit $bad
