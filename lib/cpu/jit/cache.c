/* SPDX-License-Identifier: MIT */
/**
 * @file cache.c
 * Memory for translations: two views of one memory file, neither both writable and executable.
 *
 * Hot code grows from the start, stubs that are seldom run from the middle, so that what runs lies
 * close together. When either is full everything goes at once, interpreted blocks too: they hold
 * the way into their translations. The cache belongs to one processor, so nothing here is locked.
 */
#include <cpuid.h>
#include <stdlib.h>

#include "core/config.h"
#include "core/machine.h"
#include "cpu/jit/translate.h"
#include "host/mem.h"

enum {
    CODE_BYTES = 48 << 20,
    HOT_BYTES = 28 << 20,
    ARENA_BYTES = 24 << 20,
};

static uint32_t cpuid_word(const struct x86_feature_desc *f)
{
    uint32_t r[4] = { 0 };

    if ((uint32_t)__get_cpuid_max(f->leaf & 0x80000000u, NULL) < f->leaf)
        return 0;
    __cpuid_count(f->leaf, f->subleaf, r[0], r[1], r[2], r[3]);
    return r[f->reg];
}

/* Does the host's operating system keep YMM registers? [SDM-1 §13.3] */
static bool host_saves_ymm(void)
{
    uint32_t a, b, cx, d;

    if (!__get_cpuid(1, &a, &b, &cx, &d) || !(cx >> 27 & 1)) /* OSXSAVE */
        return false;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & 6) == 6;
}

/* Which rows of the table this host executes. */
static void host_features(struct x86_jit_cache *k)
{
    for (unsigned f = 1; f < X86_FEAT_COUNT; f++)
        if (cpuid_word(&vm__x86_features[f]) >> vm__x86_features[f].bit & 1)
            k->host[f / 64] |= UINT64_C(1) << (f % 64);
    k->bmi2 = vm__x86_have(k->host, X86_FEAT_BMI2);
    k->avx = vm__x86_have(k->host, X86_FEAT_AVX) && host_saves_ymm();
}

static void clear_jumps(struct vcpu *c)
{
    for (unsigned n = 0; n < X86_JIT_JC_SIZE; n++)
        c->jit.jc[n] = (struct x86_jit_jump) { .rip = (n ^ 1) << 1 };
}

static void empty(struct vcpu *c)
{
    struct x86_jit_cache *k = jit_cache(c);

    k->hot.at = k->hot_start;
    k->cold.at = k->cold_start;
    k->hot.full = k->cold.full = c->cache->full = false;
    k->arena_at = k->arena;
    c->jit.scattered = NULL;
    clear_jumps(c);
}

static void flushed(struct vcpu *c)
{
    empty(c);
    jit_cache(c)->count.flushes++;
}

static void built(struct vcpu *c, struct x86_block *b)
{
    extern x86_fn vm__h_jit_count;

    b->fn0 = b->insns[0].fn;
    b->insns[0].fn = vm__h_jit_count;
    (void)c;
}

static void emitters(struct x86_jit_cache *k)
{
    ptrdiff_t run = k->rx - k->rw;

    k->hot = (struct emit) { .at = k->rw, .end = k->rw + HOT_BYTES, .run = run };
    k->cold = (struct emit) { .at = k->rw + HOT_BYTES, .end = k->rw + CODE_BYTES, .run = run };
    vm__jit_stubs(k);
    k->hot_start = k->hot.at;
    k->cold_start = k->cold.at;
    vm__jit_perf_stubs(k);
}

int vm__jit_cache_init(struct vcpu *c)
{
    struct x86_jit_cache *k = calloc(1, sizeof *k);
    int st;

    if (k == NULL)
        return vm__fail_nomem(sizeof *k);
    k->perf_fd = -1;
    k->threshold = (uint32_t)vm__config_u64(c->cpus->m->config, "jit.threshold");
    k->windows = vm__config_bool(c->cpus->m->config, "jit.windows");
    k->exact = vm__config_bool(c->cpus->m->config, "jit.exact");
    c->engine_data = k;
    k->count.calls = calloc(vm__x86_row_count, sizeof *k->count.calls);
    st = k->count.calls != NULL ? vm__interp_cache_init(c)
                                : vm__fail_nomem(vm__x86_row_count * sizeof *k->count.calls);
    if (st == VM_OK && vm__config_bool(c->cpus->m->config, "jit.perf_map"))
        st = vm__jit_perf_open(k);
    if (st == VM_OK)
        st = vm__code_map(&k->rw, &k->rx, CODE_BYTES);
    k->tr = malloc(sizeof *k->tr);
    if (st == VM_OK && (k->tr == NULL || (k->arena = vm__host_map(ARENA_BYTES)) == NULL))
        st = vm__fail_nomem(ARENA_BYTES);
    if (st != VM_OK) {
        vm__jit_cache_fini(c);
        return st;
    }
    host_features(k);
    emitters(k);
    empty(c);
    c->cache->built = built;
    c->cache->flushed = flushed;
    return VM_OK;
}

void vm__jit_cache_fini(struct vcpu *c)
{
    struct x86_jit_cache *k = jit_cache(c);

    vm__interp_cache_fini(c);
    if (k == NULL)
        return;
    if (k->arena != NULL)
        vm__host_unmap(k->arena, ARENA_BYTES);
    if (k->rw != NULL)
        vm__code_unmap(k->rw, k->rx, CODE_BYTES);
    vm__jit_perf_close(k);
    free(k->count.calls);
    free(k->tr);
    free(k);
    c->engine_data = NULL;
}

void *vm__jit_arena(struct vcpu *c, size_t bytes)
{
    struct x86_jit_cache *k = jit_cache(c);
    void *p = k->arena_at;

    bytes = (bytes + 15) & ~(size_t)15;
    if ((size_t)(k->arena + ARENA_BYTES - k->arena_at) < bytes)
        return NULL;
    k->arena_at += bytes;
    return p;
}

struct jit_code *vm__jit_code_alloc(struct vcpu *c, uint32_t n)
{
    struct jit_code *code = vm__jit_arena(c, sizeof *code + n * sizeof(x86_fn *));

    if (code != NULL)
        memset(code, 0, sizeof *code);
    return code;
}

void vm__jit_link(struct vcpu *c, struct jit_code *from, unsigned n, const struct jit_code *to)
{
    struct x86_jit_cache *k = jit_cache(c);

    emit_patch(from->site[n].rel, k->hot.run, to->entry[from->site[n].entry]);
    k->count.links++;
}

void vm__jit_forward(struct vcpu *c, struct jit_code *old, const struct jit_code *to)
{
    struct x86_jit_cache *k = jit_cache(c);

    for (unsigned n = 0; n < JIT_BODY; n++) {
        struct emit e = { .at = (uint8_t *)(uintptr_t)old->entry[n] - k->hot.run,
                          .run = k->hot.run };
        e.end = e.at + 5;
        emit_jmp_to(&e, to->entry[n]);
    }
    old->forwarded = true;
    k->count.forwards++;
}
