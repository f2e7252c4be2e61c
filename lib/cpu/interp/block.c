/* SPDX-License-Identifier: MIT */
/**
 * @file block.c
 * The decoded-block cache: find, decode, link, invalidate.
 *
 * A vCPU has its own blocks in a bump-allocated arena that is emptied when full. A block is stale
 * when its page's code_version moved on; stale ones are simply not found again.
 */
#include <stdlib.h>

#include "core/machine.h"
#include "cpu/hook.h"
#include "cpu/interp/fuse.h"
#include "cpu/interp/interp.h"
#include "cpu/interp/quiet.h"
#include "cpu/trace.h"
#include "cpu/x86/code_page.h"
#include "host/mem.h"

enum {
    MAX_INSNS = 64,
    ARENA_BYTES = 48 << 20,
    HASH_SIZE = 1 << 16,
    MAX_LEN = 15,
};

extern x86_fn vm__h_fallthrough, vm__h_resync, vm__h_undefined, vm__h_too_long, vm__h_unavailable,
    vm__h_bad_branch, vm__h_debug_break, vm__h_hooked;

/* ---- cache ---- */

int vm__interp_cache_init(struct vcpu *c)
{
    struct x86_cache *k = calloc(1, sizeof *k);

    if (k == NULL)
        return vm__fail(VM_E_NOMEM, "no memory for the block cache of cpu %u", c->cpu.index);
    k->hash = calloc(HASH_SIZE, sizeof *k->hash);
    k->hash_mask = HASH_SIZE - 1;
    k->scratch = calloc(1, sizeof *k->scratch + (MAX_INSNS + 1) * sizeof(struct x86_insn));
    k->arena = vm__host_map(ARENA_BYTES);
    c->cache = k;
    if (k->hash == NULL || k->scratch == NULL || k->arena == NULL) {
        vm__interp_cache_fini(c);
        return vm__fail(VM_E_NOMEM, "no memory for the block cache of cpu %u", c->cpu.index);
    }
    k->arena_at = k->arena;
    k->arena_end = k->arena + ARENA_BYTES;
    return VM_OK;
}

void vm__interp_cache_fini(struct vcpu *c)
{
    struct x86_cache *k = c->cache;

    if (k == NULL)
        return;
    if (k->arena != NULL)
        vm__host_unmap(k->arena, ARENA_BYTES);
    free(k->scratch);
    free(k->hash);
    free(k);
    c->cache = NULL;
}

void vm__interp_cache_flush(struct vcpu *c)
{
    struct x86_cache *k = c->cache;

    memset(k->hash, 0, HASH_SIZE * sizeof *k->hash);
    memset(k->jc, 0, sizeof k->jc);
    k->arena_at = k->arena;
    k->n_blocks = 0;
    k->flushes++;
    if (k->flushed != NULL)
        k->flushed(c);
}

static struct x86_block **bucket(struct vcpu *c, uint64_t gpa, uint32_t mode)
{
    uint64_t h = (gpa ^ (uint64_t)mode << 40) * UINT64_C(0x9e3779b97f4a7c15);
    return &c->cache->hash[h >> 48 & c->cache->hash_mask];
}

/* ---- decoding ---- */

/* Block under construction. */
struct builder {
    struct vcpu *c;
    struct x86_decode_ctx ctx;
    struct x86_xtlbe at;
    uint64_t rip, lin;
    uint32_t pos; /* next byte, from the start of the page */
    uint32_t off; /* next byte, from the start of the block */
    uint32_t n, max;
    bool end;     /* the last instruction branches or ends the block */
    struct vm_page *page2;
    uint32_t version2;
    struct x86_insn insn[MAX_INSNS + 1];
};

