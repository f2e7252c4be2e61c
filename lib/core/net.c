/* SPDX-License-Identifier: MIT */
/**
 * @file net.c
 * Cables: delivery, bounded queues, link state. See net.h.
 */
#include "core/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "core/chr_impl.h"
#include "core/machine.h"
#include "core/net_packet.h"
#include "core/part.h"
#include "core/run.h"

enum {
    TO_HOST_FRAMES = 2048, /* segments of a few packets, while the host takes nothing */
    FIRST_MAC = 0x56,      /* last byte of the first card's address */
};

/* A frame that waits, in one piece. */
struct waiting {
    struct waiting *next;
    struct vm_net_meta meta;
    size_t len;
    uint8_t data[];
};

struct queue {
    struct waiting *first, **last;
    uint32_t frames;
    size_t bytes;
};

struct nets;

struct vm_net {
    struct vm_machine *m;
    struct nets *all;
    struct vm_net *next;
    char *id;
    bool up;
    bool made_for_nic; /* by a card without a cable: goes with it */

    char *nic_name; /* NULL: no card */
    uint8_t mac[VM_NET_MAC];
    const struct vm_net_nic_ops *nic;
    void *nic_opaque;
    unsigned nic_takes;

    const struct vm_net_host_ops *host;
    void *host_opaque;
    unsigned host_takes;

    struct queue to_nic, to_host;
    bool handing;   /* inside the card's receive() */
    bool emptying;  /* inside vm__net_ready() */
    bool host_said; /* the host was told "not now" */
    bool nic_said;  /* the card was */

    struct tap *taps;
    uint8_t *flat; /* VM_NET_FRAME_MAX bytes, made when first needed */
};

struct tap {
    struct tap *next;
    struct vm_net_tap calls;
};

/* A machine's. */
struct nets {
    struct vm_machine *m;
    struct vm_net *list;
    uint8_t macs; /* given out */
};

/* ---- queues ------------------------------------------------------------------------------- */

static void queue_init(struct queue *q)
{
    *q = (struct queue) { .last = &q->first };
}

static void gather(const struct vm_net_frame *f, uint8_t *to)
{
    for (uint32_t i = 0; i < f->n_iov; i++) {
        memcpy(to, f->iov[i].base, f->iov[i].len);
        to += f->iov[i].len;
    }
}

static bool queue_add(struct queue *q, const struct vm_net_frame *f, uint32_t frames, size_t bytes)
{
    if (q->frames >= frames || q->bytes + f->len > bytes)
        return false;
    struct waiting *w = malloc(sizeof *w + f->len);
    if (w == NULL)
        return false;
    w->next = NULL;
    w->meta = f->meta;
    w->len = f->len;
    gather(f, w->data);
    *q->last = w;
    q->last = &w->next;
    q->frames++;
    q->bytes += f->len;
    return true;
}

static void queue_drop(struct queue *q)
{
    struct waiting *w = q->first;
    q->first = w->next;
    if (q->first == NULL)
        q->last = &q->first;
    q->frames--;
    q->bytes -= w->len;
    free(w);
}

static void queue_clear(struct queue *q)
{
    while (q->first != NULL)
        queue_drop(q);
}

/* ---- the machine's list ------------------------------------------------------------------- */

static void on_resume(void *part)
{
    struct nets *all = part;
    for (struct vm_net *net = all->list; net != NULL; net = net->next)
        vm__net_accept(net);
}

static void on_destroy(void *part)
{
    struct nets *all = part;
    while (all->list != NULL)
        vm__net_free(all->list);
    free(all);
}

static const struct vm_part_class nets_class = {
    .name = "net",
    .resume = on_resume,
    .destroy = on_destroy,
};

static struct nets *nets_of(struct vm_machine *m)
{
    struct nets *all = vm__machine_part(m, &nets_class);
    if (all != NULL)
        return all;
    all = calloc(1, sizeof *all);
    if (all == NULL) {
        vm__fail_nomem(sizeof *all);
        return NULL;
    }
    all->m = m;
    if (vm__machine_add_part(m, &nets_class, all) != VM_OK) {
        free(all);
        return NULL;
    }
    return all;
}

