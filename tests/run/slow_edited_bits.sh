# Plans a person changed train to the same bits, on one rank and on four; what is not legal is
# refused with the name of what it breaks, and nothing is written.
. "$SOURCE/tests/e2e/lib_e2e.sh"
quick_cc
sanitized && skip "every process would be some twenty times slower"
sample_data
steps=3
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
small="-D layers=3 -D width=64 -D heads=4 -D ctx=128"
{
    sed -E -e 's/\+ ([a-z_]+\([a-z_0-9]+\(x\)\))$/+ dropout(\1, 0.1)/' -e '/^plan \{/,$d' \
        -e 's/^  batch  *=.*/  batch = 48/' "$SOURCE/samples/gpt.bm"
} >gpt.bm

# train DIR: its losses and norms as DIR.lines, its weights as DIR.safetensors.
train() {
    set -- "$1" "$1/trainer" --threads 1 --stop-after $steps --save "$1.safetensors" --metrics \
        "$1.jsonl" --valid few.txt
    dir=$1
    shift
    [ "$ranks" = 1 ] || set -- mpirun -n "$ranks" --oversubscribe --bind-to none "$@"
    expect 0 "$@" || return 1
    grep -vE '"schema"|"event":"done"' "$dir.jsonl" |
        sed -E 's/"(tok_s|samp_s|dt_ms|exposed_ms|seconds|elapsed|eval_s)[a-z_]*":[^,}]*,?//g' >"$dir.lines"
}

hash_of() {
    sed -n 's/^{"version":[0-9]*,"hash":"\([0-9a-f]*\)".*/\1/p' "$1/plan.json" | head -n 1
}

# changed TAG: edited.json is taken, is another plan, and trains as `base` did.
changed() {
    tag=$1$ranks
    must "$1: the text was changed" sh -c "! cmp -s base$ranks/plan.json edited.json"
    # shellcheck disable=SC2086
    expect 0 "$BMC" compile gpt.bm --plan edited.json -o "$tag" $small || return
    must "$1: another plan" [ "$(hash_of "$tag")" != "$(hash_of "base$ranks")" ]
    train "$tag" || return
    must "$1: losses" cmp "base$ranks.lines" "$tag.lines"
    must "$1: weights" cmp "base$ranks.safetensors" "$tag.safetensors"
    # what was written can be changed again
    # shellcheck disable=SC2086
    expect 0 "$BMC" plan gpt.bm --plan "$tag" -o again $small
    must "$1: the same again" [ "$(hash_of "$tag")" = "$(hash_of again)" ]
    rm -rf "$tag" "$tag.safetensors"
    runs=$((runs + 1))
}

# refused TEXT: edited.json is not, and no folder is made.
refused() {
    # shellcheck disable=SC2086
    refuses_any 1 "$1" "$BMC" compile gpt.bm --plan edited.json -o never $small
    must "nothing is written" [ ! -e never ]
}
refuses_any() { # as `refuses`, for more errors than one
    expect "$1" "$3" "$4" "$5" "$6" "$7" "$8" "$9" $small || return
    says err "$2"
}

