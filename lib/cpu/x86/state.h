/* SPDX-License-Identifier: MIT */
/**
 * @file state.h
 * The one architectural x86 state that every engine loads and stores.
 *
 * Fixed size, no pointers, described by vm__x86_fields (state.c). It lies first in the page-aligned
 * `struct vcpu` (cpu/vcpu.h), so that translated code addresses it from %gs with constant
 * displacements. Lazy flags, soft TLBs and caches lie beside it in struct vcpu; at every pause the
 * state here is exact.
 *
 * Spec: [SDM-1], [SDM-3A], [SDM-4], [APM2].
 */
#ifndef LIBVM_CPU_X86_STATE_H
#define LIBVM_CPU_X86_STATE_H

#include <stdbool.h>
#include <stdint.h>

/* clang-format off */
/** General registers by encoding number; X86_NONE is a register that always reads 0. */
enum {
    X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
    X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
    X86_NONE, X86_GPR_COUNT
};

/** Segment registers by encoding number. */
enum { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_SEG_COUNT };

/** Bits of struct x86_seg.attr: bits 8-15 and 20-23 of a descriptor's second word, packed. */
enum {
    X86_ATTR_TYPE = 0x000f,     /**< [SDM-3A §3.4.5.1], [SDM-3A §3.5] */
    X86_ATTR_ACCESSED = 0x0001,
    X86_ATTR_WRITE = 0x0002,    /**< data: writable; code: readable */
    X86_ATTR_EXPDOWN = 0x0004,  /**< data: expand-down; code: conforming */
    X86_ATTR_CODE = 0x0008,
    X86_ATTR_S = 0x0010,
    X86_ATTR_DPL = 0x0060,
    X86_ATTR_DPL_SHIFT = 5,
    X86_ATTR_P = 0x0080,        /**< clear: unusable (null selector) */
    X86_ATTR_AVL = 0x1000,
    X86_ATTR_L = 0x2000,
    X86_ATTR_DB = 0x4000,
    X86_ATTR_G = 0x8000,
};

/** RFLAGS bits [SDM-1 §3.4.3]. */
enum {
    X86_CF = 1u << 0, X86_F1 = 1u << 1, X86_PF = 1u << 2, X86_AF = 1u << 4, X86_ZF = 1u << 6,
    X86_SF = 1u << 7, X86_TF = 1u << 8, X86_IF = 1u << 9, X86_DF = 1u << 10, X86_OF = 1u << 11,
    X86_IOPL = 3u << 12, X86_IOPL_SHIFT = 12, X86_NT = 1u << 14, X86_RF = 1u << 16,
    X86_VM = 1u << 17, X86_AC = 1u << 18, X86_VIF = 1u << 19, X86_VIP = 1u << 20,
    X86_ID = 1u << 21,
    X86_ARITH = X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_OF,
};

/** Control register bits [SDM-3A §2.5]. */
enum {
    X86_CR0_PE = 1u << 0, X86_CR0_MP = 1u << 1, X86_CR0_EM = 1u << 2, X86_CR0_TS = 1u << 3,
    X86_CR0_ET = 1u << 4, X86_CR0_NE = 1u << 5, X86_CR0_WP = 1u << 16, X86_CR0_AM = 1u << 18,
    X86_CR0_NW = 1u << 29, X86_CR0_CD = 1u << 30,
};
#define X86_CR0_PG 0x80000000u
enum {
    X86_CR4_VME = 1u << 0, X86_CR4_PVI = 1u << 1, X86_CR4_TSD = 1u << 2, X86_CR4_DE = 1u << 3,
    X86_CR4_PSE = 1u << 4, X86_CR4_PAE = 1u << 5, X86_CR4_MCE = 1u << 6, X86_CR4_PGE = 1u << 7,
    X86_CR4_PCE = 1u << 8, X86_CR4_OSFXSR = 1u << 9, X86_CR4_OSXMMEXCPT = 1u << 10,
    X86_CR4_UMIP = 1u << 11, X86_CR4_LA57 = 1u << 12, X86_CR4_FSGSBASE = 1u << 16,
    X86_CR4_PCIDE = 1u << 17, X86_CR4_OSXSAVE = 1u << 18, X86_CR4_SMEP = 1u << 20,
    X86_CR4_SMAP = 1u << 21, X86_CR4_PKE = 1u << 22,
};
enum {
    X86_EFER_SCE = 1u << 0, X86_EFER_LME = 1u << 8, X86_EFER_LMA = 1u << 10,
    X86_EFER_NXE = 1u << 11, X86_EFER_SVME = 1u << 12, X86_EFER_FFXSR = 1u << 14,
};

/** DR6 and DR7 bits [SDM-3B §17.2]. */
enum {
    X86_DR6_BD = 1u << 13, X86_DR6_BS = 1u << 14, X86_DR6_BT = 1u << 15,
    X86_DR7_GD = 1u << 13,
};

/** Exception vectors [SDM-3A §6.15]. */
enum {
    X86_XDE = 0, X86_XDB = 1, X86_XNMI = 2, X86_XBP = 3, X86_XOF = 4, X86_XBR = 5, X86_XUD = 6,
    X86_XNM = 7, X86_XDF = 8, X86_XTS = 10, X86_XNP = 11, X86_XSS = 12, X86_XGP = 13, X86_XPF = 14,
    X86_XMF = 16, X86_XAC = 17, X86_XMC = 18, X86_XXM = 19,
};
/* clang-format on */

