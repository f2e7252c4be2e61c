/* SPDX-License-Identifier: MIT */
/**
 * @file segreg.c
 * Segment registers as operands, and the instructions that ask about selectors.
 *
 * Spec: [SDM-2A LAR, LDS, LSL, ARPL], [SDM-2B MOV, POP, PUSH], [SDM-2D VERR].
 */
#include "cpu/interp/interp.h"
#include "cpu/x86/segment.h"

/* Load, and go on in the block unless what it was decoded for has changed. */
static const struct x86_insn *loaded(struct vcpu *c, const struct x86_insn *i, unsigned seg,
                                     uint32_t mode)
{
    vm__x86_sync_seg(c, seg);
    if (x86_unlikely(seg == X86_SS)) {
        c->st.shadow = X86_SHADOW_MOVSS;
        vm__x86_leave_after(c, i);
        return &vm__interp_leave;
    }
    if (x86_unlikely(c->mode != mode)) {
        vm__x86_leave_after(c, i);
        return &vm__interp_leave;
    }
    return i + 1;
}

X86_H(mov_to_sreg)
{
    unsigned seg = i->dst;
    uint32_t mode = c->mode;

    if (seg == X86_CS || seg >= X86_SEG_COUNT)
        x86_ud(c, i);
    uint16_t sel = i->flags & X86_I_MEM ? x86_ld16(c, i, x86_lin(c, i, 2, X86_ACCESS_R))
                                        : *x86_r16(c, i->src);
    x86_callout(c, i);
    vm__x86_load_seg(c, seg, sel);
    X86_DISPATCH(c, loaded(c, i, seg, mode));
}

X86_H(mov_from_sreg)
{
    if (i->src >= X86_SEG_COUNT)
        x86_ud(c, i);
    uint16_t sel = c->st.seg[i->src].sel;
    if (i->flags & X86_I_MEM)
        x86_st16(c, i, x86_lin(c, i, 2, X86_ACCESS_W), sel);
    else
        x86_set(c, i->dst, i->osz, sel);
    X86_NEXT(c, i);
}

/* With a 32-bit operand size only 16 bits are written [SDM-2B PUSH]. */
X86_H(push_sreg)
{
    uint16_t sel = c->st.seg[i->dst].sel;

    if (i->osz == 2) {
        uint64_t sp = x86_sp(c) - 4;
        if (x86_stack_size(c) == 1)
            sp = (uint16_t)sp;
        else if (x86_stack_size(c) == 2)
            sp = (uint32_t)sp;
        x86_st16_seg(c, i, x86_seg_lin(c, i, X86_SS, sp, 2, X86_ACCESS_W), X86_SS, sel);
        x86_set_sp(c, sp);
    } else {
        vm__x86_push(c, i, i->osz, sel);
    }
    X86_NEXT(c, i);
}

X86_H(pop_sreg)
{
    unsigned seg = i->dst;
    uint32_t mode = c->mode;
    uint64_t sp = x86_sp(c), size = 1u << i->osz;

    uint16_t sel = (uint16_t)vm__x86_peek_stack(c, i, 1, 0); /* reads no more, whatever the size */
    x86_callout(c, i);
    vm__x86_load_seg(c, seg, sel);
    x86_set_sp(c, sp + size); /* before SS may change how wide SP is */
    X86_DISPATCH(c, loaded(c, i, seg, mode));
}

static const struct x86_insn *load_far(struct vcpu *c, const struct x86_insn *i, unsigned seg)
{
    uint32_t mode = c->mode;
    unsigned size = 1u << i->osz;
    uint64_t lin = x86_lin(c, i, size + 2, X86_ACCESS_R);
    uint64_t off = x86_ld(c, i, lin, i->osz); /* first: a page fault tells */
    uint16_t sel = x86_ld16(c, i, lin + size);

    x86_callout(c, i);
    vm__x86_load_seg(c, seg, sel);
    x86_set(c, i->dst, i->osz, off);
    return loaded(c, i, seg, mode);
}

