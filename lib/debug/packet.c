/* SPDX-License-Identifier: MIT */
/**
 * @file packet.c
 * Framing of gdb's remote protocol.
 *
 * Spec: [GDB §E.1] (overview), [GDB §E.11] (acknowledgement).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "debug/gdb.h"

/* ---- numbers ---------------------------------------------------------------------------- */

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool vm__gdb_number(const char **at, uint64_t *v)
{
    const char *p = *at;

    for (*v = 0; digit(*p) >= 0; p++) {
        if (*v >> 60 != 0)
            return false;
        *v = *v << 4 | (uint64_t)digit(*p);
    }
    const bool some = p != *at;
    *at = p;
    return some;
}

bool vm__gdb_number_to(const char **at, uint64_t *v, char end)
{
    return vm__gdb_number(at, v) && *(*at)++ == end;
}

bool vm__gdb_unhex(const char *text, void *data, size_t n)
{
    uint8_t *to = data;

    for (size_t k = 0; k < n; k++) {
        const int high = digit(text[2 * k]);
        const int low = high >= 0 ? digit(text[2 * k + 1]) : -1; /* not past the NUL */
        if (low < 0)
            return false;
        to[k] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool vm__gdb_thread(const struct vm_gdb *g, const char **at, int64_t *id)
{
    uint64_t v;

    if (strncmp(*at, "-1", 2) == 0) {
        *at += 2;
        *id = -1;
        return true;
    }
    if (!vm__gdb_number(at, &v) || v > g->m->n_cpus)
        return false;
    *id = (int64_t)v;
    return true;
}

/* ---- out -------------------------------------------------------------------------------- */

void vm__gdb_begin(struct vm_gdb *g)
{
    g->out[0] = '$';
    g->out_len = 1;
}

static void put(struct vm_gdb *g, const char *data, size_t len)
{
    const size_t room = GDB_PACKET + 1 - g->out_len;

    len = len < room ? len : room;
    memcpy(g->out + g->out_len, data, len);
    g->out_len += len;
}

void vm__gdb_put(struct vm_gdb *g, const char *text)
{
    put(g, text, strlen(text));
}

void vm__gdb_putf(struct vm_gdb *g, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    vm__gdb_put(g, text);
}

void vm__gdb_hex(struct vm_gdb *g, const void *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = data;

    for (size_t k = 0; k < len; k++) {
        const char two[2] = { digits[from[k] >> 4], digits[from[k] & 15] };
        put(g, two, 2);
    }
}

void vm__gdb_binary(struct vm_gdb *g, const void *data, size_t len)
{
    const char *from = data;

    for (size_t k = 0; k < len; k++) {
        if (from[k] != '\0' && strchr("$#}*", from[k]) != NULL) {
            const char two[2] = { '}', (char)(from[k] ^ 0x20) };
            put(g, two, 2);
        } else {
            put(g, &from[k], 1);
        }
    }
}

static void transmit(struct vm_gdb *g)
{
    if (g->out_len != 0)
        g->ops.out(g->ud, g->out, g->out_len);
}

void vm__gdb_end(struct vm_gdb *g)
{
    uint8_t sum = 0;

    for (size_t k = 1; k < g->out_len; k++)
        sum = (uint8_t)(sum + (uint8_t)g->out[k]);
    g->out_len += (size_t)sprintf(g->out + g->out_len, "#%02x", sum);
    transmit(g);
}

void vm__gdb_reply(struct vm_gdb *g, const char *text)
{
    vm__gdb_begin(g);
    vm__gdb_put(g, text);
    vm__gdb_end(g);
}

void vm__gdb_status(struct vm_gdb *g, int st)
{
    vm__gdb_begin(g);
    if (st >= 0)
        vm__gdb_put(g, "OK");
    else
        vm__gdb_putf(g, "E%02x", (unsigned)-st & 0xff);
    vm__gdb_end(g);
}

/* ---- in --------------------------------------------------------------------------------- */

static void acknowledge(struct vm_gdb *g, bool good)
{
    if (!g->no_ack)
        g->ops.out(g->ud, good ? "+" : "-", 1);
}

static void begin_in(struct vm_gdb *g)
{
    g->state = GDB_DATA;
    g->in_len = 0;
    g->sum = 0;
    g->escaped = g->too_long = false;
}

static void data_byte(struct vm_gdb *g, uint8_t byte)
{
    g->sum = (uint8_t)(g->sum + byte);
    if (byte == '}' && !g->escaped) {
        g->escaped = true;
        return;
    }
    if (g->escaped)
        byte ^= 0x20;
    g->escaped = false;
    if (g->in_len == GDB_PACKET)
        g->too_long = true;
    else
        g->in[g->in_len++] = (char)byte;
}

/* The last digit of the checksum has come. */
static bool finish(struct vm_gdb *g)
{
    const bool good = g->sum == g->sum_read && !g->escaped;

    g->state = GDB_IDLE;
    acknowledge(g, good);
    if (!good)
        return false;
    g->in[g->in_len] = '\0';
    if (g->too_long) {
        vm__gdb_reply(g, "E07");
        return false;
    }
    return true;
}

bool vm__gdb_take(struct vm_gdb *g, uint8_t byte)
{
    int d;

    switch (g->state) {
    case GDB_IDLE:
        if (byte == '$')
            begin_in(g);
        else if (byte == '-' && !g->no_ack)
            transmit(g);
        return false;
    case GDB_DATA:
        if (byte == '$') /* the end of the packet before it was lost */
            begin_in(g);
        else if (byte == '#')
            g->state = GDB_SUM1;
        else
            data_byte(g, byte);
        return false;
    default:
        d = digit((char)byte);
        if (d < 0) {
            g->state = GDB_IDLE;
            acknowledge(g, false);
            return false;
        }
        if (g->state == GDB_SUM1) {
            g->sum_read = (uint8_t)(d << 4);
            g->state = GDB_SUM2;
            return false;
        }
        g->sum_read |= (uint8_t)d;
        return finish(g);
    }
}
