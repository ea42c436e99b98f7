# Sourced by adversary.sh and slow_adversary.sh: small plans of several ranks, their trainers with
# BMRT_CHECK, BMRT_POISON and BMRT_DELAY, and trainers from which one wait was taken.
. "$SOURCE/tests/e2e/lib_e2e.sh"
quick_cc
needs_ranks
sample_data
head -c 3000 corpus.txt >fewer.txt
small="-D layers=3 -D width=32 -D heads=2 -D ctx=64"
plans=""

# plan NAME RANKS TRAIN PLAN [OPTION...]: the small gpt with dropout, planned so, its trainer made
# for checks.
plan() {
    name=$1
    sed -E -e 's/\+ ([a-z_]+\([a-z_0-9]+\(x\)\))$/+ dropout(\1, 0.1)/' -e '/^plan \{/,$d' \
        -e "s/^  batch  *=.*/  batch = 24/" -e "s|^train \{|train {\n$3|" \
        "$SOURCE/samples/gpt.bm" >"$name.bm"
    printf 'plan {\n%s\n}\n' "$4" >>"$name.bm"
    echo "$2" >"$name.ranks"
    ranks=$2
    shift 4
    # shellcheck disable=SC2086
    expect 0 "$BMC" compile "$name.bm" -o "$name" --debug --ranks "$ranks" $small "$@" || return
    expect 0 ${CC:-cc} -std=c11 -Wall -Wextra -Werror -fsyntax-only -I "$BUILD/include" "$name/trainer.c"
    plans="$plans $name"
}

# start PROGRAM NAME OPTION...: on as many ranks as NAME is for.
start() {
    program=$1
    n=$(cat "$2.ranks")
    shift 2
    timeout 120 mpirun -n "$n" --oversubscribe --bind-to none "$program" --threads 1 "$@"
}

# trained NAME TAG: what it computes, in NAME.TAG.lines and NAME.TAG.safetensors.
trained() {
    expect 0 start "$1/trainer" "$1" --stop-after 2 --valid fewer.txt --metrics "$1.$2.jsonl" \
        --save "$1.$2.safetensors" || return 1
    grep -vE '"schema"|"event":"done"' "$1.$2.jsonl" |
        sed -E 's/"(tok_s|samp_s|dt_ms|exposed_ms|seconds|elapsed|eval_s)[a-z_]*":[^,}]*,?//g' >"$1.$2.lines"
}

runs=0
# silent NAME SEED: delays, poison and checks change nothing.
silent() {
    [ -e "$1.plain.lines" ] || trained "$1" plain || return
    export BMRT_CHECK=1 BMRT_POISON=1 BMRT_DELAY="$2"
    trained "$1" adverse
    unset BMRT_CHECK BMRT_POISON BMRT_DELAY
    must "$1 with delays $2 computes the same" cmp "$1.plain.lines" "$1.adverse.lines"
    must "and the same weights" cmp "$1.plain.safetensors" "$1.adverse.safetensors"
    runs=$((runs + 1))
}

# ---- one wait less

awk_waits="awk -f $SOURCE/tests/run/waits.awk"

# waits NAME: how many there are; all that the plan has.
waits() {
    $awk_waits "$1/trainer.c" "$1/trainer.c" >"$1.waits"
    planned=$(grep -o '"waits":\[[^]]*\]' "$1/plan.json" | grep -o '[0-9][0-9]*' | wc -l)
    must "the trainer of $1 has the plan's $planned waits" [ "$(wc -l <"$1.waits")" = "$planned" ]
}

# linked NAME TEXT: TEXT with NAME's kernels as the program ./mutant
linked() {
    if [ ! -e "$1.o" ]; then
        flags=$(sed -n 's/^ \*   cc \(.*\) -I BMC.*/\1/p' "$1/trainer.c")
        # shellcheck disable=SC2086
        ${CC:-cc} $flags -I "$BUILD/include" -c "$1/kernels.c" -o "$1.o" || exit 1
    fi
    libraries=$(sed -n 's/^#define BM_RT_LIBS *"\([^"]*\)".*/\1/p' "$BUILD/generated/build.h")
    mpi=$(sed -n 's/^#define BM_MPI_LIBS *"\([^"]*\)".*/\1/p' "$BUILD/generated/build.h")
    # shellcheck disable=SC2086
    ${CC:-cc} -std=c11 -w -O0 -I "$BUILD/include" "$2" "$1.o" "$BUILD/libbmrt_mpi.a" \
        "$BUILD/libbmrt.a" $mpi $libraries -o mutant || exit 1
}

removed=0
found=0
# without NAME K: wait K is missing: is it found, with both steps and a buffer?
without() {
    missing=$(sed -n "$2p" "$1.waits")
    $awk_waits -v k="$2" "$1/trainer.c" "$1/trainer.c" >mutant.c
    must "$1 without wait $missing is another text" sh -c "! cmp -s mutant.c $1/trainer.c"
    linked "$1" mutant.c
    BMRT_CHECK=1 start ./mutant "$1" --stop-after 1 --valid fewer.txt --sample 1 >out 2>err </dev/null
    code=$?
    removed=$((removed + 1))
    last=${missing##*step }
    if [ $code = 70 ] && grep -qE \
        "step [0-9]+ \([a-z]+: '.+'\) begins before step $last \([a-z]+: '.+'\) is over.*share '.+'" err; then
        found=$((found + 1))
    else
        echo "exit $code without wait $missing of $1"
        head -n 5 err
    fi
}

changed=0
# matters NAME: does the last one change a number, when what it waits for is late and memory is
# filled as soon as it is free?
matters() {
    BMRT_POISON=1 BMRT_DELAY_STEP="$last,20000" start ./mutant "$1" --stop-after 2 \
        --valid fewer.txt --sample 1 --save mutant.safetensors >out 2>err </dev/null
    if [ $? != 0 ] || ! cmp -s "$1.plain.safetensors" mutant.safetensors; then
        changed=$((changed + 1))
    fi
}
