# cmake --install, then the whole prefix moved: bmc still finds its runtime.
. "$SOURCE/tests/cli/lib_tiny.sh"
expect 0 cmake --install "$BUILD" --prefix "$PWD/first"
mv first "second place"
expect 0 "$PWD/second place/bin/bmc" compile tiny.bm -o out.run
expect 0 out.run/trainer --steps 1
expect 0 "$PWD/second place/bin/bmc" doctor
says out "second place"
# Alone it says what it misses.
cp "second place/bin/bmc" alone
expect 4 "$PWD/alone" compile tiny.bm -o out2.run
says err "libbmrt.a"
expect 4 "$PWD/alone" doctor
exit $bad
