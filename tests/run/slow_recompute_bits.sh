# What is computed again has the bits it had: gpt and llama with dropout, with nothing, everything
# and some blocks computed again, fused and not, in smaller micro-batches: the same losses, norms
# and weights, to the bit, in less memory.
#   STEPS=20 sh slow_recompute_bits.sh    longer runs
. "$SOURCE/tests/e2e/lib_e2e.sh"
quick_cc
sanitized && skip "some twenty times slower; run_same_bits has sanitized trainers"
steps=${STEPS:-3}
sample_data

# with_dropout SAMPLE STACK: the sample, dropping in the attention and after the block's second half
with_dropout() {
    sed -e '/^plan {/,$d' -e 's/^\(let layers .*\)/\1\nlet drop = 0.1/' \
        -e 's/causal = true)/causal = true, dropout = drop)/' \
        -e 's/return x + mlp(\(.*\))$/return x + dropout(mlp(\1), drop)/' "$SOURCE/samples/$1.bm"
    echo "plan {"
    for rule in $2; do
        echo "  recompute $rule" | sed 's/=/ = /'
    done
    echo "}"
}

# planned NAME RULES OPTION...: NAME is compiled and has the bits of the sample's first
planned() {
    tag=$name.$1
    with_dropout $name "$2" >$tag.bm
    must "$tag drops" [ "$(grep -c 'drop)' $tag.bm)" = 2 ]
    shift 2
    # shellcheck disable=SC2086
    expect 0 "$BMC" compile $tag.bm -o $tag "$@" || return
    # shellcheck disable=SC2046
    expect 0 $tag/trainer --stop-after "$steps" --save $tag.safetensors --metrics $tag.jsonl \
        $(data_options $name) --threads 2 || return
    grep -vE '"schema"|"event":"done"' $tag.jsonl |
        sed -E 's/"(tok_s|samp_s|dt_ms|exposed_ms|seconds|elapsed|eval_s)[a-z_]*":[^,}]*,?//g' >$tag.lines
    must "$tag: $steps steps are written" [ "$(grep -c grad_norm $tag.lines)" = "$steps" ]
    must "$tag: lines as of $name.none" cmp $name.none.lines $tag.lines
    must "$tag: weights as of $name.none" cmp $name.none.safetensors $tag.safetensors
}

# again TAG: steps that compute something again
again() {
    grep -o '"recompute":true' "$1/plan.json" | wc -l
}

for name in gpt llama; do
    h=h
    [ $name = llama ] && h=model.layers
    planned none $h=none
    planned all $h=all
    planned some "$h.0=all $h.1=none $h.2=all"
    if [ $name = gpt ]; then
        planned plain $h=all --no-fuse
        planned micro $h=all --micro-batch 8
    fi
    none=$(number $name.none/plan.json max_live_bytes)
    all=$(number $name.all/plan.json max_live_bytes)
    must "$name: everything again takes less, $all of $none" [ $((all * 10)) -lt $((none * 7)) ]
    must "$name: some again is between" \
        [ "$(number $name.some/plan.json max_live_bytes)" -lt "$none" ]
    must "$name: more is computed again" [ "$(again $name.all)" -gt $(($(again $name.none) + 20)) ]
    must "$name: the head is in chunks" [ "$(number $name.all/plan.json region_samples)" = \
        "$(number $name.none/plan.json region_samples)" ]
    echo "$name: $all bytes live, $none with nothing computed again"
done
exit $bad
