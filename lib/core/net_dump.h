/* SPDX-License-Identifier: MIT */
/**
 * @file net_dump.h
 * Keeping what goes over a cable.
 */
#ifndef LIBVM_CORE_NET_DUMP_H
#define LIBVM_CORE_NET_DUMP_H

#include "core/net.h"

/** Write frames to a file as they pass, at most @p most bytes of each. */
int vm__net_dump(struct vm_net *net, const char *path, uint32_t most);

#endif
