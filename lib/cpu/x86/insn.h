/* SPDX-License-Identifier: MIT */
/**
 * @file insn.h
 * The instruction table and the decoded instruction.
 *
 * lib/cpu/x86/insn/<theme>.def has a row for each encoding form; tools/gen_insn.py turns them into
 * vm__x86_rows and the look-up tables of the decoder. Decoder, interpreter, JIT, tests and
 * documentation read the same rows. The grammar is in lib/cpu/x86/insn/README.md.
 */
#ifndef LIBVM_CPU_X86_INSN_H
#define LIBVM_CPU_X86_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/x86/state.h"

struct vcpu;
struct x86_insn;

/** A handler runs one instruction and returns the next one, or NULL to leave the block. */
typedef const struct x86_insn *x86_fn(struct vcpu *c, const struct x86_insn *i);

/**
 * One decoded instruction, 40 bytes. Registers of the general file are byte offsets into
 * x86_state.gpr (AL is 0, AH is 1, RCX is 8, R15 is 120, "none" is 128); others are numbers.
 */
struct x86_insn {
    x86_fn *fn;
    uint64_t imm; /**< immediate, sign-extended; branch target RIP (already truncated to the
                       operand size); far pointer: selector << 32 | offset; ENTER: imm8 << 16 |
                       imm16; is4: the byte as encoded, register in bits 7-4 */
    int64_t disp; /**< displacement; the whole address when RIP-relative or moffs */
    uint16_t row; /**< index into vm__x86_rows */
    uint16_t off; /**< from the start of its block */
    uint8_t len;  /**< in bytes, 1 to 15 */
    uint8_t dst;  /**< register of operand 0 */
    uint8_t src;  /**< register of operand 1 */
    uint8_t src2; /**< register of operand 2 */
    uint8_t base; /**< byte offset into gpr; X86_NONE * 8 if absent */
    uint8_t index;
    uint8_t scale; /**< shift, 0 to 3 */
    uint8_t seg;   /**< X86_ES … X86_GS, default applied */
    uint8_t osz;   /**< operand size, log2 of bytes: 0 for byte rows, else 1 to 3 */
    uint8_t asz;   /**< address size, log2 of bytes: 1 to 3 */
    uint8_t flags; /**< X86_I_* */
    uint8_t modrm; /**< the byte; 0 if none */
};

enum {
    X86_I_MEM = 0x01, /**< the operand at ModRM.rm is in memory */
    X86_I_LOCK = 0x02,
    X86_I_REP = 0x04,   /**< F3 present */
    X86_I_REPNE = 0x08, /**< F2 present */
    X86_I_W = 0x10,     /**< REX.W or VEX.W */
    X86_I_L = 0x20,     /**< VEX.L: 256-bit */
    X86_I_REX = 0x40,   /**< a REX prefix is in force */
    X86_I_OPSZ = 0x80,  /**< 66 present */
};

/** Where an operand is encoded. */
enum x86_where {
    X86_AT_NONE,
    X86_AT_RM,
    X86_AT_REG,
    X86_AT_OPCODE, /**< low three bits of the opcode */
    X86_AT_VVVV,
    X86_AT_IS4, /**< immediate bits 7-4 */
    X86_AT_IMM,
    X86_AT_FIXED, /**< implied by the opcode */
    X86_AT_MOFFS,
    X86_AT_SI, /**< seg:rSI */
    X86_AT_DI, /**< ES:rDI */
};

/** What an operand is. An operand at ModRM.rm that may be memory keeps its register class. */
enum x86_class {
    X86_C_NONE,
    X86_C_GPR,
    X86_C_MEM,
    X86_C_IMM,
    X86_C_SEG,
    X86_C_CR,
    X86_C_DR,
    X86_C_MMX,
    X86_C_VEC,
    X86_C_ST,
    X86_C_REL,
    X86_C_FAR,
};

