/* SPDX-License-Identifier: MIT */
/**
 * @file mmu.c
 * The slow side of memory accesses: everything a soft TLB hit does not cover.
 *
 * An access is one piece, or two when it crosses a page. All pieces are translated, and so all
 * faults raised, before the first byte is stored.
 */
#include <string.h>

#include "core/machine.h"
#include "cpu/hook.h"
#include "cpu/interp/interp.h"
#include "cpu/x86/debug.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/tlb.h"

/* A translated piece: RAM at host, or a device at gpa. */
struct piece {
    uint8_t *host; /* NULL: MMIO, hole, or a store to ROM */
    struct vm_page *page;
    uint64_t gpa;
    uint32_t len;
    bool ram;    /* stores through host allowed */
    bool direct; /* the soft TLB would have let this store through */
};

static enum vm_view view(const struct vcpu *c)
{
    return c->st.smm ? VM_VIEW_SMM : VM_VIEW_NORMAL;
}

static unsigned tlb_index(const struct vcpu *c, int access)
{
    if (!(c->st.cr0 & X86_CR0_PG))
        return X86_TLB_P;
    if (access & X86_ACCESS_USER)
        return X86_TLB_U;
    return access & X86_ACCESS_SYSTEM ? X86_TLB_K : c->tlb_idx;
}

/* Which DR0-3 a data access meets; reported as a trap after the instruction [SDM-3B §17.2.4]. */
static void check_breakpoints(struct vcpu *c, uint64_t lin, unsigned size, bool write)
{
    for (unsigned k = 0; k < 4; k++) {
        unsigned rw = c->st.dr[7] >> (16 + 4 * k) & 3, len = c->st.dr[7] >> (18 + 4 * k) & 3;
        static const uint8_t bytes[4] = { 1, 2, 8, 4 };
        uint64_t at = c->st.dr[k] & ~(uint64_t)(bytes[len] - 1);
        if (!(rw & 1) || (rw == 1 && !write))
            continue;
        if (lin < at + bytes[len] && at < lin + size)
            c->dr_hits |= UINT64_C(1) << k;
    }
}

static struct piece translate(struct vcpu *c, uint64_t lin, unsigned len, int access)
{
    struct x86_walk w;
    struct vm_mem_page pg;

    vm__x86_walk(c, lin, access, &w);
    vm__mem_page(c->cpus->m, view(c), w.gpa, &pg);
    struct piece p = { .gpa = w.gpa, .len = len };
    p.direct = vm__x86_tlb_fill(c, tlb_index(c, access), lin, &w, &pg);
    if (pg.host != NULL) {
        p.host = pg.host + (w.gpa & (VM_PAGE_SIZE - 1));
        p.page = pg.page;
        p.ram = pg.writable;
    }
    return p;
}

/* Non-canonical addresses and alignment, then one or two pieces. */
static unsigned pieces(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size,
                       int access, unsigned seg, struct piece out[2])
{
    x86_callout(c, i);
    c->count.misses++;
    /* Tables and inner stacks of long mode are 64-bit whatever code runs. */
    bool wide = x86_is64(c) || ((access & X86_ACCESS_SYSTEM) && x86_lma(c));
    if (wide && (!x86_canonical(c, lin) || !x86_canonical(c, lin + size - 1)))
        vm__x86_fault(c, i, seg == X86_SS ? X86_XSS : X86_XGP, 0);
    if (x86_unlikely(vm__x86_align_check(c)) &&
        !(access & (X86_ACCESS_SYSTEM | X86_ACCESS_BLOCK)) && size <= 16 && (lin & (size - 1)))
        vm__x86_fault(c, i, X86_XAC, 0);
    access &= ~X86_ACCESS_BLOCK;
    uint32_t room = VM_PAGE_SIZE - (lin & (VM_PAGE_SIZE - 1));
    unsigned n = 1;
    if (size <= room) {
        out[0] = translate(c, lin, size, access);
    } else {
        uint64_t next = lin + room;
        if (!wide)
            next = (uint32_t)next;
        out[0] = translate(c, lin, room, access);
        out[1] = translate(c, next, size - room, access);
        n = 2;
    }
    if (x86_unlikely(c->st.dr[7] & 0xff) && !(access & X86_ACCESS_SYSTEM))
        check_breakpoints(c, lin, size, (access & 3) == X86_ACCESS_W);
    if (x86_unlikely(c->dbg_mode & X86_MODE_WATCH))
        vm__x86_debug_access(c, lin, size, access);
    return n;
}

