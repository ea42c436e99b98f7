/* The products of the double build. */
#include "tests/unit/test_rt_gemm.c"
