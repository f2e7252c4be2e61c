/* SPDX-License-Identifier: MIT */
/**
 * @file native.c
 * Instructions that the host does itself: the guest's, encoded anew for where its operands are.
 *
 * Only rows that the table calls `native` come here. Registers are the host's of the same number,
 * but for RSP (R11) and R8 to R11, which live in memory: they take part as memory operand where
 * that means the same, and through a scratch register otherwise. A memory operand becomes the host
 * address that the check found. Undefined flags are thereby those of the host.
 */
#include "cpu/jit/translate.h"

/* Operands by where they are encoded; -1: none. */
struct plan {
    int reg, rm, vvvv, opcode; /* index into row->op */
    unsigned size;             /* of the memory operand */
    unsigned align;
    bool mem, write, high; /* high: AH, CH, DH or BH takes part */
    bool direct;           /* T0 is free, though there is a memory operand */
    struct emit_mem at;
    struct emit_op op;
};

/* Where an operand is while the instruction runs. */
struct place {
    int host; /* register, or H_NONE: memory, as a guest register's slot */
    int temp; /* scratch register that stands for it, or H_NONE */
    unsigned guest;
};

static uint8_t number(const struct x86_insn *i, int k)
{
    return k == 0 ? i->dst : k == 1 ? i->src : i->src2;
}

unsigned vm__jit_bytes(const struct x86_insn *i, const struct x86_operand *o, bool is64)
{
    bool l = i->flags & X86_I_L;

    switch (o->size) {
    case X86_SZ_B:
        return 1;
    case X86_SZ_W:
        return 2;
    case X86_SZ_D:
        return 4;
    case X86_SZ_Q:
        return 8;
    case X86_SZ_V:
        return 1u << i->osz;
    case X86_SZ_Z:
        return i->osz == 1 ? 2 : 4;
    case X86_SZ_Y:
        return is64 && (i->flags & X86_I_W) ? 8 : 4;
    case X86_SZ_O:
        return 16;
    case X86_SZ_X:
        return l ? 32 : 16;
    case X86_SZ_QQ:
        return 32;
    case X86_SZ_H:
        return l ? 16 : 8;
    case X86_SZ_F:
        return l ? 8 : 4;
    case X86_SZ_E:
        return l ? 4 : 2;
    default:
        return 0;
    }
}

static unsigned bytes(const struct jit_tr *t, const struct x86_operand *o)
{
    return vm__jit_bytes(t->i, o, t->is64);
}

/* ---- what to emit ---- */

static bool known_operands(const struct jit_tr *t, struct plan *p)
{
    const struct x86_row *r = t->row;

    for (int k = 0; k < r->n_ops; k++) {
        const struct x86_operand *o = &r->op[k];
        if (o->cls != X86_C_GPR && o->cls != X86_C_VEC && o->cls != X86_C_IMM &&
            o->cls != X86_C_MEM)
            return false;
        switch (o->at) {
        case X86_AT_REG:
            p->reg = k;
            break;
        case X86_AT_RM:
            p->rm = k;
            break;
        case X86_AT_VVVV:
            p->vvvv = k;
            break;
        case X86_AT_OPCODE:
            p->opcode = k;
            break;
        case X86_AT_IMM:
        case X86_AT_IS4:
        case X86_AT_FIXED:
            break;
        default:
            return false;
        }
        if (o->cls == X86_C_GPR && o->size == X86_SZ_B && o->at != X86_AT_FIXED && k < 3 &&
            !(o->at == X86_AT_RM && (t->i->flags & X86_I_MEM)) && (number(t->i, k) & 1))
            p->high = true;
    }
    return true;
}

static bool memory_operand(const struct jit_tr *t, struct plan *p)
{
    const struct x86_row *r = t->row;
    const struct x86_operand *o = p->rm >= 0 ? &r->op[p->rm] : NULL;
    bool bit =
        r->enc == X86_ENC_LEGACY && r->map == 1 && (r->opcode & 0xe7) == 0xa3; /* BT… Ev, Gv */
    bool xchg = r->enc == X86_ENC_LEGACY && r->map == 0 && (r->opcode & 0xfe) == 0x86;

    p->mem = t->i->flags & X86_I_MEM;
    if (!p->mem)
        return true;
    if (o == NULL || bit || p->high)
        return false; /* BT with a register reaches beyond its operand */
    p->size = bytes(t, o);
    p->write = o->acc & X86_ACC_W;
    if ((t->i->flags & X86_I_LOCK) || xchg || (r->attr & X86_A_ALIGN) ||
        (p->size == 16 && o->cls == X86_C_MEM && (r->attr & X86_A_LOCK)))
        p->align = p->size;
    return p->size != 0 && o->acc != 0;
}

