# The plan never changes the numbers on many ranks either: levels x recompute x overlap, hybrid
# groups, leads, buckets, offload, two micro-batches: the same losses, norms and weights, to the
# bit; between worlds within rounding; with reduce = invariant the same bits again.
#   FULL=1 sh ranks_same_bits.sh    the whole grid (slow_ranks_grid.sh)
. "$SOURCE/tests/e2e/lib_e2e.sh"
quick_cc
needs_ranks
sample_data
steps=3
long=20 # between worlds
small="-D layers=3 -D width=64 -D heads=4 -D ctx=128"

# model NAME BATCH TRAIN PLAN: the sample with these settings, as NAME.bm
model() {
    sed -E -e 's/\+ ([a-z_]+\([a-z_0-9]+\(x\)\))$/+ dropout(\1, 0.1)/' \
        -e '/^plan \{/,$d' -e "s/^  batch  *=.*/  batch = $2/" -e "s|^train \{|train {\n$3|" \
        "$SOURCE/samples/$sample.bm" >"$1.bm"
    printf 'plan {\n%s\n}\n' "$4" >>"$1.bm"
}

lines() {
    grep -vE '"schema"|"event":"done"' "$1" |
        sed -E 's/"(tok_s|samp_s|dt_ms|exposed_ms|seconds|elapsed|eval_s)[a-z_]*":[^,}]*,?//g'
}

# go TAG RANKS OPTION...: compiles TAG.bm and trains on so many ranks.
go() {
    tag=$1
    ranks=$2
    shift 2
    # shellcheck disable=SC2086
    expect 0 "$BMC" compile "$tag.bm" -o "$tag" --ranks "$ranks" $small "$@" || return 1
    if [ "$ranks" = 1 ]; then
        expect 0 "$tag/trainer" --threads 1 --stop-after $steps --save "$tag.safetensors" \
            --metrics "$tag.jsonl" --valid few.txt || return 1
    else
        expect 0 mpirun -n "$ranks" --oversubscribe --bind-to none "$tag/trainer" --threads 1 \
            --stop-after $steps --save "$tag.safetensors" --metrics "$tag.jsonl" --valid few.txt ||
            return 1
    fi
    lines "$tag.jsonl" >"$tag.lines"
    sed -n 's/^{"hash":"\([0-9a-f]*\)".*/\1/p' "$tag/plan.json" | head -n 1 >>hashes
    looks "$tag/plan.json" >>looks
    cp "$tag/plan.json" "$tag.plan.json"
}

# looks PLAN: what can be seen of it: bytes of the arenas and of all buffers, bytes sent, launches of
# each kind, how many wait and for which steps.
looks() {
    awk '/"program":"train"/ && match($0, /"kind":"[a-z_]*"/) {
             n[substr($0, RSTART + 8, RLENGTH - 9)]++
             if (match($0, /"sent":[0-9]+/)) sent += substr($0, RSTART + 7, RLENGTH - 7)
             if (match($0, /"waits":\[[^]]+\]/)) {
                 waits++
                 few = split(substr($0, RSTART + 9, RLENGTH - 10), on, ",")
                 for (k = 1; k <= few; k++) for_steps += on[k]
             }
         }
         /"role":"/ && match($0, /"bytes":[0-9]+/) { all_bytes += substr($0, RSTART + 8, RLENGTH - 8) }
         match($0, /"arena_bytes":[0-9]+/) && !arena { arena = substr($0, RSTART, RLENGTH) }
         match($0, /"host_bytes":[0-9]+/) && !host { host = substr($0, RSTART, RLENGTH) }
         END {
             printf "%s %s buffers %d sent %d waits %d for %d", arena, host, all_bytes, sent, waits, for_steps
             for (k in n) all = all " " k " " n[k]
             print all
         }' "$1"
}

# same TAG AS: what it computed, to the bit.
same() {
    if ! cmp -s "$2.lines" "$1.lines"; then
        echo "$1 differs from $2"
        diff "$2.lines" "$1.lines" | head -n 6
        bad=1
    fi
    must "weights of $1 as of $2" cmp "$2.safetensors" "$1.safetensors"
    rm -rf "$1.safetensors" "$1"
}


