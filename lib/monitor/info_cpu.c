/* SPDX-License-Identifier: MIT */
/**
 * @file info_cpu.c
 * What processors hold: info registers, cpus, lapic, jit.
 *
 * Formats follow QEMU's, which people's scripts read.
 */
#include <inttypes.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "core/run.h"
#include "cpu/vcpu.h"
#include "cpu/x86/lapic.h"
#include "monitor/monitor.h"

struct vcpu *vm__mon_cpu(struct mon *mon)
{
    struct vm_machine *m = mon->m;
    if (mon->cpu >= m->n_cpus) {
        (void)vm__fail(VM_E_NOENT, "the machine has no processor");
        return NULL;
    }
    if (m->cpus[mon->cpu]->cls != &vm__x86_cpu_class) {
        (void)vm__fail(VM_E_NOTSUP, "the processor is no x86");
        return NULL;
    }
    return vm__vcpu(m->cpus[mon->cpu]);
}

/* ---- registers ---- */

static void put_flags(struct mon *mon, uint64_t f)
{
    static const struct {
        uint32_t bit;
        char letter;
    } flags[] = { { X86_DF, 'D' }, { X86_OF, 'O' }, { X86_SF, 'S' }, { X86_ZF, 'Z' },
                  { X86_AF, 'A' }, { X86_PF, 'P' }, { X86_CF, 'C' } };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        mon_printf(mon, "%c", f & flags[i].bit ? flags[i].letter : '-');
}

/** What a system descriptor's type says [SDM-3A §3.5]. */
static const char *system_type(unsigned type, bool long_mode)
{
    static const char *const legacy[16] = {
        "Reserved",   "TSS16-avl",  "LDT",       "TSS16-busy", "CallGate16", "TaskGate",
        "IntGate16",  "TrapGate16", "Reserved",  "TSS32-avl",  "Reserved",   "TSS32-busy",
        "CallGate32", "Reserved",   "IntGate32", "TrapGate32",
    };
    static const char *const wide[16] = {
        "<hiword>",   "Reserved", "LDT",       "Reserved",   "Reserved", "Reserved",
        "Reserved",   "Reserved", "Reserved",  "TSS64-avl",  "Reserved", "TSS64-busy",
        "CallGate64", "Reserved", "IntGate64", "TrapGate64",
    };
    return (long_mode ? wide : legacy)[type];
}

static void put_segment(struct mon *mon, const struct vcpu *c, const char *name,
                        const struct x86_seg *s)
{
    const bool wide = x86_is64(c);
    const uint32_t top = (s->attr & X86_ATTR_G ? s->limit >> 28 : s->limit >> 16) & 15;
    const uint32_t flags = (uint32_t)s->attr << 8 | top << 16;
    mon_printf(mon, "%-3s=%04x %0*" PRIx64 " %08x %08x", name, s->sel, wide ? 16 : 8, s->base,
               s->limit, flags);
    if (!(c->st.cr0 & X86_CR0_PE) || !(s->attr & X86_ATTR_P)) {
        mon_printf(mon, "\n");
        return;
    }
    mon_printf(mon, " DPL=%d ", (s->attr & X86_ATTR_DPL) >> X86_ATTR_DPL_SHIFT);
    if (!(s->attr & X86_ATTR_S)) {
        mon_printf(mon, "%s\n", system_type(s->attr & X86_ATTR_TYPE, x86_lma(c)));
        return;
    }
    const bool code = (s->attr & X86_ATTR_CODE) != 0, db = (s->attr & X86_ATTR_DB) != 0;
    if (code)
        mon_printf(mon, "%s [%c%c",
                   s->attr & X86_ATTR_L ? "CS64"
                   : db                 ? "CS32"
                                        : "CS16",
                   s->attr & X86_ATTR_EXPDOWN ? 'C' : '-', s->attr & X86_ATTR_WRITE ? 'R' : '-');
    else
        mon_printf(mon, "%s [%c%c", db || x86_lma(c) ? "DS  " : "DS16",
                   s->attr & X86_ATTR_EXPDOWN ? 'E' : '-', s->attr & X86_ATTR_WRITE ? 'W' : '-');
    mon_printf(mon, "%c]\n", s->attr & X86_ATTR_ACCESSED ? 'A' : '-');
}

