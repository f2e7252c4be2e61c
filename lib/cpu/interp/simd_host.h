/* SPDX-License-Identifier: MIT */
/**
 * @file simd_host.h
 * 128-bit vectors of the host. Integer operations are intrinsics, which SIMDe provides elsewhere;
 * floating point, AES, PCLMULQDQ, SHA, GFNI, FMA, F16C and PCMPxSTRx are x86 instructions, see
 * fp_x86.h.
 */
#ifndef LIBVM_CPU_INTERP_SIMD_HOST_H
#define LIBVM_CPU_INTERP_SIMD_HOST_H

#if defined(__x86_64__)
#include <immintrin.h>
#else
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/sse4.2.h>
#endif

typedef __m128i x86_v;

#endif
