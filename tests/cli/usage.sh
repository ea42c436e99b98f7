# Help, versions, exit codes, and what a wrong command line says.
. "$SOURCE/tests/cli/lib_tiny.sh"

expect 0 "$BMC" --version
must "--version is one line" [ "$(wc -l <out)" = 1 ]
expect 0 "$BMC" --help
for command in compile run plan check inspect verify prelude doctor; do
    says out "bmc $command"
    expect 0 "$BMC" $command --help
    says out "bmc $command"
    expect 0 "$BMC" --help
done
expect 0 "$BMC" compile --help
for option in -o --target --ranks --memory --micro-batch -D --no-fuse --emit; do
    says out "$option"
done
expect 2 "$BMC"
must "two lines" [ "$(wc -l <err)" = 2 ]
expect 2 "$BMC" compile tiny.bm --memroy 1GiB
says err "did you mean --memory?"
must "two lines" [ "$(wc -l <err)" = 2 ]
expect 2 "$BMC" compile tiny.bm --target cuda
says err "not built yet"

expect 0 "$BMC" prelude
says out "block Linear("

# Output that cannot be written is an error, not silence.
"$BMC" --help >/dev/full 2>err
must "a full disk gives 4" [ $? = 4 ]
says err "cannot write standard output"

expect 1 "$BMC" check none.bm
says err "none.bm"
expect 0 "$BMC" check tiny.bm
says out "model Tiny"
says out "8448 parameters"
cat >three.bm <<'END'
model M {
  a: Liner(4, 4)
  b: Linear(4, 4)
  forward(x: [4]) {
    y = b(x) + z
    return average(b(y) @ x') +
  }
}
END
expect 1 "$BMC" check three.bm
exit $bad
