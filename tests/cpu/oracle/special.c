/* SPDX-License-Identifier: MIT */
/**
 * @file special.c
 * What random values alone would not reach: stack pointers, string counts, branch targets, divisors
 * that do not overflow, state images that are valid.
 *
 * Keyed by mnemonic where the table's operands do not tell.
 */
#include <string.h>

#include "oracle.h"

static bool is(const struct x86_row *row, const char *name)
{
    return strcmp(row->name, name) == 0;
}
static bool starts(const struct x86_row *row, const char *name)
{
    return strncmp(row->name, name, strlen(name)) == 0;
}
static bool one_of(const struct x86_row *row, const char *const *names)
{
    for (; *names; names++)
        if (is(row, *names))
            return true;
    return false;
}

static unsigned operand_bytes(const struct x86_operand *op, const struct x86_insn *d,
                              enum orc_mode mode)
{
    unsigned v = 1u << d->osz, x = d->flags & X86_I_L ? 32 : 16;

    switch (op->size) {
    case X86_SZ_B:
        return 1;
    case X86_SZ_W:
        return 2;
    case X86_SZ_D:
        return 4;
    case X86_SZ_Q:
        return 8;
    case X86_SZ_V:
        return v;
    case X86_SZ_Z:
        return v == 8 ? 4 : v;
    case X86_SZ_Y:
        return (d->flags & X86_I_W) && mode == ORC_64 ? 8 : 4;
    case X86_SZ_O:
        return 16;
    case X86_SZ_X:
        return x;
    case X86_SZ_QQ:
        return 32;
    case X86_SZ_T:
        return 10;
    case X86_SZ_P:
        return v + 2;
    case X86_SZ_S:
        return mode == ORC_64 ? 10 : 6;
    case X86_SZ_H:
        return x / 2;
    case X86_SZ_F:
        return x / 4;
    case X86_SZ_E:
        return x / 8;
    case X86_SZ_A:
        return v * 2;
    default:
        return 0;
    }
}

unsigned orc_mem_size(const struct x86_row *row, const struct x86_insn *d, enum orc_mode mode)
{
    if (row->attr & X86_A_VSIB)
        return 0x400;
    if (starts(row, "xsave") || starts(row, "xrstor"))
        return 832;
    if (starts(row, "fxsave") || starts(row, "fxrstor"))
        return 512;
    if (is(row, "frstor") || is(row, "fnsave"))
        return d->osz == 1 ? 94 : 108;
    if (is(row, "fldenv") || is(row, "fnstenv"))
        return d->osz == 1 ? 14 : 28;
    for (unsigned k = 0; k < row->n_ops; k++)
        if (row->op[k].at == X86_AT_RM || row->op[k].at == X86_AT_MOFFS) {
            unsigned n = operand_bytes(&row->op[k], d, mode);
            return n ? n : 8;
        }
    return 8;
}

void orc_put(struct orc_case *c, uint32_t off, const void *bytes, unsigned len)
{
    const uint8_t *p = bytes;

    if ((int32_t)off < 0) { /* begins before the window */
        uint32_t skip = 0u - off;
        if (skip >= len)
            return;
        p += skip;
        len -= skip;
        off = 0;
    }
    if (off >= ORC_DATA_SIZE || c->n_patches == ORC_PATCHES)
        return;
    if (len > ORC_DATA_SIZE - off)
        len = ORC_DATA_SIZE - off;
    if (len > ORC_PATCH_BYTES)
        len = ORC_PATCH_BYTES;
    struct orc_patch *q = &c->patch[c->n_patches++];
    q->off = off;
    q->len = (uint16_t)len;
    memcpy(q->bytes, p, len);
}

static void put64(struct orc_case *c, uint32_t off, uint64_t v)
{
    orc_put(c, off, &v, 8);
}

/* ---- registers ---- */

