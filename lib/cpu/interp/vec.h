/* SPDX-License-Identifier: MIT */
/**
 * @file vec.h
 * Vocabulary of the vector instructions.
 *
 * An operation is written once, as a function of 128-bit values; macros make of it the legacy form
 * (the upper part of the register is kept), VEX.128 (it is cleared) and VEX.256 (the operation on
 * both lanes). Everything here is 128 bits wide on purpose: AVX and AVX2 then need nothing of the
 * host but SSE4.1, upper halves are never dirty, and a 32-byte load never waits for two 16-byte
 * stores. What crosses lanes is written out in avx*.c.
 *
 * A handler must not let the address of a local variable escape (it would stop the compiler from
 * turning the dispatch into a jump): what a called function has to fill lies in c->bounce.
 *
 * Handlers of rows with both register and memory forms are called NAME_rr and NAME_rm (see
 * insn/README.md); "_g" are the forms for any addressing, beside flat 64-bit ones.
 */
#ifndef LIBVM_CPU_INTERP_VEC_H
#define LIBVM_CPU_INTERP_VEC_H

#include "cpu/interp/fp.h"
#include "cpu/interp/interp.h"
#include "cpu/interp/simd_host.h"

/* ---- registers ---- */

static inline x86_v *x86_vp(struct vcpu *c, unsigned n)
{
    return (x86_v *)(void *)c->st.vec[n];
}
/** Bits 127:0, and 255:128. */
static inline x86_v x86_vlo(struct vcpu *c, unsigned n)
{
    return _mm_load_si128(x86_vp(c, n));
}
static inline x86_v x86_vhi(struct vcpu *c, unsigned n)
{
    return _mm_load_si128(x86_vp(c, n) + 1);
}
/** Result of a legacy instruction. */
static inline void x86_vset(struct vcpu *c, unsigned n, x86_v v)
{
    _mm_store_si128(x86_vp(c, n), v);
}
/** Result of VEX.256. Bits 511:256, which it clears, stay clear as long as no EVEX instruction
 * exists to write them. */
static inline void x86_vset256(struct vcpu *c, unsigned n, x86_v lo, x86_v hi)
{
    _mm_store_si128(x86_vp(c, n), lo);
    _mm_store_si128(x86_vp(c, n) + 1, hi);
}
/** Result of VEX.128: the rest is cleared. */
static inline void x86_vset128(struct vcpu *c, unsigned n, x86_v v)
{
    x86_vset256(c, n, v, _mm_setzero_si128());
}
static inline unsigned x86_imm8(const struct x86_insn *i)
{
    return (uint8_t)i->imm;
}

/* ---- memory: a host pointer to the bytes, in guest memory or in c->bounce; may fault ---- */

/** 16 bytes that must be aligned: the memory operand of most legacy instructions. */
const x86_v *vm__x86_src16a(struct vcpu *c, const struct x86_insn *i);
const x86_v *vm__x86_src16(struct vcpu *c, const struct x86_insn *i);
const x86_v *vm__x86_src32(struct vcpu *c, const struct x86_insn *i);
uint64_t vm__x86_src_u64(struct vcpu *c, const struct x86_insn *i);
uint32_t vm__x86_src_u32(struct vcpu *c, const struct x86_insn *i);

/** Read at such a pointer; other processors may be writing there. */
X86_NO_TSAN static inline x86_v x86_vload(const x86_v *p)
{
    return _mm_loadu_si128(p);
}
static inline x86_v x86_src_q(struct vcpu *c, const struct x86_insn *i)
{
    return _mm_cvtsi64_si128((long long)vm__x86_src_u64(c, i));
}
static inline x86_v x86_src_d(struct vcpu *c, const struct x86_insn *i)
{
    return _mm_cvtsi32_si128((int)vm__x86_src_u32(c, i));
}

/* ---- one operation, every form ---- */

/** Define op_NAME(a, b). */
#define VEC_OP2(name, expr)                                                                        \
    static inline x86_v op_##name(x86_v a, x86_v b)                                                \
    {                                                                                              \
        return (expr);                                                                             \
    }
#define VEC_OP1(name, expr)                                                                        \
    static inline x86_v op_##name(x86_v a)                                                         \
    {                                                                                              \
        return (expr);                                                                             \
    }

/**
 * Flat memory form of a legacy instruction: a soft TLB hit with an aligned operand at @p p, or the
 * general form, which sees to everything else.
 */
#define VEC_FLAT16(name)                                                                           \
    uint64_t lin = x86_lin_flat(c, i);                                                             \
    const struct x86_tlbe *e = x86_tlb_at(c, lin);                                                 \
    uint64_t off = lin ^ e->rtag;                                                                  \
    if (x86_unlikely((off & ~(uint64_t)(VM_PAGE_SIZE - 16)) != 0))                                 \
        return vm__h_##name##_rm_g(c, i);                                                          \
    const x86_v *p = (const x86_v *)(const void *)(e->host + off)