static x86_fn *choose(const struct vcpu *c, const struct x86_insn *i, const struct x86_row *row)
{
    const struct x86_bind *b = &vm__interp_bind[i->row];
    unsigned k = b->by_l ? (i->flags & X86_I_L) != 0 : i->osz, v = X86_V_REG;
    bool is64 = x86_is64(c);

    if (((row->attr & X86_A_X87) && !(c->mode & X86_MODE_X87)) ||
        ((row->attr & X86_A_MMX) && !(c->mode & X86_MODE_MMX)) ||
        ((row->attr & X86_A_SSE) && !(c->mode & X86_MODE_SSE)) ||
        ((row->attr & X86_A_AVX) && !(c->mode & X86_MODE_AVX)))
        return vm__h_unavailable;
    if (i->flags & X86_I_LOCK)
        v = X86_V_LOCK;
    else if (i->flags & X86_I_MEM)
        v = is64 && i->asz == 3 && i->seg != X86_FS && i->seg != X86_GS ? X86_V_FLAT : X86_V_GEN;
    else if (b->stack && b->fn[k][X86_V_REG] == NULL)
        v = is64 ? X86_V_FLAT : X86_V_GEN;
    return b->fn[k][v] != NULL ? b->fn[k][v] : vm__h_undefined;
}

/* Bytes of an instruction that may run into the next page. */
static int decode_at(struct builder *b, struct x86_insn *i)
{
    uint32_t room = VM_PAGE_SIZE - b->pos;
    uint32_t len = room < MAX_LEN ? room : MAX_LEN;
    uint64_t rip = b->rip + b->off;

    vm__x86_mark_code(b->c, b->at.page, b->pos, len);
    int st = vm__x86_decode(&b->ctx, b->at.host + b->pos, room, rip, i);
    if (st != X86_DECODE_MORE)
        return st;
    if (b->n > 0)
        return X86_DECODE_MORE; /* a block of its own */

    uint8_t buf[2 * MAX_LEN];
    struct x86_xtlbe next;
    uint64_t lin = b->lin + b->off + room;
    memcpy(buf, b->at.host + b->pos, room);
    if (!x86_is64(b->c))
        lin = (uint32_t)lin;
    if (!vm__x86_fetch_page(b->c, lin, &next)) {
        for (unsigned k = 0; k < MAX_LEN; k++)
            buf[room + k] = 0xff; /* a hole reads as ones */
        b->page2 = b->at.page;
    } else {
        vm__x86_mark_code(b->c, next.page, 0, MAX_LEN);
        b->page2 = next.page;
        b->version2 = atomic_load_explicit(&next.page->code_version, memory_order_seq_cst);
        vm__x86_mark_code(b->c, next.page, 0, MAX_LEN); /* again: see build() */
        memcpy(buf + room, next.host, MAX_LEN);
    }
    return vm__x86_decode(&b->ctx, buf, room + MAX_LEN, rip, i);
}

/* One more instruction; false when the block is complete without it. */
static bool add_insn(struct builder *b)
{
    struct vcpu *c = b->c;
    struct x86_insn *i = &b->insn[b->n];
    int st = decode_at(b, i);

    if (st == X86_DECODE_MORE)
        return false;
    i->off = (uint16_t)b->off;
    if (st != X86_DECODE_OK) {
        i->fn = st == X86_DECODE_UD ? vm__h_undefined : vm__h_too_long;
        i->row = 0;
        b->end = true;
    } else {
        const struct x86_row *row = &vm__x86_rows[i->row];
        i->fn = choose(c, i, row);
        b->end = (row->attr & (X86_A_BRANCH | X86_A_END | X86_A_IO)) != 0 ||
                 i->fn == vm__h_unavailable || i->fn == vm__h_undefined;
        if (row->n_ops > 0 && row->op[0].cls == X86_C_REL &&
            (x86_is64(c) ? !x86_canonical(c, i->imm) : i->imm > c->st.seg[X86_CS].limit))
            i->fn = vm__h_bad_branch;
    }
    if (!x86_is64(c) && b->rip + b->off + i->len - 1 > c->st.seg[X86_CS].limit) {
        i->fn = vm__h_too_long; /* #GP(0): past the CS limit */
        b->end = true;
    }
    b->pos += i->len;
    b->off += i->len;
    b->n++;
    return !b->end && b->n < b->max && b->pos < VM_PAGE_SIZE &&
           !vm__debug_break_at(&c->cpus->m->debug, b->lin + b->off) &&
           !(x86_code_hooks(c, b->lin + b->off) & VM_HOOK_INSN);
}

