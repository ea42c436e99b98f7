# The plan never changes the numbers: every sample, with 1 to 4 threads, fused and not, twice, and in
# micro-batches of whole grains, has the same losses, norms, reports and weights, to the bit.
#   STEPS=20 sh same_bits.sh    longer runs
. "$SOURCE/tests/e2e/lib_e2e.sh"
! sanitized || quick_cc
steps=${STEPS:-3}
small=""
if sanitized; then # some twenty times slower: one layer less shows the same, and two samples
    small="-D layers=2 -D width=96 -D heads=4 -D ctx=64"
    trainable="gpt mlp"
fi
sample_data

# Sums over tokens run grain by grain (some 256 rows); the tables have one row a sample, so their
# batches are made larger than a grain.
for name in gpt llama; do
    cp "$SOURCE/samples/$name.bm" $name.bm
done
for name in mlp regression; do
    sed 's/^  batch  *=.*/  batch = 1024/' "$SOURCE/samples/$name.bm" >$name.bm
done
sizes_of() {
    case $1 in
    gpt | llama) echo "16 8" ;;
    *) echo "1024 512 256" ;;
    esac
}

# lines FILE: what a run computed: no times, and not how it was planned.
lines() {
    grep -vE '"schema"|"event":"done"' "$1" |
        sed -E 's/"(tok_s|samp_s|dt_ms|exposed_ms|seconds|elapsed|eval_s)[a-z_]*":[^,}]*,?//g'
}

# run_as TAG FOLDER OPTION...: its lines and weights are those of the sample's first run.
runs=0
run_as() {
    tag=$1
    folder=$2
    shift 2
    # shellcheck disable=SC2046
    expect 0 "$folder/trainer" --stop-after "$steps" --save "$tag.safetensors" \
        --metrics "$tag.jsonl" $(data_options $name) "$@" || return
    lines "$tag.jsonl" >"$tag.lines"
    runs=$((runs + 1))
    if [ ! -e $name.first ]; then
        echo "$tag" >$name.first
        must "$name: $steps steps are written" [ "$(grep -c grad_norm "$tag.lines")" = "$steps" ]
        return
    fi
    first=$(cat $name.first)
    if ! cmp -s "$first.lines" "$tag.lines"; then
        echo "$name: $tag differs from $first"
        diff "$first.lines" "$tag.lines" | head -n 6
        bad=1
    fi
    must "$name: weights of $tag as of $first" cmp "$first.safetensors" "$tag.safetensors"
    rm -f "$tag.safetensors.old"
    [ "$tag" = "$first" ] || rm -f "$tag.safetensors"
}

# compiled TAG OPTION...: compiles the sample.
compiled() {
    folder=$1
    shift
    layers=""
    case $name in gpt | llama) layers=$small ;; esac
    # shellcheck disable=SC2086
    expect 0 "$BMC" compile $name.bm -o "$folder" $layers "$@" || return
    must "$folder has whole grains" grep -q '"below_grain":false' "$folder/plan.json"
}

for name in $trainable; do
    runs=0
    for size in $(sizes_of $name); do
        compiled $name.m$size --micro-batch "$size" || continue
        if [ ! -e $name.first ]; then
            for threads in 1 2 3 4; do
                run_as $name.fused.$threads $name.m$size --threads $threads
            done
            run_as $name.again $name.m$size --threads 2
        else
            run_as $name.micro.$size $name.m$size --threads 3
        fi
    done
    compiled $name.plain --no-fuse
    for threads in 1 4; do
        run_as $name.plain.$threads $name.plain --threads $threads
    done
    if cmp -s $name.plain/kernels.c $name.m$(sizes_of $name | sed 's/ .*//')/kernels.c; then
        echo "$name: --no-fuse changed nothing"
        bad=1
    fi
    echo "$name: $runs runs of $steps steps, the same bits"
done
exit $bad