/** How wide it is. The letter is the one used in .def files. */
enum x86_size {
    X86_SZ_NONE,
    X86_SZ_B,  /**< b: 1 */
    X86_SZ_W,  /**< w: 2 */
    X86_SZ_D,  /**< d: 4 */
    X86_SZ_Q,  /**< q: 8 */
    X86_SZ_V,  /**< v: 2, 4 or 8 by operand size */
    X86_SZ_Z,  /**< z: 2 or 4; 4 when the operand size is 8 */
    X86_SZ_Y,  /**< y: 4, or 8 with REX.W/VEX.W in 64-bit mode */
    X86_SZ_O,  /**< o: 16 */
    X86_SZ_X,  /**< x: 16 or 32 by VEX.L */
    X86_SZ_QQ, /**< qq: 32 */
    X86_SZ_T,  /**< t: 10 */
    X86_SZ_P,  /**< p: far pointer in memory: offset of operand size, then 16-bit selector */
    X86_SZ_S,  /**< s: pseudo-descriptor: 6, or 10 in 64-bit mode */
    X86_SZ_H,  /**< h: half of x */
    X86_SZ_F,  /**< f: quarter of x */
    X86_SZ_E,  /**< e: eighth of x */
    X86_SZ_A,  /**< a: BOUND pair: two of operand size */
    X86_SZ_N,  /**< n: no size: address only or an area whose layout the handler knows */
};

enum { X86_ACC_R = 1, X86_ACC_W = 2 };

struct x86_operand {
    uint8_t cls;   /**< enum x86_class */
    uint8_t at;    /**< enum x86_where */
    uint8_t size;  /**< enum x86_size */
    uint8_t acc;   /**< X86_ACC_*; 0: address only */
    uint8_t fixed; /**< X86_AT_FIXED: register number, or the value of an implied immediate */
};

enum { X86_ENC_LEGACY = 0, X86_ENC_VEX = 1 };
enum { X86_PP_NP = 0, X86_PP_66 = 1, X86_PP_F3 = 2, X86_PP_F2 = 3, X86_PP_ANY = 4 };
enum { X86_MOD_NONE = 0, X86_MOD_ANY = 1, X86_MOD_MEM = 2, X86_MOD_REG = 3 };

/** Row attributes; the word used in .def files is the name in lower case. */
enum {
    X86_A_LOCK = 1u << 0,   /**< LOCK allowed with a memory destination */
    X86_A_NO64 = 1u << 1,   /**< #UD in 64-bit mode */
    X86_A_ONLY64 = 1u << 2, /**< #UD outside 64-bit mode */
    X86_A_D64 = 1u << 3,    /**< operand size defaults to 64 in 64-bit mode; 66 gives 16 */
    X86_A_F64 = 1u << 4,    /**< operand size is 64 in 64-bit mode whatever the prefixes */
    X86_A_BRANCH = 1u << 5, /**< writes RIP: ends the block */
    X86_A_END = 1u << 6,    /**< may change mode, mappings or interruptibility: ends the block */
    X86_A_REP = 1u << 7,    /**< string instruction: REP has its meaning */
    X86_A_CPL0 = 1u << 8,   /**< #GP(0) unless CPL is 0 (in the handler) */
    X86_A_IO = 1u << 9,     /**< calls out to devices; ends the block */
    X86_A_ALIGN = 1u << 10, /**< memory operand must be aligned to its size, else #GP(0) */
    X86_A_VARIES = 1u << 11, /**< undefined results differ between real processors */
    X86_A_X87 = 1u << 12,   /**< CR0.EM or TS: #NM; waits: a pending x87 fault is raised first */
    X86_A_NOWAIT = 1u << 13, /**< with x87: does not wait */
    X86_A_MMX = 1u << 14,   /**< CR0.EM: #UD, TS: #NM, pending x87 fault: #MF */
    X86_A_SSE = 1u << 15,   /**< CR0.EM or not CR4.OSFXSR: #UD; TS: #NM */
    X86_A_AVX = 1u << 16,   /**< not CR4.OSXSAVE or XCR0[2:1] not 3: #UD; TS: #NM */
    X86_A_PROT = 1u << 17,  /**< #UD in real and virtual-8086 mode */
    X86_A_VSIB = 1u << 18,  /**< the index register is a vector */
    X86_A_FP = 1u << 19,    /**< SSE/AVX floating point: MXCSR applies */
    X86_A_FALLNP = 1u << 20, /**< without the feature it decodes as the row without prefix */
    X86_A_NOUSER = 1u << 21, /**< the native oracle must not run it: the result depends on the host,
                                  or its kernel answers instead of the processor */
    X86_A_BYTE = 1u << 22,  /**< set by the generator: operand size is a byte */
    X86_A_W64 = 1u << 23,   /**< REX.W is significant but 66 is not */
};