static void terminate(struct x86_block *blk, uint32_t off)
{
    struct x86_insn *t = &blk->insns[blk->n];
    memset(t, 0, sizeof *t);
    t->fn = vm__h_fallthrough;
    t->off = (uint16_t)off;
}

static struct x86_block *allocate(struct vcpu *c, uint32_t n)
{
    struct x86_cache *k = c->cache;
    size_t bytes = sizeof(struct x86_block) + (n + 1) * sizeof(struct x86_insn);

    bytes = (bytes + 15) & ~(size_t)15;
    if ((size_t)(k->arena_end - k->arena_at) < bytes)
        vm__interp_cache_flush(c);
    void *p = k->arena_at;
    k->arena_at += bytes;
    return p;
}

/* Into the log: the bytes that were just decoded, which may end on a second page. */
static void trace_decoded(struct vcpu *c, const struct builder *b)
{
    for (uint32_t k = 0; k < b->n; k++) {
        const struct x86_insn *i = &b->insn[k];
        uint8_t bytes[MAX_LEN] = { 0 };
        struct x86_xtlbe at;
        for (unsigned j = 0; j < i->len && j < MAX_LEN; j++) {
            uint64_t lin = b->lin + i->off + j;
            if (!vm__x86_fetch_page(c, x86_is64(c) ? lin : (uint32_t)lin, &at))
                break;
            bytes[j] = at.host[lin & (VM_PAGE_SIZE - 1)];
        }
        vm__x86_trace_insn(c, b->rip + i->off, bytes, i->len < MAX_LEN ? i->len : MAX_LEN);
    }
}

/* Its first handler calls the hooks, and then fn0. */
static void put_hooks(struct x86_block *b, uint32_t hooks)
{
    b->hooks = (uint8_t)hooks;
    if (hooks == 0)
        return;
    b->fn0 = b->insns[0].fn;
    b->insns[0].fn = vm__h_hooked;
}

static struct x86_block *build(struct vcpu *c, uint64_t rip, uint64_t lin, struct x86_xtlbe *at)
{
    struct builder b = {
        .c = c,
        .ctx = { .code = c->mode & X86_MODE_CODE, .real = x86_is_real(c), .have = c->cpus->have },
        .at = *at,
        .rip = rip,
        .lin = lin,
        .pos = lin & (VM_PAGE_SIZE - 1),
        .max = c->mode & (X86_MODE_STEP | X86_MODE_WATCH) ? 1 : MAX_INSNS,
    };
    /* One at a time run.c looks for itself. */
    bool stop = !(c->mode & X86_MODE_STEP) && vm__debug_break_at(&c->cpus->m->debug, lin);
    const uint32_t hooks = stop ? 0 : x86_code_hooks(c, lin);
    uint32_t version;

    if (hooks & VM_HOOK_INSN)
        b.max = 1;
    /* A writer clears the marks, then bumps the version. If that fell between this mark and the
     * version read here, the marks made again before each instruction's bytes are read stand. */
    vm__x86_mark_code(c, at->page, b.pos, 1);
    version = atomic_load_explicit(&at->page->code_version, memory_order_seq_cst);
    while (!stop && add_insn(&b))
        ;
    if (x86_tracing(c, VM_LOG_ASM))
        trace_decoded(c, &b);
    struct x86_block *blk = allocate(c, b.n);
    *blk = (struct x86_block){
        .rip = rip,
        .gpa = at->gpa | (lin & (VM_PAGE_SIZE - 1)),
        .cs_base = c->st.seg[X86_CS].base,
        .cs_limit = c->st.seg[X86_CS].limit,
        .page = at->page,
        .version = version,
        .mode = c->mode,
        .n = b.n,
        .bytes = (uint16_t)b.off,
        .straddles = b.page2 != NULL,
        .page2 = b.page2,
        .version2 = b.version2,
    };
    memcpy(blk->insns, b.insn, b.n * sizeof b.insn[0]);
    vm__interp_quiet(blk->insns, b.n);
    vm__interp_fuse(blk->insns, b.n, vm__h_bad_branch);
    terminate(blk, b.off);
    if (stop)
        blk->insns[0].fn = vm__h_debug_break;
    put_hooks(blk, hooks);
    c->cache->decoded += b.n;
    c->cache->n_blocks++;
    if (c->cache->built != NULL && !stop && hooks == 0 && !blk->straddles &&
        !(c->mode & (X86_MODE_STEP | X86_MODE_WATCH)))
        c->cache->built(c, blk);
    return blk;
}

