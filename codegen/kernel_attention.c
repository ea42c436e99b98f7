#include "codegen/kernel_c.h"
void attention_c(StrBuf *s, const Kernel *k)
{
    (void)s;
    BUG("%s: attention", k->name);
}
