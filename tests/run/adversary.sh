# Streams that are held up, memory that is filled as soon as it is free, and waits held against what
# steps use change nothing on plans of five kinds; a wait that is missing is found, and named.
#   slow_adversary.sh does the same on all kinds, for every wait of three plans, with more delays
. "$SOURCE/tests/run/lib_adversary.sh"

plan z2 4 "" "zero = 2
lead = 2
bucket = 16KiB" --micro-batch 3
plan z3 4 "" "zero = 3
recompute = all"
plan hybrid 4 "" "zero = once
hybrid = 2" --micro-batch 3
plan reduced 3 "  accumulate = reduced" "zero = 3" --micro-batch 4
plan mixed 3 "" "zero = 1
zero h.1 = 3
zero h.2 = once
lead = 1"

seed=1
for name in $plans; do
    silent "$name" $seed
    seed=$((seed + 1))
done
echo "$runs runs with delays, poison and checks"

# Memory that is filled too early is noticed: so it is filled.
awk '/_round_compute_frees/ { on = 1 } on && /^    \{/ && !done && $1 > "{40" {
        sub(/\{[0-9]+,/, "{" first ","); done = 1 }
    on && /^    \{/ && !first { first = substr($1, 2) + 0 } { print }' z3/trainer.c >early.c
linked z3 early.c
BMRT_POISON=1 start ./mutant z3 --stop-after 1 >out 2>err </dev/null
code=$?
must "memory filled too early makes numbers that are none (exit $code)" [ $code = 76 ]

for name in z2 z3 reduced; do
    waits $name
    n=$(wc -l <$name.waits)
    for k in $((n / 3 + 1)) "$n"; do
        without $name $k
    done
done
echo "$found of $removed waits are found missing"
must "all of them" [ "$found" = "$removed" ]

# Trainers that were not made for it say so.
expect 0 "$BMC" compile z2.bm -o plain --ranks 1 $small
for variable in BMRT_CHECK BMRT_POISON; do
    expect 2 env $variable=1 plain/trainer --stop-after 1
    says err "$variable needs what this trainer was not told"
    says err "compile it with --debug"
done
exit $bad
