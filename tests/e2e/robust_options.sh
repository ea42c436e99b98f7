# Command lines, models and plans that cannot be: the right code, one error, nothing touched.
. "$SOURCE/tests/e2e/lib_e2e.sh"
expect 0 "$BMC" compile tiny.bm -o out.run || exit 1
t=out.run/trainer

# ---- unknown, malformed, not built yet

refuses 2 "--stpes" $t --stpes 3
says err "did you mean --steps?"
refuses 2 "needs a value" $t --steps
for value in x -1 1.5 1e3 99999999999999999999 ''; do
    refuses 2 "--steps" $t --steps "$value"
done
refuses 2 "--threads" $t --threads 0
refuses 2 "stray" $t stray
refuses 2 "takes no value" $t --help=yes
for later in resume save-every profile; do
    refuses 2 "--$later is not built yet" $t --$later 3
done
for later in "--target cuda" "--emit=cuda"; do
    # shellcheck disable=SC2086
    refuses 2 "not built yet" "$BMC" compile tiny.bm -o never $later
done
for ranks in 0 -1 two 1.5 99999999999; do
    refuses 2 "--ranks wants" "$BMC" compile tiny.bm -o never --ranks $ranks
    refuses 2 "-n wants" "$BMC" run tiny.bm -n $ranks
done
refuses 1 "no machine profile is called 'laptop'" "$BMC" compile tiny.bm -o never --machine laptop
refuses 1 "cannot open './laptop.json'" "$BMC" compile tiny.bm -o never --machine ./laptop.json
refuses 1 "cannot open 'p.json'" "$BMC" compile tiny.bm -o never --plan p.json
refuses 2 "--threads wants" "$BMC" calibrate --threads two
refuses 2 "one view at a time" "$BMC" inspect out.run --params --memory
refuses 2 "wants PATH" "$BMC" inspect out.run --html=
refuses 2 "takes no value" "$BMC" inspect out.run --params=3
refuses 2 "--why wants" "$BMC" inspect out.run --why
refuses 2 "wants two plans" "$BMC" inspect out.run --diff
refuses 2 "one file at a time" "$BMC" inspect out.run out.run
refuses 2 "one file at a time" "$BMC" inspect --diff out.run out.run out.run
refuses 2 "--micro-batch" "$BMC" plan tiny.bm --micro-batch 0
refuses 2 "--memory" "$BMC" plan tiny.bm --memory 2GoB
refuses 2 "--emit" "$BMC" plan tiny.bm --emit=asm
refuses 2 "-D" "$BMC" plan tiny.bm -D width
refuses 2 "unknown command" "$BMC" compil3 tiny.bm
must "nothing was made" [ ! -e never ]

# ---- no plan

refuses 1 "a batch of 4 cannot be split into micro-batches of 3" "$BMC" compile tiny.bm -o never --micro-batch 3
says err "2 and 4"
refuses 3 "no plan fits" "$BMC" compile tiny.bm -o never --memory 20KiB
says err "bytes), memory is 20.0 KiB"
says err "help: give --memory"
# What the help says is enough, and a byte less is not.
need=$(grep -o '[0-9]* bytes' err | head -n 1 | sed 's/ .*//')
expect 0 "$BMC" plan tiny.bm --memory "$need"
refuses 3 "no plan fits" "$BMC" plan tiny.bm --memory $((need - 1))

# ---- no model

refuses 1 "cannot open 'none.bm'" "$BMC" compile none.bm -o never
refuses 1 "out.run" "$BMC" compile out.run -o never
: >empty.bm
refuses 1 "empty.bm" "$BMC" compile empty.bm -o never
head -c 3000 /dev/urandom >random.bm
refuses 1 "random.bm" "$BMC" compile random.bm -o never
refuses 1 "no \`let widht\`" "$BMC" compile tiny.bm -o never -D widht=3
says err "did you mean \`width\`?"
must "nothing was made" [ ! -e never ]

# ---- no plan.json

mkdir -p garbage nothing
cp random.bm garbage/plan.json
head -c 2000 out.run/plan.json >cut.json
echo '{"a": 1}' >other.json
echo '[' >open.json
awk 'BEGIN { for (i = 0; i < 200000; i++) printf "[" }' >deep.json
sed 's/"offset":[0-9]*/"offset":-5/' out.run/plan.json >negative.json
sed 's/"reads":\[/"reads":[99999,/' out.run/plan.json >beyond.json
for plan in nothing garbage out.run/trainer cut.json other.json open.json deep.json none; do
    refuses 1 "${plan%%.*}" "$BMC" inspect $plan
    refuses 1 "${plan%%.*}" "$BMC" verify $plan
done
for plan in negative.json beyond.json; do
    expect 1 "$BMC" verify $plan
    "$BMC" inspect $plan >out 2>err
    must "inspect $plan ends in order" [ $? -le 1 ]
done
exit $bad
