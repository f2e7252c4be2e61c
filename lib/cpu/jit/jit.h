/* SPDX-License-Identifier: MIT */
/**
 * @file jit.h
 * The JIT: the interpreter's decoded blocks as host code.
 *
 * A block (struct x86_block) that has been entered often enough is translated; from then on its
 * first instruction's handler is vm__h_jit_enter, and those of the others hand control back to
 * translated code. So translated and interpreted code mix freely, and whatever the translator has
 * no code for is done by the interpreter's handler: jit_call() in translate.h. doc/internals/jit.md
 * has registers, entries, exits and invariants.
 */
#ifndef LIBVM_CPU_JIT_JIT_H
#define LIBVM_CPU_JIT_JIT_H

#include "cpu/interp/fp.h"
#include "cpu/interp/interp.h"
#include "cpu/jit/emit.h"

struct x86_jit_cache;

/** Host registers with a job of their own; the rest hold the guest's registers of the same name. */
enum {
    H_CPU = H_R8,   /**< struct vcpu */
    H_T0 = H_R10,   /**< scratch; addresses */
    H_T1 = H_R9,    /**< scratch */
    H_SP = H_R11,   /**< the guest's RSP */
    H_LEFT = H_R15, /**< insns_left, or as much of it as comes before the next look at requests */
};

/** Instructions between two looks at the request word: about a microsecond. */
enum { JIT_CHUNK = 4096 };

/** Host register of a guest register, or H_NONE: it lives in memory. */
static inline int jit_home(unsigned guest)
{
    if (guest == X86_RSP)
        return H_SP;
    return (guest >= X86_R8 && guest <= X86_R11) || guest == X86_R15 ? H_NONE : (int)guest;
}

/** A direct jump out of a block. */
struct jit_site {
    uint8_t *rel;  /**< its rel32, writable address */
    uint64_t rip;  /**< where the guest goes */
    uint8_t entry; /**< enum jit_entry it must use */
};

/** Ways into a block's code, each falling into the next: they check what may have changed. */
enum jit_entry {
    JIT_INDIRECT, /**< as the next; for computed targets and changes of soft TLB */
    JIT_FAR,      /**< the mapping, mode and soft TLB (key), and code_version: from another page */
    JIT_BACK,     /**< with `exact`, requests: backward within a page */
    JIT_NEAR,     /**< the budget: forward within a page */
    JIT_BODY,     /**< nothing: all of it has been checked */
    JIT_ENTRIES
};

/** One translation: of a block, for one soft TLB. */
struct jit_code {
    struct x86_block *blk;
    const uint8_t *entry[JIT_ENTRIES]; /**< executable addresses */
    struct jit_site *site;
    uint8_t n_sites;
    uint64_t key;   /**< x86_jit_cpu.key when the way here was last checked */
    uint8_t tlb;    /**< X86_TLB_*: which soft TLB its accesses use */
    bool forwarded; /**< stale, and its entries jump to the successor's */
    uint32_t bytes; /**< host code */
    x86_fn *fn[];   /**< by instruction: the interpreter's handler */
};

/** Counts the misses of a window that follow each other closely. */
struct jit_meter {
    int64_t at;    /**< H_LEFT at the last one */
    int32_t left;  /**< until the instruction is taken to be scattered */
    uint32_t insn; /**< its number in the block */
    int64_t near;  /**< how many instructions apart is close */
    struct jit_code *code;
};
enum { JIT_METER_MISSES = 32 };

/** Kept in x86_jit_cpu.exit by the exits that want something of C. */
enum jit_exit {
    JIT_EXIT_LEAVE,    /**< to the run loop, st.rip is set */
    JIT_EXIT_DISPATCH, /**< run a handler that may go anywhere: x86_jit_cpu.fn, instruction returned
                        */
    JIT_EXIT_LINK,     /**< a direct jump without target yet: x86_jit_cpu.code, .site */
    JIT_EXIT_STALE,    /**< an entry check failed: x86_jit_cpu.code */
};

/** Code shared by all blocks, at the start of the cache; see stubs.c. Executable addresses. */
struct jit_stubs {
    const struct x86_insn *(*enter)(struct vcpu *c, const uint8_t *code);
    const uint8_t *call;     /**< H_T1: struct jit_code, T0: JIT_CALL_* word: a handler, and back */
    const uint8_t *vec;      /**< the same arguments: vector registers become live */
    const uint8_t *leave;    /**< the same: to the run loop, before that instruction */
    const uint8_t *dispatch; /**< the same: leave for a handler */
    const uint8_t *link;     /**< T1: struct jit_code, T0: site */
    const uint8_t *stale;    /**< T1: struct jit_code */
    const uint8_t *meter;    /**< RAX: struct jit_meter, a miss */
    const uint8_t *budget;   /**< T1: struct jit_code, whose NEAR entry found too little left */
};

