# Ranks that were given other options or variables than rank 0, or such as cannot be read: one message,
# and nothing is written.
. "$SOURCE/tests/e2e/lib_ranks.sh"
expect 0 "$BMC" compile tiny.bm --ranks 3 -o r3 || exit 1
expect 0 "$BMC" compile tiny.bm --ranks 1 -o r1 || exit 1
t="r3/trainer --threads 1 --steps 3 --metrics m.jsonl"
echo kept >m.jsonl
echo kept >s.jsonl
export OMPI_MCA_odls_base_sigkill_timeout=0
two="$mpi -n 2 $t : -n 1"
# shellcheck disable=SC2086
{
    once 2 "error: rank 2 has --steps 4, rank 0 has --steps 3" $two r3/trainer --steps 4 --metrics m.jsonl
    says err "help: every rank needs the same options"
    once 2 "error: rank 2 has --seed 5, rank 0 has no --seed" $two $t --seed 5
    once 2 "error: rank 1 has no --save, rank 0 has --save 'w.st'" $mpi -n 1 $t --save w.st : -n 2 $t
    once 2 "error: rank 2 has --log-samples 's.jsonl', rank 0 has no --log-samples" $two $t --log-samples s.jsonl
    once 2 "error: rank 2/3: unknown option '--frobnicate'" $two $t --frobnicate
    once 2 "error: rank 2/3: BMRT_TIMEOUT is 'x', not a number of seconds" $two env BMRT_TIMEOUT=x $t
    once 2 "error: rank 2/3: BMRT_CHECK needs" $two env BMRT_CHECK=1 $t
    once 2 "error: BMRT_LINK is '1', not ALPHA_US,BYTES_PER_S" env BMRT_LINK=1 $mpi -n 3 $t
}
for wrong in LINK=1,0 LINK=1,2x LINK=-1,5 DELAY=x DELAY=99999999999999999999999 DELAY_STEP=3 TIMEOUT=0 \
    TIMEOUT=nan TIMEOUT=1e999 COUNT=yes CHECK=2 POISON=on; do
    refuses 2 "error: BMRT_${wrong%%=*} is '${wrong#*=}', " env "BMRT_$wrong" r1/trainer --metrics m.jsonl
done
refuses 2 "error: the environment has BMRT_PIOSON, which" env BMRT_PIOSON=1 r1/trainer --metrics m.jsonl
exit $bad
