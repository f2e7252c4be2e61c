/* SPDX-License-Identifier: MIT */
/**
 * @file config.c
 * Exported: contexts, listings, configurations.
 */
#include <libvm/config.h>

#include <stdio.h>
#include <string.h>

#include "api/registry.h"
#include "base/error.h"
#include "core/board.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/net_backend.h"

vm_ctx *vm_ctx_create(uint32_t api_version, const vm_host_ops *host)
{
    if (api_version >> 16 != VM_API_VERSION >> 16) {
        vm__fail(VM_E_VERSION, "this library is of interface %u, not %u", VM_API_VERSION >> 16,
                 api_version >> 16);
        return NULL;
    }
    return vm__ctx_new(&vm__registry, host);
}

void vm_ctx_unref(vm_ctx *ctx)
{
    vm__ctx_unref(ctx);
}

static int list_devices(const struct vm_registry *r, vm_list_fn fn, void *ud)
{
    for (const struct vm_dev_class *const *c = r->devices; *c != NULL; c++) {
        const int st =
            (*c)->bus != VM_BUS_BOARD ? fn(ud, (*c)->name, (*c)->summary ? (*c)->summary : "") : 0;
        if (st != 0)
            return st;
    }
    return VM_OK;
}

static int list_boards(const struct vm_registry *r, vm_list_fn fn, void *ud)
{
    for (const struct vm_board_class *const *b = r->boards; *b != NULL; b++) {
        const int st = fn(ud, (*b)->name, (*b)->summary ? (*b)->summary : "");
        if (st != 0)
            return st;
    }
    return VM_OK;
}

static int list_cpus(const struct vm_registry *r, int what, vm_list_fn fn, void *ud)
{
    for (const struct vm_cpu_class *const *c = r->cpus; *c != NULL; c++) {
        const int st = (*c)->list != NULL ? (*c)->list(what, fn, ud) : VM_OK;
        if (st != 0)
            return st;
    }
    return VM_OK;
}

static int list_nets(const struct vm_registry *r, vm_list_fn fn, void *ud)
{
    for (const struct vm_net_backend *const *b = r->nets; *b != NULL; b++) {
        const int st = fn(ud, (*b)->name, (*b)->summary);
        if (st != 0)
            return st;
    }
    return VM_OK;
}

int vm_list(vm_ctx *ctx, int what, vm_list_fn fn, void *ud)
{
    if (ctx == NULL || fn == NULL)
        return vm__fail(VM_E_INVAL, "no context or no function");
    switch (what) {
    case VM_LIST_DEVICES:
        return list_devices(ctx->registry, fn, ud);
    case VM_LIST_BOARDS:
        return list_boards(ctx->registry, fn, ud);
    case VM_LIST_CPUS:
    case VM_LIST_ENGINES:
        return list_cpus(ctx->registry, what, fn, ud);
    case VM_LIST_KEYS:
        return vm__config_list_keys(ctx->registry->boards[0], fn, ud);
    case VM_LIST_NETS:
        return list_nets(ctx->registry, fn, ud);
    default:
        return vm__fail(VM_E_INVAL, "there is no list %d", what);
    }
}

int vm_list_props(vm_ctx *ctx, const char *device, vm_list_fn fn, void *ud)
{
    if (ctx == NULL || device == NULL || fn == NULL)
        return vm__fail(VM_E_INVAL, "no context, name or function");
    const struct vm_dev_class *const *c = ctx->registry->devices;
    while (*c != NULL && strcmp((*c)->name, device) != 0)
        c++;
    if (*c == NULL)
        return vm__fail(VM_E_NOENT, "no device %s", device);
    for (const struct vm_prop *p = (*c)->props; p != NULL && p->name != NULL; p++) {
        char text[256];
        snprintf(text, sizeof text, "%s%s%s%s", p->help != NULL ? p->help : "",
                 p->value != NULL ? " (default " : "", p->value != NULL ? p->value : "",
                 p->value != NULL ? ")" : "");
        const int st = fn(ud, p->name, text);
        if (st != 0)
            return st;
    }
    return VM_OK;
}

static const char *nth_board(const void *ud, uint32_t i)
{
    const struct vm_board_class *const *boards = ud;
    return boards[i] != NULL ? boards[i]->name : NULL;
}

vm_config *vm_config_new(vm_ctx *ctx, const char *board)
{
    if (ctx == NULL) {
        vm__fail(VM_E_INVAL, "no context");
        return NULL;
    }
    const struct vm_board_class *const *boards = ctx->registry->boards;
    const struct vm_board_class *const *b = boards;
    while (board != NULL && *b != NULL && strcmp((*b)->name, board) != 0)
        b++;
    if (board != NULL && *b == NULL) {
        const char *near = vm__nearest(board, nth_board, boards);
        if (near != NULL)
            vm__fail(VM_E_NOENT, "no board %s; did you mean %s?", board, near);
        else
            vm__fail(VM_E_NOENT, "no board %s", board);
        return NULL;
    }
    return vm__config_new(ctx, *b, ctx->registry->cpus[0]);
}

void vm_config_free(vm_config *cfg)
{
    vm__config_free(cfg);
}

int vm_config_set_str(vm_config *cfg, const char *key, const char *value)
{
    if (cfg == NULL || key == NULL || value == NULL)
        return vm__fail(VM_E_INVAL, "no configuration, key or value");
    return vm__config_set(cfg, key, value);
}

int vm_config_set_u64(vm_config *cfg, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return vm_config_set_str(cfg, key, text);
}

int vm_config_set_json(vm_config *cfg, const char *json)
{
    if (cfg == NULL || json == NULL)
        return vm__fail(VM_E_INVAL, "no configuration or no text");
    return vm__config_set_json(cfg, json);
}

int vm_config_get(const vm_config *cfg, const char *key, char *buf, size_t *len)
{
    if (cfg == NULL || key == NULL || len == NULL || (buf == NULL && *len != 0))
        return vm__fail(VM_E_INVAL, "no configuration, key or buffer");
    if (!vm__config_known(cfg, key))
        return VM_E_NOENT;
    const char *value = vm__config_str(cfg, key);
    if (value == NULL)
        value = "";
    const size_t need = strlen(value) + 1, room = *len;
    *len = need;
    if (need > room)
        return vm__fail(VM_E_RANGE, "%s takes %zu bytes", key, need);
    memcpy(buf, value, need);
    return VM_OK;
}
