/* SPDX-License-Identifier: MIT */
/**
 * @file spec.h
 * "name,setting=value,id=x": what the user writes of a device or a network, cut up. A comma in a
 * value is doubled.
 */
#ifndef LIBVM_CORE_SPEC_H
#define LIBVM_CORE_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"

enum { VM_SPEC_MOST = 64 };

struct vm_spec {
    char *copy;       /**< what the others point into */
    const char *name; /**< what comes first */
    const char *id;   /**< NULL: none given */
    uint32_t n;
    struct vm_setting settings[VM_SPEC_MOST + 1]; /**< ended by { NULL, NULL } */
};

/** Cut up; to be given to vm__spec_free() whatever comes of it. */
int vm__spec_parse(const char *text, struct vm_spec *spec);
void vm__spec_free(struct vm_spec *spec);
/** The last value of a setting, or NULL. */
const char *vm__spec_get(const struct vm_spec *spec, const char *name);
/** *out stays if it is not there. */
int vm__spec_bool(const struct vm_spec *spec, const char *name, bool *out);
int vm__spec_u64(const struct vm_spec *spec, const char *name, uint64_t max, uint64_t *out);
/** Nothing but what is in @p names, NULL-ended. */
int vm__spec_check(const struct vm_spec *spec, const char *const *names);

#endif
