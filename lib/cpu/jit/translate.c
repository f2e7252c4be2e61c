/* SPDX-License-Identifier: MIT */
/**
 * @file translate.c
 * From a decoded block to host code: entries, the instructions, and the code that is seldom run.
 */
#include "cpu/interp/quiet.h"
#include "cpu/jit/translate.h"

extern x86_fn vm__h_jit_enter, vm__h_jit_resume, vm__h_undefined, vm__h_too_long, vm__h_unavailable,
    vm__h_bad_branch, vm__h_nop, vm__h_stac, vm__h_clac;

enum { ROOM = 24 << 10 }; /* more than any block needs */

/* ---- cold code ---- */

void vm__jit_cold_as(struct jit_tr *t, const struct jit_cold *d)
{
    if (t->n_cold == JIT_MAX_COLD)
        t->hot->full = true;
    else
        t->cold[t->n_cold++] = *d;
}

void vm__jit_cold(struct jit_tr *t, uint8_t *site, enum jit_cold_kind kind, uint32_t word)
{
    vm__jit_cold_as(t, &(struct jit_cold) { .site = site, .word = word, .kind = (uint8_t)kind });
}

/* The instruction's slow paths come back here. */
static void come_back(struct jit_tr *t)
{
    for (uint32_t k = t->insn_cold; k < t->n_cold; k++) {
        struct jit_cold *d = &t->cold[k];
        if (d->kind != JIT_COLD_CALL)
            continue;
        if (vm__jit_relied_on(t)) {
            d->kind = JIT_COLD_TAIL;
            continue;
        }
        d->back = emit_here(t->hot);
        d->word |= (t->host ? JIT_CALL_FLAGS : 0) | (uint32_t)t->vec << JIT_CALL_VEC_SHIFT;
    }
}

/* Behind a handler: what is left of the block as a block of its own. */
static void emit_tail(struct jit_tr *t, uint32_t n)
{
    struct emit *e = &t->k->cold;
    uint64_t rip = t->b->rip + t->b->insns[n + 1].off;

    emit_alu_ri(e, X_ADD, true, H_LEFT, (int32_t)(t->b->n - n - 1));
    if (t->code->n_sites == JIT_MAX_SITES) {
        e->full = true;
        return;
    }
    uint8_t *jump = emit_jmp(e);
    t->site[t->code->n_sites] = (struct jit_site) { .rel = jump, .rip = rip, .entry = JIT_FAR };
    vm__jit_cold(t, jump, JIT_COLD_LINK, t->code->n_sites++);
}

static void emit_cold(struct jit_tr *t, struct jit_cold *d)
{
    const struct jit_stubs *s = &t->k->stubs;
    struct emit *e = &t->k->cold;

    emit_patch(d->site, e->run, emit_here(e));
    if (d->kind == JIT_COLD_WINDOW) {
        vm__jit_window_missed(t, d, d + 1);
        return;
    }
    if (d->kind == JIT_COLD_BUDGET)
        emit_alu_ri(e, X_ADD, true, H_LEFT, (int32_t)t->b->n);
    emit_const(e, H_T1, (uint64_t)(uintptr_t)t->code);
    emit_const(e, H_T0, d->word);
    switch (d->kind) {
    case JIT_COLD_TAIL:
        emit_call_to(e, s->call);
        emit_tail(t, d->word & JIT_CALL_INSN);
        break;
    case JIT_COLD_CALL:
    case JIT_COLD_VEC:
        emit_call_to(e, d->kind == JIT_COLD_CALL ? s->call : s->vec);
        emit_jmp_to(e, d->back);
        break;
    case JIT_COLD_DISPATCH:
        emit_jmp_to(e, s->dispatch);
        break;
    case JIT_COLD_LEAVE:
        emit_call_to(e, s->leave);
        break;
    case JIT_COLD_LINK:
        emit_jmp_to(e, s->link);
        break;
    case JIT_COLD_BUDGET:
        emit_jmp_to(e, s->budget);
        break;
    default:
        emit_jmp_to(e, s->stale);
        break;
    }
}

/* ---- handlers ---- */

static void call_stub(struct jit_tr *t, const uint8_t *stub, uint32_t word)
{
    emit_const(t->hot, H_T1, (uint64_t)(uintptr_t)t->code);
    emit_const(t->hot, H_T0, word);
    emit_call_to(t->hot, stub);
}

