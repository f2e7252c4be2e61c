/* SPDX-License-Identifier: MIT */
/**
 * @file event.h
 * News for the embedder: a bounded queue and one listener. For lib/core and lib/api.
 */
#ifndef LIBVM_CORE_EVENT_H
#define LIBVM_CORE_EVENT_H

#include "core/machine.h"

/** A listener inside the library, besides the embedder's. */
struct vm_event_tap {
    uint32_t mask;
    void (*fn)(void *ud, const vm_event *event); /**< as the embedder's: no lock is held */
    void *ud;
    struct vm_event_tap *next; /**< event.c's */
};

int vm__events_init(struct vm_machine *m);
void vm__events_fini(struct vm_machine *m);
int vm__events_listen(struct vm_machine *m, uint32_t mask,
                      void (*fn)(void *ud, const vm_event *event), void *ud, vm_free_fn free_ud);
/** @p tap stays the caller's. */
void vm__events_tap(struct vm_machine *m, struct vm_event_tap *tap);
/** When it returns @p tap is not being called and will not be, unless it is its own caller. */
void vm__events_untap(struct vm_machine *m, struct vm_event_tap *tap);
/** From now on events wait for vm__events_run() by the owner of the descriptor. */
int vm__events_fd(struct vm_machine *m);
/** Deliver up to @p max events; no lock is held. @p owner: called by vm_machine_dispatch(). */
int vm__events_run(struct vm_machine *m, uint32_t max, bool owner);

#endif
