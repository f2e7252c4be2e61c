/* SPDX-License-Identifier: MIT */
/**
 * @file window.c
 * Memory accesses that need no look-up: a place in the code mostly meets one page.
 *
 * A window (cpu/vcpu.h) is a soft TLB entry at a fixed place: comparing with it takes no index, and
 * the access need not wait for the comparison, because what is added to the address is loaded from
 * a constant place. When the window misses, the soft TLB is asked out of line and the window moved;
 * only when that fails too the handler does the instruction. All stack accesses share two windows.
 *
 * Accesses of a block through the same, unchanged register are a group: the first one compares the
 * span of all, the others only add. That holds until C runs: so behind a handler the block goes on
 * in another translation that begins there, with nothing taken for granted.
 *
 * Where a window misses again and again at short distance (x86_jit_cpu.scattered), the block is
 * translated anew with an ordinary look-up for that instruction.
 */
#include "cpu/jit/translate.h"

enum { SPAN = 512, STACK_WINDOWS = 2, MAX_AGAIN = 24 };
_Static_assert(X86_JIT_WINDOWS % 2 == 0 && STACK_WINDOWS % 2 == 0, "even: read, odd: write");

/* ---- which registers an instruction changes ---- */

enum { ALL_GPRS = 0xffff };

static unsigned bit(unsigned guest)
{
    return 1u << guest;
}

/* One-byte opcodes whose operands in the table are all they change. */
static bool plain_opcode(unsigned op)
{
    if (op < 0x40)
        return (op & 7) < 6;
    return op < 0x58 || op == 0x63 || (op >= 0x68 && op <= 0x6b) || (op >= 0x80 && op <= 0x8b) ||
           op == 0x8d || (op >= 0x90 && op <= 0x97) || op == 0xa8 || op == 0xa9 ||
           (op >= 0xb0 && op <= 0xc1) || op == 0xc6 || op == 0xc7 || (op >= 0xd0 && op <= 0xd3) ||
           op == 0xf5 || op == 0xf8 || op == 0xf9 || op == 0xfe;
}

static unsigned by_operands(const struct x86_insn *i, const struct x86_row *r)
{
    unsigned mask = 0;

    for (unsigned k = 0; k < r->n_ops; k++) {
        const struct x86_operand *o = &r->op[k];
        if (o->cls != X86_C_GPR || !(o->acc & X86_ACC_W) ||
            (o->at == X86_AT_RM && (i->flags & X86_I_MEM)))
            continue;
        if (o->at == X86_AT_FIXED)
            mask |= bit(X86_RAX) | bit(X86_RCX) | bit(X86_RDX);
        else if (k < 3)
            mask |= bit((k == 0 ? i->dst : k == 1 ? i->src : i->src2) / 8);
        else
            return ALL_GPRS;
    }
    return mask;
}

static unsigned changes(const struct x86_insn *i, const struct x86_row *r)
{
    const unsigned acc = bit(X86_RAX) | bit(X86_RDX);

    if (r->jit == X86_JIT_BRANCH)
        return 0; /* the last of its block */
    if (r->attr & (X86_A_REP | X86_A_CPL0 | X86_A_IO | X86_A_END | X86_A_VSIB))
        return ALL_GPRS;
    if (r->enc == X86_ENC_VEX || r->map >= 2)
        return r->map == 3 && (r->opcode & 0xfc) == 0x60 ? ALL_GPRS : by_operands(i, r);
    if (r->map == 1) {
        if ((r->opcode & 0xfe) == 0xb0) /* CMPXCHG */
            return by_operands(i, r) | bit(X86_RAX);
        return r->jit == X86_JIT_NATIVE && r->opcode != 0xc7 ? by_operands(i, r) : ALL_GPRS;
    }
    if (plain_opcode(r->opcode))
        return by_operands(i, r);
    switch (r->opcode) {
    case 0x58 ... 0x5f:
        return bit(i->dst / 8);
    case 0x98:
    case 0x99:
        return acc;
    case 0xf6:
    case 0xf7:
        return r->ext >= 4 ? acc : by_operands(i, r);
    case 0xff:
        return r->ext < 2 || r->ext == 6 ? by_operands(i, r) : ALL_GPRS;
    default:
        return ALL_GPRS;
    }
}

