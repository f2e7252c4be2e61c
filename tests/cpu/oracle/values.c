/* SPDX-License-Identifier: MIT */
/**
 * @file values.c
 * Random values with a taste for the edges.
 *
 * Spec: [SDM-1 §4.8.3] (real numbers and NaNs), [SDM-1 §8.2.2] (80-bit formats no longer
 * supported: unnormals, pseudo-NaNs).
 */
#include "oracle.h"

uint64_t orc_integer(struct rng *r)
{
    static const uint64_t edges[] = {
        0,
        1,
        2,
        3,
        7,
        8,
        9,
        15,
        16,
        31,
        32,
        33,
        63,
        64,
        65,
        0x7f,
        0x80,
        0xff,
        0x100,
        0x7fff,
        0x8000,
        0xffff,
        0x10000,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        0x100000000,
        0x7fffffffffffffff,
        0x8000000000000000,
        0xffffffffffffffff,
        0xffffffffffffff80,
        0xffffffffffff8000,
        0xffffffff80000000,
        0x5555555555555555,
        0xaaaaaaaaaaaaaaaa,
        0x0f0f0f0f0f0f0f0f,
        0x0102040810204080,
        0x99,
        0x9a,
        0x0a,
        0xfa,
    };
    uint64_t v = rng_64(r);

    switch (rng_below(r, 8)) {
    case 0:
        return edges[rng_below(r, sizeof edges / sizeof *edges)];
    case 1:
        return UINT64_C(1) << (v & 63);
    case 2:
        return (UINT64_C(1) << (v & 63)) - 1;
    case 3:
        return (uint64_t)(int64_t)(int8_t)v;
    case 4:
        return v >> (v & 63);
    case 5:
        return v & rng_64(r) & rng_64(r);
    default:
        return v;
    }
}

uint32_t orc_f32(struct rng *r)
{
    static const uint32_t edges[] = {
        0,          1,          0x007fffff, 0x00800000, 0x00800001, 0x3f800000, 0x3f800001,
        0x3f7fffff, 0x3f000000, 0x40000000, 0x4b000000, 0x4b800000, 0x4effffff, 0x4f000000,
        0x4f800000, 0x5effffff, 0x5f000000, 0x5f800000, 0x7f7fffff, 0x7f800000, 0x7f800001,
        0x7fa00000, 0x7fbfffff, 0x7fc00000, 0x7fc12345, 0x7fffffff, 0x33800000, 0x34000000,
        0x477fe000, 0x477fefff, 0x477ff000, 0x38800000, 0x387fc000, 0x33000000, 0x3fc00000,
        0x40200000, 0x42fe0000,
    };
    uint32_t v = (uint32_t)rng_64(r), sign = v & 0x80000000u;

    switch (rng_below(r, 6)) {
    case 0:
    case 1:
        return edges[rng_below(r, sizeof edges / sizeof *edges)] | sign;
    case 2: /* near one */
        return sign | ((0x70u + rng_below(r, 0x20)) << 23) | (v & 0x7fffff);
    case 3: /* few bits */
        return sign | ((0x60u + rng_below(r, 0x40)) << 23) | (v & 0x700000);
    case 4: /* tiny */
        return sign | (v & 0x01ffffff);
    default:
        return v;
    }
}