/* A stack pointer with room on both sides, or at an edge. */
static uint32_t place_stack(struct rng *r)
{
    uint32_t off = rng_once_in(r, 12) ? orc_place(r, 16) : 0x800 + rng_below(r, ORC_RW - 0x1000);
    return rng_once_in(r, 4) ? off : off & ~7u;
}

static uint64_t lin(uint32_t off)
{
    return (uint64_t)ORC_DATA + (uint64_t)(int64_t)(int32_t)off;
}

static bool has_string_operand(const struct x86_row *row)
{
    for (unsigned k = 0; k < row->n_ops; k++)
        if (row->op[k].at == X86_AT_SI || row->op[k].at == X86_AT_DI)
            return true;
    return false;
}

static void string_pointer(struct rng *r, struct orc_case *c, unsigned reg, unsigned bytes,
                           uint64_t base)
{
    /* Going down, the pointer starts at the last element. */
    uint32_t off = orc_place(r, bytes ? bytes : 1);
    if (c->in.rflags & X86_DF)
        off += bytes;
    uint64_t v = lin(off) - base;
    if (c->dec.asz == 2)
        v = (uint32_t)v | (c->mode == ORC_64 && rng_once_in(r, 2) ? rng_64(r) << 32 : 0);
    c->in.gpr[reg] = v;
}

static void string_operands(struct rng *r, const struct x86_row *row, struct orc_case *c)
{
    unsigned width = 1, count = 1;

    for (unsigned k = 0; k < row->n_ops; k++)
        if (row->op[k].at == X86_AT_SI || row->op[k].at == X86_AT_DI)
            width = operand_bytes(&row->op[k], &c->dec, c->mode);
    if (row->attr & X86_A_REP) {
        count = rng_once_in(r, 8) ? rng_below(r, 600) : rng_below(r, 24);
        c->in.gpr[X86_RCX] = count;
        if (c->dec.asz == 2 && c->mode == ORC_64 && rng_once_in(r, 2))
            c->in.gpr[X86_RCX] |= rng_64(r) << 32;
        if (c->dec.asz == 1)
            c->in.gpr[X86_RCX] |= rng_64(r) << 16;
        if (!(c->dec.flags & (X86_I_REP | X86_I_REPNE)))
            count = 1;
    }
    uint64_t base = c->mode == ORC_64 && c->dec.seg == X86_FS   ? c->in.fs_base
                    : c->mode == ORC_64 && c->dec.seg == X86_GS ? c->in.gs_base
                                                                : 0;
    string_pointer(r, c, X86_RSI, count * width, base);
    string_pointer(r, c, X86_RDI, count * width, starts(row, "maskmov") ? base : 0);
    if (row->attr & X86_A_REP) {
        /* Long equal runs for CMPS and SCAS, overlapping copies for MOVS. */
        uint8_t run[ORC_PATCH_BYTES];
        unsigned n = count * width < 8 ? 8 : count * width;
        if (n > sizeof run)
            n = sizeof run;
        memset(run, (int)(c->in.gpr[X86_RAX] & 0xff), n);
        if (rng_once_in(r, 3))
            c->in.gpr[X86_RAX] = 0x0101010101010101 * (c->in.gpr[X86_RAX] & 0xff);
        run[rng_below(r, n)] ^= 1;
        if (rng_once_in(r, 2))
            orc_put(c, (uint32_t)c->in.gpr[X86_RSI] + (uint32_t)base - ORC_DATA, run, n);
        if (rng_once_in(r, 2))
            orc_put(c, (uint32_t)c->in.gpr[X86_RDI] - ORC_DATA, run, n);
        if (rng_once_in(r, 8))
            c->in.gpr[X86_RDI] = c->in.gpr[X86_RSI] + base + rng_below(r, 32) - 16;
    }
}

/* MASKMOVQ, MASKMOVDQU: the table does not show the operand at seg:rDI. */
static void masked_store(struct rng *r, struct orc_case *c)
{
    uint64_t base = c->mode != ORC_64      ? 0
                    : c->dec.seg == X86_FS ? c->in.fs_base
                    : c->dec.seg == X86_GS ? c->in.gs_base
                                           : 0;
    c->in.gpr[X86_RDI] = lin(orc_place(r, 16)) - base;
}

