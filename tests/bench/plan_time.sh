#!/bin/sh
# How long a plan of a real size takes, its file written: plan_time.sh [BMC] (build/release/bmc)
# Prints the median of five runs of each in milliseconds, its seconds of CPU (which a busy machine
# stretches less), and the bytes of its plan.json. Aims: llama-8b on many ranks under 1 s, the shape
# of 405 billion parameters on 16,384 ranks under 5 s; a figure above its aim is said, and makes the
# exit status 1. Never a test.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
bmc=$(realpath "${1:-$root/build/release/bmc}")
dir=$(mktemp -d "${TMPDIR:-/tmp}/bmc-plan.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
: >missed

# CPU seconds of the children, of what `times` says of them: 0m0.65s 0m0.05s
cpu_seconds() {
    sed -n 2p | sed 's/[ms]/ /g' | awk '{ printf "%.2f", $1 * 60 + $2 + $3 * 60 + $4 }'
}

# NAME AIM_MS(0: none) FILE OPTIONS...
measure() {
    name=$1 aim=$2 model=$3
    shift 3
    for run in 1 2 3 4 5; do
        begin=$(date +%s%N)
        ("$bmc" plan "$model" "$@" -o out$run >/dev/null && times) >cpu
        echo "$((($(date +%s%N) - begin) / 1000000)) $(cpu_seconds <cpu)"
    done | sort -n | sed -n 3p >median
    read -r ms cpu <median
    verdict=
    if [ "$aim" -gt 0 ]; then
        verdict=" (aim $aim ms)"
        if [ "$ms" -ge "$aim" ]; then
            verdict=" (aim $aim ms, MISSED)"
            echo "$name" >>missed
        fi
    fi
    echo "$name: $ms ms$verdict, $cpu s of CPU, plan.json of $(wc -c <out1/plan.json) bytes, arena" \
        "$(grep -o '"arena_bytes":[0-9]*' out1/plan.json | head -n 1 | sed 's/.*://') bytes," \
        "$(grep -o '"search_work":[0-9]*' out1/plan.json | sed 's/.*://') candidates"
}

for model in gpt2-124m gpt2-1.5b llama-8b; do
    measure "$model" 0 "$root/samples/$model.bm" --memory 1TiB
done
sed 's/^  batch     = 256$/  batch     = 1024/' "$root/samples/llama-8b.bm" >llama-1024.bm
measure "llama-8b on 64 ranks" 1000 "$root/samples/llama-8b.bm" --machine h100-80g --ranks 64
measure "llama-8b on 1,024 ranks" 1000 llama-1024.bm --machine h100-80g --ranks 1024
sed 's/^  batch     = 256$/  batch     = 16384/' "$root/samples/llama-8b.bm" >llama-16384.bm
measure "405B on 16,384 ranks" 5000 llama-16384.bm -D layers=126 -D width=16384 -D heads=128 \
    -D hidden=53248 --machine h200 --ranks 16384
[ ! -s missed ]
