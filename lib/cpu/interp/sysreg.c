/* SPDX-License-Identifier: MIT */
/**
 * @file sysreg.c
 * MOV to and from control and debug registers, descriptor-table registers, machine status word.
 *
 * Spec: [SDM-2A, SDM-2B] under each name; UMIP: [SDM-3A §2.5].
 */
#include "cpu/interp/interp.h"
#include "cpu/x86/control.h"
#include "cpu/x86/segment.h"

static inline void need_cpl0(struct vcpu *c, const struct x86_insn *i)
{
    if (x86_unlikely(c->cpl != 0))
        x86_gp(c, i, 0);
    x86_callout(c, i);
}

static inline void need_umip(struct vcpu *c, const struct x86_insn *i)
{
    if (x86_unlikely((c->st.cr4 & X86_CR4_UMIP) && c->cpl > 0))
        x86_gp(c, i, 0);
}

/* ---- control registers ---- */

/* A register that does not exist is #UD at any privilege. */
static inline void need_cr(struct vcpu *c, const struct x86_insn *i, unsigned n)
{
    if (n > 8 || !(1u << n & 0x11d))
        x86_ud(c, i);
    need_cpl0(c, i);
}

X86_H(mov_from_cr)
{
    uint64_t v;

    need_cr(c, i, i->src);
    switch (i->src) {
    case 0: v = c->st.cr0; break;
    case 2: v = c->st.cr2; break;
    case 3: v = c->st.cr3; break;
    case 4: v = c->st.cr4; break;
    case 8: v = vm__x86_read_cr8(c); break;
    default: x86_ud(c, i);
    }
    if (x86_is64(c))
        *x86_r64(c, i->dst) = v;
    else
        x86_set32(c, i->dst, (uint32_t)v);
    X86_NEXT(c, i);
}

X86_H(mov_to_cr)
{
    uint64_t v = x86_is64(c) ? *x86_r64(c, i->src) : x86_get32(c, i->src);

    need_cr(c, i, i->dst);
    switch (i->dst) {
    case 0: vm__x86_write_cr0(c, v); break;
    case 2: c->st.cr2 = v; break;
    case 3: vm__x86_write_cr3(c, v); break;
    case 4: vm__x86_write_cr4(c, v); break;
    case 8: vm__x86_write_cr8(c, v); break;
    default: x86_ud(c, i);
    }
    X86_END(c, i);
}

X86_H(clts)
{
    need_cpl0(c, i);
    c->st.cr0 &= ~(uint64_t)X86_CR0_TS;
    vm__x86_sync_mode(c);
    X86_END(c, i);
}

X86_H(smsw)
{
    need_umip(c, i);
    if (i->flags & X86_I_MEM)
        x86_st16(c, i, x86_lin(c, i, 2, X86_ACCESS_W), (uint16_t)c->st.cr0);
    else
        x86_set(c, i->dst, i->osz, c->st.cr0);
    X86_NEXT(c, i);
}

static uint16_t rm16(struct vcpu *c, const struct x86_insn *i)
{
    return i->flags & X86_I_MEM ? x86_ld16(c, i, x86_lin(c, i, 2, X86_ACCESS_R))
                                : *x86_r16(c, i->dst);
}

/* Loads PE, MP, EM, TS; PE cannot be cleared. */
X86_H(lmsw)
{
    need_cpl0(c, i);
    uint64_t v = rm16(c, i) & 15;
    vm__x86_write_cr0(c, (c->st.cr0 & ~UINT64_C(14)) | v);
    X86_END(c, i);
}

/* ---- debug registers [SDM-3B §17.2] ---- */