/* Code outside RAM and ROM: one instruction, read through the bus, never kept. */
static struct x86_block *build_from_bus(struct vcpu *c, uint64_t rip, uint64_t lin)
{
    struct x86_block *blk = c->cache->scratch;
    struct x86_insn *i = &blk->insns[0];
    struct x86_decode_ctx ctx = { .code = c->mode & X86_MODE_CODE,
                                  .real = x86_is_real(c),
                                  .have = c->cpus->have };
    struct x86_walk w;
    uint8_t buf[MAX_LEN];

    vm__x86_walk(c, lin, X86_ACCESS_X, &w);
    for (unsigned k = 0; k < MAX_LEN; k++)
        buf[k] = (uint8_t)vm__mmio_read(c->cpus->m, c->st.smm ? VM_VIEW_SMM : VM_VIEW_NORMAL,
                                        w.gpa + k, 1);
    int st = vm__x86_decode(&ctx, buf, sizeof buf, rip, i);
    i->off = 0;
    i->fn = st == X86_DECODE_OK   ? choose(c, i, &vm__x86_rows[i->row])
            : st == X86_DECODE_UD ? vm__h_undefined
                                  : vm__h_too_long;
    blk->rip = rip;
    blk->n = 1;
    blk->page = blk->page2 = NULL;
    blk->fn0 = NULL;
    blk->fns = NULL;
    blk->link[0] = blk->link[1] = NULL;
    put_hooks(blk, x86_code_hooks(c, lin));
    terminate(blk, i->len);
    return blk;
}

/* ---- finding ---- */

static bool is_current(const struct x86_block *b)
{
    return b->version == atomic_load_explicit(&b->page->code_version, memory_order_seq_cst) &&
           (!b->straddles ||
            b->version2 == atomic_load_explicit(&b->page2->code_version, memory_order_seq_cst));
}

struct x86_block *vm__interp_find(struct vcpu *c, uint64_t rip)
{
    const struct x86_seg *cs = &c->st.seg[X86_CS];
    bool is64 = x86_is64(c);
    uint64_t lin = is64 ? rip : (uint32_t)(cs->base + rip);
    struct x86_xtlbe at;

    c->st.rip = rip;
    c->cur = NULL;
    if (x86_unlikely(c->cache->full))
        vm__interp_cache_flush(c);
    if (is64 ? !x86_canonical(c, rip) : rip > cs->limit)
        vm__x86_fault(c, NULL, X86_XGP, 0);
    if (!vm__x86_fetch_page(c, lin, &at))
        return build_from_bus(c, rip, lin);

    uint64_t gpa = at.gpa | (lin & (VM_PAGE_SIZE - 1));
    struct x86_block **head = bucket(c, gpa, c->mode), *b, **prev = head;
    for (b = *head; b != NULL; prev = &b->hash_next, b = b->hash_next) {
        if (b->gpa != gpa || b->rip != rip || b->mode != c->mode ||
            (b->fns != NULL && b->global != at.global) || /* it is written into the code */
            (!is64 && (b->cs_base != cs->base || b->cs_limit != cs->limit)))
            continue;
        if (b->straddles) {
            /* The second page may be mapped elsewhere now. */
            struct x86_xtlbe next;
            uint64_t lin2 = (lin | (VM_PAGE_SIZE - 1)) + 1;
            if (!vm__x86_fetch_page(c, is64 ? lin2 : (uint32_t)lin2, &next) ||
                next.page != b->page2) {
                *prev = b->hash_next;
                b = NULL;
                break;
            }
        }
        if (is_current(b))
            break;
        *prev = b->hash_next;
        b = NULL;
        break;
    }
    if (b == NULL) {
        b = build(c, rip, lin, &at);
        head = bucket(c, gpa, c->mode);
        b->hash_next = *head;
        *head = b;
    }
    b->global = (uint8_t)at.global;
    b->gen = c->code_gen[b->global];
    if (x86_tracing(c, VM_LOG_EXEC)) { /* and every block is found here, none by a link */
        vm__x86_trace_block(c, rip, b->n);
        return b;
    }
    if (!b->straddles && !(c->mode & X86_MODE_STEP))
        c->cache->jc[x86_jc_hash(rip)] = b;
    return b;
}

