/* SPDX-License-Identifier: MIT */
/**
 * @file net_backend.h
 * Kinds of networks a cable can lead to, as data and one call.
 *
 * A network is one line of text, "user,id=n0,hostfwd=tcp::2222-:22", from the configuration keys
 * "netdev.0", "netdev.1", … or from the monitor. A kind is one file of lib/backends with a class at
 * its end, and one line in lib/backends/meson.build.
 */
#ifndef LIBVM_CORE_NET_BACKEND_H
#define LIBVM_CORE_NET_BACKEND_H

#include "core/net.h"
#include "core/spec.h"

struct vm_net_backend {
    const char *name; /**< "user" */
    const char *summary;
    const char *const *settings; /**< their names, NULL-ended; "id" goes without saying */
    /** Attach a host's side to @p net. The spec does not outlive the call. */
    int (*open)(struct vm_net *net, const struct vm_spec *spec);
};

/** Make the networks of the configuration. Before the devices. */
int vm__nets_open(struct vm_machine *m);
/** One more. Under the machine lock. */
int vm__net_add(struct vm_machine *m, const char *text);
/** And away; a card that is plugged in has a cable that leads nowhere from then on. */
int vm__net_remove(struct vm_machine *m, const char *id);

#endif
