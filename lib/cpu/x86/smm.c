/* SPDX-License-Identifier: MIT */
/**
 * @file smm.c
 * System management mode: SMI entry, the state save area, RSM.
 *
 * Spec: [APM2 §10.2] (64-bit save area, revision 20064h) for models with long mode, [SDM-3C §31.4]
 * (32-bit save area, revision 20000h) for the others; hidden parts of segment registers, which
 * the latter leaves undocumented, lie in its reserved bytes. [SDM-3C §31.5 to §31.11].
 * Modelled: SMBASE relocation, auto-HALT restart. Not modelled: I/O instruction restart.
 */
#include "cpu/x86/smm.h"

#include <string.h>

#include "base/endian.h"
#include "core/machine.h"
#include "cpu/x86/control.h"
#include "cpu/x86/flags.h"
#include "cpu/x86/segment.h"

enum { AREA = 0x200, AREA_OFF = 0xfe00 }; /* the part that is used, from SMBASE */
enum { REV64 = 0x20064, REV32 = 0x20000, REV_AT = 0xfc, BASE64_AT = 0x100, BASE32_AT = 0xf8 };

/* ---- guest-physical access in the SMM view ---- */

static void copy(struct vcpu *c, uint64_t gpa, uint8_t *buf, bool store)
{
    for (uint32_t done = 0; done < AREA;) {
        struct vm_mem_page pg;
        uint32_t off = (uint32_t)(gpa + done) & (VM_PAGE_SIZE - 1);
        uint32_t n = VM_PAGE_SIZE - off < AREA - done ? VM_PAGE_SIZE - off : AREA - done;

        vm__mem_page(c->cpus->m, VM_VIEW_SMM, gpa + done, &pg);
        if (store) {
            if (pg.host != NULL && pg.writable) {
                memcpy(pg.host + off, buf + done, n);
                vm__page_written(pg.page, off, n);
            }
        } else if (pg.host != NULL) {
            memcpy(buf + done, pg.host + off, n);
        } else {
            memset(buf + done, 0xff, n);
        }
        done += n;
    }
}

/* ---- 64-bit area; offsets are from SMBASE + FE00h [APM2 table 10-1] ---- */

static void put_seg64(uint8_t *p, const struct x86_seg *s)
{
    vm_put_le16(p, s->sel);
    vm_put_le16(p + 2, (uint16_t)((s->attr & 0xff) | s->attr >> 12 << 8));
    vm_put_le32(p + 4, s->limit);
    vm_put_le64(p + 8, s->base);
}
static void get_seg64(const uint8_t *p, struct x86_seg *s)
{
    uint16_t attr = vm_le16(p + 2);
    s->sel = vm_le16(p);
    s->attr = (uint16_t)((attr & 0xff) | (attr & 0xf00) << 4);
    s->limit = vm_le32(p + 4);
    s->base = vm_le64(p + 8);
}

static void save64(const struct vcpu *c, uint8_t *a)
{
    const struct x86_state *st = &c->st;

    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        put_seg64(a + 16 * k, &st->seg[k]);
    vm_put_le32(a + 0x64, st->gdtr.limit);
    vm_put_le64(a + 0x68, st->gdtr.base);
    put_seg64(a + 0x70, &st->ldtr);
    vm_put_le32(a + 0x84, st->idtr.limit);
    vm_put_le64(a + 0x88, st->idtr.base);
    put_seg64(a + 0x90, &st->tr);
    a[0xc9] = st->activity == X86_HALTED;
    vm_put_le64(a + 0xd0, st->msr.efer);
    vm_put_le32(a + REV_AT, REV64);
    vm_put_le32(a + BASE64_AT, st->smbase);
    vm_put_le64(a + 0x148, st->cr4);
    vm_put_le64(a + 0x150, st->cr3);
    vm_put_le64(a + 0x158, st->cr0);
    vm_put_le64(a + 0x160, st->dr[7]);
    vm_put_le64(a + 0x168, st->dr[6]);
    vm_put_le64(a + 0x170, st->rflags);
    vm_put_le64(a + 0x178, st->rip);
    for (unsigned k = 0; k < 16; k++)
        vm_put_le64(a + 0x1f8 - 8 * k, st->gpr[k]);
}

