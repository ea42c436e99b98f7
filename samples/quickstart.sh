#!/bin/sh
# From nothing to a trained model, on a bare Debian 12 (as root) in under five minutes:
# installs what is missing, builds bmc, trains samples/gpt.bm on text this machine has, and shows how the
# loss fell, what the model writes, and what the plan said about memory. Elsewhere it names the packages.
#   sh samples/quickstart.sh [STEPS]
# Everything it makes is under build/quickstart/.
set -eu
cd "$(dirname "$0")/.."
steps=${1:-400}
work=build/quickstart
mkdir -p "$work"
begin=$(date +%s)

say() {
    printf '\n[%3d s] %s\n' $(($(date +%s) - begin)) "$*"
}
die() {
    echo "$*" >&2
    exit 4
}

# ---- what is needed, and what is missing

want=""
for pair in gcc:gcc cmake:cmake ninja:ninja-build flex:flex bison:bison; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || want="$want ${pair##*:}"
done
for pair in stdlib.h:libc6-dev jansson.h:libjansson-dev dnnl.h:libdnnl-dev; do
    echo "#include <${pair%%:*}>" | gcc -E - >/dev/null 2>&1 || want="$want ${pair##*:}"
done
if [ -n "$want" ]; then
    if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ] || ! command -v apt-get >/dev/null 2>&1; then
        die "Not installed. The Debian packages are:
    apt-get install$want"
    fi
    say "installing$want"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends $want; } \
        >"$work/apt.log" 2>&1 </dev/null || {
        tail -n 20 "$work/apt.log" >&2
        die "apt-get failed"
    }
fi

say "building bmc"
{ cmake -S . -B "$work/bmc" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBM_TESTS=OFF && ninja -C "$work/bmc"; } \
    >"$work/build.log" 2>&1 </dev/null || {
    tail -n 30 "$work/build.log" >&2
    exit 1
}
bmc=$work/bmc/bmc

# ---- the text: the licences every Debian has, each once (some names are links to others)

text=$work/text.txt
if [ -d /usr/share/common-licenses ]; then
    find /usr/share/common-licenses -type f | LC_ALL=C sort | while read -r file; do
        cat "$file"
    done >"$text"
else
    die "no /usr/share/common-licenses here: sh samples/quickstart.sh needs a Debian, or give your own text to
    $bmc run samples/gpt.bm -- --data TEXT"
fi
say "text: $(wc -c <"$text") bytes, $(wc -l <"$text") lines"

# The entropy of single bytes: what a model knows that only counts letters.
entropy=$(od -An -v -tu1 "$text" | awk '
    { for (i = 1; i <= NF; i++) { n[$i]++; total++ } }
    END { for (b in n) { p = n[b] / total; h -= p * log(p) } printf "%.4f", h }')

# ---- plan, build, train

say "compiling samples/gpt.bm"
"$bmc" compile samples/gpt.bm -o "$work/run"

say "training, $steps steps"
"$work/run/trainer" --data "$text" --steps "$steps" --log-every 25 --save "$work/gpt.safetensors" \
    --metrics "$work/metrics.jsonl" &
trainer=$!
trap 'kill $trainer 2>/dev/null || true' INT TERM
peak=0
while kill -0 $trainer 2>/dev/null; do # the kernel's own figure of the most memory it ever had
    now=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' /proc/$trainer/status 2>/dev/null || true)
    [ "${now:-0}" -gt "$peak" ] && peak=$now
    sleep 1
done
wait $trainer

say "what it writes after \"The \""
"$work/run/trainer" --init "$work/gpt.safetensors" --data "$text" --steps 0 --sample 400 --prompt "The " \
    --metrics "$work/sample.jsonl"

# ---- what was promised and what came of it

value() { # value KEY FILE: an integer of plan.json
    sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" "$2" | head -n 1
}
arena=$(value arena_bytes "$work/run/plan.json")
loss() {
    sed -n 's/.*"loss": *\([0-9.e+-]*\).*/\1/p' "$work/metrics.jsonl"
}
say "result"
echo "first loss             $(loss | head -n 1) nats a byte"
echo "last loss              $(loss | tail -n 1) nats a byte (average of the last 10: $(loss | tail -n 10 |
    awk '{ s += $1 } END { printf "%.4f", s / NR }'))"
echo "entropy of the bytes   $entropy nats: what counting letters gives"
echo "memory of the plan     $arena bytes"
echo "memory it had at most  $((peak * 1024)) bytes, with text, threads and libraries"
