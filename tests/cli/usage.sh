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
# A precision that is planned is refused where a trainer would be made, at its place.
sed 's/^  steps .*/&\n  precision = bf16/' tiny.bm >half.bm
expect 0 "$BMC" check half.bm
expect 0 "$BMC" plan half.bm -o half.plan
says half.plan/plan.json '"dtype":"bf16"'
expect 0 "$BMC" verify half.plan/plan.json
for page in --params --memory --comm --timeline --json; do
    expect 0 "$BMC" inspect half.plan $page
done
expect 0 "$BMC" compile half.bm --emit=plan
for how in compile run 'plan --emit=c' 'compile --emit=c'; do
    expect 2 "$BMC" $how half.bm
    says err "half.bm:13:15: error: precision = bf16 is planned but not emitted yet"
done
must "no trainer" [ ! -e half.run ]

cat >three.bm <<'END'
model M {
  a: Linear(16, 8)
  b: Linear(8, 4)
  forward(x: [3, 16]) {
    y = a(x) + zz
    w = b(x)
    return average(b(y) + sqroot(w))
  }
}
END
expect 1 "$BMC" check three.bm
says err "three.bm:5:16: error:"
says err "three.bm:6:11: error:"
says err "three.bm:7:27: error:"
says err "3 errors"
must "a caret under each" [ "$(grep -c '^ *| *^' err)" = 3 ]
exit $bad
