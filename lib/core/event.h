/* SPDX-License-Identifier: MIT */
/**
 * @file event.h
 * News for the embedder: a bounded queue and one listener. For lib/core and lib/api.
 */
#ifndef LIBVM_CORE_EVENT_H
#define LIBVM_CORE_EVENT_H

#include "core/machine.h"

int vm__events_init(struct vm_machine *m);
void vm__events_fini(struct vm_machine *m);
int vm__events_listen(struct vm_machine *m, uint32_t mask,
                      void (*fn)(void *ud, const vm_event *event), void *ud, vm_free_fn free_ud);
/** From now on events wait for vm__events_run() by the owner of the descriptor. */
int vm__events_fd(struct vm_machine *m);
/** Deliver up to @p max events; no lock is held. @p owner: called by vm_machine_dispatch(). */
int vm__events_run(struct vm_machine *m, uint32_t max, bool owner);

#endif
