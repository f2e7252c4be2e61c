/* SPDX-License-Identifier: MIT */
/**
 * @file cases.h
 * Switches over every value of an immediate that the host's instruction wants as a constant: X is
 * called with each number as a literal, which also serves as text in inline assembly.
 */
#ifndef LIBVM_CPU_INTERP_CASES_H
#define LIBVM_CPU_INTERP_CASES_H

/* clang-format off */
#define CASES_16_(X, h)                                                                            \
    X(0x##h##0) X(0x##h##1) X(0x##h##2) X(0x##h##3) X(0x##h##4) X(0x##h##5) X(0x##h##6)            \
    X(0x##h##7) X(0x##h##8) X(0x##h##9) X(0x##h##a) X(0x##h##b) X(0x##h##c) X(0x##h##d)            \
    X(0x##h##e) X(0x##h##f)
#define CASES_16(X) CASES_16_(X, 0)
#define CASES_128(X)                                                                               \
    CASES_16_(X, 0) CASES_16_(X, 1) CASES_16_(X, 2) CASES_16_(X, 3)                                \
    CASES_16_(X, 4) CASES_16_(X, 5) CASES_16_(X, 6) CASES_16_(X, 7)
#define CASES_256(X)                                                                               \
    CASES_128(X)                                                                                   \
    CASES_16_(X, 8) CASES_16_(X, 9) CASES_16_(X, a) CASES_16_(X, b)                                \
    CASES_16_(X, c) CASES_16_(X, d) CASES_16_(X, e) CASES_16_(X, f)
/* clang-format on */

#endif