x86_fn *vm__interp_handler(const struct vcpu *c, const struct x86_block *b, uint32_t k)
{
    const struct x86_insn *i = &b->insns[k];
    x86_fn *fn = k == 0 && b->fn0 != NULL ? b->fn0 : i->fn;

    if (b->fns != NULL)
        return b->fns[k];
    if (fn == vm__h_undefined || fn == vm__h_too_long || fn == vm__h_unavailable ||
        fn == vm__h_bad_branch)
        return fn;
    return choose(c, i, &vm__x86_rows[i->row]);
}

struct x86_block *vm__interp_partial(struct vcpu *c, const struct x86_block *b, uint32_t n)
{
    struct x86_block *s = c->cache->scratch;

    if (b == s)
        return s;
    *s = *b;
    memcpy(s->insns, b->insns, n * sizeof b->insns[0]);
    /* Undo what relied on what is now cut off: fusing, flags left out; and translation. */
    if (n < b->n || b->fn0 != NULL)
        for (uint32_t k = 0; k < n; k++)
            s->insns[k].fn = vm__interp_handler(c, b, k);
    s->fn0 = NULL;
    s->fns = NULL;
    s->n = n;
    s->link[0] = s->link[1] = NULL;
    s->hash_next = NULL;
    put_hooks(s, b->hooks);
    terminate(s, n < b->n ? b->insns[n].off : b->bytes);
    return s;
}

/* ---- going on ---- */

static bool may_chain(const struct vcpu *c)
{
    return atomic_load_explicit(&c->req, memory_order_relaxed) == 0 && c->insns_left > 0 &&
           !(c->mode & X86_MODE_STEP) && c->st.shadow == 0;
}

static const struct x86_insn *enter_found(struct vcpu *c, struct x86_block *b)
{
    if (c->insns_left < (int64_t)b->n || b == c->cache->scratch)
        return &vm__interp_leave;
    return x86_enter(c, b);
}

static const struct x86_insn *find_and_link(struct vcpu *c, unsigned slot, uint64_t rip)
{
    struct x86_block *from = (struct x86_block *)(uintptr_t)c->blk, *b;
    uint64_t flushes = c->cache->flushes;

    c->st.rip = rip;
    if (!may_chain(c))
        return &vm__interp_leave;
    b = vm__interp_find(c, rip);
    if (!b->straddles && b != c->cache->scratch && from != c->cache->scratch &&
        c->cache->flushes == flushes && !x86_tracing(c, VM_LOG_EXEC))
        from->link[slot] = b;
    return enter_found(c, b);
}

const struct x86_insn *vm__interp_go_taken(struct vcpu *c, const struct x86_insn *i)
{
    X86_DISPATCH(c, find_and_link(c, 1, i->imm));
}

const struct x86_insn *vm__interp_go_next(struct vcpu *c, const struct x86_insn *i)
{
    X86_DISPATCH(c, find_and_link(c, 0, x86_next_rip(c, i)));
}

const struct x86_insn *vm__interp_go_rip(struct vcpu *c, uint64_t rip)
{
    c->st.rip = rip;
    if (!may_chain(c))
        X86_LEAVE(c);
    X86_DISPATCH(c, enter_found(c, vm__interp_find(c, rip)));
}

void vm__interp_cut(struct vcpu *c)
{
    struct x86_block *b = (struct x86_block *)(uintptr_t)c->blk;
    uint32_t at = (uint32_t)(c->cur - b->insns) + 1;

    for (uint32_t k = at; k <= b->n; k++)
        b->insns[k].fn = vm__h_resync;
}
