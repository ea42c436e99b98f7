# Memory of a run is the plan's: the arena has its size, a step needs every page of it, after the
# first step nothing more is asked for, and the process stays below arena + data + 64 MiB.
# watch.c, preloaded into the trainers, looks. Prints one line per sample.
. "$SOURCE/tests/e2e/lib_e2e.sh"
sanitized && skip "this build's malloc is the sanitizer's"
${CC:-cc} -std=c11 -O2 -shared -fPIC "$SOURCE/tests/e2e/watch.c" -o watch.so || exit 1
sample_data

# watch HOW TRAINER OPTION... : its report in `out`
watch() {
    how=$1
    shift
    WATCH=$how LD_PRELOAD="$PWD/watch.so" "$@" >out 2>err </dev/null
}

# of NAME: a number of the report
of() {
    sed -n "s/^$1 //p" out
}

mib() {
    awk -v n="$1" 'BEGIN { printf "%.1f MiB", n / 1048576 }'
}

measure() { # measure SAMPLE
    run=$1.run
    options=$(data_options "$1")
    expect 0 "$BMC" compile "$SOURCE/samples/$1.bm" -o "$run" || return
    plan=$(number "$run/plan.json" arena_bytes)
    persistent=$(number "$run/plan.json" persistent_bytes)
    live=$(number "$run/plan.json" max_live_bytes)
    must "$1: arena $plan = persistent $persistent + live $live" [ "$plan" = $((persistent + live)) ]

    # Alone: what the trainer says of itself.
    # shellcheck disable=SC2086
    expect 0 "$run/trainer" $options --steps 3 || return
    must "$1: the trainer's arena is the plan's" [ "$(number "$run/metrics.jsonl" arena_bytes)" = "$plan" ]

    # The pages of the arena, as the system counts them.
    # shellcheck disable=SC2086
    watch pages "$run/trainer" $options --steps 3 --threads 1
    must "$1: watched to the end" [ $? = 0 ]
    mapped=$(of arena_pages)
    pages=$(((plan + 4095) / 4096))
    resident=$(of resident_pages)
    touched=$(of touched_pages)
    must "$1: $mapped pages mapped, $pages planned, in huge pages" [ "$mapped" = $(((pages + 511) / 512 * 512)) ]
    must "$1: resident after step 1: $resident of $mapped" [ $((resident * 100)) -ge $((mapped * 99)) ]
    must "$1: needed in step 2: $touched of $pages" [ $((touched * 100)) -ge $((pages * 99)) ]

    # After step 1: with evaluations, to the last line of metrics.
    # shellcheck disable=SC2086
    watch calls "$run/trainer" $options --steps 4 --eval-every 2
    code=$?
    must "$1: nothing asked for after step 1" [ $code = 0 ]
    [ $code = 0 ] || cat out err
    # shellcheck disable=SC2012
    data=$(ls -l corpus.txt few.txt ./*.npy | awk '{ n += $5 } END { print n }')
    peak=$(of peak_rss)
    must "$1: peak $peak <= $plan + $data + 64 MiB" [ "$peak" -le $((plan + data + 67108864)) ]
    echo "$1: arena $(mib "$plan") = persistent + live, step 2 needs $touched of $pages pages," \
        "peak $(mib "$peak"), $(of library_calls) calls of malloc by the GEMM library, none by us"
    grep '^no-seccomp' out && bad=1
}
for sample in $trainable; do
    measure "$sample"
done

# Two arenas, with optimizer state on the host: both are there whole, and nothing besides.
{
    sed '/^plan {/,$d' "$SOURCE/samples/gpt.bm"
    printf 'plan {\noffload = optimizer\n}\n'
} >both.bm
expect 0 "$BMC" compile both.bm -o both.run || exit 1
plan=$(number both.run/plan.json arena_bytes)
host=$(number both.run/plan.json host_bytes)
expect 0 both.run/trainer --valid few.txt --steps 3
says err 'MiB on the host as planned, 100.0 % of it resident'
must "the trainer's host arena is the plan's" [ "$(number both.run/metrics.jsonl host_arena_bytes)" = "$host" ]
must "there is one" [ "$host" -gt 1000000 ]
watch calls both.run/trainer --valid few.txt --steps 4 --eval-every 2
must "two arenas: nothing asked for after step 1" [ $? = 0 ]
peak=$(of peak_rss)
must "peak $peak <= $plan + $host + $data + 64 MiB" [ "$peak" -le $((plan + host + data + 67108864)) ]
echo "two arenas: $(mib "$plan") and $(mib "$host"), peak $(mib "$peak")"

# The watch sees what it looks for: a trainer that asks for memory in each step.
flags=$(sed -n 's/^ \*   cc \(.*\) -I BMC.*/\1/p' mlp.run/trainer.c)
link=$(sed -n 's/^ \*      trainer.c kernels.c BMC.lib.libbmrt.a \(.*\) -o trainer/\1/p' mlp.run/trainer.c)
must "the header's command" [ -n "$flags" ] && must "with its libraries" [ -n "$link" ]
planted() { # planted TEXT WHAT
    mkdir -p planted
    cp mlp.run/kernels.c planted/
    sed "1s/^/#include <stdlib.h>\n#include <sys\/mman.h>\n#include <unistd.h>\nvoid *volatile taken;\n/
         /^static void train_round/,/^}/s/^{\$/{\n    $1/" mlp.run/trainer.c >planted/trainer.c
    grep -q taken.= planted/trainer.c || exit 1
    # shellcheck disable=SC2086
    (cd planted && ${CC:-cc} $flags -D_GNU_SOURCE -I "$SOURCE/runtime" trainer.c kernels.c \
        "$BUILD/libbmrt.a" $link -o trainer) || exit 1
    watch calls planted/trainer --steps 3
    must "a planted $2 ends the watch with 9" [ $? = 9 ]
    says out "failure: $2"
}
planted 'taken = malloc(64);' malloc
planted 'taken = realloc(taken, 100);' realloc
planted 'taken = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);' mmap
planted 'taken = sbrk(65536);' brk
exit $bad