/* The area keeps RAX at 1F8h, then RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8… downwards. */
static void load64(struct vcpu *c, const uint8_t *a)
{
    struct x86_state *st = &c->st;

    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        get_seg64(a + 16 * k, &st->seg[k]);
    st->gdtr.limit = vm_le32(a + 0x64) & 0xffff;
    st->gdtr.base = vm_le64(a + 0x68);
    get_seg64(a + 0x70, &st->ldtr);
    st->idtr.limit = vm_le32(a + 0x84) & 0xffff;
    st->idtr.base = vm_le64(a + 0x88);
    get_seg64(a + 0x90, &st->tr);
    st->activity = a[0xc9] ? X86_HALTED : X86_ACTIVE;
    st->msr.efer = vm_le64(a + 0xd0) & vm__x86_efer_mask(c);
    st->smbase = vm_le32(a + BASE64_AT);
    st->cr4 = vm_le64(a + 0x148);
    st->cr3 = vm_le64(a + 0x150);
    st->cr0 = vm_le64(a + 0x158);
    st->dr[7] = (vm_le64(a + 0x160) & 0xffff2bff) | 0x400;
    st->dr[6] = (vm_le64(a + 0x168) & 0xe00f) | 0xffff0ff0;
    st->rflags = vm_le64(a + 0x170);
    st->rip = vm_le64(a + 0x178);
    for (unsigned k = 0; k < 16; k++)
        st->gpr[k] = vm_le64(a + 0x1f8 - 8 * k);
}

/* ---- 32-bit area [SDM-3C table 31-1] ---- */

enum { HIDDEN32 = 0x10 }; /* eight hidden parts of 12 bytes, in reserved space */

static struct x86_seg *any_seg(struct x86_state *st, unsigned k)
{
    return k < X86_SEG_COUNT ? &st->seg[k] : k == X86_SEG_COUNT ? &st->ldtr : &st->tr;
}

static void save32(struct vcpu *c, uint8_t *a)
{
    struct x86_state *st = &c->st;
    static const uint8_t gpr_at[8] = { 0xd0, 0xd4, 0xd8, 0xdc, 0xe0, 0xe4, 0xe8, 0xec };

    vm_put_le32(a + 0x1fc, (uint32_t)st->cr0);
    vm_put_le32(a + 0x1f8, (uint32_t)st->cr3);
    vm_put_le32(a + 0x1f4, (uint32_t)st->rflags);
    vm_put_le32(a + 0x1f0, (uint32_t)st->rip);
    for (unsigned k = 0; k < 8; k++)
        vm_put_le32(a + 0x100 + gpr_at[k], (uint32_t)st->gpr[k]);
    vm_put_le32(a + 0x1cc, (uint32_t)st->dr[6]);
    vm_put_le32(a + 0x1c8, (uint32_t)st->dr[7]);
    vm_put_le32(a + 0x1c4, st->tr.sel);
    vm_put_le32(a + 0x1c0, st->ldtr.sel);
    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        vm_put_le32(a + 0x1a8 + 4 * k, st->seg[k].sel);
    for (unsigned k = 0; k < 8; k++) {
        const struct x86_seg *s = any_seg(st, k);
        uint8_t *p = a + HIDDEN32 + 12 * k;
        vm_put_le32(p, (uint32_t)s->base);
        vm_put_le32(p + 4, s->limit);
        vm_put_le32(p + 8, s->attr);
    }
    vm_put_le32(a + 0x80, (uint32_t)st->gdtr.base);
    vm_put_le32(a + 0x84, st->gdtr.limit);
    vm_put_le32(a + 0x88, (uint32_t)st->idtr.base);
    vm_put_le32(a + 0x8c, st->idtr.limit);
    vm_put_le32(a + 0x90, (uint32_t)st->cr4);
    a[0x102] = st->activity == X86_HALTED;
    vm_put_le32(a + REV_AT, REV32);
    vm_put_le32(a + BASE32_AT, st->smbase);
}

