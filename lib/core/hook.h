/* SPDX-License-Identifier: MIT */
/**
 * @file hook.h
 * Hooks of the embedder, as floor 1 keeps them and processors meet them.
 *
 * Who decodes code asks for VM_HOOK_INSN and VM_HOOK_BLOCK, who fills a soft TLB for the memory
 * kinds; a change makes every processor drop both (VM_CPU_REQ_DROP). Without hooks a question is
 * one load of `kinds`.
 *
 * The list's lock is a leaf: nothing is called with it held. A hook that is called is counted
 * (`users`), and freed by the last to leave it.
 */
#ifndef LIBVM_CORE_HOOK_H
#define LIBVM_CORE_HOOK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <libvm/hook.h>

struct vm_hook;

enum {
    VM_HOOK_CODE = VM_HOOK_INSN | VM_HOOK_BLOCK,
    VM_HOOK_MEM = VM_HOOK_MEM_READ | VM_HOOK_MEM_WRITE,
    VM_HOOK_PORT = VM_HOOK_PORT_READ | VM_HOOK_PORT_WRITE | VM_HOOK_PORT_VALUE,
    VM_HOOK_ALL = VM_HOOK_CODE | VM_HOOK_MEM | VM_HOOK_PORT | VM_HOOK_INTR,
};

/** Of a machine: m->hooks. */
struct vm_hooks {
    pthread_mutex_t lock;
    struct vm_hook *list; /**< in the order of their numbers */
    int64_t last_id;
    _Atomic uint32_t kinds; /**< of all hooks */
};

void vm__hooks_init(struct vm_hooks *h);
/** Nobody runs any more. */
void vm__hooks_fini(struct vm_hooks *h);

int64_t vm__hook_add(struct vm_machine *m, uint32_t kinds, uint64_t first, uint64_t last,
                     vm_hook_fn fn, void *ud, vm_free_fn free_ud);
int vm__hook_del(struct vm_machine *m, int64_t id);

/** The kinds of hooks that look at some of [first, last]. */
uint32_t vm__hook_find(struct vm_hooks *h, uint32_t kinds, uint64_t first, uint64_t last);

static inline bool vm__hook_any(const struct vm_hooks *h, uint32_t kinds)
{
    return __builtin_expect(atomic_load_explicit(&h->kinds, memory_order_acquire) & kinds, 0) != 0;
}
static inline uint32_t vm__hook_wants(struct vm_hooks *h, uint32_t kinds, uint64_t first,
                                      uint64_t last)
{
    return vm__hook_any(h, kinds) ? vm__hook_find(h, kinds, first, last) : 0;
}

/** The calling thread is in a hook that was called for @p cpu. */
bool vm__in_hook(const struct vm_cpu *cpu);

/**
 * Call every hook of the event's kind that looks at [event->addr, last]. Asks for the pause itself
 * where one wants it. @return VM_HOOK_GO, VM_HOOK_HANDLED or VM_HOOK_STOP [cpu thread]
 */
int vm__hook_call(struct vm_machine *m, struct vm_cpu *cpu, vm_hook_event *event, uint64_t last);

#endif
