# `bmc run` with several ranks: what it needs, what it starts, signals and exit codes. The trainer is
# a script that takes the place of a compiled one.
. "$SOURCE/tests/cli/lib_tiny.sh"

mkdir empty
expect 4 env PATH="$PWD/empty" "$BMC" run tiny.bm -n 2
says err "more than one rank needs mpirun"
says err "apt-get install openmpi-bin libopenmpi-dev"
must "nothing was compiled" [ ! -e tiny.run ]
expect 0 "$BMC" doctor
says out "more than one rank"
expect 4 env PATH="$PWD/empty" "$BMC" doctor
says out "  mpirun         absent "

expect 0 "$BMC" compile tiny.bm
cat >tiny.run/trainer <<'END'
#!/bin/sh
stop() { # mpirun ends the others when one exits with a code: so all do together, as in MPI_Finalize
    echo "rank ${OMPI_COMM_WORLD_RANK-0} stops"
    : >"stops.${OMPI_COMM_WORLD_RANK-0}"
    until [ -e stops.0 ] && [ -e stops.1 ] && [ -e stops.2 ]; do sleep 0.1; done
    sleep 0.3
    exit 75
}
trap stop USR1 INT
echo "rank ${OMPI_COMM_WORLD_RANK-0} of ${OMPI_COMM_WORLD_SIZE-1}: $*"
while [ $# -gt 0 ]; do
    [ "$1" = --exit ] && exit "$2"
    [ "$1" = --wait ] && { : >"waits.${OMPI_COMM_WORLD_RANK-0}"; sleep 30 & wait; }
    shift
done
exit 0
END
expect 0 "$BMC" run tiny.bm -- --steps 3
must "one rank: the trainer alone" [ "$(cat out)" = "rank 0 of 1: --steps 3" ]

if ! mpirun --version >/dev/null 2>&1; then
    echo "no mpirun: the rest is skipped"
    [ $bad = 0 ] && exit 77
    exit 1
fi
sed -i '1s/ranks 1$/ranks 3/' tiny.run/stamp
expect 0 "$BMC" run tiny.bm -- --threads 2
for rank in 0 1 2; do
    says out "rank $rank of 3: --threads 2"
done
expect 0 "$BMC" run tiny.bm -- --steps 1
must "the ranks share the cores" [ "$(grep -c 'of 3: --threads [1-9][0-9]* --steps 1$' out)" = 3 ]
expect 76 "$BMC" run tiny.bm -- --exit 76

# Ctrl-C: each rank is told once and ends by itself; its exit code is ours.
for signal in INT TERM; do
    rm -f waits.* stops.*
    "$BMC" run tiny.bm -- --wait >out 2>err &
    run=$!
    for _ in $(seq 100); do
        [ -e waits.0 ] && [ -e waits.1 ] && [ -e waits.2 ] && break
        sleep 0.1
    done
    kill -s $signal $run
    wait $run
    must "the trainer's exit code after $signal" [ $? = 75 ]
    for rank in 0 1 2; do
        must "rank $rank was told of $signal" [ "$(grep -c "rank $rank stops" out)" = 1 ]
    done
done

# The README's `plan` section is one that works.
{
    sed '/^plan {/,/^}/d' "$SOURCE/samples/gpt.bm"
    awk '/^    plan \{/ { on = 1 } on { print } on && /^    }/ { exit }' "$SOURCE/README.md"
} >readme.bm
must "README.md has a section \`plan\`" grep -q "ranks  *= 4" readme.bm
expect 0 "$BMC" plan readme.bm
says out "4 ranks"

# The real thing: flags beat the file, the losses are those of one rank.
if ! "$BMC" doctor | grep -q "libbmrt_mpi.a$"; then
    [ $bad = 0 ] && exit 77
    exit 1
fi
cp tiny.bm two.bm
echo 'plan { ranks = 4 }' >>two.bm
expect 0 "$BMC" run two.bm -n 1 -- --metrics one.jsonl
expect 0 "$BMC" run two.bm --ranks 2 -- --metrics two.jsonl
says err "2 ranks"
losses() { sed -n 's/.*"step":\([0-9]*\),.*"loss":\([0-9.e-]*\),.*/\1 \2/p' "$1"; }
losses one.jsonl >one
losses two.jsonl >two
must "five losses" [ "$(wc -l <one)" = 5 ]
must "the losses of one rank" awk '
    { getline other <"two"; split(other, b); d = $2 - b[2]; d = d < 0 ? -d : d }
    $1 != b[1] || d > 1e-5 * $2 { exit 1 }' one
exit $bad
