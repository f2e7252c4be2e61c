/* SPDX-License-Identifier: MIT */
/**
 * @file encode.c
 * An encoder for tests: a random encoding of a table row.
 *
 * It writes what the row allows and what real code has around it (prefixes without meaning, long
 * displacements, both VEX forms); the decoder then says whether the bytes are that row, so
 * constraints that another row claims need no care here.
 */
#include "oracle.h"

struct enc {
    struct rng *r;
    const struct x86_row *row;
    struct orc_case *c;
    struct orc_layout *l;
    unsigned n;
    bool m64, has66, has67;
    uint8_t rex; /* low four bits */
    bool rex_present;
    uint8_t vvvv;
};

static void put(struct enc *e, unsigned byte)
{
    if (e->n < sizeof e->c->bytes)
        e->c->bytes[e->n] = (uint8_t)byte;
    e->n++;
}

static bool sized_by_66(const struct x86_row *row)
{
    for (unsigned k = 0; k < row->n_ops; k++)
        if (row->op[k].size == X86_SZ_V || row->op[k].size == X86_SZ_Z ||
            row->op[k].size == X86_SZ_P || row->op[k].size == X86_SZ_A)
            return true;
    return row->n_ops == 0 && !(row->attr & X86_A_BYTE);
}

static bool uses_memory(const struct x86_row *row)
{
    if (row->mod == X86_MOD_ANY || row->mod == X86_MOD_MEM)
        return true;
    for (unsigned k = 0; k < row->n_ops; k++)
        if (row->op[k].at == X86_AT_SI || row->op[k].at == X86_AT_DI ||
            row->op[k].at == X86_AT_MOFFS)
            return true;
    return false;
}

static bool has_operand_at(const struct x86_row *row, enum x86_where at)
{
    for (unsigned k = 0; k < row->n_ops; k++)
        if (row->op[k].at == at)
            return true;
    return false;
}

static void shuffle(struct rng *r, uint8_t *p, unsigned n)
{
    for (unsigned k = n; k > 1; k--) {
        unsigned j = rng_below(r, k);
        uint8_t t = p[k - 1];
        p[k - 1] = p[j];
        p[j] = t;
    }
}