static void put_general(struct mon *mon, const struct vcpu *c)
{
    static const char *const names[8] = { "AX", "BX", "CX", "DX", "SI", "DI", "BP", "SP" };
    static const uint8_t order[8] = { X86_RAX, X86_RBX, X86_RCX, X86_RDX,
                                      X86_RSI, X86_RDI, X86_RBP, X86_RSP };
    const struct x86_state *st = &c->st;
    const bool wide = x86_is64(c);
    for (unsigned i = 0; i < 8; i++) {
        if (wide)
            mon_printf(mon, "R%s=%016" PRIx64, names[i], st->gpr[order[i]]);
        else
            mon_printf(mon, "E%s=%08" PRIx32, names[i], (uint32_t)st->gpr[order[i]]);
        mon_printf(mon, i % 4 == 3 ? "\n" : " ");
    }
    for (unsigned i = 8; wide && i < 16; i++)
        mon_printf(mon, "R%-2u=%016" PRIx64 "%s", i, st->gpr[i], i % 4 == 3 ? "\n" : " ");
    if (wide)
        mon_printf(mon, "RIP=%016" PRIx64 " RFL=%08" PRIx64 " [", st->rip, st->rflags);
    else
        mon_printf(mon, "EIP=%08" PRIx32 " EFL=%08" PRIx64 " [", (uint32_t)st->rip, st->rflags);
    put_flags(mon, st->rflags);
    mon_printf(mon, "] CPL=%u II=%d A20=%d SMM=%d HLT=%d\n", c->cpl, st->shadow != 0,
               !st->a20_masked, st->smm, st->activity == X86_HALTED);
}

static void put_system(struct mon *mon, const struct vcpu *c)
{
    static const char *const names[X86_SEG_COUNT] = { "ES", "CS", "SS", "DS", "FS", "GS" };
    const struct x86_state *st = &c->st;
    const int w = x86_is64(c) ? 16 : 8;
    for (unsigned i = 0; i < X86_SEG_COUNT; i++)
        put_segment(mon, c, names[i], &st->seg[i]);
    put_segment(mon, c, "LDT", &st->ldtr);
    put_segment(mon, c, "TR", &st->tr);
    mon_printf(mon, "GDT=     %0*" PRIx64 " %08x\nIDT=     %0*" PRIx64 " %08x\n", w, st->gdtr.base,
               st->gdtr.limit, w, st->idtr.base, st->idtr.limit);
    mon_printf(mon, "CR0=%08" PRIx64 " CR2=%0*" PRIx64 " CR3=%0*" PRIx64 " CR4=%08" PRIx64 "\n",
               st->cr0, w, st->cr2, w, st->cr3, st->cr4);
    for (unsigned i = 0; i < 4; i++)
        mon_printf(mon, "DR%u=%016" PRIx64 " ", i, st->dr[i]);
    mon_printf(mon, "\nDR6=%016" PRIx64 " DR7=%016" PRIx64 "\nEFER=%016" PRIx64 "\n", st->dr[6],
               st->dr[7], st->msr.efer);
}