#define LOAD_FAR(name, seg)                                                                        \
    X86_H(name)                                                                                    \
    {                                                                                              \
        X86_DISPATCH(c, load_far(c, i, seg));                                                      \
    }
LOAD_FAR(les, X86_ES)
LOAD_FAR(lds, X86_DS)
LOAD_FAR(lss, X86_SS)
LOAD_FAR(lfs, X86_FS)
LOAD_FAR(lgs, X86_GS)

/* ---- questions about selectors; the answer is ZF ---- */

static void set_zf(struct vcpu *c, bool zf)
{
    uint64_t f = x86_flags(c);
    x86_set_arith(c, zf ? f | X86_ZF : f & ~(uint64_t)X86_ZF);
}

static uint16_t selector(struct vcpu *c, const struct x86_insn *i, uint8_t reg)
{
    uint16_t sel = i->flags & X86_I_MEM ? x86_ld16(c, i, x86_lin(c, i, 2, X86_ACCESS_R))
                                        : *x86_r16(c, reg);
    x86_callout(c, i);
    return sel;
}

/* Is the descriptor there, of a type in @p types (bit mask; all code and data count), and visible
 * from CPL and RPL? */
static bool visible(struct vcpu *c, uint16_t sel, uint32_t types, uint64_t *d)
{
    if (x86_null_sel(sel) || !vm__x86_desc_fetch(c, sel, d, NULL))
        return false;
    unsigned type = x86_desc_type(*d), dpl = x86_desc_dpl(*d);
    if (!(type & 0x10) && !(types >> type & 1))
        return false;
    if ((type & 0x1c) == 0x1c) /* conforming code */
        return true;
    return c->cpl <= dpl && (sel & 3u) <= dpl;
}

X86_H_CALLS(lar)
{
    uint64_t d;
    uint16_t sel = selector(c, i, i->src);
    /* TSS, LDT, call and task gates; in long mode no 286 types and no task gates. */
    uint32_t types = x86_lma(c) ? 0x1a04 : 0x1a3e;
    bool ok = visible(c, sel, types, &d);

    if (ok)
        x86_set(c, i->dst, i->osz, d >> 32 & 0xffff00);
    set_zf(c, ok);
}

X86_H_CALLS(lsl)
{
    uint64_t d;
    uint16_t sel = selector(c, i, i->src);
    uint32_t types = x86_lma(c) ? 0x0a04 : 0x0a0e; /* TSS, LDT */
    bool ok = visible(c, sel, types, &d);

    if (ok)
        x86_set(c, i->dst, i->osz, x86_desc_limit(d));
    set_zf(c, ok);
}

X86_H_CALLS(verr)
{
    uint64_t d;
    bool ok = visible(c, selector(c, i, i->dst), 0, &d);
    /* Data, or readable code. */
    set_zf(c, ok && (x86_desc_type(d) & 0x0a) != 0x08);
}

X86_H_CALLS(verw)
{
    uint64_t d;
    bool ok = visible(c, selector(c, i, i->dst), 0, &d);
    set_zf(c, ok && (x86_desc_type(d) & 0x0a) == 0x02);
}

X86_H(arpl)
{
    unsigned rpl = *x86_r16(c, i->src) & 3;

    if (i->flags & X86_I_MEM) {
        uint16_t sel = x86_ld16(c, i, x86_lin(c, i, 2, X86_ACCESS_R));
        bool adjust = (sel & 3u) < rpl;
        if (adjust) /* else it need not be writable */
            x86_st16(c, i, x86_lin(c, i, 2, X86_ACCESS_W), (uint16_t)((sel & ~3) | rpl));
        set_zf(c, adjust);
    } else {
        uint16_t *sel = x86_r16(c, i->dst);
        bool adjust = (*sel & 3u) < rpl;
        if (adjust)
            *sel = (uint16_t)((*sel & ~3) | rpl);
        set_zf(c, adjust);
    }
    X86_NEXT(c, i);
}
