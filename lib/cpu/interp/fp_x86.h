/* SPDX-License-Identifier: MIT */
/**
 * @file fp_x86.h
 * Floating-point operations as instructions of an x86 host.
 *
 * Inline assembly, not intrinsics: it is never folded, moved across a load of MXCSR, or given its
 * operands in the other order, which decides whose NaN is the result. Only legacy encodings, which
 * leave the host's upper halves alone. Hosts of other architectures need this file in terms of a
 * software floating point; until then they cannot offer SSE.
 */
#ifndef LIBVM_CPU_INTERP_FP_X86_H
#define LIBVM_CPU_INTERP_FP_X86_H

#include "cpu/interp/simd_host.h"

/** op_NAME(a, b): a is the first source and where untouched elements come from. */
#define FP_ASM2(name)                                                                              \
    static inline x86_v op_##name(x86_v a, x86_v b)                                                \
    {                                                                                              \
        __asm__ volatile(#name " %1, %0" : "+x"(a) : "x"(b));                                      \
        return a;                                                                                  \
    }
/** op_NAME(a): all of the result comes from a. */
#define FP_ASM1(name)                                                                              \
    static inline x86_v op_##name(x86_v a)                                                         \
    {                                                                                              \
        x86_v r;                                                                                   \
        __asm__ volatile(#name " %1, %0" : "=x"(r) : "x"(a));                                      \
        return r;                                                                                  \
    }
/** op_NAME(a, b) with a constant immediate. */
#define FP_ASM2I(name, insn, n)                                                                    \
    static inline x86_v op_##name(x86_v a, x86_v b)                                                \
    {                                                                                              \
        __asm__ volatile(insn " $" #n ", %1, %0" : "+x"(a) : "x"(b));                              \
        return a;                                                                                  \
    }

#endif
