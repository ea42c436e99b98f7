# Files of ranks: missing, another one, or cut short on one rank. One message, and old files stay.
. "$SOURCE/tests/e2e/lib_ranks.sh"
expect 0 "$BMC" compile tiny.bm --ranks 3 -o r3 || exit 1
expect 0 "$BMC" compile tiny.bm --ranks 1 -o r1 || exit 1
expect 0 r1/trainer --steps 3 --save a.st --metrics one.jsonl
expect 0 r1/trainer --steps 3 --save b.st --metrics one.jsonl --seed 4
head -c 2000 text.txt >shorter.txt
sed 's/line 100 /line 101 /' text.txt >other.txt
cp text.txt same.txt
cp a.st same.st
t="r3/trainer --threads 1 --steps 3 --metrics m.jsonl --log-samples s.jsonl"
echo kept >m.jsonl
echo kept >s.jsonl
size=$(wc -c <text.txt)
export OMPI_MCA_odls_base_sigkill_timeout=0
# shellcheck disable=SC2086
{
    two="$mpi -n 2 $t : -n 1 $t"
    once 1 "error: rank 2/3: cannot open 'none.txt'" $two --data none.txt
    once 1 "error: cannot open 'none.txt'" $mpi -n 3 $t --data none.txt
    once 1 "error: rank 2 has training data 'shorter.txt' (2000 bytes, sum " $two --data shorter.txt
    says err "), rank 0 has training data 'text.txt' ($size bytes, sum "
    says err "help: every rank reads the same"
    once 1 "error: rank 2 has training data 'other.txt' ($size bytes, sum " $two --data other.txt
    once 1 "error: rank 2 has valid data 'text.txt' ($size bytes, sum " $two --valid text.txt
    says err ", rank 0 has no valid data"
    once 1 "error: rank 2/3: cannot open 'none.st'" $mpi -n 2 $t --init a.st : -n 1 $t --init none.st
    once 1 "error: rank 2 has first weights 'b.st' (" $mpi -n 2 $t --init a.st : -n 1 $t --init b.st
    once 1 "error: rank 1 has no first weights, rank 0 has first weights 'a.st' (" $mpi -n 1 $t --init a.st : -n 2 $t
    # Of a large file not all is looked at: pieces, the end among them.
    truncate -s 80M large.txt
    { head -c -1 large.txt && printf x; } >large_x.txt
    once 1 "error: rank 2 has training data 'large_x.txt' (83886080 bytes, sum " \
        $mpi -n 2 $t --data large.txt : -n 1 $t --data large_x.txt
    # Equal files may lie elsewhere.
    expect 0 $mpi -n 2 $t --init a.st : -n 1 $t --init same.st --data same.txt
}

# ---- cut short while three ranks train on it: seen by all, or by one that has its own copy

unset OMPI_MCA_odls_base_sigkill_timeout
many() { # many: text for some 2 million samples
    awk 'BEGIN { while (n++ < 400000) print "line " n " of a text that is long enough" }' >many.txt
}
many
cp many.txt own.txt
begin --save w.st --data many.txt
truncate -s 5000 many.txt
ended
must "cut for all: exit $code is 4" [ $code = 4 ]
must "cut for all: one error" [ "$(grep -c 'error: ' err)" = 1 ]
says err "bytes and has 5000: it was cut short while it was read"
many
rm -f m.jsonl
# shellcheck disable=SC2086,SC2016
$mpi -n 3 sh -c 'file=many.txt; [ $OMPI_COMM_WORLD_RANK = 1 ] && file=own.txt
    echo $$ >pid.$OMPI_COMM_WORLD_RANK; exec "$@" --data $file' x r3/trainer --threads 1 \
    --steps 1000000000 --metrics m.jsonl --save w.st >out 2>err </dev/null &
job=$!
await_steps 20 m.jsonl
began=$(date +%s)
truncate -s 5000 own.txt
ended
must "cut for one: exit $code is 4" [ $code = 4 ]
must "cut for one: one error" [ "$(grep -c 'error: ' err)" = 1 ]
says err "trainer: error: rank 1/3: 'own.txt' had $(wc -c <many.txt) bytes and has 5000: "
must "no weights of a run that failed" [ ! -e w.st ]
exit $bad
