/* SPDX-License-Identifier: MIT */
/**
 * @file segment.c
 * Descriptor tables and segment registers.
 *
 * Spec: [SDM-3A §3.4.5] (descriptors), [SDM-3A §5.5 to §5.8] (checks), [SDM-2B MOV, LLDT, LTR].
 * In real mode loading a segment register changes base and selector only: limits left over from
 * protected mode stay ("big real mode"), which SeaBIOS and boot loaders rely on.
 */
#include "cpu/x86/segment.h"

bool vm__x86_seg_in_limit(const struct x86_seg *s, uint32_t off, unsigned size)
{
    uint64_t last = (uint64_t)off + size - 1;
    bool data_expdown = (s->attr & (X86_ATTR_S | X86_ATTR_CODE | X86_ATTR_EXPDOWN)) ==
                        (X86_ATTR_S | X86_ATTR_EXPDOWN);
    if (data_expdown)
        return off > s->limit && last <= (s->attr & X86_ATTR_DB ? 0xffffffffu : 0xffffu);
    /* With a limit of 4 GiB an access may wrap round instead of faulting [SDM-3A §5.3]; processors
     * of today do. */
    return last <= s->limit || s->limit == 0xffffffffu;
}

/* What the fast views of mode.c send here: null and wrong types, expand-down, past the limit. */
uint64_t vm__x86_seg_slow(struct vcpu *c, const struct x86_insn *i, unsigned seg, uint64_t off,
                          unsigned size, int access)
{
    const struct x86_seg *s = &c->st.seg[seg];
    unsigned vector = seg == X86_SS ? X86_XSS : X86_XGP;

    if (!x86_is_real(c)) {
        bool code = s->attr & X86_ATTR_CODE, w = s->attr & X86_ATTR_WRITE;
        if ((s->attr & (X86_ATTR_P | X86_ATTR_S)) != (X86_ATTR_P | X86_ATTR_S))
            vm__x86_fault(c, i, vector, 0);
        if ((access & 3) == X86_ACCESS_W ? code || !w : code && !w)
            vm__x86_fault(c, i, X86_XGP, 0);
    }
    if (off >> 32 || !vm__x86_seg_in_limit(s, (uint32_t)off, size))
        vm__x86_fault(c, i, vector, 0);
    return (uint32_t)(s->base + off);
}

/* ---- descriptor tables ---- */

/* Linear address of a descriptor, or false outside its table. */
static bool desc_addr(const struct vcpu *c, uint16_t sel, unsigned size, uint64_t *at)
{
    uint64_t base;
    uint32_t limit, off = sel & ~7u;

    if (sel & 4) {
        if (!(c->st.ldtr.attr & X86_ATTR_P))
            return false;
        base = c->st.ldtr.base;
        limit = c->st.ldtr.limit;
    } else {
        base = c->st.gdtr.base;
        limit = c->st.gdtr.limit;
    }
    *at = base + off;
    if (!x86_lma(c))
        *at = (uint32_t)*at;
    return off + size - 1 <= limit;
}

bool vm__x86_desc_fetch(struct vcpu *c, uint16_t sel, uint64_t *d, uint64_t *high)
{
    uint64_t at;

    if (!desc_addr(c, sel, high != NULL ? 16 : 8, &at))
        return false;
    *d = vm__x86_sys_ld(c, at, 8, X86_ACCESS_R);
    if (high != NULL)
        *high = vm__x86_sys_ld(c, at + 8, 8, X86_ACCESS_R);
    return true;
}

void vm__x86_desc_type_bits(struct vcpu *c, uint16_t sel, uint8_t clear, uint8_t set)
{
    uint64_t at;

    if (!desc_addr(c, sel, 8, &at))
        return;
    at += 5;
    uint8_t b = (uint8_t)vm__x86_sys_ld(c, at, 1, X86_ACCESS_R);
    vm__x86_sys_st(c, at, 1, (uint8_t)((b & ~clear) | set), X86_ACCESS_W);
}

void vm__x86_desc_accessed(struct vcpu *c, uint16_t sel, uint64_t *d)
{
    if (x86_likely(*d >> 40 & 1))
        return;
    vm__x86_desc_type_bits(c, sel, 0, X86_ATTR_ACCESSED);
    *d |= UINT64_C(1) << 40;
}

/* ---- hidden parts ---- */

void vm__x86_seg_set(struct x86_seg *s, uint16_t sel, uint64_t d)
{
    s->sel = sel;
    s->base = x86_desc_base(d);
    s->limit = x86_desc_limit(d);
    s->attr = x86_desc_attr(d);
}

void vm__x86_seg_null(struct x86_seg *s, uint16_t sel)
{
    *s = (struct x86_seg){ .sel = sel };
}

