/* SPDX-License-Identifier: MIT */
/**
 * @file translate.h
 * A block being translated: what the parts of the translator share.
 *
 * An instruction is tried by the part that may know it; a part first decides from the decoded
 * instruction alone, and only then emits. What nobody knows becomes a call of its handler.
 *
 * Every memory access is checked before the instruction changes anything. Where the check fails,
 * the whole instruction is done by its handler instead, and the block goes on behind it; so there
 * is one slow path for everything: misses, faults, devices, page crossings, code pages.
 */
#ifndef LIBVM_CPU_JIT_TRANSLATE_H
#define LIBVM_CPU_JIT_TRANSLATE_H

#include "cpu/jit/jit.h"

enum {
    JIT_MAX_INSNS = 64,
    JIT_MAX_COLD = 8 * JIT_MAX_INSNS,
    JIT_MAX_SITES = 24,
    JIT_MAX_GROUPS = 24
};

/** What code that is seldom run does. */
enum jit_cold_kind {
    JIT_COLD_CALL,   /**< call the handler, come back behind the instruction */
    JIT_COLD_TAIL,   /**< call the handler, go on in the block that begins behind it */
    JIT_COLD_WINDOW, /**< a window missed: ask the soft TLB; the next one says what if that fails */
    JIT_COLD_VEC,    /**< make vectors live, come back */
    JIT_COLD_DISPATCH, /**< leave for the handler */
    JIT_COLD_LEAVE,    /**< to the run loop, before the instruction */
    JIT_COLD_LINK,     /**< a direct jump that has no target yet: word is the site */
    JIT_COLD_STALE,    /**< an entry check failed */
    JIT_COLD_BUDGET,   /**< the same for the budget, which was taken already */
};

struct jit_cold {
    uint8_t *site; /**< rel32 of the jump here */
    const uint8_t *back;
    uint32_t word;
    uint8_t kind;
    /* JIT_COLD_WINDOW: what was compared. */
    bool write, direct;
    uint8_t align;
    uint16_t slot, size;
    struct emit_mem ea;
};

/** An access to [register + constant], as the block's beginning sees it: see window.c. */
struct jit_ref {
    bool ok, write;
    uint8_t base, version, seg, size;
    int64_t disp;
};

/** Accesses that one comparison covers. */
struct jit_group {
    struct jit_ref ref;
    int64_t lo, hi;
    uint32_t last; /**< instruction */
    uint16_t slot;
    bool write, live;
};

/** What is accessed. */
struct jit_access {
    struct emit_mem ea; /**< if direct; else T0 is the linear address */
    bool direct, write;
    unsigned size, align;
    enum jit_cold_kind kind;
};

struct jit_tr {
    struct vcpu *c;
    struct x86_jit_cache *k;
    struct x86_block *b;
    struct jit_code *code;
    struct emit *hot;
    const struct x86_insn *i; /**< being translated */
    const struct x86_row *row;
    uint32_t n;    /**< its index */
    unsigned pass; /**< flags wanted after it that it may leave as they are */
    bool host;     /**< host flags are the guest's */
    bool saved;    /**< x86_jit_cpu.flags are */
    uint8_t vec;   /**< vectors known to be live */
    bool is64;
    bool done;       /**< nothing follows: the block has been left */
    bool far;        /**< a handler may have changed mappings */
    uint32_t native; /**< instructions that needed no handler */
    uint32_t n_cold, insn_cold;
    uint8_t before[JIT_MAX_INSNS], after[JIT_MAX_INSNS]; /**< flags wanted */
    uint8_t edge[2]; /**< behind a conditional jump that is not taken, and taken */
    unsigned n_groups;
    /* From here on what is used is written first. */
    struct jit_site site[JIT_MAX_SITES];
    struct jit_ref ref[JIT_MAX_INSNS];
    struct jit_group group[JIT_MAX_GROUPS];
    struct jit_cold cold[JIT_MAX_COLD];
};

/* ---- translate.c ---- */

void vm__jit_cold(struct jit_tr *t, uint8_t *site, enum jit_cold_kind kind, uint32_t word);
void vm__jit_cold_as(struct jit_tr *t, const struct jit_cold *d);
/** Instruction @p i by its handler. */
void vm__jit_call_handler(struct jit_tr *t);
/** The block ends here: the handler decides where to. */
void vm__jit_dispatch(struct jit_tr *t);
/** The block ends with a jump to @p rip. @p jump: the site's rel32, or NULL to emit a JMP. */
void vm__jit_goto(struct jit_tr *t, uint8_t *jump, uint64_t rip);
/** Put flags that are still wanted in memory: at the end of a block. */
void vm__jit_settle_flags(struct jit_tr *t);

