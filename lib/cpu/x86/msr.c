/* SPDX-License-Identifier: MIT */
/**
 * @file msr.c
 * Model-specific registers: a table of those that are storage with rules, code for the others.
 *
 * Spec: [SDM-4 §2.1] (architectural MSRs), [APM2 §A]. A register whose feature the CPU model lacks
 * does not exist; writing a reserved bit or a non-canonical address is #GP(0).
 */
#include "cpu/x86/msr.h"

#include "base/bits.h"
#include "cpu/x86/control.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/segment.h"
#include "cpu/x86/tsc.h"

enum rule {
    STORE,     /* bits of `mask` may be written, others must be 0 */
    CANONICAL, /* an address */
    IGNORE,    /* writes are dropped */
    FIXED,     /* reads `mask`; writes are dropped */
};

struct msr_row {
    uint32_t msr;
    uint32_t at;      /* offset in struct x86_msrs; unused by FIXED */
    uint64_t mask;
    uint16_t feature; /* 0: always there */
    uint8_t rule;
};

#define AT(f) offsetof(struct x86_msrs, f)
#define ALL   (~UINT64_C(0))
#define U32   UINT64_C(0xffffffff)

/* An interpreter does not speculate: immune to Meltdown (0), L1TF (3), SSB (4), MDS (5), machine
 * checks on page size change (6), TAA (8), MMIO stale data (13-15), BHI (20), post-barrier RSB (24),
 * GDS (26), RFDS (27), ITS (62); IBRS once set stays (1) [SDM-4 §2.1]. */
#define ARCH_CAPABILITIES UINT64_C(0x400000000d10e17b)

