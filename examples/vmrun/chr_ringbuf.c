/* SPDX-License-Identifier: MIT */
/**
 * @file chr_ringbuf.c
 * A backend in memory: keeps the last bytes of output until they are asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "chr.h"
#include "vmrun.h"

struct ring {
    size_t size, head, n; /**< size is a power of two */
    uint8_t *bytes;
};

static bool ring_open(struct chr *c, const struct opts *o)
{
    uint64_t size = 65536;
    if (!opts_number(o, "size", 1, 1 << 30, &size))
        return false;
    struct ring *r = calloc(1, sizeof *r);
    if (r == NULL || (size & (size - 1)) != 0 || (r->bytes = malloc(size)) == NULL) {
        say("%s %s: size is a power of two", o->option, o->text);
        free(r);
        return false;
    }
    r->size = size;
    c->state = r;
    return true;
}

static void ring_close(struct chr *c)
{
    struct ring *r = c->state;
    if (r != NULL)
        free(r->bytes);
    free(r);
}

static size_t ring_write(struct chr *c, const uint8_t *buf, size_t len)
{
    struct ring *r = c->state;
    for (size_t i = 0; i < len; i++) {
        r->bytes[(r->head + r->n) & (r->size - 1)] = buf[i];
        if (r->n < r->size)
            r->n++;
        else
            r->head = (r->head + 1) & (r->size - 1);
    }
    return len;
}

size_t chr_ringbuf_read(struct chr *c, uint8_t *buf, size_t len)
{
    struct ring *r = c->state;
    size_t n = 0;
    pthread_mutex_lock(&c->lock);
    while (n < len && r->n != 0) {
        buf[n++] = r->bytes[r->head];
        r->head = (r->head + 1) & (r->size - 1);
        r->n--;
    }
    pthread_mutex_unlock(&c->lock);
    return n;
}

static const char *const ring_settings[] = { "size", NULL };
const struct chr_kind chr_ringbuf = {
    .name = "ringbuf",
    .help = "size=BYTES: memory, for the monitor's ringbuf_read",
    .settings = ring_settings,
    .open = ring_open,
    .close = ring_close,
    .write = ring_write,
};
