/* SPDX-License-Identifier: MIT */
/**
 * @file tlb.c
 * The soft TLBs: filling, flushing, and the execute side.
 *
 * Fill rules: a read tag only for RAM and ROM whose A bit is set (a walk sets it); a write tag only
 * when D is set, the page may be written at this privilege, holds no decoded code and is not a clean
 * page under a dirty log. MMIO, pages with an armed data breakpoint, and everything while alignment checking is
 * on stay out, so they always reach the slow path.
 */
#include "core/hook.h"
#include "core/machine.h"
#include "cpu/x86/exception.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/tlb.h"

static uint64_t invalid_tag(unsigned idx)
{
    return (uint64_t)(idx ^ 1) << VM_PAGE_SHIFT;
}

static void clear_entry(struct vcpu *c, unsigned t, unsigned idx)
{
    struct x86_tlbe *e = &c->tlb[t][idx];
    e->rtag = e->wtag = invalid_tag(idx);
    e->host = NULL;
    e->delta = 0;
}

/* ---- windows of translated code ---- */

static void clear_window(struct vcpu *c, unsigned t, unsigned n)
{
    c->jit.win[t][n] = (struct x86_jit_window){
        .tag = X86_JIT_NO_TAG,
        .delta = (uint64_t)(uintptr_t)c->jit.nowhere - X86_JIT_NO_TAG,
    };
}

/* Keep the windows whose page the soft TLB still holds, for reading and writing. */
static void check_windows(struct vcpu *c, unsigned t)
{
    for (unsigned w = 0; w < X86_WINDOWS_USED; w++)
        for (uint64_t used = c->jit.win_used[t][w]; used != 0; used &= used - 1) {
            unsigned n = 64 * w + (unsigned)__builtin_ctzll(used);
            const struct x86_jit_window *v = &c->jit.win[t][n];
            const struct x86_tlbe *e = &c->tlb[t][v->tag >> VM_PAGE_SHIFT & (X86_TLB_SIZE - 1)];
            if (e->rtag == v->tag && e->wtag == v->tag && e->delta == v->delta)
                continue;
            clear_window(c, t, n);
            c->jit.win_used[t][w] &= ~(used & -used);
        }
}

void vm__x86_tlb_init(struct vcpu *c)
{
    for (unsigned t = 0; t < X86_TLB_COUNT; t++) {
        for (unsigned k = 0; k < X86_TLB_SIZE; k++)
            clear_entry(c, t, k);
        for (unsigned k = 0; k < X86_JIT_WINDOWS; k++)
            clear_window(c, t, k);
        memset(c->jit.win_used[t], 0, sizeof c->jit.win_used[t]);
        c->tlb_fill[t] = 0;
        memset(c->tlb_global[t], 0, sizeof c->tlb_global[t]);
    }
    for (unsigned k = 0; k < X86_XTLB_SIZE; k++)
        c->xtlb[k].tag = ~UINT64_C(0);
    memset(c->tlb_large, 0, sizeof c->tlb_large);
    memset(c->code_pages, 0, sizeof c->code_pages);
    c->tlb_huge = 0;
}

static bool is_global(const struct vcpu *c, unsigned t, unsigned idx)
{
    return c->tlb_global[t][idx / 8] >> (idx % 8) & 1;
}

/* Clear what was filled since the last flush; keep global mappings if asked to. */
static void flush_table(struct vcpu *c, unsigned t, bool keep_global)
{
    uint32_t kept = 0;
    for (uint32_t k = 0; k < c->tlb_fill[t]; k++) {
        unsigned idx = c->tlb_used[t][k];
        if (keep_global && is_global(c, t, idx)) {
            c->tlb_used[t][kept++] = (uint16_t)idx;
            continue;
        }
        clear_entry(c, t, idx);
        c->tlb_global[t][idx / 8] &= (uint8_t)~(1u << (idx % 8));
    }
    c->tlb_fill[t] = kept;
    check_windows(c, t);
}