/* ---- accesses ---- */

/* What walks over the block: values of registers, as a version and how far it was moved since. */
struct walk {
    uint8_t version[X86_NONE + 1];
    int64_t moved[X86_NONE + 1];
    bool is64, flat;
    unsigned word; /* bytes of a push */
};

static void add_ref(struct jit_ref *f, const struct walk *w, unsigned base, unsigned seg,
                    int64_t disp, unsigned size, bool write)
{
    *f = (struct jit_ref) { .ok = true,
                            .base = (uint8_t)base,
                            .version = w->version[base],
                            .seg = w->is64 && (seg == X86_FS || seg == X86_GS) ? (uint8_t)seg : 0,
                            .write = write,
                            .size = (uint8_t)size,
                            .disp = disp + w->moved[base] };
}

/* The operand at ModRM.rm, if it is [register + displacement]. */
static bool operand_ref(struct jit_ref *f, const struct walk *w, const struct x86_insn *i,
                        const struct x86_row *r)
{
    unsigned seg_ok = w->is64 || (i->seg != X86_FS && i->seg != X86_GS && i->seg != X86_CS);
    const struct x86_operand *o = NULL;
    unsigned size;

    for (unsigned k = 0; k < r->n_ops; k++)
        if (r->op[k].at == X86_AT_RM)
            o = &r->op[k];
    if (o == NULL || o->acc == 0 || !seg_ok || (r->attr & (X86_A_VSIB | X86_A_ALIGN)) ||
        (i->flags & X86_I_LOCK) || i->index != X86_NONE * 8 || i->asz != (w->is64 ? 3 : 2))
        return false;
    size = vm__jit_bytes(i, o, w->is64);
    if (size == 0 || size > 32)
        return false;
    add_ref(f, w, i->base / 8, i->seg, i->disp, size, o->acc & X86_ACC_W);
    return true;
}

static void stack_ref(struct jit_ref *f, const struct walk *w, const struct x86_insn *i,
                      const struct x86_row *r)
{
    if (r->enc != X86_ENC_LEGACY || r->map != 0)
        return;
    switch (r->opcode) {
    case 0x50 ... 0x57:
    case 0x68:
    case 0x6a:
    case 0xe8:
        add_ref(f, w, X86_RSP, X86_SS, -(int64_t)w->word, w->word, true);
        break;
    case 0xff:
        if (!(i->flags & X86_I_MEM) && (r->ext == 2 || r->ext == 6))
            add_ref(f, w, X86_RSP, X86_SS, -(int64_t)w->word, w->word, true);
        break;
    case 0x58 ... 0x5f:
    case 0xc2:
    case 0xc3:
        add_ref(f, w, X86_RSP, X86_SS, 0, w->word, false);
        break;
    case 0xc9:
        add_ref(f, w, X86_RBP, X86_SS, 0, w->word, false);
        break;
    default:
        break;
    }
}

static unsigned full_size(const struct walk *w)
{
    return w->is64 ? 3 : 2;
}

/* Instructions that move a register by a constant leave it known. */
static bool is_move(const struct walk *w, const struct x86_insn *i, const struct x86_row *r,
                    unsigned *guest, int64_t *by)
{
    if (r->enc != X86_ENC_LEGACY || r->map != 0 || i->osz != full_size(w))
        return false;
    *guest = X86_RSP;
    if ((r->opcode >= 0x50 && r->opcode <= 0x57) || r->opcode == 0x68 || r->opcode == 0x6a) {
        *by = -(int64_t)w->word;
        return true;
    }
    if (r->opcode == 0xff && r->ext == 6) {
        *by = -(int64_t)w->word;
        return true;
    }
    *guest = i->dst / 8;
    if ((r->opcode == 0x81 || r->opcode == 0x83) && (r->ext == 0 || r->ext == 5) &&
        !(i->flags & X86_I_MEM)) {
        *by = r->ext == 0 ? (int64_t)i->imm : -(int64_t)i->imm;
        return true;
    }
    if (r->opcode == 0x8d && i->base == i->dst && i->index == X86_NONE * 8 &&
        i->asz == full_size(w)) {
        *by = i->disp;
        return true;
    }
    return false;
}

