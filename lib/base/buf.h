/* SPDX-License-Identifier: MIT */
/**
 * @file buf.h
 * Bytes being written, bytes being read: for state streams.
 *
 * Both remember the first failure and do nothing after it, so that a caller checks once at the
 * end. Integers are little-endian.
 */
#ifndef LIBVM_BASE_BUF_H
#define LIBVM_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm_buf {
    uint8_t *data; /**< free() it, or hand it on */
    size_t len, room;
    bool failed; /**< no memory */
};

void vm__buf_put(struct vm_buf *b, const void *data, size_t len);
void vm__buf_u8(struct vm_buf *b, uint8_t v);
void vm__buf_u32(struct vm_buf *b, uint32_t v);
void vm__buf_u64(struct vm_buf *b, uint64_t v);
/** A text of at most 255 bytes, with its length before it. */
void vm__buf_name(struct vm_buf *b, const char *name);
/** Text, without its NUL. */
void vm__buf_printf(struct vm_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Overwrite a u64 written before. */
void vm__buf_patch_u64(struct vm_buf *b, size_t at, uint64_t v);

struct vm_reader {
    const uint8_t *data;
    size_t len, off;
    bool failed; /**< ran over the end */
};

/** The next @p len bytes in place, or NULL. */
const uint8_t *vm__read_bytes(struct vm_reader *r, size_t len);
uint8_t vm__read_u8(struct vm_reader *r);
uint32_t vm__read_u32(struct vm_reader *r);
uint64_t vm__read_u64(struct vm_reader *r);
/** The next name equals @p name. Consumes it only then. */
bool vm__read_name(struct vm_reader *r, const char *name);
/** A reader of the next @p len bytes, which are consumed. */
struct vm_reader vm__read_part(struct vm_reader *r, uint64_t len);

#endif