/* Sets of regions, kept as Bloom filters: a false positive costs a flush, never correctness. */
static unsigned bloom_bit(uint64_t n)
{
    return (unsigned)((n * UINT64_C(0x9e3779b97f4a7c15)) >> 51); /* 13 bits */
}
static void bloom_add(uint64_t *set, uint64_t n)
{
    unsigned b = bloom_bit(n);
    set[b / 64] |= UINT64_C(1) << (b % 64);
}
static bool bloom_has(const uint64_t *set, uint64_t n)
{
    unsigned b = bloom_bit(n);
    return set[b / 64] >> (b % 64) & 1;
}

static void flush_all(struct vcpu *c, bool keep_global)
{
    for (unsigned t = 0; t < X86_TLB_COUNT; t++)
        flush_table(c, t, keep_global);
    for (unsigned k = 0; k < X86_XTLB_SIZE; k++)
        if (!keep_global || !c->xtlb[k].global)
            c->xtlb[k].tag = ~UINT64_C(0);
    c->code_gen[0]++;
    if (!keep_global) {
        c->code_gen[1]++;
        memset(c->tlb_large, 0, sizeof c->tlb_large);
        memset(c->code_pages, 0, sizeof c->code_pages);
        c->tlb_huge = 0;
    }
    x86_jit_rekey(c);
}

static void flush_page(struct vcpu *c, uint64_t gva)
{
    uint64_t page = gva & ~(uint64_t)(VM_PAGE_SIZE - 1);
    unsigned idx = gva >> VM_PAGE_SHIFT & (X86_TLB_SIZE - 1);

    /* INVLPG inside a large page drops all of it [SDM-3A §4.10.4.1]. */
    if (bloom_has(c->tlb_large, gva >> 21) || (c->tlb_huge >> (gva >> 30 & 63) & 1)) {
        flush_all(c, false);
        return;
    }
    for (unsigned t = 0; t < X86_TLB_COUNT; t++) {
        if (c->tlb[t][idx].rtag == page || c->tlb[t][idx].wtag == page)
            clear_entry(c, t, idx); /* its index may now be listed twice: harmless */
        check_windows(c, t);
    }
    struct x86_xtlbe *x = &c->xtlb[gva >> VM_PAGE_SHIFT & (X86_XTLB_SIZE - 1)];
    if ((x->tag & ~UINT64_C(1)) == page)
        x->tag = ~UINT64_C(0);
    if (bloom_has(c->code_pages, gva >> VM_PAGE_SHIFT)) {
        c->code_gen[0]++;
        c->code_gen[1]++;
        x86_jit_rekey(c);
    }
}

/* Write permission must be asked for again; reads and code stay. */
static void drop_write_tags(struct vcpu *c)
{
    for (unsigned t = 0; t < X86_TLB_COUNT; t++) {
        for (uint32_t k = 0; k < c->tlb_fill[t]; k++)
            c->tlb[t][c->tlb_used[t][k]].wtag = invalid_tag(c->tlb_used[t][k]);
        check_windows(c, t);
    }
}

void vm__x86_tlb_flush(struct vcpu *c, enum vm_flush what, uint64_t gva)
{
    switch (what) {
    case VM_FLUSH_TLB_NONGLOBAL: flush_all(c, true); break;
    case VM_FLUSH_TLB_PAGE: flush_page(c, gva); break;
    case VM_FLUSH_CODE: drop_write_tags(c); break;
    case VM_FLUSH_TLB:
    case VM_FLUSH_MEM:
    case VM_FLUSH_ALL: flush_all(c, false); break;
    }
}

/* Does an armed data or I/O-less breakpoint lie in the page [SDM-3B §17.2], or a debugger's? */
static bool has_breakpoint(const struct vcpu *c, uint64_t page)
{
    if (vm__debug_watched(&c->cpus->m->debug, page) ||
        vm__hook_wants(&c->cpus->m->hooks, VM_HOOK_MEM, page, page | (VM_PAGE_SIZE - 1)))
        return true;
    if (x86_likely(!(c->st.dr[7] & 0xff)))
        return false;
    for (unsigned k = 0; k < 4; k++) {
        unsigned rw = c->st.dr[7] >> (16 + 4 * k) & 3;
        if ((c->st.dr[7] >> (2 * k) & 3) && (rw & 1) &&
            (c->st.dr[k] & ~(uint64_t)(VM_PAGE_SIZE - 1)) == page)
            return true;
    }
    return false;
}

