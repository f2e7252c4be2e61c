/* SPDX-License-Identifier: MIT */
/**
 * @file shift.h
 * Meaning of shifts and rotates: result and flags, at a width that is a constant where these are
 * inlined. @p n is the count, already masked to 5 or 6 bits [SDM-2B SAL/SAR/SHL/SHR, RCL/RCR/ROL/
 * ROR]; @p imm: an immediate count and a register operand.
 *
 * Undefined by the manual and found by running the instructions on Intel hardware (Sapphire
 * Rapids): OF of a multi-bit operation is what its first one-bit step would give, except that ROL
 * and ROR of a register by an immediate other than 1 leave OF alone; AF is cleared by shifts and
 * kept by rotates; RCL and RCR by a multiple of width + 1 leave every flag alone.
 */
#ifndef LIBVM_CPU_INTERP_SHIFT_H
#define LIBVM_CPU_INTERP_SHIFT_H

#include "cpu/interp/arith.h"

/* The word that gives CF and OF when AF is 0. */
X86_INLINE uint64_t x86_cc_x_cf_of(uint64_t cf, uint64_t of)
{
    return (2 * cf + (cf ^ of)) << 62;
}

X86_INLINE unsigned x86_bit(uint64_t a, unsigned n)
{
    return (unsigned)(a >> n) & 1;
}

X86_INLINE uint64_t x86_sh_shl(struct vcpu *c, unsigned w, uint64_t a, unsigned n, bool imm)
{
    uint64_t left = a << (64 - w), out, r;

    (void)imm;
    if (n == 0)
        return a;
    out = left << (n - 1);
    r = a << n;
    x86_cc(c, w, x86_sext(r, w), x86_cc_x_cf_of(out >> 63, (left ^ left << 1) >> 63));
    return r;
}

X86_INLINE uint64_t x86_sh_shr(struct vcpu *c, unsigned w, uint64_t a, unsigned n, bool imm)
{
    (void)imm;
    if (n == 0)
        return a;
    uint64_t r = a >> n;
    x86_cc(c, w, x86_sext(r, w), x86_cc_x_cf_of(a >> (n - 1) & 1, a >> (w - 1)));
    return r;
}

X86_INLINE uint64_t x86_sh_sar(struct vcpu *c, unsigned w, uint64_t a, unsigned n, bool imm)
{
    int64_t s = x86_sext(a, w);

    (void)imm;
    if (n == 0)
        return a;
    x86_cc(c, w, s >> n, x86_cc_x_cf_of((uint64_t)(s >> (n - 1)) & 1, 0));
    return (uint64_t)(s >> n);
}

X86_INLINE uint64_t x86_sh_rol(struct vcpu *c, unsigned w, uint64_t a, unsigned n, bool imm)
{
    unsigned k = n & (w - 1), of = x86_bit(a, w - 1) ^ x86_bit(a, w - 2);

    if (n == 0)
        return a;
    uint64_t r = k != 0 ? a << k | a >> (w - k) : a;
    if (imm && n != 1)
        of = x86_of(c);
    x86_set_cf_of(c, (unsigned)r & 1, of);
    return r;
}

X86_INLINE uint64_t x86_sh_ror(struct vcpu *c, unsigned w, uint64_t a, unsigned n, bool imm)
{
    unsigned k = n & (w - 1), of = x86_bit(a, w - 1) ^ ((unsigned)a & 1);

    if (n == 0)
        return a;
    uint64_t r = k != 0 ? a >> k | a << (w - k) : a;
    if (imm && n != 1)
        of = x86_of(c);
    x86_set_cf_of(c, x86_bit(r, w - 1), of);
    return r;
}

X86_INLINE uint64_t x86_sh_rcl(struct vcpu *c, unsigned w, uint64_t a, unsigned n, bool imm)
{
    unsigned of = x86_bit(a, w - 1) ^ x86_bit(a, w - 2), out;
    uint64_t cf = x86_cf(c), r;

    (void)imm;
    if (w < 32)
        n %= w + 1;
    if (n == 0)
        return a;
    if (w < 64) {
        uint64_t v = cf << w | a;
        r = v << n | v >> (w + 1 - n);
        out = x86_bit(r, w);
    } else {
        r = a << n | cf << (n - 1) | (n > 1 ? a >> (65 - n) : 0);
        out = x86_bit(a, 64 - n);
    }
    x86_set_cf_of(c, out, of);
    return r;
}

X86_INLINE uint64_t x86_sh_rcr(struct vcpu *c, unsigned w, uint64_t a, unsigned n, bool imm)
{
    uint64_t cf = x86_cf(c), r;
    unsigned of = x86_bit(a, w - 1) ^ (unsigned)cf, out;

    (void)imm;
    if (w < 32)
        n %= w + 1;
    if (n == 0)
        return a;
    if (w < 64) {
        uint64_t v = cf << w | a;
        r = v >> n | v << (w + 1 - n);
        out = x86_bit(r, w);
    } else {
        r = a >> n | cf << (64 - n) | (n > 1 ? a << (65 - n) : 0);
        out = x86_bit(a, n - 1);
    }
    x86_set_cf_of(c, out, of);
    return r;
}

/* SHLD, SHRD. With 16-bit operands and counts above 16 the manual leaves everything undefined; the
 * hardware shifts the 48 bits dst:src:dst. */
X86_INLINE uint64_t x86_sh_shld(struct vcpu *c, unsigned w, uint64_t a, uint64_t b, unsigned n)
{
    uint64_t cf, r, of = x86_bit(a, w - 1) ^ x86_bit(a, w - 2);

    if (n == 0)
        return a;
    if (w == 64) {
        r = a << n | b >> (64 - n);
        cf = a >> (64 - n) & 1;
    } else {
        uint64_t v = w == 16 ? a << 48 | b << 32 | a << 16 : a << 32 | b;
        r = v << n >> (64 - w);
        cf = v << (n - 1) >> 63;
    }
    x86_cc(c, w, x86_sext(r, w), x86_cc_x_cf_of(cf, of));
    return r;
}

X86_INLINE uint64_t x86_sh_shrd(struct vcpu *c, unsigned w, uint64_t a, uint64_t b, unsigned n)
{
    uint64_t cf, r, of = x86_bit(a, w - 1) ^ (b & 1);

    if (n == 0)
        return a;
    if (w == 64) {
        r = a >> n | b << (64 - n);
        cf = a >> (n - 1) & 1;
    } else {
        uint64_t v = w == 16 ? a << 32 | b << 16 | a : b << 32 | a;
        r = v >> n;
        cf = v >> (n - 1) & 1;
    }
    x86_cc(c, w, x86_sext(r, w), x86_cc_x_cf_of(cf, of));
    return r;
}

#endif
