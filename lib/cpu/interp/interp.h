/* SPDX-License-Identifier: MIT */
/**
 * @file interp.h
 * The interpreter: decoded blocks run by direct calls from handler to handler.
 *
 * A handler does its instruction and tail-calls the next one (X86_NEXT); the last instruction of a
 * block looks up the block it goes to and calls into it (X86_TAKE, X86_FALL, X86_JUMP). Control
 * comes back to run.c only for requests, events, misses and mode changes. In builds without
 * reliable tail calls (-Dthreaded=false, sanitizers) X86_DISPATCH returns the next instruction and
 * a loop calls it.
 *
 * Blocks are private to a vCPU. A block is entered only while
 *   - its page's code_version is what it was when the bytes were read, and
 *   - the mapping it was found through is still current (gen equals c->code_gen[global]).
 */
#ifndef LIBVM_CPU_INTERP_INTERP_H
#define LIBVM_CPU_INTERP_INTERP_H

#include "cpu/vcpu.h"
#include "cpu/x86/exception.h"
#include "cpu/x86/flags.h"
#include "cpu/x86/insn.h"
#include "cpu/x86/mmu.h"

/** A decoded basic block: straight-line code within one page (or one instruction that straddles
 * two), keyed by physical address, RIP, CS base and mode. */
struct x86_block {
    uint64_t rip;  /**< of the first instruction; insns[k] is at rip + insns[k].off */
    uint64_t gen;  /**< c->code_gen[global] when the mapping was last checked */
    uint64_t gpa;
    uint64_t cs_base;
    uint32_t cs_limit;
    struct vm_page *page;
    uint32_t version;  /**< page->code_version when decoded */
    uint32_t mode;
    uint32_t n;        /**< guest instructions; insns[n] is the fall-through if none branches */
    uint16_t bytes;
    uint8_t global;    /**< which code_gen */
    uint8_t hooks;     /**< VM_HOOK_CODE kinds that look at its first instruction */
    uint8_t straddles; /**< two pages: page2 and version2 count, never linked */
    struct vm_page *page2;
    uint32_t version2;
    struct x86_block *link[2]; /**< direct successors: not taken or fall-through, taken */
    struct x86_block *hash_next;
    /* The JIT's: the first instruction's own handler, entries so far, translations by soft TLB. */
    x86_fn *fn0;
    x86_fn *const *fns; /**< every instruction's, once translated */
    uint32_t entered;
    uint64_t scattered; /**< by instruction: its operand changes pages too often for a window */
    struct jit_code *code[X86_TLB_COUNT];
    struct x86_insn insns[];
};

/** Function choices of a row: [osz or VEX.L][variant]. */
enum { X86_V_REG = 0, X86_V_FLAT = 1, X86_V_GEN = 2, X86_V_LOCK = 3 };
struct x86_bind {
    x86_fn *fn[4][4];
    uint8_t by_l;
    uint8_t stack; /**< shape s: flat form in 64-bit mode */
};
extern const struct x86_bind vm__interp_bind[]; /* by row */

#if defined(LIBVM_THREADED)
#define X86_DISPATCH(c, i)                                                                         \
    do {                                                                                           \
        const struct x86_insn *next_ = (i);                                                        \
        return next_->fn((c), next_);                                                              \
    } while (0)
#else
#define X86_DISPATCH(c, i) return (i)
#endif
/** End of an ordinary handler. */
#define X86_NEXT(c, i) X86_DISPATCH(c, (i) + 1)
/** Define a handler. */
#define X86_H(name)                                                                                \
    extern x86_fn vm__h_##name;                                                                    \
    const struct x86_insn *vm__h_##name(struct vcpu *c, const struct x86_insn *i)

/**
 * Define a handler by a function that is not inlined into it. Needed wherever the address of a
 * local variable escapes: the compiler then cannot turn the dispatch at the handler's end into a
 * jump, and every instruction would cost stack (tests/meta looks for such handlers).
 */