runs=0
: >hashes
: >looks
batch=48

# different WHAT: no two plans since the last time have a hash in common, or look the same.
different() {
    [ -z "$looking_ahead" ] || return 0
    must "$1: every plan has its own hash" [ "$(sort hashes | uniq -d | wc -l)" = 0 ]
    must "$1: every plan can be told from the others" [ "$(sort looks | uniq -d | wc -l)" = 0 ]
    : >hashes
    : >looks
}

# ahead TAG RANKS OPTION...: the compiler's work, two at a time: `go` finds it in the cache.
aheads=0
ahead() {
    tag=$1
    ranks=$2
    shift 2
    # shellcheck disable=SC2086
    (
        "$BMC" compile "$tag.bm" -o "ahead.$tag" --ranks "$ranks" $small "$@" >/dev/null 2>&1
        rm -rf "ahead.$tag"
    ) &
    aheads=$((aheads + 1))
    [ $((aheads % 2)) = 1 ] || wait
}

# arena RANKS PLAN: bytes it takes.
arena() {
    model arena $batch "" "$2"
    # shellcheck disable=SC2086
    "$BMC" plan arena.bm --ranks "$1" $small --micro-batch 4 -o arena.plan >/dev/null || return 1
    sed -n 's/.*"arena_bytes":\([0-9]*\).*/\1/p' arena.plan/plan.json | head -n 1
}