static void divide(struct rng *r, struct orc_case *c)
{
    uint64_t *ax = &c->in.gpr[X86_RAX], *dx = &c->in.gpr[X86_RDX];

    switch (rng_below(r, 4)) {
    case 0:
        break;
    case 1: /* zero-extended */
        *dx = 0;
        *ax &= c->dec.osz == 0 ? ~UINT64_C(0xff00) : ~UINT64_C(0);
        break;
    case 2: { /* sign-extended */
        unsigned bits = 8u << c->dec.osz;
        *dx = *ax >> (bits - 1) & 1 ? ~UINT64_C(0) : 0;
        if (bits == 8)
            *ax = (uint64_t)(int64_t)(int8_t)*ax;
        break;
    }
    default: /* small quotients */
        *dx &= 0xff;
        if (c->dec.osz == 0)
            *ax &= 0xfff;
    }
}

static uint16_t selector(struct rng *r)
{
    static const uint16_t likely[] = { 0,    1,    2,    3,    0x2b, 0x28,   0x29, 0x2a, 0x23, 0x33,
                                       0x30, 0x20, 0x10, 0x18, 0x08, 0x1b,   0x13, 0x38, 0x43, 0x53,
                                       0x63, 0x6b, 0x73, 0x83, 0x8b, 0xfff8, 0x07, 0x0f };
    return rng_once_in(r, 16) ? (uint16_t)rng_64(r)
                              : likely[rng_below(r, sizeof likely / sizeof *likely)];
}

/* ---- branches ---- */

/* A landing place in the code region, not inside the instruction itself. */
static uint64_t landing(struct rng *r, const struct orc_case *c)
{
    uint64_t t;

    do
        t = ORC_CODE + rng_below(r, ORC_CODE_SIZE);
    while (t - c->in.rip < 16);
    return t;
}

static uint16_t code_selector(struct rng *r, const struct orc_case *c)
{
    if (rng_once_in(r, 3))
        return rng_once_in(r, 2) ? selector(r) : rng_once_in(r, 2) ? ORC_CS32 : ORC_CS64;
    return c->in.sel[X86_CS];
}

/* An offset and a selector, each of @p size bytes: what RETF and IRET pop, and with a selector of
 * two bytes what far branches through memory load. */
static unsigned far_pointer(struct rng *r, const struct orc_case *c, uint8_t *out, unsigned size)
{
    uint64_t t = landing(r, c), s = code_selector(r, c);

    if (rng_once_in(r, 32))
        t = orc_integer(r);
    memcpy(out, &t, size);
    memcpy(out + size, &s, size);
    return 2 * size;
}

/* IRET: instruction pointer, CS, flags; in 64-bit mode always stack pointer and SS too. */
static void iret_frame(struct rng *r, struct orc_case *c, uint32_t sp)
{
    unsigned size = 1u << c->dec.osz, n;
    uint8_t f[40];
    uint64_t flags = rng_64(r) & ~(uint64_t)(X86_TF | X86_NT | X86_VM), stack = orc_integer(r);
    uint64_t ss = rng_once_in(r, 8) ? selector(r) : ORC_DS;

    /* With AC the rest of a misaligned frame raises #AC with an image without AC, which the kernel
     * takes for a split lock, and tries again for ever. */
    if (sp & 7)
        flags &= ~(uint64_t)X86_AC;
    n = far_pointer(r, c, f, size);
    memcpy(f + n, &flags, size);
    memcpy(f + n + size, &stack, size);
    memcpy(f + n + 2 * size, &ss, size);
    orc_put(c, sp, f, 5 * size);
}

