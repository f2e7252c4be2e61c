/* SPDX-License-Identifier: MIT */
/**
 * @file xsave.c
 * FXSAVE, FXRSTOR and the XSAVE family.
 *
 * Spec: [SDM-1 §10.5] (FXSAVE area), [SDM-1 §13] (XSAVE areas, XINUSE, init and compaction).
 * Components: x87 (0), SSE (1), AVX (2); with these alone the compacted place of AVX is its
 * standard one.
 */
#include "cpu/interp/x87.h"

enum {
    LEGACY = 512,
    HEADER = 64,
    AVX_AT = LEGACY + HEADER,
    AVX_SIZE = 256,
    X_X87 = 1,
    X_SSE = 2,
    X_AVX = 4,
    MXCSR_RESET = 0x1f80,
    MXCSR_VALID = 0xffff,
};
#define COMPACTED (UINT64_C(1) << 63)

static void put(uint8_t *p, uint64_t v, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        p[k] = (uint8_t)(v >> (8 * k));
}
static uint64_t get(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned k = 0; k < n; k++)
        v |= (uint64_t)p[k] << (8 * k);
    return v;
}

static unsigned xmm_count(const struct vcpu *c)
{
    return x86_is64(c) ? 16 : 8;
}

/* The state in memory must be current before any of these looks at it. */
static void settle(struct vcpu *c)
{
    x86_host_leave(c);
}

/* x87 part: bytes 0-23 and 32-159 (24-31 are MXCSR and its mask). */
static void put_x87(const struct vcpu *c, const struct x86_insn *i, uint8_t *p)
{
    unsigned top = c->st.fsw >> 11 & 7;

    put(p, c->st.fcw, 2);
    put(p + 2, c->st.fsw, 2);
    put(p + 4, c->st.ftw, 2);
    put(p + 6, c->st.fop, 2);
    if (i->flags & X86_I_W) {
        put(p + 8, c->st.fip, 8);
        put(p + 16, c->st.fdp, 8);
    } else {
        put(p + 8, (uint32_t)c->st.fip, 4);
        put(p + 12, c->st.fcs, 4);
        put(p + 16, (uint32_t)c->st.fdp, 4);
        put(p + 20, c->st.fds, 4);
    }
    for (unsigned k = 0; k < 8; k++) {
        memset(p + 32 + 16 * k, 0, 16);
        memcpy(p + 32 + 16 * k, c->st.x87[(top + k) & 7], 10);
    }
}

static void take_x87(struct vcpu *c, const struct x86_insn *i, const uint8_t *p)
{
    unsigned top;

    c->st.fcw = (uint16_t)((get(p, 2) & 0x1f3f) | 0x40);
    c->st.fsw = (uint16_t)get(p + 2, 2);
    c->st.ftw = p[4];
    c->st.fop = (uint16_t)(get(p + 6, 2) & 0x7ff);
    if (i->flags & X86_I_W) {
        c->st.fip = get(p + 8, 8);
        c->st.fdp = get(p + 16, 8);
        c->st.fcs = c->st.fds = 0;
    } else {
        c->st.fip = get(p + 8, 4);
        c->st.fcs = (uint16_t)get(p + 12, 2);
        c->st.fdp = get(p + 16, 4);
        c->st.fds = (uint16_t)get(p + 20, 2);
    }
    top = c->st.fsw >> 11 & 7;
    for (unsigned k = 0; k < 8; k++)
        memcpy(c->st.x87[(top + k) & 7], p + 32 + 16 * k, 10);
    if (c->st.fsw & ~c->st.fcw & 0x3f) /* ES and B follow from the rest */
        c->st.fsw |= 0x8080;
    else
        c->st.fsw &= 0x7f7f;
}

static void init_x87(struct vcpu *c)
{
    c->st.fcw = 0x37f;
    c->st.fsw = 0;
    c->st.ftw = 0;
    c->st.fop = c->st.fcs = c->st.fds = 0;
    c->st.fip = c->st.fdp = 0;
    memset(c->st.x87, 0, sizeof c->st.x87);
}

static void put_mxcsr(const struct vcpu *c, uint8_t *p)
{
    put(p + 24, c->st.mxcsr, 4);
    put(p + 28, MXCSR_VALID, 4);
}

static void put_xmm(const struct vcpu *c, uint8_t *p)
{
    for (unsigned k = 0; k < xmm_count(c); k++)
        memcpy(p + 160 + 16 * k, c->st.vec[k], 16);
}
static void take_xmm(struct vcpu *c, const uint8_t *p)
{
    for (unsigned k = 0; k < xmm_count(c); k++)
        memcpy(c->st.vec[k], p + 160 + 16 * k, 16);
}