static void put_fpu(struct mon *mon, const struct vcpu *c)
{
    const struct x86_state *st = &c->st;
    const unsigned n = x86_is64(c) ? 16 : 8;
    mon_printf(mon, "FCW=%04x FSW=%04x [ST=%d] FTW=%02x MXCSR=%08x\n", st->fcw, st->fsw,
               st->fsw >> 11 & 7, st->ftw, st->mxcsr);
    for (unsigned i = 0; i < 8; i++)
        mon_printf(mon, "FPR%u=%016" PRIx64 " %04x%s", i, vm_le64(st->x87[i]),
                   vm_le16(st->x87[i] + 8), i % 2 == 1 ? "\n" : " ");
    for (unsigned i = 0; i < n; i++)
        mon_printf(mon, "XMM%02u=%016" PRIx64 " %016" PRIx64 "%s", i, vm_le64(st->vec[i] + 8),
                   vm_le64(st->vec[i]), i % 2 == 1 ? "\n" : " ");
}

static int put_registers(struct mon *mon)
{
    const struct vcpu *c = vm__mon_cpu(mon);
    if (c == NULL)
        return vm_last_error()->code;
    mon_printf(mon, "\nCPU#%u\n", mon->cpu);
    put_general(mon, c);
    put_system(mon, c);
    put_fpu(mon, c);
    return VM_OK;
}

static int run_registers(struct mon *mon, char *args)
{
    const char *word = vm__mon_word(&args);
    int st = VM_OK;
    if (word == NULL)
        return put_registers(mon);
    if (strcmp(word, "-a") != 0)
        return vm__fail(VM_E_INVAL, "info registers: -a for all processors, not %.40s", word);
    for (mon->cpu = 0; st == VM_OK && mon->cpu < mon->m->n_cpus; mon->cpu++)
        st = put_registers(mon);
    return st;
}

/* ---- cpus ---- */

static int run_cpus(struct mon *mon, char *args)
{
    const uint32_t chosen = mon->cpu;
    (void)args;
    for (mon->cpu = 0; mon->cpu < mon->m->n_cpus; mon->cpu++) {
        static const char *const doing[] = { "", " (halted)", " (waits for SIPI)", " (stopped)" };
        const struct vcpu *c = vm__mon_cpu(mon);
        if (c == NULL)
            return vm_last_error()->code;
        mon_printf(mon, "%c CPU #%u: pc=0x%016" PRIx64 "%s insns=%" PRIu64 "\n",
                   mon->cpu == chosen ? '*' : ' ', mon->cpu,
                   (x86_is64(c) ? 0 : c->st.seg[X86_CS].base) + c->st.rip,
                   doing[c->st.activity & 3], c->cpu.cls->insns(mon->m->cpus[mon->cpu]));
    }
    return VM_OK;
}

static int run_jit(struct mon *mon, char *args)
{
    const struct vcpu *c = vm__mon_cpu(mon);
    uint64_t n = 0;
    (void)args;
    if (c == NULL)
        return vm_last_error()->code;
    for (uint32_t i = 0; i < mon->m->n_cpus; i++)
        n += mon->m->cpus[i]->cls->insns(mon->m->cpus[i]);
    const double seconds = (double)vm__clock_ns(mon->m) / 1e9;
    mon_printf(mon, "engine: %s (%s)\ninstructions: %" PRIu64 "\n", c->cpus->engine->name,
               c->cpus->engine->summary, n);
    mon_printf(mon, "%s", c->cpus->not_used);
    if (seconds > 0)
        mon_printf(mon, "instructions a second of machine time: %.1f million\n",
                   (double)n / seconds / 1e6);
    if (c->cpus->engine->info != NULL) {
        char text[4096];
        (void)c->cpus->engine->info(c, text, sizeof text);
        mon_printf(mon, "processor %u:\n%s", mon->cpu, text);
    }
    return VM_OK;
}

/* ---- local APIC ---- */

