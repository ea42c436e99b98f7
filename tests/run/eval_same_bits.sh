# With reduce = invariant evaluation has the same bits on 1, 2 and 4 ranks: all samples, fewer than
# ranks, and numbers that micro-batches and ranks do not divide.
. "$SOURCE/tests/e2e/lib_e2e.sh"
quick_cc
needs_ranks
sample_data

# Windows of 32 tokens, 4 in a micro-batch: 3 samples and 61.
for n in 97 1953; do
    head -c $n corpus.txt >valid.$n
done

# build SAMPLE RANKS PLAN OPTION...: the sample for so many ranks, evaluated after each step.
build() {
    tag=$1.$2
    sed -E -e '/^plan \{/,$d' -e "s/^train \{/train {\n  reduce = invariant/" \
        -e 's/^  valid_every *= .*/  valid_every = 1/' "$SOURCE/samples/$1.bm" >"$tag.bm"
    printf 'plan {\n%s\n}\n' "$3" >>"$tag.bm"
    ranks=$2
    shift 3
    expect 0 "$BMC" compile "$tag.bm" -o "$tag" --ranks "$ranks" "$@"
}

# evaluate SAMPLE RANKS OPTION...: what it says of the valid samples, added to its lines.
evaluate() {
    tag=$1.$2
    launch=""
    [ "$2" = 1 ] || launch="mpirun -n $2 --oversubscribe --bind-to none"
    shift 2
    # shellcheck disable=SC2086
    expect 0 $launch "$tag/trainer" --threads 1 --stop-after 2 --metrics "$tag.jsonl" "$@" || return
    grep valid_loss "$tag.jsonl" | sed -E 's/"(seconds|elapsed|eval_s)[a-z_]*":[^,}]*,?//g' >>"$tag.lines"
}

# compare SAMPLE LINES
compare() {
    must "$2 evaluations of $1" [ "$(wc -l <"$1.1.lines")" = "$2" ]
    for ranks in 2 4; do
        if ! cmp -s "$1.1.lines" "$1.$ranks.lines"; then
            echo "$1: evaluation on $ranks ranks is not that of 1"
            diff "$1.1.lines" "$1.$ranks.lines" | head -n 8
            bad=1
        fi
    done
}

for ranks in 1 2 4; do
    build gpt $ranks "zero = $((ranks - 1))" -D layers=1 -D width=32 -D heads=2 -D ctx=32 \
        --micro-batch 4
    hybrid=""
    [ $ranks != 4 ] || hybrid="hybrid = 2"
    build regression $ranks "$hybrid"
    for valid in valid.*; do
        evaluate gpt $ranks --eval-every 1 --valid "$valid"
    done
    evaluate regression $ranks --predictions "regression.$ranks.guess"
done
compare gpt 4
compare regression 2
must "predictions on 2 ranks" cmp regression.1.guess regression.2.guess
must "predictions on 4 ranks" cmp regression.1.guess regression.4.guess
exit $bad
