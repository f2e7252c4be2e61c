/* SPDX-License-Identifier: MIT */
/**
 * @file net_hubport.c
 * A port of a hub: what comes in at one goes out at all others.
 *
 * A port is a network a card plugs into; with netdev= it is a card plugged into another network.
 * A hub holds nothing back: what a port does not take is lost, as on any network.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/error.h"
#include "core/machine.h"
#include "core/net_backend.h"
#include "core/part.h"

struct port {
    struct port *next;
    struct hubs *all;
    uint64_t hub;
    struct vm_net *net;    /* whose host this is */
    struct vm_net *beyond; /* whose card this is; NULL: none */
    char beyond_id[64];
};

/* A machine's. */
struct hubs {
    struct port *ports;
    unsigned depth; /* hubs that lead to each other */
};

enum { DEPTH_MOST = 8 };

static void on_destroy(void *part)
{
    struct hubs *all = part;
    for (struct port *p = all->ports; p != NULL; p = p->next)
        p->all = NULL; /* networks go after this */
    free(all);
}

static const struct vm_part_class hubs_class = { .name = "hubs", .destroy = on_destroy };

static struct hubs *hubs_of(struct vm_machine *m)
{
    struct hubs *all = vm__machine_part(m, &hubs_class);
    if (all != NULL)
        return all;
    all = calloc(1, sizeof *all);
    if (all == NULL || vm__machine_add_part(m, &hubs_class, all) != VM_OK) {
        free(all);
        vm__fail_nomem(sizeof *all);
        return NULL;
    }
    return all;
}

/** To what is behind a port: the network beyond it, or the card plugged in. */
static void out(struct port *p, const struct vm_net_frame *f)
{
    if (p->beyond != NULL)
        (void)vm__net_send(p->beyond, f);
    else
        (void)vm__net_deliver(p->net, f);
}

static void spread(struct port *from, const struct vm_net_frame *f)
{
    struct hubs *all = from->all;
    if (all == NULL || all->depth >= DEPTH_MOST)
        return;
    all->depth++;
    for (struct port *p = all->ports; p != NULL; p = p->next)
        if (p != from && p->hub == from->hub)
            out(p, f);
    all->depth--;
}

/** From the card plugged into the port. */
static bool port_send(void *opaque, const struct vm_net_frame *f)
{
    spread(opaque, f);
    return true;
}

/** From the network beyond. */
static bool port_receive(void *opaque, const struct vm_net_frame *f)
{
    spread(opaque, f);
    return true;
}

static void port_info(void *opaque, struct vm_buf *text)
{
    const struct port *p = opaque;
    vm__buf_printf(text, "hub %llu%s%s", (unsigned long long)p->hub,
                   p->beyond != NULL ? ", to " : "", p->beyond != NULL ? p->beyond_id : "");
}

static void port_close(void *opaque)
{
    struct port *p = opaque;
    struct port **link = p->all != NULL ? &p->all->ports : NULL;
    while (link != NULL && *link != p)
        link = &(*link)->next;
    if (link != NULL)
        *link = p->next;
    /* By name: it may have gone before. */
    if (p->beyond != NULL && vm__net_find(vm__net_machine(p->net), p->beyond_id) == p->beyond)
        vm__net_detach_nic(p->beyond);
    free(p);
}

static const struct vm_net_host_ops ops = {
    .send = port_send,
    .info = port_info,
    .close = port_close,
};

static const struct vm_net_nic_ops nic_ops = { .receive = port_receive };

static int hubport_open(struct vm_net *net, const struct vm_spec *spec)
{
    static const uint8_t no_mac[VM_NET_MAC];
    const char *beyond = vm__spec_get(spec, "netdev");
    uint64_t hub = 0;
    struct hubs *all = hubs_of(vm__net_machine(net));
    struct port *p = calloc(1, sizeof *p);
    int st = all != NULL && p != NULL ? vm__spec_u64(spec, "hubid", INT32_MAX, &hub) : VM_E_NOMEM;
    if (st == VM_OK && beyond != NULL) {
        p->beyond =
            vm__net_attach_nic(vm__net_machine(net), beyond, vm__net_id(net), no_mac, &nic_ops, p);
        st = p->beyond != NULL ? VM_OK : vm_last_error()->code;
        (void)snprintf(p->beyond_id, sizeof p->beyond_id, "%s", beyond);
    }
    if (st != VM_OK) {
        free(p);
        return st;
    }
    p->all = all;
    p->hub = hub;
    p->net = net;
    struct port **link = &all->ports;
    while (*link != NULL)
        link = &(*link)->next;
    *link = p;
    return vm__net_attach_host(net, &ops, p, 0);
}

static const char *const settings[] = { "hubid", "netdev", NULL };

const struct vm_net_backend vm__net_hubport_backend = {
    .name = "hubport",
    .summary = "a port of a hub: hubid=N[,netdev=ID]",
    .settings = settings,
    .open = hubport_open,
};