uint64_t orc_f64(struct rng *r)
{
    static const uint64_t edges[] = {
        0,
        1,
        0x000fffffffffffff,
        0x0010000000000000,
        0x0010000000000001,
        0x3ff0000000000000,
        0x3ff0000000000001,
        0x3fefffffffffffff,
        0x3fe0000000000000,
        0x4000000000000000,
        0x3ff8000000000000,
        0x4004000000000000,
        0x41dfffffffc00000,
        0x41dfffffffe00000,
        0x41e0000000000000,
        0x41efffffffe00000,
        0x41f0000000000000,
        0x43dfffffffffffff,
        0x43e0000000000000,
        0x43f0000000000000,
        0x4330000000000000,
        0x4340000000000000,
        0x47efffffe0000000,
        0x47efffffefffffff,
        0x47effffff0000000,
        0x47f0000000000000,
        0x380fffffffffffff,
        0x3810000000000000,
        0x36a0000000000000,
        0x3690000000000000,
        0x7fefffffffffffff,
        0x7ff0000000000000,
        0x7ff0000000000001,
        0x7ff4000000000000,
        0x7ff7ffffffffffff,
        0x7ff8000000000000,
        0x7ff8000012345678,
        0x7fffffffffffffff,
        0x3ca0000000000000,
        0x3cb0000000000000,
    };
    uint64_t v = rng_64(r), sign = v & UINT64_C(1) << 63, frac = v & 0xfffffffffffff;

    switch (rng_below(r, 7)) {
    case 0:
    case 1:
        return edges[rng_below(r, sizeof edges / sizeof *edges)] | sign;
    case 2:
        return sign | (uint64_t)(0x3f0 + rng_below(r, 0x20)) << 52 | frac;
    case 3:
        return sign | (uint64_t)(0x380 + rng_below(r, 0x100)) << 52 | (frac & 0xe000000000000);
    case 4:
        return sign | (v & 0x003fffffffffffff);
    case 5: /* what single precision rounds */
        return sign | (uint64_t)(0x360 + rng_below(r, 0x130)) << 52 | (frac & 0xfffffff0000000);
    default:
        return v;
    }
}

void orc_f80(struct rng *r, uint8_t out[10])
{
    static const struct {
        uint16_t se;
        uint64_t m;
    } edges[] = {
        { 0, 0 },
        { 0, 1 },
        { 0, 0x7fffffffffffffff },
        { 0, 0x8000000000000000 }, /* pseudo */
        { 1, 0x8000000000000000 },
        { 0x3fff, 0x8000000000000000 },
        { 0x3fff, 0x8000000000000001 },
        { 0x3ffe, 0xffffffffffffffff },
        { 0x4000, 0x8000000000000000 },
        { 0x4000, 0xc90fdaa22168c235 },
        { 0x3ffe, 0xb17217f7d1cf79ac },
        { 0x3fff, 0xc000000000000000 },
        { 0x403e, 0x8000000000000000 },
        { 0x403d, 0xffffffffffffffff },
        { 0x401e, 0x8000000000000000 },
        { 0x400e, 0x8000000000000000 },
        { 0x403e, 0xde0b6b3a76400000 }, /* 10^18 * 2^… */
        { 0x403a, 0xde0b6b3a763ffff0 },
        { 0x43fe, 0xfffffffffffff800 },
        { 0x43fe, 0xfffffffffffffc00 },
        { 0x3c01, 0x8000000000000000 },
        { 0x407e, 0xffffff0000000000 },
        { 0x407e, 0xffffff8000000000 },
        { 0x7ffe, 0xffffffffffffffff },
        { 0x7fff, 0x8000000000000000 },
        { 0x7fff, 0x8000000000000001 },
        { 0x7fff, 0xa000000000000000 },
        { 0x7fff, 0xbfffffffffffffff },
        { 0x7fff, 0xc000000000000000 },
        { 0x7fff, 0xc000000012345678 },
        { 0x7fff, 0xffffffffffffffff },
        { 0x7fff, 0 },
        { 0x7fff, 0x4000000000000000 }, /* pseudo-infinity, pseudo-NaN */
        { 0x3fff, 0x4000000000000000 },
        { 0x1234, 1 }, /* unnormals */
        { 0x3fbf, 0x8000000000000000 },
        { 0x403f, 0x8000000000000000 },
    };
    uint64_t v = rng_64(r), m = rng_64(r);
    uint16_t se = (uint16_t)(v & 0x8000);

    switch (rng_below(r, 8)) {
    case 0:
    case 1: {
        unsigned k = rng_below(r, sizeof edges / sizeof *edges);
        se |= edges[k].se;
        m = edges[k].m;
        break;
    }
    case 2:
        se |= (uint16_t)(0x3ff0 + rng_below(r, 0x20));
        m |= UINT64_C(1) << 63;
        break;
    case 3: /* small integers */
        m = (v >> 16 & 0xfff) | 1;
        {
            unsigned z = (unsigned)__builtin_clzll(m);
            m <<= z;
            se |= (uint16_t)(0x3fff + 63 - z);
        }
        break;
    case 4: /* what double rounds */
        se |= (uint16_t)(0x3be0 + rng_below(r, 0x840));
        m = (m & 0xfffffffffffffc00) | UINT64_C(1) << 63;
        break;
    case 5:
        se |= (uint16_t)(v >> 16 & 0x1f);
        break;
    case 6:
        se |= (uint16_t)(0x3fc0 + rng_below(r, 0x80));
        m |= UINT64_C(1) << 63;
        break;
    default:
        se |= (uint16_t)(v >> 16 & 0x7fff);
        if (!rng_once_in(r, 8))
            m |= UINT64_C(1) << 63;
        break;
    }
    memcpy(out, &m, 8);
    memcpy(out + 8, &se, 2);
}

