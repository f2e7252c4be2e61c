/* SPDX-License-Identifier: MIT */
/**
 * @file fake_pc.c
 * A board with a processor whose instructions are letters.
 */
#include "support/fake_pc.h"

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/board.h"
#include "core/device.h"

/* ---- the processor ---------------------------------------------------------------------- */

struct fake_vcpu {
    struct vm_cpu base;
    _Atomic uint32_t requests;
    struct fake_cpu_state s;
    _Atomic uint64_t insns; /* s.insns as other threads may read it */
};

static struct fake_vcpu *fake(struct vm_cpu *cpu)
{
    return (struct fake_vcpu *)(void *)cpu;
}

static const struct vm_cpu_class fake_cpu_class;

static int create(struct vm_machine *m, uint32_t index, struct vm_cpu **out)
{
    struct fake_vcpu *c = calloc(1, sizeof *c);
    if (c == NULL)
        return vm__fail_nomem(sizeof *c);
    c->base = (struct vm_cpu) { .cls = &fake_cpu_class, .m = m, .index = index };
    *out = &c->base;
    return VM_OK;
}

static void destroy(struct vm_cpu *cpu)
{
    free(cpu);
}

static void reset(struct vm_cpu *cpu)
{
    struct fake_vcpu *c = fake(cpu);
    const uint64_t insns = c->s.insns;
    c->s = (struct fake_cpu_state) { .insns = insns };
}

static uint32_t hex(struct vm_machine *m, uint64_t at, unsigned digits)
{
    char text[9] = { 0 };
    assert(vm__mem_read(m, at, text, digits) == VM_OK);
    return (uint32_t)strtoul(text, NULL, 16);
}

/* One instruction; its length, or a reason to leave in *stop. */
static unsigned step(struct fake_vcpu *c, enum vm_cpu_stop *stop, bool *leave)
{
    struct vm_machine *m = c->base.m;
    const uint64_t at = FAKE_PROGRAM + c->s.pc;
    uint64_t n;
    char op = 0;

    vm__mem_read(m, at, &op, 1);
    switch (op) {
    case 'n':
        return 1;
    case 'h':
        c->s.halted = 1;
        return 1;
    case '+':
        vm__mem_read(m, FAKE_COUNTERS + 8 * c->base.index, &n, 8);
        n++;
        vm__mem_write(m, FAKE_COUNTERS + 8 * c->base.index, &n, 8);
        return 1;
    case 'o':
        vm__port_write(m, (uint16_t)hex(m, at + 1, 4), 1, hex(m, at + 5, 2));
        return 7;
    case 'i':
        c->s.acc += vm__port_read(m, (uint16_t)hex(m, at + 1, 4), 1);
        return 5;
    case 'm':
        vm__mmio_write(m, VM_VIEW_NORMAL, hex(m, at + 1, 8), 1, hex(m, at + 9, 2));
        return 11;
    case 'j':
        c->s.pc = hex(m, at + 1, 2);
        return 0;
    case 'c':
        if (hex(m, at + 1, 1) != c->base.index)
            return 4;
        c->s.pc = hex(m, at + 2, 2);
        return 0;
    case 's':
        nanosleep(&(struct timespec) { .tv_nsec = 30000000 }, NULL);
        return 1;
    case 't':
        *stop = VM_CPU_SHUTDOWN;
        break;
    case 'b':
        *stop = VM_CPU_DEBUG;
        break;
    default:
        *stop = VM_CPU_ERROR;
        break;
    }
    *leave = true;
    return 1;
}

/* Look at what was asked. True: leave run(). */
static bool poll_requests(struct fake_vcpu *c, enum vm_cpu_stop *stop)
{
    const uint32_t asked = atomic_exchange(&c->requests, 0);
    if (__atomic_exchange_n(&c->s.pending, 0, __ATOMIC_SEQ_CST)) {
        c->s.interrupts++;
        c->s.halted = 0;
    }
    *stop = (asked & VM_CPU_REQ_STOP) ? VM_CPU_KICKED : VM_CPU_BUDGET;
    return (asked & (VM_CPU_REQ_STOP | VM_CPU_REQ_YIELD)) != 0;
}

static enum vm_cpu_stop run(struct vm_cpu *cpu, uint64_t max_insns, struct vm_exit *exit)
{
    struct fake_vcpu *c = fake(cpu);
    enum vm_cpu_stop stop = VM_CPU_BUDGET;

