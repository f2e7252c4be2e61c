/* SPDX-License-Identifier: MIT */
/**
 * @file rng.h
 * A small deterministic generator for tests: the same seed gives the same run anywhere.
 *
 * xorshift128+ seeded through splitmix64 (both public domain recipes by Sebastiano Vigna).
 */
#ifndef LIBVM_TESTS_RNG_H
#define LIBVM_TESTS_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rng {
    uint64_t a, b;
};

static inline uint64_t rng_mix(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline void rng_seed(struct rng *r, uint64_t seed)
{
    r->a = rng_mix(&seed);
    r->b = rng_mix(&seed) | 1;
}

static inline uint64_t rng_64(struct rng *r)
{
    uint64_t s1 = r->a, s0 = r->b, sum = s0 + s1;
    r->a = s0;
    s1 ^= s1 << 23;
    r->b = s1 ^ s0 ^ s1 >> 18 ^ s0 >> 5;
    return sum;
}

/** A number below @p n (n > 0; the bias of the product is below 2^-32 for the sizes used here). */
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
    return (uint32_t)((rng_64(r) >> 32) * n >> 32);
}

/** True once in @p n times. */
static inline bool rng_once_in(struct rng *r, uint32_t n)
{
    return rng_below(r, n) == 0;
}

static inline void rng_fill(struct rng *r, void *buf, size_t len)
{
    uint8_t *p = buf;
    while (len > 0) {
        uint64_t v = rng_64(r);
        size_t n = len < 8 ? len : 8;
        memcpy(p, &v, n);
        p += n;
        len -= n;
    }
}

#endif
