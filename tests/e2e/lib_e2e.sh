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

skip() {
    echo "skipped: $*"
    exit 77
}

# refuses CODE TEXT WORD... : exit CODE with one error that says TEXT, and at most one line of help
# and notes with their quoted lines beside it; no crash, no second complaint.
refuses() {
    refused_code=$1
    refused_text=$2
    shift 2
    expect "$refused_code" "$@" || return 1
    says err "$refused_text"
    refused_n=$(grep -cE '(^|: )error: |^bmc: ' err)
    if [ "$refused_n" != 1 ]; then
        echo "$refused_n errors, not one: $*"
        head -n 20 err
        bad=1
    fi
    if grep -qE 'Sanitizer|runtime error|assert|BUG|Aborted|Segmentation' err; then
        echo "a fault of ours: $*"
        head -n 20 err
        bad=1
    fi
}

# listing FOLDER: every file below it with its sum, to see that nothing changed.
listing() {
    (cd "$1" && find . -type f | LC_ALL=C sort | while read -r f; do cksum "$f"; done)
}
