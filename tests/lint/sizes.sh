#!/bin/sh
# One idea per file and function: sizes.sh [ROOT]
# Over 600 lines a file is named, over 900 it fails; over 60 lines a function is named, over 150 it fails.
set -u
cd "${1:-.}" || exit 1
files=$(find frontend planner codegen runtime grammar tests samples -type f \( -name '*.c' -o -name '*.h' \
    -o -name '*.l' -o -name '*.y' -o -name '*.sh' \) ! -path 'tests/emit/*.c' 2>/dev/null | sort)
[ -n "$files" ] || exit 0
# shellcheck disable=SC2086
awk '
    function file_end() {
        if (lines > 600)
            print name ": " lines " lines" (lines > 900 ? ", at most 900" : " (over 600)")
        if (lines > 900)
            bad = 1
    }
    FNR == 1 { if (name) file_end(); name = FILENAME; start = 0 }
    { lines = FNR }
    /^[a-zA-Z].*\)$/ || /^[a-zA-Z].*,$/ { head = $0 }
    /^\{$/ { start = FNR }
    /^\}/ && start {
        n = FNR - start
        if (n > 60)
            print name ":" start ": a function of " n " lines" (n > 150 ? ", at most 150" : " (over 60)")
        if (n > 150)
            bad = 1
        start = 0
    }
    END { file_end(); exit bad }
' $files
