# How three ranks end before their time: a rank that dies, a disk that is full. The rest is gone
# within 10 s, and files are whole or not there.
. "$SOURCE/tests/e2e/lib_ranks.sh"
sanitized && skip "signals are the sanitizer's, and every process is some twenty times slower"
expect 0 "$BMC" compile tiny.bm --ranks 3 -o r3 || exit 1

# ---- a rank dies

for death in KILL:137 SEGV:139 BUS:135; do
    begin --save w.st
    kill -${death%:*} "$(cat pid.1)"
    ended
    must "${death%:*}: exit $code is ${death#*:}" [ $code = ${death#*:} ]
    must "${death%:*}: its rank is named" grep -q "process rank 1 " err
    must "${death%:*}: no weights" [ ! -e w.st ]
done

# ---- no room for the weights on rank 0: its limit of a file's size is as a full disk

sed 's/width = 16/width = 16384/' tiny.bm >wide.bm
expect 0 "$BMC" compile wide.bm --ranks 3 -o wide || exit 1
echo kept >w.st
t="wide/trainer --threads 1 --steps 1 --metrics m.jsonl --save w.st"
before=$(date +%s)
# shellcheck disable=SC2086,SC2016
expect 4 $mpi -n 1 sh -c 'ulimit -f 30000; exec "$@"' x $t : -n 2 $t
must "a full disk: over within 10 s" [ $(($(date +%s) - before)) -le 10 ]
says err "trainer: error: rank 0/3: cannot write 'w.st': File too large"
must "a full disk: one error" [ "$(grep -c 'error: ' err)" = 1 ]
must "a full disk: what was there stays" [ "$(cat w.st)" = kept ]
must "a full disk: nothing half-written" [ -z "$(leftovers .)" ]
rm w.st
exit $bad