static void note_large(struct vcpu *c, uint64_t lin, uint64_t size)
{
    if (size > UINT64_C(4) << 20)
        c->tlb_huge |= UINT64_C(1) << (lin >> 30 & 63);
    bloom_add(c->tlb_large, lin >> 21);
    if (size == UINT64_C(4) << 20)
        bloom_add(c->tlb_large, lin >> 21 ^ 1);
}

bool vm__x86_tlb_fill(struct vcpu *c, unsigned t, uint64_t lin, const struct x86_walk *w,
                      const struct vm_mem_page *pg)
{
    unsigned idx = lin >> VM_PAGE_SHIFT & (X86_TLB_SIZE - 1);
    struct x86_tlbe *e = &c->tlb[t][idx];
    uint64_t page = lin & ~(uint64_t)(VM_PAGE_SIZE - 1);

    if (pg->host == NULL || has_breakpoint(c, page) || vm__x86_align_check(c))
        return false;
    bool seen = c->tlb_fill[t] != 0 && e->host != NULL;
    if (!seen) {
        /* Not live now, but maybe listed since an INVLPG: a duplicate only costs a second clear,
         * and the list is bounded by restarting it. */
        if (c->tlb_fill[t] == X86_TLB_SIZE) {
            uint32_t n = 0;
            for (uint32_t k = 0; k < X86_TLB_SIZE; k++)
                if (c->tlb[t][k].host != NULL)
                    c->tlb_used[t][n++] = (uint16_t)k;
            c->tlb_fill[t] = n;
        }
        c->tlb_used[t][c->tlb_fill[t]++] = (uint16_t)idx;
    }
    uint32_t flags = atomic_load_explicit(&pg->page->flags, memory_order_relaxed);
    bool may_write = w->writable && w->dirty && pg->writable &&
                     (flags & (VM_PAGE_LOG_DIRTY | VM_PAGE_DIRTY)) != VM_PAGE_LOG_DIRTY &&
                     atomic_load_explicit(&pg->page->code_sectors, memory_order_seq_cst) == 0;
    e->rtag = page;
    e->wtag = may_write ? page : invalid_tag(idx);
    e->host = pg->host;
    e->delta = (uint64_t)(uintptr_t)pg->host - page;
    if (may_write)
        vm__page_dirtied(pg->page); /* from now on */
    if (w->global)
        c->tlb_global[t][idx / 8] |= (uint8_t)(1u << (idx % 8));
    else
        c->tlb_global[t][idx / 8] &= (uint8_t)~(1u << (idx % 8));
    if (w->page_size > VM_PAGE_SIZE)
        note_large(c, lin, w->page_size);
    return may_write;
}

bool vm__x86_fetch_page(struct vcpu *c, uint64_t lin, struct x86_xtlbe *out)
{
    uint64_t tag = (lin & ~(uint64_t)(VM_PAGE_SIZE - 1)) | (c->cpl == 3);
    struct x86_xtlbe *x = &c->xtlb[lin >> VM_PAGE_SHIFT & (X86_XTLB_SIZE - 1)];

    if (x->tag != tag) {
        struct x86_walk w;
        struct vm_mem_page pg;

        vm__x86_walk(c, lin, X86_ACCESS_X, &w);
        vm__mem_page(c->cpus->m, c->st.smm ? VM_VIEW_SMM : VM_VIEW_NORMAL, w.gpa, &pg);
        if (pg.host == NULL)
            return false;
        x->tag = tag;
        x->host = pg.host;
        x->page = pg.page;
        x->gpa = w.gpa & ~(uint64_t)(VM_PAGE_SIZE - 1);
        x->global = w.global;
        bloom_add(c->code_pages, lin >> VM_PAGE_SHIFT);
        if (w.page_size > VM_PAGE_SIZE)
            note_large(c, lin, w.page_size);
    }
    *out = *x;
    return true;
}
