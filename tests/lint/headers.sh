#!/bin/sh
# Every header compiles by itself, without a warning: headers.sh [ROOT] (BUILD: the build folder)
set -u
cd "${1:-.}" || exit 1
cc=${CC:-cc}
bad=0
out=$(mktemp) || exit 1
for header in $(find frontend planner codegen runtime tests -name '*.h' ! -path 'codegen/templates/*' \
    2>/dev/null | sort); do
    # The header is included, not compiled: a compiler warns about `#pragma once` in a main file.
    if ! printf '#include "%s"\ntypedef int not_empty;\n' "$header" |
        $cc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Werror -fsyntax-only \
            -I. -I"${BUILD:-build}/generated" -x c - 2>"$out"; then
        echo "$header does not stand by itself:"
        head -n 6 "$out"
        bad=1
    fi
done
rm -f "$out"
exit $bad
