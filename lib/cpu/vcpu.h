/* SPDX-License-Identifier: MIT */
/**
 * @file vcpu.h
 * A processor: the architectural state first, and beside it what makes it fast.
 *
 * One page-aligned mapping per vCPU. Translated code reaches every member as %gs:constant, so the
 * order here is stable within a build and the arrays are inline, not pointed to.
 */
#ifndef LIBVM_CPU_VCPU_H
#define LIBVM_CPU_VCPU_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/error.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/memory.h"
#include "cpu/engine.h"
#include "cpu/x86/feature.h"
#include "cpu/x86/state.h"

struct x86_block;
struct x86_insn;
struct x86_cache;
struct x86_model;

/**
 * Soft TLB entry. Tags are guest-linear page addresses; a hit is one comparison:
 * (address ^ tag) <= 4096 - size tells page, rights and page crossing at once.
 * The invalid tag of entry i is (i ^ 1) << 12: every address that hashes to entry i differs from
 * it in bit 12, so the difference is at least 4096.
 */
struct x86_tlbe {
    uint64_t rtag;  /**< page address if reads may use host */
    uint64_t wtag;  /**< page address if writes may: D set, no code on the page, no dirty log */
    uint8_t *host;  /**< host address of the page */
    uint64_t delta; /**< host - guest-linear address */
};

/** Soft TLBs, by privilege of the access; constant displacements keep privilege free. */
enum {
    X86_TLB_U,  /**< CPL 3 */
    X86_TLB_K,  /**< supervisor, SMAP enforced when CR4.SMAP */
    X86_TLB_KU, /**< supervisor with EFLAGS.AC: user pages allowed despite SMAP */
    X86_TLB_P,  /**< paging off */
    X86_TLB_COUNT
};
enum { X86_TLB_BITS = 10, X86_TLB_SIZE = 1 << X86_TLB_BITS };

/** Execute side: page of code -> host bytes. */
struct x86_xtlbe {
    uint64_t tag;         /**< linear page address | 1 if user; all ones: invalid */
    const uint8_t *host;
    struct vm_page *page;
    uint64_t gpa;         /**< of the page */
    uint64_t global;      /**< 1: the mapping survives a CR3 load */
};
enum { X86_XTLB_SIZE = 256, X86_BLOOM_WORDS = 128 };

/** Fast view of a segment: base and exclusive ends of what may be accessed without a slow check;
 * an end of 0 sends every access to the slow path. */
struct x86_segf {
    uint64_t base;
    uint64_t end_r;
    uint64_t end_w;
};

/** Mode word: everything decoding and handler choice depend on. Part of a block's key. */
enum {
    X86_MODE_CODE = 3u << 0,   /**< log2 of default operand bytes: 1, 2, 3 */
    X86_MODE_STACK = 3u << 2,  /**< log2 of stack address bytes: 1, 2, 3 */
    X86_MODE_STACK_SHIFT = 2,
    X86_MODE_USER = 1u << 4,   /**< CPL is 3 */
    X86_MODE_REAL = 1u << 5,   /**< real or virtual-8086 mode */
    X86_MODE_FLAT = 1u << 6,   /**< 32-bit: ES, SS, DS have base 0 and limit 4 GiB */
    X86_MODE_X87 = 1u << 7,    /**< x87 usable: CR0.EM and TS clear */
    X86_MODE_SSE = 1u << 8,
    X86_MODE_AVX = 1u << 9,
    X86_MODE_MMX = 1u << 10,
    X86_MODE_SMM = 1u << 11,
    X86_MODE_STEP = 1u << 12,  /**< TF, armed debug registers or a debugger: one at a time */
    X86_MODE_WATCH = 1u << 13, /**< a debugger watches memory: blocks of one instruction */
    X86_MODE_CODE16 = 1, X86_MODE_CODE32 = 2, X86_MODE_CODE64 = 3,
};

/** Jump cache of translated code: RIP -> entry for computed targets. Invalid: rip with bit 0 of the
 * index flipped, which never hashes to the entry. */
