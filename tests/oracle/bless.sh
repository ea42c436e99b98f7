#!/bin/sh
# Makes the golden files of this folder again, from a trainer's initial weights and sample order and
# a PyTorch run: BUILD=build/release sh tests/oracle/bless.sh [MODEL...]
set -eu
SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(cd "${BUILD:-build/release}" && pwd)
BMC=$BUILD/bmc
. "$SOURCE/tests/oracle/lib_oracle.sh"
need_torch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
[ $# -gt 0 ] || set -- gpt llama
for model in "$@"; do
    # shellcheck disable=SC2046
    "$BMC" compile "$SOURCE/samples/$model.bm" -o run $(sizes "$model")
    run/trainer --data "$here/text.txt" --steps 0 --save init.safetensors
    train "$model" init.safetensors
    again "$model" "$here/$model"
    cp init.safetensors "$here/$model.init.safetensors"
    rm "$here/$model.metrics.jsonl"
done