static X86_NOINLINE unsigned debug_reg(struct vcpu *c, const struct x86_insn *i, unsigned n)
{
    if (n > 7 || ((n == 4 || n == 5) && (c->st.cr4 & X86_CR4_DE)))
        x86_ud(c, i);
    need_cpl0(c, i);
    if (c->st.dr[7] & X86_DR7_GD) {
        struct x86_event e = { .kind = X86_EVENT_EXCEPTION, .vector = X86_XDB,
                               .payload = X86_DR6_BD };
        vm__x86_stop_at(c, i);
        vm__x86_raise(c, &e);
    }
    return n == 4 || n == 5 ? n + 2 : n;
}

X86_H(mov_from_dr)
{
    uint64_t v = c->st.dr[debug_reg(c, i, i->src)];
    if (x86_is64(c))
        *x86_r64(c, i->dst) = v;
    else
        x86_set32(c, i->dst, (uint32_t)v);
    X86_NEXT(c, i);
}

X86_H(mov_to_dr)
{
    unsigned n = debug_reg(c, i, i->dst);
    vm__x86_write_dr(c, n, x86_is64(c) ? *x86_r64(c, i->src) : x86_get32(c, i->src));
    X86_END(c, i);
}

/* ---- GDTR, IDTR ---- */

static void load_table(struct vcpu *c, const struct x86_insn *i, struct x86_dtr *t)
{
    bool is64 = x86_is64(c);
    uint64_t base;

    need_cpl0(c, i);
    uint64_t lin = x86_lin(c, i, is64 ? 10 : 6, X86_ACCESS_R);
    uint16_t limit = x86_ld16(c, i, lin);
    if (is64) {
        base = x86_ld64(c, i, lin + 2);
        if (!x86_canonical(c, base))
            x86_gp(c, i, 0);
    } else {
        base = x86_ld32(c, i, (uint32_t)(lin + 2));
        if (i->osz == 1)
            base &= 0xffffff;
    }
    t->base = base;
    t->limit = limit;
}

static X86_NOINLINE void store_table(struct vcpu *c, const struct x86_insn *i, const struct x86_dtr *t)
{
    bool is64 = x86_is64(c);

    need_umip(c, i);
    uint64_t lin = x86_lin(c, i, is64 ? 10 : 6, X86_ACCESS_W);
    uint8_t buf[10];
    uint16_t limit = (uint16_t)t->limit;
    memcpy(buf, &limit, 2);
    memcpy(buf + 2, &t->base, 8);
    vm__x86_st_block(c, i, lin, buf, is64 ? 10 : 6);
}

X86_H(lgdt)
{
    load_table(c, i, &c->st.gdtr);
    X86_NEXT(c, i);
}
X86_H(lidt)
{
    load_table(c, i, &c->st.idtr);
    X86_NEXT(c, i);
}
X86_H(sgdt)
{
    store_table(c, i, &c->st.gdtr);
    X86_NEXT(c, i);
}
X86_H(sidt)
{
    store_table(c, i, &c->st.idtr);
    X86_NEXT(c, i);
}

/* ---- LDTR, TR ---- */

/* A selector to memory is 16 bits wide, to a register it is zero-extended. */
static void store_sel(struct vcpu *c, const struct x86_insn *i, uint16_t sel)
{
    if (i->flags & X86_I_MEM)
        x86_st16(c, i, x86_lin(c, i, 2, X86_ACCESS_W), sel);
    else
        x86_set(c, i->dst, i->osz, sel);
}

X86_H(sldt)
{
    need_umip(c, i);
    store_sel(c, i, c->st.ldtr.sel);
    X86_NEXT(c, i);
}
X86_H(str)
{
    need_umip(c, i);
    store_sel(c, i, c->st.tr.sel);
    X86_NEXT(c, i);
}
X86_H(lldt)
{
    need_cpl0(c, i);
    uint16_t sel = rm16(c, i);
    x86_callout(c, i);
    vm__x86_load_ldt(c, sel);
    X86_NEXT(c, i);
}
X86_H(ltr)
{
    need_cpl0(c, i);
    uint16_t sel = rm16(c, i);
    x86_callout(c, i);
    vm__x86_load_tr(c, sel);
    X86_NEXT(c, i);
}