struct vm_net *vm__net_next(struct vm_machine *m, const struct vm_net *after)
{
    const struct nets *all = vm__machine_part(m, &nets_class);
    return after != NULL ? after->next : all != NULL ? all->list : NULL;
}

struct vm_net *vm__net_find(struct vm_machine *m, const char *id)
{
    struct vm_net *net = vm__net_next(m, NULL);
    while (net != NULL && strcmp(net->id, id) != 0)
        net = net->next;
    return net;
}

struct vm_net *vm__net_by_name(struct vm_machine *m, const char *name)
{
    struct vm_net *net = vm__net_find(m, name);
    if (net != NULL)
        return net;
    net = vm__net_next(m, NULL);
    while (net != NULL && (net->nic_name == NULL || strcmp(net->nic_name, name) != 0))
        net = net->next;
    return net;
}

struct vm_net *vm__net_new(struct vm_machine *m, const char *id)
{
    struct nets *all = nets_of(m);
    if (all == NULL)
        return NULL;
    if (vm__net_find(m, id) != NULL) {
        vm__fail(VM_E_BUSY, "there already is a network %s", id);
        return NULL;
    }
    struct vm_net *net = calloc(1, sizeof *net);
    char *copy = strdup(id);
    if (net == NULL || copy == NULL) {
        free(net);
        free(copy);
        vm__fail_nomem(sizeof *net);
        return NULL;
    }
    net->m = m;
    net->all = all;
    net->id = copy;
    net->up = true;
    queue_init(&net->to_nic);
    queue_init(&net->to_host);
    struct vm_net **link = &all->list;
    while (*link != NULL)
        link = &(*link)->next;
    *link = net;
    return net;
}

static void detach_host(struct vm_net *net)
{
    const struct vm_net_host_ops *old = net->host;
    void *opaque = net->host_opaque;
    net->host = NULL;
    net->host_takes = 0;
    queue_clear(&net->to_host);
    if (old != NULL && old->close != NULL)
        old->close(opaque);
}

void vm__net_free(struct vm_net *net)
{
    if (net == NULL)
        return;
    struct vm_net **link = &net->all->list;
    while (*link != net)
        link = &(*link)->next;
    *link = net->next;
    detach_host(net);
    queue_clear(&net->to_nic);
    while (net->taps != NULL) {
        struct tap *t = net->taps;
        net->taps = t->next;
        if (t->calls.close != NULL)
            t->calls.close(t->calls.opaque);
        free(t);
    }
    free(net->flat);
    free(net->nic_name);
    free(net->id);
    free(net);
}

void vm__net_unplug(struct vm_net *net)
{
    detach_host(net);
    if (net->nic == NULL) {
        vm__net_free(net);
        return;
    }
    net->made_for_nic = true;
    if (vm__net_find(net->m, net->nic_name) == NULL) { /* its name is free for another */
        char *id = strdup(net->nic_name);
        if (id != NULL) {
            free(net->id);
            net->id = id;
        }
    }
    vm__net_ready(net);
}

const char *vm__net_id(const struct vm_net *net)
{
    return net->id;
}

struct vm_machine *vm__net_machine(const struct vm_net *net)
{
    return net->m;
}