static void relative_branch(struct rng *r, struct orc_case *c, const struct orc_layout *l)
{
    uint64_t next = c->in.rip + c->len, v;

    if (l->imm_len == 1) {
        int64_t d;
        do
            d = (int64_t)rng_below(r, 256) - 128;
        while (next + (uint64_t)d - c->in.rip < 16);
        v = (uint64_t)d;
    } else if (rng_once_in(r, 32)) {
        v = orc_integer(r);
        if (next + (uint64_t)(int64_t)(int32_t)v - c->in.rip < 16)
            v = 0x1000;
    } else {
        v = landing(r, c) - next;
    }
    for (unsigned k = 0; k < l->imm_len; k++)
        c->bytes[l->imm_at + k] = (uint8_t)(v >> (8 * k));
}

void orc_special_before(struct rng *r, const struct x86_row *row, struct orc_case *c,
                        const struct orc_layout *l)
{
    static const char *const stack[] = { "push",   "pop",   "call",   "ret",   "enter",
                                         "leave",  "pusha", "popa",   "pushf", "popf",
                                         "pushad", "popad", "pushfd", "popfd", "pushfq",
                                         "popfq",  "iret",  "retf",   "callf", NULL };
    uint64_t *g = c->in.gpr;

    if (one_of(row, stack) || rng_once_in(r, 3))
        g[X86_RSP] = lin(place_stack(r));
    if (is(row, "enter") || is(row, "leave"))
        g[X86_RBP] = lin(place_stack(r));
    if (is(row, "enter") && rng_once_in(r, 2)) {
        c->bytes[l->imm_at + 1] &= 7; /* a frame that fits */
        c->bytes[l->imm_at + 2] &= rng_once_in(r, 2) ? 0 : 0x27;
    }
    if (has_string_operand(row))
        string_operands(r, row, c);
    else if (strstr(row->name, "maskmovq") == row->name || strstr(row->name, "maskmovdqu"))
        masked_store(r, c);
    if (starts(row, "xlat"))
        g[X86_RBX] = lin(orc_place(r, 1)) - (g[X86_RAX] & 0xff);
    if (is(row, "div") || is(row, "idiv"))
        divide(r, c);
    if (starts(row, "loop") || starts(row, "jcxz") || starts(row, "jecxz") || starts(row, "jrcxz"))
        g[X86_RCX] = rng_once_in(r, 4) ? g[X86_RCX] : rng_below(r, 3);
    if (row->n_ops > 0 && row->op[0].cls == X86_C_REL)
        relative_branch(r, c, l);
    if (row->n_ops > 0 && row->op[0].cls == X86_C_FAR) {
        uint8_t p[16];
        (void)far_pointer(r, c, p, l->imm_len - 2u);
        memcpy(c->bytes + l->imm_at, p, l->imm_len);
    }
    if (is(row, "int") && c->bytes[l->imm_at] == 0x80)
        c->bytes[l->imm_at]++; /* a system call */
    if ((is(row, "bt") || is(row, "bts") || is(row, "btr") || is(row, "btc")) && row->n_ops > 1 &&
        row->op[1].cls == X86_C_GPR && !rng_once_in(r, 32))
        g[c->dec.src / 8] = (uint64_t)((int64_t)rng_below(r, 0x2000) - 0x1000);
    if (strstr(row->name, "pcmpestr")) {
        g[X86_RAX] = rng_once_in(r, 4) ? g[X86_RAX] : (uint64_t)((int64_t)rng_below(r, 40) - 20);
        g[X86_RDX] = rng_once_in(r, 4) ? g[X86_RDX] : (uint64_t)((int64_t)rng_below(r, 40) - 20);
    }
    if (starts(row, "xsave") || starts(row, "xrstor")) {
        g[X86_RAX] = rng_below(r, 8); /* x87, SSE, AVX: what the guest has */
        g[X86_RDX] = 0;
    }
    for (unsigned k = 0; k < row->n_ops; k++) {
        const struct x86_operand *op = &row->op[k];
        if (row->op[0].cls == X86_C_SEG && op->cls == X86_C_GPR && op->at == X86_AT_RM &&
            !(c->dec.flags & X86_I_MEM))
            g[c->dec.src / 8] = (g[c->dec.src / 8] & ~UINT64_C(0xffff)) | selector(r);
    }
    if (starts(row, "lar") || starts(row, "lsl") || starts(row, "verr") || starts(row, "verw"))
        if (!(c->dec.flags & X86_I_MEM)) {
            unsigned reg = (row->n_ops > 1 ? c->dec.src : c->dec.dst) / 8;
            g[reg] = (g[reg] & ~UINT64_C(0xffff)) | selector(r);
        }
}