/** A segment register with its hidden part. */
struct x86_seg {
    uint64_t base;
    uint32_t limit; /**< in bytes, G already applied */
    uint16_t sel;
    uint16_t attr; /**< X86_ATTR_* */
};

/** GDTR, IDTR. */
struct x86_dtr {
    uint64_t base;
    uint32_t limit;
    uint32_t pad;
};

/** How an event came about; decides gate checks, the EXT bit and double-fault rules. */
enum x86_event_kind {
    X86_EVENT_NONE = 0,
    X86_EVENT_EXCEPTION, /**< fault or trap from hardware */
    X86_EVENT_SOFT,      /**< INT n, INT3, INTO: gate DPL checked */
    X86_EVENT_ICEBP,     /**< INT1: like SOFT without the DPL check */
    X86_EVENT_INTR,      /**< external interrupt */
    X86_EVENT_NMI,
};

/** An event waiting for, or in the middle of, delivery through the IDT. */
struct x86_event {
    uint8_t kind; /**< enum x86_event_kind */
    uint8_t vector;
    uint8_t has_error;  /**< an error code is pushed */
    uint8_t delivering; /**< delivery has begun: a fault now is nested [SDM-3A §6.15, #DF] */
    uint32_t error;
    uint64_t payload;  /**< CR2 for #PF, DR6 bits for #DB: applied when delivery begins */
    uint64_t next_rip; /**< SOFT and ICEBP: the return address */
};

enum { X86_MTRR_VAR = 8, X86_MC_BANKS = 10 };

/** MSRs that are storage with rules; numbers and rules in msr.c [SDM-4]. */
struct x86_msrs {
    uint64_t apic_base;
    uint64_t efer;
    uint64_t star, lstar, cstar, fmask;
    uint64_t kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc_offset; /**< guest TSC = TSC of the machine's clock + this */
    uint64_t tsc_adjust;
    uint64_t tsc_aux;
    uint64_t pat;
    uint64_t mtrr_def;
    uint64_t mtrr_fixed[11];
    uint64_t mtrr_var[2 * X86_MTRR_VAR]; /**< base, mask pairs */
    uint64_t misc_enable;
    uint64_t feature_control;
    uint64_t spec_ctrl;
    uint64_t debugctl;
    uint64_t mcg_status, mcg_ctl;
    uint64_t mc[4 * X86_MC_BANKS]; /**< ctl, status, addr, misc of each bank */
    uint64_t xss;
    uint64_t bios_sign;
    uint64_t spare[16];
};

/**
 * Local APIC registers [SDM-3A §11]. irr is written by any thread (atomic or), the rest by the
 * thread that runs the processor, or while paused.
 */
struct x86_lapic {
    uint32_t id; /**< APIC id */
    uint32_t tpr, ldr, dfr, svr, esr, esr_pending;
    uint32_t lint0_level; /**< wire from the 8259 pair */
    uint32_t isr[8], tmr[8];
    uint32_t irr[8]; /**< accessed with __atomic builtins */
    uint64_t icr;
    uint32_t lvt[7]; /**< CMCI, timer, thermal, performance, LINT0, LINT1, error */
    uint32_t timer_divide, timer_initial;
    uint32_t sipi_vector;
    uint64_t timer_start_ns; /**< clock when timer_initial was written */
    uint64_t tsc_deadline;
};

/** What the processor does between instructions. */
enum { X86_ACTIVE = 0, X86_HALTED = 1, X86_WAIT_SIPI = 2, X86_STOPPED = 3 };

/** One-instruction interrupt shadows. */
enum { X86_SHADOW_STI = 1, X86_SHADOW_MOVSS = 2 };

struct x86_state {
    uint64_t gpr[X86_GPR_COUNT]; /**< [X86_NONE] is always 0 */
    uint64_t rip;                /**< stale while a block runs: see vm__x86_rip() */
    uint64_t rflags;             /**< arithmetic bits exact only while struct vcpu.cc_w is 0 */
    uint64_t cr0, cr2, cr3, cr4;
    uint64_t xcr0;
    uint64_t dr[8];
    uint64_t pdpte[4]; /**< PAE: loaded with CR3 [SDM-3A §4.4.1] */
    struct x86_seg seg[X86_SEG_COUNT];
    struct x86_seg ldtr, tr;
    struct x86_dtr gdtr, idtr;

    uint8_t vec[32][64] __attribute__((aligned(64))); /**< zmm0-31; xmm is bytes 0-15 */
    uint64_t k[8];
    uint8_t x87[8][16] __attribute__((aligned(16))); /**< physical R0-R7, 10 bytes used; MMn is Rn */
    uint16_t fcw, fsw;                               /**< TOP is fsw bits 11-13 */
    uint8_t ftw;                                     /**< abridged: bit n set: Rn not empty */
    uint8_t pad0;
    uint16_t fop, fcs, fds;
    uint16_t pad1;
    uint64_t fip, fdp;
    uint32_t mxcsr; /**< stale while struct vcpu.fp_live */
    uint32_t pad2;

    struct x86_msrs msr;
    struct x86_lapic lapic;

    struct x86_event event;
    uint32_t smbase;
    uint8_t activity;    /**< X86_ACTIVE … */
    uint8_t shadow;      /**< X86_SHADOW_* in force for the next instruction */
    uint8_t nmi_blocked; /**< until IRET */
    uint8_t nmi_pending;
    uint8_t smi_pending;
    uint8_t init_pending;
    uint8_t sipi_pending;
    uint8_t smm;        /**< in system management mode */
    uint8_t a20_masked; /**< address line 20 forced low */
    uint8_t pad3[3];
};

#endif