int vm__net_mac(struct vm_machine *m, const char *text, uint8_t mac[VM_NET_MAC])
{
    static const uint8_t own[VM_NET_MAC] = { 0x52, 0x54, 0x00, 0x12, 0x34, FIRST_MAC };
    struct nets *all = nets_of(m);
    unsigned v[VM_NET_MAC];
    int end = 0;
    if (all == NULL)
        return VM_E_NOMEM;
    if (text == NULL) {
        memcpy(mac, own, sizeof own);
        mac[5] = (uint8_t)(mac[5] + all->macs++);
        return VM_OK;
    }
    if (sscanf(text, "%2x%*1[:-]%2x%*1[:-]%2x%*1[:-]%2x%*1[:-]%2x%*1[:-]%2x%n", &v[0], &v[1], &v[2],
               &v[3], &v[4], &v[5], &end) != VM_NET_MAC ||
        text[end] != '\0')
        return vm__fail(VM_E_INVAL, "mac: %s is not an address like 52:54:00:12:34:56", text);
    if (v[0] & 1)
        return vm__fail(VM_E_INVAL, "mac: %s is a multicast address", text);
    for (int i = 0; i < VM_NET_MAC; i++)
        mac[i] = (uint8_t)v[i];
    return VM_OK;
}

/* ---- frames ------------------------------------------------------------------------------- */

static void look(struct vm_net *net, bool to_guest, const struct vm_net_frame *f)
{
    for (struct tap *t = net->taps; t != NULL; t = t->next)
        t->calls.frame(t->calls.opaque, to_guest, f);
}

static bool fits(const struct vm_net_meta *meta, unsigned takes)
{
    const unsigned need = (meta->flags & VM_NET_NEEDS_CSUM ? VM_NET_TAKES_CSUM : 0u) |
                          (meta->gso == VM_NET_GSO_TCP4 ? VM_NET_TAKES_TSO4 : 0u) |
                          (meta->gso == VM_NET_GSO_TCP6 ? VM_NET_TAKES_TSO6 : 0u);
    return (need & ~takes) == 0;
}

const uint8_t *vm__net_flat(struct vm_net *net, const struct vm_net_frame *f)
{
    if (f->n_iov == 1)
        return f->iov[0].base;
    if (net->flat == NULL)
        net->flat = malloc(VM_NET_FRAME_MAX);
    if (net->flat != NULL)
        gather(f, net->flat);
    return net->flat;
}

typedef bool (*put_fn)(struct vm_net *net, const struct vm_net_frame *f);

struct emitting {
    struct vm_net *net;
    put_fn put;
};

static void emit(void *opaque, const uint8_t *frame, size_t len)
{
    const struct emitting *e = opaque;
    const struct vm_iov iov = { (void *)(uintptr_t)frame, len };
    const struct vm_net_frame f = { &iov, 1, len, { .flags = VM_NET_CSUM_OK } };
    (void)e->put(e->net, &f); /* one that finds no room is lost, as on any network */
}

/** Do what the other end cannot: on a copy, since the frame is the sender's. */
static bool prepare_and_put(struct vm_net *net, const struct vm_net_frame *f, unsigned takes,
                            put_fn put)
{
    struct emitting e = { net, put };
    uint8_t *copy = malloc(f->len);
    if (copy == NULL)
        return true; /* lost */
    gather(f, copy);
    if (f->meta.gso != VM_NET_GSO_NONE && !fits(&f->meta, takes)) {
        (void)vm__net_segment(copy, f->len, &f->meta, emit, &e);
    } else {
        vm__net_complete(copy, f->len, &f->meta);
        emit(&e, copy, f->len);
    }
    free(copy);
    return true;
}

static bool valid(const struct vm_net_frame *f)
{
    return f->len >= VM_NET_FRAME_MIN && f->len <= VM_NET_FRAME_MAX;
}

/* ---- to the host -------------------------------------------------------------------------- */

static bool put_host(struct vm_net *net, const struct vm_net_frame *f)
{
    if (net->to_host.first == NULL &&
        (net->host->send == NULL || net->host->send(net->host_opaque, f)))
        return true;
    return queue_add(&net->to_host, f, TO_HOST_FRAMES, VM_NET_QUEUE_BYTES);
}

bool vm__net_send(struct vm_net *net, const struct vm_net_frame *f)
{
    if (!valid(f))
        return true;
    if (net->to_host.first != NULL) {
        net->nic_said = true;
        return false;
    }
    if (net->taps != NULL)
        look(net, false, f);
    if (net->host == NULL || !net->up)
        return true;
    if (!fits(&f->meta, net->host_takes))
        return prepare_and_put(net, f, net->host_takes, put_host);
    (void)put_host(net, f);
    return true;
}