struct x86_jit_jump {
    uint64_t rip;
    const uint8_t *code;
};
enum { X86_JIT_JC_BITS = 14, X86_JIT_JC_SIZE = 1 << X86_JIT_JC_BITS };

/**
 * Window of translated code: a page that a place in the code, or all stack accesses, met last. A hit is
 * (address ^ tag) <= 4096 - size, then address + delta is the host's. One that is not in use has a
 * tag outside the canonical addresses and leads to x86_jit_cpu.nowhere: cpu/jit/window.c.
 */
struct x86_jit_window {
    uint64_t tag;
    uint64_t delta;
};
enum { X86_JIT_WINDOWS = 256, X86_WINDOWS_USED = X86_JIT_WINDOWS / 64 };
#define X86_JIT_NO_TAG UINT64_C(0x4e4f20574e444000)

struct jit_code;
struct jit_meter;

/** What translated code keeps beside the state: see cpu/jit/jit.h. */
struct x86_jit_cpu {
    uint16_t flags; /**< arithmetic flags as LAHF and SETO AL leave them in AX */
    uint8_t vec;    /**< vector registers that are live in the host: JIT_VEC_* */
    uint8_t exit;   /**< why translated code returned: JIT_EXIT_* */
    bool one;       /**< interpret the next instruction */
    uint32_t mode;  /**< mode | tlb_idx << 24 */
    uint64_t key[2]; /**< code_gen, mode and tlb_idx in one word: x86_jit_rekey() */
    uint32_t site;
    int64_t rest;   /**< of the budget, beyond what translated code holds in a register */
    uint64_t tmp;
    struct jit_code *code;
    struct jit_meter *scattered; /**< a place whose window keeps missing */
    const struct x86_insn *(*fn)(struct vcpu *c, const struct x86_insn *i);
    struct x86_jit_jump jc[X86_JIT_JC_SIZE];
    uint64_t win_used[X86_TLB_COUNT][X86_WINDOWS_USED];
    struct x86_jit_window win[X86_TLB_COUNT][X86_JIT_WINDOWS];
    uint8_t nowhere[VM_PAGE_SIZE] __attribute__((aligned(64)));
};

enum { X86_BOUNCE = 512 };
/** MAXPHYADDR that CPUID shows and the walks enforce. */
enum { X86_PHYS_BITS = 46 };

enum { X86_SHOOT_MAX = 128 };
/** Engines a machine may be built for. */
enum { X86_ENGINES_MAX = 4 };

/**
 * How to reach an engine that executes where it does not look at vcpu.req: in the kernel. poke() is
 * called after a request was set, wait-free, by any thread and from signal handlers.
 */
struct x86_kick {
    void (*poke)(struct x86_kick *k);
};

/** All processors of a machine. */
struct x86_cpus {
    struct vm_machine *m;
    const struct vm_engine *engine; /**< at work: one of engines[] */
    const struct vm_engine *engines[X86_ENGINES_MAX + 1]; /**< it may use, preferred first */
    void *engine_data;
    char not_used[256]; /**< lines about engines that could have been, and why they are not */
    const struct x86_model *model; /**< own_model, once chosen */
    struct x86_model *own_model;
    uint64_t have[X86_FEAT_WORDS]; /**< what CPUID shows, fixed when the machine is built */
    uint64_t tsc_hz;               /**< rate of the guest's TSC */
    uint64_t tsc_mul;              /**< TSC ticks per nanosecond, times 2^32 */
    uint32_t n;
    struct vcpu *cpu[VM_MAX_CPUS];
    _Atomic uint32_t bus_lock;     /**< split and uncached LOCKed accesses */
    _Atomic uint8_t a20_masked;    /**< level of A20M#, which processors take up by VM_CPU_REQ_MEM */
    /* Pages that got their first code while other processors may still hold cached write
     * permission: x86/code_page.c. */
    _Atomic uint32_t shoot_lock;
    uint32_t n_shoot;
    struct x86_shoot {
        struct vm_page *page;
        uint64_t waiting[VM_MAX_CPUS / 64]; /**< by processor index: has not answered yet */
    } shoot[X86_SHOOT_MAX];
    uint64_t shoot_all[VM_MAX_CPUS / 64]; /**< the same for pages that found the list full */
};

