#!/bin/sh
# Who may include whom. Includes are written from the repository root, so the line is the dependency.
#   layering.sh [ROOT]
set -u
cd "${1:-.}" || exit 1
bad=0

# allow FOLDER-PATTERN ALLOWED: every quoted include of a matching file matches ALLOWED (an ERE).
allow() {
    pattern=$1
    allowed=$2
    files=$(find grammar frontend planner codegen runtime -type f \
        \( -name '*.c' -o -name '*.h' -o -name '*.l' -o -name '*.y' \) 2>/dev/null |
        grep -E "^($pattern)\$" | sort)
    [ -n "$files" ] || return 0
    # shellcheck disable=SC2086
    found=$(grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' $files |
        grep -vE "\"($allowed)\"")
    if [ -n "$found" ]; then
        printf '%s\n' "$found" | sed 's/$/   <- not allowed there/'
        bad=1
    fi
}

base='frontend/base/[a-z_]+\.h'
graph='frontend/graph/[a-z_]+\.(h|def)'
allow 'frontend/base/.*' "$base"
allow 'frontend/graph/.*' "$base|$graph"
allow 'frontend/driver/.*' "$base|frontend/driver/[a-z_]+\.h|frontend/parse\.h|build\.h"
allow 'frontend/[a-z_]+\.[ch]|grammar/.*' \
    "$base|$graph|frontend/[a-z_]+\.h|bm\.tab\.h|bm\.lex\.h|embedded\.h|build\.h|planner/.*|codegen/.*|frontend/driver/.*"
allow 'planner/[a-z_0-9]+\.[ch]' "$base|$graph|planner/.*\.(h|inc)"
allow 'planner/verify/.*' "$base|planner/verify/[a-z_]+\.h|planner/plan(_read)?\.h"
allow 'codegen/[a-z_0-9]+\.[ch]' "$base|$graph|planner/.*\.h|codegen/[a-z_0-9]+\.(h|inc)|embedded\.h|build\.h"
allow 'runtime/.*' 'runtime/[a-z_0-9]+\.(h|inc)|bmrt\.h'

# Only the driver, frontend/main.c, sees all layers.
up=$(grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"(planner|codegen|runtime|frontend/driver)/' \
    frontend/*.c frontend/*.h grammar/* 2>/dev/null | grep -v '^frontend/main\.c:')
if [ -n "$up" ]; then
    printf '%s\n' "$up" | sed 's/$/   <- only frontend\/main.c may/'
    bad=1
fi
# What is private to the frontend stays there; the planner's verifier is a reader of plans only.
down=$(grep -rnHE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"codegen/' planner 2>/dev/null)
if [ -n "$down" ]; then
    printf '%s\n' "$down" | sed 's/$/   <- against the direction/'
    bad=1
fi
exit $bad
