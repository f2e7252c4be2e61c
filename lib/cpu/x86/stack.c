/* SPDX-License-Identifier: MIT */
/**
 * @file stack.c
 * Stacks that far control and event delivery push to before they become SS:SP.
 *
 * Spec: [SDM-3A §5.8.5] (stack switching), [SDM-3A §7.2.1, §7.6, §7.7] (TSS formats),
 * [SDM-3A §6.14] (64-bit mode).
 */
#include "cpu/x86/segment.h"

void vm__x86_stack_cur(struct vcpu *c, struct x86_stack *s)
{
    s->ss = c->st.seg[X86_SS];
    s->sp = c->st.gpr[X86_RSP];
    s->err = 0;
    s->access = c->cpl == 3 ? X86_ACCESS_USER : 0;
    s->size = (uint8_t)((c->mode & X86_MODE_STACK) >> X86_MODE_STACK_SHIFT);
}

void vm__x86_stack_push(struct vcpu *c, struct x86_stack *s, unsigned size, uint64_t v)
{
    uint64_t sp = s->sp - size, lin;

    if (s->size == 3) {
        if (x86_unlikely(!x86_canonical(c, sp) || !x86_canonical(c, sp + size - 1)))
            x86_raise_cur(c, X86_XSS, s->err);
        lin = sp;
    } else {
        uint32_t off;
        if (s->size == 1) {
            off = (uint16_t)sp;
            sp = (s->sp & ~UINT64_C(0xffff)) | off;
        } else {
            off = (uint32_t)sp;
            sp = off;
        }
        if (x86_unlikely(!vm__x86_seg_in_limit(&s->ss, off, size)))
            x86_raise_cur(c, X86_XSS, s->err);
        lin = (uint32_t)(s->ss.base + off);
    }
    vm__x86_sys_st(c, lin, size, v, X86_ACCESS_W | s->access);
    s->sp = sp;
}

uint64_t vm__x86_stack_read(struct vcpu *c, unsigned skip, unsigned size)
{
    unsigned log2 = (c->mode & X86_MODE_STACK) >> X86_MODE_STACK_SHIFT;
    uint64_t off = (c->st.gpr[X86_RSP] + skip) & (~UINT64_C(0) >> (64 - (8u << log2)));
    uint64_t lin = x86_seg_lin(c, c->cur, X86_SS, off, size, X86_ACCESS_R);

    switch (size) {
    case 2: return x86_ld16_seg(c, c->cur, lin, X86_SS);
    case 4: return x86_ld32_seg(c, c->cur, lin, X86_SS);
    default: return x86_ld64_seg(c, c->cur, lin, X86_SS);
    }
}

/* A read of the TSS inside its limit. */
static uint64_t tss_ld(struct vcpu *c, uint32_t off, unsigned size, uint32_t ext)
{
    const struct x86_seg *tr = &c->st.tr;

    if (off + size - 1 > tr->limit)
        x86_raise_cur(c, X86_XTS, (tr->sel & 0xfffc) | ext);
    return vm__x86_sys_ld(c, tr->base + off, size, X86_ACCESS_R);
}

void vm__x86_stack_inner(struct vcpu *c, unsigned dpl, uint32_t ext, struct x86_stack *s)
{
    bool tss32 = c->st.tr.attr & 8;
    uint64_t d;
    uint16_t sel;
    uint64_t sp;

    if (tss32) {
        sp = tss_ld(c, 4 + 8 * dpl, 4, ext);
        sel = (uint16_t)tss_ld(c, 8 + 8 * dpl, 2, ext);
    } else {
        sp = tss_ld(c, 2 + 4 * dpl, 2, ext);
        sel = (uint16_t)tss_ld(c, 4 + 4 * dpl, 2, ext);
    }
    if (x86_null_sel(sel))
        x86_raise_cur(c, X86_XTS, ext);
    unsigned v = vm__x86_check_seg(c, X86_SS, sel, dpl, &d);
    if (v != 0)
        x86_raise_cur(c, v == X86_XGP ? X86_XTS : v, (sel & 0xfffc) | ext);
    vm__x86_desc_accessed(c, sel, &d);
    vm__x86_seg_set(&s->ss, sel, d);
    s->sp = sp;
    s->err = (sel & 0xfffc) | ext;
    s->access = dpl == 3 ? X86_ACCESS_USER : 0;
    s->size = s->ss.attr & X86_ATTR_DB ? 2 : 1;
}

uint64_t vm__x86_tss_rsp(struct vcpu *c, unsigned slot, uint32_t ext)
{
    uint64_t rsp = tss_ld(c, slot < 3 ? 4 + 8 * slot : 0x24 + 8 * (slot - 4), 8, ext);

    if (!x86_canonical(c, rsp))
        x86_raise_cur(c, X86_XSS, ext);
    return rsp;
}
