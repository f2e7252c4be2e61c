/* SPDX-License-Identifier: MIT */
/**
 * @file machine.c
 * Building a machine and taking it apart.
 */
#include "core/machine.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/address_space.h"
#include "core/board.h"
#include "core/chr_impl.h"
#include "core/clock_impl.h"
#include "core/config.h"
#include "core/device_impl.h"
#include "core/display.h"
#include "core/input.h"
#include "core/net_backend.h"
#include "core/device_spec.h"
#include "core/event.h"
#include "core/part.h"
#include "core/run.h"
#include "host/loop.h"
#include "host/thread.h"
#include "host/time.h"

enum { SECONDS_1970_TO_2000 = 946684800 };

/* ---- the lock --------------------------------------------------------------------------- */

void vm__lock(struct vm_machine *m)
{
    const uintptr_t self = vm__thread_mark();
    if (atomic_load_explicit(&m->lock_owner, memory_order_relaxed) != self) {
        pthread_mutex_lock(&m->lock);
        atomic_store_explicit(&m->lock_owner, self, memory_order_relaxed);
    }
    m->lock_depth++;
}

void vm__unlock(struct vm_machine *m)
{
    if (--m->lock_depth == 0) {
        atomic_store_explicit(&m->lock_owner, 0, memory_order_relaxed);
        pthread_mutex_unlock(&m->lock);
    }
}

bool vm__locked(const struct vm_machine *m)
{
    return atomic_load_explicit(&m->lock_owner, memory_order_relaxed) == vm__thread_mark();
}

static void lock_for_loop(void *m)
{
    vm__lock(m);
}

static void unlock_for_loop(void *m)
{
    vm__unlock(m);
}

/* ---- settings --------------------------------------------------------------------------- */

static int choose_epoch(struct vm_machine *m)
{
    const char *base = vm__config_str(m->config, "rtc.base");
    const uint64_t now = vm__host_epoch();

    if (base == NULL)
        m->epoch_s = m->clock->mode == VM_CLOCK_ICOUNT ? SECONDS_1970_TO_2000 : now;
    else if (strcmp(base, "utc") == 0)
        m->epoch_s = now;
    else if (strcmp(base, "localtime") == 0)
        m->epoch_s = now + (uint64_t)vm__host_utc_offset(now);
    else if (vm__parse_u64(base, false, &m->epoch_s) != VM_OK)
        return vm__fail(VM_E_INVAL,
                        "rtc.base: %s is neither utc, localtime nor a number of seconds", base);
    return VM_OK;
}

uint64_t vm__machine_epoch(const struct vm_machine *m)
{
    return m->epoch_s;
}

