/* SPDX-License-Identifier: MIT */
/**
 * @file snapshot.c
 * Exported: saving and loading a machine.
 */
#include <libvm/snapshot.h>

#include <stdlib.h>

#include "base/error.h"
#include "core/machine.h"

int vm_machine_save(vm_machine *m, void **data, size_t *len)
{
    uint8_t *bytes = NULL;
    if (m == NULL || data == NULL || len == NULL)
        return vm__fail(VM_E_INVAL, "no machine or no place for the bytes");
    const int st = vm__machine_save(m, &bytes, len);
    if (st == VM_OK)
        *data = bytes;
    return st;
}

int vm_machine_load(vm_machine *m, const void *data, size_t len)
{
    if (m == NULL || data == NULL)
        return vm__fail(VM_E_INVAL, "no machine or no bytes");
    return vm__machine_load(m, data, len);
}

void vm_buffer_free(void *data)
{
    free(data);
}