static uint16_t f16(struct rng *r)
{
    static const uint16_t edges[] = { 0,      1,      0x3ff,  0x400,  0x3c00, 0x7bff,
                                      0x7c00, 0x7c01, 0x7dff, 0x7e00, 0x7fff };
    uint16_t v = (uint16_t)rng_64(r);
    return rng_once_in(r, 2) ? (uint16_t)(edges[rng_below(r, 11)] | (v & 0x8000)) : v;
}

/* BCD, mostly with valid digits [SDM-1 §4.7]. */
static void bcd(struct rng *r, uint8_t out[10])
{
    for (unsigned k = 0; k < 10; k++)
        out[k] = (uint8_t)(rng_below(r, 10) << 4 | rng_below(r, 10));
    if (rng_once_in(r, 8))
        out[rng_below(r, 10)] = (uint8_t)rng_64(r);
}

enum style { BYTES, INTEGERS, WORDS, F16, F32, F64, F80, BCD, EQUAL };

static enum style pick_style(struct rng *r, const struct x86_row *row)
{
    if (row->attr & X86_A_X87) {
        static const enum style s[] = { F32, F64, F80, F80, BCD, INTEGERS, WORDS };
        return s[rng_below(r, 7)];
    }
    if (row->feature == X86_FEAT_F16C && !rng_once_in(r, 4))
        return rng_once_in(r, 2) ? F16 : F32;
    if ((row->attr & X86_A_FP) && !rng_once_in(r, 8))
        return rng_once_in(r, 2) ? F32 : F64;
    static const enum style s[] = { BYTES, INTEGERS, WORDS, F32, F64, EQUAL };
    return s[rng_below(r, 6)];
}

void orc_data(struct rng *r, const struct x86_row *row, uint8_t *out, unsigned len)
{
    enum style style = pick_style(r, row);
    uint8_t same = (uint8_t)rng_64(r);

    for (unsigned at = 0, n; at < len; at += n) {
        uint8_t b[16];
        n = 8;
        switch (style) {
        case BYTES:
            rng_fill(r, b, 8);
            break;
        case INTEGERS: {
            uint64_t v = orc_integer(r);
            memcpy(b, &v, 8);
            break;
        }
        case WORDS:
            for (unsigned k = 0; k < 8; k += 2) {
                uint16_t v = (uint16_t)orc_integer(r);
                memcpy(b + k, &v, 2);
            }
            break;
        case F16:
            for (unsigned k = 0; k < 8; k += 2) {
                uint16_t v = f16(r);
                memcpy(b + k, &v, 2);
            }
            break;
        case F32: {
            uint32_t v = orc_f32(r);
            memcpy(b, &v, 4);
            n = 4;
            break;
        }
        case F64: {
            uint64_t v = orc_f64(r);
            memcpy(b, &v, 8);
            break;
        }
        case F80:
            orc_f80(r, b);
            n = 10;
            break;
        case BCD:
            bcd(r, b);
            n = 10;
            break;
        case EQUAL:
            memset(b, same, 8);
            if (rng_once_in(r, 4))
                b[rng_below(r, 8)] ^= 1;
            break;
        }
        memcpy(out + at, b, n < len - at ? n : len - at);
    }
}