/** One row of the instruction table. */
struct x86_row {
    const char *name;   /**< mnemonic, lower case */
    const char *form;   /**< encoding as written in the .def file */
    const char *manual; /**< manual section */
    uint8_t enc;        /**< X86_ENC_* */
    uint8_t map;        /**< 0 one-byte, 1 0F, 2 0F38, 3 0F3A */
    uint8_t opcode;
    uint8_t pp;        /**< X86_PP_* */
    uint8_t mod;       /**< X86_MOD_* */
    int8_t ext;        /**< ModRM.reg as opcode extension, or -1 */
    int8_t rm;         /**< exact ModRM.rm with mod 3, or -1 */
    int8_t w, l;       /**< 0, 1, or -1 for any */
    uint8_t imm;       /**< X86_IMM_* */
    uint8_t n_ops;
    uint8_t jit; /**< enum x86_jit */
    struct x86_operand op[4];
    uint8_t f_read, f_write, f_undef; /**< X86_FL_*; undefined ones are also in f_write */
    uint8_t feature;                  /**< enum x86_feature; 0: always */
    uint32_t attr;                    /**< X86_A_* */
};

/** Arithmetic flags in a byte. */
enum {
    X86_FL_C = 1,
    X86_FL_P = 2,
    X86_FL_A = 4,
    X86_FL_Z = 8,
    X86_FL_S = 16,
    X86_FL_O = 32,
};

enum {
    X86_IMM_NONE = 0,
    X86_IMM_8,
    X86_IMM_16,
    X86_IMM_Z,     /**< 2, or 4 for operand sizes 4 and 8 */
    X86_IMM_V,     /**< operand size */
    X86_IMM_16_8,  /**< ENTER */
    X86_IMM_FAR,   /**< offset of operand size (2 or 4), then selector */
    X86_IMM_MOFFS, /**< address size */
};

/** What a JIT may do with the row; by default it calls the handler. */
enum x86_jit { X86_JIT_CALL = 0, X86_JIT_NATIVE = 1, X86_JIT_BRANCH = 2, X86_JIT_SPECIAL = 3 };

extern const struct x86_row vm__x86_rows[];
extern const uint16_t vm__x86_row_count;

/** What the decoder needs to know of the code it reads. */
struct x86_decode_ctx {
    uint8_t code;         /**< 1: 16-bit, 2: 32-bit, 3: 64-bit (log2 of bytes) */
    bool real;            /**< real or virtual-8086 mode: rows with `prot` and VEX are undefined */
    const uint64_t *have; /**< bit set by enum x86_feature of what the CPU model has */
};

enum {
    X86_DECODE_OK = 0,
    X86_DECODE_MORE = -1, /**< ran out of bytes before the end of the instruction */
    X86_DECODE_UD = -2,   /**< undefined encoding, or a feature the model lacks */
    X86_DECODE_LONG = -3, /**< more than 15 bytes: #GP(0) */
};

/**
 * Decode one instruction.
 *
 * @param bytes @p avail bytes of code
 * @param rip   its RIP, for relative branches and RIP-relative operands
 * @param out   receives every field but fn and off; on _UD, len is what was consumed
 * @return X86_DECODE_*
 * @note Pure; any thread.
 */
int vm__x86_decode(const struct x86_decode_ctx *ctx, const uint8_t *bytes, size_t avail,
                   uint64_t rip, struct x86_insn *out);

#endif
