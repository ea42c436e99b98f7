# Sourced by the scripts beside it: three ranks of the tiny model under mpirun.
. "$SOURCE/tests/e2e/lib_e2e.sh"
quick_cc
"$BMC" doctor | grep -q "libbmrt_mpi.a$" || skip "built without MPI"
mpirun --version 2>/dev/null | grep -q "Open MPI" || skip "no mpirun of Open MPI"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_plm_rsh_agent=
sed -i 's/batch     = 4/batch     = 6/' tiny.bm
mpi="mpirun --oversubscribe --bind-to none"

# once CODE TEXT COMMAND... : the command under mpirun ends with CODE within 10 s, and what is said
# is one error that has the text; files stay as they are.
once() {
    once_code=$1
    once_text=$2
    shift 2
    once_begin=$(date +%s)
    refuses "$once_code" "$once_text" timeout 60 "$@"
    once_seconds=$(($(date +%s) - once_begin))
    must "over within 10 s, not $once_seconds: $once_text" [ $once_seconds -le 10 ]
}
# lives RANK: its process is there (one that has ended and nobody waits for is a Z).
lives() {
    case $(sed 's/.*) //; s/ .*//' "/proc/$(cat "pid.$1")/stat" 2>/dev/null) in
    '' | Z | X) return 1 ;;
    esac
}
# begin WORD... : three ranks in the background that train for ever; their numbers in pid.0, ..
begin() {
    rm -f pid.* m.jsonl
    # shellcheck disable=SC2016,SC2086
    $mpi -n 3 sh -c 'echo $$ >pid.$OMPI_COMM_WORLD_RANK; exec "$@"' x r3/trainer --threads 1 \
        --steps 1000000000 --metrics m.jsonl "$@" >out 2>err </dev/null &
    job=$!
    await_steps 20 m.jsonl
    began=$(date +%s)
}
# ended: waits for mpirun and the ranks, which takes 10 s at most; the exit code is in `code`.
ended() {
    wait $job
    code=$?
    while [ $(($(date +%s) - began)) -le 10 ] && { lives 0 || lives 1 || lives 2; }; do
        sleep 0.1
    done
    must "all over within 10 s" [ $(($(date +%s) - began)) -le 10 ]
}
