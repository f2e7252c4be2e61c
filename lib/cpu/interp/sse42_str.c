/* SPDX-License-Identifier: MIT */
/**
 * @file sse42_str.c
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM and their VEX forms. The host has SSE4.2.
 *
 * Spec: [SDM-1 §12.4]. Bit 7 of the immediate has no meaning. Memory operands need not be aligned.
 */
#include "cpu/interp/cases.h"
#include "cpu/interp/vec.h"

#define NOINLINE __attribute__((noinline))

/* Flags come out as LAHF (bits 15-8) and SETO (bits 7-0) give them. */
#define FLAGS "\n\tlahf\n\tseto %%al"

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        __asm__("pcmpistri $" #n ", %3, %2" FLAGS : "=&a"(ax), "=&c"(cx) : "x"(a), "x"(b) : "cc"); \
        break;
static NOINLINE uint64_t istri(x86_v a, x86_v b, unsigned n)
{
    uint32_t ax = 0, cx = 0;
    switch (n & 0x7f) {
        CASES_128(CASE)
    }
    return cx | (uint64_t)(ax & 0xffff) << 32;
}
#undef CASE

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        __asm__("pcmpestri $" #n ", %5, %4" FLAGS                                                  \
                : "=a"(ax), "=&c"(cx)                                                              \
                : "0"(la), "d"(lb), "x"(a), "x"(b)                                                 \
                : "cc");                                                                           \
        break;
static NOINLINE uint64_t estri(x86_v a, x86_v b, unsigned n, int la, int lb)
{
    uint32_t ax = 0, cx = 0;
    switch (n & 0x7f) {
        CASES_128(CASE)
    }
    return cx | (uint64_t)(ax & 0xffff) << 32;
}
#undef CASE

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        __asm__("pcmpistrm $" #n ", %3, %2" FLAGS : "=&a"(ax), "=x"(m) : "x"(a), "x"(b) : "cc");   \
        break;
static NOINLINE x86_v istrm(x86_v a, x86_v b, unsigned n, uint32_t *flags)
{
    register x86_v m __asm__("xmm0") = _mm_setzero_si128();
    uint32_t ax = 0;
    switch (n & 0x7f) {
        CASES_128(CASE)
    }
    *flags = ax;
    return m;
}
#undef CASE

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        __asm__("pcmpestrm $" #n ", %5, %4" FLAGS                                                  \
                : "=a"(ax), "=x"(m)                                                                \
                : "0"(la), "d"(lb), "x"(a), "x"(b)                                                 \
                : "cc");                                                                           \
        break;
static NOINLINE x86_v estrm(x86_v a, x86_v b, unsigned n, int la, int lb, uint32_t *flags)
{
    register x86_v m __asm__("xmm0") = _mm_setzero_si128();
    uint32_t ax = 0;
    switch (n & 0x7f) {
        CASES_128(CASE)
    }
    *flags = ax;
    return m;
}
#undef CASE

static void set_flags(struct vcpu *c, uint32_t ax)
{
    x86_set_arith(c, (ax >> 8 & (X86_CF | X86_ZF | X86_SF)) | ((ax & 1) ? X86_OF : 0));
}

/* A length counts up to what a register holds, whatever its sign. */
static int length(struct vcpu *c, const struct x86_insn *i, unsigned reg)
{
    int64_t v = (int64_t)c->st.gpr[reg];
    if (i->osz != 3)
        v = (int32_t)v;
    return v > 16 || v < -16 ? 16 : (int)v;
}

static NOINLINE void run_istri(struct vcpu *c, const struct x86_insn *i, x86_v b)
{
    x86_v a = x86_vlo(c, i->dst);
    uint64_t r = istri(a, b, x86_imm8(i));
    x86_set32(c, X86_RCX * 8, (uint32_t)r);
    set_flags(c, (uint32_t)(r >> 32));
}

static NOINLINE void run_estri(struct vcpu *c, const struct x86_insn *i, x86_v b)
{
    x86_v a = x86_vlo(c, i->dst);
    uint64_t r = estri(a, b, x86_imm8(i), length(c, i, X86_RAX), length(c, i, X86_RDX));
    x86_set32(c, X86_RCX * 8, (uint32_t)r);
    set_flags(c, (uint32_t)(r >> 32));
}

static NOINLINE void run_istrm(struct vcpu *c, const struct x86_insn *i, x86_v b)
{
    x86_v a = x86_vlo(c, i->dst);
    uint32_t flags;
    x86_vset(c, 0, istrm(a, b, x86_imm8(i), &flags));
    set_flags(c, flags);
}

static NOINLINE void run_estrm(struct vcpu *c, const struct x86_insn *i, x86_v b)
{
    x86_v a = x86_vlo(c, i->dst);
    uint32_t flags;
    x86_vset(c, 0, estrm(a, b, x86_imm8(i), length(c, i, X86_RAX), length(c, i, X86_RDX), &flags));
    set_flags(c, flags);
}

/* VEX forms that write XMM0 clear the rest of it. */
#define FORMS(prefix, name, after)                                                                 \
    X86_H(prefix##pcmp##name##_rrir)                                                               \
    {                                                                                              \
        run_##name(c, i, x86_vlo(c, i->src));                                                      \
        after;                                                                                     \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(prefix##pcmp##name##_rmir)                                                               \
    {                                                                                              \
        run_##name(c, i, x86_vload(vm__x86_src16(c, i)));                                          \
        after;                                                                                     \
        X86_NEXT(c, i);                                                                            \
    }
FORMS(, istri, (void)0)
FORMS(, estri, (void)0)
FORMS(, istrm, (void)0)
FORMS(, estrm, (void)0)
FORMS(v, istrm, x86_vset128(c, 0, x86_vlo(c, 0)))
FORMS(v, estrm, x86_vset128(c, 0, x86_vlo(c, 0)))