/** dst = op(dst, src) */
#define VEC_BIN_LEGACY(name)                                                                       \
    X86_H(name##_rr)                                                                               \
    {                                                                                              \
        x86_vset(c, i->dst, op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src)));                    \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##_rm_g)                                                                             \
    {                                                                                              \
        const x86_v *p = vm__x86_src16a(c, i);                                                     \
        x86_vset(c, i->dst, op_##name(x86_vlo(c, i->dst), x86_vload(p)));                          \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##_rm)                                                                               \
    {                                                                                              \
        VEC_FLAT16(name);                                                                          \
        x86_vset(c, i->dst, op_##name(x86_vlo(c, i->dst), x86_vload(p)));                          \
        X86_NEXT(c, i);                                                                            \
    }
/** The same without a rule of alignment, for VEX; @p general is the other form. */
#define VEC_FLAT(general, size)                                                                    \
    uint64_t lin = x86_lin_flat(c, i);                                                             \
    const struct x86_tlbe *e = x86_tlb_at(c, lin);                                                 \
    uint64_t off = lin ^ e->rtag;                                                                  \
    if (x86_unlikely(off > VM_PAGE_SIZE - (size)))                                                 \
        return vm__h_##general(c, i);                                                              \
    const x86_v *p = (const x86_v *)(const void *)(e->host + off)

/** dst = op(src, src2) */
#define VEC_BIN_128(name)                                                                          \
    X86_H(v##name##128_rrr)                                                                        \
    {                                                                                              \
        x86_vset128(c, i->dst, op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2)));                \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rrm_g)                                                                      \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_vset128(c, i->dst, op_##name(x86_vlo(c, i->src), x86_vload(p)));                       \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rrm)                                                                        \
    {                                                                                              \
        VEC_FLAT(v##name##128_rrm_g, 16);                                                          \
        x86_vset128(c, i->dst, op_##name(x86_vlo(c, i->src), x86_vload(p)));                       \
        X86_NEXT(c, i);                                                                            \
    }
#define VEC_BIN_256(name)                                                                          \
    X86_H(v##name##256_rrr)                                                                        \
    {                                                                                              \
        x86_v lo = op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2));                             \
        x86_v hi = op_##name(x86_vhi(c, i->src), x86_vhi(c, i->src2));                             \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rrm_g)                                                                      \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        x86_v lo = op_##name(x86_vlo(c, i->src), x86_vload(p));                                    \
        x86_v hi = op_##name(x86_vhi(c, i->src), x86_vload(p + 1));                                \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rrm)                                                                        \
    {                                                                                              \
        VEC_FLAT(v##name##256_rrm_g, 32);                                                          \
        x86_v lo = op_##name(x86_vlo(c, i->src), x86_vload(p));                                    \
        x86_v hi = op_##name(x86_vhi(c, i->src), x86_vload(p + 1));                                \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }
#define VEC_BIN_VEX(name)                                                                          \
    VEC_BIN_128(name)                                                                              \
    VEC_BIN_256(name)
#define VEC_BIN_FORMS(name)                                                                        \
    VEC_BIN_LEGACY(name)                                                                           \
    VEC_BIN_VEX(name)
#define VEC_BIN(name, expr)                                                                        \
    VEC_OP2(name, expr)                                                                            \
    VEC_BIN_FORMS(name)

/** dst = op(src) */
#define VEC_UN_LEGACY(name)                                                                        \
    X86_H(name##_rr)                                                                               \
    {                                                                                              \
        x86_vset(c, i->dst, op_##name(x86_vlo(c, i->src)));                                        \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##_rm)                                                                               \
    {                                                                                              \
        const x86_v *p = vm__x86_src16a(c, i);                                                     \
        x86_vset(c, i->dst, op_##name(x86_vload(p)));                                              \
        X86_NEXT(c, i);                                                                            \
    }
#define VEC_UN_128(name)                                                                           \
    X86_H(v##name##128_rr)                                                                         \
    {                                                                                              \
        x86_vset128(c, i->dst, op_##name(x86_vlo(c, i->src)));                                     \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rm)                                                                         \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_vset128(c, i->dst, op_##name(x86_vload(p)));                                           \
        X86_NEXT(c, i);                                                                            \
    }
#define VEC_UN_256(name)                                                                           \
    X86_H(v##name##256_rr)                                                                         \
    {                                                                                              \
        x86_v lo = op_##name(x86_vlo(c, i->src)), hi = op_##name(x86_vhi(c, i->src));              \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rm)                                                                         \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        x86_v lo = op_##name(x86_vload(p)), hi = op_##name(x86_vload(p + 1));                      \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }
#define VEC_UN_FORMS(name)                                                                         \
    VEC_UN_LEGACY(name)                                                                            \
    VEC_UN_128(name)                                                                               \
    VEC_UN_256(name)
#define VEC_UN(name, expr)                                                                         \
    VEC_OP1(name, expr)                                                                            \
    VEC_UN_FORMS(name)

/** dst = op(dst, src, imm8); op_NAME(a, b, n) is defined by hand. */
#define VEC_BINI_LEGACY(name)                                                                      \
    X86_H(name##_rri)                                                                              \
    {                                                                                              \
        x86_vset(c, i->dst, op_##name(x86_vlo(c, i->dst), x86_vlo(c, i->src), x86_imm8(i)));       \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##_rmi)                                                                              \
    {                                                                                              \
        const x86_v *p = vm__x86_src16a(c, i);                                                     \
        x86_vset(c, i->dst, op_##name(x86_vlo(c, i->dst), x86_vload(p), x86_imm8(i)));             \
        X86_NEXT(c, i);                                                                            \
    }
#define VEC_BINI_128(name)                                                                         \
    X86_H(v##name##128_rrri)                                                                       \
    {                                                                                              \
        x86_vset128(c, i->dst, op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2), x86_imm8(i)));   \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rrmi)                                                                       \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_vset128(c, i->dst, op_##name(x86_vlo(c, i->src), x86_vload(p), x86_imm8(i)));          \
        X86_NEXT(c, i);                                                                            \
    }
/** @p shift: immediate bits used up by the low lane; the high lane sees imm8 >> shift. */
#define VEC_BINI_256(name, shift)                                                                  \
    X86_H(v##name##256_rrri)                                                                       \
    {                                                                                              \
        unsigned n = x86_imm8(i);                                                                  \
        x86_v lo = op_##name(x86_vlo(c, i->src), x86_vlo(c, i->src2), n);                          \
        x86_v hi = op_##name(x86_vhi(c, i->src), x86_vhi(c, i->src2), n >> (shift));               \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rrmi)                                                                       \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        unsigned n = x86_imm8(i);                                                                  \
        x86_v lo = op_##name(x86_vlo(c, i->src), x86_vload(p), n);                                 \
        x86_v hi = op_##name(x86_vhi(c, i->src), x86_vload(p + 1), n >> (shift));                  \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }
#define VEC_BINI_FORMS(name, shift)                                                                \
    VEC_BINI_LEGACY(name)                                                                          \
    VEC_BINI_128(name)                                                                             \
    VEC_BINI_256(name, shift)

/** dst = op(src, imm8); op_NAME(a, n) */
#define VEC_UNI_LEGACY(name)                                                                       \
    X86_H(name##_rri)                                                                              \
    {                                                                                              \
        x86_vset(c, i->dst, op_##name(x86_vlo(c, i->src), x86_imm8(i)));                           \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##_rmi)                                                                              \
    {                                                                                              \
        const x86_v *p = vm__x86_src16a(c, i);                                                     \
        x86_vset(c, i->dst, op_##name(x86_vload(p), x86_imm8(i)));                                 \
        X86_NEXT(c, i);                                                                            \
    }
#define VEC_UNI_128(name)                                                                          \
    X86_H(v##name##128_rri)                                                                        \
    {                                                                                              \
        x86_vset128(c, i->dst, op_##name(x86_vlo(c, i->src), x86_imm8(i)));                        \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##128_rmi)                                                                        \
    {                                                                                              \
        const x86_v *p = vm__x86_src16(c, i);                                                      \
        x86_vset128(c, i->dst, op_##name(x86_vload(p), x86_imm8(i)));                              \
        X86_NEXT(c, i);                                                                            \
    }
#define VEC_UNI_256(name, shift)                                                                   \
    X86_H(v##name##256_rri)                                                                        \
    {                                                                                              \
        unsigned n = x86_imm8(i);                                                                  \
        x86_v lo = op_##name(x86_vlo(c, i->src), n),                                               \
              hi = op_##name(x86_vhi(c, i->src), n >> (shift));                                    \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(v##name##256_rmi)                                                                        \
    {                                                                                              \
        const x86_v *p = vm__x86_src32(c, i);                                                      \
        unsigned n = x86_imm8(i);                                                                  \
        x86_v lo = op_##name(x86_vload(p), n);                                                     \
        x86_v hi = op_##name(x86_vload(p + 1), n >> (shift));                                      \
        x86_vset256(c, i->dst, lo, hi);                                                            \
        X86_NEXT(c, i);                                                                            \
    }
#define VEC_UNI_FORMS(name, shift)                                                                 \
    VEC_UNI_LEGACY(name)                                                                           \
    VEC_UNI_128(name)                                                                              \
    VEC_UNI_256(name, shift)

#endif
