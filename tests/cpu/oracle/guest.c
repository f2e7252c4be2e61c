/* SPDX-License-Identifier: MIT */
/**
 * @file guest.c
 * Runs an instance on an engine: a machine with one processor and a few pages of memory, whose user
 * half is what native.c maps on the host, and whose kernel half is an interrupt table of HLTs.
 *
 * The descriptor tables repeat what Linux shows its programs, so that selectors mean the same on
 * both sides. The exception that ends the instance is delivered for real; what it was is read from
 * where the processor halted and from the frame it pushed.
 */
#include <stdio.h>
#include <string.h>

#include "core/config.h"
#include "core/machine.h"
#include "core/region.h"
#include "cpu/engine.h"
#include "cpu/jit/jit.h"
#include "cpu/vcpu.h"
#include "oracle.h"

/* Guest-physical layout. */
enum {
    PML4 = 0x1000,
    PDPT_USER = 0x2000,
    PD_USER = 0x3000,
    PT_DATA = 0x4000,
    PT_CODE = 0x5000,
    PDPT_KERNEL = 0x6000,
    PD_KERNEL = 0x7000,
    GDT = 0x8000,
    IDT = 0x9000,
    TSS = 0xa000,
    HANDLERS = 0xb000,
    STACK_TOP = 0xd000,
    DATA = 0x100000,
    CODE = 0x110000,
    RAM = 0x200000,
};
#define KERNEL UINT64_C(0xffff800000000000)

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80 };
#define PTE_NX (UINT64_C(1) << 63)

static struct {
    struct vm_machine *m;
    struct vm_region *region;
    struct vcpu *c;
    const struct vm_engine *engine;
    uint8_t *ram;
} G;

static void put64(uint32_t gpa, uint64_t v)
{
    memcpy(G.ram + gpa, &v, 8);
}

static uint64_t get64(uint64_t gpa)
{
    uint64_t v;
    memcpy(&v, G.ram + gpa, 8);
    return v;
}

static void map_page(uint32_t pt, uint32_t lin, uint32_t gpa, uint64_t bits)
{
    put64(pt + (lin >> 12 & 511) * 8, gpa | bits | PTE_P | PTE_U | PTE_A);
}

static void build_page_tables(void)
{
    const uint64_t dir = PTE_P | PTE_W | PTE_U | PTE_A;

    put64(PML4, PDPT_USER | dir);
    put64(PDPT_USER, PD_USER | dir);
    put64(PD_USER + (ORC_DATA >> 21) * 8, PT_DATA | dir);
    put64(PD_USER + (ORC_CODE >> 21) * 8, PT_CODE | dir);
    for (uint32_t off = 0; off < ORC_DATA_SIZE; off += ORC_PAGE) {
        bool ro = off >= ORC_RW && off < ORC_RO, missing = off >= ORC_RO && off < ORC_RW2;
        if (!missing)
            map_page(PT_DATA, ORC_DATA + off, DATA + off, PTE_NX | (ro ? 0 : PTE_W | PTE_D));
    }
    for (uint32_t off = 0; off < ORC_CODE_SIZE; off += ORC_PAGE)
        map_page(PT_CODE, ORC_CODE + off, CODE + off, 0);
    put64(PML4 + 256 * 8, PDPT_KERNEL | PTE_P | PTE_W | PTE_A);
    put64(PDPT_KERNEL, PD_KERNEL | PTE_P | PTE_W | PTE_A);
    put64(PD_KERNEL, 0 | PTE_P | PTE_W | PTE_A | PTE_D | PTE_PS);
}