bool orc_special_ok(const struct x86_row *row, const struct orc_case *c)
{
    const uint8_t ax = X86_RAX * 8, dx = X86_RDX * 8;

    /* EDX:EAX says which components; an address in it would ask for some the guest lacks. */
    if (starts(row, "xsave") || starts(row, "xrstor"))
        return c->dec.base != ax && c->dec.base != dx && c->dec.index != ax && c->dec.index != dx;
    return true;
}

/* ---- memory ---- */

/* FXSAVE image; XSAVE has the same first 512 bytes [SDM-1 §10.5.1]. */
static void fx_image(struct rng *r, const struct x86_row *row, uint8_t *p)
{
    struct orc_state s;
    struct orc_options o = { .unmasked = false };
    uint32_t mxcsr_mask = 0;

    orc_random_state(r, row, ORC_64, &o, &s);
    memset(p, 0, 512);
    memcpy(p, &s.fcw, 2);
    memcpy(p + 2, &s.fsw, 2);
    p[4] = s.ftw;
    memcpy(p + 6, &s.fop, 2);
    memcpy(p + 8, &s.fip, 8);
    memcpy(p + 16, &s.fdp, 8);
    memcpy(p + 24, &s.mxcsr, 4);
    memcpy(p + 28, &mxcsr_mask, 4);
    for (unsigned k = 0; k < 8; k++)
        memcpy(p + 32 + 16 * k, s.st[k], 10);
    for (unsigned k = 0; k < 16; k++)
        memcpy(p + 160 + 16 * k, s.vec[k], 16);
    if (rng_once_in(r, 10))
        p[27] = 1; /* a reserved bit of MXCSR: #GP */
}

static void state_image(struct rng *r, const struct x86_row *row, struct orc_case *c, uint32_t at)
{
    uint8_t p[832];

    fx_image(r, row, p);
    orc_data(r, row, p + 576, 256);
    memset(p + 512, 0, 64);
    p[512] = (uint8_t)rng_below(r, 8);
    if (rng_once_in(r, 20))
        p[512 + rng_below(r, 24)] |= (uint8_t)(1 << rng_below(r, 8)) & 0x1f;
    if (starts(row, "xrstor") && rng_once_in(r, 4) && vm__x86_have(orc_have, X86_FEAT_XSAVEC)) {
        p[520] = 7; /* compacted: XCOMP_BV */
        p[527] = 0x80;
    }
    orc_put(c, at, p, starts(row, "fx") ? 512 : 832);
}

/* An FNSTENV image, and for FRSTOR the registers behind it. */
static void x87_image(struct rng *r, const struct x86_row *row, struct orc_case *c, uint32_t at)
{
    uint8_t p[108];
    struct orc_state s;
    struct orc_options o = { .unmasked = true };
    unsigned w = c->dec.osz == 1 ? 2 : 4;

    orc_random_state(r, row, ORC_64, &o, &s);
    rng_fill(r, p, sizeof p);
    memcpy(p, &s.fcw, 2);
    memcpy(p + w, &s.fsw, 2);
    if (is(row, "frstor"))
        for (unsigned k = 0; k < 8; k++)
            memcpy(p + 7 * w + 10 * k, s.st[k], 10);
    orc_put(c, at, p, is(row, "frstor") ? 7 * w + 80 : 7 * w);
}

static void branch_memory(struct rng *r, struct orc_case *c, uint32_t at)
{
    if (rng_once_in(r, 32))
        return;
    put64(c, at, landing(r, c));
}

