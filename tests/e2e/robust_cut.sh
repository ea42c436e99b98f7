# Files that another process cuts short while the trainer has them mapped: one error that names the
# file, exit 4, and no death by SIGBUS; any other SIGBUS is as it always was.
. "$SOURCE/tests/e2e/lib_e2e.sh"
expect 0 "$BMC" compile tiny.bm -o out.run || exit 1
awk 'BEGIN { while (n++ < 400000) print "line " n " of a text that is long enough" }' >many.txt
whole=$(wc -c <many.txt)

# cut SIZE OPTION... : a run that loses the end of its file; exit code in `code`.
cut() {
    size=$1
    shift
    cp many.txt cut.txt
    rm -f m.jsonl
    timeout 60 out.run/trainer --steps 1000000000 --metrics m.jsonl --save w.safetensors "$@" >out 2>err </dev/null &
    pid=$!
    await_steps 5 m.jsonl
    truncate -s "$size" cut.txt
    wait $pid
    code=$?
    must "cut to $size: exit $code is 4" [ $code = 4 ]
    must "cut to $size: one error" [ "$(grep -c 'error: ' err)" = 1 ]
    says err "trainer: error: 'cut.txt' had $whole bytes and has $size: it was cut short while it was read"
    says err "help: "
    must "cut to $size: no weights" [ -z "$(ls ./*.safetensors* 2>/dev/null)" ]
}
cut 5000 --data cut.txt --threads 1
cut 5000 --data cut.txt --threads 3
cut 0 --data cut.txt
# Within the last page nothing faults: the size tells.
cut $((whole - 1)) --data cut.txt
cut 5000 --valid cut.txt --eval-every 20

# A file that is replaced by another name's is still the old one; a longer one has all that was there.
cp many.txt cut.txt
rm -f m.jsonl
out.run/trainer --steps 1000000000 --metrics m.jsonl --data cut.txt >out 2>err </dev/null &
pid=$!
await_steps 5 m.jsonl
echo more >>cut.txt
cp text.txt next.txt
mv next.txt cut.txt
await_steps $(($(grep -c '"loss"' m.jsonl) + 100)) m.jsonl
kill -TERM $pid
wait $pid
code=$?
must "replaced: exit $code is 143" [ $code = 143 ]

# A SIGBUS that is none of ours ends the process by that signal.
rm -f m.jsonl
out.run/trainer --steps 1000000000 --metrics m.jsonl >out 2>err </dev/null &
pid=$!
await_steps 5 m.jsonl
kill -BUS $pid
wait $pid
code=$?
sanitized || must "SIGBUS by kill: exit $code is 135" [ $code = 135 ]
must "SIGBUS by kill: it ends" [ $code != 0 ]
exit $bad
