#!/bin/sh
# Runs one libFuzzer target, or one part of its runs: run.sh SOURCE.c PROGRAM [PART PARTS]
# The source says how, in its first comment:
#   fuzz: runs=20000 floor=1500 max_len=4096 seeds=samples,tests/lang dict=tests/fuzz/bm.dict
# Less edge coverage than `floor` is a failure: a target that stopped reaching the code finds nothing.
# FUZZ_SCALE multiplies the runs.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
name=$(basename "$1" .c)
part=${3:-1} parts=${4:-1}
[ "$parts" = 1 ] || name=${name}_$part
comment=$(sed '/\*\//q' "$1")
value() {
    printf '%s\n' "$comment" | tr ' ' '\n' | sed -n "s/^$1=//p"
}
runs=$(value runs)
floor=$(value floor)
if [ -z "$runs" ] || [ -z "$floor" ]; then
    echo "$1 has no 'fuzz: runs=N floor=N' in its first comment"
    exit 1
fi
runs=$((runs * ${FUZZ_SCALE:-1} / parts))

dir=$(mktemp -d "${TMPDIR:-/tmp}/bmc-fuzz.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/found" "$dir/seeds"
for folder in $(value seeds | tr ',' ' '); do
    for seed in "$root/$folder"/*; do
        [ -f "$seed" ] && cp "$seed" "$dir/seeds/$(basename "$folder")-$(basename "$seed")"
    done
done
set -- "$2" -seed="$part" -runs="$runs" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
    -verbosity=1 -artifact_prefix="$dir/crash-"
[ -n "$(value max_len)" ] && set -- "$@" -max_len="$(value max_len)"
[ -n "$(value dict)" ] && set -- "$@" -dict="$root/$(value dict)"
begin=$(date +%s)
cd "$dir" || exit 1
if ! "$@" "$dir/found" "$dir/seeds" >"$dir/log" 2>&1 </dev/null; then
    grep -nE 'ERROR|SUMMARY|BUG|runtime error|^ *#[0-9]+ ' "$dir/log" | head -n 40
    for crash in "$dir"/crash-*; do
        echo "input $(basename "$crash") ($(wc -c <"$crash") bytes):"
        head -c 2000 "$crash" | od -An -c | head -n 60
    done
    exit 1
fi
edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$dir/log" | tail -n 1)
echo "$name: $runs inputs, ${edges:-0} edges (floor $floor), $(($(date +%s) - begin)) s"
[ "${edges:-0}" -ge "$floor" ]
