# A compiler in less time: cc_quick.sh COMPILER WORD... runs it with -O2 for -O3 (quick_cc in
# e2e/lib_e2e.sh says when).
for word; do
    shift
    [ "$word" != -O3 ] || word=-O2
    set -- "$@" "$word"
done
exec "$@"
