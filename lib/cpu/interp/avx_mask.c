/* SPDX-License-Identifier: MIT */
/**
 * @file avx_mask.c
 * VMASKMOVPS, VPMASKMOVD and kin, and the gathers: memory operands of which only some elements
 * are accessed. Elements masked off do not fault.
 */
#include "cpu/interp/vec.h"

/* One bit an element: its sign bit in the mask register. */
static uint32_t mask_bits(struct vcpu *c, unsigned reg, unsigned n_elems, unsigned bytes)
{
    uint32_t m = 0;
    for (unsigned k = 0; k < n_elems; k++)
        m |= (uint32_t)(c->st.vec[reg][(k + 1) * bytes - 1] >> 7) << k;
    return m;
}

/* Linear address of element 0, with only the accessed ones checked against the segment. */
static uint64_t masked_lin(struct vcpu *c, const struct x86_insn *i, unsigned first, unsigned len,
                           int access)
{
    return x86_seg_lin(c, i, i->seg, x86_ea(c, i) + first, len, access) - first;
}

static X86_NOINLINE void mask_load(struct vcpu *c, const struct x86_insn *i, unsigned size,
                                   unsigned bytes)
{
    uint32_t m = mask_bits(c, i->src, size / bytes, bytes);
    uint8_t *buf = c->bounce;

    memset(buf, 0, 32);
    if (m != 0) {
        unsigned first = (unsigned)__builtin_ctz(m) * bytes;
        unsigned end = (32 - (unsigned)__builtin_clz(m)) * bytes;
        uint64_t lin = masked_lin(c, i, first, end - first, X86_ACCESS_R);
        for (unsigned k = 0; k < size / bytes; k++)
            if (m >> k & 1)
                vm__x86_ld_block(c, i, lin + k * bytes, buf + k * bytes, bytes);
    }
    memcpy(c->st.vec[i->dst], buf, 32);
}

/* All checks before the first write. The range of accessed elements touches no page that none of
 * them touches; in a second page silicon reports the last byte as what it could not write. */
static X86_NOINLINE void mask_store(struct vcpu *c, const struct x86_insn *i, unsigned size,
                                    unsigned bytes)
{
    uint32_t m = mask_bits(c, i->src, size / bytes, bytes);

    if (m == 0)
        return;
    unsigned first = (unsigned)__builtin_ctz(m) * bytes;
    unsigned end = (32 - (unsigned)__builtin_clz(m)) * bytes;
    uint64_t lin = masked_lin(c, i, first, end - first, X86_ACCESS_W);
    vm__x86_probe_w(c, i, lin + first, 1, i->seg);
    vm__x86_probe_w(c, i, lin + end - 1, 1, i->seg);
    for (unsigned k = 0; k < size / bytes; k++)
        if (m >> k & 1)
            vm__x86_st_block(c, i, lin + k * bytes, c->st.vec[i->src2] + k * bytes, bytes);
}

#define MASKMOV(name, size, bytes)                                                                 \
    X86_H(name##_rrm)                                                                              \
    {                                                                                              \
        mask_load(c, i, size, bytes);                                                              \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    X86_H(name##_mrr)                                                                              \
    {                                                                                              \
        mask_store(c, i, size, bytes);                                                             \
        X86_NEXT(c, i);                                                                            \
    }
MASKMOV(vmaskmovps128, 16, 4)
MASKMOV(vmaskmovps256, 32, 4)
MASKMOV(vmaskmovpd128, 16, 8)
MASKMOV(vmaskmovpd256, 32, 8)

/* ---- gathers [SDM-2C VPGATHERDD]: an element is written and its mask cleared as it arrives, so
 * that after a fault the instruction goes on where it stopped ---- */

static int64_t index_at(const uint8_t *index, unsigned k, unsigned bytes)
{
    int64_t n;
    if (bytes == 8) {
        memcpy(&n, index + 8 * k, 8);
    } else {
        int32_t d;
        memcpy(&d, index + 4 * k, 4);
        n = d;
    }
    return n;
}

/* What a fault leaves behind is silicon's: mask elements become all ones or zero over the whole
 * vector length, even where the gather uses fewer, and what lies above the length is cleared, in
 * the destination once an element has arrived. */
static X86_NOINLINE void gather(struct vcpu *c, const struct x86_insn *i, unsigned n_elems,
                                unsigned bytes, unsigned index_bytes)
{
    uint8_t *dst = c->st.vec[i->dst], *mask = c->st.vec[i->src2];
    unsigned len = i->flags & X86_I_L ? 32 : 16;
    uint32_t m = mask_bits(c, i->src2, len / bytes, bytes);
    uint64_t addr_mask = ~UINT64_C(0) >> (64 - (8u << i->asz));

    if (i->dst == i->src2 || i->dst == i->index || i->src2 == i->index)
        x86_ud(c, i);
    memset(mask + len, 0, 32 - len);
    for (unsigned k = 0; k < len / bytes; k++)
        memset(mask + k * bytes, m >> k & 1 ? 0xff : 0, bytes);
    for (unsigned k = 0; k < n_elems; k++) {
        if (!(m >> k & 1))
            continue;
        int64_t n = index_at(c->st.vec[i->index], k, index_bytes);
        uint64_t ea = *x86_r64(c, i->base) + ((uint64_t)n << i->scale) + (uint64_t)i->disp;
        uint64_t lin = x86_seg_lin(c, i, i->seg, ea & addr_mask, bytes, X86_ACCESS_R);
        vm__x86_ld_block(c, i, lin, dst + k * bytes, bytes);
        memset(mask + k * bytes, 0, bytes);
        memset(dst + len, 0, 32 - len);
    }
    memset(mask, 0, 32);
    memset(dst + n_elems * bytes, 0, 32 - n_elems * bytes);
}

#define GATHER(name, n_elems, bytes, index_bytes)                                                  \
    X86_H(name##_rmr)                                                                              \
    {                                                                                              \
        gather(c, i, n_elems, bytes, index_bytes);                                                 \
        X86_NEXT(c, i);                                                                            \
    }
GATHER(vpgatherdd128, 4, 4, 4)
GATHER(vpgatherdd256, 8, 4, 4)
GATHER(vpgatherdq128, 2, 8, 4)
GATHER(vpgatherdq256, 4, 8, 4)
GATHER(vpgatherqd128, 2, 4, 8)
GATHER(vpgatherqd256, 4, 4, 8)
GATHER(vpgatherqq128, 2, 8, 8)
GATHER(vpgatherqq256, 4, 8, 8)
