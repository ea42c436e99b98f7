#!/bin/sh
# Builds bmc and runs its tests.
#   sh tests/run.sh quick    one release build, the tests that take seconds
#   sh tests/run.sh          debug with sanitizers, release, fuzzing, lint: what every commit passes
#   sh tests/run.sh full     also the slow tests, four times the fuzzing, a thousand valid plans,
#                            thread sanitizer, CBLAS
# On Debian as root it installs what is missing; elsewhere it lists the packages and stops.
# Everything it makes is under build/.
set -eu
cd "$(dirname "$0")/.."
mode=${1:-default}
case "$mode" in
quick | default | full) ;;
*)
    echo "usage: sh tests/run.sh [quick|full]" >&2
    exit 2
    ;;
esac
jobs=$(nproc 2>/dev/null || echo 2)
start=$(date +%s)
mkdir -p build
export XDG_CACHE_HOME="$PWD/build/cache" # of compiled trainers
[ "$mode" != full ] || export BM_O3=1    # as users get them, everywhere

say() {
    printf '[%4d s] %s\n' $(($(date +%s) - start)) "$*"
}

# ---- what is needed: a command or a header, and the Debian package that has it

want=""
need_command() {
    command -v "$1" >/dev/null 2>&1 || want="$want $2"
}
need_header() {
    for cc in cc gcc clang; do
        if command -v $cc >/dev/null 2>&1; then
            echo "#include <$1>" | $cc -E - >/dev/null 2>&1 && return 0
            break
        fi
    done
    want="$want $2"
}
needs() {
    need_command gcc gcc
    need_command cmake cmake
    need_command ninja ninja-build
    need_command flex flex
    need_command bison bison
    need_header stdlib.h libc6-dev
    need_header jansson.h libjansson-dev
    need_header cmocka.h libcmocka-dev
    need_header dnnl.h libdnnl-dev
    need_command mpicc libopenmpi-dev
    need_command mpirun openmpi-bin
    if [ "$mode" != quick ]; then
        need_command clang clang
        need_command clang-format-14 clang-format-14
        ls /usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-* >/dev/null 2>&1 ||
            [ ! -e /etc/debian_version ] || want="$want libclang-rt-14-dev"
    fi
    if [ "$mode" = full ]; then
        need_header cblas.h libopenblas-dev
    fi
}
needs
if [ -n "$want" ]; then
    if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null 2>&1; then
        say "installing$want"
        export DEBIAN_FRONTEND=noninteractive
        # shellcheck disable=SC2086
        { apt-get update -qq && apt-get install -qq -y --no-install-recommends $want; } \
            >build/apt.log 2>&1 </dev/null || {
            tail -n 20 build/apt.log
            exit 4
        }
    else
        echo "Not installed. The Debian packages are:" >&2
        echo "   $want" >&2
        exit 4
    fi
fi

# ---- steps; each keeps a log and shows it only when it fails

failed=""
build() { # build NAME cmake-option...
    name=$1
    shift
    say "build $name"
    if cmake -S . -B "build/$name" -G Ninja -DBM_WERROR=ON "$@" >"build/$name.log" 2>&1 </dev/null &&
        ninja -C "build/$name" -j "$jobs" -k 0 >>"build/$name.log" 2>&1 </dev/null; then
        return 0
    fi
    grep -E -A 12 'FAILED|rror:|not installed|Not installed' "build/$name.log" | head -n 60 ||
        tail -n 30 "build/$name.log"
    failed="$failed build-$name"
    return 1
}
check() { # check NAME ctest-option...
    name=$1
    shift
    say "test $name"
    if ctest --test-dir "build/$name" -j "$jobs" --output-on-failure --no-tests=error "$@" \
        >"build/$name.test.log" 2>&1 </dev/null; then
        sed -n '/tests passed/,$p' "build/$name.test.log"
    else
        grep -vE ' (Passed|Start) |^ *Start ' "build/$name.test.log" | head -n 400
        failed="$failed test-$name"
    fi
}

if [ "$mode" = quick ]; then
    build release -DCMAKE_BUILD_TYPE=Release && check release -L 'unit|lang|plan|emit|lint' -LE slow
else
    # What takes half a minute of both cores and is seen elsewhere: run_mpi once, sanitized; sanitized
    # trainers by the oracle's and e2e's; delays, poison and watched tensors by unit tests.
    sanitized_later='^run_same_bits$'
    later='^run_(mpi|adversary|inspect_ranks)$'
    slow='slow'
    if [ "$mode" = full ]; then
        sanitized_later='^$'
        later='^$'
        slow='none'
    fi
    build debug -DCMAKE_BUILD_TYPE=Debug &&
        check debug -LE 'slow|lint|random' -E "$sanitized_later"
    [ "$mode" != full ] || export GRID=1000 # plans that must not be refused
    build release -DCMAKE_BUILD_TYPE=Release && check release -LE "$slow" -E "$later"
    if command -v clang >/dev/null 2>&1; then
        [ "$mode" = full ] && export FUZZ_SCALE=4
        build fuzz -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=clang -DBM_FUZZ=ON -DBM_TESTS=OFF &&
            check fuzz -V
        [ ! -e build/fuzz.test.log ] || sed -nE "s/^[0-9]+: (fuzz_[a-z_0-9]+: [0-9]+ inputs)/\1/p" build/fuzz.test.log
    fi
    if [ "$mode" = full ]; then
        build tsan -DCMAKE_BUILD_TYPE=Tsan && check tsan -R 'test_rt_' -LE slow
        build cblas -DCMAKE_BUILD_TYPE=Release -DBM_GEMM=cblas && check cblas -L 'unit|grad|run'
    fi
fi

if [ -n "$failed" ]; then
    say "FAILED:$failed"
    exit 1
fi
say "all passed ($mode)"
