/* SPDX-License-Identifier: MIT */
/**
 * @file code_page.c
 * Taking write permission for pages with code away from every processor.
 *
 * The first code on a page takes cached write permission for it away from every processor. The
 * others are asked (VM_CPU_REQ_CODE) and answer at their next poll; since one that runs may have
 * written with a stale permission until then, its answer bumps the page's code_version once more,
 * so that anything decoded before the answer is decoded again. A processor outside run() (halted,
 * waiting for its start-up IPI, paused) is not waited for: what it stored is there to be read, and
 * it polls before it stores again.
 *
 * So decoding never waits, and code may be stale until the answer comes. That is too long for one who
 * has been told of the change by memory and has executed a serializing instruction since: there, and
 * where events are delivered, outstanding answers are waited for (x86_serialize()).
 *
 * Pages waited for are in a list of fixed size. When it is full, answers for all further pages are
 * one entry, and such an answer makes every processor drop everything it has decoded.
 */
#include "cpu/x86/code_page.h"

#include "cpu/x86/tlb.h"
#include "host/thread.h"
#include "host/time.h"

enum { WORDS = VM_MAX_CPUS / 64 };

static void shoot_lock(struct x86_cpus *s)
{
    while (atomic_exchange_explicit(&s->shoot_lock, 1, memory_order_acquire))
        __builtin_ia32_pause();
}

static void shoot_unlock(struct x86_cpus *s)
{
    atomic_store_explicit(&s->shoot_lock, 0, memory_order_release);
}

/* ---- sets of processors ---- */

static void add(uint64_t *set, uint32_t n)
{
    set[n / 64] |= UINT64_C(1) << (n % 64);
}

static void add_all(uint64_t *set, const uint64_t *more)
{
    for (unsigned w = 0; w < WORDS; w++)
        set[w] |= more[w];
}

static bool take(uint64_t *set, uint32_t n)
{
    bool was = set[n / 64] >> (n % 64) & 1;
    set[n / 64] &= ~(UINT64_C(1) << (n % 64));
    return was;
}

static bool is_empty(const uint64_t *set)
{
    uint64_t any = 0;
    for (unsigned w = 0; w < WORDS; w++)
        any |= set[w];
    return any == 0;
}

/* Under the lock; x86_serialize() reads it without. */
static void set_count(struct x86_cpus *s, uint32_t n)
{
    __atomic_store_n(&s->n_shoot, n, __ATOMIC_RELAXED);
}

/* ---- asking ---- */

/* Where the answers for @p page are noted: in its own entry, or in that of all without one. */
static uint64_t *entry_of(struct x86_cpus *s, struct vm_page *page)
{
    uint32_t k;

    for (k = 0; k < s->n_shoot && s->shoot[k].page != page; k++)
        ;
    if (k == X86_SHOOT_MAX)
        return s->shoot_all;
    if (k == s->n_shoot) {
        s->shoot[k] = (struct x86_shoot) { .page = page };
        set_count(s, s->n_shoot + 1);
    }
    return s->shoot[k].waiting;
}

