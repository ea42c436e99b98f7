# Each lint finds a planted mistake: a check that cannot fail checks nothing.
set -u
lint=$SOURCE/tests/lint
mkdir -p t/frontend/base t/frontend/driver t/planner/verify t/codegen t/runtime t/tests
cp "$SOURCE/.clang-format" t/
bad=0
must_fail() { # must_fail LINT WHAT
    if sh "$lint/$1.sh" "$PWD/t" >out 2>&1; then
        echo "$1 did not see: $2"
        bad=1
    fi
}
must_pass() {
    if ! sh "$lint/$1.sh" "$PWD/t" >out 2>&1 && [ "$1" != format ]; then
        echo "$1 fails on a clean tree:"
        cat out
        bad=1
    fi
}
for l in layering text sizes headers; do must_pass $l; done

plant() { # plant FILE TEXT LINT WHAT
    printf "$2" >"t/$1"
    must_fail "$3" "$4"
    rm "t/$1"
}
plant frontend/base/a.c '#include "frontend/graph/graph.h"\n' layering "base -> graph"
plant frontend/lower.c '#include "planner/plan.h"\n' layering "frontend -> planner"
plant frontend/driver/a.c '#include "codegen/emit.h"\n' layering "driver helper -> codegen"
plant planner/a.c '#include "codegen/emit.h"\n' layering "planner -> codegen"
plant planner/a.c '#include "frontend/ast.h"\n' layering "planner -> private frontend"
plant planner/verify/a.c '#include "planner/cost.h"\n' layering "verify -> planner"
plant codegen/a.c '#include "frontend/lower.h"\n' layering "codegen -> private frontend"
plant runtime/a.c '#include "frontend/base/base.h"\n' layering "runtime -> compiler"
plant runtime/a.c 'int a; \n' text "trailing space"
plant runtime/a.c '\tint a;\n' text "tab"
plant runtime/a.c 'int a;' text "no last newline"
plant runtime/a.c '/* T''ODO */\n' text "unfinished"
plant runtime/a.c '/* /ho''me/me */\n' text "machine path"
plant runtime/a.h 'size_t a(void);\n' headers "header without its include"
awk 'BEGIN { for (i = 0; i < 901; i++) print "int a" i ";" }' >t/runtime/long.c
must_fail sizes "901 lines"
rm t/runtime/long.c
awk 'BEGIN { print "void f(void)\n{"; for (i = 0; i < 151; i++) print "    g();"; print "}" }' >t/runtime/f.c
must_fail sizes "a function of 151 lines"
rm t/runtime/f.c
# Without clang-format 14 the layout is not checked, and says so by 77.
printf 'int a;\n' >t/runtime/a.c
sh "$lint/format.sh" "$PWD/t" >out 2>&1
case $? in
0) plant runtime/a.c 'int a( void ) ;\n' format "layout" ;;
77) ;;
*)
    echo "format fails on a clean tree"
    cat out
    bad=1
    ;;
esac
exit $bad
