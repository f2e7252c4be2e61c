/* SPDX-License-Identifier: MIT */
/**
 * @file sg.h
 * The memory of a request: pieces that together are one run of bytes.
 */
#ifndef LIBVM_BASE_SG_H
#define LIBVM_BASE_SG_H

#include <stdbool.h>
#include <stddef.h>

/** A piece of memory; laid out as POSIX's struct iovec. */
struct vm_iov {
    void *base;
    size_t len;
};

/** Where the bytes of a request lie, from @p skip on. A value: pass it on, slice it, copy it. */
struct vm_sg {
    const struct vm_iov *iov;
    size_t skip; /**< bytes of iov[0] and following to leave out */
};

/** The same memory from @p n bytes further on; at most to its end. */
static inline struct vm_sg vm_sg_at(struct vm_sg sg, size_t n)
{
    /* Looks at the next piece only when there are bytes to leave out of it: there may be none. */
    while (n >= sg.iov->len - sg.skip && n != 0) {
        n -= sg.iov->len - sg.skip;
        sg.skip = 0;
        sg.iov++;
    }
    sg.skip += n;
    return sg;
}
/** Bytes that lie in one piece at the start. */
static inline size_t vm_sg_run(struct vm_sg sg)
{
    return sg.iov->len - sg.skip;
}
static inline void *vm_sg_ptr(struct vm_sg sg)
{
    return (char *)sg.iov->base + sg.skip;
}
void vm_sg_get(struct vm_sg sg, void *to, size_t len);         /**< copy out of the request */
void vm_sg_put(struct vm_sg sg, const void *from, size_t len); /**< copy into it */
void vm_sg_zero(struct vm_sg sg, size_t len);
bool vm_sg_is_zero(struct vm_sg sg, size_t len);
/** All @p len bytes at @p p are zero. Fast. */
bool vm_is_zero(const void *p, size_t len);

#endif
