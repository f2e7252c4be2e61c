/* SPDX-License-Identifier: MIT */
/**
 * @file chr_guest.c
 * A guest's channel as the user of a backend.
 */
#include <stdlib.h>
#include <string.h>

#include "chr.h"
#include "vmrun.h"

struct guest {
    vm_machine *m;
    struct chr *chr;
    int user;
    char channel[CHR_ID_BYTES];
    uint8_t in[CHR_IN_BYTES]; /**< for the guest, which has not taken it yet */
    size_t in_len;
    atomic_bool waits; /**< for on_room() */
};

/** Guest to host; on a library thread. */
static int64_t on_write(void *ud, const void *buf, size_t len)
{
    struct guest *g = ud;
    return (int64_t)chr_write(g->chr, g->user, buf, len);
}

static void on_room(void *ud)
{
    struct guest *g = ud;
    atomic_store(&g->waits, false);
    loop_wake(g->chr->loop);
}

/** Offer what there is; what the guest does not take waits for on_room(). */
static void feed(struct guest *g)
{
    if (g->in_len == 0 || atomic_load(&g->waits))
        return;
    atomic_store(&g->waits, true); /* before feeding: room may come while it returns */
    int64_t n = vm_chr_feed(g->m, g->channel, g->in, g->in_len);
    if (n < 0)
        n = (int64_t)g->in_len;
    g->in_len -= (size_t)n;
    memmove(g->in, g->in + n, g->in_len);
    if (g->in_len == 0)
        atomic_store(&g->waits, false);
}

static size_t room(void *ud)
{
    struct guest *g = ud;
    feed(g);
    return sizeof g->in - g->in_len;
}

static void input(void *ud, const uint8_t *buf, size_t len)
{
    struct guest *g = ud;
    memcpy(g->in + g->in_len, buf, len);
    g->in_len += len;
    feed(g);
}

static void event(void *ud, enum chr_event e)
{
    struct guest *g = ud;
    if (e == CHR_BREAK)
        (void)vm_chr_break(g->m, g->channel);
}

static void writable(void *ud)
{
    struct guest *g = ud;
    (void)vm_chr_ready(g->m, g->channel);
}

bool chr_join_guest(struct chr *c, vm_machine *m, const char *channel)
{
    const vm_chr_ops ops = { .size = sizeof ops, .write = on_write, .room = on_room };
    struct guest *g = calloc(1, sizeof *g);
    if (g == NULL) {
        say("out of memory");
        return false;
    }
    g->m = m;
    g->chr = c;
    (void)snprintf(g->channel, sizeof g->channel, "%s", channel);
    const struct chr_user user = {
        .name = g->channel,
        .room = room,
        .input = input,
        .event = event,
        .writable = writable,
        .ud = g,
    };
    g->user = chr_add_user(c, &user);
    if (g->user < 0) {
        free(g);
        return false;
    }
    /* The machine frees it, when nothing can call it any more. */
    if (vm_chr_attach(m, channel, &ops, g, free) != VM_OK)
        return say_last(channel);
    return true;
}
