/* SPDX-License-Identifier: MIT */
/**
 * @file mmu.h
 * Memory as instructions see it: effective and linear addresses, loads, stores, read-modify-write.
 *
 * The inline part is the soft TLB hit; everything else (walks, faults, MMIO, page crossing, pages
 * with code, breakpoints) is in mmu.c. Functions that take an instruction may fault: they set
 * st.rip to it and unwind to c->jmp, so a handler calls them before it changes anything.
 */
#ifndef LIBVM_CPU_X86_MMU_H
#define LIBVM_CPU_X86_MMU_H

#include <string.h>

#include "cpu/vcpu.h"
#include "cpu/x86/insn.h"

#define x86_likely(x)   __builtin_expect(!!(x), 1)
#define x86_unlikely(x) __builtin_expect(!!(x), 0)

/** Access kinds of translations; X86_ACCESS_SYSTEM: implicit supervisor access (descriptor tables,
 * TSS, IDT), whatever the CPL, SMAP enforced regardless of AC [SDM-3A §4.6]. */
enum {
    X86_ACCESS_R = 0,
    X86_ACCESS_W = 1,
    X86_ACCESS_X = 2,
    X86_ACCESS_SYSTEM = 4,
    X86_ACCESS_USER = 8, /**< as CPL 3 whatever the CPL */
    X86_ACCESS_BLOCK = 16, /**< not subject to alignment checks */
    X86_ACCESS_RMW = 32, /**< with X86_ACCESS_W: reads too */
};

/* ---- general registers by byte offset ---- */

static inline uint8_t *x86_r8(struct vcpu *c, uint8_t off)
{
    return (uint8_t *)c->st.gpr + off;
}
static inline uint16_t *x86_r16(struct vcpu *c, uint8_t off)
{
    return (uint16_t *)(void *)((uint8_t *)c->st.gpr + off);
}
static inline uint64_t *x86_r64(struct vcpu *c, uint8_t off)
{
    return (uint64_t *)(void *)((uint8_t *)c->st.gpr + off);
}
static inline uint32_t x86_get32(struct vcpu *c, uint8_t off)
{
    return (uint32_t)*x86_r64(c, off);
}
/** A 32-bit result clears the upper half [SDM-1 §3.4.1.1]. */
static inline void x86_set32(struct vcpu *c, uint8_t off, uint32_t v)
{
    *x86_r64(c, off) = v;
}

/* ---- addresses ---- */

/** Effective address: offset in the segment, truncated to the address size. */
static inline uint64_t x86_ea(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t ea = *x86_r64(c, i->base) + (*x86_r64(c, i->index) << i->scale) + (uint64_t)i->disp;
    return ea & (~UINT64_C(0) >> (64 - (8u << i->asz)));
}

/** Linear address of a memory operand in 64-bit mode without FS or GS and with 64-bit addressing. */
static inline uint64_t x86_lin_flat(struct vcpu *c, const struct x86_insn *i)
{
    return *x86_r64(c, i->base) + (*x86_r64(c, i->index) << i->scale) + (uint64_t)i->disp;
}

/** Limit and type checks that the fast compare did not settle; raises #GP or #SS, or returns the
 * linear address. */
uint64_t vm__x86_seg_slow(struct vcpu *c, const struct x86_insn *i, unsigned seg, uint64_t off,
                          unsigned size, int access);

/** Linear address of [seg:off, size) with segment checks. */
static inline uint64_t x86_seg_lin(struct vcpu *c, const struct x86_insn *i, unsigned seg,
                                   uint64_t off, unsigned size, int access)
{
    const struct x86_segf *f = &c->segf[seg];
    if (x86_unlikely(off + size > (access == X86_ACCESS_W ? f->end_w : f->end_r)))
        return vm__x86_seg_slow(c, i, seg, off, size, access);
    uint64_t lin = f->base + off;
    return x86_is64(c) ? lin : (uint32_t)lin;
}

/** Linear address of the memory operand in any mode; @p access is X86_ACCESS_R or _W (also for
 * read-modify-write). */
