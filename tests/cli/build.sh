# compile, run, and the folder they make: whole or not at all, made again only when something changed.
. "$SOURCE/tests/cli/lib_tiny.sh"

expect 0 "$BMC" compile tiny.bm -o out.run || exit 1
for file in trainer trainer.c kernels.c plan.json; do
    must "$file is there" [ -s out.run/$file ]
done
must "nothing half-written" [ -z "$(find . -name '*.new')" ]
expect 0 out.run/trainer --steps 2

# run: the second time nothing is compiled; a changed model, option or text of it is.
expect 0 "$BMC" run tiny.bm -- --steps 2
must "the default folder" [ -x tiny.run/trainer ]
touch -d '2001-01-01' tiny.run/trainer.c
expect 0 "$BMC" run tiny.bm -- --steps 2
must "not compiled again" [ -n "$(find tiny.run/trainer.c ! -newermt 2001-01-02)" ]
expect 0 "$BMC" run tiny.bm -D width=8 -- --steps 2
must "compiled for another width" [ -z "$(find tiny.run/trainer.c ! -newermt 2001-01-02)" ]
touch -d '2001-01-01' tiny.run/trainer.c
sed -i 's/batch     = 4/batch     = 2/' tiny.bm
expect 0 "$BMC" run tiny.bm -D width=8 -- --steps 2
must "compiled after an edit" [ -z "$(find tiny.run/trainer.c ! -newermt 2001-01-02)" ]
expect 2 "$BMC" run tiny.bm -- --no-such-option
expect 1 "$BMC" run tiny.bm -- --data none.txt

# A mistake in the model leaves the old folder alone.
cp tiny.run/plan.json before
sed 's/return cross/return crossed/' tiny.bm >wrong.bm
expect 1 "$BMC" compile wrong.bm -o tiny.run
must "the old plan is whole" cmp -s before tiny.run/plan.json

# What the machine refuses: exit 4, one reason, nothing left.
expect 4 "$BMC" compile tiny.bm -o /proc/none/run
says err "/proc/none"
expect 4 env CC=no-such-compiler "$BMC" compile tiny.bm -o nocc
says err "no-such-compiler"
must "no trainer" [ ! -e nocc/trainer ]
expect 4 "$BMC" compile tiny.bm --emit=plan=/dev/full
says err "/dev/full"
message=$(
    trap '' XFSZ
    ulimit -f 0
    exec "$BMC" compile tiny.bm -o full 2>&1 >/dev/null
)
printf '%s\n' "$message" >message
says message "cannot write"
must "nothing of it is left" [ -z "$(find full -type f 2>/dev/null)" ]

# --emit stops after the pass, and to a file is the same text as to standard output.
for kind in ast graph plan c json; do
    expect 0 "$BMC" compile tiny.bm -o never --emit=$kind
    must "--emit=$kind prints" [ -s out ]
    cp out direct
    expect 0 "$BMC" plan tiny.bm --emit=$kind=there
    must "--emit=$kind=PATH is the same" cmp -s direct there
done
must "--emit builds nothing" [ ! -e never ]
expect 0 "$BMC" plan tiny.bm -o planned
must "plan -o writes the plan" [ -s planned/plan.json ]
must "and no trainer" [ ! -e planned/trainer ]
expect 3 "$BMC" plan tiny.bm --memory 1k
expect 0 "$BMC" verify planned
expect 0 "$BMC" inspect planned
exit $bad