# The planner's own mix: links so slow and memory so short that units differ in their levels.
chosen() {
    few=$small
    small="-D layers=8 -D width=64 -D heads=4 -D ctx=128"
    sed -E 's/("(node|net)_link": \{"alpha_ps": )[0-9]+(, "bytes_per_s": )[0-9]+/\110000000\3100000000/' \
        "$SOURCE/planner/machines/cpu.json" >slow.json
    three=$(arena "$1" "zero = 3
recompute = none")
    one=$(arena "$1" "zero = 1
recompute = none")
    variant "$1" chosen.first "" "zero = 3" --micro-batch 4
    variant "$1" chosen.mixed "" "recompute = none" --micro-batch 4 --machine slow.json \
        --memory $(((three + one) / 2))
    [ -n "$looking_ahead" ] ||
        must "levels are mixed" grep -q '"zero":"[a-z0-9]* x [0-9]*, ' "$sample.chosen.mixed.$1.plan.json"
    small=$few
}

# Worlds of 1, 3 and 4 ranks: the losses of more steps.
worlds() {
    steps=$long
    variant 1 world1.first "" ""
    variant 3 world3.first "" "zero = 2"
    variant 4 world4.first "" "zero = 3"
    near $sample.world3.first $sample.world1.first
    near $sample.world4.first $sample.world1.first
    steps=3
    : >hashes
    : >looks
}

# All levels x recompute x overlap; auto where memory is short, that it computes some again.
grid() {
    for z in 0 1 2 3 once; do
        variant $1 "$2.z$z.offload" "" "zero = $z
overlap = off
offload = optimizer"
        all=$(arena $1 "zero = $z
recompute = all")
        none=$(arena $1 "zero = $z
recompute = none")
        for r in none all auto; do
            short=
            [ $r = auto ] && short="--memory $(((all + none) / 2))"
            for o in off auto; do
                # shellcheck disable=SC2086
                variant $1 "$2.z$z.$r.$o" "" "zero = $z
recompute = $r
overlap = $o" --micro-batch 4 $short
            done
        done
    done
}
# variant RANKS TAG TRAIN PLAN [OPTION...]: as the first of its family (the tag up to the dot).
variant() {
    ranks=$1
    tag=$sample.$2.$ranks
    first=$sample.${2%%.*}.first
    model "$tag" $batch "$3" "$4"
    shift 4
    if [ -n "$looking_ahead" ]; then
        ahead "$tag" "$ranks" "$@"
        return
    fi
    go "$tag" "$ranks" "$@" || return
    must "$tag has whole grains" grep -q '"below_grain":false' "$tag/plan.json"
    runs=$((runs + 1))
    if [ -e "$first.lines" ]; then
        same "$tag" "$first"
    else
        mv "$tag.lines" "$first.lines"
        mv "$tag.safetensors" "$first.safetensors"
    fi
}

# near A B: losses within 1e-5 of each other.
near() {
    [ -z "$looking_ahead" ] || return 0
    for f in "$1" "$2"; do
        sed -n 's/.*"loss":\([0-9.e-]*\),"grad_norm.*/\1/p' "$f.lines" >"$f.losses"
    done
    must "losses of $1 near those of $2" sh -c "paste '$1.losses' '$2.losses' |
        awk '{ d = (\$1 - \$2) / \$2; if (d > 1e-5 || d < -1e-5) bad = 1 } END { exit bad || NR != $steps }'"
}

levels() { # levels RANKS FAMILY TRAIN [OPTION...]
    n=$1
    family=$2
    train=$3
    shift 3
    variant $n $family.z0 "$train" "zero = 0" "$@"
    variant $n $family.z1 "$train" "zero = 1
overlap = off" "$@"
    variant $n $family.z2 "$train" "zero = 2
lead = 2" "$@"
    variant $n $family.z3 "$train" "zero = 3
recompute = all" "$@"
}

# everything: the plans of both models.
everything() {
    for sample in gpt llama; do
        stack=h
        [ $sample = llama ] && stack=model.layers
        mixed="zero = 1
    zero $stack.1 = 3
    zero $stack.*.mlp = 0
    zero $stack.2 = once
    recompute $stack.1 = all"
        if [ $sample = llama ] && [ -z "${FULL:-}" ]; then # of the other model a few, where most differs
            variant 3 of3.z0 "" "zero = 0"
            variant 3 of3.z3 "" "zero = 3
    recompute = all"
            variant 3 of3.mixed "" "$mixed"
            variant 4 of4.z2 "" "zero = 2"
            near llama.of4.first llama.of3.first
            continue
        fi
        worlds
        variant 1 one.z0 "" ""
        variant 1 one.offload "" "offload $stack.* = optimizer
    offload $stack.1 = none"
        levels 4 four ""
        variant 4 four.once "" "zero = once
    bucket = 16KiB"
        variant 4 four.mixed "" "$mixed"
        variant 4 four.micro "" "zero = 3" --micro-batch 4
        variant 4 four.hybrid "" "zero = 3
    hybrid = 2"
        variant 4 four.apart "" "zero = 2
    hybrid = 1
    bucket = 64KiB"
        variant 4 four.offload "" "zero = 2
    offload = optimizer"
        chosen 4
        levels 3 three ""
        variant 3 three.offload "" "zero = 3
    offload = optimizer"
        near $sample.four.first $sample.one.first
        near $sample.three.first $sample.one.first
        if [ -n "${FULL:-}" ]; then
            levels 4 reduced "  accumulate = reduced" --micro-batch 4
        else
            variant 4 reduced.z0 "  accumulate = reduced" "zero = 0" --micro-batch 4
            variant 4 reduced.z3 "  accumulate = reduced" "zero = 3" --micro-batch 4
        fi
        variant 4 reduced.once "  accumulate = reduced" "zero = once" --micro-batch 4
        near $sample.reduced.first $sample.one.first
        batch=64
        variant 1 invariant.one "  reduce = invariant" "" --micro-batch 4
        variant 2 invariant.two "  reduce = invariant" "zero = 2" --micro-batch 4
        variant 4 invariant.z0 "  reduce = invariant" "zero = 0" --micro-batch 4
        variant 4 invariant.z3 "  reduce = invariant" "zero = 3" --micro-batch 4
        batch=48
        [ -n "${FULL:-}" ] || continue
        different "$sample"
        grid 4 four
        grid 3 three
        different "the grid of $sample"
    done
}

looking_ahead=1
everything
wait
looking_ahead=
everything
different "the last"
echo "$runs runs of $steps steps"
exit $bad
