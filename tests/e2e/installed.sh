# An installed bmc needs nothing of where it was built: the prefix is moved, the sources and the
# build tree are hidden, and it compiles, trains and inspects.
. "$SOURCE/tests/e2e/lib_e2e.sh"
expect 0 cmake --install "$BUILD" --prefix "$PWD/first" || exit 1
mv first "second place"
cp "$SOURCE/samples/gpt.bm" .
sample_data
cat >there.sh <<'END2'
. ./lib.sh
bmc="$PWD/second place/bin/bmc"
export XDG_CACHE_HOME="$PWD/cache"
expect 0 "$bmc" doctor
says out "second place"
expect 0 "$bmc" compile gpt.bm -D layers=1 -D width=48 -o gpt.run || exit 1
expect 0 gpt.run/trainer --data corpus.txt --steps 5 --save w.safetensors
expect 0 gpt.run/trainer --steps 0 --init w.safetensors --sample 5
expect 0 "$bmc" inspect gpt.run
expect 0 "$bmc" verify gpt.run
expect 0 "$bmc" run gpt.bm -D layers=1 -D width=48 -- --data corpus.txt --steps 1
exit $bad
END2
cp "$SOURCE/tests/cli/lib_tiny.sh" lib.sh
for how in "-m" "-rm"; do
    # shellcheck disable=SC2086
    if unshare $how mount -t tmpfs none "$BUILD" 2>mount.err; then
        # shellcheck disable=SC2086
        unshare $how sh -c 'mount -t tmpfs none "$1" && mount -t tmpfs none "$2" &&
            ! ls "$1"/* "$2"/* 2>/dev/null && exec sh there.sh' sh "$BUILD" "$SOURCE"
        exit $?
    fi
done
echo "the build tree cannot be hidden here; it stays"
sh there.sh
exit $?