static void walk_on(struct walk *w, const struct x86_insn *i, const struct x86_row *r)
{
    unsigned guest = 0, mask;
    int64_t by = 0;
    bool pop = r->enc == X86_ENC_LEGACY && r->map == 0 && (r->opcode & 0xf8) == 0x58 &&
               i->osz == full_size(w);

    if (is_move(w, i, r, &guest, &by)) {
        w->moved[guest] += by;
        return;
    }
    mask = changes(i, r);
    if (r->enc == X86_ENC_LEGACY && r->map == 0 &&
        ((r->opcode & 0xf0) == 0x50 || r->opcode == 0x68 || r->opcode == 0x6a ||
         (r->opcode == 0xff && r->ext == 6))) {
        if (pop)
            w->moved[X86_RSP] += w->word;
        else
            mask |= bit(X86_RSP);
    }
    for (unsigned g = 0; g < X86_NONE; g++)
        if (mask & bit(g)) {
            w->version[g]++;
            w->moved[g] = 0;
        }
}

void vm__jit_refs(struct jit_tr *t)
{
    struct walk w = { .is64 = t->is64 };

    w.flat = t->is64 || (t->b->mode & X86_MODE_FLAT);
    w.word = t->is64 ? 8 : 4;
    memset(t->ref, 0, t->b->n * sizeof t->ref[0]);
    if (!w.flat)
        return;
    bool stack = t->is64 || (t->b->mode & X86_MODE_STACK) >> X86_MODE_STACK_SHIFT == 2;
    for (uint32_t n = 0; n < t->b->n; n++) {
        const struct x86_insn *i = &t->b->insns[n];
        const struct x86_row *r = &vm__x86_rows[i->row];

        if (!(i->flags & X86_I_MEM) || !operand_ref(&t->ref[n], &w, i, r))
            if (stack && i->osz == full_size(&w) && !(i->flags & X86_I_MEM))
                stack_ref(&t->ref[n], &w, i, r);
        walk_on(&w, i, r);
    }
}

/* ---- groups ---- */

static bool is_scattered(const struct jit_tr *t, uint32_t n)
{
    return t->b->scattered >> n & 1;
}

static bool same(const struct jit_ref *a, const struct jit_ref *b)
{
    return b->ok && a->base == b->base && a->version == b->version && a->seg == b->seg;
}

static struct jit_group *covering(struct jit_tr *t, const struct jit_ref *f)
{
    for (unsigned g = 0; g < t->n_groups; g++) {
        struct jit_group *p = &t->group[g];
        if (p->live && same(f, &p->ref) && f->disp >= p->lo && f->disp + f->size <= p->hi &&
            (p->write || !f->write))
            return p;
    }
    return NULL;
}

static bool slot_is_live(const struct jit_tr *t, unsigned slot)
{
    for (unsigned g = 0; g < t->n_groups; g++)
        if (t->group[g].live && t->group[g].slot == slot)
            return true;
    return false;
}

/* A window that no group of this block relies on. Places share windows: so the even ones are for
 * reading and the odd ones for writing, or a write would pass where only a read was allowed. */
static unsigned new_slot(struct jit_tr *t, const struct jit_ref *f, bool write)
{
    unsigned slot = write;

    if (f != NULL && f->base == X86_RSP && f->seg == 0 && !slot_is_live(t, slot))
        return slot;
    do
        slot = STACK_WINDOWS + write +
               2 * (t->k->next_window++ % ((X86_JIT_WINDOWS - STACK_WINDOWS) / 2));
    while (slot_is_live(t, slot));
    return slot;
}

/* The group of instruction t->n's access and those that follow it. */
static struct jit_group new_group(struct jit_tr *t, const struct jit_ref *f)
{
    struct jit_group g = { .ref = *f, .lo = f->disp, .hi = f->disp + f->size, .write = f->write };

