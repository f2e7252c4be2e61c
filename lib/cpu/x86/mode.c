/* SPDX-License-Identifier: MIT */
/**
 * @file mode.c
 * From architectural state to what decoding and memory accesses look at: mode word, CPL, soft TLB
 * choice, fast segment views.
 */
#include "cpu/x86/segment.h"

/* Protected-mode segment that needs no checks: present, writable, expand-up, base 0, 4 GiB. */
static bool is_flat(const struct x86_seg *s)
{
    uint16_t want = X86_ATTR_P | X86_ATTR_S | X86_ATTR_WRITE;
    return s->base == 0 && s->limit == 0xffffffff &&
           (s->attr & (want | X86_ATTR_CODE | X86_ATTR_EXPDOWN)) == want;
}

static uint32_t fpu_bits(const struct vcpu *c, bool real)
{
    uint64_t cr0 = c->st.cr0, cr4 = c->st.cr4;
    uint32_t m = 0;

    if (cr0 & (X86_CR0_EM | X86_CR0_TS))
        return 0;
    m |= X86_MODE_X87 | X86_MODE_MMX;
    if (cr4 & X86_CR4_OSFXSR)
        m |= X86_MODE_SSE;
    if (!real && (cr4 & X86_CR4_OSXSAVE) && (c->st.xcr0 & 6) == 6)
        m |= X86_MODE_AVX;
    return m;
}

static uint32_t mode_word(const struct vcpu *c, bool real, unsigned cpl)
{
    const struct x86_seg *seg = c->st.seg;
    uint32_t m;

    if (x86_lma(c) && (seg[X86_CS].attr & X86_ATTR_L)) {
        m = X86_MODE_CODE64 | 3u << X86_MODE_STACK_SHIFT;
    } else {
        m = seg[X86_CS].attr & X86_ATTR_DB ? X86_MODE_CODE32 : X86_MODE_CODE16;
        m |= (seg[X86_SS].attr & X86_ATTR_DB ? 2u : 1u) << X86_MODE_STACK_SHIFT;
        if (!real && is_flat(&seg[X86_DS]) && is_flat(&seg[X86_SS]) && is_flat(&seg[X86_ES]))
            m |= X86_MODE_FLAT;
    }
    if (cpl == 3)
        m |= X86_MODE_USER;
    if (real)
        m |= X86_MODE_REAL;
    m |= fpu_bits(c, real);
    if (c->st.smm)
        m |= X86_MODE_SMM;
    if ((c->st.rflags & X86_TF) || (c->st.dr[7] & 0xff))
        m |= X86_MODE_STEP;
    return m | c->dbg_mode;
}

/* Which of base and ends apply outside 64-bit mode. */
static void view_legacy(struct vcpu *c, unsigned n, bool real)
{
    const struct x86_seg *s = &c->st.seg[n];
    struct x86_segf *f = &c->segf[n];
    uint64_t end = (uint64_t)s->limit + 1;

    f->base = s->base;
    if (real) {
        f->end_r = f->end_w = end; /* no type checks, CS can be written */
        return;
    }
    bool usable = (s->attr & (X86_ATTR_P | X86_ATTR_S)) == (X86_ATTR_P | X86_ATTR_S);
    bool code = s->attr & X86_ATTR_CODE;
    if (!usable || (!code && (s->attr & X86_ATTR_EXPDOWN)))
        end = 0; /* expand-down is settled by the slow path */
    f->end_r = code && !(s->attr & X86_ATTR_WRITE) ? 0 : end;
    f->end_w = code || !(s->attr & X86_ATTR_WRITE) ? 0 : end;
}

static void view_long(struct vcpu *c, unsigned n)
{
    struct x86_segf *f = &c->segf[n];

    f->base = n >= X86_FS ? c->st.seg[n].base : 0;
    f->end_r = f->end_w = ~UINT64_C(0);
}

void vm__x86_sync_ac(struct vcpu *c)
{
    unsigned t = !(c->st.cr0 & X86_CR0_PG) ? X86_TLB_P
                 : c->cpl == 3             ? X86_TLB_U
                 : (c->st.rflags & X86_AC) && (c->st.cr4 & X86_CR4_SMAP) ? X86_TLB_KU
                                                                         : X86_TLB_K;
    bool align = c->cpl == 3 && (c->st.rflags & X86_AC) && (c->st.cr0 & X86_CR0_AM);

    if (x86_unlikely(align != c->align_check)) {
        /* A TLB hit does not look at alignment: with checking on nothing is entered. */
        c->align_check = align;
        vm__x86_tlb_flush(c, VM_FLUSH_TLB, 0);
    }
    c->tlb_idx = t;
    c->tlb_cur = c->tlb[t];
    c->jit.mode = c->mode | t << 24;
    x86_jit_rekey(c);
}

void vm__x86_sync_mode(struct vcpu *c)
{
    bool real = !(c->st.cr0 & X86_CR0_PE) || x86_is_v86(c);
    unsigned cpl = !(c->st.cr0 & X86_CR0_PE) ? 0
                   : x86_is_v86(c) ? 3
                                   : (c->st.seg[X86_SS].attr & X86_ATTR_DPL) >> X86_ATTR_DPL_SHIFT;
    uint32_t old = c->mode;

    c->cpl = cpl;
    c->mode = mode_word(c, real, cpl);
    vm__x86_sync_ac(c);

    if (x86_is64(c)) {
        if ((old & X86_MODE_CODE) != X86_MODE_CODE64)
            for (unsigned n = 0; n < X86_FS; n++)
                view_long(c, n);
        view_long(c, X86_FS);
        view_long(c, X86_GS);
        return;
    }
    for (unsigned n = 0; n < X86_SEG_COUNT; n++)
        view_legacy(c, n, real);
    /* Blocks are found by RIP: they stand for other bytes once CS has moved. In 64-bit mode CS has
     * no base, and the mode word tells such blocks apart. */
    const struct x86_seg *cs = &c->st.seg[X86_CS];
    if (cs->base != c->code_base || cs->limit != c->code_limit) {
        c->code_base = cs->base;
        c->code_limit = cs->limit;
        c->code_gen[0]++;
        c->code_gen[1]++;
        x86_jit_rekey(c);
    }
}

void vm__x86_sync_seg(struct vcpu *c, unsigned seg)
{
    if (x86_is64(c) && seg != X86_CS) {
        if (seg >= X86_FS)
            view_long(c, seg);
        return;
    }
    if (seg == X86_FS || seg == X86_GS)
        view_legacy(c, seg, x86_is_real(c));
    else
        vm__x86_sync_mode(c);
}
