/* SPDX-License-Identifier: MIT */
/**
 * @file lockstep.c
 * Firmware's first instructions on KVM, one at a time, beside the interpreter.
 *
 * Two machines whose clocks stand; the test moves both by the same time after every few
 * instructions, so that timers fire and interrupts arrive at the same place. What may differ: RDTSC
 * and CPUID, which software KVM answers with what the host has, and after how many iterations a
 * repeated string instruction lets others in. These are made even and counted; every other
 * difference ends the test with what it is.
 *
 * Arguments: instructions, and how many of them between two comparisons (1; more miss an RDTSC).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvm/libvm.h>

#include "core/clock_impl.h"
#include "core/machine.h"
#include "core/run.h"
#include "cpu/vcpu.h"
#include "cpu/x86/mmu.h"

enum { SKIP = 77, NS_PER_INSN = 500 };

static struct vm_machine *build(vm_ctx *ctx, const char *engine)
{
    vm_config *cfg = vm_config_new(ctx, "pc");
    struct vm_machine *m = NULL;

    if (cfg != NULL && vm_config_set_str(cfg, "memory.size", "16M") == VM_OK &&
        vm_config_set_str(cfg, "cpu.model", "qemu64") == VM_OK &&
        vm_config_set_str(cfg, "rng.seed", "1") == VM_OK &&
        vm_config_set_str(cfg, "rtc.base", "1000000000") == VM_OK &&
        vm_config_set_str(cfg, "engine", engine) == VM_OK)
        m = vm_machine_build(cfg);
    vm_config_free(cfg);
    return m;
}

/* Features are those that both can run. */
static const char *const lists[2] = { "interp,kvm", "kvm,interp" };

static void advance(struct vm_machine *m, uint64_t ns)
{
    vm__lock(m);
    vm__clock_set(m, vm__clock_ns(m) + ns);
    vm__clock_fire(m);
    vm__unlock(m);
}

/* Exactly @p n instructions; a halted processor waits for the clock. */
static int run(struct vm_machine *m, uint64_t n)
{
    struct vm_cpu *cpu = m->cpus[0];
    vm_exit exit = { .size = sizeof exit };
    const uint64_t end = cpu->cls->insns(cpu) + n;

    while (cpu->cls->insns(cpu) < end) {
        const enum vm_cpu_stop stop = cpu->cls->run(cpu, end - cpu->cls->insns(cpu), &exit);
        if (stop == VM_CPU_ERROR || stop == VM_CPU_SHUTDOWN) {
            printf("%s: stop %d: %s\n", vm__vcpu(cpu)->cpus->engine->name, stop, exit.text);
            return -1;
        }
        if (stop == VM_CPU_HALTED)
            return 1;
    }
    return 0;
}

/* ---- comparing ---- */

static bool differ(const char *name, uint64_t a, uint64_t b)
{
    if (a != b)
        printf("  %s: interp %llx, kvm %llx\n", name, (unsigned long long)a, (unsigned long long)b);
    return a != b;
}

