# As adversary.sh, with several delays on every kind of plan, and without each wait of three plans.
. "$SOURCE/tests/run/lib_adversary.sh"

for o in auto off; do
    for z in 0 1 2 3 once; do
        plan four.$z.$o 4 "" "zero = $z
overlap = $o"
        plan three.$z.$o 3 "" "zero = $z
overlap = $o
lead = 2
recompute = all" --micro-batch 4
    done
done
plan reduced 4 "  accumulate = reduced" "zero = 2
bucket = 16KiB" --micro-batch 3
plan invariant 4 "  reduce = invariant" "zero = 3" --micro-batch 3
plan hybrid 4 "" "zero = 3
hybrid = 2" --micro-batch 3
plan offload 3 "" "zero = 1
offload h = optimizer" --micro-batch 4
for name in $plans; do
    for seed in 11 12 13; do
        silent "$name" $seed
    done
done
echo "$runs runs of $(echo $plans | wc -w) plans with delays, poison and checks"

for name in four.3.auto three.2.auto reduced; do
    waits $name
    for k in $(seq "$(wc -l <$name.waits)"); do
        without $name "$k"
        matters $name
    done
done
echo "$found of $removed waits are found missing; without $changed of them weights change or the run fails"
must "most of them matter when what they wait for is late" [ $((changed * 2)) -ge "$removed" ]
must "at least 95 % of them" [ $((found * 100)) -ge $((removed * 95)) ]
exit $bad
