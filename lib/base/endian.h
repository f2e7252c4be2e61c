/* SPDX-License-Identifier: MIT */
/**
 * @file endian.h
 * Integers in bytes, little- and big-endian, at any alignment.
 *
 * vm_le32(p) reads, vm_put_le32(p, v) writes.
 */
#ifndef LIBVM_BASE_ENDIAN_H
#define LIBVM_BASE_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "libvm needs a little-endian host"
#endif

static inline uint16_t vm_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vm_put_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline uint32_t vm_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vm_put_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline uint64_t vm_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vm_put_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline uint16_t vm_be16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap16(v);
}

static inline void vm_put_be16(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof v);
}

static inline uint32_t vm_be32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static inline void vm_put_be32(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

static inline uint64_t vm_be64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

static inline void vm_put_be64(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

/** The low @p size (1…8) bytes of memory as a little-endian number. */
static inline uint64_t vm_le_n(const void *p, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, p, size);
    return v;
}

static inline void vm_put_le_n(void *p, unsigned size, uint64_t v)
{
    memcpy(p, &v, size);
}

#endif