void orc_special_after(struct rng *r, const struct x86_row *row, struct orc_case *c, uint32_t at)
{
    uint64_t *g = c->in.gpr;
    bool mem = at != ~0u;
    uint32_t sp = (uint32_t)g[X86_RSP] - ORC_DATA;

    if (is(row, "ret") && !rng_once_in(r, 16))
        put64(c, sp, landing(r, c));
    if (is(row, "retf")) {
        uint8_t p[16];
        orc_put(c, sp, p, far_pointer(r, c, p, 1u << c->dec.osz));
    }
    if (starts(row, "iret"))
        iret_frame(r, c, sp);
    if (mem && row->n_ops > 0 && row->op[0].size == X86_SZ_P && (row->attr & X86_A_BRANCH)) {
        uint8_t p[16];
        (void)far_pointer(r, c, p, 1u << c->dec.osz);
        orc_put(c, at, p, (1u << c->dec.osz) + 2);
    } else if ((is(row, "jmp") || is(row, "call")) && row->n_ops > 0 &&
               row->op[0].at == X86_AT_RM) {
        if (mem)
            branch_memory(r, c, at);
        else if (!(c->dec.flags & X86_I_MEM) && !rng_once_in(r, 16))
            g[c->dec.dst / 8] = landing(r, c);
    }
    if (starts(row, "popf"))
        put64(c, sp, rng_64(r) & ~(uint64_t)(X86_TF | X86_NT));
    if (is(row, "pop") && row->n_ops > 0 && row->op[0].cls == X86_C_SEG)
        put64(c, sp, selector(r));
    if (is(row, "mov") && row->n_ops > 0 && row->op[0].cls == X86_C_SEG && mem) {
        uint16_t s = selector(r);
        orc_put(c, at, &s, 2);
    }
    if (mem &&
        (starts(row, "lar") || starts(row, "lsl") || starts(row, "verr") || starts(row, "verw"))) {
        uint16_t s = selector(r);
        orc_put(c, at, &s, 2);
    }
    if (mem &&
        (is(row, "lds") || is(row, "les") || is(row, "lfs") || is(row, "lgs") || is(row, "lss"))) {
        uint16_t s = selector(r);
        orc_put(c, at + (1u << c->dec.osz), &s, 2);
    }
    if (is(row, "cmpxchg") && rng_once_in(r, 2)) {
        if (mem)
            put64(c, at, g[X86_RAX]);
        else if (!(c->dec.flags & X86_I_MEM) && c->dec.dst % 8 == 0)
            g[c->dec.dst / 8] = g[X86_RAX];
    }
    if ((is(row, "cmpxchg8b") || is(row, "cmpxchg16b")) && mem && rng_once_in(r, 2)) {
        uint64_t v[2] = { g[X86_RAX], g[X86_RDX] };
        if (is(row, "cmpxchg8b"))
            v[0] = (uint32_t)v[0] | v[1] << 32;
        orc_put(c, at, v, is(row, "cmpxchg8b") ? 8 : 16);
    }
    if (mem && strstr(row->name, "ldmxcsr")) {
        uint32_t v = (uint32_t)rng_64(r) & (rng_once_in(r, 8) ? 0x1ffff : 0xffff);
        orc_put(c, at, &v, 4);
    }
    if (mem && (starts(row, "fxrstor") || starts(row, "xrstor") || starts(row, "xsave")))
        state_image(r, row, c, at);
    if (mem && (is(row, "fldenv") || is(row, "frstor")))
        x87_image(r, row, c, at);
    if (mem && is(row, "bound") && rng_once_in(r, 2)) {
        int32_t lo = -(int32_t)rng_below(r, 0x4000), hi = (int32_t)rng_below(r, 0x4000);
        uint32_t v[2] = { (uint32_t)lo, (uint32_t)hi };
        uint16_t h[2] = { (uint16_t)lo, (uint16_t)hi };
        if (c->dec.osz == 1)
            orc_put(c, at, h, 4);
        else
            orc_put(c, at, v, 8);
    }
}
