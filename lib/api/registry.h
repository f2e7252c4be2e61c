/* SPDX-License-Identifier: MIT */
/**
 * @file registry.h
 * Every class built into this library.
 */
#ifndef LIBVM_API_REGISTRY_H
#define LIBVM_API_REGISTRY_H

#include "core/config.h"

extern const struct vm_registry vm__registry;

#endif