static bool compare(const struct x86_state *a, const struct x86_state *b)
{
    static const char *const gprs[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi" };
    static const char *const segs[] = { "es", "cs", "ss", "ds", "fs", "gs" };
    bool d = false;

    for (unsigned n = 0; n < 8; n++)
        d |= differ(gprs[n], a->gpr[n], b->gpr[n]);
    d |= differ("rip", a->rip, b->rip);
    d |= differ("rflags", a->rflags, b->rflags);
    d |= differ("cr0", a->cr0, b->cr0);
    d |= differ("cr2", a->cr2, b->cr2);
    d |= differ("cr3", a->cr3, b->cr3);
    d |= differ("cr4", a->cr4, b->cr4);
    d |= differ("efer", a->msr.efer, b->msr.efer);
    for (unsigned n = 0; n < X86_SEG_COUNT; n++) {
        d |= differ(segs[n], a->seg[n].sel, b->seg[n].sel);
        d |= differ("base", a->seg[n].base, b->seg[n].base);
        d |= differ("limit", a->seg[n].limit, b->seg[n].limit);
        d |= differ("attr", a->seg[n].attr, b->seg[n].attr);
    }
    d |= differ("gdt", a->gdtr.base, b->gdtr.base);
    d |= differ("idt", a->idtr.base, b->idtr.base);
    d |= differ("irr", memcmp(a->lapic.irr, b->lapic.irr, sizeof a->lapic.irr) != 0, 0);
    d |= differ("isr", memcmp(a->lapic.isr, b->lapic.isr, sizeof a->lapic.isr) != 0, 0);
    d |= differ("smm", a->smm, b->smm);
    return d;
}

static bool same_memory(struct vm_machine *a, struct vm_machine *b)
{
    static uint8_t x[0x10000], y[0x10000];

    for (uint64_t at = 0; at < 16u << 20; at += sizeof x) {
        if ((at >= 0xa0000 && at < 0xc0000) || vm_mem_read(a, at, x, sizeof x) != VM_OK ||
            vm_mem_read(b, at, y, sizeof y) != VM_OK)
            continue;
        for (unsigned n = 0; n < sizeof x; n++)
            if (x[n] != y[n]) {
                printf("  memory at %llx: interp %02x, kvm %02x\n", (unsigned long long)at + n,
                       x[n], y[n]);
                return false;
            }
    }
    return true;
}

/* The second byte of a two-byte opcode at RIP, or 0. */
static uint8_t opcode_0f(struct vcpu *c, uint64_t rip)
{
    uint8_t b[2] = { 0 };
    const bool read = vm_mem_read(c->cpus->m, c->st.seg[X86_CS].base + rip, b, 2) == VM_OK;
    return read && b[0] == 0x0f ? b[1] : 0;
}

/* Software KVM answers CPUID with features of the host that the machine does not have, and RDTSC
 * with the host's counter. @return whether something was different */
static bool make_even(struct x86_state *to, const struct x86_state *from)
{
    bool any = false;

    for (unsigned n = X86_RAX; n <= X86_RBX; n++) {
        any |= to->gpr[n] != from->gpr[n];
        to->gpr[n] = from->gpr[n];
    }
    return any;
}

/* A repeated string instruction counts once here however far it got, and the two stop after
 * different numbers of iterations: whoever is still at it goes on to its end. KVM's RF, set while
 * it is at it, has no meaning then. */
static bool finish_repeat(struct vm_machine *const m[2], uint64_t rip)
{
    bool any = false;

    for (unsigned k = 0; k < 2; k++) {
        struct vcpu *c = vm__vcpu(m[k]->cpus[0]), *other = vm__vcpu(m[1 - k]->cpus[0]);
        for (unsigned n = 0; n < 1000000 && c->st.rip == rip && other->st.rip != rip; n++) {
            any = true;
            if (run(m[k], 1) != 0)
                break;
        }
        if (any)
            c->st.rflags &= ~(uint64_t)X86_RF;
    }
    return any;
}

int main(int argc, char **argv)
{
    const uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000;
    const uint64_t step = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    struct vm_machine *m[2] = { build(ctx, lists[0]), build(ctx, lists[1]) };
    struct vcpu *c[2];
    uint64_t tscs = 0, cpuids = 0, reps = 0, at = 0;
    int status = 1;

    if (m[0] == NULL || m[1] == NULL || strcmp(vm_machine_engine(m[1]), "kvm") != 0) {
        printf("skipped: %s\n",
               m[1] == NULL ? vm_last_error()->message : vm__vcpu(m[1]->cpus[0])->cpus->not_used);
        return SKIP;
    }
    for (unsigned k = 0; k < 2; k++)
        c[k] = vm__vcpu(m[k]->cpus[0]);
    while (at < total) {
        /* Around RDTSC, one at a time. */
        const uint64_t rip = c[0]->st.rip;
        const uint8_t op = opcode_0f(c[0], rip);
        const bool tsc = op == 0x31, cpuid = op == 0xa2;
        const uint64_t n = tsc || cpuid ? 1 : step;
        const int r[2] = { run(m[0], n), run(m[1], n) };
        if (r[0] < 0 || r[1] < 0)
            goto out;
        if (tsc || cpuid) {
            const bool even = make_even(&c[1]->st, &c[0]->st);
            tscs += tsc && even;
            cpuids += cpuid && even;
        }
        reps += finish_repeat(m, rip);
        at += n;
        if (r[0] != r[1])
            printf("one of the two halts: interp %d, kvm %d\n", r[0], r[1]);
        if (compare(&c[0]->st, &c[1]->st) || r[0] != r[1]) {
            printf("after %llu instructions\n", (unsigned long long)at);
            goto out;
        }
        for (unsigned k = 0; k < 2; k++)
            advance(m[k], n * NS_PER_INSN);
    }
    if (same_memory(m[0], m[1]))
        status = 0;
out:
    printf("%llu instructions (made even: %llu RDTSC, %llu CPUID, %llu repeated ones): %s\n",
           (unsigned long long)at, (unsigned long long)tscs, (unsigned long long)cpuids,
           (unsigned long long)reps, status == 0 ? "the same" : "different");
    vm_machine_destroy(m[0]);
    vm_machine_destroy(m[1]);
    vm_ctx_unref(ctx);
    return status;
}