static void ask_others(struct vcpu *c, struct vm_page *page)
{
    struct x86_cpus *s = c->cpus;
    uint64_t running[WORDS] = { 0 };

    if (s->n < 2)
        return;
    /* Under the lock, so that an answer to this request finds the entry. Bit first, then the look
     * at `parked`: the other half of the handshake is in vcpu.c, run(). */
    shoot_lock(s);
    for (uint32_t n = 0; n < s->n; n++)
        if (s->cpu[n] != c)
            atomic_fetch_or_explicit(&s->cpu[n]->req, VM_CPU_REQ_CODE, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
    for (uint32_t n = 0; n < s->n; n++)
        if (s->cpu[n] != c && !atomic_load_explicit(&s->cpu[n]->parked, memory_order_acquire))
            add(running, n);
    if (!is_empty(running))
        add_all(entry_of(s, page), running);
    shoot_unlock(s);
}

void vm__x86_mark_code(struct vcpu *c, struct vm_page *page, uint32_t off, uint32_t len)
{
    uint32_t first = off >> 6, last = (off + len - 1) >> 6;
    uint64_t mask = (~UINT64_C(0) << first) & (~UINT64_C(0) >> (63 - last));
    uint64_t old = atomic_load_explicit(&page->code_sectors, memory_order_relaxed);

    if ((old & mask) == mask)
        return;
    old = atomic_fetch_or_explicit(&page->code_sectors, mask, memory_order_seq_cst);
    if (old == 0) {
        vm__x86_tlb_flush(c, VM_FLUSH_CODE, 0);
        ask_others(c, page);
    }
}

/* ---- answering ---- */

void vm__x86_code_answer(struct vcpu *c)
{
    struct x86_cpus *s = c->cpus;
    uint32_t me = c->cpu.index;

    vm__x86_tlb_flush(c, VM_FLUSH_CODE, 0);
    shoot_lock(s);
    for (uint32_t k = 0; k < s->n_shoot;) {
        struct x86_shoot *e = &s->shoot[k];

        if (take(e->waiting, me))
            atomic_fetch_add_explicit(&e->page->code_version, 1, memory_order_seq_cst);
        if (is_empty(e->waiting)) {
            *e = s->shoot[s->n_shoot - 1];
            set_count(s, s->n_shoot - 1);
        } else {
            k++;
        }
    }
    if (take(s->shoot_all, me))
        for (uint32_t n = 0; n < s->n; n++)
            atomic_fetch_or_explicit(&s->cpu[n]->req, VM_CPU_REQ_DROP, memory_order_seq_cst);
    shoot_unlock(s);
}

/* ---- waiting ---- */

/* The part of @p set that runs. One that is parked has stored what it stored, and answers before it
 * stores again. */
static bool any_running(const struct x86_cpus *s, const struct vcpu *me, const uint64_t *set)
{
    for (uint32_t n = 0; n < s->n; n++)
        if ((set[n / 64] >> (n % 64) & 1) && s->cpu[n] != me &&
            !atomic_load_explicit(&s->cpu[n]->parked, memory_order_acquire))
            return true;
    return false;
}

static bool outstanding(struct vcpu *c)
{
    struct x86_cpus *s = c->cpus;
    bool any;

    shoot_lock(s);
    any = any_running(s, c, s->shoot_all);
    for (uint32_t k = 0; k < s->n_shoot && !any; k++)
        any = any_running(s, c, s->shoot[k].waiting);
    shoot_unlock(s);
    return any;
}

/* Two may wait for each other, so this one answers meanwhile. A processor answers between two
 * blocks; one that does not for so long is in a function of the embedder, and stores nothing. */
void vm__x86_code_wait(struct vcpu *c)
{
    enum { PATIENCE_NS = 50000000, SPINS = 64 };
    const uint64_t until = vm__host_ns() + PATIENCE_NS;

    for (unsigned n = 1; outstanding(c); n++) {
        if (atomic_load_explicit(&c->req, memory_order_relaxed) & VM_CPU_REQ_CODE) {
            atomic_fetch_and_explicit(&c->req, ~(uint32_t)VM_CPU_REQ_CODE, memory_order_acq_rel);
            vm__x86_code_answer(c);
        }
        __builtin_ia32_pause();
        if (n % SPINS == 0) {
            if (vm__host_ns() > until)
                return;
            vm__thread_yield();
        }
    }
}

void vm__x86_code_forget(struct x86_cpus *s)
{
    /* A page of a region that was removed lives until every processor has polled; an answer may
     * come later than that. */
    shoot_lock(s);
    for (uint32_t k = 0; k < s->n_shoot; k++)
        add_all(s->shoot_all, s->shoot[k].waiting);
    set_count(s, 0);
    shoot_unlock(s);
}
