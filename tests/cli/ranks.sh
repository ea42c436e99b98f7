# `bmc run -n N`: what it needs, and how it says what is missing.
. "$SOURCE/tests/cli/lib_tiny.sh"

mkdir empty
expect 4 env PATH="$PWD/empty" "$BMC" run tiny.bm -n 2
says err "more than one rank needs mpirun"
says err "apt-get install openmpi-bin libopenmpi-dev"
must "nothing was compiled" [ ! -e tiny.run ]
expect 0 "$BMC" doctor
says out "more than one rank"
expect 4 env PATH="$PWD/empty" "$BMC" doctor
says out "  mpirun         absent "
exit $bad