static void encoding(const struct jit_tr *t, struct plan *p)
{
    static const uint8_t prefixes[] = {
        [X86_PP_66] = 0x66, [X86_PP_F3] = 0xf3, [X86_PP_F2] = 0xf2, [X86_PP_ANY] = 0
    };
    const struct x86_row *r = t->row;
    const struct x86_insn *i = t->i;
    bool sized =
        r->enc == X86_ENC_LEGACY && r->n_ops == 0 && (r->opcode & 0xfe) == 0x98; /* CBW, CWD */

    for (unsigned k = 0; k < r->n_ops; k++)
        sized |= r->op[k].size == X86_SZ_V || r->op[k].size == X86_SZ_Z;
    p->op = (struct emit_op) {
        .map = r->map,
        .opcode = r->opcode,
        .prefix = prefixes[r->pp],
        .op16 = r->enc == X86_ENC_LEGACY && r->pp != X86_PP_66 && sized && i->osz == 1,
        .lock = i->flags & X86_I_LOCK,
        .w = t->is64 ? (i->flags & X86_I_W) != 0 : r->enc == X86_ENC_VEX && r->w == 1,
        .vex = r->enc == X86_ENC_VEX,
        .l = i->flags & X86_I_L,
    };
}

static bool make_plan(const struct jit_tr *t, struct plan *p)
{
    const struct x86_row *r = t->row;
    const uint32_t no = X86_A_BRANCH | X86_A_END | X86_A_IO | X86_A_CPL0 | X86_A_REP | X86_A_X87 |
                        X86_A_MMX | X86_A_D64 | X86_A_F64 | X86_A_VSIB;

    *p = (struct plan) { .reg = -1, .rm = -1, .vvvv = -1, .opcode = -1 };
    if (!t->is64 && r->enc == X86_ENC_VEX && r->mod == X86_MOD_NONE)
        return false; /* VZEROALL: there are only eight registers */
    if ((r->attr & X86_A_AVX) && !t->k->avx)
        return false;
    if (r->jit != X86_JIT_NATIVE || (r->attr & no) || r->rm >= 0 ||
        (r->feature != 0 && !vm__x86_have(t->k->host, (enum x86_feature)r->feature)))
        return false;
    encoding(t, p);
    return known_operands(t, p) && memory_operand(t, p);
}

/* ---- registers ---- */

/* Does a guest register's slot in memory mean the same as the register itself? Not where 32 bits
 * are written (the upper half is cleared), nor where memory has a meaning of its own. */
static bool slot_will_do(const struct jit_tr *t, const struct x86_operand *o)
{
    const struct x86_row *r = t->row;

    if (r->enc == X86_ENC_LEGACY &&
        ((r->map == 1 && ((r->opcode & 0xe7) == 0xa3 || (r->opcode & 0xfe) == 0xc0)) ||
         (r->map == 0 && (r->opcode & 0xfe) == 0x86)))
        return false;       /* BT…; XADD and XCHG, whose other register may be the same */
    if (o->acc & X86_ACC_W) /* vector instructions widen what they write to a register */
        return bytes(t, o) != 4 && !(r->attr & (X86_A_SSE | X86_A_AVX));
    return bytes(t, o) != 0;
}

/* Find a place for operand @p k; false when scratch registers run out. */
static bool place(struct jit_tr *t, struct plan *p, int k, uint8_t *temps, struct place *out)
{
    const struct x86_operand *o = k >= 0 ? &t->row->op[k] : NULL;
    uint8_t n;

    *out = (struct place) { .host = H_NONE, .temp = H_NONE };
    if (o == NULL || (o->at == X86_AT_RM && p->mem))
        return true;
    n = number(t->i, k);
    if (o->cls == X86_C_VEC) {
        out->host = n;
        return true;
    }
    out->guest = n / 8;
    out->host = jit_home(n / 8);
    if (out->host != H_NONE) {
        if (n & 1)
            out->host += 4; /* AH … */
        else if (o->size == X86_SZ_B && out->host >= 4 && out->host < 8)
            p->op.rex = true;
        return true;
    }
    if (o->at == X86_AT_RM && slot_will_do(t, o))
        return true;
    if (*temps == 0)
        return false;
    out->temp = *temps == 2 || p->direct ? H_T0 : H_T1;
    out->host = out->temp;
    --*temps;
    return true;
}

static void load_place(struct jit_tr *t, int k, const struct place *at)
{
    if (k < 0 || at->temp == H_NONE)
        return;
    const struct x86_operand *o = &t->row->op[k];
    if ((o->acc & X86_ACC_R) || bytes(t, o) < 4)
        emit_load(t->hot, true, at->temp, jit_gpr(at->guest));
}