static void check_mxcsr(struct vcpu *c, const struct x86_insn *i, const uint8_t *p)
{
    if (get(p + 24, 4) & ~(uint64_t)MXCSR_VALID)
        x86_gp(c, i, 0);
}

static void check_aligned(struct vcpu *c, const struct x86_insn *i, uint64_t lin, unsigned align)
{
    if (lin & (align - 1))
        x86_gp(c, i, 0);
}

/* ---- FXSAVE, FXRSTOR ---- */

X86_H_CALLS(fxsave)
{
    uint8_t buf[LEGACY];
    uint64_t lin = x86_lin(c, i, LEGACY, X86_ACCESS_W);

    settle(c);
    check_aligned(c, i, lin, 16);
    vm__x86_probe_w(c, i, lin, LEGACY, i->seg);
    /* Bytes 416-511, and XMM8-15 outside 64-bit mode, are left as they are. */
    put_x87(c, i, buf);
    put_mxcsr(c, buf);
    put_xmm(c, buf);
    vm__x86_st_block(c, i, lin, buf, 160 + 16 * xmm_count(c));
}

X86_H_CALLS(fxrstor)
{
    uint8_t buf[LEGACY];
    uint64_t lin = x86_lin(c, i, LEGACY, X86_ACCESS_R);

    settle(c);
    check_aligned(c, i, lin, 16);
    vm__x86_ld_block(c, i, lin, buf, LEGACY);
    check_mxcsr(c, i, buf);
    take_x87(c, i, buf);
    c->st.mxcsr = (uint32_t)get(buf + 24, 4);
    take_xmm(c, buf);
}

/* ---- XSAVE family ---- */

static uint64_t requested(struct vcpu *c)
{
    uint64_t mask = (uint64_t)x86_get32(c, X86_RDX * 8) << 32 | x86_get32(c, X86_RAX * 8);
    return mask & c->st.xcr0;
}

/* Components not in their initial state [SDM-1 §13.6]. */
static uint64_t in_use(const struct vcpu *c)
{
    static const uint8_t zero[16];
    uint64_t u = 0;

    if (c->st.fcw != 0x37f || c->st.fsw != 0 || c->st.ftw != 0 || c->st.fop != 0 ||
        c->st.fip != 0 || c->st.fdp != 0 || c->st.fcs != 0 || c->st.fds != 0)
        u |= X_X87;
    for (unsigned k = 0; k < 8 && !(u & X_X87); k++)
        if (memcmp(c->st.x87[k], zero, 10) != 0)
            u |= X_X87;
    for (unsigned k = 0; k < 16; k++) {
        if (memcmp(c->st.vec[k], zero, 16) != 0)
            u |= X_SSE;
        if (memcmp(c->st.vec[k] + 16, zero, 16) != 0)
            u |= X_AVX;
    }
    return u;
}

static uint64_t begin(struct vcpu *c, const struct x86_insn *i, int access)
{
    if (!(c->st.cr4 & X86_CR4_OSXSAVE))
        x86_ud(c, i);
    if (c->st.cr0 & X86_CR0_TS)
        x86_nm(c, i);
    uint64_t lin = x86_lin(c, i, AVX_AT + AVX_SIZE, access);
    check_aligned(c, i, lin, 64);
    settle(c);
    return lin;
}

/* Store the components in @p what; which bytes are written follows [SDM-1 §13.7 to §13.11]. */
static void save_components(struct vcpu *c, const struct x86_insn *i, uint64_t lin, uint64_t what,
                            bool mxcsr)
{
    uint8_t buf[LEGACY];

    if (what & X_X87) {
        put_x87(c, i, buf);
        vm__x86_st_block(c, i, lin, buf, 24);
        vm__x86_st_block(c, i, lin + 32, buf + 32, 128);
    }
    if (mxcsr) {
        put_mxcsr(c, buf);
        vm__x86_st_block(c, i, lin + 24, buf + 24, 8);
    }
    if (what & X_SSE) {
        put_xmm(c, buf);
        vm__x86_st_block(c, i, lin + 160, buf + 160, 16 * xmm_count(c));
    }
    if (what & X_AVX) {
        for (unsigned k = 0; k < xmm_count(c); k++)
            memcpy(buf + 16 * k, c->st.vec[k] + 16, 16);
        vm__x86_st_block(c, i, lin + AVX_AT, buf, 16 * xmm_count(c));
    }
}

