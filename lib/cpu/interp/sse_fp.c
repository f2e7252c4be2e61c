/* SPDX-License-Identifier: MIT */
/**
 * @file sse_fp.c
 * SSE, SSE2 and SSE3 floating-point arithmetic, with the AVX forms.
 */
#include "cpu/interp/fp_forms.h"

#define FOUR_TYPES(op)                                                                             \
    FP_BIN(op##ps)                                                                                 \
    FP_BIN(op##pd)                                                                                 \
    FP_SCALAR(op##ss, d)                                                                           \
    FP_SCALAR(op##sd, q)

FOUR_TYPES(add)
FOUR_TYPES(sub)
FOUR_TYPES(mul)
FOUR_TYPES(div)
FOUR_TYPES(min)
FOUR_TYPES(max)

FP_UN(sqrtps)
FP_UN(sqrtpd)
FP_SCALAR(sqrtss, d)
FP_SCALAR(sqrtsd, q)

/* Approximations neither heed nor change MXCSR, except that some processors let DAZ apply. */
FP_UN(rcpps)
FP_UN(rsqrtps)
FP_SCALAR(rcpss, d)
FP_SCALAR(rsqrtss, d)

/* SSE3, which every 64-bit host of the last twenty years has; see host_features.c. */
FP_BIN(addsubps)
FP_BIN(addsubpd)
FP_BIN(haddps)
FP_BIN(haddpd)
FP_BIN(hsubps)
FP_BIN(hsubpd)
