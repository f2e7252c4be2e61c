/* SPDX-License-Identifier: MIT */
/**
 * @file chr.c
 * Character channels: a bounded queue towards the guest, none towards the host.
 */
#include "core/chr.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/chr_impl.h"
#include "core/machine.h"

struct vm_chr {
    struct vm_machine *m;
    char *id;
    struct vm_chr *next;
    const struct vm_chr_guest_ops *guest;
    void *guest_opaque;
    const struct vm_chr_host_ops *host;
    void *host_opaque;
    bool host_full;   /* write() took less than offered */
    bool feed_short;  /* vm__chr_feed() took less than offered */
    bool accepting;   /* in vm__chr_accept(): receive() may call it again */
    uint32_t head, n; /* of queue */
    uint8_t queue[VM_CHR_QUEUE];
};

struct vm_chr *vm__chr_find(struct vm_machine *m, const char *id)
{
    vm__lock(m);
    struct vm_chr *chr = m->chrs;
    while (chr != NULL && strcmp(chr->id, id) != 0)
        chr = chr->next;
    vm__unlock(m);
    return chr;
}

struct vm_chr *vm__chr_get(struct vm_machine *m, const char *id)
{
    struct vm_chr *chr = vm__chr_find(m, id);
    if (chr != NULL)
        return chr;
    chr = calloc(1, sizeof *chr);
    char *copy = strdup(id);
    if (chr == NULL || copy == NULL) {
        free(chr);
        free(copy);
        vm__fail_nomem(sizeof *chr);
        return NULL;
    }
    chr->m = m;
    chr->id = copy;
    vm__lock(m);
    struct vm_chr **link = &m->chrs;
    while (*link != NULL)
        link = &(*link)->next;
    *link = chr;
    vm__unlock(m);
    return chr;
}

const char *vm__chr_id(const struct vm_chr *chr)
{
    return chr->id;
}

void vm__chr_free_all(struct vm_machine *m)
{
    while (m->chrs != NULL) {
        struct vm_chr *chr = m->chrs;
        m->chrs = chr->next;
        if (chr->host != NULL && chr->host->close != NULL)
            chr->host->close(chr->host_opaque);
        free(chr->id);
        free(chr);
    }
}

/* ---- the device's side ------------------------------------------------------------------ */

int vm__chr_attach_guest(struct vm_chr *chr, const struct vm_chr_guest_ops *ops, void *opaque)
{
    if (chr == NULL)
        return VM_OK;
    if (chr->guest != NULL)
        return vm__fail(VM_E_BUSY, "channel %s is in use by another device", chr->id);
    chr->guest = ops;
    chr->guest_opaque = opaque;
    vm__chr_accept(chr);
    return VM_OK;
}

void vm__chr_detach_guest(struct vm_chr *chr)
{
    if (chr != NULL)
        chr->guest = NULL;
}

size_t vm__chr_write(struct vm_chr *chr, const void *buf, size_t len)
{
    if (chr == NULL || chr->host == NULL || chr->host->write == NULL)
        return len;
    size_t n = chr->host->write(chr->host_opaque, buf, len);
    if (n < len)
        chr->host_full = true;
    return n < len ? n : len;
}

/* One stretch of the queue to the guest. False: it takes nothing now. */
static bool hand_over(struct vm_chr *chr)
{
    const struct vm_chr_guest_ops *g = chr->guest;
    if (chr->n == 0 || g == NULL || g->receive == NULL || !vm__machine_takes_input(chr->m))
        return false;
    size_t n = g->can_receive != NULL ? g->can_receive(chr->guest_opaque) : chr->n;
    if (n > chr->n)
        n = chr->n;
    if (n > VM_CHR_QUEUE - chr->head)
        n = VM_CHR_QUEUE - chr->head;
    if (n == 0)
        return false;
    /* Taken off afterwards: what receive() causes may feed more, behind what is there. */
    g->receive(chr->guest_opaque, &chr->queue[chr->head], n);
    chr->head = (chr->head + (uint32_t)n) % VM_CHR_QUEUE;
    chr->n -= (uint32_t)n;
    return true;
}

void vm__chr_accept(struct vm_chr *chr)
{
    if (chr == NULL || chr->accepting)
        return;
    chr->accepting = true;
    while (hand_over(chr))
        ;
    chr->accepting = false;
    if (chr->feed_short && chr->n < VM_CHR_QUEUE / 2) {
        chr->feed_short = false;
        if (chr->host != NULL && chr->host->room != NULL)
            chr->host->room(chr->host_opaque);
    }
}

void vm__chr_line(struct vm_chr *chr, uint32_t baud, unsigned data_bits, char parity,
                  unsigned stop_bits)
{
    if (chr != NULL && chr->host != NULL && chr->host->line != NULL)
        chr->host->line(chr->host_opaque, baud, data_bits, parity, stop_bits);
}

/* ---- the host's side -------------------------------------------------------------------- */

int vm__chr_attach_host(struct vm_chr *chr, const struct vm_chr_host_ops *ops, void *opaque)
{
    vm__lock(chr->m);
    const struct vm_chr_host_ops *old = chr->host;
    void *old_opaque = chr->host_opaque;
    chr->host = ops;
    chr->host_opaque = opaque;
    if (old != NULL && old->close != NULL)
        old->close(old_opaque);
    if (chr->guest != NULL && chr->guest->event != NULL)
        chr->guest->event(chr->guest_opaque, ops != NULL ? VM_CHR_OPENED : VM_CHR_CLOSED);
    vm__unlock(chr->m);
    vm__chr_ready(chr);
    return VM_OK;
}

size_t vm__chr_feed(struct vm_chr *chr, const void *buf, size_t len)
{
    vm__lock(chr->m);
    const size_t room = VM_CHR_QUEUE - chr->n;
    const size_t n = len < room ? len : room;
    for (size_t i = 0; i < n; i++)
        chr->queue[(chr->head + chr->n + i) % VM_CHR_QUEUE] = ((const uint8_t *)buf)[i];
    chr->n += (uint32_t)n;
    if (n < len)
        chr->feed_short = true;
    vm__chr_accept(chr);
    vm__unlock(chr->m);
    return n;
}

void vm__chr_ready(struct vm_chr *chr)
{
    vm__lock(chr->m);
    if (chr->host_full) {
        chr->host_full = false;
        if (chr->guest != NULL && chr->guest->writable != NULL)
            chr->guest->writable(chr->guest_opaque);
    }
    vm__unlock(chr->m);
}

void vm__chr_event(struct vm_chr *chr, enum vm_chr_event event)
{
    vm__lock(chr->m);
    if (chr->guest != NULL && chr->guest->event != NULL)
        chr->guest->event(chr->guest_opaque, event);
    vm__unlock(chr->m);
}

void vm__chr_accept_all(struct vm_machine *m)
{
    for (struct vm_chr *chr = m->chrs; chr != NULL; chr = chr->next)
        vm__chr_accept(chr);
}