static void save_standard(struct vcpu *c, const struct x86_insn *i, bool optimise)
{
    uint64_t lin = begin(c, i, X86_ACCESS_W), rfbm = requested(c), used = in_use(c), bv;

    vm__x86_probe_w(c, i, lin, rfbm & X_AVX ? AVX_AT + AVX_SIZE : AVX_AT, i->seg);
    bv = x86_ld64(c, i, lin + LEGACY);
    save_components(c, i, lin, optimise ? rfbm & used : rfbm, (rfbm & (X_SSE | X_AVX)) != 0);
    x86_st64(c, i, lin + LEGACY, (bv & ~rfbm) | (rfbm & used));
}

static void save_compacted(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t lin = begin(c, i, X86_ACCESS_W), rfbm = requested(c), used = in_use(c);

    if (c->st.mxcsr != MXCSR_RESET)
        used |= X_SSE;
    vm__x86_probe_w(c, i, lin, rfbm & X_AVX ? AVX_AT + AVX_SIZE : AVX_AT, i->seg);
    save_components(c, i, lin, rfbm & used, (rfbm & used & X_SSE) != 0);
    x86_st64(c, i, lin + LEGACY, rfbm & used);
    x86_st64(c, i, lin + LEGACY + 8, rfbm | COMPACTED);
}

X86_H_CALLS(xsave)
{
    save_standard(c, i, false);
}
X86_H_CALLS(xsaveopt)
{
    save_standard(c, i, true);
}
X86_H_CALLS(xsavec)
{
    save_compacted(c, i);
}
X86_H_CALLS(xsaves)
{
    if (c->cpl != 0)
        x86_gp(c, i, 0);
    save_compacted(c, i);
}

/* Header checks of [SDM-1 §13.8.1, §13.8.2]. */
static void check_header(struct vcpu *c, const struct x86_insn *i, const uint8_t *h, bool supervisor)
{
    uint64_t bv = get(h, 8), comp = get(h + 8, 8);
    bool compacted = (comp & COMPACTED) != 0;

    for (unsigned k = 16; k < HEADER; k++)
        if (h[k] != 0 && (k < 24 || compacted))
            x86_gp(c, i, 0);
    if (supervisor && !compacted)
        x86_gp(c, i, 0);
    if (!compacted) {
        if (comp != 0 || (bv & ~c->st.xcr0))
            x86_gp(c, i, 0);
        return;
    }
    if (!vm__x86_has(c, X86_FEAT_XSAVEC) || (comp & ~COMPACTED & ~c->st.xcr0) ||
        (bv & ~comp) != 0)
        x86_gp(c, i, 0);
}

static void restore(struct vcpu *c, const struct x86_insn *i, bool supervisor)
{
    uint64_t lin = begin(c, i, X86_ACCESS_R), rfbm = requested(c), bv, comp, load;
    uint8_t buf[AVX_AT + AVX_SIZE];
    bool compacted;

    vm__x86_ld_block(c, i, lin, buf, AVX_AT);
    check_header(c, i, buf + LEGACY, supervisor);
    bv = get(buf + LEGACY, 8);
    comp = get(buf + LEGACY + 8, 8);
    compacted = (comp & COMPACTED) != 0;
    load = rfbm & bv;
    if (load & X_AVX)
        vm__x86_ld_block(c, i, lin + AVX_AT, buf + AVX_AT, AVX_SIZE);
    /* The standard form takes MXCSR whenever SSE or AVX is asked for, the compacted one with SSE. */
    bool take_mxcsr = compacted ? (load & X_SSE) != 0 : (rfbm & (X_SSE | X_AVX)) != 0;
    if (take_mxcsr)
        check_mxcsr(c, i, buf);
    if (load & X_X87)
        take_x87(c, i, buf);
    else if (rfbm & X_X87)
        init_x87(c);
    if (take_mxcsr)
        c->st.mxcsr = (uint32_t)get(buf + 24, 4);
    else if (compacted && (rfbm & X_SSE))
        c->st.mxcsr = MXCSR_RESET;
    if (load & X_SSE)
        take_xmm(c, buf);
    else if (rfbm & X_SSE)
        for (unsigned k = 0; k < xmm_count(c); k++)
            memset(c->st.vec[k], 0, 16);
    for (unsigned k = 0; k < xmm_count(c) && (rfbm & X_AVX); k++) {
        if (load & X_AVX)
            memcpy(c->st.vec[k] + 16, buf + AVX_AT + 16 * k, 16);
        else
            memset(c->st.vec[k] + 16, 0, 16);
    }
}

X86_H_CALLS(xrstor)
{
    restore(c, i, false);
}
X86_H_CALLS(xrstors)
{
    if (c->cpl != 0)
        x86_gp(c, i, 0);
    restore(c, i, true);
}
