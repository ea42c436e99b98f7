# Sourced by the scripts beside it: the tiny model of tests/cli and its checks, the samples with
# their data, and the sentence every refusal has to be.
. "$SOURCE/tests/cli/lib_tiny.sh"

trainable="gpt llama mlp regression"

# sample_data: what the trainable samples read, here.
sample_data() {
    ${CC:-cc} -O2 "$SOURCE/samples/make_data.c" -o make_data -lm && ./make_data . || exit 1
    awk 'BEGIN { for (i = 0; i < 4000; i++) print i " bottles of beer on the wall" }' >corpus.txt
    head -c 8000 corpus.txt >few.txt
}

# data_options SAMPLE: gpt and llama have no `valid` of their own.
data_options() {
    case $1 in
    gpt* | llama*) echo "--valid few.txt" ;;
    esac
}

# number FILE NAME: the first value of "NAME" in a file of JSON.
number() {
    grep -o "\"$2\":[0-9][0-9]*" "$1" | head -n 1 | sed 's/.*://'
}

# The build's own libraries are sanitized: malloc is theirs then.
sanitized() {
    ! grep -q 'BM_RT_SANITIZE  *"" ' "$BUILD/generated/build.h"
}

# quick_cc: trainers compiled from here on are optimized less, for half the time. For checks that
# hold plans against each other; run_same_bits and the oracle have what users get. BM_O3=1 leaves it.
quick_cc() {
    case $SOURCE in *" "*) return ;; esac # bmc takes CC as words
    [ -n "${BM_O3:-}" ] || export CC="sh $SOURCE/tests/cc_quick.sh ${CC:-cc}"
}

skip() {
    echo "skipped: $*"
    exit 77
}

# needs_ranks: mpirun and a build with it, not sanitized: each rank would be some twenty times slower.
needs_ranks() {
    command -v mpirun >/dev/null 2>&1 || skip "mpirun is not installed (Debian: openmpi-bin)"
    [ -e "$BUILD/libbmrt_mpi.a" ] || skip "built without MPI"
    ! sanitized || skip "every process would be some twenty times slower"
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

# listing: every file here with its sum, but for what the checks write themselves.
listing() {
    find . -type f ! -path ./out ! -path ./err ! -path ./before ! -path ./after |
        LC_ALL=C sort | while read -r f; do cksum "$f"; done
}

# refuses CODE TEXT WORD... : the command ends with CODE and one error that says TEXT; no fault of
# ours, and no file is made, changed or removed.
refuses() {
    refused_code=$1
    refused_text=$2
    shift 2
    listing >before
    expect "$refused_code" "$@" || return
    says err "$refused_text"
    refused_n=$(grep -E '(^|: )error: |^bmc: ' err | grep -cvE '^bmc: (note|warning): ')
    if [ "$refused_n" != 1 ]; then
        echo "$refused_n errors, not one: $*"
        head -n 20 err
        bad=1
    fi
    if grep -qE 'Sanitizer|runtime error|internal error|Assertion|Aborted|Segmentation' err; then
        echo "a fault of ours: $*"
        head -n 20 err
        bad=1
    fi
    listing >after
    if ! cmp -s before after; then
        echo "files were touched: $*"
        diff before after | head -n 20
        bad=1
    fi
}

# leftovers FOLDER: what is there only while a file is being written.
leftovers() {
    find "$1" ! -path '*/cache/*' \( -name '*.new' -o -name '*.tmp*' -o -name '*.o' -o -name '*.part' \) | head -n 5
}

# await_steps N METRICS: until a run has done so many, 30 s at most.
await_steps() {
    awaited=0
    while [ $awaited -lt 300 ]; do
        [ -e "$2" ] && [ "$(grep -c '"loss"' "$2")" -ge "$1" ] && return
        sleep 0.1
        awaited=$((awaited + 1))
    done
    must "$1 steps in $2 within 30 s" false
}