static void store_place(struct jit_tr *t, int k, const struct place *at)
{
    if (k >= 0 && at->temp != H_NONE && (t->row->op[k].acc & X86_ACC_W))
        emit_store(t->hot, true, jit_gpr(at->guest), at->temp);
}

static bool is4(const struct x86_row *r)
{
    return r->n_ops > 0 && r->op[r->n_ops - 1].at == X86_AT_IS4;
}

static void immediate(struct jit_tr *t)
{
    const struct x86_insn *i = t->i;

    switch (t->row->imm) {
    case X86_IMM_NONE:
        return;
    case X86_IMM_8: /* may name a vector register in its upper bits [SDM-2A §2.3.7] */
        emit_8(t->hot, (unsigned)i->imm &
                           (!t->is64 && t->row->enc == X86_ENC_VEX && is4(t->row) ? 0x7f : 0xff));
        return;
    case X86_IMM_16:
        emit_16(t->hot, (uint16_t)i->imm);
        return;
    case X86_IMM_Z:
        if (i->osz == 1)
            emit_16(t->hot, (uint16_t)i->imm);
        else
            emit_32(t->hot, (uint32_t)i->imm);
        return;
    default:
        emit_bytes(t->hot, &i->imm, 1u << i->osz);
        return; /* X86_IMM_V */
    }
}

/* ---- emission ---- */

static void emit_it(struct jit_tr *t, struct plan *p, const struct place at[4], bool folded)
{
    struct emit *e = t->hot;
    int reg = t->row->ext >= 0 ? t->row->ext : at[0].host;

    if (t->row->enc == X86_ENC_VEX)
        p->op.vvvv = (uint8_t)(p->vvvv >= 0 ? at[2].host : 0);
    if (p->opcode >= 0) {
        p->op.opcode &= 0xf8;
        emit_opreg(e, &p->op, at[3].host);
    } else if (t->row->mod == X86_MOD_NONE) {
        if (p->op.vex)
            emit_vex(e, &p->op, 0, 0, 0);
        else
            emit_legacy(e, &p->op, 0, 0, 0);
    } else if (p->mem) {
        struct emit_mem m = folded ? emit_at(H_T0, 0) : p->at;
        emit_insn(e, &p->op, reg, 0, &m);
    } else if (p->rm >= 0 && at[1].host == H_NONE) {
        struct emit_mem m = jit_gpr(at[1].guest);
        emit_insn(e, &p->op, reg, 0, &m);
    } else {
        emit_insn(e, &p->op, reg, at[1].host, NULL);
    }
    immediate(t);
}

static bool needs_rex(const struct plan *p, const struct place at[4])
{
    bool rex = p->op.rex || p->op.w;

    for (unsigned k = 0; k < 4; k++)
        rex |= at[k].host >= 8 || at[k].temp != H_NONE;
    return rex || (p->rm >= 0 && at[1].host == H_NONE);
}

static bool general(struct jit_tr *t)
{
    struct plan p;
    struct place at[4]; /* reg, rm, vvvv, opcode */
    const struct x86_row *r = t->row;

    if (!make_plan(t, &p))
        return false;
    uint8_t temps = p.mem ? 1 : 2;
    p.direct = p.mem && vm__jit_direct(t);
    if (!place(t, &p, p.reg, &temps, &at[0]) || !place(t, &p, p.rm, &temps, &at[1]) ||
        !place(t, &p, p.vvvv, &temps, &at[2]) || !place(t, &p, p.opcode, &temps, &at[3]) ||
        (p.high && needs_rex(&p, at)))
        return false;
    bool wants_flags = r->f_read != 0 || (r->f_write != 0 && t->pass != 0);
    bool fold = p.mem && !p.direct && (temps == 0 || (wants_flags && (t->before[t->n] != 0)));
    vm__jit_want_vec(t);
    if (p.mem) {
        vm__jit_clobber(t);
        p.at = vm__jit_operand(t, p.size, p.write, p.align, JIT_COLD_CALL);
        if (fold)
            emit_lea(t->hot, true, H_T0, p.at);
    }
    if (wants_flags)
        vm__jit_want_flags(t, p.mem && !p.direct ? H_T1 : H_T0);
    load_place(t, p.reg, &at[0]);
    load_place(t, p.rm, &at[1]);
    load_place(t, p.vvvv, &at[2]);
    load_place(t, p.opcode, &at[3]);
    emit_it(t, &p, at, fold);
    store_place(t, p.vvvv, &at[2]);
    store_place(t, p.reg, &at[0]);
    store_place(t, p.rm, &at[1]);
    store_place(t, p.opcode, &at[3]);
    if (r->f_write != 0) {
        t->host = true;
        t->saved = false;
    }
    return true;
}

