#!/bin/sh
# How long a plan of a real size takes, its file written: plan_time.sh [BMC] (build/release/bmc)
# Prints the median of five runs of each model in milliseconds, and the bytes of its plan.json.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
bmc=$(realpath "${1:-$root/build/release/bmc}")
dir=$(mktemp -d "${TMPDIR:-/tmp}/bmc-plan.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
for model in gpt2-124m gpt2-1.5b llama-8b; do
    for run in 1 2 3 4 5; do
        begin=$(date +%s%N)
        "$bmc" plan "$root/samples/$model.bm" --memory 1TiB -o out$run >/dev/null
        echo $((($(date +%s%N) - begin) / 1000000))
    done | sort -n | sed -n 3p >median
    echo "$model: $(cat median) ms, plan.json of $(wc -c <out1/plan.json) bytes," \
        "arena $(grep -o '"arena_bytes":[0-9]*' out1/plan.json | head -n 1 | sed 's/.*://') bytes"
done