    g.last = t->n;
    for (uint32_t n = t->n + 1; n < t->b->n && t->n_groups < JIT_MAX_GROUPS; n++) {
        const struct jit_ref *o = &t->ref[n];
        if (!same(f, o) || is_scattered(t, n))
            continue;
        int64_t lo = o->disp < g.lo ? o->disp : g.lo,
                hi = o->disp + o->size > g.hi ? o->disp + o->size : g.hi;
        if (hi - lo > SPAN)
            continue;
        g.lo = lo;
        g.hi = hi;
        g.write |= o->write;
        g.last = n;
    }
    g.slot = (uint16_t)new_slot(t, f, g.write);
    return g;
}

void vm__jit_forget_groups(struct jit_tr *t)
{
    for (unsigned g = 0; g < t->n_groups; g++)
        t->group[g].live = false;
}

bool vm__jit_relied_on(const struct jit_tr *t)
{
    for (unsigned g = 0; g < t->n_groups; g++)
        if (t->group[g].live && t->group[g].last > t->n)
            return true;
    return false;
}

/* ---- the comparison ---- */

static struct emit_mem window_at(const struct jit_tr *t, unsigned slot, size_t field)
{
    return emit_at(
        H_CPU,
        (int32_t)(offsetof(struct vcpu, jit.win) +
                  (t->code->tlb * X86_JIT_WINDOWS + slot) * sizeof(struct x86_jit_window) + field));
}
#define WINDOW(t, slot, field) window_at(t, slot, offsetof(struct x86_jit_window, field))

bool vm__jit_has_window(const struct jit_tr *t)
{
    return !is_scattered(t, t->n) && t->k->windows;
}

static bool fits(int64_t v)
{
    return v == (int32_t)v;
}

struct emit_mem vm__jit_window(struct jit_tr *t, const struct jit_access *a, bool use_ref)
{
    struct emit *e = t->hot;
    const struct jit_ref *f = &t->ref[t->n];
    struct emit_mem result = a->direct ? a->ea : emit_at(H_T0, 0);
    struct jit_group g = { .lo = 0, .hi = a->size, .write = a->write, .last = t->n };
    int64_t lower = 0;

    result.index = H_T1;
    use_ref = use_ref && f->ok && f->size == a->size && f->write == a->write && a->align <= 1;
    if (use_ref) {
        const struct jit_group *old = covering(t, f);
        if (old != NULL) {
            emit_load(e, true, H_T1, WINDOW(t, old->slot, delta));
            return result;
        }
        g = new_group(t, f);
        lower = g.lo - f->disp;
        if (a->direct && !fits((int64_t)a->ea.disp + lower)) {
            g.lo = f->disp;
            g.hi = f->disp + f->size;
            g.last = t->n;
            lower = 0;
        }
    } else {
        g.slot = (uint16_t)new_slot(t, NULL, a->write);
    }
    struct emit_mem low = a->direct ? a->ea : emit_at(H_T0, 0);
    low.disp += (int32_t)lower;
    emit_lea(e, true, H_T1, low);
    emit_rm(e, 0x33, true, H_T1, WINDOW(t, g.slot, tag)); /* XOR */
    emit_alu_ri(e, X_CMP, true, H_T1, (int32_t)(VM_PAGE_SIZE - (g.hi - g.lo)));
    struct jit_cold miss = { .kind = JIT_COLD_WINDOW,
                             .site = emit_jcc(e, CC_A),
                             .word = t->n,
                             .back = emit_here(e),
                             .ea = low,
                             .size = (uint16_t)(g.hi - g.lo),
                             .slot = g.slot,
                             .write = g.write,
                             .direct = a->direct };
    if (a->align > 1) {
        emit_rr(e, 0xf6, false, 0, H_T1); /* TEST T1b, align - 1 */
        emit_8(e, a->align - 1);
        vm__jit_cold(t, emit_jcc(e, CC_NE), a->kind, t->n);
        miss.align = (uint8_t)a->align;
    }
    vm__jit_cold_as(t, &miss);
    vm__jit_cold(t, NULL, a->kind, t->n); /* where the miss goes when the soft TLB misses too */
    emit_load(e, true, H_T1, WINDOW(t, g.slot, delta));
    if (g.last > t->n && t->n_groups < JIT_MAX_GROUPS) {
        g.live = true;
        t->group[t->n_groups++] = g;
    }
    return result;
}