/* clang-format off */
/* Sorted by number: looked up by bisection. */
static const struct msr_row rows[] = {
    { 0x00000017, 0, 0, 0, FIXED },                                     /* PLATFORM_ID */
    { 0x0000003a, AT(feature_control), 0x1ff, 0, STORE },
    { 0x0000003b, AT(tsc_adjust), ALL, X86_FEAT_TSC_ADJUST, STORE },    /* and moves the TSC: below */
    { 0x00000048, AT(spec_ctrl), 0x7, X86_FEAT_SPEC_CTRL, STORE },
    { 0x00000049, 0, 0, X86_FEAT_SPEC_CTRL, FIXED },                    /* PRED_CMD */
    { 0x00000079, 0, 0, 0, FIXED },                                     /* BIOS_UPDT_TRIG */
    { 0x0000008b, AT(bios_sign), ALL, 0, STORE },
    { 0x000000c1, 0, 0, 0, FIXED },                                     /* PMC0, PMC1 */
    { 0x000000c2, 0, 0, 0, FIXED },
    { 0x000000cd, 0, 3, 0, FIXED },                                     /* FSB_FREQ */
    { 0x000000ce, 0, 0, 0, FIXED },                                     /* PLATFORM_INFO */
    { 0x000000fe, 0, 0x508, X86_FEAT_MTRR, FIXED },                     /* MTRRCAP: WC, fixed, 8 */
    { 0x0000010a, 0, ARCH_CAPABILITIES, X86_FEAT_ARCH_CAP, FIXED },
    { 0x00000119, 0, 0, 0, FIXED },                                     /* BBL_CR_CTL */
    { 0x0000011e, 0, 0, 0, FIXED },                                     /* BBL_CR_CTL3 */
    { 0x00000140, 0, 0, 0, FIXED },                                     /* MISC_FEATURE_ENABLES */
    { 0x00000174, AT(sysenter_cs), U32, X86_FEAT_SEP, STORE },
    { 0x00000175, AT(sysenter_esp), 0, X86_FEAT_SEP, CANONICAL },
    { 0x00000176, AT(sysenter_eip), 0, X86_FEAT_SEP, CANONICAL },
    { 0x00000179, 0, X86_MC_BANKS, X86_FEAT_MCA, FIXED },               /* MCG_CAP: no CTL */
    { 0x0000017a, AT(mcg_status), 0x7, X86_FEAT_MCA, STORE },
    { 0x00000186, 0, 0, 0, FIXED },                                     /* PERFEVTSEL0, 1 */
    { 0x00000187, 0, 0, 0, FIXED },
    { 0x00000198, 0, 0, 0, FIXED },                                     /* PERF_STATUS */
    { 0x000001a0, AT(misc_enable), 0x440c51889, 0, STORE },
    { 0x000001d9, AT(debugctl), 0x3, 0, STORE },                        /* LBR, BTF: kept only */
    { 0x00000277, AT(pat), ALL, X86_FEAT_PAT, STORE },                  /* and types: below */
    { 0x000002ff, AT(mtrr_def), 0xcff, X86_FEAT_MTRR, STORE },
    { 0x00000da0, AT(xss), 0, X86_FEAT_XSAVES, STORE },                     /* no supervisor state */
    { 0xc0000081, AT(star), ALL, X86_FEAT_SYSCALL, STORE },
    { 0xc0000082, AT(lstar), 0, X86_FEAT_LM, CANONICAL },
    { 0xc0000083, AT(cstar), 0, X86_FEAT_LM, CANONICAL },
    { 0xc0000084, AT(fmask), U32, X86_FEAT_LM, STORE },
    { 0xc0000102, AT(kernel_gs_base), 0, X86_FEAT_LM, CANONICAL },
    { 0xc0000103, AT(tsc_aux), U32, X86_FEAT_RDTSCP, STORE },
    { 0xc0010000, 0, 0, 0, FIXED },                                     /* K7 event selects */
    { 0xc0010001, 0, 0, 0, FIXED },
    { 0xc0010002, 0, 0, 0, FIXED },
    { 0xc0010003, 0, 0, 0, FIXED },
    { 0xc0010004, 0, 0, 0, FIXED },                                     /* and counters */
    { 0xc0010005, 0, 0, 0, FIXED },
    { 0xc0010006, 0, 0, 0, FIXED },
    { 0xc0010007, 0, 0, 0, FIXED },
    { 0xc0010010, AT(spare[0]), ALL, 0, IGNORE },                       /* SYSCFG */
    { 0xc0010015, AT(spare[1]), ALL, 0, IGNORE },                       /* HWCR */
    { 0xc001001a, AT(spare[2]), ALL, 0, IGNORE },                       /* TOP_MEM */
    { 0xc001001d, AT(spare[3]), ALL, 0, IGNORE },                       /* TOP_MEM2 */
    { 0xc001001f, AT(spare[4]), ALL, 0, IGNORE },                       /* NB_CFG1 */
    { 0xc0010055, 0, 0, 0, FIXED },                                     /* INT_PENDING */
    { 0xc0010112, 0, 0, 0, FIXED },                                     /* SMM_ADDR, SMM_MASK */
    { 0xc0010113, 0, 0, 0, FIXED },
    { 0xc0010114, 0, 0x18, 0, FIXED },                                  /* VM_CR: SVM locked off */
    { 0xc0011022, 0, 0, 0, FIXED },                                     /* DC_CFG */
    { 0xc0011023, 0, 0, 0, FIXED },                                     /* BU_CFG */
    { 0xc0011029, AT(spare[5]), ALL, 0, STORE },                        /* DE_CFG: LFENCE */
    { 0xc001102a, 0, 0, 0, FIXED },                                     /* BU_CFG2 */
};
/* clang-format on */

static const struct msr_row *find_row(const struct vcpu *c, uint32_t msr)
{
    size_t lo = 0, hi = VM_COUNT_OF(rows);

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (rows[mid].msr < msr)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == VM_COUNT_OF(rows) || rows[lo].msr != msr)
        return NULL;
    return vm__x86_has(c, rows[lo].feature) || rows[lo].feature == 0 ? &rows[lo] : NULL;
}

static uint64_t *slot(struct vcpu *c, const struct msr_row *r)
{
    return (uint64_t *)(void *)((char *)&c->st.msr + r->at);
}

/* ---- memory types ---- */

