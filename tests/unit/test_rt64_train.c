/* The trainer in double: the same two models, the same checks. */
#include "tests/unit/test_rt_train.c"