/** A local vector table entry [SDM-3A §11.5.1]. */
static void put_lvt(struct mon *mon, const char *name, uint32_t v)
{
    static const char *const modes[8] = { "Fixed", "LowestPri", "SMI",  "...",
                                          "NMI",   "INIT",      "SIPI", "ExtINT" };
    static const char *const timer[4] = { "one-shot", "periodic", "tsc-deadline", "..." };
    const unsigned mode = v >> 8 & 7;
    const bool is_timer = strcmp(name, "LVTT") == 0;
    mon_printf(mon, "%s\t 0x%08x %s %-5s %-6s %-7s %-12s %-6s", name, v,
               v & 1u << 13 ? "active-lo" : "active-hi", v & 1u << 15 ? "level" : "edge",
               v & 1u << 16 ? "masked" : "", v & 1u << 12 ? "pending" : "",
               is_timer ? timer[v >> 17 & 3] : "", modes[mode]);
    if (mode == 0 || mode == 7)
        mon_printf(mon, " (vec %u)", v & 0xff);
    mon_printf(mon, "\n");
}

static void put_vectors(struct mon *mon, const char *name, const uint32_t *words,
                        const uint32_t *level)
{
    bool any = false;
    mon_printf(mon, "%s\t", name);
    for (unsigned v = 0; v < 256; v++) {
        if (!(__atomic_load_n(&words[v / 32], __ATOMIC_RELAXED) >> (v % 32) & 1))
            continue;
        mon_printf(mon, " %u%s", v, level[v / 32] >> (v % 32) & 1 ? "(level)" : "");
        any = true;
    }
    mon_printf(mon, "%s\n", any ? "" : " (none)");
}

static int run_lapic(struct mon *mon, char *args)
{
    static const char *const names[] = { "LVT0", "LVT1", "LVTPC", "LVTERR", "LVTTHMR", "LVTT" };
    static const uint8_t index[] = { 4, 5, 3, 6, 2, 1 }; /* in x86_lapic.lvt */
    uint64_t which = mon->cpu;
    if (*args != '\0') {
        const int st = vm__mon_expr(mon, &args, &which);
        if (st != VM_OK || which >= mon->m->n_cpus)
            return st != VM_OK ? st : vm__fail(VM_E_NOENT, "there is no processor %" PRIu64, which);
        mon->cpu = (uint32_t)which;
    }
    struct vcpu *c = vm__mon_cpu(mon);
    if (c == NULL)
        return vm_last_error()->code;
    const struct x86_lapic *l = &c->st.lapic;
    mon_printf(mon, "dumping local APIC state for CPU %-2u\n\n", mon->cpu);
    for (unsigned i = 0; i < sizeof index; i++)
        put_lvt(mon, names[i], l->lvt[index[i]]);
    mon_printf(mon, "Timer\t DCR=0x%x initial_count = %u current_count = %u\n", l->timer_divide,
               l->timer_initial, vm__x86_lapic_read(c, 0x390));
    mon_printf(mon, "SPIV\t 0x%08x APIC %s, focus=%s, spurious vec %u\n", l->svr,
               l->svr & 0x100 ? "enabled" : "disabled", l->svr & 0x200 ? "on" : "off",
               l->svr & 0xff);
    mon_printf(mon, "ICR\t 0x%08x\nICR2\t 0x%08x\nESR\t 0x%08x\n", (uint32_t)l->icr,
               (uint32_t)(l->icr >> 32), l->esr);
    put_vectors(mon, "ISR", l->isr, l->tmr);
    put_vectors(mon, "IRR", l->irr, l->tmr);
    mon_printf(mon, "\nID 0x%02x TPR 0x%02x DFR 0x%02x LDR 0x%02x\n", l->id, l->tpr, l->dfr >> 28,
               l->ldr >> 24);
    return VM_OK;
}

const struct mon_command vm__mon_info_cpu[] = {
    { "registers", NULL, "[-a]", "registers of the processor, or of all", MON_EXACT,
      run_registers },
    { "cpus", NULL, NULL, "processors, and what they do", MON_EXACT, run_cpus },
    { "lapic", NULL, "[CPU]", "local APIC", MON_EXACT, run_lapic },
    { "jit", "engine", NULL, "what runs guest code", MON_EXACT, run_jit },
    { 0 },
};
