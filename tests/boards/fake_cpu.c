/* SPDX-License-Identifier: MIT */
#include "fake_cpu.h"

#include <stdlib.h>
#include <string.h>

#include "api/registry.h"
#include "base/error.h"
#include "core/board.h"
#include "core/config.h"

enum { N_REGS = 256 };

struct fake {
    struct vm_cpu cpu;
    uint64_t regs[N_REGS];
};

static int fake_create(struct vm_machine *m, uint32_t index, struct vm_cpu **out);

static void fake_destroy(struct vm_cpu *cpu)
{
    free(cpu);
}

static void fake_reset(struct vm_cpu *cpu)
{
    struct fake *f = (struct fake *)cpu;
    memset(f->regs, 0, sizeof f->regs);
}

static enum vm_cpu_stop fake_run(struct vm_cpu *cpu, uint64_t max_insns, struct vm_exit *exit)
{
    (void)cpu;
    (void)max_insns;
    (void)exit;
    return VM_CPU_HALTED;
}

static bool fake_has_work(struct vm_cpu *cpu)
{
    (void)cpu;
    return false;
}

static void fake_request(struct vm_cpu *cpu, uint32_t what)
{
    (void)cpu;
    (void)what;
}

static uint64_t fake_insns(struct vm_cpu *cpu)
{
    (void)cpu;
    return 0;
}

static int fake_reg_write(struct vm_cpu *cpu, uint32_t reg, const void *buf, size_t size)
{
    struct fake *f = (struct fake *)cpu;
    if (reg >= N_REGS)
        return VM_OK; /* model-specific ones */
    f->regs[reg] = 0;
    memcpy(&f->regs[reg], buf, size < 8 ? size : 8);
    return VM_OK;
}

static int fake_reg_read(struct vm_cpu *cpu, uint32_t reg, void *buf, size_t size)
{
    const struct fake *f = (struct fake *)cpu;
    memset(buf, 0, size);
    if (reg < N_REGS)
        memcpy(buf, &f->regs[reg], size < 8 ? size : 8);
    return VM_OK;
}

static const struct vm_cpu_class fake_class = {
    .name = "fake",
    .create = fake_create,
    .destroy = fake_destroy,
    .reset = fake_reset,
    .run = fake_run,
    .has_work = fake_has_work,
    .request = fake_request,
    .insns = fake_insns,
    .reg_read = fake_reg_read,
    .reg_write = fake_reg_write,
};

static int fake_create(struct vm_machine *m, uint32_t index, struct vm_cpu **out)
{
    struct fake *f = calloc(1, sizeof *f);
    if (f == NULL)
        return VM_E_NOMEM;
    f->cpu = (struct vm_cpu) { .cls = &fake_class, .m = m, .index = index };
    *out = &f->cpu;
    return VM_OK;
}

extern const struct vm_board_class vm__pc_board;

struct vm_machine *fake_pc(const char *const *settings)
{
    struct vm_ctx *ctx = vm__ctx_new(&vm__registry, NULL);
    struct vm_config *cfg = vm__config_new(ctx, &vm__pc_board, &fake_class);
    struct vm_machine *m = NULL;
    int st = VM_OK;
    for (; settings != NULL && settings[0] != NULL && st == VM_OK; settings += 2)
        st = vm__config_set(cfg, settings[0], settings[1]);
    if (st == VM_OK)
        m = vm__machine_build(cfg);
    vm__config_free(cfg);
    vm__ctx_unref(ctx);
    return m;
}

void fake_pc_free(struct vm_machine *m)
{
    vm__machine_destroy(m);
}

uint64_t fake_reg(struct vm_machine *m, uint32_t reg)
{
    uint64_t v = 0;
    (void)m->cpus[0]->cls->reg_read(m->cpus[0], reg, &v, sizeof v);
    return v;
}
