/* SPDX-License-Identifier: MIT */
/**
 * @file vcpu.c
 * The processor class that floor 1 sees, and what all processors of a machine share.
 */
#include "cpu/vcpu.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include <libvm/cpu.h>

#include "base/error.h"
#include "core/config.h"
#include "core/machine.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/debug.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/regs.h"
#include "cpu/x86/reset.h"
#include "host/mem.h"
#include "host/time.h"


/* ---- the TSC's rate ---- */

#define ICOUNT_TSC_HZ UINT64_C(1000000000)

#if defined(__x86_64__)
/* The host's, to a tenth of a MHz: an engine that runs on hardware can then take over. */
static uint64_t host_tsc_hz(void)
{
    const uint64_t step = 100000, span = 2000000; /* Hz, ns */
    uint64_t t0 = vm__host_ns(), c0 = __rdtsc(), t1, c1;

    do {
        t1 = vm__host_ns();
        c1 = __rdtsc();
    } while (t1 - t0 < span);
    uint64_t hz = (uint64_t)((unsigned __int128)(c1 - c0) * 1000000000u / (t1 - t0));
    return (hz + step / 2) / step * step;
}
#else
static uint64_t host_tsc_hz(void)
{
    return ICOUNT_TSC_HZ;
}
#endif

static uint64_t choose_tsc_hz(const struct vm_machine *m)
{
    if (vm__config_enum(m->config, "clock.mode") == VM_CLOCK_ICOUNT)
        return ICOUNT_TSC_HZ; /* the same on every host */
    uint64_t hz = host_tsc_hz();
    return hz >= 100000000 ? hz : ICOUNT_TSC_HZ;
}

/* ---- what processors share ---- */

static void free_shared(struct x86_cpus *s)
{
    free(s->own_model);
    free(s);
}

static void hub_a20(void *cpus, int on)
{
    struct x86_cpus *s = cpus;

    if (atomic_exchange(&s->a20_masked, (uint8_t)!on) == (uint8_t)!on)
        return;
    for (uint32_t n = 0; n < s->n; n++)
        vm__cpu_kick(&s->cpu[n]->cpu, VM_CPU_REQ_MEM);
}

static int create_shared(struct vm_machine *m, struct x86_cpus **out)
{
    struct x86_cpus *s = calloc(1, sizeof *s);
    int st;

    if (s == NULL)
        return vm__fail_nomem(sizeof *s);
    s->m = m;
    s->own_model = calloc(1, sizeof *s->own_model);
    st = s->own_model != NULL ? vm__x86_choose_engines(s) : vm__fail_nomem(sizeof *s->own_model);
    if (st == VM_OK)
        st = vm__x86_choose_model(s, vm__config_str(m->config, "cpu.model"),
                                  vm__config_str(m->config, "cpu.features"));
    if (st == VM_OK)
        st = s->engine->create(s);
    if (st != VM_OK) {
        free_shared(s);
        return st;
    }
    s->tsc_hz = choose_tsc_hz(m);
    s->tsc_mul = (uint64_t)(((unsigned __int128)s->tsc_hz << 32) / 1000000000u);
    struct vm_irq_hub *hub = &m->irq_hub;
    hub->msi = vm__x86_hub_msi;
    hub->intr = vm__x86_hub_intr;
    hub->nmi = vm__x86_hub_nmi;
    hub->smi = vm__x86_hub_smi;
    hub->sleep = vm__x86_hub_sleep;
    hub->a20 = hub_a20;
    hub->cpus = s;
    *out = s;
    return VM_OK;
}

static void release_shared(struct x86_cpus *s)
{
    struct vm_irq_hub *hub = &s->m->irq_hub;

    s->engine->destroy(s);
    hub->msi = NULL;
    hub->intr = NULL;
    hub->nmi = hub->smi = hub->sleep = NULL;
    hub->a20 = NULL;
    hub->cpus = NULL;
    free_shared(s);
}

/* ---- one processor ---- */

static size_t vcpu_bytes(void)
{
    return (sizeof(struct vcpu) + VM_PAGE_SIZE - 1) & ~(size_t)(VM_PAGE_SIZE - 1);
}