static void load32(struct vcpu *c, const uint8_t *a)
{
    struct x86_state *st = &c->st;
    static const uint8_t gpr_at[8] = { 0xd0, 0xd4, 0xd8, 0xdc, 0xe0, 0xe4, 0xe8, 0xec };

    st->cr0 = vm_le32(a + 0x1fc);
    st->cr3 = vm_le32(a + 0x1f8);
    st->rflags = vm_le32(a + 0x1f4);
    st->rip = vm_le32(a + 0x1f0);
    for (unsigned k = 0; k < 8; k++)
        st->gpr[k] = vm_le32(a + 0x100 + gpr_at[k]);
    st->dr[6] = (vm_le32(a + 0x1cc) & 0xe00f) | 0xffff0ff0;
    st->dr[7] = (vm_le32(a + 0x1c8) & 0xffff2bff) | 0x400;
    for (unsigned k = 0; k < 8; k++) {
        static const uint16_t sel_at[8] = { 0x1a8, 0x1ac, 0x1b0, 0x1b4, 0x1b8, 0x1bc, 0x1c0, 0x1c4 };
        struct x86_seg *s = any_seg(st, k);
        const uint8_t *p = a + HIDDEN32 + 12 * k;
        s->sel = vm_le16(a + sel_at[k]);
        s->base = vm_le32(p);
        s->limit = vm_le32(p + 4);
        s->attr = (uint16_t)vm_le32(p + 8) & 0xf0ff;
    }
    st->gdtr.base = vm_le32(a + 0x80);
    st->gdtr.limit = vm_le32(a + 0x84) & 0xffff;
    st->idtr.base = vm_le32(a + 0x88);
    st->idtr.limit = vm_le32(a + 0x8c) & 0xffff;
    st->cr4 = vm_le32(a + 0x90);
    st->activity = a[0x102] ? X86_HALTED : X86_ACTIVE;
    st->smbase = vm_le32(a + BASE32_AT);
}

/* ---- in and out ---- */

static void enter_segment(struct x86_seg *s, uint16_t sel, uint64_t base)
{
    *s = (struct x86_seg){ .sel = sel, .base = base, .limit = 0xffffffff, .attr = 0x8093 };
}

void vm__x86_smm_enter(struct vcpu *c)
{
    struct x86_state *st = &c->st;
    uint8_t area[AREA] = { 0 };

    (void)x86_flags(c);
    if (vm__x86_has(c, X86_FEAT_LM))
        save64(c, area);
    else
        save32(c, area);
    copy(c, (uint64_t)st->smbase + AREA_OFF, area, true);

    st->smm = 1;
    st->nmi_blocked |= 2; /* blocked in SMM, on top of what it was */
    st->activity = X86_ACTIVE;
    st->shadow = 0;
    st->rflags = X86_F1;
    st->rip = 0x8000;
    st->cr0 &= ~(uint64_t)(X86_CR0_PE | X86_CR0_EM | X86_CR0_TS | X86_CR0_PG);
    st->cr4 = 0;
    st->msr.efer = 0;
    st->dr[7] = 0x400;
    enter_segment(&st->seg[X86_CS], (uint16_t)(st->smbase >> 4), st->smbase);
    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        if (k != X86_CS)
            enter_segment(&st->seg[k], 0, 0);
    c->cpus->engine->flush(c, VM_FLUSH_MEM, 0);
    vm__x86_sync_mode(c);
}

/* Would the processor accept these control registers? [SDM-3C §31.4.1] */
static bool valid(const struct vcpu *c)
{
    const struct x86_state *st = &c->st;
    bool lme = st->msr.efer & X86_EFER_LME, pg = st->cr0 & X86_CR0_PG;

    if ((pg && !(st->cr0 & X86_CR0_PE)) || (st->cr4 & ~vm__x86_cr4_mask(c)))
        return false;
    if (((st->msr.efer & X86_EFER_LMA) != 0) != (lme && pg))
        return false;
    return !(lme && pg) || (st->cr4 & X86_CR4_PAE);
}

bool vm__x86_smm_leave(struct vcpu *c)
{
    struct x86_state *st = &c->st;
    uint8_t area[AREA];

    copy(c, (uint64_t)st->smbase + AREA_OFF, area, false);
    c->cc_w = 0;
    if (vm__x86_has(c, X86_FEAT_LM))
        load64(c, area);
    else
        load32(c, area);
    st->rflags = (st->rflags & 0x3f7fd7) | X86_F1;
    st->smm = 0;
    st->nmi_blocked &= 1;
    c->cpus->engine->flush(c, VM_FLUSH_MEM, 0);
    if (!valid(c))
        return false;
    vm__x86_sync_mode(c);
    x86_recheck(c);
    return true;
}
