/* SPDX-License-Identifier: MIT */
/**
 * @file walk.c
 * Page-table walks: 32-bit, PAE, 4-level and 5-level paging.
 *
 * Spec: [SDM-3A §4]: structures (§4.3 to §4.5), access rights (§4.6), error code (§4.7), accessed
 * and dirty flags (§4.8), PAT (§4.9: memory types have no effect here). A and D are set with a
 * compare-and-swap on guest RAM, and only by walks that succeed.
 */
#include "core/machine.h"
#include "cpu/x86/exception.h"
#include "cpu/x86/mmu.h"

/* Bits of paging-structure entries [SDM-3A tables 4-5 to 4-20]. */
#define PTE_P   UINT64_C(1)
#define PTE_W   UINT64_C(2)
#define PTE_U   UINT64_C(4)
#define PTE_A   UINT64_C(0x20)
#define PTE_D   UINT64_C(0x40)
#define PTE_PS  UINT64_C(0x80)
#define PTE_G   UINT64_C(0x100)
#define PTE_NX  (UINT64_C(1) << 63)
#define PTE_PA  UINT64_C(0x000ffffffffff000)
/* Page-fault error code [SDM-3A §4.7]. */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

enum { MAX_LEVELS = 5 };

/* One entry on the way, kept so that A and D are written only after every check. */
struct step {
    uint64_t gpa;
    uint64_t entry;
};

struct walker {
    struct vcpu *c;
    uint64_t lin;
    int access;
    bool user, write, exec;
    bool wide; /* 8-byte entries */
    unsigned n;
    struct step step[MAX_LEVELS];
    uint32_t error; /* of the #PF, when the walk fails */
};

static enum vm_view view(const struct vcpu *c)
{
    return c->st.smm ? VM_VIEW_SMM : VM_VIEW_NORMAL;
}

static uint64_t phys_mask(const struct vcpu *c)
{
    uint64_t m = (UINT64_C(1) << X86_PHYS_BITS) - 1;
    return c->st.a20_masked ? m & ~(UINT64_C(1) << 20) : m;
}

/* Entries live in RAM or ROM; elsewhere they read as not present. */
static uint64_t read_entry(struct walker *w, uint64_t gpa)
{
    struct vm_mem_page pg;
    vm__mem_page(w->c->cpus->m, view(w->c), gpa, &pg);
    if (pg.host == NULL)
        return 0;
    const uint8_t *p = pg.host + (gpa & (VM_PAGE_SIZE - 1));
    if (w->wide)
        return __atomic_load_n((const uint64_t *)(const void *)p, __ATOMIC_RELAXED);
    return __atomic_load_n((const uint32_t *)(const void *)p, __ATOMIC_RELAXED);
}