static void random_x87(struct rng *r, const struct orc_options *o, bool fp_row, struct orc_state *s)
{
    for (unsigned k = 0; k < 8; k++)
        orc_f80(r, s->st[k]);
    /* Exceptions masked, unless asked for; every rounding and precision. */
    s->fcw = (uint16_t)(0x7f | (rng_64(r) & 0x0f00));
    if (rng_once_in(r, 2))
        s->fcw |= 0x0300;
    if (o->unmasked && fp_row && rng_once_in(r, 6))
        s->fcw &= (uint16_t)(rng_64(r) | 0xffc0);
    s->fsw = (uint16_t)(rng_64(r) & 0x7f7f);
    if (!rng_once_in(r, 4))
        s->fsw &= 0x7f00;
    if (!rng_once_in(r, 8))
        s->fsw &= (uint16_t) ~(~s->fcw & 0x3f); /* nothing pending yet */
    if (s->fsw & ~s->fcw & 0x3f)
        s->fsw |= 0x8080;
    s->ftw = rng_once_in(r, 3) ? (uint8_t)rng_64(r) : rng_once_in(r, 16) ? 0 : 0xff;
    s->fop = (uint16_t)(rng_64(r) & 0x7ff);
    s->fip = rng_64(r) & 0x7fffffff;
    s->fdp = rng_64(r) & 0x7fffffff;
}

static void random_mxcsr(struct rng *r, const struct orc_options *o, bool fp_row,
                         struct orc_state *s)
{
    s->mxcsr = 0x1f80;
    if (rng_once_in(r, 2))
        s->mxcsr |= (uint32_t)rng_64(r) & 0x607f; /* rounding, DAZ, flags */
    if (rng_once_in(r, 4))
        s->mxcsr |= 0x8000; /* flush to zero */
    if (rng_once_in(r, 2))
        s->mxcsr &= ~0x3fu;
    if (o->unmasked && fp_row && rng_once_in(r, 6))
        s->mxcsr &= (uint32_t)rng_64(r) | ~0x1f80u;
}

void orc_random_state(struct rng *r, const struct x86_row *row, enum orc_mode mode,
                      const struct orc_options *o, struct orc_state *s)
{
    bool fp_row = row->attr & (X86_A_FP | X86_A_X87 | X86_A_MMX);

    memset(s, 0, sizeof *s);
    for (unsigned k = 0; k < 16; k++)
        s->gpr[k] = orc_integer(r);
    if (mode == ORC_32)
        for (unsigned k = 0; k < 16; k++)
            s->gpr[k] = k < 8 ? (uint32_t)s->gpr[k] : 0;
    s->rflags = 2 | X86_IF | (rng_64(r) & (X86_ARITH | X86_DF | X86_ID));
    if (o->ac && rng_once_in(r, 16))
        s->rflags |= X86_AC;
    s->sel[X86_CS] = mode == ORC_64 ? ORC_CS64 : ORC_CS32;
    s->sel[X86_SS] = s->sel[X86_DS] = s->sel[X86_ES] = ORC_DS;
    if (mode == ORC_32)
        s->sel[X86_FS] = s->sel[X86_GS] = ORC_DS;
    for (unsigned k = 0; k < 16; k++)
        orc_data(r, row, s->vec[k], 32);
    random_x87(r, o, fp_row, s);
    if (row->attr & X86_A_MMX)
        for (unsigned k = 0; k < 8; k++)
            orc_data(r, row, s->st[k], rng_once_in(r, 2) ? 8 : 10);
    random_mxcsr(r, o, fp_row, s);
}
