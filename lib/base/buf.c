/* SPDX-License-Identifier: MIT */
/**
 * @file buf.c
 * Growing buffer and bounded reader.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"

static bool grow(struct vm_buf *b, size_t len)
{
    if (b->failed)
        return false;
    if (len <= b->room - b->len)
        return true;
    size_t room = b->room != 0 ? b->room : 4096;
    while (room - b->len < len) {
        if (room > SIZE_MAX / 2) {
            b->failed = true;
            return false;
        }
        room *= 2;
    }
    uint8_t *data = realloc(b->data, room);
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->room = room;
    return true;
}

void vm__buf_put(struct vm_buf *b, const void *data, size_t len)
{
    if (len != 0 && grow(b, len)) {
        memcpy(b->data + b->len, data, len);
        b->len += len;
    }
}

void vm__buf_u8(struct vm_buf *b, uint8_t v)
{
    vm__buf_put(b, &v, 1);
}

void vm__buf_u32(struct vm_buf *b, uint32_t v)
{
    uint8_t bytes[4];
    vm_put_le32(bytes, v);
    vm__buf_put(b, bytes, sizeof bytes);
}

void vm__buf_u64(struct vm_buf *b, uint64_t v)
{
    uint8_t bytes[8];
    vm_put_le64(bytes, v);
    vm__buf_put(b, bytes, sizeof bytes);
}

void vm__buf_name(struct vm_buf *b, const char *name)
{
    size_t len = strlen(name);
    if (len > 255)
        len = 255;
    vm__buf_u8(b, (uint8_t)len);
    vm__buf_put(b, name, len);
}

void vm__buf_printf(struct vm_buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n <= 0 || !grow(b, (size_t)n + 1)) /* the NUL needs room for a moment */
        return;
    va_start(args, fmt);
    (void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, args);
    va_end(args);
    b->len += (size_t)n;
}

void vm__buf_patch_u64(struct vm_buf *b, size_t at, uint64_t v)
{
    if (!b->failed)
        vm_put_le64(b->data + at, v);
}

const uint8_t *vm__read_bytes(struct vm_reader *r, size_t len)
{
    if (r->failed || len > r->len - r->off) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->data + r->off;
    r->off += len;
    return p;
}

uint8_t vm__read_u8(struct vm_reader *r)
{
    const uint8_t *p = vm__read_bytes(r, 1);
    return p != NULL ? *p : 0;
}

uint32_t vm__read_u32(struct vm_reader *r)
{
    const uint8_t *p = vm__read_bytes(r, 4);
    return p != NULL ? vm_le32(p) : 0;
}

uint64_t vm__read_u64(struct vm_reader *r)
{
    const uint8_t *p = vm__read_bytes(r, 8);
    return p != NULL ? vm_le64(p) : 0;
}

bool vm__read_name(struct vm_reader *r, const char *name)
{
    const size_t len = strlen(name) <= 255 ? strlen(name) : 255;
    if (r->failed || r->len - r->off < 1 + len || r->data[r->off] != len ||
        memcmp(r->data + r->off + 1, name, len) != 0)
        return false;
    r->off += 1 + len;
    return true;
}

struct vm_reader vm__read_part(struct vm_reader *r, uint64_t len)
{
    const size_t n = len <= SIZE_MAX ? (size_t)len : SIZE_MAX;
    const uint8_t *p = vm__read_bytes(r, n);
    return (struct vm_reader) { .data = p, .len = p != NULL ? n : 0, .failed = p == NULL };
}