/* Set bits in an entry if it still is what the walk saw; false: walk again. */
static bool update_entry(struct walker *w, struct step *s, uint64_t bits)
{
    if ((s->entry & bits) == bits)
        return true;
    struct vm_mem_page pg;
    vm__mem_page(w->c->cpus->m, view(w->c), s->gpa, &pg);
    if (pg.host == NULL || !pg.writable)
        return true; /* page tables in ROM: the update is lost, as on a bus that drops it */
    uint32_t off = s->gpa & (VM_PAGE_SIZE - 1);
    void *p = pg.host + off;
    bool ok;
    if (w->wide) {
        uint64_t old = s->entry;
        ok = __atomic_compare_exchange_n((uint64_t *)p, &old, s->entry | bits, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    } else {
        uint32_t old = (uint32_t)s->entry;
        ok = __atomic_compare_exchange_n((uint32_t *)p, &old, (uint32_t)(s->entry | bits), false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
    if (ok) {
        s->entry |= bits;
        vm__page_written(pg.page, off, w->wide ? 8 : 4);
    }
    return ok;
}

/* Reserved bits of an entry [SDM-3A §4.4.2, §4.5.4, §4.3 for PSE-36]. @p level: 1 is a PTE. */
static bool reserved(const struct walker *w, uint64_t e, unsigned level, bool large)
{
    const struct vcpu *c = w->c;
    bool lma = x86_lma(c);

    if (!w->wide) {
        /* 4 MiB page: bit 21 reserved; bits 20-13 are address bits 39-32 (PSE-36). */
        return large && (e & (UINT64_C(1) << 21));
    }
    uint64_t mask = PTE_PA & ~((UINT64_C(1) << X86_PHYS_BITS) - 1);
    if (!lma)
        mask |= UINT64_C(0x7ff0000000000000); /* PAE: bits 62-52 too */
    if (!(c->st.msr.efer & X86_EFER_NXE))
        mask |= PTE_NX;
    if (large)
        mask |= (level == 2 ? UINT64_C(0x1fe000) : UINT64_C(0x3fffe000));
    else if (level >= 4)
        mask |= PTE_PS; /* PML4E, PML5E */
    if (level == 3 && !large && lma && (e & PTE_PS))
        return true; /* 1 GiB pages not in the model */
    return (e & mask) != 0;
}

/* Final rights [SDM-3A §4.6.1]; w->error set when refused. */
static bool permitted(struct walker *w, bool rw, bool us, bool nx)
{
    const struct vcpu *c = w->c;
    uint64_t cr4 = c->st.cr4;

    w->error = PF_P | (w->write ? PF_W : 0) | (w->user ? PF_U : 0);
    if (w->exec && ((c->st.msr.efer & X86_EFER_NXE) || (cr4 & X86_CR4_SMEP)))
        w->error |= PF_I;
    if (w->user)
        return us && !(w->write && !rw) && !(w->exec && nx);
    if (w->exec)
        return !nx && !(us && (cr4 & X86_CR4_SMEP));
    if (us && (cr4 & X86_CR4_SMAP)) {
        /* Implicit accesses are refused whatever AC says; at CPL 3 AC does not count either. */
        if ((w->access & X86_ACCESS_SYSTEM) || !(c->st.rflags & X86_AC))
            return false;
    }
    return !(w->write && !rw && (c->st.cr0 & X86_CR0_WP));
}

/* The walk proper. false: #PF with w->error. */
static bool walk(struct walker *w, struct x86_walk *out)
{
    const struct vcpu *c = w->c;
    bool pae = c->st.cr4 & X86_CR4_PAE, lma = x86_lma(c);
    bool rw = true, us = true, nx = false;
    unsigned level, bits = pae ? 9 : 10, shift;
    uint64_t table, e = 0;

    w->wide = pae;
    w->n = 0;
    w->error = (w->write ? PF_W : 0) | (w->user ? PF_U : 0);
    if (w->exec && pae && ((c->st.msr.efer & X86_EFER_NXE) || (c->st.cr4 & X86_CR4_SMEP)))
        w->error |= PF_I;
    else if (w->exec && (c->st.cr4 & X86_CR4_SMEP))
        w->error |= PF_I;
    if (lma) {
        level = c->st.cr4 & X86_CR4_LA57 ? 5 : 4;
        table = c->st.cr3 & PTE_PA;
    } else if (pae) {
        e = c->st.pdpte[w->lin >> 30 & 3];
        if (!(e & PTE_P))
            return false;
        level = 2;
        table = e & PTE_PA;
    } else {
        level = 2;
        table = c->st.cr3 & 0xfffff000u;
    }
    for (;; level--) {
        shift = VM_PAGE_SHIFT + (level - 1) * bits;
        uint64_t gpa = (table + ((w->lin >> shift & ((1u << bits) - 1)) << (pae ? 3 : 2)));
        gpa &= phys_mask(c);
        e = read_entry(w, gpa);
        if (!(e & PTE_P))
            return false;
        w->step[w->n++] = (struct step){ gpa, e };
        bool large = level > 1 && (e & PTE_PS) &&
                     (pae ? (level == 2 || (level == 3 && vm__x86_has(c, X86_FEAT_PDPE1GB)))
                          : (c->st.cr4 & X86_CR4_PSE) != 0);
        if (reserved(w, e, level, large)) {
            w->error |= PF_P | PF_RSVD;
            return false;
        }
        rw = rw && (e & PTE_W);
        us = us && (e & PTE_U);
        nx = nx || (pae && (e & PTE_NX));
        if (large || level == 1)
            break;
        table = e & (pae ? PTE_PA : 0xfffff000u);
    }
    if (!permitted(w, rw, us, nx))
        return false;
    out->page_size = UINT64_C(1) << shift;
    uint64_t base = pae ? e & PTE_PA : e & 0xfffff000u;
    if (!pae && shift > VM_PAGE_SHIFT)
        base = (e & 0xffc00000u) | (e >> 13 & 0xff) << 32;
    base &= ~(out->page_size - 1);
    out->gpa = (base | (w->lin & (out->page_size - 1))) & phys_mask(c);
    out->writable = rw || (!w->user && !(c->st.cr0 & X86_CR0_WP));
    out->user = us;
    out->nx = nx;
    out->global = (e & PTE_G) && (c->st.cr4 & X86_CR4_PGE);
    out->dirty = (e & PTE_D) || w->write;
    return true;
}

static void unpaged(const struct vcpu *c, uint64_t lin, struct x86_walk *w)
{
    *w = (struct x86_walk){ .gpa = lin & 0xffffffffu & phys_mask(c),
                            .page_size = VM_PAGE_SIZE,
                            .writable = true,
                            .dirty = true,
                            .user = true,
                            .global = true };
}

static void begin(struct walker *w, struct vcpu *c, uint64_t lin, int access)
{
    int kind = access & 3;
    w->c = c;
    w->lin = lin;
    w->access = access;
    w->write = kind == X86_ACCESS_W;
    w->exec = kind == X86_ACCESS_X;
    w->user = (access & X86_ACCESS_USER) || (c->cpl == 3 && !(access & X86_ACCESS_SYSTEM));
}

void vm__x86_walk(struct vcpu *c, uint64_t lin, int access, struct x86_walk *out)
{
    struct walker w;

    if (!(c->st.cr0 & X86_CR0_PG)) {
        unpaged(c, lin, out);
        return;
    }
    begin(&w, c, lin, access);
    for (;;) {
        if (!walk(&w, out))
            vm__x86_page_fault(c, c->cur, lin, w.error);
        bool same = true;
        for (unsigned k = 0; k < w.n && same; k++)
            same = update_entry(&w, &w.step[k],
                                k + 1 == w.n && w.write ? PTE_A | PTE_D : PTE_A);
        if (same)
            return;
    }
}

bool vm__x86_peek(struct vcpu *c, uint64_t lin, struct x86_walk *out)
{
    struct walker w;

    if (!(c->st.cr0 & X86_CR0_PG)) {
        unpaged(c, lin, out);
        return true;
    }
    if (x86_lma(c) && !x86_canonical(c, lin))
        return false;
    begin(&w, c, lin, X86_ACCESS_R | X86_ACCESS_SYSTEM);
    if (walk(&w, out))
        return true;
    /* A debugger may look at what SMAP keeps from the kernel. */
    begin(&w, c, lin, X86_ACCESS_R | X86_ACCESS_USER);
    return walk(&w, out);
}

void vm__x86_load_pdptes(struct vcpu *c, uint64_t cr3)
{
    struct walker w = { .c = c, .wide = true };
    uint64_t e[4];

    for (unsigned k = 0; k < 4; k++) {
        e[k] = read_entry(&w, ((cr3 & 0xffffffe0u) + k * 8) & phys_mask(c));
        /* Bits 2-1, 8-5 and those above the physical width are reserved [SDM-3A §4.4.1]. */
        if ((e[k] & PTE_P) &&
            (e[k] & (UINT64_C(0x1e6) | ~((UINT64_C(1) << X86_PHYS_BITS) - 1))))
            vm__x86_fault(c, c->cur, X86_XGP, 0);
    }
    memcpy(c->st.pdpte, e, sizeof e);
}
