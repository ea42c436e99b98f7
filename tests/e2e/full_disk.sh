# A disk without room: exit 4 with one error, nothing half-written, what was there stays whole.
# Needs a mount of its own, in a namespace; skipped where none can be had.
. "$SOURCE/tests/e2e/lib_e2e.sh"
if [ -z "${E2E_MOUNTED:-}" ]; then
    mkdir disk
    for how in "-m" "-rm"; do
        # shellcheck disable=SC2086
        unshare $how mount -t tmpfs -o size=64k none disk 2>mount.err &&
            E2E_MOUNTED=1 exec unshare $how sh "$0"
    done
    cat mount.err
    skip "no file system can be mounted here"
fi
disk() { # disk SIZE: an empty one
    umount disk 2>umount.err
    mount -t tmpfs -o size="$1" none disk || exit 1
}
full() { # full [ROOM]: takes all of the disk but so many KiB
    dd if=/dev/zero of=disk/filler bs=4096 2>dd.err
    [ -z "${1:-}" ] || truncate -s -"$1"K disk/filler
}
whole() { # whole WHAT: nothing on the disk that is half of something
    must "$1: nothing half-written" [ -z "$(leftovers disk)" ]
    for text in plan.json trainer.c kernels.c; do
        [ ! -e disk/run/$text ] || must "$1: $text is whole" cmp -s disk/run/$text there.run/$text
    done
    if [ -e disk/run/trainer ]; then
        expect 0 disk/run/trainer --steps 1 --metrics m.jsonl
    else
        must "$1: no stamp without a trainer" [ ! -e disk/run/stamp ]
    fi
}
export XDG_CACHE_HOME="$PWD/cache"
mkdir there.run
expect 0 "$BMC" compile tiny.bm -o there.run || exit 1
t=there.run/trainer

# ---- compile: room for more and more of it, until all of it fits

done=no
for size in 4 16 32 48 64 80 128 256 512 1024 2048 4096 16384; do
    disk ${size}k
    "$BMC" compile tiny.bm -o disk/run >out 2>err </dev/null
    code=$?
    whole "compile in $size KiB"
    if [ $code = 0 ]; then
        done=$size
        break
    fi
    must "compile in $size KiB: exit $code is 4" [ $code = 4 ]
    must "compile in $size KiB: one error" [ "$(grep -cE 'error: |^bmc: cannot' err)" = 1 ]
    must "compile in $size KiB: names the reason" grep -qi 'no space left' err
    must "compile in $size KiB: no trainer" [ ! -e disk/run/trainer ]
    [ $bad = 0 ] || cat err
done
must "it fits at last" [ $done != no ]
echo "compile: whole or not at all up to $done KiB"

# The same with nothing in the cache of objects, so that the C compiler meets the end.
for size in 64 96 128 256 16384; do
    disk ${size}k
    rm -rf cache
    "$BMC" compile tiny.bm -o disk/run >out 2>err </dev/null
    code=$?
    whole "compile anew in $size KiB"
    must "compile anew in $size KiB: exit $code" [ $code = 4 -o $code = 0 ]
    [ $code = 0 ] || must "compile anew in $size KiB: names the reason" grep -qi 'no space left' err
    [ $bad = 0 ] || cat err
done

# ---- --save: told before the training when it can be known, and the old weights stay

disk 64k
expect 0 $t --steps 1 --save disk/w.safetensors
cp disk/w.safetensors before.safetensors
full
refuses 4 "disk/w.safetensors" $t --steps 3 --save disk/w.safetensors
must "the old weights stay" cmp before.safetensors disk/w.safetensors

# It fills up while the run is on: the end tells.
disk 128k
expect 0 $t --steps 1 --save disk/w.safetensors
rm -f m.jsonl
$t --steps 1000000000 --metrics m.jsonl --save disk/w.safetensors >out 2>err </dev/null &
pid=$!
await_steps 1 m.jsonl
full
kill -TERM $pid
wait $pid
code=$?
must "filled while it ran: exit $code is 4" [ $code = 4 ]
says err "No space left on device"
must "filled while it ran: the old weights stay" cmp before.safetensors disk/w.safetensors
must "filled while it ran: nothing half-written" [ -z "$(leftovers disk)" ]

# ---- metrics, samples, predictions

full
expect 4 $t --steps 3 --metrics disk/m.jsonl
says err "disk/m.jsonl"
must "one error" [ "$(grep -c 'error: ' err)" = 1 ]
expect 4 $t --steps 100000 --metrics m.jsonl --log-samples disk/samples
says err "disk/samples"
expect 4 "$BMC" plan tiny.bm -o disk/plan
says err "No space left on device"
expect 4 "$BMC" plan tiny.bm --emit=json=disk/p.json
says err "disk/p.json"
must "nothing half-written" [ -z "$(leftovers disk)" ]

# ---- a disk that takes nothing at all

mount -o remount,ro disk || exit 1
refuses 4 "disk" "$BMC" compile tiny.bm -o disk/other
says err "Read-only file system"
refuses 4 "disk/w.safetensors" $t --save disk/w.safetensors
expect 4 $t --metrics disk/m2.jsonl
says err "disk/m2.jsonl"
exit $bad
