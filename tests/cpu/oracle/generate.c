/* SPDX-License-Identifier: MIT */
/**
 * @file generate.c
 * One random instance of a row: encoding, registers, memory.
 *
 * The memory operand is placed last: a place in the data window is chosen, and the base register,
 * the displacement, or whatever else the encoding has, is made to point there.
 */
#include "oracle.h"

uint64_t orc_have[X86_FEAT_WORDS];

const char *orc_untestable(const struct x86_row *row, enum orc_mode mode)
{
    if (row->attr & X86_A_NOUSER)
        return "marked nouser";
    if (mode == ORC_64 && (row->attr & X86_A_NO64))
        return "not in 64-bit mode";
    if (mode == ORC_32 && (row->attr & X86_A_ONLY64))
        return "only in 64-bit mode";
    if (row->feature && !vm__x86_have(orc_have, row->feature))
        return "the host lacks the feature";
    return NULL;
}

uint32_t orc_place(struct rng *r, unsigned len)
{
    unsigned part = len > 1 ? 1 + rng_below(r, len - 1) : 0;

    switch (rng_below(r, 64)) {
    case 0:
        return ORC_RW - part; /* into the read-only page */
    case 1:
        return ORC_RW + rng_below(r, 0xf00); /* in it */
    case 2:
        return ORC_RO - part; /* from it into the missing one */
    case 3:
        return ORC_RO + rng_below(r, 0xf00); /* in that */
    case 4:
        return ORC_RW2 - part; /* from missing to writable */
    case 5:
        return 0u - part; /* before the window */
    case 6:
        return ORC_DATA_SIZE - part; /* past it */
    case 7:
    case 8:
    case 9:
        return 0x1000u * (1 + rng_below(r, 3)) - part; /* between writable pages */
    case 10:
    case 11:
        return ORC_DATA_SIZE - len;
    case 12:
        return ORC_RO - len;
    case 13:
        return ORC_RW2;
    default:
        break;
    }
    uint32_t off = 0x400 + rng_below(r, ORC_RW - 0xc00);
    return rng_once_in(r, 3) ? off : rng_once_in(r, 4) ? off & ~7u : off & ~63u;
}

/* Put a new value into a little-endian field of the encoding. */
static bool patch_bytes(struct orc_case *c, unsigned at, unsigned len, uint64_t v)
{
    for (unsigned k = 0; k < len; k++)
        c->bytes[at + k] = (uint8_t)(v >> (8 * k));
    return orc_decode(c);
}

static uint64_t seg_base(const struct orc_case *c)
{
    if (c->mode != ORC_64)
        return 0;
    return c->dec.seg == X86_FS ? c->in.fs_base : c->dec.seg == X86_GS ? c->in.gs_base : 0;
}

static void random_seg_bases(struct rng *r, const struct orc_options *o, struct orc_case *c)
{
    if (c->mode != ORC_64 || !o->fsgs)
        return;
    c->in.fs_base = rng_64(r) % ORC_DATA;
    c->in.gs_base = rng_64(r) % ORC_DATA;
    if (c->dec.asz == 3 && rng_once_in(r, 4)) /* kernel half: the sum wraps around */
        c->in.fs_base = c->in.gs_base = rng_64(r) | UINT64_C(0xffff) << 48 | UINT64_C(1) << 47;
}

static void set_address_reg(struct rng *r, struct orc_case *c, unsigned reg, uint64_t v)
{
    if (c->dec.asz == 1)
        v = (c->in.gpr[reg] & ~UINT64_C(0xffff)) | (v & 0xffff);
    else if (c->dec.asz == 2)
        v = (uint32_t)v | (c->mode == ORC_64 ? rng_64(r) << 32 : 0);
    c->in.gpr[reg] = v;
}

/* Make the index small; returns what it adds to the address. */
static uint64_t small_index(struct rng *r, struct orc_case *c)
{
    int64_t v = (int64_t)rng_below(r, 0x200) - 0x100;
    set_address_reg(r, c, c->dec.index / 8, (uint64_t)v);
    return (uint64_t)v << c->dec.scale;
}

/* Elements of a vector index, so that all of them stay near the base [SDM-2A §2.3.12]. */
static void small_vector_index(struct rng *r, struct orc_case *c)
{
    bool qwords = vm__x86_rows[c->row].opcode & 1;
    uint8_t *v = c->in.vec[c->dec.index];

    for (unsigned k = 0; k < 32; k += qwords ? 8 : 4) {
        int64_t e = (int64_t)rng_below(r, 0x100) - 0x40;
        if (rng_once_in(r, 200))
            e = (int64_t)orc_integer(r);
        memcpy(v + k, &e, qwords ? 8 : 4);
    }
}