/** The word given to stubs in T0. */
enum {
    JIT_CALL_INSN = 0xff,     /**< index of the instruction */
    JIT_CALL_FLAGS = 1 << 16, /**< host flags are wanted afterwards */
    JIT_CALL_VEC_SHIFT = 17,  /**< two bits: vector registers are live again afterwards */
};

/** How much of the vector registers is live in the host. */
enum { JIT_VEC_NONE, JIT_VEC_XMM, JIT_VEC_YMM };

/** Per processor: code, its descriptions, counters. */
struct x86_jit_cache {
    uint8_t *rw; /**< writable mapping of the code */
    uint8_t *rx; /**< executable mapping */
    struct emit hot, cold;
    uint8_t *hot_start, *cold_start; /**< behind the stubs */
    uint8_t *arena, *arena_at;       /**< struct jit_code */
    struct jit_tr *tr;               /**< the translator's notes */
    struct jit_stubs stubs;
    uint64_t host[X86_FEAT_WORDS]; /**< what this host executes */
    bool bmi2, avx;
    bool windows; /**< use them: window.c */
    uint32_t next_window;
    bool exact;         /**< keep flags exact at every instruction that may leave a block */
    uint32_t threshold; /**< entries before a block is translated */
    int perf_fd;        /**< of perf's map, or negative */
    struct {
        uint64_t blocks, insns, native, bytes, flushes, links, forwards;
        uint64_t ns; /**< host time spent translating */
        uint64_t exits[4];
        uint64_t *calls; /**< by row: handlers run for translated code */
    } count;
};

static inline struct x86_jit_cache *jit_cache(const struct vcpu *c)
{
    return c->engine_data;
}

extern const struct vm_engine vm__jit_engine;

/* cache.c */
int vm__jit_cache_init(struct vcpu *c);
void vm__jit_cache_fini(struct vcpu *c);
/** Forget every translation; the interpreter's blocks go with them. */
struct jit_code *vm__jit_code_alloc(struct vcpu *c, uint32_t n);
/** @p bytes beside the translations, or NULL. */
void *vm__jit_arena(struct vcpu *c, size_t bytes);
/** Aim site @p n of @p from at @p to. */
void vm__jit_link(struct vcpu *c, struct jit_code *from, unsigned n, const struct jit_code *to);
/** Make the entries of a translation that is stale for good jump to its successor's. */
void vm__jit_forward(struct vcpu *c, struct jit_code *old, const struct jit_code *to);

/* perf_map.c */
int vm__jit_perf_open(struct x86_jit_cache *k);
void vm__jit_perf_close(struct x86_jit_cache *k);
void vm__jit_perf_stubs(struct x86_jit_cache *k);
/** A block's code lies from @p hot and @p cold, writable addresses, to where they are emitted now.
 */
void vm__jit_perf_block(struct x86_jit_cache *k, const struct jit_code *code, const uint8_t *hot,
                        const uint8_t *cold);

/* stubs.c */
void vm__jit_stubs(struct x86_jit_cache *k);

/* translate.c: NULL when there is no room. */
struct jit_code *vm__jit_translate(struct vcpu *c, struct x86_block *b);

/* window.c: translate a block anew, without the window that x86_jit_cpu.scattered says. */
void vm__jit_scattered(struct vcpu *c);

/* live.c: flags wanted before and after each instruction of a block, and if it ends in a
 * conditional jump, behind it when not taken and when taken. */
void vm__jit_live(struct vcpu *c, const struct x86_block *b, uint8_t before[], uint8_t after[],
                  uint8_t edge[2]);

/* Helpers that stubs call. */
void vm__jit_flags_in(struct vcpu *c);
bool vm__jit_vec_enter(struct vcpu *c);
void vm__jit_leave(struct vcpu *c, const struct x86_insn *i);
void vm__jit_refuse(struct vcpu *c, const struct x86_insn *i);

/** Flags between C's form and that of LAHF and SETO: AH in bits 15-8, OF in bit 0. */
static inline uint16_t jit_pack_flags(uint64_t f)
{
    return (uint16_t)((f & 0xff) << 8 | (f >> 11 & 1));
}

static inline unsigned jit_jc_hash(uint64_t rip)
{
    return (unsigned)(rip >> 1 & (X86_JIT_JC_SIZE - 1));
}

/** Byte offsets in struct vcpu, for operands based on H_CPU. */
#define JIT_CPU(field) emit_at(H_CPU, (int32_t)offsetof(struct vcpu, field))

#endif
