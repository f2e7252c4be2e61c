/* SPDX-License-Identifier: MIT */
/**
 * @file regs.c
 * Registers by number and by name, for debuggers, boards and the embedder.
 *
 * A write puts the value where the instruction that loads the register would, without its order of
 * steps: control registers may be set one after the other in any order, segments part by part.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvm/cpu.h>

#include "base/error.h"
#include "cpu/x86/control.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/msr.h"
#include "cpu/x86/regs.h"

/* ---- plain registers: a place in x86_state ---- */

struct place {
    uint32_t first, count;
    uint32_t offset; /* in struct x86_state */
    uint16_t stride; /* from one to the next */
    uint8_t size;
};
#define AT(f) offsetof(struct x86_state, f)

/* clang-format off */
static const struct place places[] = {
    { VM_X86_RAX, 16, AT(gpr), 8, 8 },
    { VM_X86_RIP, 1, AT(rip), 0, 8 },
    { VM_X86_RFLAGS, 1, AT(rflags), 0, 8 },
    { VM_X86_ES, 6, AT(seg[0].sel), sizeof(struct x86_seg), 2 },
    { VM_X86_LDTR, 1, AT(ldtr.sel), 0, 2 },
    { VM_X86_TR, 1, AT(tr.sel), 0, 2 },
    { VM_X86_SEG_BASE, 6, AT(seg[0].base), sizeof(struct x86_seg), 8 },
    { VM_X86_SEG_BASE + 6, 1, AT(ldtr.base), 0, 8 },
    { VM_X86_SEG_BASE + 7, 1, AT(tr.base), 0, 8 },
    { VM_X86_SEG_LIMIT, 6, AT(seg[0].limit), sizeof(struct x86_seg), 4 },
    { VM_X86_SEG_LIMIT + 6, 1, AT(ldtr.limit), 0, 4 },
    { VM_X86_SEG_LIMIT + 7, 1, AT(tr.limit), 0, 4 },
    { VM_X86_SEG_ACCESS, 6, AT(seg[0].attr), sizeof(struct x86_seg), 2 },
    { VM_X86_SEG_ACCESS + 6, 1, AT(ldtr.attr), 0, 2 },
    { VM_X86_SEG_ACCESS + 7, 1, AT(tr.attr), 0, 2 },
    { VM_X86_GDTR_BASE, 1, AT(gdtr.base), 0, 8 },
    { VM_X86_GDTR_LIMIT, 1, AT(gdtr.limit), 0, 4 },
    { VM_X86_IDTR_BASE, 1, AT(idtr.base), 0, 8 },
    { VM_X86_IDTR_LIMIT, 1, AT(idtr.limit), 0, 4 },
    { VM_X86_CR0, 1, AT(cr0), 0, 8 },
    { VM_X86_CR2, 1, AT(cr2), 0, 8 },
    { VM_X86_CR3, 1, AT(cr3), 0, 8 },
    { VM_X86_CR4, 1, AT(cr4), 0, 8 },
    { VM_X86_DR0, 8, AT(dr), 8, 8 },
    { VM_X86_XCR0, 1, AT(xcr0), 0, 8 },
    { VM_X86_FCW, 1, AT(fcw), 0, 2 },
    { VM_X86_FSW, 1, AT(fsw), 0, 2 },
    { VM_X86_FOP, 1, AT(fop), 0, 2 },
    { VM_X86_FIP, 1, AT(fip), 0, 8 },
    { VM_X86_FDP, 1, AT(fdp), 0, 8 },
    { VM_X86_FCS, 1, AT(fcs), 0, 2 },
    { VM_X86_FDS, 1, AT(fds), 0, 2 },
    { VM_X86_MXCSR, 1, AT(mxcsr), 0, 4 },
    { VM_X86_XMM0, 32, AT(vec), 64, 16 },
    { VM_X86_YMM0, 32, AT(vec), 64, 32 },
    { VM_X86_ZMM0, 32, AT(vec), 64, 64 },
    { VM_X86_K0, 8, AT(k), 8, 8 },
};
/* clang-format on */

static uint8_t *find(struct vcpu *c, uint32_t reg, unsigned *size)
{
    for (unsigned k = 0; k < sizeof places / sizeof places[0]; k++) {
        const struct place *p = &places[k];
        if (reg - p->first < p->count) {
            *size = p->size;
            return (uint8_t *)&c->st + p->offset + (reg - p->first) * p->stride;
        }
    }
    if (reg - VM_X86_ST0 < 8) {
        *size = 10;
        return c->st.x87[((c->st.fsw >> 11) + (reg - VM_X86_ST0)) & 7];
    }
    return NULL;
}

/* ---- the x87 tag word: two bits a register from the abridged form [SDM-1 §8.1.7] ---- */

static unsigned tag_of(const uint8_t *r)
{
    uint64_t mantissa;
    uint16_t exponent;

    memcpy(&mantissa, r, 8);
    memcpy(&exponent, r + 8, 2);
    exponent &= 0x7fff;
    if (exponent == 0 && mantissa == 0)
        return 1;
    return exponent == 0 || exponent == 0x7fff || !(mantissa >> 63) ? 2 : 0;
}

