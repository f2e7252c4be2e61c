/* SPDX-License-Identifier: MIT */
/**
 * @file insn_table.h
 * Shape of the generated look-up tables; only decode.c and the generated file include it.
 *
 * An opcode's cells form a small array with one dimension for each thing that tells its rows apart
 * (and none for things that do not), so that a look-up is one index computation and no search.
 */
#ifndef LIBVM_CPU_X86_INSN_TABLE_H
#define LIBVM_CPU_X86_INSN_TABLE_H

#include "cpu/x86/feature.h"
#include "cpu/x86/insn.h"

/** Dimensions, outermost first. */
enum {
    X86_DIM_PP = 0x01,   /**< 4: NP, 66, F3, F2 */
    X86_DIM_MOD3 = 0x02, /**< 2 */
    X86_DIM_REG = 0x04,  /**< 8 */
    X86_DIM_RM = 0x08,   /**< 8 */
    X86_DIM_W = 0x10,    /**< 2 */
    X86_DIM_L = 0x20,    /**< 2 */
    X86_DIM_M64 = 0x40,  /**< 2: 64-bit mode */
    X86_DIM_REXB = 0x80, /**< 2 */
    X86_DIM_MODRM = 0x100, /**< not a dimension: a ModRM byte follows */
};

enum { X86_NO_ROW = 0xffff };

struct x86_opcode {
    uint16_t base; /**< first cell; 0 is the cell that holds X86_NO_ROW */
    uint16_t dims; /**< X86_DIM_* */
};

extern const struct x86_opcode vm__x86_opcodes[2][4][256]; /* by encoding, map, opcode */
extern const uint16_t vm__x86_cells[];

#endif
