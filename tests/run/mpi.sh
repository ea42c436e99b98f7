# Ranks of a model made by hand (tests/mpi/mpi_ranks.c) under mpirun: numbers, payload bytes counted
# from outside, and everything that can go wrong with several ranks. No compiler takes part.
set -u
bad=0
program=$BUILD/tests/mpi_ranks
[ -x "$program" ] || { echo "skipped: built without MPI"; exit 77; }
command -v mpirun >/dev/null 2>&1 || { echo "skipped: mpirun is not installed (openmpi-bin)"; exit 77; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_plm_rsh_agent=
"$program" data || exit 1

fail() {
    echo "FAILED: $*"
    head -n 30 err
    bad=1
}
# go CODE RANKS WORD...: mpirun with so many ranks ends with CODE; output in out, err.
go() {
    code=$1
    ranks=$2
    shift 2
    timeout 100 mpirun -n "$ranks" --oversubscribe --bind-to none "$program" "$@" >out 2>err </dev/null
    got=$?
    [ "$got" = "$code" ] || fail "exit $got, expected $code: $ranks ranks, $*"
}
# says TEXT TIMES: so many lines of err have the text.
says() {
    n=$(grep -cF -- "$1" err)
    [ "$n" = "$2" ] || fail "$n lines, not $2, say '$1'"
}
losses() {
    sed -n 's/^{"step":\([0-9]*\),"\([a-z_]*\)":\([^,}]*\).*/\1 \2 \3/p' "$1" | grep loss
}
# close FILE FILE: losses within 1e-5, relative.
close() {
    losses "$1" >a
    losses "$2" >b
    [ "$(wc -l <a)" = 22 ] && paste -d' ' a b | awk '
        { d = $3 - $6; if (d < 0) d = -d; if ($1 != $4 || d > 1e-5 * $6 + 1e-9) bad = 1 }
        END { exit bad }' || fail "losses of $1 and $2 differ"
}
same() {
    losses "$1" >a
    losses "$2" >b
    cmp -s a b || fail "losses of $1 and $2 are not the same bits"
    cmp -s "${1%.jsonl}.st" "${2%.jsonl}.st" || fail "weights of $1 and $2 are not the same bits"
}

# ---- numbers: worlds agree within rounding, groups and streams change no bit

train() { # train NAME RANKS K MODE
    go 0 "$2" "$2" "$3" "$4" --metrics "$1.jsonl" --save "$1.st"
}
train one 1 1 good
export BMRT_COUNT=1
for world in 3:3 4:4 4:2 4:1; do
    ranks=${world%:*}
    k=${world#*:}
    train "w$ranks$k" "$ranks" "$k" good
    close "w$ranks$k.jsonl" one.jsonl
    # Gathers: 20 steps of 2 rounds, 2 evaluations of 40 samples in rounds of 3 a rank. Reductions:
    # one part a step; single elements: one sum a step for weights and loss, two an evaluation.
    part=$((12 / k * 4))
    gathers=$((20 * 2 + 2 * ((40 + 3 * ranks - 1) / (3 * ranks))))
    for rank in $(seq 0 $((ranks - 1))); do
        reduce=$((k - 1))
        if [ "$ranks" != "$k" ]; then
            groups=$((ranks / k))
            reduce=$((k - 1 + 1))
            [ $((rank / k)) = $((groups - 1)) ] && reduce=$((k - 1 + groups - 1))
        fi
        g=$((gathers * (k - 1) * part))
        r=$((20 * reduce * part))
        a=$((44 * (reduce + k - 1) * 4))
        says "{\"rank\":$rank,\"all_gather\":$g,\"reduce_scatter\":$r,\"all_reduce\":$a}" 1
        says "seen: rank $rank payload $((g + r + a)) control some one thread 1" 1
    done
done
unset BMRT_COUNT
same w44.jsonl w42.jsonl
same w44.jsonl w41.jsonl
train reduced 4 4 reduced
close reduced.jsonl w44.jsonl
train tree4 4 4 tree
train tree2 4 2 tree
same tree4.jsonl tree2.jsonl
close tree4.jsonl w44.jsonl
for seed in 1 2; do
    BMRT_DELAY=$seed train delayed 4 2 good
    same delayed.jsonl w44.jsonl
done
# 1 ms for each of some 6 collectives a step, at least
BMRT_LINK=1000,1e9 train slow 3 3 good
same slow.jsonl w33.jsonl
awk -F'"dt_ms":' '/dt_ms/ { split($2, v, /[,}]/); if (v[1] < 5) bad = 1 } END { exit bad }' slow.jsonl ||
    fail "BMRT_LINK makes nothing slower"

# ---- predictions come from all ranks, in order
go 0 1 1 1 good --steps 0 --init one.st --predictions p1 --valid x=x.npy,y=y.npy
go 0 3 3 3 good --steps 0 --init one.st --predictions p3 --valid x=x.npy,y=y.npy
[ "$(wc -l <p1)" = 40 ] && cmp -s p1 p3 || fail "predictions of 1 and 3 ranks differ"

# ---- what is refused, by all ranks and with one message
for world in 2:3 4:3 1:3 3:1; do
    go 2 "${world%:*}" "${world#*:}" "${world#*:}" good
    n=${world#*:}
    says "trainer: error: the plan is for $n rank$([ "$n" = 1 ] || echo s) and this world has ${world%:*}" 1
    says "error: the plan" 1
done
timeout 60 "$program" 3 3 good >out 2>err
[ $? = 2 ] || fail "a world of one was taken for three"
says "mpirun -n 3 $program" 1
RANK=1 WORLD_SIZE=3 timeout 60 "$program" 3 3 good >out 2>err
[ $? = 2 ] || fail "torchrun without MPI was taken"
says "torchrun" 1 # rank 0 says it, but here is none
RANK=0 WORLD_SIZE=3 timeout 60 "$program" 3 3 good >out 2>err
says "torchrun says there are 3 ranks, but MPI knows 1" 1
go 2 3 3 3 hash
says "rank 2 carries out plan fedcba9876543210, rank 0 plan 0123456789abcdef" 1
says "error:" 1
go 2 3 3 3 good --frobnicate
says "unknown option '--frobnicate'" 1
go 2 3 3 3 good --rank 1 --world 3
says "says this is rank" 1
go 0 3 3 3 good --version
[ "$(wc -l <out)" = 1 ] || fail "every rank printed its version"
go 1 3 3 3 good --data y=none.npy
says "cannot open 'none.npy'" 1

# ---- what goes wrong later ends all ranks
go 1 3 3 3 fault
says "trainer: error: rank 1/3: step 3: 'table' reads row 99 of a table of 7 (sample 9 of the batch" 1
says "trainer: error" 1
go 76 3 3 3 good --data x=x.npy,y=nan.npy
says "trainer: error: step 2: loss is nan" 1
go 4 3 3 3 good --metrics /dev/full
says "rank 0/3: cannot write" 1
begin=$(date +%s)
go 137 3 3 3 kill
says "rank 1" 1
[ $(($(date +%s) - begin)) -le 10 ] || fail "a killed rank held the others for more than 10 s"
begin=$(date +%s)
BMRT_TIMEOUT=1 go 77 3 3 3 slow
grep -qF "step 3: nothing moved for 1 s in the all_gather of 'line' (step 4 of the plan): waiting for rank 1" err ||
    fail "a hang was not named"
[ $(($(date +%s) - begin)) -le 10 ] || fail "a hang was noticed too late"

# ---- one rank is asked to stop: all stop after the same step, with weights saved
mpirun -n 3 --oversubscribe --bind-to none sh -c 'echo $$ >pid.$OMPI_COMM_WORLD_RANK; exec "$0" "$@"' \
    "$program" 3 3 good --steps 1000000 --metrics stop.jsonl --save stop.st >out 2>err </dev/null &
mpirun=$!
for i in $(seq 100); do
    [ "$(grep -c loss stop.jsonl 2>/dev/null)" -gt 20 ] 2>/dev/null && break
    sleep 0.1
done
kill -TERM "$(cat pid.2)"
wait $mpirun
got=$?
[ $got = 75 ] || fail "exit $got after SIGTERM to one rank"
says "stopped after step" 1
says "weights saved in stop.st" 1
says "trainer: error" 0

exit $bad
