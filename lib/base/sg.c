/* SPDX-License-Identifier: MIT */
/**
 * @file sg.c
 * Copying from and to the memory of a request.
 */
#include "base/sg.h"

#include <string.h>

/* What is left of the piece at hand, at most @p len; pieces without bytes are passed over. */
static size_t run(struct vm_sg *sg, size_t len)
{
    while (vm_sg_run(*sg) == 0) {
        sg->iov++;
        sg->skip = 0;
    }
    const size_t n = vm_sg_run(*sg);
    return n < len ? n : len;
}

void vm_sg_get(struct vm_sg sg, void *to, size_t len)
{
    for (size_t n; len != 0; len -= n, to = (char *)to + n, sg.skip += n) {
        n = run(&sg, len);
        memcpy(to, vm_sg_ptr(sg), n);
    }
}

void vm_sg_put(struct vm_sg sg, const void *from, size_t len)
{
    for (size_t n; len != 0; len -= n, from = (const char *)from + n, sg.skip += n) {
        n = run(&sg, len);
        memcpy(vm_sg_ptr(sg), from, n);
    }
}

void vm_sg_zero(struct vm_sg sg, size_t len)
{
    for (size_t n; len != 0; len -= n, sg.skip += n) {
        n = run(&sg, len);
        memset(vm_sg_ptr(sg), 0, n);
    }
}

bool vm_sg_is_zero(struct vm_sg sg, size_t len)
{
    for (size_t n; len != 0; len -= n, sg.skip += n) {
        n = run(&sg, len);
        if (!vm_is_zero(vm_sg_ptr(sg), n))
            return false;
    }
    return true;
}