/* ---- one piece ---- */

/* The local APIC's registers are 32 bits wide on 16-byte boundaries; other accesses are undefined
 * [SDM-3A §11.4.1]: reads give the bytes asked for, narrow writes are dropped. */
static uint64_t device_read(struct vcpu *c, uint64_t gpa, unsigned n)
{
    c->count.devices++;
    if (vm__x86_lapic_claims(c, gpa))
        return vm__x86_lapic_read(c, gpa & 0xffc) >> (8 * (gpa & 3));
    return vm__mmio_read(c->cpus->m, view(c), gpa, n);
}

static void device_write(struct vcpu *c, uint64_t gpa, unsigned n, uint64_t v)
{
    c->count.devices++;
    if (!vm__x86_lapic_claims(c, gpa))
        vm__mmio_write(c->cpus->m, view(c), gpa, n, v);
    else if ((gpa & 3) == 0 && n >= 4)
        vm__x86_lapic_write(c, gpa & 0xffc, (uint32_t)v);
}

static unsigned mmio_step(uint32_t len)
{
    return len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;
}

static void mmio_read(struct vcpu *c, uint64_t gpa, uint8_t *buf, uint32_t len)
{
    for (unsigned n; len > 0; buf += n, gpa += n, len -= n) {
        n = mmio_step(len);
        uint64_t v = device_read(c, gpa, n);
        memcpy(buf, &v, n);
    }
}

static void mmio_write(struct vcpu *c, uint64_t gpa, const uint8_t *buf, uint32_t len)
{
    for (unsigned n; len > 0; buf += n, gpa += n, len -= n) {
        n = mmio_step(len);
        uint64_t v = 0;
        memcpy(&v, buf, n);
        device_write(c, gpa, n, v);
    }
}

static void load_piece(struct vcpu *c, const struct piece *p, uint8_t *buf)
{
    if (p->host != NULL)
        memcpy(buf, p->host, p->len);
    else
        mmio_read(c, p->gpa, buf, p->len);
}

/* The running block may just have been overwritten: what follows in it must be decoded again.
 * Blocks are private to the vCPU, so their instructions can be redirected in place. */
static void cut_running_block(struct vcpu *c, const struct vm_page *page)
{
    const struct x86_block *b = c->blk;

    if (b == NULL || c->cur == NULL || (b->page != page && b->page2 != page))
        return;
    vm__interp_cut(c);
}

/* After a store that did not go through the TLB. */
static void page_stored(struct vcpu *c, struct vm_page *page, uint32_t off, uint32_t len)
{
    uint32_t version = atomic_load_explicit(&page->code_version, memory_order_relaxed);

    vm__page_written(page, off, len);
    if (x86_unlikely(version != atomic_load_explicit(&page->code_version, memory_order_relaxed)))
        cut_running_block(c, page);
}

/* A store to a page whose write permission has just been cached needs nothing after it: it is the
 * same store that a soft TLB hit makes a moment later. The fill saw code_sectors at 0. Whoever
 * marks code on the page from then on asks this processor to give the permission back, does not
 * trust what it decoded before the answer, and the answer comes from this thread's next poll, after
 * this store (core/memory.h, code_page.c). The fill also marked the page dirty. Without this a
 * guest that walks memory in strides pays a fence for every page it touches. */
static void store_piece(struct vcpu *c, const struct piece *p, const uint8_t *buf)
{
    if (p->ram) {
        switch (p->len) { /* single moves: naturally aligned stores are atomic */
        case 1: *p->host = *buf; break;
        case 2: memcpy(p->host, buf, 2); break;
        case 4: memcpy(p->host, buf, 4); break;
        case 8: memcpy(p->host, buf, 8); break;
        default: memcpy(p->host, buf, p->len); break;
        }
        if (!p->direct)
            page_stored(c, p->page, p->gpa & (VM_PAGE_SIZE - 1), p->len);
    } else {
        mmio_write(c, p->gpa, buf, p->len);
    }
}

/* ---- loads and stores ---- */

static void load(struct vcpu *c, const struct x86_insn *i, uint64_t lin, void *buf, unsigned size,
                 unsigned seg, int access)
{
    struct piece p[2];
    unsigned n = pieces(c, i, lin, size, X86_ACCESS_R | access, seg, p);

    load_piece(c, &p[0], buf);
    if (n == 2)
        load_piece(c, &p[1], (uint8_t *)buf + p[0].len);
    if (x86_hooked(c, VM_HOOK_MEM_READ))
        vm__x86_hook_access(c, lin, size, buf, false);
}

