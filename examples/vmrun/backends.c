/* SPDX-License-Identifier: MIT */
/**
 * @file backends.c
 * All character backends of the program: opened, and joined to who uses them.
 */
#include <string.h>

#include "vmrun.h"

static struct chr *all; /* for the monitor's commands, which name them */

struct chr *backend_find(const char *id)
{
    struct chr *c = all;
    while (c != NULL && strcmp(c->id, id) != 0)
        c = c->next;
    return c;
}

void backend_add(struct vmrun *v, struct chr *c)
{
    c->next = v->chrs;
    v->chrs = all = c;
}

/** Attaching nothing fails only where there is nothing to attach to. */
static bool has_channel(vm_machine *m, const char *id)
{
    return vm_chr_attach(m, id, NULL, NULL, NULL) == VM_OK;
}

static bool join(struct vmrun *v, const struct wire *w)
{
    struct chr *c = backend_find(w->chr);
    switch (w->kind) {
    case WIRE_GUEST:
        /* A -chardev is for a device that names it; one that none names, as one for -mon, is not
         * the guest's. */
        if (strcmp(w->channel, w->chr) == 0 && !has_channel(v->m, w->channel))
            return true;
        return chr_join_guest(c, v->m, w->channel);
    case WIRE_MONITOR:
        return console_open(c, v);
    case WIRE_GDB:
        return gdb_open(c, v);
    }
    return true;
}

bool backends_open(struct vmrun *v)
{
    for (unsigned i = 0; i < v->o.n_chrs; i++) {
        const struct chr_wish *w = &v->o.chrs[i];
        struct chr *c = chr_open(v->loop, w->option, w->spec, w->id);
        if (c == NULL)
            return false;
        backend_add(v, c);
    }
    for (unsigned i = 0; i < v->o.n_wires; i++)
        if (!join(v, &v->o.wires[i]))
            return false;
    return true;
}

void backends_close(struct vmrun *v)
{
    while (v->chrs != NULL) {
        struct chr *c = v->chrs;
        v->chrs = all = c->next;
        chr_close(c);
    }
}
