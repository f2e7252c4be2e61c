/* SPDX-License-Identifier: MIT */
/**
 * @file v86.c
 * Virtual-8086 mode extensions: software interrupts through the redirection bitmap.
 *
 * Spec: [SDM-3B §20.3.3] (methods 5 and 6), [SDM-3A §7.2.1] (place of the bitmap).
 */
#include "cpu/x86/v86.h"

#include "cpu/x86/flags.h"
#include "cpu/x86/segment.h"

bool vm__x86_v86_redirected(struct vcpu *c, uint8_t vector)
{
    const struct x86_seg *tr = &c->st.tr;

    if (!(c->st.cr4 & X86_CR4_VME))
        return false;
    if (tr->limit < 0x67)
        x86_raise_cur(c, X86_XGP, 0);
    uint32_t map = (uint32_t)vm__x86_sys_ld(c, tr->base + 0x66, 2, X86_ACCESS_R);
    /* The 32 bytes before the I/O map. */
    uint32_t at = map - 32 + vector / 8u;
    if (map < 32 || at > tr->limit)
        x86_raise_cur(c, X86_XGP, 0);
    return !(vm__x86_sys_ld(c, tr->base + at, 1, X86_ACCESS_R) >> (vector % 8) & 1);
}

void vm__x86_v86_int(struct vcpu *c, uint8_t vector, uint64_t next_rip)
{
    if (vm__x86_v86_redirected(c, vector)) {
        bool virt = x86_iopl(c) < 3;
        uint64_t flags = x86_flags(c);
        vm__x86_deliver_ivt(c, vector, next_rip, virt ? x86_vme_flags(flags) : flags, 0);
        c->st.rflags &= ~(uint64_t)(X86_TF | X86_RF | X86_NT | (virt ? X86_VIF : X86_IF));
        c->step_tf = false;
        vm__x86_sync_mode(c);
        return;
    }
    if (x86_iopl(c) < 3)
        x86_raise_cur(c, X86_XGP, 0);
    vm__x86_soft_int(c, X86_EVENT_SOFT, vector, next_rip);
}