/* Linux: arch/x86/include/asm/segment.h says which selectors are what. */
static void build_descriptors(void)
{
    put64(GDT + 0x08, 0x00cf9b000000ffff);
    put64(GDT + 0x10, 0x00af9b000000ffff);
    put64(GDT + 0x18, 0x00cf93000000ffff);
    put64(GDT + 0x20, 0x00cffb000000ffff); /* CS of 32-bit programs */
    put64(GDT + 0x28, 0x00cff3000000ffff); /* SS, DS */
    put64(GDT + 0x30, 0x00affb000000ffff); /* CS of 64-bit programs */
    uint64_t tss = KERNEL + TSS;
    put64(GDT + 0x40, 0x00008b0000000067 | (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56);
    put64(GDT + 0x48, tss >> 32);
    for (unsigned v = 0; v < 256; v++) {
        uint64_t at = KERNEL + HANDLERS + v * 16, dpl = v == 3 || v == 4 ? 3 : 0;
        G.ram[HANDLERS + v * 16] = 0xf4; /* HLT */
        put64(IDT + v * 16,
              (at & 0xffff) | 0x10 << 16 | (0x8e00 | dpl << 13) << 32 | (at >> 16 & 0xffff) << 48);
        put64(IDT + v * 16 + 8, at >> 32);
    }
    put64(TSS + 4, KERNEL + STACK_TOP);
    G.ram[TSS + 0x66] = 0x68; /* no I/O bitmap */
}

static void system_state(struct x86_state *s)
{
    s->cr0 =
        X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_PG;
    s->cr3 = PML4;
    s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_FSGSBASE |
             X86_CR4_OSXSAVE | X86_CR4_PGE;
    s->xcr0 = 7;
    s->msr.efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
    s->gdtr = (struct x86_dtr) { .base = KERNEL + GDT, .limit = 0x7f };
    s->idtr = (struct x86_dtr) { .base = KERNEL + IDT, .limit = 0xfff };
    s->tr = (struct x86_seg) { .base = KERNEL + TSS, .limit = 0x67, .sel = 0x40, .attr = 0x008b };
    s->ldtr = (struct x86_seg) { 0 };
}

/* Only what a processor needs: no board, no devices. */
static struct vm_machine *bare_machine(const char *cpu, const char *engine)
{
    static const struct vm_cpu_class *const cpus[] = { &vm__x86_cpu_class, NULL };
    static const struct vm_dev_class *const devices[] = { NULL };
    static const struct vm_board_class *const boards[] = { NULL };
    static const struct vm_registry registry = { .devices = devices,
                                                 .boards = boards,
                                                 .cpus = cpus };
    struct vm_ctx *ctx = vm__ctx_new(&registry, NULL);
    struct vm_config *cfg = ctx ? vm__config_new(ctx, NULL, &vm__x86_cpu_class) : NULL;
    struct vm_machine *m = NULL;

    if (cfg && vm__config_set(cfg, "cpu.model", cpu) == VM_OK &&
        vm__config_set(cfg, "engine", engine) == VM_OK)
        m = vm__machine_new(cfg);
    vm__config_free(cfg);
    vm__ctx_unref(ctx);
    return m;
}

uint8_t *orc_guest_init(const char *engine)
{
    G.m = bare_machine("host", engine); /* vendors differ in a few rows */
    if (!G.m)
        return NULL;
    vm__lock(G.m);
    G.region = vm__ram_new(G.m, "ram", RAM);
    if (!G.region || vm__region_place(G.region, 0, VM_PRIO_RAM) != VM_OK ||
        vm__machine_add_cpus(G.m, 1) != VM_OK)
        return NULL;
    vm__unlock(G.m);
    G.ram = vm__region_host(G.region);
    G.c = vm__vcpu(G.m->cpus[0]);
    G.engine = G.c->cpus->engine;
    build_page_tables();
    build_descriptors();
    memset(G.ram + CODE, 0xcc, ORC_CODE_SIZE);
    G.m->cpu_class->reset(G.m->cpus[0]);
    system_state(&G.c->st);
    G.engine->load(G.c);
    if (G.engine == &vm__jit_engine)
        jit_cache(G.c)->threshold = 1; /* every instance is translated */
    return G.ram + DATA;
}

const uint64_t *orc_guest_features(void)
{
    return G.c->cpus->have;
}

/* ---- one instance ---- */

static struct x86_seg segment(uint16_t sel, uint64_t base)
{
    switch (sel) {
    case ORC_CS64:
        return (struct x86_seg) { 0, 0xffffffff, sel, 0xa0fb };
    case ORC_CS32:
        return (struct x86_seg) { 0, 0xffffffff, sel, 0xc0fb };
    case ORC_DS:
        return (struct x86_seg) { 0, 0xffffffff, sel, 0xc0f3 };
    default:
        return (struct x86_seg) { base, 0, sel, 0 }; /* null */
    }
}

static void load_state(const struct orc_state *in)
{
    struct x86_state *s = &G.c->st;
    unsigned top = in->fsw >> 11 & 7;

    memcpy(s->gpr, in->gpr, sizeof in->gpr);
    s->rip = in->rip;
    s->rflags = in->rflags;
    for (unsigned k = 0; k < 6; k++)
        s->seg[k] = segment(in->sel[k], k == X86_FS ? in->fs_base : k == X86_GS ? in->gs_base : 0);
    memset(s->vec, 0, sizeof s->vec);
    for (unsigned k = 0; k < 16; k++)
        memcpy(s->vec[k], in->vec[k], 32);
    for (unsigned k = 0; k < 8; k++)
        memcpy(s->x87[(top + k) & 7], in->st[k], 10);
    s->fcw = in->fcw | 0x40; /* reads as 1 */
    s->fsw = in->fsw;
    s->ftw = in->ftw;
    s->fop = in->fop;
    s->fip = in->fip;
    s->fdp = in->fdp;
    s->fcs = s->fds = 0;
    s->mxcsr = in->mxcsr;
    s->cr2 = 0;
    memset(&s->event, 0, sizeof s->event);
    s->activity = X86_ACTIVE;
    s->shadow = 0;
}

static void store_state(struct orc_state *out)
{
    const struct x86_state *s = &G.c->st;
    unsigned top = s->fsw >> 11 & 7;

    memcpy(out->gpr, s->gpr, sizeof out->gpr);
    out->rip = s->rip;
    out->rflags = s->rflags;
    for (unsigned k = 0; k < 6; k++)
        out->sel[k] = s->seg[k].sel;
    out->fs_base = s->seg[X86_FS].base;
    out->gs_base = s->seg[X86_GS].base;
    for (unsigned k = 0; k < 16; k++)
        memcpy(out->vec[k], s->vec[k], 32);
    for (unsigned k = 0; k < 8; k++)
        memcpy(out->st[k], s->x87[(top + k) & 7], 10);
    out->fcw = s->fcw;
    out->fsw = s->fsw;
    out->ftw = s->ftw;
    out->fop = s->fop;
    out->fip = s->fip;
    out->fdp = s->fdp;
    out->mxcsr = s->mxcsr;
}

/* The user state as it was when the exception came: what delivery pushed replaces what it loaded
 * [SDM-3A §6.14]. */
static void undo_delivery(struct orc_result *out)
{
    const struct x86_state *s = &G.c->st;
    uint64_t at = s->rip - 1 - (KERNEL + HANDLERS), sp = s->gpr[X86_RSP] - KERNEL;

    if (at % 16 || at / 16 > 255 || sp < STACK_TOP - 64 || sp >= STACK_TOP) {
        out->vector = ORC_STUCK;
        return;
    }
    out->vector = (uint8_t)(at / 16);
    if (sp == STACK_TOP - 48) {
        out->error = (uint32_t)get64(sp);
        sp += 8;
    }
    out->s.rip = get64(sp);
    out->s.sel[X86_CS] = (uint16_t)get64(sp + 8);
    out->s.rflags = get64(sp + 16);
    out->s.gpr[X86_RSP] = get64(sp + 24);
    out->s.sel[X86_SS] = (uint16_t)get64(sp + 32);
    out->cr2 = s->cr2;
}

static void write_code(const struct orc_case *c, const uint8_t *bytes)
{
    uint32_t off = (uint32_t)(c->in.rip - ORC_CODE);
    uint32_t n = c->len < ORC_CODE_SIZE - off ? c->len : ORC_CODE_SIZE - off;

    memcpy(G.ram + CODE + off, bytes, n);
    vm__region_written(G.region, CODE + off, n);
}

void orc_guest_run(const struct orc_case *c, struct orc_result *out)
{
    static const uint8_t int3s[16] = { [0 ... 15] = 0xcc };
    struct vm_exit exit;

    write_code(c, c->bytes);
    load_state(&c->in);
    /* Mappings stay as they are: load() would only make this slow. */
    G.c->cc_w = 0;
    vm__x86_sync_mode(G.c);
    enum vm_cpu_stop stop = G.engine->run(G.c, 100000, &exit);
    store_state(&out->s);
    if (stop == VM_CPU_HALTED)
        undo_delivery(out);
    else
        out->vector = stop == VM_CPU_BUDGET     ? ORC_HANG
                      : stop == VM_CPU_SHUTDOWN ? ORC_SHUTDOWN
                                                : ORC_STUCK;
    write_code(c, int3s);
}