static bool valid_type(uint64_t t, bool uc_minus)
{
    return t == 0 || t == 1 || t == 4 || t == 5 || t == 6 || (uc_minus && t == 7);
}

static bool valid_types(uint64_t v, bool uc_minus)
{
    for (unsigned k = 0; k < 8; k++)
        if (!valid_type(v >> (8 * k) & 0xff, uc_minus))
            return false;
    return true;
}

static int mtrr_fixed_index(uint32_t msr)
{
    if (msr == 0x250)
        return 0;
    if (msr == 0x258 || msr == 0x259)
        return (int)(msr - 0x258 + 1);
    if (msr >= 0x268 && msr <= 0x26f)
        return (int)(msr - 0x268 + 3);
    return -1;
}

/* MTRRs are kept; memory types have no effect here [SDM-3A §12.11]. */
static bool mtrr(struct vcpu *c, uint32_t msr, uint64_t *v, bool write)
{
    int n = mtrr_fixed_index(msr);
    uint64_t phys = (UINT64_C(1) << X86_PHYS_BITS) - 1;

    if (!vm__x86_has(c, X86_FEAT_MTRR))
        return false;
    if (n >= 0) {
        if (write && !valid_types(*v, false))
            return false;
        if (write)
            c->st.msr.mtrr_fixed[n] = *v;
        else
            *v = c->st.msr.mtrr_fixed[n];
        return true;
    }
    if (msr < 0x200 || msr >= 0x200 + 2 * X86_MTRR_VAR)
        return false;
    uint64_t *p = &c->st.msr.mtrr_var[msr - 0x200];
    if (write) {
        uint64_t ok = (phys & ~UINT64_C(0xfff)) | (msr & 1 ? 0x800 : 0xff);
        if ((*v & ~ok) || (!(msr & 1) && !valid_type(*v & 0xff, false)))
            return false;
        *p = *v;
    } else {
        *v = *p;
    }
    return true;
}

/* Machine-check banks: CTL takes 0 or all ones [SDM-3B §16.3.2], bar bits 0 and 10, which Linux
 * clears as a workaround on AMD family 15; STATUS takes 0 only. */
static bool mc_bank(struct vcpu *c, uint32_t msr, uint64_t *v, bool write)
{
    uint32_t n = msr - 0x400;

    if (msr < 0x400 || n >= 4 * X86_MC_BANKS || !vm__x86_has(c, X86_FEAT_MCA))
        return false;
    if (!write) {
        *v = c->st.msr.mc[n];
        return true;
    }
    if ((n & 3) == 0) {
        if (*v != 0 && (*v | 0x401) != ALL)
            return false;
    } else if ((n & 3) == 1 && *v != 0) {
        return false;
    }
    c->st.msr.mc[n] = *v;
    return true;
}

/* ---- TSC ---- */

static void move_tsc(struct vcpu *c, uint64_t by)
{
    c->st.msr.tsc_offset += by;
    c->st.msr.tsc_adjust += by;
    if (vm__x86_lapic_deadline(c) != 0)
        vm__x86_lapic_rearm(c);
}

/* ---- segment bases ---- */

static bool set_base(struct vcpu *c, unsigned seg, uint64_t v)
{
    if (!x86_canonical(c, v))
        return false;
    c->st.seg[seg].base = v;
    vm__x86_sync_seg(c, seg);
    return true;
}

/* ---- reading ---- */