# The first saved value that a later step needs goes above all others.
apart() {
    awk -v top="$(number "$1" arena_bytes)" '
        !done && /^\{"id":[0-9]+,"path"/ && /"role":"saved"/ {
            sub(/"offset":[0-9]+/, "\"offset\":" sprintf("%.0f", top + 4096)); done = 1
        }
        { print }' "$1"
}

# The first neighbours of which the second reads what the first made, in the other order.
against() {
    awk '
        /^\{"id":[0-9]+,"stream"/ && !done {
            made = $0; sub(/.*"writes":\[/, "", made); sub(/[],].*/, "", made)
            reads = $0; sub(/.*"reads":\[/, ",", reads); sub(/\].*/, ",", reads)
            comma = $0 ~ /,$/
            if (held != "" && last != "" && index(reads, "," last ",") && comma) {
                print $0; print held; held = ""; done = 1; next
            }
            if (held != "") print held
            held = $0; last = $0 ~ /"phase":"round"/ ? made : ""
            next
        }
        held != "" { print held; held = "" }
        { print }' "$1"
}

# The first collective of the rounds that sums gradients begins one step later.
delayed() {
    awk '
        held != "" { print; print held; held = ""; done = 1; next }
        !done && /"kind":"reduce_scatter"/ && /"stream":"comm"/ && /"phase":"round"/ { held = $0; next }
        { print }' "$1"
}

# The first gather of the rounds that waits for nothing waits for the kernel before it.
waiting() {
    awk '
        !done && /"stream":"comm"/ && /"phase":"round"/ && /"waits":\[\]/ && kernel != "" {
            sub(/"waits":\[\]/, "\"waits\":[" kernel "]"); done = 1
        }
        /"stream":"compute"/ && /"phase":"round"/ { kernel = $0; sub(/^\{"id":/, "", kernel); sub(/,.*/, "", kernel) }
        { print }' "$1"
}

# The first kernel of the rounds that waits for the communication stream does not any more.
careless() {
    awk '
        !done && /"stream":"compute"/ && /"phase":"round"/ && /"waits":\[[0-9]+\]/ {
            sub(/"waits":\[[0-9]+\]/, "\"waits\":[]"); done = 1
        }
        { print }' "$1"
}

base() { # base PLAN: what is changed below
    # shellcheck disable=SC2086
    expect 0 "$BMC" compile gpt.bm -o "base$ranks" --ranks "$ranks" $small || exit 1
    train "base$ranks" || exit 1
    cp "base$ranks/plan.json" edited.json
    # shellcheck disable=SC2086
    expect 0 "$BMC" compile gpt.bm --plan edited.json -o same $small
    must "unchanged: the same program" cmp "base$ranks/trainer.c" same/trainer.c
    must "unchanged: the same kernels" cmp "base$ranks/kernels.c" same/kernels.c
    rm -rf same
}

runs=0
ranks=1
base
plan=base1/plan.json
apart $plan >edited.json
changed apart
sed '/"path":"h.1","rule":/s/"rule":"none"/"rule":"all"/' $plan >edited.json
changed recompute
sed '/"path":"h.1","rule":/s/"rule":"none","kept":\[\]/"rule":"kept","kept":[11]/' $plan >edited.json
changed kept
against $plan >edited.json
refused "before any step wrote it"
sed '/"role":"saved"/s/"bytes":[0-9]*/"bytes":64/' $plan >edited.json
refused "in the plan of this model"
sed '/"role":"saved"/s/"offset":[0-9]*/"offset":64/' $plan >edited.json
refused "V12 bounds-align: buffer "
sed 's/"path":"h.0","unit"/&/; 1s/^{/{"colour":1,/' $plan >edited.json
refused "unknown key 'colour'"
cp $plan edited.json
sed -i 's/lr = 1e-3/lr = 2e-3/' gpt.bm
refused "other -D or by another bmc"
sed -i 's/lr = 2e-3/lr = 1e-3/' gpt.bm
# shellcheck disable=SC2086
refuses 1 "the flag says 2" "$BMC" compile gpt.bm --plan edited.json --ranks 2 $small
# shellcheck disable=SC2086
refuses 1 "the flag says 1048576" "$BMC" compile gpt.bm --plan edited.json --memory 1MiB $small
refuses 1 "No such file" "$BMC" compile gpt.bm --plan nothing.json

if ! command -v mpirun >/dev/null 2>&1 || [ ! -e "$BUILD/libbmrt_mpi.a" ]; then
    echo "no mpirun: the plans of four ranks are skipped"
    echo "$runs runs of $steps steps"
    exit $bad
fi
ranks=4
base
cp base4/plan.json chosen.json
plan=base4/plan.json
sed 's/\(.*\)"lead":[0-9]*/\1"lead":2/' $plan | sed '/"path":"h.1","unit"/s/"level":"[a-z0-9]*"/"level":"3"/' >edited.json
changed lead
sed '/"path":"h.[0-9]","unit"/s/"level":"[a-z0-9]*"/"level":"2"/' $plan >edited.json
changed levels
# shellcheck disable=SC2086
expect 0 "$BMC" compile gpt.bm --plan edited.json -o base4 $small
apart $plan >edited.json
changed apart
delayed $plan >edited.json
changed delayed
sed '/"path":"h.[0-9]","unit"/s/"level":"[a-z0-9]*"/"level":"3"/' $plan >edited.json
# shellcheck disable=SC2086
expect 0 "$BMC" compile gpt.bm --plan edited.json -o base4 $small
waiting $plan >edited.json
changed waiting
careless $plan >edited.json
refused "V14 race: step "
apart $plan | sed 's/\(.*\)"lead":[0-9]*/\1"lead":2/' >edited.json
refused "places belong to one set of choices"
echo "$runs runs of $steps steps"
exit $bad