void vm__x86_seg_real(struct vcpu *c, unsigned seg, uint16_t sel)
{
    struct x86_seg *s = &c->st.seg[seg];

    s->sel = sel;
    s->base = (uint32_t)sel << 4;
    if (x86_is_v86(c)) {
        s->limit = 0xffff;
        s->attr = 0xf3;
    } else if (!(s->attr & X86_ATTR_P)) {
        /* Unusable since a null selector was loaded in protected mode. */
        s->attr = 0x93;
        s->limit = 0xffff;
    }
}

void vm__x86_set_cs(struct vcpu *c, uint16_t sel, uint64_t d, unsigned cpl)
{
    vm__x86_seg_set(&c->st.seg[X86_CS], (uint16_t)((sel & ~3) | cpl), d);
}

/* ---- data and stack segment registers ---- */

unsigned vm__x86_check_seg(struct vcpu *c, unsigned seg, uint16_t sel, unsigned cpl, uint64_t *d)
{
    unsigned rpl = sel & 3;

    if (!vm__x86_desc_fetch(c, sel, d, NULL))
        return X86_XGP;
    unsigned type = x86_desc_type(*d), dpl = x86_desc_dpl(*d);
    if (seg == X86_SS) {
        /* Writable data of exactly this privilege. */
        if (rpl != cpl || (type & 0x1a) != 0x12 || dpl != cpl)
            return X86_XGP;
        return x86_desc_present(*d) ? 0 : X86_XSS;
    }
    if (!(type & 0x10) || (type & 0x0a) == 0x08) /* system, or execute-only */
        return X86_XGP;
    if ((type & 0x0c) != 0x0c && (rpl > dpl || cpl > dpl)) /* all but conforming code */
        return X86_XGP;
    return x86_desc_present(*d) ? 0 : X86_XNP;
}

void vm__x86_load_seg(struct vcpu *c, unsigned seg, uint16_t sel)
{
    uint64_t d;

    if (x86_is_real(c)) {
        vm__x86_seg_real(c, seg, sel);
        return;
    }
    if (x86_null_sel(sel)) {
        /* SS may be null only in 64-bit mode below CPL 3, with RPL = CPL [SDM-2B MOV]. */
        if (seg == X86_SS && (!x86_is64(c) || c->cpl == 3 || (sel & 3) != c->cpl))
            x86_raise_cur(c, X86_XGP, 0);
        vm__x86_seg_null(&c->st.seg[seg], sel);
        if (seg == X86_SS)
            c->st.seg[X86_SS].attr = (uint16_t)(c->cpl << X86_ATTR_DPL_SHIFT);
        return;
    }
    unsigned v = vm__x86_check_seg(c, seg, sel, c->cpl, &d);
    if (v != 0)
        x86_raise_cur(c, v, sel & 0xfffc);
    vm__x86_desc_accessed(c, sel, &d);
    vm__x86_seg_set(&c->st.seg[seg], sel, d);
}

/* ---- LDTR and TR ---- */

void vm__x86_load_ldt(struct vcpu *c, uint16_t sel)
{
    uint64_t d, high = 0;
    bool lma = x86_lma(c);

    if (x86_null_sel(sel)) {
        vm__x86_seg_null(&c->st.ldtr, sel);
        return;
    }
    if ((sel & 4) || !vm__x86_desc_fetch(c, sel, &d, lma ? &high : NULL) ||
        x86_desc_type(d) != X86_SYS_LDT || (high >> 40 & 0x1f))
        x86_raise_cur(c, X86_XGP, sel & 0xfffc);
    if (!x86_desc_present(d))
        x86_raise_cur(c, X86_XNP, sel & 0xfffc);
    uint64_t base = x86_desc_base(d) | (high & 0xffffffff) << 32;
    if (lma && !x86_canonical(c, base))
        x86_raise_cur(c, X86_XGP, sel & 0xfffc);
    vm__x86_seg_set(&c->st.ldtr, sel, d);
    c->st.ldtr.base = base;
}

void vm__x86_load_tr(struct vcpu *c, uint16_t sel)
{
    uint64_t d, high = 0;
    bool lma = x86_lma(c);

    if (x86_null_sel(sel))
        x86_raise_cur(c, X86_XGP, 0);
    if ((sel & 4) || !vm__x86_desc_fetch(c, sel, &d, lma ? &high : NULL))
        x86_raise_cur(c, X86_XGP, sel & 0xfffc);
    unsigned type = x86_desc_type(d);
    if ((type != X86_SYS_TSS && (lma || type != X86_SYS_TSS16)) || (high >> 40 & 0x1f))
        x86_raise_cur(c, X86_XGP, sel & 0xfffc);
    if (!x86_desc_present(d))
        x86_raise_cur(c, X86_XNP, sel & 0xfffc);
    uint64_t base = x86_desc_base(d) | (high & 0xffffffff) << 32;
    if (lma && !x86_canonical(c, base))
        x86_raise_cur(c, X86_XGP, sel & 0xfffc);
    vm__x86_desc_type_bits(c, sel, 0, 2); /* busy */
    vm__x86_seg_set(&c->st.tr, sel, d);
    c->st.tr.base = base;
    c->st.tr.attr |= 2;
}
