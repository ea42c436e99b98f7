# How a run ends before its time: a signal, --stop-after, numbers that are none.
. "$SOURCE/tests/e2e/lib_e2e.sh"
expect 0 "$BMC" compile tiny.bm -D width=128 -o out.run || exit 1
t="out.run/trainer --threads 1"

losses() { # losses METRICS: what each step had, without the time it took
    grep '"loss"' "$1" | grep -o '"step":[0-9]*,"loss":[^,]*,'
}

# ---- --stop-after stops; the schedule stays that of all steps

sed 's/sgd(lr = 0.1)/sgd(lr = 0.1)\n  schedule = cosine(warmup = 2)/' tiny.bm >cosine.bm
expect 0 "$BMC" compile cosine.bm -o cosine.run
expect 0 cosine.run/trainer --threads 1 --steps 12 --metrics whole.jsonl
expect 0 cosine.run/trainer --threads 1 --steps 12 --stop-after 5 --metrics five.jsonl
expect 0 cosine.run/trainer --threads 1 --steps 5 --metrics short.jsonl
losses whole.jsonl | head -n 5 >first
losses five.jsonl >five
losses short.jsonl >short
must "five steps" [ "$(wc -l <five)" = 5 ]
must "of the same schedule" cmp first five
must "--steps 5 is another schedule" [ -n "$(cmp five short)" ]

# ---- a signal: the step ends, weights are saved, 75

stopped_by() { # stopped_by SIGNAL OPTION... : `code` is the exit code, `steps` those it did
    signal=$1
    shift
    rm -f m.jsonl
    $t --steps 1000000000 --metrics m.jsonl "$@" >out 2>err </dev/null &
    pid=$!
    await_steps 20 m.jsonl
    kill -"$signal" $pid
    wait $pid
    code=$?
    steps=$(losses m.jsonl | tail -n 1 | sed 's/[^0-9]*\([0-9]*\).*/\1/')
}
for signal in INT TERM; do
    stopped_by $signal --save stopped.safetensors
    must "$signal: exit $code is 75" [ $code = 75 ]
    must "$signal: the last line says so" grep -q '"event":"stopped"' m.jsonl
    expect 0 $t --steps 1000000000 --stop-after "$steps" --metrics again.jsonl --save again.safetensors
    must "$signal: the weights of $steps whole steps" cmp stopped.safetensors again.safetensors
    must "$signal: nothing half-written" [ -z "$(leftovers .)" ]
    rm stopped.safetensors
done
stopped_by INT
must "INT without --save: exit $code is 130" [ $code = 130 ]
stopped_by TERM
must "TERM without --save: exit $code is 143" [ $code = 143 ]

# The second signal ends it at once: the step is lost, or it was over already; files are whole.
cp again.safetensors kept.safetensors
rm -f m.jsonl
$t --steps 1000000000 --metrics m.jsonl --save kept.safetensors >out 2>err </dev/null &
pid=$!
await_steps 1 m.jsonl
kill -INT $pid
kill -INT $pid 2>kill.err
wait $pid
code=$?
must "twice INT: exit $code is 130 or 75" [ $code = 130 -o $code = 75 ]
must "twice INT: nothing half-written" [ -z "$(leftovers .)" ]
expect 0 $t --steps 0 --init kept.safetensors

# ---- numbers that are none: before the update, 76, old weights stay

sed 's/lr = 0.1/lr = 1e30/' tiny.bm >wild.bm
expect 0 "$BMC" compile wild.bm -D width=128 -o wild.run
cp again.safetensors kept.safetensors
expect 76 wild.run/trainer --steps 20 --metrics m.jsonl --save kept.safetensors --init again.safetensors
says err "error: step "
says err "stopped before the update"
must "one error" [ "$(grep -c 'error: ' err)" = 1 ]
must "the old weights stay" cmp again.safetensors kept.safetensors
must "nothing half-written" [ -z "$(leftovers .)" ]
must "the metrics say so" [ "$(tail -n 1 m.jsonl | grep -c '"nonfinite":')" = 1 ]

# A hole in the data is seen in its first step, before any weight is touched.
sample_data
expect 0 "$BMC" compile "$SOURCE/samples/regression.bm" -o reg.run || exit 1
head -c 128 regression_y.npy >y.npy
awk 'BEGIN { for (i = 0; i < 4096; i++) printf "\\000\\000\\300\\177" }' >octal
# shellcheck disable=SC2059
printf "$(cat octal)" >>y.npy
must "4096 NaNs" [ "$(wc -c <y.npy)" = "$(wc -c <regression_y.npy)" ]
expect 76 reg.run/trainer --data x=regression_x.npy,y=y.npy,w=regression_w.npy --save w.safetensors
says err "error: step 1: "
must "no weights" [ ! -e w.safetensors ]
exit $bad