static uint16_t full_tags(const struct x86_state *st)
{
    unsigned tags = 0;
    for (unsigned k = 0; k < 8; k++)
        tags |= (st->ftw >> k & 1 ? tag_of(st->x87[k]) : 3u) << (2 * k);
    return (uint16_t)tags;
}

static uint8_t abridged(uint16_t tags)
{
    unsigned v = 0;
    for (unsigned k = 0; k < 8; k++)
        v |= (unsigned)((tags >> (2 * k) & 3) != 3) << k;
    return (uint8_t)v;
}

/* ---- reading ---- */

static int give(void *buf, size_t size, const void *v, size_t n)
{
    memset(buf, 0, size);
    memcpy(buf, v, n < size ? n : size);
    return VM_OK;
}

static bool is_msr(uint32_t reg, uint32_t *msr)
{
    *msr = reg ^ 0x80000000u;
    /* MSR numbers in use are below 2000h, and C000_0000h up. */
    return *msr < 0x2000 || *msr >> 16 == 0xc000 || *msr >> 16 == 0xc001;
}

int vm__x86_reg_read(struct vm_cpu *cpu, uint32_t reg, void *buf, size_t size)
{
    struct vcpu *c = vm__vcpu(cpu);
    unsigned n = 0;
    uint64_t v = 0;
    uint32_t msr;
    const uint8_t *p = find(c, reg, &n);

    if (p != NULL)
        return give(buf, size, p, n);
    switch (reg) {
    case VM_X86_CPL: v = c->cpl; break;
    case VM_X86_CR8: v = vm__x86_read_cr8(c); break;
    case VM_X86_FTW: v = full_tags(&c->st); break;
    default:
        if (!is_msr(reg, &msr) || !vm__x86_rdmsr(c, msr, &v))
            return vm__fail(VM_E_NOENT, "no register 0x%x on this processor", reg);
    }
    return give(buf, size, &v, sizeof v);
}

/* ---- writing ---- */

/* Values that no instruction could load. */
static bool refused(const struct vcpu *c, uint32_t reg, uint64_t v)
{
    switch (reg) {
    case VM_X86_CR0: return v >> 32 || ((v & X86_CR0_PG) && !(v & X86_CR0_PE));
    case VM_X86_CR3: return v >> X86_PHYS_BITS;
    case VM_X86_CR4: return v & ~vm__x86_cr4_mask(c);
    case VM_X86_XCR0: return (v & ~vm__x86_xcr0_mask(c)) || !(v & 1) || (v & 6) == 4;
    case VM_X86_GDTR_LIMIT:
    case VM_X86_IDTR_LIMIT: return v >> 16;
    case VM_X86_MXCSR: return v >> 16;
    case VM_X86_RFLAGS: return v & ~UINT64_C(0x3f7fd7);
    default: return false;
    }
}

static void fix_up(struct vcpu *c)
{
    struct x86_state *st = &c->st;
    bool lma = (st->msr.efer & X86_EFER_LME) && (st->cr0 & X86_CR0_PG);

    st->msr.efer = (st->msr.efer & ~(uint64_t)X86_EFER_LMA) | (lma ? X86_EFER_LMA : 0);
    st->cr0 |= X86_CR0_ET;
    st->rflags |= X86_F1;
    st->dr[6] = (st->dr[6] & 0xe00f) | 0xffff0ff0;
    st->dr[7] = (st->dr[7] & 0xffff2bff) | 0x400;
    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        st->seg[k].attr &= 0xf0ff;
    c->cpus->engine->flush(c, VM_FLUSH_TLB, 0);
    vm__x86_sync_mode(c);
    x86_recheck(c);
}

static int write_msr(struct vcpu *c, uint32_t msr, uint64_t v)
{
    /* Checks of some MSRs raise #GP; here they come back as a status. */
    jmp_buf saved;
    int st = VM_OK;

    memcpy(&saved, &c->jmp, sizeof saved);
    c->cur = NULL;
    if (_setjmp(c->jmp) != 0) {
        c->st.event.kind = X86_EVENT_NONE;
        st = VM_E_INVAL;
    } else if (!vm__x86_wrmsr(c, msr, v)) {
        st = VM_E_INVAL;
    }
    memcpy(&c->jmp, &saved, sizeof saved);
    if (st != VM_OK)
        return vm__fail(st, "MSR 0x%x does not exist or cannot hold 0x%llx", msr,
                        (unsigned long long)v);
    return VM_OK;
}