static int create(struct vm_machine *m, uint32_t index, struct vm_cpu **out)
{
    struct x86_cpus *s = m->irq_hub.cpus;
    int st = index == 0 ? create_shared(m, &s) : VM_OK;

    if (st != VM_OK)
        return st;
    struct vcpu *c = vm__host_map(vcpu_bytes());
    if (c == NULL) {
        if (s->n == 0)
            release_shared(s);
        return VM_E_NOMEM;
    }
    c->cpus = s;
    c->cpu = (struct vm_cpu){ .cls = &vm__x86_cpu_class, .m = m, .index = index };
    atomic_store(&c->parked, 1);
    st = s->engine->vcpu_init(c);
    if (st != VM_OK) {
        vm__host_unmap(c, vcpu_bytes());
        if (s->n == 0)
            release_shared(s);
        return st;
    }
    vm__x86_tlb_init(c);
    vm__x86_lapic_timer_init(c);
    s->cpu[index] = c;
    s->n = index + 1;
    vm__x86_reset(c);
    *out = &c->cpu;
    return VM_OK;
}

static void destroy(struct vm_cpu *cpu)
{
    struct vcpu *c = vm__vcpu(cpu);
    struct x86_cpus *s = c->cpus;

    vm__timer_cancel(&c->apic_timer);
    s->engine->vcpu_fini(c);
    s->cpu[cpu->index] = NULL;
    vm__host_unmap(c, vcpu_bytes());
    if (--s->n == 0)
        release_shared(s);
}

static void reset(struct vm_cpu *cpu)
{
    vm__x86_reset(vm__vcpu(cpu));
}

/* A processor outside run() has no need to answer when a page gets its first code: what it stored
 * is in memory already, and a request set while it is parked is carried out before it stores
 * again. The fence makes one of two things certain: the engine's first look at req sees that bit,
 * or the one who set it sees that this processor is running (x86/code_page.c). */
static enum vm_cpu_stop run(struct vm_cpu *cpu, uint64_t max_insns, struct vm_exit *exit)
{
    struct vcpu *c = vm__vcpu(cpu);

    atomic_store_explicit(&c->parked, 0, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
    vm__x86_debug_enter(c);
    enum vm_cpu_stop stop = c->cpus->engine->run(c, max_insns, exit);
    atomic_store_explicit(&c->parked, 1, memory_order_release);
    return stop;
}

/* Interrupts, NMIs and the like come with a request bit; what they mean, poll finds out. */
static bool has_work(struct vm_cpu *cpu)
{
    const struct vcpu *c = vm__vcpu(cpu);
    return atomic_load_explicit(&c->req, memory_order_acquire) != 0 ||
           c->st.activity == X86_ACTIVE;
}

static void request(struct vm_cpu *cpu, uint32_t what)
{
    struct vcpu *c = vm__vcpu(cpu);

    atomic_fetch_or(&c->req, what);
    if (atomic_load(&c->kick) == NULL)
        return;
    atomic_fetch_add(&c->kickers, 1);
    struct x86_kick *kick = atomic_load(&c->kick);
    if (kick != NULL)
        kick->poke(kick);
    atomic_fetch_sub(&c->kickers, 1);
}

static uint64_t insns(struct vm_cpu *cpu)
{
    return vm__x86_insns(vm__vcpu(cpu));
}

static int translate(struct vm_cpu *cpu, uint64_t gva, int access, uint64_t *gpa)
{
    struct x86_walk w;

    if (!vm__x86_peek(vm__vcpu(cpu), gva, &w) || (access == VM_ACCESS_WRITE && !w.writable) ||
        (access == VM_ACCESS_EXEC && w.nx))
        return vm__fail_at(VM_E_RANGE, gva, "0x%llx is not mapped so", (unsigned long long)gva);
    *gpa = w.gpa;
    return VM_OK;
}

static void *state(struct vm_cpu *cpu)
{
    struct vcpu *c = vm__vcpu(cpu);

    c->cpus->engine->store(c);
    return &vm__vcpu(cpu)->st;
}

static int list(int what, int (*fn)(void *ud, const char *name, const char *summary), void *ud)
{
    int st = VM_OK;

    if (what == VM_LIST_CPUS)
        return vm__x86_list_models(fn, ud);
    for (const struct vm_engine *const *e = vm__engines; st == VM_OK && *e != NULL; e++)
        st = fn(ud, (*e)->name, (*e)->summary);
    return st;
}

const struct vm_cpu_class vm__x86_cpu_class = {
    .name = "x86",
    .create = create,
    .destroy = destroy,
    .reset = reset,
    .run = run,
    .has_work = has_work,
    .request = request,
    .insns = insns,
    .reg_read = vm__x86_reg_read,
    .reg_write = vm__x86_reg_write,
    .reg_id = vm__x86_reg_id,
    .translate = translate,
    .state = state,
    .fields = vm__x86_fields,
    .post_load = vm__x86_post_load,
    .list = list,
    .set_engine = vm__x86_set_engine,
    .engine = vm__x86_engine,
    .has_hooks = vm__x86_has_hooks,
};