/* splitmix64, to spread a seed: Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014. */
static uint64_t spread(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void seed(struct vm_machine *m)
{
    const bool given = vm__config_str(m->config, "rng.seed") != NULL;
    if (!given && m->clock->mode != VM_CLOCK_ICOUNT)
        return;
    uint64_t x = vm__config_u64(m->config, "rng.seed");
    for (int i = 0; i < 4; i++)
        m->random[i] = spread(&x);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

/* xoshiro256**: Blackman, Vigna, "Scrambled linear pseudorandom number generators", 2018. */
static uint64_t next_random(uint64_t s[4])
{
    const uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

void vm__machine_random(struct vm_machine *m, void *buf, size_t len)
{
    uint8_t *to = buf;
    vm__lock(m);
    const bool repeatable = (m->random[0] | m->random[1] | m->random[2] | m->random[3]) != 0;
    while (len != 0) {
        uint64_t v = 0;
        const size_t n = len < sizeof v ? len : sizeof v;
        if (repeatable || !vm__host_random(&v, sizeof v))
            v = next_random(m->random);
        memcpy(to, &v, n);
        to += n;
        len -= n;
    }
    vm__unlock(m);
}

/* ---- parts ------------------------------------------------------------------------------ */

struct vm_irq vm__machine_line(struct vm_machine *m, uint32_t n)
{
    return n < m->n_lines ? m->lines[n] : (struct vm_irq) { 0 };
}

int vm__machine_add_cpus(struct vm_machine *m, uint32_t count)
{
    if (m->cpu_class == NULL)
        return vm__fail(VM_E_NOTSUP, "this library has no processor built in");
    if (count > VM_MAX_CPUS)
        return vm__fail(VM_E_RANGE, "%u processors: there can be %d", count, VM_MAX_CPUS);
    for (uint32_t i = 0; i < count; i++) {
        struct vm_cpu *cpu = NULL;
        const int st = m->cpu_class->create(m, i, &cpu);
        if (st != VM_OK)
            return st;
        m->cpus[i] = cpu;
        m->n_cpus = i + 1;
    }
    return vm__run_add_cpus(m);
}

int vm__machine_reset_now(struct vm_machine *m, int kind)
{
    vm__parts_reset(m, kind);
    /* The cold and warm of the interface and of devices are the same numbers. */
    for (uint32_t i = 0; i < m->n_devs; i++)
        vm__dev_reset(m->devs[i], (enum vm_reset_kind)kind);
    for (uint32_t i = 0; i < m->n_cpus; i++) {
        m->cpus[i]->cls->reset(m->cpus[i]);
        m->run->runners[i].halted = false;
    }
    vm__debug_reset(m);
    m->run->turn = 0;
    m->run->slice_left = VM_SLICE;
    const int st = m->board != NULL && m->board->reset != NULL ? m->board->reset(m, kind) : VM_OK;
    vm__dev_sweep(m);
    return st;
}

_Static_assert((int)VM_RESET_COLD == (int)VM_DEV_RESET_COLD, "reset kinds");
_Static_assert((int)VM_RESET_WARM == (int)VM_DEV_RESET_WARM, "reset kinds");

/* ---- life ------------------------------------------------------------------------------- */

struct vm_machine *vm__machine_new(const struct vm_config *cfg)
{
    struct vm_machine *m = calloc(1, sizeof *m);
    if (m == NULL) {
        vm__fail_nomem(sizeof *m);
        return NULL;
    }
    struct vm_ctx *ctx = vm__config_ctx(cfg);
    m->ctx = vm__ctx_ref(ctx);
    pthread_mutex_init(&m->lock, NULL);
    vm__hooks_init(&m->hooks);
    vm__log_init(&m->log, ctx->host.log, ctx->host.ud, ctx->host.log_level,
                 ctx->host.log_categories);
    m->config = vm__config_copy(cfg);
    m->board = vm__config_board(cfg);
    m->cpu_class = vm__config_cpu(cfg);
    m->loop = vm__loop_new(lock_for_loop, unlock_for_loop, m);
    if (m->config == NULL || m->loop == NULL || vm__run_init(m) != VM_OK ||
        vm__events_init(m) != VM_OK ||
        vm__clock_init(m, (enum vm_clock_mode)vm__config_enum(m->config, "clock.mode"),
                       vm__config_u64(m->config, "clock.ns_per_insn")) != VM_OK ||
        vm__mem_init(m) != VM_OK || choose_epoch(m) != VM_OK) {
        vm__machine_destroy(m);
        return NULL;
    }
    seed(m);
    return m;
}

static int plug_one(void *m, const char *key, const char *value)
{
    const int st = vm__dev_plug(m, value);
    return st == VM_OK ? VM_OK : vm__fail_prefix(st, "%s: ", key);
}

static int build(struct vm_machine *m)
{
    int st = VM_OK;
    if (m->board == NULL)
        return vm__fail(VM_E_NOTSUP, "this library has no board built in");
    st = vm__nets_open(m);
    if (st == VM_OK)
        st = m->board->build(m);
    if (st == VM_OK)
        st = vm__config_each(m->config, "nic.", plug_one, m);
    if (st == VM_OK)
        st = vm__config_each(m->config, "device.", plug_one, m);
    if (st == VM_OK && m->board->finish != NULL)
        st = m->board->finish(m);
    return st;
}

struct vm_machine *vm__machine_build(const struct vm_config *cfg)
{
    struct vm_machine *m = vm__machine_new(cfg);
    if (m == NULL)
        return NULL;
    vm__lock(m);
    vm__mem_begin(m);
    int st = build(m);
    vm__mem_commit(m);
    if (st == VM_OK) /* the board's part of a reset already uses memory and ports */
        st = vm__machine_reset_now(m, VM_RESET_COLD);
    m->built = true;
    vm__unlock(m);
    if (st != VM_OK) {
        vm__machine_destroy(m);
        return NULL;
    }
    return m;
}

static void free_parts(struct vm_machine *m)
{
    vm__parts_save(m); /* nothing that is in flight outlives the device it belongs to */
    if (m->monitor_free != NULL)
        m->monitor_free(m->monitor);
    vm__dev_sweep(m);
    while (m->n_devs != 0)
        vm__dev_free(m->devs[m->n_devs - 1]);
    free(m->devs);
    while (m->n_cpus != 0) {
        struct vm_cpu *cpu = m->cpus[--m->n_cpus];
        cpu->cls->destroy(cpu);
    }
    if (m->board != NULL && m->board->destroy != NULL)
        m->board->destroy(m);
    vm__parts_destroy(m->parts);
    m->parts = NULL;
    vm__chr_free_all(m);
    vm__input_text_fini(m);
    free(m->input);
    for (uint32_t i = 0; i < VM_MAX_DISPLAYS; i++)
        vm__display_free(m->displays[i]);
}

void vm__machine_destroy(struct vm_machine *m)
{
    if (m == NULL)
        return;
    vm__run_stop_threads(m);
    if (m->mem != NULL) { /* the last part of vm__machine_new(): without it there are no others */
        vm__lock(m);
        free_parts(m);
        vm__unlock(m);
    }
    vm__mem_fini(m);
    vm__clock_fini(m);
    vm__events_fini(m);
    vm__run_fini(m);
    vm__debug_fini(m);
    vm__hooks_fini(&m->hooks);
    vm__loop_free(m->loop);
    vm__config_free(m->config);
    vm__log_fini(&m->log);
    pthread_mutex_destroy(&m->lock);
    vm__ctx_unref(m->ctx);
    free(m);
}
