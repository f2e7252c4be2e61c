/* SPDX-License-Identifier: MIT */
/**
 * @file doorbell.h
 * Writes that mean no more than "look at your queue".
 *
 * A device whose window has such a place, as a virtio queue's notification address, names it here
 * beside handling it in its window. An engine that runs the guest in the kernel may then have the
 * write end in an event descriptor: the processor does not stop, and ring() is called on the
 * machine's loop. Other engines take no notice, and the window's handler sees the write as ever; so
 * both must come to the same, and ring() must not mind being called once too often.
 *
 * What was rung before the machine stands still is delivered before it does.
 *
 * Threads: everything under the machine lock; ring() too.
 */
#ifndef LIBVM_CORE_DOORBELL_H
#define LIBVM_CORE_DOORBELL_H

#include <stdbool.h>
#include <stdint.h>

struct vm_machine;
struct vm_region;

struct vm_doorbell {
    struct vm_region *window; /**< memory or ports */
    uint64_t off;             /**< in it */
    uint8_t size;             /**< of the write in bytes: 1, 2, 4, 8; 0: any */
    bool one_value;           /**< only when @p value is written; needs a size */
    uint64_t value;
    void (*ring)(void *opaque);
    void *opaque;
    struct vm_doorbell *next;
};

/** Name one; @p bell is the caller's until it is removed, or its window is freed. */
void vm__doorbell_add(struct vm_machine *m, struct vm_doorbell *bell);
void vm__doorbell_remove(struct vm_machine *m, struct vm_doorbell *bell);

/** Those of a window that is about to go; core/region.c, which then publishes the map. */
void vm__doorbell_forget(struct vm_machine *m, const struct vm_region *window);

/**
 * Where the guest has to write: address or port, if nothing lies over it now. For engines.
 * @return whether there is such a place
 */
bool vm__doorbell_place(const struct vm_machine *m, const struct vm_doorbell *bell, bool *port,
                        uint64_t *at);

#endif