int vm__x86_reg_write(struct vm_cpu *cpu, uint32_t reg, const void *buf, size_t size)
{
    struct vcpu *c = vm__vcpu(cpu);
    unsigned n = 0;
    uint64_t v = 0;
    uint32_t msr;
    uint8_t *p = find(c, reg, &n);

    memcpy(&v, buf, size < sizeof v ? size : sizeof v);
    if (p != NULL) {
        if (refused(c, reg, v))
            return vm__fail(VM_E_INVAL, "register 0x%x cannot hold 0x%llx", reg,
                            (unsigned long long)v);
        memcpy(p, buf, size < n ? size : n);
        if (size < n)
            memset(p + size, 0, n - size);
    } else if (reg == VM_X86_FTW) {
        c->st.ftw = abridged((uint16_t)v);
    } else if (reg == VM_X86_CR8) {
        if (v > 15)
            return vm__fail(VM_E_INVAL, "CR8 cannot hold 0x%llx", (unsigned long long)v);
        vm__x86_lapic_set_tpr(c, (uint8_t)(v << 4));
    } else if (reg != VM_X86_CPL && is_msr(reg, &msr)) {
        int st = write_msr(c, msr, v);
        if (st != VM_OK)
            return st;
    } else {
        return vm__fail(VM_E_NOENT, "no register 0x%x on this processor", reg);
    }
    fix_up(c);
    return VM_OK;
}

/* ---- names ---- */

static const struct {
    const char *name;
    uint32_t reg;
} names[] = {
    { "rax", VM_X86_RAX },   { "rcx", VM_X86_RCX },       { "rdx", VM_X86_RDX },
    { "rbx", VM_X86_RBX },   { "rsp", VM_X86_RSP },       { "rbp", VM_X86_RBP },
    { "rsi", VM_X86_RSI },   { "rdi", VM_X86_RDI },       { "rip", VM_X86_RIP },
    { "rflags", VM_X86_RFLAGS }, { "cpl", VM_X86_CPL },   { "cr0", VM_X86_CR0 },
    { "cr2", VM_X86_CR2 },   { "cr3", VM_X86_CR3 },       { "cr4", VM_X86_CR4 },
    { "cr8", VM_X86_CR8 },   { "xcr0", VM_X86_XCR0 },     { "fcw", VM_X86_FCW },
    { "fsw", VM_X86_FSW },   { "ftw", VM_X86_FTW },       { "fop", VM_X86_FOP },
    { "fip", VM_X86_FIP },   { "fdp", VM_X86_FDP },       { "fcs", VM_X86_FCS },
    { "fds", VM_X86_FDS },   { "mxcsr", VM_X86_MXCSR },   { "gdtr.base", VM_X86_GDTR_BASE },
    { "gdtr.limit", VM_X86_GDTR_LIMIT },                  { "idtr.base", VM_X86_IDTR_BASE },
    { "idtr.limit", VM_X86_IDTR_LIMIT },
    { "efer", VM_X86_MSR(0xc0000080) },
};
static const char *const segments[8] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr" };

/* Registers that are a word and a number. */
static const struct {
    const char *stem;
    uint32_t first, count;
} numbered[] = {
    { "r", VM_X86_RAX, 16 },  { "dr", VM_X86_DR0, 8 },    { "st", VM_X86_ST0, 8 },
    { "xmm", VM_X86_XMM0, 32 }, { "ymm", VM_X86_YMM0, 32 }, { "zmm", VM_X86_ZMM0, 32 },
    { "k", VM_X86_K0, 8 },
};

static int no_register(const char *name)
{
    return vm__fail(VM_E_NOENT, "no register '%.40s'", name);
}

static int segment_id(const char *name)
{
    for (uint32_t k = 0; k < 8; k++) {
        size_t len = strlen(segments[k]);
        if (strncmp(name, segments[k], len) != 0)
            continue;
        const char *part = name + len;
        if (*part == '\0')
            return (int)(VM_X86_ES + k);
        if (strcmp(part, ".base") == 0)
            return (int)(VM_X86_SEG_BASE + k);
        if (strcmp(part, ".limit") == 0)
            return (int)(VM_X86_SEG_LIMIT + k);
        if (strcmp(part, ".access") == 0 || strcmp(part, ".attr") == 0)
            return (int)(VM_X86_SEG_ACCESS + k);
    }
    return -1;
}

int64_t vm__x86_reg_id(const char *name)
{
    for (unsigned k = 0; k < sizeof names / sizeof names[0]; k++)
        if (strcmp(name, names[k].name) == 0)
            return names[k].reg;
    if (strncmp(name, "msr:", 4) == 0) {
        char *end;
        errno = 0;
        unsigned long v = strtoul(name + 4, &end, 0);
        if (errno != 0 || *end != '\0' || end == name + 4 || v > 0xffffffff)
            return no_register(name);
        return VM_X86_MSR((uint32_t)v);
    }
    int id = segment_id(name);
    if (id >= 0)
        return id;
    for (unsigned k = 0; k < sizeof numbered / sizeof numbered[0]; k++) {
        size_t len = strlen(numbered[k].stem);
        char *end;
        if (strncmp(name, numbered[k].stem, len) != 0 || name[len] < '0' || name[len] > '9')
            continue;
        unsigned long n = strtoul(name + len, &end, 10);
        if (*end == '\0' && n < numbered[k].count)
            return (int64_t)(numbered[k].first + n);
    }
    return no_register(name);
}