    for (uint64_t n = 0; n < max_insns; n++) {
        bool leave = false;
        if (atomic_load(&c->requests) != 0 && poll_requests(c, &stop))
            return stop;
        if (c->s.halted)
            return VM_CPU_HALTED;
        c->s.pc += step(c, &stop, &leave);
        c->s.insns++;
        atomic_store(&c->insns, c->s.insns);
        if (leave) {
            exit->code = stop == VM_CPU_DEBUG ? VM_DEBUG_BREAK : VM_E_GUEST;
            snprintf(exit->text, sizeof exit->text, "no such letter");
            return stop;
        }
    }
    return VM_CPU_BUDGET;
}

static bool has_work(struct vm_cpu *cpu)
{
    return __atomic_load_n(&fake(cpu)->s.pending, __ATOMIC_SEQ_CST) != 0;
}

static void request(struct vm_cpu *cpu, uint32_t what)
{
    atomic_fetch_or(&fake(cpu)->requests, what);
}

static uint64_t insns(struct vm_cpu *cpu)
{
    return atomic_load(&fake(cpu)->insns);
}

static int64_t reg_id(const char *name)
{
    return strcmp(name, "pc") == 0 ? 0 : vm__fail(VM_E_NOENT, "no register %s", name);
}

static int reg_read(struct vm_cpu *cpu, uint32_t reg, void *buf, size_t size)
{
    if (reg != 0)
        return vm__fail(VM_E_NOENT, "no register %u", reg);
    memset(buf, 0, size);
    memcpy(buf, &fake(cpu)->s.pc, size < 8 ? size : 8);
    return VM_OK;
}

static void *state(struct vm_cpu *cpu)
{
    return &fake(cpu)->s;
}

static int cpu_post_load(struct vm_cpu *cpu)
{
    atomic_store(&fake(cpu)->insns, fake(cpu)->s.insns);
    atomic_store(&fake(cpu)->requests, fake(cpu)->s.pending ? VM_CPU_REQ_INTR : 0);
    if (fake(cpu)->s.pc > 0x1000)
        return vm__fail(VM_E_CORRUPT, "the program ends before 0x%llx",
                        (unsigned long long)fake(cpu)->s.pc);
    return VM_OK;
}

static const struct vm_field cpu_fields[] = {
    VM_FIELD(fake_cpu_state, pc, 1),
    VM_FIELD(fake_cpu_state, acc, 1),
    VM_FIELD(fake_cpu_state, insns, 1),
    VM_FIELD(fake_cpu_state, interrupts, 1),
    VM_FIELD(fake_cpu_state, halted, 1),
    VM_FIELD(fake_cpu_state, pending, 1),
    { 0 },
};

static const struct vm_cpu_class fake_cpu_class = {
    .name = "fake",
    .create = create,
    .destroy = destroy,
    .reset = reset,
    .run = run,
    .has_work = has_work,
    .request = request,
    .insns = insns,
    .reg_id = reg_id,
    .reg_read = reg_read,
    .state = state,
    .fields = cpu_fields,
    .post_load = cpu_post_load,
};

/* ---- the board's chip ------------------------------------------------------------------- */

struct chip {
    struct vm_timer tick;
    uint64_t period_ns;
    uint64_t ticks;
    struct vm_chr *debug;
};

static void on_tick(void *opaque)
{
    struct vm_dev *dev = opaque;
    struct chip *s = vm_dev_state(dev);
    s->ticks++;
    vm__timer_arm(&s->tick, s->tick.deadline_ns + s->period_ns);
    vm__dev_irq_pulse(dev, 0);
}

static void write_tick(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct chip *s = vm_dev_state(dev);
    (void)off;
    (void)size;
    s->period_ns = value * 100000;
    if (value != 0)
        vm__timer_arm(&s->tick, vm__dev_now(dev) + s->period_ns);
    else
        vm__timer_cancel(&s->tick);
}

static void write_reset(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    (void)off;
    (void)size;
    vm__request_reset(dev->m, value & 1 ? VM_RESET_COLD : VM_RESET_WARM);
}

static void write_exit(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    (void)off;
    (void)size;
    vm__request_shutdown(dev->m, (uint32_t)value);
}

static void write_debug(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct chip *s = vm_dev_state(dev);
    const uint8_t byte = (uint8_t)value;
    (void)off;
    (void)size;
    (void)vm__chr_write(s->debug, &byte, 1);
}

static const struct vm_window windows[] = {
    { "tick", VM_SPACE_PORT, .size = 1, .write = write_tick },
    { "reset", VM_SPACE_PORT, .size = 1, .write = write_reset },
    { "exit", VM_SPACE_PORT, .size = 1, .write = write_exit },
    { "debug", VM_SPACE_PORT, .size = 1, .write = write_debug },
    { 0 },
};

