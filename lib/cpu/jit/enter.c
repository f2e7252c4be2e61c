/* SPDX-License-Identifier: MIT */
/**
 * @file enter.c
 * Between the interpreter's chain of handlers and translated code.
 */
#include "cpu/jit/jit.h"
#include "cpu/trace.h"
#include "host/time.h"

extern x86_fn vm__h_jit_count, vm__h_jit_enter, vm__h_jit_resume;

void vm__jit_flags_in(struct vcpu *c)
{
    (void)x86_flags(c);
}

bool vm__jit_vec_enter(struct vcpu *c)
{
    vm__x86_fp_enter(c);
    return c->fp_live == X86_FP_LIVE;
}

void vm__jit_leave(struct vcpu *c, const struct x86_insn *i)
{
    vm__x86_leave_at(c, i);
}

/** The guest has unmasked a floating-point exception: only the interpreter knows how to meet it. */
void vm__jit_refuse(struct vcpu *c, const struct x86_insn *i)
{
    vm__x86_leave_at(c, i);
    c->jit.one = true;
}

/** Of instructions behind the first of a translated block: a handler called by translated code is
 * done, and its chain ends here. */
X86_H(jit_resume)
{
    (void)c;
    return i;
}

/* ---- exits that want a block ---- */

static bool may_go_on(const struct vcpu *c)
{
    return atomic_load_explicit(&c->req, memory_order_relaxed) == 0 && c->insns_left > 0 &&
           !(c->mode & X86_MODE_STEP) && c->st.shadow == 0;
}

static bool is_stale(const struct x86_block *b)
{
    return b->version != atomic_load_explicit(&b->page->code_version, memory_order_relaxed);
}

static void try_link(struct vcpu *c, struct jit_code *from, const struct x86_block *to)
{
    const struct jit_code *code = to->code[c->tlb_idx];

    if (code != NULL && !to->straddles && !x86_tracing(c, VM_LOG_EXEC))
        vm__jit_link(c, from, c->jit.site, code);
}

/* The same instruction, decoded again: whoever still jumps to the old translation is sent on. */
static void try_forward(struct vcpu *c, struct jit_code *old, const struct x86_block *to)
{
    const struct x86_block *b = old->blk;

    if (to == b || old->forwarded || !is_stale(b) || to->code[old->tlb] == NULL ||
        to->rip != b->rip || to->gpa != b->gpa || to->mode != b->mode ||
        to->cs_base != b->cs_base || to->global != b->global)
        return;
    vm__jit_forward(c, old, to->code[old->tlb]);
}

/* To the block at @p rip, and repair the way there that was missing. */
static struct x86_block *find_way(struct vcpu *c, uint64_t rip, bool link)
{
    struct jit_code *code = c->jit.code;
    uint64_t flushes = c->cache->flushes;
    struct x86_block *b = vm__interp_find(c, rip);

    if (b != c->cache->scratch && c->cache->flushes == flushes) {
        if (link)
            try_link(c, code, b);
        else
            try_forward(c, code, b);
    }
    return b;
}

static const struct x86_insn *go_on(struct vcpu *c, uint64_t rip, bool link)
{
    c->st.rip = rip;
    c->blk = NULL;
    c->cur = NULL;
    if (!may_go_on(c))
        return NULL;
    struct x86_block *b = find_way(c, rip, link);
    if (c->insns_left < (int64_t)b->n || b == c->cache->scratch)
        return NULL;
    X86_DISPATCH(c, x86_enter(c, b));
}

/* ---- entering ---- */

static struct jit_code *translate(struct vcpu *c, struct x86_block *b)
{
    struct x86_jit_cache *k = jit_cache(c);
    const uint8_t *hot = k->hot.at, *cold = k->cold.at;
    const uint64_t begin = vm__host_ns();
    struct jit_code *code = vm__jit_translate(c, b);

    k->count.ns += vm__host_ns() - begin;
    if (code != NULL)
        vm__jit_perf_block(k, code, hot, cold);
    return code;
}

/* No room for a translation: the block once more as the interpreter knows it. */
static const struct x86_insn *interpret(struct vcpu *c)
{
    struct x86_block *s = vm__interp_partial(c, c->blk, c->blk->n);

    c->cache->full = true;
    c->blk = s;
    X86_DISPATCH(c, s->insns);
}

/* Translated code is called, not jumped to: it comes back. */
static X86_NOINLINE const struct x86_insn *jit_run_code(struct vcpu *c, const uint8_t *code)
{
    const struct x86_insn *next = jit_cache(c)->stubs.enter(c, code);

    jit_cache(c)->count.exits[c->jit.exit]++;
    return next;
}

X86_H(jit_enter)
{
    struct x86_block *b = (struct x86_block *)(uintptr_t)c->blk;
    struct jit_code *code = b->code[c->tlb_idx];
    const struct x86_insn *next;

    (void)i;
    if (x86_unlikely(code == NULL)) {
        code = c->cache->full ? NULL : translate(c, b);
        if (code == NULL)
            return interpret(c);
    }
    c->jit.jc[jit_jc_hash(b->rip)] =
        (struct x86_jit_jump) { .rip = b->rip, .code = code->entry[JIT_INDIRECT] };
    code->key = c->jit.key[b->global];
    c->jit.flags = jit_pack_flags(x86_flags(c));
    next = jit_run_code(c, code->entry[JIT_BODY]);
    if (x86_unlikely(c->jit.scattered != NULL))
        vm__jit_scattered(c);
    switch (c->jit.exit) {
    case JIT_EXIT_DISPATCH:
        jit_cache(c)->count.calls[next->row]++;
        return c->jit.fn(c, next);
    case JIT_EXIT_LINK:
        return go_on(c, c->jit.code->site[c->jit.site].rip, true);
    case JIT_EXIT_STALE:
        return go_on(c, c->jit.code->blk->rip, false);
    default:
        if (next == NULL)
            return NULL;
        X86_DISPATCH(c, next);
    }
}

/** First instruction of a block that is not translated yet. */
X86_H(jit_count)
{
    struct x86_block *b = (struct x86_block *)(uintptr_t)c->blk;

    if (++b->entered >= jit_cache(c)->threshold && !c->cache->full)
        return vm__h_jit_enter(c, i);
    return b->fn0(c, i);
}
