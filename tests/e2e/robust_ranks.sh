# Ranks that do not belong together: launchers that contradict each other, another plan on one
# rank. All end with one message and nothing is written.
. "$SOURCE/tests/e2e/lib_ranks.sh"
expect 0 "$BMC" compile tiny.bm --ranks 3 -o r3 || exit 1
expect 0 "$BMC" compile tiny.bm --ranks 3 -D width=8 -o narrow || exit 1
expect 0 "$BMC" compile tiny.bm --ranks 2 -o r2 || exit 1
expect 0 "$BMC" compile tiny.bm --ranks 1 -o r1 || exit 1
t="r3/trainer --threads 1 --steps 3 --metrics m.jsonl"
echo kept >m.jsonl
echo kept >s.jsonl
# mpirun gives ranks no second between asking and forcing them to end: one message all the same.
export OMPI_MCA_odls_base_sigkill_timeout=0
two="$mpi -n 2 $t : -n 1"
# shellcheck disable=SC2086
{
    # ---- the world is not the plan's
    once 2 "error: the plan is for 3 ranks and this world has 2" $mpi -n 2 $t
    says err "help: start it with: mpirun -n 3 r3/trainer"
    once 2 "error: the plan is for 1 rank and this world has 3" $mpi -n 3 r1/trainer
    says err "help: start it alone: r1/trainer, or compile with --ranks 3"

    # ---- what launchers say
    once 2 "error: torchrun says there are 3 ranks, but MPI knows 1" env RANK=0 WORLD_SIZE=3 $t
    once 2 "error: rank 2: torchrun says there are 3 ranks, but MPI knows 1" env RANK=2 WORLD_SIZE=3 $t
    once 2 "RANK is 'x', not a number of ranks" $mpi -n 3 env RANK=x WORLD_SIZE=3 $t
    once 2 "error: rank 1/3: torchrun says this is rank 0, MPI says 1" $mpi -n 3 env RANK=0 WORLD_SIZE=3 $t
    says err "help: every rank needs its own"
    once 2 "SLURM_PROCID is 5 and SLURM_STEP_NUM_TASKS 3: ranks run from 0 to 2" \
        env SLURM_PROCID=5 SLURM_STEP_NUM_TASKS=3 $t
    once 2 "error: PMI says there are 3 ranks, but MPI knows 1" \
        env PMI_RANK=0 PMI_SIZE=3 SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 $t
    says err "warning: PMI says rank 0 of 3 (PMI_RANK, PMI_SIZE), SLURM says rank 1 of 2"
    # shellcheck disable=SC2016
    expect 0 $mpi -n 3 sh -c 'RANK=$OMPI_COMM_WORLD_RANK WORLD_SIZE=3 PMI_RANK=1 PMI_SIZE=5 "$@"' x \
        r3/trainer --steps 1 --metrics other.jsonl
    must "one warning" [ "$(grep -c warning: err)" = 1 ]
    says err "torchrun says rank 0 of 3 (RANK, WORLD_SIZE), PMI says rank 1 of 5 (PMI_RANK, PMI_SIZE): taken is torchrun"
    says err "3 ranks (torchrun)"

    # ---- another trainer on one rank
    cat >app <<END
-n 2 $t
-n 1 narrow/trainer --threads 1 --steps 3 --metrics m.jsonl
END
    once 2 "error: rank 2 carries out plan" $mpi --app app
    says err "help: every rank needs the same trainer"
    once 2 "error: rank 2/3: the plan is for 2 ranks and this world has 3" $two r2/trainer
    once 2 "error: rank 2: the plan is for 1 rank and this world has 3" $two r1/trainer
}
exit $bad