static int chip_realize(struct vm_dev *dev)
{
    static const uint16_t ports[] = { 0x40, 0x64, 0xf4, 0xe9 };
    struct chip *s = vm_dev_state(dev);
    vm__dev_timer(dev, &s->tick, on_tick);
    s->debug = vm__chr_get(dev->m, "debug");
    for (uint32_t i = 0; i < 4; i++)
        if (vm__dev_map(dev, i, ports[i]) != VM_OK)
            return vm_last_error()->code;
    return vm__dev_line(dev, 0, 0);
}

static void chip_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct chip *s = vm_dev_state(dev);
    (void)kind;
    vm__timer_cancel(&s->tick);
    s->period_ns = 0;
}

static const struct vm_field chip_fields[] = {
    VM_FIELD_TIMER(chip, tick, 1), VM_FIELD(chip, period_ns, 1), VM_FIELD(chip, ticks, 1), { 0 }
};

static const struct vm_dev_class chip_class = {
    .name = "chip",
    .state_size = sizeof(struct chip),
    .windows = windows,
    .fields = chip_fields,
    .realize = chip_realize,
    .reset = chip_reset,
};

/* ---- the board -------------------------------------------------------------------------- */

static void line_set(void *opaque, uint32_t n, int level)
{
    struct vm_machine *m = opaque;
    (void)n;
    for (uint32_t i = 0; i < m->n_cpus && level; i++) {
        __atomic_store_n(&fake(m->cpus[i])->s.pending, 1, __ATOMIC_SEQ_CST);
        vm__cpu_kick(m->cpus[i], VM_CPU_REQ_INTR);
    }
}

static int build(struct vm_machine *m)
{
    struct vm_region *ram = vm__ram_new(m, "ram", vm__config_u64(m->config, "memory.size"));
    if (ram == NULL || vm__region_place(ram, 0, VM_PRIO_RAM) != VM_OK)
        return vm_last_error()->code;
    m->lines[0] = (struct vm_irq) { .set = line_set, .opaque = m };
    m->n_lines = 1;
    if (vm__dev_add(m, &chip_class, "chip", NULL) == NULL)
        return vm_last_error()->code;
    return vm__machine_add_cpus(m, (uint32_t)vm__config_u64(m->config, "cpu.count"));
}

static int board_reset(struct vm_machine *m, int kind)
{
    const char *program = vm__config_str(m->config, "boot.cmdline");
    (void)kind;
    return vm__mem_write(m, FAKE_PROGRAM, program, strlen(program));
}

static const struct vm_board_class fake_board = {
    .name = "fake", .summary = "for tests", .build = build, .reset = board_reset
};

static const struct vm_dev_class *const devices[] = { &chip_class, NULL };
static const struct vm_board_class *const boards[] = { &fake_board, NULL };
static const struct vm_cpu_class *const cpus[] = { &fake_cpu_class, NULL };
static const struct vm_registry registry = { devices, boards, cpus };

struct vm_config *fake_pc_config(const char *program, uint32_t count)
{
    char text[16];
    struct vm_ctx *ctx = vm__ctx_new(&registry, NULL);
    assert(ctx != NULL);
    struct vm_config *cfg = vm__config_new(ctx, &fake_board, &fake_cpu_class);
    vm__ctx_unref(ctx);
    snprintf(text, sizeof text, "%u", count);
    assert(cfg != NULL && vm__config_set(cfg, "boot.cmdline", program) == VM_OK &&
           vm__config_set(cfg, "memory.size", "4M") == VM_OK &&
           vm__config_set(cfg, "cpu.count", text) == VM_OK);
    return cfg;
}

struct vm_machine *fake_pc(const char *program, uint32_t count)
{
    struct vm_config *cfg = fake_pc_config(program, count);
    struct vm_machine *m = vm__machine_build(cfg);
    assert(m != NULL);
    vm__config_free(cfg);
    return m;
}

struct fake_cpu_state *fake_cpu(struct vm_machine *m, uint32_t index)
{
    return &fake(m->cpus[index])->s;
}

uint64_t fake_counter(struct vm_machine *m, uint32_t index)
{
    uint64_t n = 0;
    assert(vm__mem_read(m, FAKE_COUNTERS + 8 * index, &n, 8) == VM_OK);
    return n;
}

uint64_t fake_ticks(struct vm_machine *m)
{
    vm__lock(m);
    const uint64_t n = ((const struct chip *)vm_dev_state(vm__dev_find(m, "chip")))->ticks;
    vm__unlock(m);
    return n;
}
