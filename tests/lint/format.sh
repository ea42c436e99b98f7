#!/bin/sh
# Every C file is as clang-format 14 writes it: format.sh [ROOT]
set -u
cd "${1:-.}" || exit 1
tool=""
for candidate in clang-format-14 clang-format; do
    if command -v $candidate >/dev/null 2>&1 &&
        $candidate --version | grep -q 'version 14\.'; then
        tool=$candidate
        break
    fi
done
if [ -z "$tool" ]; then
    echo "skipped: clang-format 14 is not installed (apt-get install clang-format-14)"
    exit 77
fi
files=$(find frontend planner codegen runtime tests samples -type f \
    \( -name '*.c' -o -name '*.h' \) ! -path 'tests/emit/*.c' 2>/dev/null | sort)
# shellcheck disable=SC2086
$tool --style=file --dry-run -Werror $files 2>&1 | grep -E 'error:' | cut -d: -f1 | sort | uniq -c |
    awk '{print $2 ": " $1 " places differ from clang-format 14"; n++} END {exit n > 0}'