static void legacy_prefixes(struct enc *e)
{
    static const uint8_t mandatory[] = { 0, 0x66, 0xf3, 0xf2, 0 };
    static const uint8_t segments[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
    const struct x86_row *row = e->row;
    uint8_t p[6];
    unsigned n = 0;

    if (row->enc == X86_ENC_LEGACY) {
        e->has66 = row->pp == X86_PP_66 ||
                   (row->pp != X86_PP_NP && rng_once_in(e->r, sized_by_66(row) ? 3 : 24));
        if (e->has66)
            p[n++] = 0x66;
        if (row->pp == X86_PP_F2 || row->pp == X86_PP_F3)
            p[n++] = mandatory[row->pp];
        else if (row->pp == X86_PP_ANY && rng_once_in(e->r, row->attr & X86_A_REP ? 2 : 32))
            p[n++] = rng_once_in(e->r, 2) ? 0xf2 : 0xf3;
    }
    if (uses_memory(row) ? rng_once_in(e->r, 6) : rng_once_in(e->r, 40)) {
        e->has67 = true;
        p[n++] = 0x67;
    }
    if (uses_memory(row) ? rng_once_in(e->r, 8) : rng_once_in(e->r, 40))
        p[n++] = segments[rng_below(e->r, sizeof segments)];
    if (row->enc == X86_ENC_LEGACY && rng_once_in(e->r, row->attr & X86_A_LOCK ? 3 : 200))
        p[n++] = 0xf0;
    shuffle(e->r, p, n);
    for (unsigned k = 0; k < n; k++)
        put(e, p[k]);
}

static void legacy_opcode(struct enc *e, uint8_t opcode)
{
    if (e->rex_present)
        put(e, 0x40u | e->rex);
    if (e->row->map > 0)
        put(e, 0x0f);
    if (e->row->map > 1)
        put(e, e->row->map == 2 ? 0x38 : 0x3a);
    put(e, opcode);
}

static void vex_opcode(struct enc *e)
{
    const struct x86_row *row = e->row;
    unsigned l = row->l >= 0 ? (unsigned)row->l : rng_below(e->r, 2);
    unsigned last = ((~e->vvvv & 15u) << 3) | l << 2 | (row->pp & 3u);

    /* VEX counts 66, F3, F2 as 1, 2, 3: the order of X86_PP_*. */
    if (row->map == 1 && !(e->rex & 0xb) && !rng_once_in(e->r, 4)) {
        put(e, 0xc5);
        put(e, ((e->rex & 4) ? 0 : 0x80u) | last);
    } else {
        put(e, 0xc4);
        put(e, (~e->rex & 7u) << 5 | row->map);
        put(e, (e->rex & 8u) << 4 | last);
    }
    put(e, row->opcode);
}

static void random_rex(struct enc *e)
{
    const struct x86_row *row = e->row;

    e->rex = 0;
    if (row->w == 1 || (row->w < 0 && rng_once_in(e->r, 3)))
        e->rex |= 8;
    if (e->m64 && rng_once_in(e->r, 2))
        e->rex |= (uint8_t)rng_below(e->r, 8);
    if (!e->m64) {
        e->rex_present = false;
        if (row->enc == X86_ENC_LEGACY)
            e->rex = 0;
        return;
    }
    e->rex_present = e->rex != 0 || rng_once_in(e->r, 8);
}

static void displacement(struct enc *e, unsigned len)
{
    e->l->disp_at = (uint8_t)e->n;
    e->l->disp_len = (uint8_t)len;
    /* Mostly small, so that a base register holds a whole address. */
    uint32_t d = (uint32_t)rng_64(e->r);
    if (!rng_once_in(e->r, 4))
        d = (uint32_t)((int32_t)(d & 0xfff) - 0x800);
    for (unsigned k = 0; k < len; k++)
        put(e, d >> (8 * k) & 0xff);
}

static void modrm_memory(struct enc *e, unsigned reg)
{
    bool a16 = e->has67 && !e->m64, vsib = e->row->attr & X86_A_VSIB;
    unsigned mod = rng_below(e->r, 3), rm = vsib ? 4 : rng_below(e->r, 8);

    put(e, mod << 6 | reg << 3 | rm);
    if (a16) {
        displacement(e, mod == 0 ? (rm == 6 ? 2 : 0) : mod);
        return;
    }
    unsigned base = rm;
    if (rm == 4) {
        unsigned sib = (unsigned)rng_64(e->r) & 0xff;
        put(e, sib);
        base = sib & 7;
    }
    displacement(e, mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0);
}

static void modrm(struct enc *e)
{
    const struct x86_row *row = e->row;
    unsigned reg = row->ext >= 0 ? (unsigned)row->ext : rng_below(e->r, 8);
    unsigned rm = row->rm >= 0 ? (unsigned)row->rm : rng_below(e->r, 8);
    bool memory = row->mod == X86_MOD_MEM || (row->mod == X86_MOD_ANY && !rng_once_in(e->r, 3));

    if (memory)
        modrm_memory(e, reg);
    else
        put(e, 0xc0 | reg << 3 | rm);
}

static unsigned operand_bytes(const struct enc *e)
{
    bool w = e->rex & 8;
    if (e->m64)
        return w ? 8 : e->has66 ? 2 : (e->row->attr & (X86_A_D64 | X86_A_F64)) ? 8 : 4;
    return e->has66 ? 2 : 4;
}

static void immediate(struct enc *e)
{
    unsigned osz = operand_bytes(e), len = 0;

    if (e->row->attr & X86_A_F64 && e->m64)
        osz = 8; /* 66 does not shorten near branches */
    switch (e->row->imm) {
    case X86_IMM_8:
        len = 1;
        break;
    case X86_IMM_16:
        len = 2;
        break;
    case X86_IMM_Z:
        len = osz == 2 ? 2 : 4;
        break;
    case X86_IMM_V:
        len = osz;
        break;
    case X86_IMM_16_8:
        len = 3;
        break;
    case X86_IMM_FAR:
        len = (osz == 2 ? 2 : 4) + 2;
        break;
    case X86_IMM_MOFFS:
        len = e->m64 ? (e->has67 ? 4 : 8) : e->has67 ? 2 : 4;
        break;
    default:
        break;
    }
    e->l->imm_at = (uint8_t)e->n;
    e->l->imm_len = (uint8_t)len;
    uint64_t v = orc_integer(e->r);
    for (unsigned k = 0; k < len; k++)
        put(e, (unsigned)(v >> (8 * (k & 7))) & 0xff);
}

bool orc_encode(struct rng *r, const struct x86_row *row, enum orc_mode mode, struct orc_case *c,
                struct orc_layout *l)
{
    struct enc e = { .r = r, .row = row, .c = c, .l = l, .m64 = mode == ORC_64 };
    uint8_t opcode = row->opcode;

    *l = (struct orc_layout) { 0 };
    if (has_operand_at(row, X86_AT_OPCODE))
        opcode = (uint8_t)(opcode + rng_below(r, 8));
    if (has_operand_at(row, X86_AT_VVVV))
        e.vvvv = (uint8_t)rng_below(r, e.m64 ? 16 : 8);
    random_rex(&e);
    legacy_prefixes(&e);
    if (row->enc == X86_ENC_VEX)
        vex_opcode(&e);
    else
        legacy_opcode(&e, opcode);
    if (row->mod != X86_MOD_NONE)
        modrm(&e);
    immediate(&e);
    if (e.n > 15)
        return false;
    c->len = (uint8_t)e.n;
    return true;
}

bool orc_decode(struct orc_case *c)
{
    struct x86_decode_ctx ctx = { .code = c->mode == ORC_64 ? 3 : 2, .have = orc_have };

    return vm__x86_decode(&ctx, c->bytes, c->len, c->in.rip, &c->dec) == X86_DECODE_OK &&
           c->dec.row == c->row && c->dec.len == c->len;
}