static void store(struct vcpu *c, const struct x86_insn *i, uint64_t lin, const void *buf,
                  unsigned size, unsigned seg, int access)
{
    struct piece p[2];
    unsigned n = pieces(c, i, lin, size, X86_ACCESS_W | access, seg, p);

    if (x86_hooked(c, VM_HOOK_MEM_WRITE))
        vm__x86_hook_access(c, lin, size, buf, true);
    store_piece(c, &p[0], buf);
    if (n == 2)
        store_piece(c, &p[1], (const uint8_t *)buf + p[0].len);
}

uint64_t vm__x86_ld_slow(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size,
                         unsigned seg)
{
    uint64_t v = 0;
    load(c, i, lin, &v, size, seg, 0);
    return v;
}

void vm__x86_st_slow(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size,
                     unsigned seg, uint64_t v)
{
    store(c, i, lin, &v, size, seg, 0);
}

void vm__x86_ld_block(struct vcpu *c, const struct x86_insn *i, uint64_t lin, void *buf,
                      unsigned size)
{
    const struct x86_tlbe *e = x86_tlb_at(c, lin);
    uint64_t off = lin ^ e->rtag;
    if (x86_likely(off <= VM_PAGE_SIZE - size))
        memcpy(buf, e->host + off, size);
    else
        load(c, i, lin, buf, size, i->seg, X86_ACCESS_BLOCK);
}

void vm__x86_st_block(struct vcpu *c, const struct x86_insn *i, uint64_t lin, const void *buf,
                      unsigned size)
{
    const struct x86_tlbe *e = x86_tlb_at(c, lin);
    uint64_t off = lin ^ e->wtag;
    if (x86_likely(off <= VM_PAGE_SIZE - size))
        memcpy(e->host + off, buf, size);
    else
        store(c, i, lin, buf, size, i->seg, X86_ACCESS_BLOCK);
}

void vm__x86_probe_w(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size,
                     unsigned seg)
{
    struct piece p[2];
    if (x86_unlikely((lin ^ x86_tlb_at(c, lin)->wtag) > VM_PAGE_SIZE - size))
        (void)pieces(c, i, lin, size, X86_ACCESS_W, seg, p);
}

void vm__x86_probe_r(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size,
                     unsigned seg)
{
    struct piece p[2];
    if (x86_unlikely((lin ^ x86_tlb_at(c, lin)->rtag) > VM_PAGE_SIZE - size))
        (void)pieces(c, i, lin, size, X86_ACCESS_R, seg, p);
}

/* ---- read-modify-write ---- */

uint8_t *vm__x86_rmw_slow(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size)
{
    struct piece p[2];
    unsigned n = pieces(c, i, lin, size, X86_ACCESS_W | X86_ACCESS_RMW, i->seg, p);

    if (n == 1 && p[0].ram) {
        /* The walk may have filled the TLB: if so this page is safe to write directly. */
        const struct x86_tlbe *e = x86_tlb_at(c, lin);
        uint64_t off = lin ^ e->wtag;
        if (off <= VM_PAGE_SIZE - size)
            return e->host + off;
    }
    load_piece(c, &p[0], c->bounce);
    if (n == 2)
        load_piece(c, &p[1], c->bounce + p[0].len);
    if (x86_hooked(c, VM_HOOK_MEM_READ))
        vm__x86_hook_access(c, lin, size, c->bounce, false);
    return c->bounce;
}

void vm__x86_rmw_end_slow(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size)
{
    store(c, i, lin, c->bounce, size, i->seg, 0);
}

static void bus_lock(struct vcpu *c)
{
    while (atomic_exchange_explicit(&c->cpus->bus_lock, 1, memory_order_acquire))
        while (atomic_load_explicit(&c->cpus->bus_lock, memory_order_relaxed))
            __builtin_ia32_pause();
}