/* May the handler change what translated code takes for granted: mode, soft TLB, mappings? */
static bool is_plain(const struct x86_row *r)
{
    return r->jit == X86_JIT_NATIVE || r->jit == X86_JIT_SPECIAL ||
           (r->attr & (X86_A_REP | X86_A_X87 | X86_A_MMX | X86_A_SSE | X86_A_AVX));
}

void vm__jit_call_handler(struct jit_tr *t)
{
    vm__jit_clobber(t);
    call_stub(t, t->k->stubs.call, t->n);
    vm__jit_forget_groups(t);
    t->vec = JIT_VEC_NONE;
    t->saved = true;
    if (is_plain(t->row))
        return;
    t->far = true;
    if ((t->code->fn[t->n] == vm__h_stac || t->code->fn[t->n] == vm__h_clac) && !t->k->exact) {
        /* Another soft TLB from here on: the rest is a block of its own. */
        emit_alu_ri(t->hot, X_ADD, true, H_LEFT, (int32_t)(t->b->n - t->n - 1));
        vm__jit_goto(t, NULL, jit_next_rip(t));
        t->site[t->code->n_sites - 1].entry = JIT_INDIRECT;
        t->done = true;
        return;
    }
    emit_alu_mi(t->hot, X_CMP, false, JIT_CPU(jit.mode),
                (int32_t)(t->b->mode | (uint32_t)t->code->tlb << 24));
    vm__jit_cold(t, emit_jcc(t->hot, CC_NE), JIT_COLD_LEAVE, t->n + 1);
}

void vm__jit_dispatch(struct jit_tr *t)
{
    vm__jit_clobber(t);
    emit_const(t->hot, H_T1, (uint64_t)(uintptr_t)t->code);
    emit_const(t->hot, H_T0, t->n);
    emit_jmp_to(t->hot, t->k->stubs.dispatch);
    t->done = true;
}

/* ---- leaving by a direct jump ---- */

void vm__jit_settle_flags(struct jit_tr *t)
{
    if (!t->host || t->saved || t->after[t->n] == 0)
        return;
    t->before[t->n] |= t->after[t->n];
    vm__jit_clobber(t);
    t->host = true; /* saving them does not change them */
}

static enum jit_entry entry_for(const struct jit_tr *t, uint64_t rip)
{
    uint64_t base = t->is64 ? 0 : t->b->cs_base, page = ~(uint64_t)(VM_PAGE_SIZE - 1);

    if (t->far || ((rip + base) & page) != ((t->b->rip + base) & page))
        return JIT_FAR;
    return t->k->exact || rip <= t->b->rip + t->i->off ? JIT_BACK : JIT_NEAR;
}

void vm__jit_goto(struct jit_tr *t, uint8_t *jump, uint64_t rip)
{
    uint8_t n = t->code->n_sites++;

    if (jump == NULL)
        jump = emit_jmp(t->hot);
    t->site[n] = (struct jit_site) { .rel = jump, .rip = rip, .entry = (uint8_t)entry_for(t, rip) };
    vm__jit_cold(t, jump, JIT_COLD_LINK, n);
}

/* ---- entries ---- */

static void note_entry(struct jit_tr *t, enum jit_entry n)
{
    t->code->entry[n] = emit_here(t->hot);
}

static void stale_unless(struct jit_tr *t, unsigned cc)
{
    vm__jit_cold(t, emit_jcc(t->hot, cc ^ 1), JIT_COLD_STALE, 0);
}

static void entries(struct jit_tr *t)
{
    struct x86_block *b = t->b;
    struct emit *e = t->hot;

    note_entry(t, JIT_INDIRECT);
    note_entry(t, JIT_FAR);
    emit_const(e, H_T1, (uint64_t)(uintptr_t)t->code);
    emit_load(e, true, H_T0,
              emit_at(H_CPU, (int32_t)(offsetof(struct vcpu, jit.key) + 8 * b->global)));
    emit_rm(e, 0x3b, true, H_T0, emit_at(H_T1, offsetof(struct jit_code, key)));
    stale_unless(t, CC_E);
    emit_const(e, H_T1, (uint64_t)(uintptr_t)&b->page->code_version);
    emit_rm(e, 0x81, false, X_CMP, emit_at(H_T1, 0));
    emit_32(e, b->version);
    stale_unless(t, CC_E);
    note_entry(t, JIT_BACK);
    if (t->k->exact) {
        emit_alu_mi(e, X_CMP, false, JIT_CPU(req), 0);
        stale_unless(t, CC_E);
    }
    note_entry(t, JIT_NEAR);
    emit_alu_ri(e, X_SUB, true, H_LEFT, (int32_t)b->n);
    vm__jit_cold(t, emit_jcc(e, CC_L), JIT_COLD_BUDGET, 0);
    note_entry(t, JIT_BODY);
}