void vm__net_ready(struct vm_net *net)
{
    vm__lock(net->m);
    const bool nested = net->emptying; /* send() says so of itself */
    net->emptying = true;
    while (!nested && net->to_host.first != NULL && net->host != NULL) {
        const struct waiting *w = net->to_host.first;
        const struct vm_iov iov = { (void *)(uintptr_t)w->data, w->len };
        const struct vm_net_frame f = { &iov, 1, w->len, w->meta };
        if (!net->host->send(net->host_opaque, &f))
            break;
        if (net->to_host.first != NULL) /* what it caused may have emptied it */
            queue_drop(&net->to_host);
    }
    net->emptying = nested;
    if (net->to_host.first == NULL && net->nic_said) {
        net->nic_said = false;
        if (net->nic != NULL && net->nic->writable != NULL)
            net->nic->writable(net->nic_opaque);
    }
    vm__unlock(net->m);
}

unsigned vm__net_host_takes(const struct vm_net *net)
{
    return net->host_takes;
}

/* ---- to the guest ------------------------------------------------------------------------- */

/** Hand over, or refuse. */
static bool hand(struct vm_net *net, const struct vm_net_frame *f)
{
    if (net->nic->receive == NULL)
        return true;
    net->handing = true;
    const bool taken = net->nic->receive(net->nic_opaque, f);
    net->handing = false;
    return taken;
}

static bool put_nic(struct vm_net *net, const struct vm_net_frame *f)
{
    if (net->to_nic.first == NULL && !net->handing && vm__machine_takes_input(net->m) &&
        hand(net, f))
        return true;
    return queue_add(&net->to_nic, f, VM_NET_QUEUE_FRAMES, VM_NET_QUEUE_BYTES);
}

static bool deliver(struct vm_net *net, const struct vm_net_frame *f)
{
    if (!valid(f))
        return true;
    if (net->to_nic.frames >= VM_NET_QUEUE_FRAMES / 2 ||
        net->to_nic.bytes >= VM_NET_QUEUE_BYTES / 2) {
        net->host_said = true; /* half is left for the segments of what was taken */
        return false;
    }
    if (net->taps != NULL)
        look(net, true, f);
    if (net->nic == NULL || !net->up)
        return true;
    if (!fits(&f->meta, net->nic_takes))
        return prepare_and_put(net, f, net->nic_takes, put_nic);
    (void)put_nic(net, f);
    return true;
}

bool vm__net_deliver(struct vm_net *net, const struct vm_net_frame *f)
{
    vm__lock(net->m);
    const bool taken = deliver(net, f);
    vm__unlock(net->m);
    return taken;
}

bool vm__net_deliver_buf(struct vm_net *net, const void *buf, size_t len, unsigned flags)
{
    const struct vm_iov iov = { (void *)(uintptr_t)buf, len };
    const struct vm_net_frame f = { &iov, 1, len, { .flags = (uint8_t)flags } };
    return vm__net_deliver(net, &f);
}

void vm__net_accept(struct vm_net *net)
{
    if (net->handing || !vm__machine_takes_input(net->m))
        return;
    while (net->to_nic.first != NULL && net->nic != NULL) {
        const struct waiting *w = net->to_nic.first;
        const struct vm_iov iov = { (void *)(uintptr_t)w->data, w->len };
        const struct vm_net_frame f = { &iov, 1, w->len, w->meta };
        if (!hand(net, &f))
            return;
        if (net->to_nic.first != NULL) /* what receive() caused may have flushed it */
            queue_drop(&net->to_nic);
    }
    if (net->host_said && net->host != NULL) {
        net->host_said = false;
        if (net->host->room != NULL)
            net->host->room(net->host_opaque);
    }
}

void vm__net_flush(struct vm_net *net)
{
    if (!net->handing)
        queue_clear(&net->to_nic);
}

