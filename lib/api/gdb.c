/* SPDX-License-Identifier: MIT */
/**
 * @file gdb.c
 * Exported: sessions of gdb.
 */
#include "debug/gdb.h"

#include "base/error.h"

vm_gdb *vm_gdb_new(vm_machine *m, const vm_gdb_ops *ops, void *ud)
{
    if (m == NULL || ops == NULL || ops->size < offsetof(vm_gdb_ops, command) || ops->out == NULL) {
        vm__fail(VM_E_INVAL, "no machine, or nowhere to send gdb's bytes");
        return NULL;
    }
    return vm__gdb_new(m, ops, ud);
}

int vm_gdb_feed(vm_gdb *g, const void *data, size_t len)
{
    if (g == NULL || (data == NULL && len != 0))
        return vm__fail(VM_E_INVAL, "no session or no bytes");
    return vm__gdb_feed(g, data, len);
}

int vm_gdb_print(vm_gdb *g, const char *text)
{
    if (g == NULL || text == NULL)
        return vm__fail(VM_E_INVAL, "no session or no text");
    return vm__gdb_print(g, text);
}

void vm_gdb_free(vm_gdb *g)
{
    if (g != NULL)
        vm__gdb_free(g);
}
