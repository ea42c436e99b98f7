#!/bin/sh
# Plain rules about every text file: text.sh [ROOT]
# No path of one machine, no tab, no trailing space, a newline at the end, no note to finish it later.
set -u
cd "${1:-.}" || exit 1
bad=0
files=$(find . -type f \( -name '*.c' -o -name '*.h' -o -name '*.def' -o -name '*.l' -o -name '*.y' \
    -o -name '*.bm' -o -name '*.sh' -o -name '*.md' -o -name '*.txt' -o -name '*.cmake' -o -name '*.py' \
    -o -name '*.inc' -o -name '*.json' \) ! -path './build/*' ! -path './build-*' ! -path './.git/*' \
    ! -path './run/*' ! -path './tests/lang/*' | sort)
report() { # report WHAT: lines on stdin, if any, are mistakes
    found=$(head -n 20)
    if [ -n "$found" ]; then
        printf '%s: %s\n' "$1" "$found"
        bad=1
    fi
}
# shellcheck disable=SC2086
{
    report "a path of one machine" <<END
$(grep -nHE '/(work|farm|root|home)/[a-z]' $files)
END
    report "trailing space" <<END
$(grep -nHE '[[:space:]]+$' $files)
END
    report "a tab" <<END
$(grep -nHF "$(printf '\t')" $files)
END
    report "unfinished" <<END
$(grep -nHwE "TO""DO|FIX""ME|X""XX" $files)
END
    report "no newline at the end" <<END
$(for f in $files; do
        [ -z "$(tail -c 1 "$f")" ] || echo "$f"
    done)
END
}
exit $bad