/* ---- those with an encoding of their own here ---- */

static void store_sized(struct jit_tr *t, unsigned guest, int from)
{
    int to = jit_home(guest);
    struct emit_mem slot = jit_gpr(guest);

    if (t->i->osz == 1) {
        struct emit_op o = { .opcode = OP_STORE, .op16 = true };
        emit_insn(t->hot, &o, from, to, to == H_NONE ? &slot : NULL);
        return;
    }
    if (t->i->osz == 2)
        emit_mov(t->hot, false, from, from); /* upper half */
    jit_write(t, guest, from);
}

static bool lea(struct jit_tr *t)
{
    const struct x86_insn *i = t->i;
    unsigned to = i->dst / 8, base = i->base / 8, index = i->index / 8;
    bool simple = i->osz >= 2 && i->asz >= 2 && jit_home(to) != H_NONE && base != X86_NONE &&
                  jit_home(base) != H_NONE && (index == X86_NONE || jit_home(index) != H_NONE);

    if (simple) {
        struct emit_mem m = { .base = (int8_t)jit_home(base),
                              .index = (int8_t)(index == X86_NONE ? H_NONE : jit_home(index)),
                              .scale = i->scale,
                              .disp = (int32_t)i->disp };
        emit_lea(t->hot, i->osz == 3 && i->asz == 3, jit_home(to), m);
        return true;
    }
    vm__jit_ea(t);
    store_sized(t, to, H_T0);
    return true;
}

static bool mov_const(struct jit_tr *t)
{
    uint64_t v = t->i->osz == 3 ? t->i->imm : (uint32_t)t->i->imm;
    unsigned to = t->i->dst / 8;
    int home = jit_home(to);

    if (t->i->osz < 2)
        return general(t);
    if (home != H_NONE) {
        emit_const(t->hot, home, v);
    } else if ((int64_t)v == (int32_t)v) {
        emit_store_imm(t->hot, true, jit_gpr(to), (int32_t)v);
    } else {
        emit_const(t->hot, H_T0, v);
        jit_write(t, to, H_T0);
    }
    return true;
}

/* MOV with an absolute address: AL or rAX and memory. */
static bool moffs(struct jit_tr *t)
{
    const struct x86_insn *i = t->i;
    bool store = t->row->opcode & 2;
    unsigned size = 1u << i->osz;
    struct emit_op o = { .opcode = (uint8_t)((store ? 0x88 : 0x8a) | (i->osz != 0)),
                         .op16 = i->osz == 1,
                         .w = i->osz == 3 };

    vm__jit_clobber(t);
    struct emit_mem m = vm__jit_operand(t, size, store, 0, JIT_COLD_CALL);
    emit_insn(t->hot, &o, H_RAX, 0, &m);
    return true;
}

/* One-byte INC and DEC of 32-bit code. */
static bool inc_dec(struct jit_tr *t)
{
    struct emit_op o = { .opcode = 0xff, .op16 = t->i->osz == 1 };

    if (t->pass != 0)
        vm__jit_want_flags(t, H_T0);
    emit_insn(t->hot, &o, t->row->opcode >> 3 & 1, jit_home(t->i->dst / 8), NULL);
    t->host = true;
    t->saved = false;
    return true;
}

bool vm__jit_native(struct jit_tr *t)
{
    const struct x86_row *r = t->row;

    if (r->jit != X86_JIT_NATIVE)
        return false;
    if (r->enc == X86_ENC_LEGACY && r->map == 0) {
        if (r->opcode == 0x8d)
            return lea(t);
        if ((r->opcode & 0xf8) == 0xb8)
            return mov_const(t);
        if ((r->opcode & 0xfc) == 0xa0)
            return moffs(t);
        if ((r->opcode & 0xf0) == 0x40)
            return inc_dec(t);
    }
    return general(t);
}

/* ---- vectors ---- */

void vm__jit_want_vec(struct jit_tr *t)
{
    uint8_t level = t->row->attr & X86_A_AVX   ? JIT_VEC_YMM
                    : t->row->attr & X86_A_SSE ? JIT_VEC_XMM
                                               : JIT_VEC_NONE;

    if (t->vec >= level)
        return;
    vm__jit_clobber(t);
    emit_cmp8_mi(t->hot, JIT_CPU(jit.vec), level);
    vm__jit_cold(t, emit_jcc(t->hot, CC_B), JIT_COLD_VEC,
                 t->n | (uint32_t)level << JIT_CALL_VEC_SHIFT);
    t->cold[t->n_cold - 1].back = emit_here(t->hot);
    t->vec = level;
}