static inline uint64_t x86_lin(struct vcpu *c, const struct x86_insn *i, unsigned size, int access)
{
    return x86_seg_lin(c, i, i->seg, x86_ea(c, i), size, access);
}

/* ---- loads and stores ---- */

static inline struct x86_tlbe *x86_tlb_at(struct vcpu *c, uint64_t lin)
{
    return &c->tlb_cur[lin >> VM_PAGE_SHIFT & (X86_TLB_SIZE - 1)];
}

/** @param seg for #SS instead of #GP on a non-canonical address */
uint64_t vm__x86_ld_slow(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size,
                         unsigned seg);
void vm__x86_st_slow(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size,
                     unsigned seg, uint64_t v);

/* Guest memory is shared between vCPU threads as on hardware; plain moves give x86's own order. */
#define X86_NO_TSAN __attribute__((no_sanitize("thread")))

#define X86_ACCESSORS(W)                                                                           \
    X86_NO_TSAN static inline uint##W##_t x86_ld##W##_seg(struct vcpu *c,                          \
                                                          const struct x86_insn *i, uint64_t lin, \
                                                          unsigned seg)                            \
    {                                                                                              \
        const struct x86_tlbe *e = x86_tlb_at(c, lin);                                             \
        uint64_t off = lin ^ e->rtag;                                                              \
        if (x86_likely(off <= VM_PAGE_SIZE - W / 8)) {                                             \
            uint##W##_t v;                                                                         \
            memcpy(&v, e->host + off, sizeof v);                                                   \
            return v;                                                                              \
        }                                                                                          \
        return (uint##W##_t)vm__x86_ld_slow(c, i, lin, W / 8, seg);                                \
    }                                                                                              \
    X86_NO_TSAN static inline void x86_st##W##_seg(struct vcpu *c, const struct x86_insn *i,       \
                                                   uint64_t lin, unsigned seg, uint##W##_t v)      \
    {                                                                                              \
        const struct x86_tlbe *e = x86_tlb_at(c, lin);                                             \
        uint64_t off = lin ^ e->wtag;                                                              \
        if (x86_likely(off <= VM_PAGE_SIZE - W / 8))                                               \
            memcpy(e->host + off, &v, sizeof v);                                                   \
        else                                                                                       \
            vm__x86_st_slow(c, i, lin, W / 8, seg, v);                                             \
    }                                                                                              \
    static inline uint##W##_t x86_ld##W(struct vcpu *c, const struct x86_insn *i, uint64_t lin)    \
    {                                                                                              \
        return x86_ld##W##_seg(c, i, lin, i->seg);                                                 \
    }                                                                                              \
    static inline void x86_st##W(struct vcpu *c, const struct x86_insn *i, uint64_t lin,           \
                                 uint##W##_t v)                                                    \
    {                                                                                              \
        x86_st##W##_seg(c, i, lin, i->seg, v);                                                     \
    }
X86_ACCESSORS(8)
X86_ACCESSORS(16)
X86_ACCESSORS(32)
X86_ACCESSORS(64)
#undef X86_ACCESSORS

/** Blocks of up to X86_BOUNCE bytes (vectors, x87, save areas): all checks, then the copy. There is
 * no alignment check: silicon makes none for these, whatever EFLAGS.AC. */
void vm__x86_ld_block(struct vcpu *c, const struct x86_insn *i, uint64_t lin, void *buf,
                      unsigned size);
void vm__x86_st_block(struct vcpu *c, const struct x86_insn *i, uint64_t lin, const void *buf,
                      unsigned size);
/** Raise what a store of [lin, size) would raise, changing nothing but A and D bits. */
void vm__x86_probe_w(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size,
                     unsigned seg);
void vm__x86_probe_r(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size,
                     unsigned seg);

/**
 * Read-modify-write: a host pointer to the operand with write permission checked. When the operand
 * cannot be reached directly (MMIO, page crossing, code page) it is read into c->bounce;
 * x86_rmw_end() then writes it back.
 */
uint8_t *vm__x86_rmw_slow(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size);
void vm__x86_rmw_end_slow(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size);

static inline uint8_t *x86_rmw(struct vcpu *c, const struct x86_insn *i, uint64_t lin,
                               unsigned size)
{
    const struct x86_tlbe *e = x86_tlb_at(c, lin);
    uint64_t off = lin ^ e->wtag;
    if (x86_likely(off <= VM_PAGE_SIZE - size))
        return e->host + off;
    return vm__x86_rmw_slow(c, i, lin, size);
}
static inline void x86_rmw_end(struct vcpu *c, const struct x86_insn *i, uint64_t lin,
                               unsigned size, uint8_t *p)
{
    if (x86_unlikely(p == c->bounce))
        vm__x86_rmw_end_slow(c, i, lin, size);
}

/**
 * LOCKed read-modify-write. Returns a pointer on which host atomics are the guest's atomics; for
 * an operand that crosses a line boundary, lies in MMIO or on a code page, it takes the machine's
 * bus lock and returns c->bounce. x86_lock_end() in every case.
 */
uint8_t *vm__x86_lock_begin(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size);
void vm__x86_lock_end(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size,
                      uint8_t *p);

/** Let go of the bus lock after a fault inside a LOCKed access. */
void vm__x86_bus_unlock(struct vcpu *c);

/* ---- host runs of memory, for string instructions ---- */

/** Host pointer to [lin, lin + 1) with the number of bytes to the end of its page that may be
 * accessed the same way; NULL when only element-wise access works. May fault. */
uint8_t *vm__x86_host_run(struct vcpu *c, const struct x86_insn *i, uint64_t lin, int access,
                          unsigned seg, uint32_t *len);

/* ---- system accesses (descriptor tables, TSS, IDT, stacks of other rings) ---- */

/** Like a load or store by the supervisor, not subject to segment checks. @p access may add
 * X86_ACCESS_USER to act with CPL 3 rights. A fault is reported at c->cur: a handler calls
 * x86_callout(c, i) first; event delivery has c->cur NULL and st.rip exact. */
uint64_t vm__x86_sys_ld(struct vcpu *c, uint64_t lin, unsigned size, int access);
void vm__x86_sys_st(struct vcpu *c, uint64_t lin, unsigned size, uint64_t v, int access);
/** Probe for writing as above. */
void vm__x86_sys_probe_w(struct vcpu *c, uint64_t lin, unsigned size, int access);

/* ---- translation ---- */

struct x86_walk {
    uint64_t gpa;       /**< of the byte asked for */
    uint64_t page_size; /**< of the mapping */
    bool writable;      /**< for this access's privilege */
    bool dirty;         /**< D is set (or paging is off) */
    bool global;
    bool user, nx;
};

/** Walk the page tables for @p lin, set A (and D for writes); raises #PF. */
void vm__x86_walk(struct vcpu *c, uint64_t lin, int access, struct x86_walk *w);
/** The same without side effects or faults; false if not mapped. For debuggers. */
bool vm__x86_peek(struct vcpu *c, uint64_t lin, struct x86_walk *w);

/** Code at linear @p lin: host pointer and metadata of its page. Raises #PF for a missing or
 * non-executable page; false when the page is not memory (MMIO). */
bool vm__x86_fetch_page(struct vcpu *c, uint64_t lin, struct x86_xtlbe *out);

void vm__x86_tlb_init(struct vcpu *c);
void vm__x86_tlb_flush(struct vcpu *c, enum vm_flush what, uint64_t gva);
/** Load PDPTEs for PAE [SDM-3A §4.4.1]; raises #GP(0) on reserved bits and changes nothing. */
void vm__x86_load_pdptes(struct vcpu *c, uint64_t cr3);

static inline bool x86_canonical(const struct vcpu *c, uint64_t a)
{
    unsigned bits = c->st.cr4 & X86_CR4_LA57 ? 57 : 48;
    return (uint64_t)((int64_t)(a << (64 - bits)) >> (64 - bits)) == a;
}

#endif
