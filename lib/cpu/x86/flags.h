/* SPDX-License-Identifier: MIT */
/**
 * @file flags.h
 * Lazy arithmetic flags.
 *
 * A producer stores two words and its width, a consumer computes the flag it wants, with no
 * dispatch on the kind of operation:
 *   cc_res  the result, sign-extended to 64 bits: ZF, SF and PF
 *   cc_x    carries: bit 63 = CF, bit 62 = carry into the sign bit, so OF = bit 63 ^ bit 62;
 *           bit (67 - width) = AF
 *   cc_w    8, 16, 32, 64; or 0: all six flags are in st.rflags and the words mean nothing
 * The bits of a ^ b ^ (a ± b) are the carries into each position, which gives all of cc_x in one
 * shift (with the carry out of bit 63 put in by hand for 64-bit operations).
 */
#ifndef LIBVM_CPU_X86_FLAGS_H
#define LIBVM_CPU_X86_FLAGS_H

#include "cpu/vcpu.h"

static inline void x86_cc(struct vcpu *c, unsigned width, int64_t res, uint64_t x)
{
    c->cc_res = res;
    c->cc_x = x;
    c->cc_w = width;
}

/** Flags of AND, OR, XOR, TEST: CF = OF = 0; AF, undefined in the manual, is 0 in silicon. */
static inline void x86_cc_logic(struct vcpu *c, unsigned width, int64_t res)
{
    x86_cc(c, width, res, 0);
}

static inline unsigned x86_cf(const struct vcpu *c)
{
    return c->cc_w ? (unsigned)(c->cc_x >> 63) : (unsigned)c->st.rflags & 1;
}
static inline unsigned x86_of(const struct vcpu *c)
{
    return c->cc_w ? (unsigned)((c->cc_x ^ c->cc_x << 1) >> 63) : (unsigned)c->st.rflags >> 11 & 1;
}
static inline unsigned x86_zf(const struct vcpu *c)
{
    return c->cc_w ? c->cc_res == 0 : (unsigned)c->st.rflags >> 6 & 1;
}
static inline unsigned x86_sf(const struct vcpu *c)
{
    return c->cc_w ? c->cc_res < 0 : (unsigned)c->st.rflags >> 7 & 1;
}
static inline unsigned x86_pf(const struct vcpu *c)
{
    return c->cc_w ? !__builtin_parity((uint8_t)c->cc_res) : (unsigned)c->st.rflags >> 2 & 1;
}
static inline unsigned x86_af(const struct vcpu *c)
{
    return c->cc_w ? (unsigned)(c->cc_x >> (67 - c->cc_w)) & 1 : (unsigned)c->st.rflags >> 4 & 1;
}

/** Bring the six flags into st.rflags; returns the whole RFLAGS. */
static inline uint64_t x86_flags(struct vcpu *c)
{
    if (c->cc_w) {
        uint64_t f = x86_cf(c) | x86_pf(c) << 2 | x86_af(c) << 4 | x86_zf(c) << 6 |
                     x86_sf(c) << 7 | (uint64_t)x86_of(c) << 11;
        c->st.rflags = (c->st.rflags & ~(uint64_t)X86_ARITH) | f;
        c->cc_w = 0;
    }
    return c->st.rflags;
}

/** Replace the six flags (other bits of @p f are ignored). */
static inline void x86_set_arith(struct vcpu *c, uint64_t f)
{
    c->st.rflags = (c->st.rflags & ~(uint64_t)X86_ARITH) | (f & X86_ARITH);
    c->cc_w = 0;
}

/** Replace CF and OF, keep the others (rotates). */
static inline void x86_set_cf_of(struct vcpu *c, unsigned cf, unsigned of)
{
    if (c->cc_w)
        c->cc_x = (c->cc_x & ~UINT64_C(0) >> 2) | (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62;
    else
        c->st.rflags = (c->st.rflags & ~(uint64_t)(X86_CF | X86_OF)) | cf | of << 11;
}

/** Condition codes 0-15 as in Jcc [SDM-1 §B]. With a constant @p cc it folds to one test. */
static inline unsigned x86_cond(const struct vcpu *c, unsigned cc)
{
    unsigned v;

    switch (cc >> 1) {
    case 0: v = x86_of(c); break;
    case 1: v = x86_cf(c); break;
    case 2: v = x86_zf(c); break;
    case 3: v = x86_cf(c) | x86_zf(c); break;
    case 4: v = x86_sf(c); break;
    case 5: v = x86_pf(c); break;
    case 6: v = x86_sf(c) ^ x86_of(c); break;
    default: v = (x86_sf(c) ^ x86_of(c)) | x86_zf(c); break;
    }
    return v ^ (cc & 1);
}

#endif
