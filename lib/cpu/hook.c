/* SPDX-License-Identifier: MIT */
/**
 * @file hook.c
 * From where a processor stands to an event that hooks understand.
 */
#include "cpu/hook.h"

#include <string.h>

#include "cpu/interp/interp.h"

static uint64_t linear(const struct vcpu *c, uint64_t rip)
{
    return x86_is64(c) ? rip : (uint32_t)(c->st.seg[X86_CS].base + rip);
}

/* The embedder is going to look: registers, flags and RIP as they are now. */
static uint64_t settle(struct vcpu *c)
{
    const struct x86_block *b = c->blk;

    if (b != NULL && c->cur >= b->insns && c->cur < b->insns + b->n)
        c->st.rip = vm__x86_rip(c, c->cur);
    (void)x86_flags(c);
    x86_host_leave(c);
    return linear(c, c->st.rip);
}

static int call(struct vcpu *c, vm_hook_event *e, uint64_t last)
{
    return vm__hook_call(c->cpus->m, &c->cpu, e, last);
}

bool vm__x86_hook_code(struct vcpu *c, uint32_t kinds, uint32_t n)
{
    const uint64_t rip = c->st.rip, at = settle(c);
    const uint32_t mode = c->mode;
    int answer = VM_HOOK_GO;

    if (c->hook_pass && c->hook_pass_at == at) { /* it has been called for this one */
        c->hook_pass = false;
        return true;
    }
    for (uint32_t kind = VM_HOOK_BLOCK; kind != 0 && answer != VM_HOOK_STOP; kind >>= 1) {
        if ((kinds & kind) == 0 || c->st.rip != rip)
            continue;
        vm_hook_event e = {
            .kind = kind, .pc = at, .addr = at, .aux = kind == VM_HOOK_BLOCK ? n : 0
        };
        answer = call(c, &e, at);
    }
    if (c->st.rip != rip) {
        c->hook_pass = false;
        return false;
    }
    c->hook_pass = answer == VM_HOOK_STOP || c->mode != mode;
    c->hook_pass_at = at;
    return !c->hook_pass;
}

void vm__x86_hook_access(struct vcpu *c, uint64_t lin, unsigned size, const void *buf, bool write)
{
    vm_hook_event e = { .kind = write ? VM_HOOK_MEM_WRITE : VM_HOOK_MEM_READ,
                        .width = size,
                        .addr = lin };

    if (!vm__hook_wants(&c->cpus->m->hooks, e.kind, lin, lin + size - 1))
        return;
    memcpy(&e.value, buf, size < sizeof e.value ? size : sizeof e.value);
    e.pc = settle(c);
    (void)call(c, &e, lin + size - 1);
}

uint32_t vm__x86_hook_in(struct vcpu *c, uint16_t port, unsigned size)
{
    vm_hook_event e = { .kind = VM_HOOK_PORT_READ, .width = size, .addr = port };
    const uint64_t mask = (UINT64_C(1) << (8 * size)) - 1;

    e.pc = settle(c);
    if (call(c, &e, (uint64_t)port + size - 1) == VM_HOOK_HANDLED)
        return (uint32_t)(e.value & mask);
    e.value = vm__port_read(c->cpus->m, port, size);
    e.kind = VM_HOOK_PORT_VALUE;
    (void)call(c, &e, (uint64_t)port + size - 1);
    return (uint32_t)(e.value & mask);
}

void vm__x86_hook_out(struct vcpu *c, uint16_t port, unsigned size, uint32_t v)
{
    vm_hook_event e = { .kind = VM_HOOK_PORT_WRITE, .width = size, .addr = port, .value = v };

    e.pc = settle(c);
    if (call(c, &e, (uint64_t)port + size - 1) != VM_HOOK_HANDLED)
        vm__port_write(c->cpus->m, port, size, v);
}

void vm__x86_hook_event(struct vcpu *c, uint64_t ret)
{
    static const uint8_t what[] = {
        [X86_EVENT_EXCEPTION] = VM_HOOK_IS_EXCEPTION,
        [X86_EVENT_SOFT] = VM_HOOK_IS_SOFTWARE,
        [X86_EVENT_ICEBP] = VM_HOOK_IS_SOFTWARE,
        [X86_EVENT_INTR] = VM_HOOK_IS_INTERRUPT,
        [X86_EVENT_NMI] = VM_HOOK_IS_NMI,
    };
    const struct x86_event *ev = &c->st.event;
    vm_hook_event e = { .kind = VM_HOOK_INTR,
                        .pc = linear(c, ret),
                        .addr = ev->vector,
                        .value = ev->has_error ? ev->error : 0,
                        .aux = what[ev->kind] };

    (void)settle(c);
    (void)call(c, &e, e.addr);
}
