# The emitted text: as many functions for 48 blocks as for 2, and the same bytes wherever, whenever
# and in whatever language it is made.
. "$SOURCE/tests/e2e/lib_e2e.sh"

# ---- the text grows with the number of different blocks, not with the depth

functions() { # names of functions, in order
    awk '/^\{/ && before ~ /\(/ { sub(/\(.*/, "", before); print before } { before = $0 }' "$1"
}
for layers in 2 48; do
    expect 0 "$BMC" compile "$SOURCE/samples/gpt.bm" -D layers=$layers --emit=c=$layers.c
    functions $layers.c >$layers.functions
done
must "functions are found" [ "$(wc -l <2.functions)" -gt 50 ]
must "48 blocks have the functions of 2" cmp 2.functions 48.functions
few=$(wc -l <2.c)
many=$(wc -l <48.c)
must "lines: $many for 48 blocks <= 1.3 x $few for 2" [ $((many * 10)) -le $((few * 13)) ]
echo "gpt.bm: $(wc -l <48.functions) functions for 2 and for 48 blocks, $few and $many lines" \
    "($(awk -v a="$many" -v b="$few" 'BEGIN { printf "%.2f", a / b }')x)"

# ---- the same bytes

# Another language has another decimal point, another order of letters; a time zone another day.
locale=C.UTF-8
locale -a 2>/dev/null | grep -qiE '^de_DE\.utf-?8$' && locale=de_DE.UTF-8
mkdir -p first "deep/er/second place"
cp "$SOURCE"/samples/*.bm first/
cp "$SOURCE"/samples/*.bm "deep/er/second place/"
texts=0
for model in first/*.bm; do
    name=$(basename "$model" .bm)
    expect 0 "$BMC" compile "$model" --emit=c=a.c --emit=json=a.json || continue
    expect 0 "$BMC" compile "$PWD/$model" --emit=c=b.c --emit=json=b.json
    (
        cd "deep/er/second place" || exit 1
        export LC_ALL=$locale LANG=$locale LANGUAGE=de TZ=Pacific/Kiritimati
        exec "$BMC" compile "$name.bm" --emit=c=../../../c.c --emit=json=../../../c.json
    )
    for other in b c; do
        must "$name: $other.c as a.c" cmp a.c $other.c
        must "$name: $other.json as a.json" cmp a.json $other.json
    done
    if grep -nE "\"/|/(tmp|home|root|usr|work|build)/|$(basename "$PWD")" a.c a.json; then
        echo "$name: a path of this machine"
        bad=1
    fi
    texts=$((texts + 2))
done
must "all samples" [ $texts = $((2 * $(find "$SOURCE/samples" -name '*.bm' | wc -l))) ]
echo "$texts texts: the same bytes from another folder, by another path, in $locale, in another time zone"

# What lies in the folder is that text.
(cd first && exec "$BMC" compile gpt.bm -o ../out.run) || bad=1
expect 0 "$BMC" compile "deep/er/second place/gpt.bm" --emit=c=a.c --emit=json=a.json
must "plan.json" cmp out.run/plan.json a.json
{
    cat out.run/trainer.c
    echo
    cat out.run/kernels.c
} >both.c
must "trainer.c and kernels.c" cmp both.c a.c
exit $bad