bool vm__x86_rdmsr(struct vcpu *c, uint32_t msr, uint64_t *v)
{
    switch (msr) {
    case 0xc0000100: *v = c->st.seg[X86_FS].base; return vm__x86_has(c, X86_FEAT_LM);
    case 0xc0000101: *v = c->st.seg[X86_GS].base; return vm__x86_has(c, X86_FEAT_LM);
    case 0xc0000080: *v = c->st.msr.efer; return vm__x86_efer_mask(c) != 0;
    case 0x00000000: /* P5_MC_ADDR, P5_MC_TYPE */
    case 0x00000001: *v = 0; return true;
    case 0x00000010: *v = vm__x86_tsc(c); return vm__x86_has(c, X86_FEAT_TSC);
    case 0x0000001b: *v = c->st.msr.apic_base; return vm__x86_has(c, X86_FEAT_APIC);
    case 0x00000049: return false; /* PRED_CMD is for writing only [SDM-4 §2.1] */
    case 0x000006e0:
        *v = vm__x86_lapic_deadline(c);
        return vm__x86_has(c, X86_FEAT_TSC_DEADLINE);
    default: break;
    }
    if (msr - 0x800 < 0x400)
        return vm__x86_x2apic_read(c, msr, v);
    const struct msr_row *r = find_row(c, msr);
    if (r != NULL) {
        *v = r->rule == FIXED ? r->mask : *slot(c, r);
        return true;
    }
    return mtrr(c, msr, v, false) || mc_bank(c, msr, v, false);
}

/* ---- writing ---- */

static bool write_row(struct vcpu *c, const struct msr_row *r, uint64_t v)
{
    switch (r->msr) {
    case 0x3b: move_tsc(c, v - c->st.msr.tsc_adjust); return true;
    case 0x8b: return true; /* writing clears it before CPUID loads it: the revision stays */
    case 0x277:
        if (!valid_types(v, true))
            return false;
        break;
    case 0x2ff:
        if (!valid_type(v & 0xff, false))
            return false;
        break;
    default: break;
    }
    switch ((enum rule)r->rule) {
    case STORE:
        if (v & ~r->mask)
            return false;
        *slot(c, r) = v;
        return true;
    case CANONICAL:
        if (!x86_canonical(c, v))
            return false;
        *slot(c, r) = v;
        return true;
    case IGNORE:
    case FIXED: return true;
    }
    return false;
}

bool vm__x86_wrmsr(struct vcpu *c, uint32_t msr, uint64_t v)
{
    switch (msr) {
    case 0x000006e0:
        if (!vm__x86_has(c, X86_FEAT_TSC_DEADLINE))
            return false;
        vm__x86_lapic_set_deadline(c, v);
        return true;
    case 0xc0000100: return vm__x86_has(c, X86_FEAT_LM) && set_base(c, X86_FS, v);
    case 0xc0000101: return vm__x86_has(c, X86_FEAT_LM) && set_base(c, X86_GS, v);
    case 0xc0000080: vm__x86_write_efer(c, v); return vm__x86_efer_mask(c) != 0;
    case 0x00000000:
    case 0x00000001: return true;
    case 0x00000010: move_tsc(c, v - vm__x86_tsc(c)); return vm__x86_has(c, X86_FEAT_TSC);
    case 0x0000001b: return vm__x86_has(c, X86_FEAT_APIC) && vm__x86_lapic_set_base(c, v);
    case 0x000000fe:
    case 0x00000179:
    case 0x0000010a: return false;
    default: break;
    }
    if (msr - 0x800 < 0x400)
        return vm__x86_x2apic_write(c, msr, v);
    const struct msr_row *r = find_row(c, msr);
    if (r != NULL)
        return write_row(c, r, v);
    return mtrr(c, msr, &v, true) || mc_bank(c, msr, &v, true);
}

void vm__x86_msr_reset(struct vcpu *c)
{
    struct x86_msrs *m = &c->st.msr;

    memset(m, 0, sizeof *m);
    m->apic_base = 0xfee00000 | (vm__x86_has(c, X86_FEAT_APIC) ? X86_APIC_BASE_EN : 0) |
                   (c->cpu.index == 0 ? X86_APIC_BASE_BSP : 0);
    m->pat = UINT64_C(0x0007040600070406);
    m->misc_enable = 1 | 1 << 11 | 1 << 12; /* fast strings; no BTS, no PEBS */
    m->feature_control = 1;                 /* locked, VMX off */
    m->bios_sign = vm__x86_microcode(c->cpus);
    for (unsigned k = 0; k < X86_MC_BANKS; k++)
        m->mc[4 * k] = ALL;
    /* tsc_offset 0 for all: the counters of a machine's processors never differ after reset. */
}
