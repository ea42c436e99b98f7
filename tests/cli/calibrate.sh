# `bmc calibrate`: a profile of this machine that the compiler takes; installed, too.
. "$SOURCE/tests/cli/lib_tiny.sh"
grep -q 'BM_RT_SANITIZE  *"" ' "$BUILD/generated/build.h" || {
    echo "skipped: a sanitized probe measures nothing, and takes its time for it"
    exit 77
}
expect 0 "$BMC" calibrate -o here.json --threads 1
expect 0 grep -q '"workers": 1' here.json
expect 0 grep -q '"target": "c"' here.json
expect 0 "$BMC" plan tiny.bm --machine here.json
expect 4 "$BMC" calibrate -o no/such/folder/here.json --threads 1
says err "no/such/folder"
expect 2 "$BMC" calibrate tiny.bm
expect 0 cmake --install "$BUILD" --prefix "$PWD/a prefix"
expect 0 "a prefix/bin/bmc" calibrate --ranks 2 --threads 1
says out '"ranks_per_node"'
says out "2 ranks with 1 threads each"
rm "a prefix"/*/bmrt_probe
expect 4 "a prefix/bin/bmc" calibrate --threads 1
says err "bmrt_probe is not there"
exit $bad
