/* SPDX-License-Identifier: MIT */
/**
 * @file fp.h
 * SSE floating point: the guest's MXCSR in the host's.
 *
 * The host's own instructions do the arithmetic, so rounding, NaNs, denormals and flags are the
 * silicon's. The guest's MXCSR is loaded at the first floating-point instruction and stays while
 * the interpreter runs; vm__x86_fp_leave() puts the host's back and collects the sticky flags.
 *
 * Exceptions are always masked in the host. Only when the guest has unmasked one does each
 * instruction run by itself (X86_FP_TRAP): MXCSR is loaded with clear flags, and before the result
 * is written the flags tell whether to raise #XM [SDM-1 §11.5].
 *
 * In a handler: fetch the memory operand first (it may call out), then x86_fp_enter() or, when
 * there is none, X86_FP_BEGIN(); compute; then X86_FP_END() or x86_fp_settle(); then write.
 */
#ifndef LIBVM_CPU_INTERP_FP_H
#define LIBVM_CPU_INTERP_FP_H

#include "cpu/interp/interp.h"
#include "cpu/interp/simd_host.h"

/** struct vcpu.fp_live */
enum {
    X86_FP_HOST = 0, /**< MXCSR is the host's, st.mxcsr exact */
    X86_FP_LIVE = 1, /**< MXCSR is the guest's */
    X86_FP_TRAP = 2, /**< one instruction runs with clear flags */
};

enum {
    X86_MXCSR_FLAGS = 0x3f,
    X86_MXCSR_PRE = 0x07, /**< IE, DE, ZE: found before the result is computed */
    X86_MXCSR_DAZ = 0x40,
    X86_MXCSR_MASKS = 0x1f80,
    X86_MXCSR_MASK_SHIFT = 7,
    X86_MXCSR_UM = 0x800,
    X86_MXCSR_FTZ = 0x8000,
    X86_MXCSR_VALID = 0xffff,
};

void vm__x86_fp_enter(struct vcpu *c);
/** Enter, then run @p i again from its start. */
const struct x86_insn *vm__x86_fp_begin(struct vcpu *c, const struct x86_insn *i);
/** X86_FP_TRAP: raise what the instruction brought about, or collect its flags. */
void vm__x86_fp_settle(struct vcpu *c, const struct x86_insn *i);
/** The same, then write the result and go on: legacy, VEX.128, VEX.256. */
const struct x86_insn *vm__x86_fp_end(struct vcpu *c, const struct x86_insn *i, x86_v r);
const struct x86_insn *vm__x86_fp_end128(struct vcpu *c, const struct x86_insn *i, x86_v r);
const struct x86_insn *vm__x86_fp_end256(struct vcpu *c, const struct x86_insn *i, x86_v lo,
                                         x86_v hi);

static inline void x86_fp_enter(struct vcpu *c)
{
    if (x86_unlikely(c->fp_live == X86_FP_HOST))
        vm__x86_fp_enter(c);
}
static inline void x86_fp_settle(struct vcpu *c, const struct x86_insn *i)
{
    if (x86_unlikely(c->fp_live != X86_FP_LIVE))
        vm__x86_fp_settle(c, i);
}

/* Cold ends are tail calls, so that a register form needs no stack frame. */
#define X86_FP_BEGIN(c, i)                                                                         \
    do {                                                                                           \
        if (x86_unlikely((c)->fp_live == X86_FP_HOST))                                             \
            return vm__x86_fp_begin(c, i);                                                         \
    } while (0)
#define X86_FP_END(c, i, r)                                                                        \
    do {                                                                                           \
        if (x86_unlikely((c)->fp_live != X86_FP_LIVE))                                             \
            return vm__x86_fp_end(c, i, r);                                                        \
        x86_vset(c, (i)->dst, r);                                                                  \
        X86_NEXT(c, i);                                                                            \
    } while (0)
#define X86_FP_END128(c, i, r)                                                                     \
    do {                                                                                           \
        if (x86_unlikely((c)->fp_live != X86_FP_LIVE))                                             \
            return vm__x86_fp_end128(c, i, r);                                                     \
        x86_vset128(c, (i)->dst, r);                                                               \
        X86_NEXT(c, i);                                                                            \
    } while (0)
#define X86_FP_END256(c, i, lo, hi)                                                                \
    do {                                                                                           \
        if (x86_unlikely((c)->fp_live != X86_FP_LIVE))                                             \
            return vm__x86_fp_end256(c, i, lo, hi);                                                \
        x86_vset256(c, (i)->dst, lo, hi);                                                          \
        X86_NEXT(c, i);                                                                            \
    } while (0)

#endif