#define X86_NOINLINE __attribute__((noinline))
#define X86_H_CALLS(name)                                                                          \
    static X86_NOINLINE void run_##name(struct vcpu *c, const struct x86_insn *i);                 \
    X86_H(name)                                                                                    \
    {                                                                                              \
        run_##name(c, i);                                                                          \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    static X86_NOINLINE void run_##name(struct vcpu *c, const struct x86_insn *i)

/** An instruction whose handler leaves the block: st.rip has been set. */
extern const struct x86_insn vm__interp_leave;

/** Slow parts of the jumps below: they find (and link) the next block and dispatch into it, or
 * leave with st.rip set. Called in tail position, so that the fast paths need no stack frame. */
extern x86_fn vm__interp_go_taken; /**< branch @p i of the running block is taken: to i->imm */
extern x86_fn vm__interp_go_next;  /**< to the instruction after @p i */
const struct x86_insn *vm__interp_go_rip(struct vcpu *c, uint64_t rip);

enum { X86_JC_BITS = 12, X86_JC_SIZE = 1 << X86_JC_BITS };
/** The interpreter's per-vCPU cache; jump cache by RIP first. */
struct x86_cache {
    struct x86_block *jc[X86_JC_SIZE];
    /* the rest is run.c's and block.c's */
    struct x86_block **hash;
    uint32_t hash_mask;
    uint32_t n_blocks;
    uint8_t *arena, *arena_end, *arena_at;
    struct x86_block *scratch; /**< for what is run once: a budget's rest, code in MMIO */
    uint64_t flushes, decoded;
    bool full; /**< to be emptied before the next block is looked for */
    /* Called for every new block, and after the cache was emptied; NULL without a JIT. */
    void (*built)(struct vcpu *c, struct x86_block *b);
    void (*flushed)(struct vcpu *c);
};

/** The block at @p rip, decoded if need be; may fault (st.rip is set to rip first). Never NULL: code
 * outside memory gets a one-instruction scratch block. */
struct x86_block *vm__interp_find(struct vcpu *c, uint64_t rip);
/** The first @p n instructions of @p b as a block of its own. */
struct x86_block *vm__interp_partial(struct vcpu *c, const struct x86_block *b, uint32_t n);
/** The running block's code was overwritten by its own instruction c->cur: redirect the rest. */
void vm__interp_cut(struct vcpu *c);
/** The handler that does instruction @p k of @p b alone. */
x86_fn *vm__interp_handler(const struct vcpu *c, const struct x86_block *b, uint32_t k);
/** The interpreter's run loop, and its answer to flushes, for engines built upon it. */
enum vm_cpu_stop vm__interp_run(struct vcpu *c, uint64_t max_insns, struct vm_exit *exit);
void vm__interp_load(struct vcpu *c);
void vm__interp_store(struct vcpu *c);
void vm__interp_flush(struct vcpu *c, enum vm_flush what, uint64_t gva);
int vm__interp_cache_init(struct vcpu *c);
void vm__interp_cache_fini(struct vcpu *c);
void vm__interp_cache_flush(struct vcpu *c);
/** Drop CPU features that this host cannot execute for us. */
void vm__interp_host_features(const struct vm_machine *m, uint64_t *have);

static inline unsigned x86_jc_hash(uint64_t rip)
{
    return (unsigned)((rip ^ rip >> X86_JC_BITS) & (X86_JC_SIZE - 1));
}

/** May the block be entered now? */
static inline bool x86_block_ok(const struct vcpu *c, const struct x86_block *b)
{
    return b->gen == c->code_gen[b->global] &&
           b->version == atomic_load_explicit(&b->page->code_version, memory_order_relaxed) &&
           atomic_load_explicit(&c->req, memory_order_relaxed) == 0 &&
           c->insns_left >= (int64_t)b->n;
}

static inline const struct x86_insn *x86_enter(struct vcpu *c, const struct x86_block *b)
{
    c->blk = b;
    c->insns_left -= b->n;
    return b->insns;
}

/** End of a branch handler: continue at i->imm (slot 1), at the next instruction (slot 0), or at a
 * computed and checked RIP. */
#define X86_GO_(c, i, slot, slow)                                                                  \
    do {                                                                                           \
        const struct x86_block *to_ = (c)->blk->link[slot];                                        \
        if (x86_likely(to_ != NULL && x86_block_ok((c), to_)))                                     \
            X86_DISPATCH(c, x86_enter((c), to_));                                                  \
        return slow((c), (i));                                                                     \
    } while (0)
#define X86_TAKE(c, i) X86_GO_(c, i, 1, vm__interp_go_taken)
#define X86_FALL(c, i) X86_GO_(c, i, 0, vm__interp_go_next)
#define X86_JUMP(c, target)                                                                        \
    do {                                                                                           \
        uint64_t rip_ = (target);                                                                  \
        const struct x86_block *to_ = (c)->cache->jc[x86_jc_hash(rip_)];                           \
        if (x86_likely(to_ != NULL && to_->rip == rip_ && to_->mode == (c)->mode &&                \
                       x86_block_ok((c), to_)))                                                    \
            X86_DISPATCH(c, x86_enter((c), to_));                                                  \
        return vm__interp_go_rip((c), rip_);                                                       \
    } while (0)

/** A near branch target: canonical, or within CS [SDM-2A JMP]; else #GP(0) at the branch. */
static inline void x86_check_target(struct vcpu *c, const struct x86_insn *i, uint64_t rip)
{
    if (x86_is64(c)) {
        if (x86_unlikely((rip + (UINT64_C(1) << 47)) >> 48) && !x86_canonical(c, rip))
            x86_gp(c, i, 0);
    } else if (x86_unlikely(rip > c->st.seg[X86_CS].limit)) {
        x86_gp(c, i, 0);
    }
}

/** RIP of the running block's instruction @p i, and of the one after it. */
static inline uint64_t x86_rip(const struct vcpu *c, const struct x86_insn *i)
{
    return c->blk->rip + i->off;
}
static inline uint64_t x86_next_rip(const struct vcpu *c, const struct x86_insn *i)
{
    uint64_t rip = c->blk->rip + i->off + i->len;
    return x86_is64(c) ? rip : (uint32_t)rip;
}

/** End a block after an instruction that may have changed mode, mappings or interruptibility:
 * st.rip is set to the next instruction, run.c looks at everything again. Handlers that set
 * st.rip themselves return &vm__interp_leave through X86_LEAVE instead. */
#define X86_END(c, i)                                                                              \
    do {                                                                                           \
        vm__x86_leave_after(c, i);                                                                 \
        X86_DISPATCH(c, &vm__interp_leave);                                                        \
    } while (0)
#define X86_LEAVE(c) X86_DISPATCH(c, &vm__interp_leave)

/* ---- width vocabulary, for the macros that write one handler per width ---- */

#define X86_S8  int8_t
#define X86_S16 int16_t
#define X86_S32 int32_t
#define X86_S64 int64_t
#define X86_U8  uint8_t
#define X86_U16 uint16_t
#define X86_U32 uint32_t
#define X86_U64 uint64_t

/* clang-format off */
static inline uint8_t x86_get_8(struct vcpu *c, uint8_t off) { return *x86_r8(c, off); }
static inline uint16_t x86_get_16(struct vcpu *c, uint8_t off) { return *x86_r16(c, off); }
static inline uint32_t x86_get_32(struct vcpu *c, uint8_t off) { return x86_get32(c, off); }
static inline uint64_t x86_get_64(struct vcpu *c, uint8_t off) { return *x86_r64(c, off); }
static inline void x86_set_8(struct vcpu *c, uint8_t off, uint8_t v) { *x86_r8(c, off) = v; }
static inline void x86_set_16(struct vcpu *c, uint8_t off, uint16_t v) { *x86_r16(c, off) = v; }
static inline void x86_set_32(struct vcpu *c, uint8_t off, uint32_t v) { x86_set32(c, off, v); }
static inline void x86_set_64(struct vcpu *c, uint8_t off, uint64_t v) { *x86_r64(c, off) = v; }
/* clang-format on */

/** Memory operand at run-time width: for handlers not worth a function per width. */
static inline uint64_t x86_ld(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned osz)
{
    switch (osz) {
    case 0: return x86_ld8(c, i, lin);
    case 1: return x86_ld16(c, i, lin);
    case 2: return x86_ld32(c, i, lin);
    default: return x86_ld64(c, i, lin);
    }
}
static inline void x86_st(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned osz,
                          uint64_t v)
{
    switch (osz) {
    case 0: x86_st8(c, i, lin, (uint8_t)v); break;
    case 1: x86_st16(c, i, lin, (uint16_t)v); break;
    case 2: x86_st32(c, i, lin, (uint32_t)v); break;
    default: x86_st64(c, i, lin, v); break;
    }
}
static inline uint64_t x86_get(struct vcpu *c, uint8_t off, unsigned osz)
{
    switch (osz) {
    case 0: return *x86_r8(c, off);
    case 1: return *x86_r16(c, off);
    case 2: return x86_get32(c, off);
    default: return *x86_r64(c, off);
    }
}
static inline void x86_set(struct vcpu *c, uint8_t off, unsigned osz, uint64_t v)
{
    switch (osz) {
    case 0: *x86_r8(c, off) = (uint8_t)v; break;
    case 1: *x86_r16(c, off) = (uint16_t)v; break;
    case 2: x86_set32(c, off, (uint32_t)v); break;
    default: *x86_r64(c, off) = v; break;
    }
}

/* ---- stack ---- */

/** Stack pointer masked to the stack address size; and its update. */
static inline unsigned x86_stack_size(const struct vcpu *c) /* log2 of bytes: 1, 2, 3 */
{
    return (c->mode & X86_MODE_STACK) >> X86_MODE_STACK_SHIFT;
}
static inline uint64_t x86_sp(struct vcpu *c)
{
    return x86_get(c, X86_RSP * 8, x86_stack_size(c));
}
static inline void x86_set_sp(struct vcpu *c, uint64_t sp)
{
    unsigned s = x86_stack_size(c);
    if (s == 1)
        c->st.gpr[X86_RSP] = (c->st.gpr[X86_RSP] & ~UINT64_C(0xffff)) | (sp & 0xffff);
    else
        c->st.gpr[X86_RSP] = s == 2 ? (uint32_t)sp : sp;
}
/** Push of 1 << osz bytes in any mode: check, store, then move SP. */
void vm__x86_push(struct vcpu *c, const struct x86_insn *i, unsigned osz, uint64_t v);
/** Load from SP + @p skip bytes, SP not moved. */
uint64_t vm__x86_peek_stack(struct vcpu *c, const struct x86_insn *i, unsigned osz, unsigned skip);

/* ---- vectors ---- */

static inline uint8_t *x86_vec(struct vcpu *c, unsigned n)
{
    return c->st.vec[n];
}
/** Source operand of @p size bytes at ModRM.rm: the register itself, or c->bounce after a load.
 * @p align: #GP(0) unless aligned to size. */
const void *vm__x86_vec_src(struct vcpu *c, const struct x86_insn *i, uint8_t reg, unsigned size,
                            bool align);

/* ---- calls out ---- */

/** Give the host its MXCSR back (fp.c), and its x87 unit (x87.c), with the guest's in the state. */
void vm__x86_fp_leave(struct vcpu *c);
void vm__x87_leave_slow(struct vcpu *c);

/** Before code that may use floating point, belongs to the embedder, or looks at mxcsr, fcw, fsw,
 * ftw or x87[] of the state. Device and memory slow paths do it through x86_callout(). */
static inline void x86_host_leave(struct vcpu *c)
{
    if (x86_unlikely(c->fp_live))
        vm__x86_fp_leave(c);
    if (x86_unlikely(c->x87_live))
        vm__x87_leave_slow(c);
}

static inline void x86_callout(struct vcpu *c, const struct x86_insn *i)
{
    c->cur = i;
    x86_host_leave(c);
}

#endif
