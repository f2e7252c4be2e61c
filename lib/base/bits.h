/* SPDX-License-Identifier: MIT */
/**
 * @file bits.h
 * Fields of bits, alignment, counting.
 */
#ifndef LIBVM_BASE_BITS_H
#define LIBVM_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VM_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/** The struct that @p member of it lies in. */
#define VM_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline uint64_t vm_bit(unsigned n)
{
    return UINT64_C(1) << n;
}

/** @p n low bits set; @p n in 0…64. */
static inline uint64_t vm_mask(unsigned n)
{
    return n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
}

/** Bits [lo, lo + n) of @p v, moved down. */
static inline uint64_t vm_bits(uint64_t v, unsigned lo, unsigned n)
{
    return (v >> lo) & vm_mask(n);
}

/** @p v with bits [lo, lo + n) replaced. */
static inline uint64_t vm_put_bits(uint64_t v, unsigned lo, unsigned n, uint64_t bits)
{
    uint64_t m = vm_mask(n) << lo;
    return (v & ~m) | ((bits << lo) & m);
}

/** Sign-extend the low @p n bits; @p n in 1…64. */
static inline int64_t vm_sext(uint64_t v, unsigned n)
{
    return (int64_t)(v << (64 - n)) >> (64 - n);
}

static inline bool vm_is_pow2(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

/** Down, resp. up, to a multiple of @p a, a power of two. Up may wrap: check first. */
static inline uint64_t vm_align_down(uint64_t v, uint64_t a)
{
    return v & ~(a - 1);
}

static inline uint64_t vm_align_up(uint64_t v, uint64_t a)
{
    return (v + a - 1) & ~(a - 1);
}

static inline uint64_t vm_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t vm_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/** a * b / c without losing bits in between; @p c != 0. The result must fit. */
static inline uint64_t vm_muldiv(uint64_t a, uint64_t b, uint64_t c)
{
    return (uint64_t)((unsigned __int128)a * b / c);
}

#endif