/* ---- a miss ---- */

static void meter(struct jit_tr *t, struct emit *e, const struct jit_cold *d)
{
    struct jit_meter *m = vm__jit_arena(t->c, sizeof *m);

    if (m == NULL) {
        e->full = true;
        return;
    }
    *m = (struct jit_meter) { .left = JIT_METER_MISSES,
                              .insn = d->word & 0xff,
                              .near = 48 + 4 * (int64_t)t->b->n, /* a few times round a loop */
                              .code = t->code };
    emit_opreg(e, &(struct emit_op) { .opcode = 0x50 }, H_RAX);
    emit_const(e, H_RAX, (uint64_t)(uintptr_t)m);
    emit_call_to(e, t->k->stubs.meter);
    emit_opreg(e, &(struct emit_op) { .opcode = 0x58 }, H_RAX);
}

void vm__jit_window_missed(struct jit_tr *t, const struct jit_cold *d, struct jit_cold *failed)
{
    struct emit *e = &t->k->cold;
    struct emit_mem entry = emit_sum(H_CPU, H_T1);
    int32_t tlb = vm__jit_tlb(t),
            tag = tlb + (int32_t)(d->write ? offsetof(struct x86_tlbe, wtag)
                                           : offsetof(struct x86_tlbe, rtag)),
            used = (int32_t)(offsetof(struct vcpu, jit.win_used) +
                             t->code->tlb * X86_JIT_WINDOWS / 8 + d->slot / 8);

    meter(t, e, d);
    if (d->direct || d->ea.disp != 0)
        emit_lea(e, true, H_T0, d->ea);
    vm__jit_tlb_index(t, e);
    entry.disp = tag;
    emit_rm(e, 0x33, true, H_T0, entry); /* XOR T0, tag */
    emit_alu_ri(e, X_CMP, true, H_T0, (int32_t)(VM_PAGE_SIZE - d->size));
    failed->site = emit_jcc(e, CC_A);
    emit_rm(e, 0x33, true, H_T0, entry);
    if (!d->direct && d->ea.disp != 0)
        emit_lea(e, true, H_T0, emit_at(H_T0, -d->ea.disp));
    emit_opreg(e, &(struct emit_op) { .opcode = 0x50 }, H_RAX);
    emit_load(e, true, H_RAX, entry);
    entry.disp = tlb + (int32_t)offsetof(struct x86_tlbe, delta);
    emit_load(e, true, H_T1, entry);
    emit_store(e, true, WINDOW(t, d->slot, tag), H_RAX);
    emit_store(e, true, WINDOW(t, d->slot, delta), H_T1);
    emit_opreg(e, &(struct emit_op) { .opcode = 0x58 }, H_RAX);
    emit_rm(e, 0x80, false, X_OR, emit_at(H_CPU, used));
    emit_8(e, 1u << d->slot % 8);
    if (d->align > 1) { /* the test that follows looks at T1 */
        struct emit_mem ea = d->direct ? d->ea : emit_at(H_T0, 0);
        emit_lea(e, true, H_T1, ea);
    }
    emit_jmp_to(e, d->back);
}

void vm__jit_scattered(struct vcpu *c)
{
    const struct jit_meter *m = c->jit.scattered;
    struct jit_code *old = m->code, *code;
    struct x86_block *b = old->blk;

    c->jit.scattered = NULL;
    if (b->code[old->tlb] != old || old->tlb != c->tlb_idx || b->mode != c->mode ||
        c->cache->full || __builtin_popcountll(b->scattered) >= MAX_AGAIN)
        return;
    b->scattered |= UINT64_C(1) << m->insn;
    code = vm__jit_translate(c, b);
    if (code == NULL)
        c->cache->full = true;
    else
        vm__jit_forward(c, old, code);
}
