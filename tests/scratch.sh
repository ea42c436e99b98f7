#!/bin/sh
# Runs a test script in an empty folder of its own that is gone afterwards: scratch.sh SCRIPT
set -u
dir=$(mktemp -d "${TMPDIR:-/tmp}/bmc-test.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
cd "$dir" && sh "$1"
