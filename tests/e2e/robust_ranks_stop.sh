# Three ranks are asked to stop, by a signal to mpirun or to bmc run: all do after the same step, with
# the weights of whole steps saved, within 10 s.
. "$SOURCE/tests/e2e/lib_ranks.sh"
sanitized && skip "signals are the sanitizer's, and every process is some twenty times slower"
expect 0 "$BMC" compile tiny.bm --ranks 3 -o r3 || exit 1
expect 0 "$BMC" compile tiny.bm --ranks 1 -o r1 || exit 1

stopped() { # stopped WHO SIGNAL: nothing is wrong, and the weights are those of as many steps
    must "$2 to $1: no error" [ "$(grep -c 'error: ' err)" = 0 ]
    says err "stopped after step "
    says err "weights saved in w.st"
    steps=$(sed -n 's/.*stopped after step \([0-9]*\) .*/\1/p' err)
    # shellcheck disable=SC2086
    expect 0 $mpi -n 3 r3/trainer --threads 1 --steps 1000000000 --stop-after "$steps" --metrics n.jsonl --save n.st
    must "$2 to $1: the weights of $steps steps" cmp w.st n.st
    expect 0 r1/trainer --steps 0 --init w.st --save one.st --metrics n.jsonl
    must "$2 to $1: what one rank reads and saves" cmp w.st one.st
    must "$2 to $1: nothing half-written" [ -z "$(leftovers .)" ]
    rm -f w.st
}
# mpirun forces its ranks to end so many seconds after the signal: enough on a machine with other work.
export OMPI_MCA_odls_base_sigkill_timeout=2
for signal in INT TERM; do
    begin --save w.st
    kill -$signal $job
    ended
    must "$signal to mpirun: exit $code" [ $code != 0 ]
    stopped mpirun $signal
done
rm -f m.jsonl
"$BMC" run tiny.bm -n 3 -- --steps 1000000000 --metrics m.jsonl --save w.st >out 2>err </dev/null &
job=$!
await_steps 20 m.jsonl
kill -INT $job
wait $job
code=$?
must "INT to bmc run: exit $code is 75" [ $code = 75 ]
stopped "bmc run" INT
exit $bad
