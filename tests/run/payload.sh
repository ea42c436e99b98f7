# What each rank sends for each collective, counted where MPI is called, is what plan.json says: to
# the byte, on every level, in hybrid groups, with sums over ranks in every round.
. "$SOURCE/tests/e2e/lib_e2e.sh"
quick_cc
command -v mpirun >/dev/null 2>&1 || skip "mpirun is not installed (Debian: openmpi-bin)"
[ -e "$BUILD/tests/libmpi_payload.a" ] || skip "built without MPI"
sanitized && skip "every process would be some twenty times slower"
sample_data
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
small="-D layers=3 -D width=32 -D heads=2 -D ctx=64"
steps=3
libraries=$(sed -n 's/^#define BM_RT_LIBS *"\([^"]*\)".*/\1/p' "$BUILD/generated/build.h")
mpi=$(sed -n 's/^#define BM_MPI_LIBS *"\([^"]*\)".*/\1/p' "$BUILD/generated/build.h")
flags="-std=c11 -O1 -w -I $BUILD/include -Wl,--wrap=bmrt_comm_op"

# planned FILE: of the training program's collectives: step, kind, bytes sent in all steps.
planned() {
    end=$(grep -o '"update":\[[0-9]*,[0-9]*\]' "$1" | head -n 1 | tr -c '0-9\n' ' ' | awk '{ print $1 + $2 }')
    grep -oE '\{"kind":"[a-z_]*","bytes":[0-9]*,"step":[0-9]*,"path":"[^"]*","when":"[a-z]*","times":[0-9]*\}' "$1" |
        sed -E 's/.*"kind":"([a-z_]*)","bytes":([0-9]*),"step":([0-9]*),.*"times":([0-9]*).*/\3 \1 \2 \4/' |
        awk -v end="$end" -v steps=$steps '$1 < end && $3 > 0 { print $1, $2, $3 * $4 * steps }'
}

plans=0
# counted RANKS TRAIN PLAN [OPTION...]
counted() {
    ranks=$1
    sed -e '/^plan {/,$d' -e "s/^  batch  *=.*/  batch = 24/" -e "s|^train {|train {\n$2|" \
        "$SOURCE/samples/gpt.bm" >m.bm
    printf 'plan {\n%s\n}\n' "$3" >>m.bm
    about="$ranks ranks, $2 $3"
    shift 3
    rm -f p.?
    # shellcheck disable=SC2086
    expect 0 "$BMC" compile m.bm --emit=c=m.c --emit=json=m.json --ranks "$ranks" $small "$@" || return
    # shellcheck disable=SC2086
    expect 0 ${CC:-cc} $flags m.c "$BUILD/libbmrt_mpi.a" "$BUILD/libbmrt.a" \
        "$BUILD/tests/libmpi_payload.a" "$BUILD/libbmrt.a" $mpi $libraries -o counts || return
    expect 0 env PAYLOAD=p mpirun -n "$ranks" --oversubscribe --bind-to none ./counts --threads 1 \
        --stop-after $steps || return
    planned m.json >plan.txt
    for rank in $(seq 0 $((ranks - 1))); do
        if ! cmp -s plan.txt p.$rank; then
            echo "rank $rank of $about: planned, and sent"
            diff plan.txt p.$rank | head -n 6
            bad=1
        fi
    done
    awk -v about="$about" '{ n[$2]++; b[$2] += $3 } END { for (k in n) printf "%s %d: %d bytes  ", k, n[k], b[k]
        print "(" about ")" }' plan.txt | tr '\n' ' '
    echo
    plans=$((plans + 1))
}

counted 4 "" "zero = 0"
counted 4 "" "zero = 1"
counted 4 "" "zero = 2" --micro-batch 3
counted 4 "" "zero = 3
recompute = all" --micro-batch 3
counted 4 "" "zero = once" --micro-batch 3
counted 4 "" "zero = 3
hybrid = 2" --micro-batch 3
counted 2 "" "zero = 1
hybrid = 1"
counted 4 "" "zero = 0
hybrid = 2"
counted 4 "  reduce = invariant" "zero = 2" --micro-batch 3
counted 3 "" "zero = 1
zero h.1 = 3
bucket = 16KiB"
counted 3 "  accumulate = reduced" "zero = 3" --micro-batch 4
counted 3 "  accumulate = reduced" "zero = once" --micro-batch 4
must "some plans were counted" [ $plans = 12 ]
exit $bad