struct vcpu {
    struct x86_state st;

    /* Lazy flags: see cpu/x86/flags.h. */
    uint64_t cc_x;
    int64_t cc_res;
    uint32_t cc_w;

    _Atomic uint32_t req;   /**< VM_CPU_REQ_*, set by any thread, polled between blocks */
    _Atomic(struct x86_kick *) kick; /**< the engine's, or NULL: it polls req */
    _Atomic uint32_t kickers;        /**< threads that are looking at it: it must not go */
    _Atomic uint32_t parked; /**< outside run(): polls before it touches guest memory again */
    uint32_t mode;          /**< X86_MODE_* */
    uint32_t cpl;
    uint32_t tlb_idx;       /**< X86_TLB_* for data accesses now */
    uint32_t intr_pending;  /**< an interrupt waits for IF or a shadow: STI must look again */
    struct x86_tlbe *tlb_cur; /**< tlb[tlb_idx] */
    struct x86_segf segf[X86_SEG_COUNT];

    const struct x86_block *blk;  /**< block being run */
    const struct x86_insn *cur;   /**< instruction that is calling out; valid in slow paths */
    int64_t insns_left;           /**< budget, already reduced by the whole running block */
    uint64_t insns_limit;         /**< instructions executed = insns_limit - insns_left - (rest of block) */
    uint64_t code_gen[2];         /**< [global]: bumped when code mappings may have changed */
    uint64_t code_base;           /**< CS base and limit, outside 64-bit mode, that code_gen knows of */
    uint32_t code_limit;
    uint8_t fp_live;              /**< what the host MXCSR holds: X86_FP_*, 0 if the host's own */
    uint32_t host_mxcsr;
    bool x87_live;                /**< the host's x87 unit holds the guest's registers */
    uint16_t host_fcw;            /**< while live: the host's control word */
    bool x87_unmasked;            /**< while live: FCW leaves some exception unmasked */

    jmp_buf jmp;                  /**< where a fault unwinds to */
    struct vm_cpu cpu;            /**< floor 1's view */
    struct x86_cpus *cpus;
    struct x86_cache *cache;      /**< interpreter's decoded blocks */
    void *engine_data;
    struct x86_jit_cpu jit;
    struct vm_timer apic_timer;
    _Atomic uint32_t nmis; /**< NMIs that came with VM_CPU_REQ_NMI */
    _Atomic uint64_t apic_deadline; /**< clock, in ns, when the APIC timer fires; 0: stopped */
    struct vm_page *lock_page;    /**< LOCKed operand on a page with code: see mmu.c */
    bool bus_locked;              /**< holds cpus->bus_lock */
    bool align_check;             /**< #AC is on for data accesses now */
    bool step_tf;                 /**< TF was set when the instruction began */
    uint64_t dr_hits;             /**< DR6 bits of data breakpoints met by this instruction */
    uint32_t dbg_mode;            /**< X86_MODE_STEP, X86_MODE_WATCH: what a debugger asks for */
    bool hook_pass;               /**< hooks were called for the code at hook_pass_at: go on */
    uint64_t hook_pass_at;        /**< guest-linear */
    uint32_t dbg_stop;            /**< 1 << VM_DEBUG_*: poll comes back with VM_CPU_DEBUG */
    struct {
        uint64_t addr;
        uint32_t len;
        bool is_write;
    } dbg_watch;                  /**< the access, with VM_DEBUG_WATCH in dbg_stop */

