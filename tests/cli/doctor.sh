# doctor names the package of what is missing.
. "$SOURCE/tests/cli/lib_tiny.sh"
expect 0 "$BMC" doctor
says out "CPU target"
expect 4 env CC=no-such-compiler "$BMC" doctor
says out "MISSING"
says out "apt-get install gcc libc6-dev"
exit $bad
