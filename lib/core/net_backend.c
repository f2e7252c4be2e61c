/* SPDX-License-Identifier: MIT */
/**
 * @file net_backend.c
 * Networks by their text. See net_backend.h.
 */
#include "core/net_backend.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "core/config.h"
#include "core/machine.h"
#include "core/net_dump.h"

static const char *nth_kind(const void *ud, uint32_t i)
{
    const struct vm_net_backend *const *kinds = ud;
    return kinds[i] != NULL ? kinds[i]->name : NULL;
}

static const struct vm_net_backend *find_kind(struct vm_machine *m, const char *name)
{
    const struct vm_net_backend *const *kinds = m->ctx->registry->nets;
    for (uint32_t i = 0; kinds != NULL && kinds[i] != NULL; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    const char *near = kinds != NULL ? vm__nearest(name, nth_kind, kinds) : NULL;
    vm__fail(VM_E_NOENT, "no kind of network %s%s%s%s", name, near != NULL ? "; did you mean " : "",
             near != NULL ? near : "", near != NULL ? "?" : "");
    return NULL;
}

static int open_spec(struct vm_machine *m, struct vm_spec *spec)
{
    char made[24];
    const struct vm_net_backend *kind = find_kind(m, spec->name);
    if (kind == NULL)
        return VM_E_NOENT;
    for (unsigned i = 0; spec->id == NULL; i++) {
        (void)snprintf(made, sizeof made, "net%u", i);
        if (vm__net_find(m, made) == NULL)
            spec->id = made;
    }
    int st = vm__spec_check(spec, kind->settings);
    if (st != VM_OK)
        return st;
    struct vm_net *net = vm__net_new(m, spec->id);
    if (net == NULL)
        return vm_last_error()->code;
    st = kind->open(net, spec);
    if (st != VM_OK)
        vm__net_free(net);
    return st;
}

int vm__net_add(struct vm_machine *m, const char *text)
{
    struct vm_spec spec;
    int st = vm__spec_parse(text, &spec);
    if (st == VM_OK)
        st = open_spec(m, &spec);
    vm__spec_free(&spec);
    return st;
}

int vm__net_remove(struct vm_machine *m, const char *id)
{
    struct vm_net *net = vm__net_find(m, id);
    if (net == NULL)
        return vm__fail(VM_E_NOENT, "no network %s", id);
    vm__net_unplug(net);
    return VM_OK;
}

static int add_one(void *m, const char *key, const char *value)
{
    const int st = vm__net_add(m, value);
    return st == VM_OK ? VM_OK : vm__fail_prefix(st, "%s: ", key);
}

/** FILE,netdev=ID[,maxlen=BYTES] */
static int add_dump(struct vm_machine *m, const struct vm_spec *spec)
{
    static const char *const settings[] = { "netdev", "maxlen", NULL };
    const char *id = vm__spec_get(spec, "netdev");
    uint64_t most = VM_NET_FRAME_MAX;
    struct vm_net *net = id != NULL ? vm__net_by_name(m, id) : NULL;
    int st = vm__spec_check(spec, settings);
    if (st == VM_OK && net == NULL)
        st = vm__fail(VM_E_NOENT, "no network %s", id != NULL ? id : "is named by netdev=");
    if (st == VM_OK)
        st = vm__spec_u64(spec, "maxlen", VM_NET_FRAME_MAX, &most);
    return st == VM_OK ? vm__net_dump(net, spec->name, (uint32_t)most) : st;
}

static int dump_one(void *m, const char *key, const char *value)
{
    struct vm_spec spec;
    int st = vm__spec_parse(value, &spec);
    if (st == VM_OK)
        st = add_dump(m, &spec);
    vm__spec_free(&spec);
    return st == VM_OK ? VM_OK : vm__fail_prefix(st, "%s: ", key);
}

int vm__nets_open(struct vm_machine *m)
{
    const int st = vm__config_each(m->config, "netdev.", add_one, m);
    return st == VM_OK ? vm__config_each(m->config, "netdump.", dump_one, m) : st;
}