/* Point the memory operand at linear address @p lin. */
static bool place_operand(struct rng *r, struct orc_case *c, const struct orc_layout *l,
                          uint64_t lin)
{
    const bool vsib = vm__x86_rows[c->row].attr & X86_A_VSIB;
    const unsigned none = X86_NONE * 8;
    const struct x86_insn *d = &c->dec;
    uint64_t ea = lin - seg_base(c);

    if (vm__x86_rows[c->row].imm == X86_IMM_MOFFS)
        return patch_bytes(c, l->imm_at, l->imm_len, ea);
    if (vsib) {
        small_vector_index(r, c);
        if (d->base == none)
            return patch_bytes(c, l->disp_at, l->disp_len, ea);
        set_address_reg(r, c, d->base / 8, ea - (uint64_t)d->disp);
        return true;
    }
    if (d->base == none && d->index == none) {
        bool rip_relative = c->mode == ORC_64 && (d->modrm & 0xc7) == 5;
        return patch_bytes(c, l->disp_at, l->disp_len,
                           ea - (rip_relative ? c->in.rip + c->len : 0));
    }
    if (d->base == none)
        return patch_bytes(c, l->disp_at, l->disp_len, ea - small_index(r, c));
    if (d->index == none) {
        set_address_reg(r, c, d->base / 8, ea - (uint64_t)d->disp);
        return true;
    }
    if (d->base == d->index) {
        if (l->disp_len == 4)
            return patch_bytes(c, l->disp_at, 4, ea - c->in.gpr[d->base / 8] - small_index(r, c));
        set_address_reg(r, c, d->base / 8, (ea - (uint64_t)d->disp) / ((1u << d->scale) + 1));
        return true;
    }
    uint64_t scaled = c->in.gpr[d->index / 8] << d->scale;
    if (!rng_once_in(r, 4))
        scaled = small_index(r, c);
    set_address_reg(r, c, d->base / 8, ea - (uint64_t)d->disp - scaled);
    return true;
}

/* Where the instruction lies: anywhere in the code region, now and then at its very end, so that
 * fetching it, or what follows, faults. */
static void place_code(struct rng *r, struct orc_case *c)
{
    uint32_t off = 0x400 + rng_below(r, ORC_CODE_SIZE - 0x800);

    if (rng_once_in(r, 64))
        off = ORC_CODE_SIZE - 1 - rng_below(r, c->len);
    else if (rng_once_in(r, 16))
        off = 0x1000 * (1 + rng_below(r, ORC_CODE_SIZE / 0x1000 - 1)) - rng_below(r, c->len);
    c->in.rip = ORC_CODE + off;
}

/* base == index takes two rounds when the displacement decides. */
static bool place_memory(struct rng *r, struct orc_case *c, const struct orc_layout *l,
                         uint32_t *at)
{
    const struct x86_row *row = &vm__x86_rows[c->row];
    unsigned size = orc_mem_size(row, &c->dec, c->mode);

    *at = ~0u;
    if (!(c->dec.flags & X86_I_MEM))
        return true;
    if (rng_once_in(r, 100))
        return true; /* whatever the registers give: non-canonical, or not mapped */
    uint32_t off = orc_place(r, size);
    if ((row->attr & X86_A_ALIGN) && !rng_once_in(r, 8))
        off &= ~63u;
    *at = off;
    return place_operand(r, c, l, (uint64_t)ORC_DATA + (uint64_t)(int64_t)(int32_t)off);
}

static bool usable(const struct orc_options *o, const struct orc_case *c)
{
    /* Without FSGSBASE the test cannot say where FS and GS point. */
    return o->fsgs || c->mode != ORC_64 || (c->dec.seg != X86_FS && c->dec.seg != X86_GS);
}

bool orc_generate(const struct orc_options *o, uint16_t row_id, enum orc_mode mode, uint64_t seed,
                  uint64_t number, struct orc_case *c)
{
    const struct x86_row *row = &vm__x86_rows[row_id];
    struct orc_layout l;
    struct rng r;
    uint64_t h = seed ^ number * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)mode << 62;

    /* By form, not by number: adding rows elsewhere leaves a row's instances as they were. */
    for (const char *p = row->name; *p; p++)
        h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    for (const char *p = row->form; *p; p++)
        h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    rng_seed(&r, h);
    for (unsigned tries = 0; tries < 200; tries++) {
        uint32_t at;
        c->row = row_id;
        c->mode = (uint8_t)mode;
        c->seed = seed;
        c->number = number;
        c->n_patches = 0;
        orc_random_state(&r, row, mode, o, &c->in);
        if (!orc_encode(&r, row, mode, c, &l))
            continue;
        place_code(&r, c);
        if (!orc_decode(c) || !usable(o, c) || !orc_special_ok(row, c))
            continue;
        random_seg_bases(&r, o, c);
        orc_special_before(&r, row, c, &l);
        if (!place_memory(&r, c, &l, &at))
            continue;
        if (at != ~0u) {
            uint8_t data[ORC_PATCH_BYTES];
            unsigned size = orc_mem_size(row, &c->dec, mode);
            orc_data(&r, row, data, size);
            orc_put(c, at, data, size);
        }
        orc_special_after(&r, row, c, at);
        if (mode == ORC_32)
            for (unsigned k = 0; k < 16; k++)
                c->in.gpr[k] = k < 8 ? (uint32_t)c->in.gpr[k] : 0;
        if (orc_decode(c))
            return true;
    }
    return false;
}
