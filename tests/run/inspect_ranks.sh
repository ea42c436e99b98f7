# trainer --inspect: whole parameters, gradients and named values have the same numbers on every
# plan, to the bit; those of the first forward pass on every number of ranks too. What it says of
# the gradients is what their norm says.
. "$SOURCE/tests/e2e/lib_e2e.sh"
quick_cc
needs_ranks
sample_data
small="-D layers=3 -D width=64 -D heads=4 -D ctx=128"
steps=2

# look NAME SAMPLE RANKS PLAN [OPTION...]: what a run with that plan shows, in NAME.look
look() {
    name=$1
    ranks=$3
    sed -E -e 's/\+ ([a-z_]+\([a-z_0-9]+\(x\)\))$/+ dropout(\1, 0.1)/' -e '/^plan \{/,$d' \
        -e "s/^  batch  *=.*/  batch = 48/" "$SOURCE/samples/$2.bm" >"$name.bm"
    printf 'plan {\n%s\n}\n' "$4" >>"$name.bm"
    shift 4
    # shellcheck disable=SC2086
    expect 0 "$BMC" compile "$name.bm" -o "$name" --ranks "$ranks" $small "$@" || return
    start=
    [ "$ranks" = 1 ] || start="mpirun -n $ranks --oversubscribe --bind-to none"
    # shellcheck disable=SC2086
    expect 0 $start "$name/trainer" --threads 1 --stop-after $steps --metrics "$name.jsonl" \
        --inspect '**' --inspect-every 1 || return
    sort inspect.jsonl >"$name.look"
    rm -f inspect.jsonl
}
same() {
    must "$2 shows what $1 shows" cmp "$1.look" "$2.look"
    [ "$bad" = 0 ] || diff "$1.look" "$2.look" | head -n 4
}
# The same values, parameters and names; gradients are summed in the order of each world.
same_forward() {
    for f in "$1" "$2"; do
        sed 's/"what":"grad".*/"what":"grad"/' "$f.look" | grep '"step":1,' >"$f.forward"
    done
    must "the first forward pass of $2 is that of $1" cmp "$1.forward" "$2.forward"
}
# norm NAME: the gradients' norm from their means and deviations is the norm in the metrics.
norm() {
    grep -o '"path":"[^"]*","shape":[^]]*\],"dtype":"f32","bytes":[0-9]*' "$1/plan.json" |
        sed -E 's/"path":"([^"]*)".*"bytes":/\1 /' >sizes
    sed -nE 's/.*"step":1,"path":"([^"]*)","what":"grad","mean":([^,]*),"std":([^,]*),.*/\1 \2 \3/p' \
        "$1.look" >grads
    want=$(sed -n 's/^{"step":1,.*"grad_norm":\([^,]*\),.*/\1/p' "$1.jsonl")
    got=$(awk 'NR == FNR { n[$1] = $2 / 4; next }
        { seen++; sum += n[$1] * $2 * $2 + (n[$1] - 1) * $3 * $3 } END { if (seen > 10) print sqrt(sum) }' sizes grads)
    must "the gradients of $1 have norm $got, the metrics say $want" \
        awk -v a="$got" -v b="$want" 'BEGIN { d = a / b - 1; exit !(d < 1e-4 && d > -1e-4) }'
}

for sample in gpt llama; do
    look $sample.one $sample 1 ""
    look $sample.z1 $sample 4 "zero = 1
recompute = none" --micro-batch 4
    look $sample.z3 $sample 4 "zero = 3
recompute = all"
    same $sample.z1 $sample.z3
    same_forward $sample.one $sample.z3
    for name in one z1 z3; do
        norm $sample.$name
    done
done
look gpt.z0 gpt 4 "zero = 0"
same gpt.z0 gpt.z3
look gpt.three gpt 3 "zero = 2"
same_forward gpt.one gpt.three
norm gpt.three
must "values are shown" grep -q '"path":"h.1.attn.c_proj.y","what":"value"' gpt.z3.look
must "logits are shown" grep -q '"path":"logits","what":"value"' gpt.z3.look
# A pattern covers what lies below it.
expect 0 gpt.one/trainer --threads 1 --stop-after 1 --inspect 'h.*.attn' --metrics m
for what in param grad value; do
    must "h.*.attn has a $what" grep -q "\"path\":\"h.2.attn[^\"]*\",\"what\":\"$what\"" inspect.jsonl
done
must "h.*.attn is nothing else" [ "$(grep -cv '"path":"h.[0-2].attn' inspect.jsonl)" = 0 ]
exit $bad
