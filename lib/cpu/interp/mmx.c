/* SPDX-License-Identifier: MIT */
/**
 * @file mmx.c
 * MMX with its SSE and SSSE3 additions, and conversions between MMX and XMM registers.
 *
 * Spec: [SDM-1 §9], [SDM-2]. MMn is the significand of physical x87 register Rn; every MMX
 * instruction sets TOP to 0 and marks all registers valid, and a write sets the exponent to ones.
 * The operations are the host's 128-bit ones on a low half.
 */
#include "cpu/interp/fp_x86.h"
#include "cpu/interp/vec.h"
#include "cpu/interp/x87.h"

enum { FSW_ES = 0x80 };

/** Start of every MMX instruction: registers in memory, a pending x87 fault first. */
static inline void begin(struct vcpu *c, const struct x86_insn *i)
{
    x87_leave(c);
    if (x86_unlikely(c->st.fsw & FSW_ES))
        vm__x87_check_pending(c, i);
}

static inline uint64_t mm(const struct vcpu *c, unsigned n)
{
    uint64_t v;
    memcpy(&v, c->st.x87[n], 8);
    return v;
}

static inline void set_mm(struct vcpu *c, unsigned n, uint64_t v)
{
    memcpy(c->st.x87[n], &v, 8);
    c->st.x87[n][8] = c->st.x87[n][9] = 0xff;
    x87_mmx_state(c);
}

static inline uint64_t source(struct vcpu *c, const struct x86_insn *i)
{
    if (i->flags & X86_I_MEM)
        return x86_ld64(c, i, x86_lin(c, i, 8, X86_ACCESS_R));
    return mm(c, i->src);
}
/* Operand 0 is ModRM.rm for the shifts by an immediate; elsewhere operand 1 is. */
static inline x86_v vec(uint64_t v)
{
    return _mm_cvtsi64_si128((long long)v);
}
static inline uint64_t low(x86_v v)
{
    return (uint64_t)_mm_cvtsi128_si64(v);
}