    uint8_t bounce[X86_BOUNCE] __attribute__((aligned(64)));
    struct {
        uint64_t misses;  /**< accesses that no soft TLB entry allowed */
        uint64_t devices; /**< of these, accesses to what is no memory */
    } count;
    uint32_t tlb_fill[X86_TLB_COUNT];                  /**< entries in tlb_used */
    uint16_t tlb_used[X86_TLB_COUNT][X86_TLB_SIZE];    /**< indexes filled since the last flush */
    uint8_t tlb_global[X86_TLB_COUNT][X86_TLB_SIZE / 8]; /**< by index: the mapping is global */
    uint64_t tlb_large[X86_BLOOM_WORDS]; /**< Bloom set of 2 MiB regions filled from large pages */
    uint64_t tlb_huge;                   /**< the same for 1 GiB regions of 1 GiB pages, 64 bits */
    uint64_t code_pages[X86_BLOOM_WORDS]; /**< Bloom set of pages that code was fetched from */
    struct x86_xtlbe xtlb[X86_XTLB_SIZE];
    struct x86_tlbe tlb[X86_TLB_COUNT][X86_TLB_SIZE] __attribute__((aligned(4096)));
};

static inline struct vcpu *vm__vcpu(struct vm_cpu *cpu)
{
    return (struct vcpu *)(void *)((char *)cpu - offsetof(struct vcpu, cpu));
}

static inline bool vm__x86_has(const struct vcpu *c, enum x86_feature f)
{
    return vm__x86_have(c->cpus->have, f);
}

static inline bool x86_is64(const struct vcpu *c)
{
    return (c->mode & X86_MODE_CODE) == X86_MODE_CODE64;
}
static inline bool x86_is_real(const struct vcpu *c) /* real or virtual-8086 */
{
    return c->mode & X86_MODE_REAL;
}
static inline bool x86_is_v86(const struct vcpu *c)
{
    return (c->st.rflags & X86_VM) != 0;
}
static inline bool x86_lma(const struct vcpu *c)
{
    return (c->st.msr.efer & X86_EFER_LMA) != 0;
}

/* vcpu.c: the processor class that floor 1 sees; requests, events and interrupts between
 * instructions, for every engine that runs in this process. */
extern const struct vm_cpu_class vm__x86_cpu_class;

/** Recompute mode, cpl, tlb_idx, segf and code_gen after CR0, CR4, EFER, RFLAGS.VM/AC/TF, DR7 or a
 * segment register changed. Cheap when nothing did. */
void vm__x86_sync_mode(struct vcpu *c);
/** The part of it that follows CPL, RFLAGS.AC and CR0.PG: which soft TLB is in force. */
void vm__x86_sync_ac(struct vcpu *c);

enum x86_poll { X86_POLL_RUN = -1 }; /* else an enum vm_cpu_stop */
/**
 * Everything that happens between two instructions: requests, pending events and their delivery,
 * interrupts, activity states. Engines call it before entering a block when `req` is set, an
 * event is pending or the processor is not active. Faults unwind to c->jmp.
 * @return X86_POLL_RUN, or the reason to come back from run().
 */
int vm__x86_poll(struct vcpu *c, struct vm_exit *exit);

/** Does a maskable interrupt wait to be taken, leaving aside whether one may be? */
bool vm__x86_intr_waits(const struct vcpu *c);
/** Acknowledge it: the vector, which must then be delivered. */
int vm__x86_intr_ack(struct vcpu *c);

/** After code_gen, mode or tlb_idx changed: what translated code compares with. */
static inline void x86_jit_rekey(struct vcpu *c)
{
    _Static_assert(X86_MODE_WATCH < 1 << 14 && X86_TLB_COUNT <= 4, "mode and soft TLB in 16 bits");
    for (unsigned g = 0; g < 2; g++)
        c->jit.key[g] = c->code_gen[g] << 16 | c->tlb_idx << 14 | c->mode;
}

/** Poll before the next block: the interrupt sources, or something like IF, changed. [cpu thread] */
static inline void x86_recheck(struct vcpu *c)
{
    atomic_fetch_or_explicit(&c->req, VM_CPU_REQ_INTR, memory_order_relaxed);
}
/** The same if a maskable interrupt is known to wait for IF. */
static inline void x86_recheck_pending(struct vcpu *c)
{
    if (__builtin_expect(c->intr_pending != 0, 0))
        x86_recheck(c);
}

/** Instructions this processor has executed, exact at any call-out. */
uint64_t vm__x86_insns(struct vcpu *c);

#endif