/* ---- instructions ---- */

static bool is_special(x86_fn *fn)
{
    return fn == vm__h_undefined || fn == vm__h_too_long || fn == vm__h_unavailable ||
           fn == vm__h_bad_branch;
}

static bool translate_insn(struct jit_tr *t)
{
    if (is_special(t->code->fn[t->n]))
        return false;
    if (t->code->fn[t->n] == vm__h_nop)
        return true;
    return vm__jit_native(t) || vm__jit_stack(t) || vm__jit_branch(t) || vm__jit_special(t);
}

static void one_insn(struct jit_tr *t, uint32_t n)
{
    x86_fn *fn = t->code->fn[n];

    t->n = n;
    t->i = &t->b->insns[n];
    t->row = &vm__x86_rows[t->i->row];
    t->pass = t->after[n] & ~vm__interp_kills(t->i, t->row);
    t->insn_cold = t->n_cold;
    if (is_special(fn))
        t->before[n] = t->after[n] = 0x3f; /* a fault, whatever the row says */
    if (translate_insn(t))
        t->native++;
    else if ((t->row->attr & X86_A_BRANCH) || fn == vm__h_bad_branch)
        vm__jit_dispatch(t);
    else
        vm__jit_call_handler(t);
    come_back(t);
}

/* Handlers end their chain where translated code called them; a branch that leaves for its handler
 * does not come back, and needs the terminator as it was. */
static void redirect(struct x86_block *b, const struct jit_code *code)
{
    bool branch = vm__x86_rows[b->insns[b->n - 1].row].attr & X86_A_BRANCH;

    if (b->fns != NULL)
        return;
    b->insns[0].fn = vm__h_jit_enter;
    for (uint32_t k = 1; k < b->n + !branch; k++)
        b->insns[k].fn = vm__h_jit_resume;
    b->fns = code->fn;
}

static void body(struct jit_tr *t)
{
    for (uint32_t n = 0; n < t->b->n && !t->done; n++)
        one_insn(t, n);
    if (t->done)
        return;
    vm__jit_settle_flags(t);
    vm__jit_goto(t, NULL, jit_next_rip(t));
}

struct jit_code *vm__jit_translate(struct vcpu *c, struct x86_block *b)
{
    struct x86_jit_cache *k = jit_cache(c);
    struct jit_code *code = vm__jit_code_alloc(c, b->n);
    struct jit_tr *t = k->tr;
    uint8_t *hot = k->hot.at;

    if (code == NULL || k->hot.end - k->hot.at < ROOM || k->cold.end - k->cold.at < ROOM)
        return NULL;
    memset(t, 0, offsetof(struct jit_tr, site));
    t->c = c;
    t->k = k;
    t->b = b;
    t->code = code;
    t->hot = &k->hot;
    code->blk = b;
    code->tlb = (uint8_t)c->tlb_idx;
    for (uint32_t n = 0; n < b->n; n++)
        code->fn[n] = vm__interp_handler(c, b, n);
    t->is64 = x86_is64(c);
    t->saved = true;
    vm__jit_live(c, b, t->before, t->after, t->edge);
    vm__jit_refs(t);
    entries(t);
    body(t);
    for (uint32_t n = 0; n < t->n_cold && !k->hot.full; n++)
        emit_cold(t, &t->cold[n]);
    code->site = vm__jit_arena(c, code->n_sites * sizeof t->site[0]);
    if (k->hot.full || k->cold.full || code->site == NULL)
        return NULL;
    memcpy(code->site, t->site, code->n_sites * sizeof t->site[0]);
    code->bytes = (uint32_t)(k->hot.at - hot);
    redirect(b, code);
    b->code[code->tlb] = code;
    k->count.blocks++;
    k->count.insns += b->n;
    k->count.native += t->native;
    k->count.bytes += code->bytes;
    return code;
}