/* ---- ends --------------------------------------------------------------------------------- */

struct vm_net *vm__net_attach_nic(struct vm_machine *m, const char *id, const char *name,
                                  const uint8_t mac[VM_NET_MAC], const struct vm_net_nic_ops *ops,
                                  void *opaque)
{
    struct vm_net *net = id != NULL ? vm__net_find(m, id) : vm__net_new(m, name);
    if (net == NULL && id != NULL)
        vm__fail(VM_E_NOENT, "netdev: no network %s", id);
    if (net == NULL)
        return NULL;
    if (net->nic != NULL) {
        vm__fail(VM_E_BUSY, "netdev: %s is in use by %s", id, net->nic_name);
        return NULL;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        vm__fail_nomem(strlen(name));
        if (id == NULL)
            vm__net_free(net);
        return NULL;
    }
    net->made_for_nic = id == NULL;
    free(net->nic_name);
    net->nic_name = copy;
    memcpy(net->mac, mac, VM_NET_MAC);
    net->nic = ops;
    net->nic_opaque = opaque;
    net->nic_takes = 0;
    return net;
}

void vm__net_detach_nic(struct vm_net *net)
{
    if (net == NULL)
        return;
    net->nic = NULL;
    free(net->nic_name);
    net->nic_name = NULL;
    queue_clear(&net->to_nic);
    if (net->made_for_nic)
        vm__net_free(net);
}

void vm__net_nic_takes(struct vm_net *net, unsigned takes)
{
    net->nic_takes = takes;
}

int vm__net_attach_host(struct vm_net *net, const struct vm_net_host_ops *ops, void *opaque,
                        unsigned takes)
{
    vm__lock(net->m);
    detach_host(net);
    net->host = ops;
    net->host_opaque = opaque;
    net->host_takes = takes;
    vm__unlock(net->m);
    return VM_OK;
}

bool vm__net_link(const struct vm_net *net)
{
    return net->up;
}

void vm__net_set_link(struct vm_net *net, bool up)
{
    if (net->up == up)
        return;
    net->up = up;
    if (!up)
        queue_clear(&net->to_host);
    if (net->nic != NULL && net->nic->link != NULL)
        net->nic->link(net->nic_opaque, up);
    if (net->host != NULL && net->host->link != NULL)
        net->host->link(net->host_opaque, up);
    vm__net_ready(net);
}

int vm__net_tap_add(struct vm_net *net, const struct vm_net_tap *calls)
{
    struct tap *t = malloc(sizeof *t);
    if (t == NULL)
        return vm__fail_nomem(sizeof *t);
    *t = (struct tap) { .calls = *calls };
    struct tap **link = &net->taps;
    while (*link != NULL)
        link = &(*link)->next;
    *link = t;
    return VM_OK;
}

/* ---- for people --------------------------------------------------------------------------- */

void vm__net_info(struct vm_net *net, struct vm_buf *out)
{
    if (net->nic_name != NULL)
        vm__buf_printf(out, "%s: mac=%02x:%02x:%02x:%02x:%02x:%02x%s\n", net->nic_name, net->mac[0],
                       net->mac[1], net->mac[2], net->mac[3], net->mac[4], net->mac[5],
                       net->up ? "" : " (link down)");
    if (net->made_for_nic)
        return;
    vm__buf_printf(out, "%s%s: ", net->nic_name != NULL ? " \\ " : "", net->id);
    if (net->host != NULL && net->host->info != NULL)
        net->host->info(net->host_opaque, out);
    else
        vm__buf_printf(out, "no host");
    vm__buf_printf(out, "\n");
}

int vm__net_control(struct vm_net *net, const char *verb, const char *arg, struct vm_buf *out)
{
    if (net->host == NULL || net->host->control == NULL)
        return vm__fail(VM_E_NOTSUP, "network %s has no %s", net->id, verb);
    return net->host->control(net->host_opaque, verb, arg, out);
}
