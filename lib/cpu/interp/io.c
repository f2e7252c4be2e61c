/* SPDX-License-Identifier: MIT */
/**
 * @file io.c
 * IN, OUT, INS, OUTS.
 *
 * Spec: [SDM-1 §18.5] (IOPL, I/O permission bitmap), [SDM-2A IN, INS], [SDM-2B OUT, OUTS],
 * [SDM-3B §17.2.4] (I/O breakpoints).
 */
#include "cpu/hook.h"
#include "cpu/interp/interp.h"
#include "cpu/x86/segment.h"
#include "cpu/x86/v86.h"

/* The bitmap of the TSS; two bytes are read, as the ports of one access may straddle. */
static void check_bitmap(struct vcpu *c, uint16_t port, unsigned size)
{
    const struct x86_seg *tr = &c->st.tr;
    unsigned type = tr->attr & X86_ATTR_TYPE;

    if ((type != X86_SYS_TSS && type != X86_SYS_TSS_BUSY) || tr->limit < 0x67)
        x86_raise_cur(c, X86_XGP, 0);
    uint32_t map = (uint32_t)vm__x86_sys_ld(c, tr->base + 0x66, 2, X86_ACCESS_R);
    uint32_t at = map + port / 8u;
    if (at + 1 > tr->limit)
        x86_raise_cur(c, X86_XGP, 0);
    uint32_t bits = (uint32_t)vm__x86_sys_ld(c, tr->base + at, 2, X86_ACCESS_R) >> (port & 7);
    if (bits & ((1u << size) - 1))
        x86_raise_cur(c, X86_XGP, 0);
}

static void check_breakpoints(struct vcpu *c, uint16_t port, unsigned size)
{
    for (unsigned k = 0; k < 4; k++) {
        unsigned rw = c->st.dr[7] >> (16 + 4 * k) & 3, len = c->st.dr[7] >> (18 + 4 * k) & 3;
        uint64_t at = c->st.dr[k] & ~(uint64_t)len;
        if (rw == 2 && (c->st.dr[7] >> (2 * k) & 3) && port < at + len + 1 && at < port + size)
            c->dr_hits |= UINT64_C(1) << k;
    }
}

static inline void begin(struct vcpu *c, const struct x86_insn *i, uint16_t port, unsigned size)
{
    x86_callout(c, i);
    if (x86_unlikely((c->st.cr0 & X86_CR0_PE) && (c->cpl > x86_iopl(c) || x86_is_v86(c))))
        check_bitmap(c, port, size);
    if (x86_unlikely((c->st.cr4 & X86_CR4_DE) && (c->st.dr[7] & 0xff)))
        check_breakpoints(c, port, size);
}

static inline unsigned io_size(const struct x86_insn *i)
{
    return i->osz > 2 ? 4 : 1u << i->osz;
}

static uint32_t port_read(struct vcpu *c, uint16_t port, unsigned size)
{
    if (x86_hooked(c, VM_HOOK_PORT))
        return vm__x86_hook_in(c, port, size);
    return vm__port_read(c->cpus->m, port, size);
}

static void port_write(struct vcpu *c, uint16_t port, unsigned size, uint32_t v)
{
    if (x86_hooked(c, VM_HOOK_PORT))
        vm__x86_hook_out(c, port, size, v);
    else
        vm__port_write(c->cpus->m, port, size, v);
}

static const struct x86_insn *in(struct vcpu *c, const struct x86_insn *i, uint16_t port)
{
    unsigned size = io_size(i);

    begin(c, i, port, size);
    uint32_t v = port_read(c, port, size);
    x86_set(c, 0, size == 4 ? 2 : i->osz, v);
    return i + 1;
}

static const struct x86_insn *out(struct vcpu *c, const struct x86_insn *i, uint16_t port)
{
    unsigned size = io_size(i);

    begin(c, i, port, size);
    port_write(c, port, size, (uint32_t)x86_get(c, 0, size == 4 ? 2 : i->osz));
    return i + 1;
}

X86_H(in_imm)
{
    X86_DISPATCH(c, in(c, i, (uint8_t)i->imm));
}
X86_H(in_dx)
{
    X86_DISPATCH(c, in(c, i, (uint16_t)c->st.gpr[X86_RDX]));
}
X86_H(out_imm)
{
    X86_DISPATCH(c, out(c, i, (uint8_t)i->imm));
}
X86_H(out_dx)
{
    X86_DISPATCH(c, out(c, i, (uint16_t)c->st.gpr[X86_RDX]));
}

/* ---- strings ---- */

static void step_index(struct vcpu *c, const struct x86_insn *i, unsigned reg, unsigned size)
{
    uint64_t n = x86_get(c, (uint8_t)(reg * 8), i->asz);
    x86_set(c, (uint8_t)(reg * 8), i->asz, c->st.rflags & X86_DF ? n - size : n + size);
}

static void ins_one(struct vcpu *c, const struct x86_insn *i, uint16_t port, unsigned size)
{
    uint64_t di = x86_get(c, X86_RDI * 8, i->asz);
    uint64_t lin = x86_seg_lin(c, i, X86_ES, di, size, X86_ACCESS_W);

    vm__x86_probe_w(c, i, lin, size, X86_ES); /* a device must not be read for nothing */
    x86_callout(c, i);
    uint32_t v = port_read(c, port, size);
    switch (size) {
    case 1: x86_st8_seg(c, i, lin, X86_ES, (uint8_t)v); break;
    case 2: x86_st16_seg(c, i, lin, X86_ES, (uint16_t)v); break;
    default: x86_st32_seg(c, i, lin, X86_ES, v); break;
    }
    step_index(c, i, X86_RDI, size);
}

static void outs_one(struct vcpu *c, const struct x86_insn *i, uint16_t port, unsigned size)
{
    uint64_t si = x86_get(c, X86_RSI * 8, i->asz);
    uint64_t lin = x86_seg_lin(c, i, i->seg, si, size, X86_ACCESS_R);
    uint32_t v = (uint32_t)x86_ld(c, i, lin, size == 4 ? 2 : size - 1);

    x86_callout(c, i);
    port_write(c, port, size, v);
    step_index(c, i, X86_RSI, size);
}

typedef void string_fn(struct vcpu *c, const struct x86_insn *i, uint16_t port, unsigned size);

/* Counts in rCX go down after every element, so that a fault or an interrupt in the middle finds
 * the instruction ready to go on. */
static const struct x86_insn *string(struct vcpu *c, const struct x86_insn *i, string_fn *one)
{
    uint16_t port = (uint16_t)c->st.gpr[X86_RDX];
    unsigned size = io_size(i);

    if (!(i->flags & (X86_I_REP | X86_I_REPNE))) {
        begin(c, i, port, size);
        one(c, i, port, size);
        return i + 1;
    }
    uint64_t n = x86_get(c, X86_RCX * 8, i->asz);
    begin(c, i, port, size); /* permission is looked at even for no element */
    if (n == 0)
        return i + 1;
    for (;;) {
        one(c, i, port, size);
        x86_set(c, X86_RCX * 8, i->asz, --n);
        if (n == 0)
            return i + 1;
        if ((c->mode & X86_MODE_STEP) ||
            atomic_load_explicit(&c->req, memory_order_relaxed) != 0) {
            vm__x86_leave_at(c, i);
            return &vm__interp_leave;
        }
    }
}

X86_H(ins)
{
    X86_DISPATCH(c, string(c, i, ins_one));
}
X86_H(outs)
{
    X86_DISPATCH(c, string(c, i, outs_one));
}