#define BIN(name, expr)                                                                            \
    X86_H(mmx_##name)                                                                              \
    {                                                                                              \
        begin(c, i);                                                                               \
        x86_v b = vec(source(c, i)), a = vec(mm(c, i->dst));                                       \
        set_mm(c, i->dst, low(expr));                                                              \
        X86_NEXT(c, i);                                                                            \
    }

/* Interleaving the low halves takes a 32-bit memory operand. */
static inline uint64_t source32(struct vcpu *c, const struct x86_insn *i)
{
    if (i->flags & X86_I_MEM)
        return x86_ld32(c, i, x86_lin(c, i, 4, X86_ACCESS_R));
    return mm(c, i->src);
}
#define BIN_LOW(name, expr)                                                                        \
    X86_H(mmx_##name)                                                                              \
    {                                                                                              \
        begin(c, i);                                                                               \
        x86_v b = vec(source32(c, i)), a = vec(mm(c, i->dst));                                     \
        set_mm(c, i->dst, low(expr));                                                              \
        X86_NEXT(c, i);                                                                            \
    }
BIN_LOW(punpcklbw, _mm_unpacklo_epi8(a, b))
BIN_LOW(punpcklwd, _mm_unpacklo_epi16(a, b))
BIN_LOW(punpckldq, _mm_unpacklo_epi32(a, b))
/* High halves: what the full-width low interleave leaves in bits 127:64. */
BIN(punpckhbw, _mm_srli_si128(_mm_unpacklo_epi8(a, b), 8))
BIN(punpckhwd, _mm_srli_si128(_mm_unpacklo_epi16(a, b), 8))
BIN(punpckhdq, _mm_srli_si128(_mm_unpacklo_epi32(a, b), 8))
/* Packing works on one register made of both operands. */
BIN(packsswb, _mm_packs_epi16(_mm_unpacklo_epi64(a, b), a))
BIN(packuswb, _mm_packus_epi16(_mm_unpacklo_epi64(a, b), a))
BIN(packssdw, _mm_packs_epi32(_mm_unpacklo_epi64(a, b), a))
BIN(pcmpgtb, _mm_cmpgt_epi8(a, b))
BIN(pcmpgtw, _mm_cmpgt_epi16(a, b))
BIN(pcmpgtd, _mm_cmpgt_epi32(a, b))
BIN(pcmpeqb, _mm_cmpeq_epi8(a, b))
BIN(pcmpeqw, _mm_cmpeq_epi16(a, b))
BIN(pcmpeqd, _mm_cmpeq_epi32(a, b))
BIN(psrlw, _mm_srl_epi16(a, b))
BIN(psrld, _mm_srl_epi32(a, b))
BIN(psrlq, _mm_srl_epi64(a, b))
BIN(psraw, _mm_sra_epi16(a, b))
BIN(psrad, _mm_sra_epi32(a, b))
BIN(psllw, _mm_sll_epi16(a, b))
BIN(pslld, _mm_sll_epi32(a, b))
BIN(psllq, _mm_sll_epi64(a, b))
BIN(pmullw, _mm_mullo_epi16(a, b))
BIN(pmulhw, _mm_mulhi_epi16(a, b))
BIN(pmulhuw, _mm_mulhi_epu16(a, b))
BIN(pmuludq, _mm_mul_epu32(a, b))
BIN(pmaddwd, _mm_madd_epi16(a, b))
BIN(paddb, _mm_add_epi8(a, b))
BIN(paddw, _mm_add_epi16(a, b))
BIN(paddd, _mm_add_epi32(a, b))
BIN(paddq, _mm_add_epi64(a, b))
BIN(paddsb, _mm_adds_epi8(a, b))
BIN(paddsw, _mm_adds_epi16(a, b))
BIN(paddusb, _mm_adds_epu8(a, b))
BIN(paddusw, _mm_adds_epu16(a, b))
BIN(psubb, _mm_sub_epi8(a, b))
BIN(psubw, _mm_sub_epi16(a, b))
BIN(psubd, _mm_sub_epi32(a, b))
BIN(psubq, _mm_sub_epi64(a, b))
BIN(psubsb, _mm_subs_epi8(a, b))
BIN(psubsw, _mm_subs_epi16(a, b))
BIN(psubusb, _mm_subs_epu8(a, b))
BIN(psubusw, _mm_subs_epu16(a, b))
BIN(pand, _mm_and_si128(a, b))
BIN(pandn, _mm_andnot_si128(a, b))
BIN(por, _mm_or_si128(a, b))
BIN(pxor, _mm_xor_si128(a, b))
BIN(pminub, _mm_min_epu8(a, b))
BIN(pmaxub, _mm_max_epu8(a, b))
BIN(pminsw, _mm_min_epi16(a, b))
BIN(pmaxsw, _mm_max_epi16(a, b))
BIN(pavgb, _mm_avg_epu8(a, b))
BIN(pavgw, _mm_avg_epu16(a, b))
BIN(psadbw, _mm_sad_epu8(a, b))

/* Shifts by an immediate: operand 0 is ModRM.rm. */
#define SHIFT_I(name, fn)                                                                          \
    X86_H(mmx_##name##_i)                                                                          \
    {                                                                                              \
        begin(c, i);                                                                               \
        set_mm(c, i->dst, low(fn(vec(mm(c, i->dst)), vec(x86_imm8(i)))));                          \
        X86_NEXT(c, i);                                                                            \
    }
SHIFT_I(psrlw, _mm_srl_epi16)
SHIFT_I(psrld, _mm_srl_epi32)
SHIFT_I(psrlq, _mm_srl_epi64)
SHIFT_I(psraw, _mm_sra_epi16)
SHIFT_I(psrad, _mm_sra_epi32)
SHIFT_I(psllw, _mm_sll_epi16)
SHIFT_I(pslld, _mm_sll_epi32)
SHIFT_I(psllq, _mm_sll_epi64)

/* ---- SSSE3 on 64 bits, written out: rarely used, and needing nothing of the host ---- */

static inline int16_t word(uint64_t v, unsigned k)
{
    return (int16_t)(v >> (16 * k));
}
static inline int32_t dword(uint64_t v, unsigned k)
{
    return (int32_t)(v >> (32 * k));
}
static inline int8_t byte(uint64_t v, unsigned k)
{
    return (int8_t)(v >> (8 * k));
}
static inline int16_t sat16(int32_t v)
{
    return (int16_t)(v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v);
}

#define WORDS(name, expr)                                                                          \
    static uint64_t f_##name(uint64_t a, uint64_t b)                                               \
    {                                                                                              \
        uint64_t r = 0;                                                                            \
        for (unsigned k = 0; k < 4; k++) {                                                         \
            uint64_t p = k < 2 ? a : b;                                                            \
            unsigned n = 2 * k & 3;                                                                \
            (void)p, (void)n;                                                                      \
            r |= (uint64_t)(uint16_t)(expr) << (16 * k);                                           \
        }                                                                                          \
        return r;                                                                                  \
    }
WORDS(phaddw, word(p, n) + word(p, n + 1))
WORDS(phsubw, word(p, n) - word(p, n + 1))
WORDS(phaddsw, sat16(word(p, n) + word(p, n + 1)))
WORDS(phsubsw, sat16(word(p, n) - word(p, n + 1)))
WORDS(psignw, word(b, k) < 0 ? -word(a, k) : word(b, k) == 0 ? 0 : word(a, k))
WORDS(pabsw, word(b, k) < 0 ? -word(b, k) : word(b, k))
WORDS(pmulhrsw, ((word(a, k) * word(b, k) >> 14) + 1) >> 1)
WORDS(pmaddubsw, sat16((uint8_t)byte(a, 2 * k) * byte(b, 2 * k) +
                       (uint8_t)byte(a, 2 * k + 1) * byte(b, 2 * k + 1)))

#define DWORDS(name, expr)                                                                         \
    static uint64_t f_##name(uint64_t a, uint64_t b)                                               \
    {                                                                                              \
        uint64_t r = 0;                                                                            \
        for (unsigned k = 0; k < 2; k++) {                                                         \
            uint64_t p = k == 0 ? a : b;                                                           \
            (void)p;                                                                               \
            r |= (uint64_t)(uint32_t)(expr) << (32 * k);                                           \
        }                                                                                          \
        return r;                                                                                  \
    }
DWORDS(phaddd, (uint32_t)dword(p, 0) + (uint32_t)dword(p, 1))
DWORDS(phsubd, (uint32_t)dword(p, 0) - (uint32_t)dword(p, 1))
DWORDS(psignd, dword(b, k) < 0 ? 0 - (uint32_t)dword(a, k)
                               : dword(b, k) == 0 ? 0 : (uint32_t)dword(a, k))
DWORDS(pabsd, dword(b, k) < 0 ? 0 - (uint32_t)dword(b, k) : (uint32_t)dword(b, k))

#define BYTES(name, expr)                                                                          \
    static uint64_t f_##name(uint64_t a, uint64_t b)                                               \
    {                                                                                              \
        uint64_t r = 0;                                                                            \
        for (unsigned k = 0; k < 8; k++)                                                           \
            r |= (uint64_t)(uint8_t)(expr) << (8 * k);                                             \
        (void)a;                                                                                   \
        return r;                                                                                  \
    }
BYTES(psignb, byte(b, k) < 0 ? -byte(a, k) : byte(b, k) == 0 ? 0 : byte(a, k))
BYTES(pabsb, byte(b, k) < 0 ? -byte(b, k) : byte(b, k))
BYTES(pshufb, byte(b, k) < 0 ? 0 : byte(a, byte(b, k) & 7))

#define BIN64(name)                                                                                \
    X86_H(mmx_##name)                                                                              \
    {                                                                                              \
        begin(c, i);                                                                               \
        uint64_t b = source(c, i);                                                                 \
        set_mm(c, i->dst, f_##name(mm(c, i->dst), b));                                             \
        X86_NEXT(c, i);                                                                            \
    }
BIN64(phaddw)
BIN64(phsubw)
BIN64(phaddsw)
BIN64(phsubsw)
BIN64(psignw)
BIN64(pabsw)
BIN64(pmulhrsw)
BIN64(pmaddubsw)
BIN64(phaddd)
BIN64(phsubd)
BIN64(psignd)
BIN64(pabsd)
BIN64(psignb)
BIN64(pabsb)
BIN64(pshufb)

X86_H(mmx_palignr)
{
    begin(c, i);
    uint64_t b = source(c, i), a = mm(c, i->dst);
    unsigned n = x86_imm8(i) * 8;
    uint64_t r = n >= 128 ? 0 : n >= 64 ? a >> (n - 64) : n == 0 ? b : b >> n | a << (64 - n);
    set_mm(c, i->dst, r);
    X86_NEXT(c, i);
}

/* ---- moves and shuffles ---- */

X86_H(mmx_pshufw)
{
    begin(c, i);
    uint64_t b = source(c, i), r = 0;
    for (unsigned k = 0; k < 4; k++)
        r |= (b >> (16 * (x86_imm8(i) >> (2 * k) & 3)) & 0xffff) << (16 * k);
    set_mm(c, i->dst, r);
    X86_NEXT(c, i);
}

X86_H(mmx_pinsrw)
{
    begin(c, i);
    uint64_t w = i->flags & X86_I_MEM ? x86_ld16(c, i, x86_lin(c, i, 2, X86_ACCESS_R))
                                      : *x86_r16(c, i->src);
    unsigned at = 16 * (x86_imm8(i) & 3);
    set_mm(c, i->dst, (mm(c, i->dst) & ~(UINT64_C(0xffff) << at)) | w << at);
    X86_NEXT(c, i);
}

X86_H(mmx_pextrw)
{
    begin(c, i);
    x86_set32(c, i->dst, (uint16_t)(mm(c, i->src) >> (16 * (x86_imm8(i) & 3))));
    x87_mmx_state(c);
    X86_NEXT(c, i);
}

X86_H(mmx_pmovmskb)
{
    begin(c, i);
    x86_set32(c, i->dst, (uint32_t)_mm_movemask_epi8(vec(mm(c, i->src))));
    x87_mmx_state(c);
    X86_NEXT(c, i);
}

X86_H(mmx_movd_load)
{
    begin(c, i);
    uint64_t v = i->flags & X86_I_MEM
                     ? x86_ld(c, i, x86_lin(c, i, 1u << i->osz, X86_ACCESS_R), i->osz)
                     : x86_get(c, i->src, i->osz);
    set_mm(c, i->dst, v);
    X86_NEXT(c, i);
}

/* A store that faults has set TOP to 0 already; the tags change when it is done. */
static inline void clear_top(struct vcpu *c)
{
    c->st.fsw &= (uint16_t)~0x3800;
}

X86_H(mmx_movd_store)
{
    begin(c, i);
    uint64_t v = mm(c, i->src);
    clear_top(c);
    if (i->flags & X86_I_MEM)
        x86_st(c, i, x86_lin(c, i, 1u << i->osz, X86_ACCESS_W), i->osz, v);
    else
        x86_set(c, i->dst, i->osz, v);
    x87_mmx_state(c);
    X86_NEXT(c, i);
}

X86_H(mmx_movq_load)
{
    begin(c, i);
    uint64_t v = source(c, i);
    set_mm(c, i->dst, v);
    X86_NEXT(c, i);
}

X86_H(mmx_movq_store)
{
    begin(c, i);
    uint64_t v = mm(c, i->src);
    if (i->flags & X86_I_MEM) {
        clear_top(c);
        x86_st64(c, i, x86_lin(c, i, 8, X86_ACCESS_W), v);
        x87_mmx_state(c);
    } else {
        set_mm(c, i->dst, v);
    }
    X86_NEXT(c, i);
}

/** Bytes whose mask bit 7 is set go to seg:rDI; the others are not touched. */
X86_H(mmx_maskmovq)
{
    begin(c, i);
    uint64_t v = mm(c, i->dst), m = mm(c, i->src);
    x87_mmx_state(c);
    uint64_t ea = x86_get(c, X86_RDI * 8, i->asz);
    uint64_t lin = x86_seg_lin(c, i, i->seg, ea, 8, X86_ACCESS_W);
    vm__x86_probe_w(c, i, lin, 8, i->seg);
    for (unsigned k = 0; k < 8; k++)
        if (m >> (8 * k + 7) & 1)
            x86_st8(c, i, lin + k, (uint8_t)(v >> (8 * k)));
    X86_NEXT(c, i);
}

X86_H(mmx_emms)
{
    begin(c, i);
    c->st.fsw &= (uint16_t)~0x3800;
    c->st.ftw = 0;
    X86_NEXT(c, i);
}

X86_H(mmx_movq2dq)
{
    begin(c, i);
    x86_vset(c, i->dst, vec(mm(c, i->src)));
    x87_mmx_state(c);
    X86_NEXT(c, i);
}

X86_H(mmx_movdq2q)
{
    begin(c, i);
    set_mm(c, i->dst, low(x86_vlo(c, i->src)));
    X86_NEXT(c, i);
}

/* ---- conversions: by the host's XMM forms of the same operation ---- */

FP_ASM1(cvtdq2ps)
FP_ASM1(cvtdq2pd)
FP_ASM1(cvttps2dq)
FP_ASM1(cvtps2dq)
FP_ASM1(cvttpd2dq)
FP_ASM1(cvtpd2dq)

/** As the silicon does it, a memory operand does not touch the x87 state. */
X86_H(mmx_cvtpi2ps)
{
    begin(c, i);
    x86_v b = vec(source(c, i));
    x86_fp_enter(c);
    x86_v r = op_cvtdq2ps(b);
    if (!(i->flags & X86_I_MEM))
        x87_mmx_state(c);
    x86_fp_settle(c, i);
    x86_vset(c, i->dst, _mm_unpacklo_epi64(r, _mm_srli_si128(x86_vlo(c, i->dst), 8)));
    X86_NEXT(c, i);
}

/** Exact, so MXCSR plays no part. Memory operands as above. */
X86_H(mmx_cvtpi2pd)
{
    begin(c, i);
    x86_v b = vec(source(c, i));
    x86_vset(c, i->dst, op_cvtdq2pd(b));
    if (!(i->flags & X86_I_MEM))
        x87_mmx_state(c);
    X86_NEXT(c, i);
}

static inline x86_v xmm_q(struct vcpu *c, const struct x86_insn *i)
{
    /* Only two elements convert; the others are made zero so that they raise nothing. */
    if (i->flags & X86_I_MEM)
        return vec(x86_ld64(c, i, x86_lin(c, i, 8, X86_ACCESS_R)));
    return vec(low(x86_vlo(c, i->src)));
}
static inline x86_v xmm_o(struct vcpu *c, const struct x86_insn *i)
{
    return i->flags & X86_I_MEM ? *vm__x86_src16a(c, i) : x86_vlo(c, i->src);
}
#define TO_MMX(name, op, from)                                                                     \
    X86_H(mmx_##name)                                                                              \
    {                                                                                              \
        begin(c, i);                                                                               \
        x86_v b = from(c, i);                                                                      \
        x86_fp_enter(c);                                                                           \
        x86_v r = op(b);                                                                           \
        x87_mmx_state(c); /* also when the conversion faults */                                    \
        x86_fp_settle(c, i);                                                                       \
        set_mm(c, i->dst, low(r));                                                                 \
        X86_NEXT(c, i);                                                                            \
    }
TO_MMX(cvttps2pi, op_cvttps2dq, xmm_q)
TO_MMX(cvtps2pi, op_cvtps2dq, xmm_q)
TO_MMX(cvttpd2pi, op_cvttpd2dq, xmm_o)
TO_MMX(cvtpd2pi, op_cvtpd2dq, xmm_o)