uint8_t *vm__x86_lock_begin(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size)
{
    c->lock_page = NULL;
    if (x86_likely((lin & (size - 1)) == 0)) {
        const struct x86_tlbe *e = x86_tlb_at(c, lin);
        uint64_t off = lin ^ e->wtag;
        if (x86_likely(off <= VM_PAGE_SIZE - size))
            return e->host + off;
        struct piece p[2];
        (void)pieces(c, i, lin, size, X86_ACCESS_W | X86_ACCESS_RMW, i->seg, p);
        if (p[0].ram) { /* on a page with code: still atomic, but reported in lock_end */
            c->lock_page = p[0].direct ? NULL : p[0].page;
            if (x86_hooked(c, VM_HOOK_MEM_READ))
                vm__x86_hook_access(c, lin, size, p[0].host, false);
            return p[0].host;
        }
    }
    /* Split or device: raise faults before taking the lock. A fault after all (another processor
     * changed the mapping) unwinds to the run loop, which releases it. */
    vm__x86_probe_w(c, i, lin, size, i->seg);
    bus_lock(c);
    c->bus_locked = true;
    load(c, i, lin, c->bounce, size, i->seg, 0);
    return c->bounce;
}

void vm__x86_bus_unlock(struct vcpu *c)
{
    c->bus_locked = false;
    atomic_store_explicit(&c->cpus->bus_lock, 0, memory_order_release);
}

void vm__x86_lock_end(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned size,
                      uint8_t *p)
{
    if (x86_unlikely(p == c->bounce)) {
        store(c, i, lin, c->bounce, size, i->seg, 0);
        vm__x86_bus_unlock(c);
    } else if (x86_unlikely(c->lock_page != NULL)) {
        page_stored(c, c->lock_page, lin & (VM_PAGE_SIZE - 1), size);
        if (x86_hooked(c, VM_HOOK_MEM_WRITE)) /* it is done: nothing may come in between */
            vm__x86_hook_access(c, lin, size, p, true);
    }
}

/* ---- runs for string instructions ---- */

uint8_t *vm__x86_host_run(struct vcpu *c, const struct x86_insn *i, uint64_t lin, int access,
                          unsigned seg, uint32_t *len)
{
    const struct x86_tlbe *e = x86_tlb_at(c, lin);
    uint64_t off = lin ^ ((access & 3) == X86_ACCESS_W ? e->wtag : e->rtag);

    if (off >= VM_PAGE_SIZE) {
        struct piece p[2];
        (void)pieces(c, i, lin, 1, access, seg, p);
        off = lin ^ ((access & 3) == X86_ACCESS_W ? e->wtag : e->rtag);
        if (off >= VM_PAGE_SIZE)
            return NULL;
    }
    *len = VM_PAGE_SIZE - (uint32_t)off;
    return e->host + off;
}

/* ---- supervisor accesses ---- */

static const struct x86_tlbe *sys_entry(const struct vcpu *c, uint64_t lin, int access)
{
    return &c->tlb[tlb_index(c, access | X86_ACCESS_SYSTEM)][lin >> VM_PAGE_SHIFT &
                                                              (X86_TLB_SIZE - 1)];
}

uint64_t vm__x86_sys_ld(struct vcpu *c, uint64_t lin, unsigned size, int access)
{
    const struct x86_tlbe *e;
    uint64_t v = 0, off;

    if (!(access & X86_ACCESS_USER))
        access |= X86_ACCESS_SYSTEM;
    e = sys_entry(c, lin, access);
    off = lin ^ e->rtag;
    if (x86_likely(off <= VM_PAGE_SIZE - size)) {
        memcpy(&v, e->host + off, size);
        return v;
    }
    load(c, c->cur, lin, &v, size, X86_DS, access);
    return v;
}

void vm__x86_sys_st(struct vcpu *c, uint64_t lin, unsigned size, uint64_t v, int access)
{
    const struct x86_tlbe *e;
    uint64_t off;

    if (!(access & X86_ACCESS_USER))
        access |= X86_ACCESS_SYSTEM;
    e = sys_entry(c, lin, access);
    off = lin ^ e->wtag;
    if (x86_likely(off <= VM_PAGE_SIZE - size))
        memcpy(e->host + off, &v, size);
    else
        store(c, c->cur, lin, &v, size, X86_DS, access);
}

void vm__x86_sys_probe_w(struct vcpu *c, uint64_t lin, unsigned size, int access)
{
    struct piece p[2];

    if (!(access & X86_ACCESS_USER))
        access |= X86_ACCESS_SYSTEM;
    if ((lin ^ sys_entry(c, lin, access)->wtag) > VM_PAGE_SIZE - size)
        (void)pieces(c, c->cur, lin, size, X86_ACCESS_W | access, X86_DS, p);
}