/* ---- address.c ---- */

/** Before something that destroys host flags: save them if they are wanted. Uses T0. */
void vm__jit_clobber(struct jit_tr *t);
/** Make host flags the guest's; @p tmp is lost. */
void vm__jit_want_flags(struct jit_tr *t, int tmp);
/** T0 = effective address. No flags change. */
void vm__jit_ea(struct jit_tr *t);
/** Will vm__jit_operand() leave T0 alone? */
bool vm__jit_direct(const struct jit_tr *t);
/** Make sure that the memory operand may be accessed as one piece of memory, and say where it is:
 * in terms of T1, and of T0 unless vm__jit_direct(). Leaves the block's fast path, as @p kind, if
 * not.
 * @p align: 0, or what it must be a multiple of. Host flags are lost. */
struct emit_mem vm__jit_operand(struct jit_tr *t, unsigned size, bool write, unsigned align,
                                enum jit_cold_kind kind);
/** The same for [@p base + @p disp] in the stack segment; T0 is lost outside 64-bit mode. @p again:
 * the instruction's second access. */
struct emit_mem vm__jit_stack_at(struct jit_tr *t, int base, int32_t disp, unsigned size,
                                 bool write, bool again, enum jit_cold_kind kind);
/** T1 = what to add to H_CPU and a soft TLB's displacement for T0's entry. */
void vm__jit_tlb_index(struct jit_tr *t, struct emit *e);
/** Displacement of the soft TLB. */
int32_t vm__jit_tlb(const struct jit_tr *t);

/* ---- window.c ---- */

/** Find out what the block's instructions access. */
void vm__jit_refs(struct jit_tr *t);
bool vm__jit_has_window(const struct jit_tr *t);
/** The comparison for @p a, unless an earlier one covers it. @p use_ref: it is what t->ref says. */
struct emit_mem vm__jit_window(struct jit_tr *t, const struct jit_access *a, bool use_ref);
/** C has run: comparisons made so far mean nothing any more. */
void vm__jit_forget_groups(struct jit_tr *t);
/** Would that matter to the rest of the block? */
bool vm__jit_relied_on(const struct jit_tr *t);
/** Cold code for a miss. @p failed: what to do when the soft TLB misses as well. */
void vm__jit_window_missed(struct jit_tr *t, const struct jit_cold *d, struct jit_cold *failed);

/* ---- parts: false if they do not know the instruction ---- */

bool vm__jit_native(struct jit_tr *t);
/** Bytes of an operand; 0: none or not fixed. */
unsigned vm__jit_bytes(const struct x86_insn *i, const struct x86_operand *o, bool is64);
bool vm__jit_stack(struct jit_tr *t);
bool vm__jit_branch(struct jit_tr *t);
bool vm__jit_special(struct jit_tr *t);
/** Make vectors live for the instruction, if it needs them. */
void vm__jit_want_vec(struct jit_tr *t);

/* ---- registers ---- */

static inline struct emit_mem jit_gpr(unsigned guest)
{
    return emit_at(H_CPU, (int32_t)(offsetof(struct vcpu, st.gpr) + 8 * guest));
}
/** The register itself, or @p tmp loaded with it. */
static inline int jit_read(struct jit_tr *t, unsigned guest, int tmp)
{
    int r = jit_home(guest);

    if (r != H_NONE)
        return r;
    emit_load(t->hot, true, tmp, jit_gpr(guest));
    return tmp;
}
/** All 64 bits of a guest register from @p from. */
static inline void jit_write(struct jit_tr *t, unsigned guest, int from)
{
    int r = jit_home(guest);

    if (r == H_NONE)
        emit_store(t->hot, true, jit_gpr(guest), from);
    else if (r != from)
        emit_mov(t->hot, true, r, from);
}

static inline uint64_t jit_next_rip(const struct jit_tr *t)
{
    uint64_t rip = t->b->rip + t->i->off + t->i->len;
    return t->is64 ? rip : (uint32_t)rip;
}

#endif
