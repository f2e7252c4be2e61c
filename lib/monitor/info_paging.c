/* SPDX-License-Identifier: MIT */
/**
 * @file info_paging.c
 * The guest's page tables: info mem (ranges with equal rights), info tlb (every page).
 *
 * Spec: [SDM-3A §4]. Tables are the guest's and may loop or lie anywhere: the depth is bounded by
 * the paging mode, the output by MAX_ROWS, the entries looked at by MAX_ENTRIES.
 */
#include <inttypes.h>

#include "base/endian.h"
#include "base/error.h"
#include "cpu/vcpu.h"
#include "monitor/monitor.h"

enum { MAX_ROWS = 200000, MAX_ENTRIES = 64 << 20, WINDOW = 4096 };

enum { P = 1, W = 2, U = 4, PWT = 8, PCD = 0x10, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX      (UINT64_C(1) << 63)
#define ADDRESS UINT64_C(0x000ffffffffff000)

/** A mode of paging. */
struct tables {
    unsigned levels;   /**< 2 to 5 */
    unsigned bits;     /**< of the linear address, a level: 9 or 10 */
    unsigned bytes;    /**< of an entry */
    unsigned top_bits; /**< of the first level; PAE has 2 */
};

struct walk {
    struct mon *mon;
    const struct vcpu *c;
    struct tables t;
    void (*leaf)(struct walk *w, uint64_t va, uint64_t pa, uint64_t size, uint64_t entry,
                 uint64_t rights);
    uint32_t rows, entries;
    bool full;
    /* info mem: the range so far */
    uint64_t start, end, rights;
};

static bool choose(const struct vcpu *c, struct tables *t)
{
    const uint64_t cr4 = c->st.cr4;
    if (!(c->st.cr0 & X86_CR0_PG))
        return false;
    if (x86_lma(c))
        *t = (struct tables) { cr4 & X86_CR4_LA57 ? 5 : 4, 9, 8, 9 };
    else if (cr4 & X86_CR4_PAE)
        *t = (struct tables) { 3, 9, 8, 2 };
    else
        *t = (struct tables) { 2, 10, 4, 10 };
    return true;
}

static uint64_t sign_extend(const struct walk *w, uint64_t va)
{
    const unsigned bits = 12 + 9 * w->t.levels;
    if (w->t.levels < 4 || !(va >> (bits - 1) & 1))
        return va;
    return va | ~((UINT64_C(1) << bits) - 1);
}

/** May this entry be a large page? PAE's and the top levels' never are. */
static bool can_be_large(const struct walk *w, unsigned level)
{
    if (w->t.bytes == 4)
        return level == 2 && (w->c->st.cr4 & X86_CR4_PSE);
    return level == 2 || (level == 3 && w->t.levels >= 4);
}

static uint64_t large_address(const struct walk *w, uint64_t entry, uint64_t size)
{
    if (w->t.bytes == 4) /* PSE-36: bits 13 to 20 are 32 to 39 [SDM-3A table 4-4] */
        return (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32;
    return entry & ADDRESS & ~(size - 1);
}

static void level(struct walk *w, uint64_t table, unsigned n, uint64_t va, uint64_t rights)
{
    const unsigned bits = n == w->t.levels ? w->t.top_bits : w->t.bits;
    const uint32_t count = 1u << bits;
    const uint64_t size = UINT64_C(1) << (12 + w->t.bits * (n - 1));
    uint8_t buf[WINDOW];
    if (vm__mem_read(w->mon->m, table, buf, (size_t)count * w->t.bytes) != VM_OK)
        return;
    for (uint32_t i = 0; i < count && !w->full; i++) {
        const uint64_t entry = vm_le_n(buf + i * w->t.bytes, w->t.bytes);
        const uint64_t at = va + i * size;
        if (++w->entries == MAX_ENTRIES || w->rows == MAX_ROWS)
            w->full = true;
        if (!(entry & P))
            continue;
        /* PAE's first level grants everything: it has no such bits. */
        const bool plain = w->t.levels == 3 && n == 3;
        const uint64_t mine = plain ? rights : (rights & entry & (W | U)) | ((rights | entry) & NX);
        if (n == 1)
            w->leaf(w, sign_extend(w, at), entry & (w->t.bytes == 4 ? 0xfffff000 : ADDRESS), size,
                    entry, mine);
        else if ((entry & PS) && can_be_large(w, n))
            w->leaf(w, sign_extend(w, at), large_address(w, entry, size), size, entry, mine);
        else
            level(w, entry & (w->t.bytes == 4 ? 0xfffff000 : ADDRESS), n - 1, at, mine);
    }
}

static int walk_all(struct walk *w)
{
    w->c = vm__mon_cpu(w->mon);
    if (w->c == NULL)
        return vm_last_error()->code;
    if (!choose(w->c, &w->t)) {
        mon_printf(w->mon, "PG disabled\n");
        return VM_OK;
    }
    const uint64_t cr3 = w->c->st.cr3;
    const uint64_t root = w->t.levels == 3  ? cr3 & 0xffffffe0
                          : w->t.bytes == 4 ? cr3 & 0xfffff000
                                            : cr3 & ADDRESS;
    level(w, root, w->t.levels, 0, W | U);
    return VM_OK;
}

static void put_full(const struct walk *w)
{
    if (w->full)
        mon_printf(w->mon, "(there is more)\n");
}

/* ---- info tlb ---- */

static void tlb_leaf(struct walk *w, uint64_t va, uint64_t pa, uint64_t size, uint64_t entry,
                     uint64_t rights)
{
    const int digits = w->t.levels >= 4 ? 16 : 8;
    (void)rights;
    w->rows++;
    mon_printf(w->mon, "%0*" PRIx64 ": %016" PRIx64 " %c%c%c%c%c%c%c%c%c\n", digits, va, pa,
               entry & NX && w->t.bytes == 8 ? 'X' : '-', entry & G ? 'G' : '-',
               size > VM_PAGE_SIZE ? 'P' : '-', entry & D ? 'D' : '-', entry & A ? 'A' : '-',
               entry & PCD ? 'C' : '-', entry & PWT ? 'T' : '-', entry & U ? 'U' : '-',
               entry & W ? 'W' : '-');
}

static int run_tlb(struct mon *mon, char *args)
{
    struct walk w = { .mon = mon, .leaf = tlb_leaf };
    (void)args;
    const int st = walk_all(&w);
    put_full(&w);
    return st;
}

/* ---- info mem ---- */

static void put_range(struct walk *w)
{
    const int digits = w->t.levels >= 4 ? 16 : 8;
    if (w->start == w->end)
        return;
    w->rows++;
    mon_printf(w->mon, "%0*" PRIx64 "-%0*" PRIx64 " %0*" PRIx64 " %cr%c\n", digits, w->start,
               digits, w->end, digits, w->end - w->start, w->rights & U ? 'u' : '-',
               w->rights & W ? 'w' : '-');
}

static void mem_leaf(struct walk *w, uint64_t va, uint64_t pa, uint64_t size, uint64_t entry,
                     uint64_t rights)
{
    (void)pa;
    (void)entry;
    rights &= W | U;
    if (w->start == w->end || va != w->end || rights != w->rights) {
        put_range(w);
        w->start = va;
        w->rights = rights;
    }
    w->end = va + size;
}

static int run_mem(struct mon *mon, char *args)
{
    struct walk w = { .mon = mon, .leaf = mem_leaf };
    (void)args;
    const int st = walk_all(&w);
    put_range(&w);
    put_full(&w);
    return st;
}

const struct mon_command vm__mon_info_paging[] = {
    { "mem", NULL, NULL, "virtual memory in ranges of equal rights", MON_EXACT, run_mem },
    { "tlb", NULL, NULL, "every page that the page tables map", MON_EXACT, run_tlb },
    { 0 },
};
