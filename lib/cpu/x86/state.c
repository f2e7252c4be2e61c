/* SPDX-License-Identifier: MIT */
/**
 * @file state.c
 * The architectural state as a field table, and what a loaded one must satisfy.
 *
 * A snapshot is untrusted: whatever engines rely upon without looking (array indexes, zero bits,
 * modes that exclude each other) is checked or forced here; everything else a guest could have set
 * up by itself.
 */
#include <string.h>

#include "base/error.h"
#include "cpu/x86/control.h"
#include "cpu/x86/lapic_regs.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/regs.h"

#define F(f)  VM_FIELD(x86_state, f, 1)
#define A(f)  VM_FIELD_ARRAY(x86_state, f, 1)
#define B(f)  VM_FIELD_BYTES(x86_state, f, 1)
#define M(f)  VM_FIELD(x86_msrs, f, 1)
#define MA(f) VM_FIELD_ARRAY(x86_msrs, f, 1)
#define L(f)  VM_FIELD(x86_lapic, f, 1)
#define LA(f) VM_FIELD_ARRAY(x86_lapic, f, 1)
#define E(f)  VM_FIELD(x86_event, f, 1)

/* clang-format off */
static const struct vm_field seg_fields[] = {
    VM_FIELD(x86_seg, base, 1), VM_FIELD(x86_seg, limit, 1), VM_FIELD(x86_seg, sel, 1),
    VM_FIELD(x86_seg, attr, 1), { 0 },
};
static const struct vm_field dtr_fields[] = {
    VM_FIELD(x86_dtr, base, 1), VM_FIELD(x86_dtr, limit, 1), { 0 },
};
static const struct vm_field event_fields[] = {
    E(kind), E(vector), E(has_error), E(delivering), E(error), E(payload), E(next_rip), { 0 },
};
static const struct vm_field msr_fields[] = {
    M(apic_base), M(efer), M(star), M(lstar), M(cstar), M(fmask), M(kernel_gs_base),
    M(sysenter_cs), M(sysenter_esp), M(sysenter_eip), M(tsc_offset), M(tsc_adjust), M(tsc_aux),
    M(pat), M(mtrr_def), MA(mtrr_fixed), MA(mtrr_var), M(misc_enable), M(feature_control),
    M(spec_ctrl), M(debugctl), M(mcg_status), M(mcg_ctl), MA(mc), M(xss), M(bios_sign), MA(spare),
    { 0 },
};
static const struct vm_field lapic_fields[] = {
    L(id), L(tpr), L(ldr), L(dfr), L(svr), L(esr), L(esr_pending), L(lint0_level), LA(isr), LA(tmr),
    LA(irr), L(icr), LA(lvt), L(timer_divide), L(timer_initial), L(sipi_vector), L(timer_start_ns),
    L(tsc_deadline), { 0 },
};
const struct vm_field vm__x86_fields[] = {
    A(gpr), F(rip), F(rflags), F(cr0), F(cr2), F(cr3), F(cr4), F(xcr0), A(dr), A(pdpte),
    VM_FIELD_STRUCTS(x86_state, seg, seg_fields, 1), VM_FIELD_STRUCT(x86_state, ldtr, seg_fields, 1),
    VM_FIELD_STRUCT(x86_state, tr, seg_fields, 1), VM_FIELD_STRUCT(x86_state, gdtr, dtr_fields, 1),
    VM_FIELD_STRUCT(x86_state, idtr, dtr_fields, 1),
    B(vec), A(k), B(x87), F(fcw), F(fsw), F(ftw), F(fop), F(fcs), F(fds), F(fip), F(fdp), F(mxcsr),
    VM_FIELD_STRUCT(x86_state, msr, msr_fields, 1),
    VM_FIELD_STRUCT(x86_state, lapic, lapic_fields, 1),
    VM_FIELD_STRUCT(x86_state, event, event_fields, 1),
    F(smbase), F(activity), F(shadow), F(nmi_blocked), F(nmi_pending), F(smi_pending),
    F(init_pending), F(sipi_pending), F(smm), F(a20_masked), { 0 },
};
/* clang-format on */

/* ---- after loading ---- */

static const char *bad_state(const struct vcpu *c)
{
    const struct x86_state *st = &c->st;
    bool pe = st->cr0 & X86_CR0_PE, pg = st->cr0 & X86_CR0_PG;
    bool lma = st->msr.efer & X86_EFER_LMA, lme = st->msr.efer & X86_EFER_LME;

    if (pg && !pe)
        return "paging without protection";
    if (lma != (lme && pg) || (lma && !(st->cr4 & X86_CR4_PAE)))
        return "long mode that is not";
    if ((st->rflags & X86_VM) && (!pe || lma))
        return "virtual-8086 mode where there is none";
    if (st->cr4 & ~vm__x86_cr4_mask(c))
        return "CR4 bits that this processor lacks";
    if (st->msr.efer & ~vm__x86_efer_mask(c))
        return "EFER bits that this processor lacks";
    if ((st->xcr0 & ~vm__x86_xcr0_mask(c)) || !(st->xcr0 & 1) || (st->xcr0 & 6) == 4)
        return "an XCR0 that this processor lacks";
    if (lma && !x86_canonical(c, st->rip) && (st->seg[X86_CS].attr & X86_ATTR_L))
        return "a RIP that is not canonical";
    if (st->activity > X86_STOPPED || st->event.kind > X86_EVENT_NMI)
        return "an activity or event that does not exist";
    return NULL;
}

/* Bits that are constant in the machine. */
static void force(struct x86_state *st)
{
    st->gpr[X86_NONE] = 0;
    st->rflags = (st->rflags & 0x3f7fd7) | X86_F1;
    st->cr0 = (st->cr0 & UINT64_C(0xe005003f)) | X86_CR0_ET;
    st->dr[6] = (st->dr[6] & 0xe00f) | 0xffff0ff0;
    st->dr[7] = (st->dr[7] & 0xffff2bff) | 0x400;
    st->mxcsr &= 0xffff;
    st->gdtr.limit &= 0xffff;
    st->idtr.limit &= 0xffff;
    st->smm = st->smm != 0;
    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        st->seg[k].attr &= 0xf0ff;
    st->lapic.id &= 0xff;
    st->lapic.tpr &= 0xff;
    st->lapic.timer_divide &= 0xb;
    st->lapic.sipi_vector &= 0xff;
    for (unsigned k = 0; k < 7; k++)
        st->lapic.lvt[k] &= 0x7f7ff;
}

int vm__x86_post_load(struct vm_cpu *cpu)
{
    struct vcpu *c = vm__vcpu(cpu);
    const char *why = bad_state(c);

    if (why != NULL)
        return vm__fail(VM_E_CORRUPT, "cpu%u: the state has %s", cpu->index, why);
    force(&c->st);
    c->cpus->engine->load(c);
    vm__x86_sync_mode(c);
    vm__x86_lapic_rearm(c);
    x86_recheck(c);
    return VM_OK;
}
