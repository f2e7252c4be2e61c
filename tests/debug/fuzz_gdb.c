/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_gdb.c
 * libFuzzer target: what gdb, or somebody in its place, may send.
 *
 * The first byte chooses: even, the rest goes to the server as it is; odd, each line of it becomes
 * a packet with the right checksum. The machine is one for all inputs, reset between them.
 */
#include <libvm/libvm.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static vm_machine *m;

static void destroy(void)
{
    vm_machine_destroy(m);
}

/* Every byte of what is sent must be there to be read. */
static void out(void *ud, const void *data, size_t len)
{
    const uint8_t *p = data;
    unsigned *sum = ud;
    for (size_t k = 0; k < len; k++)
        *sum += p[k];
}

static int command(void *ud, vm_gdb *g, const char *line)
{
    (void)ud;
    return vm_gdb_print(g, line);
}

static void feed_line(vm_gdb *g, const uint8_t *line, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t sum = 0;

    for (size_t k = 0; k < len; k++)
        sum = (uint8_t)(sum + line[k]);
    const char end[3] = { '#', digits[sum >> 4], digits[sum & 15] };
    (void)vm_gdb_feed(g, "$", 1);
    (void)vm_gdb_feed(g, line, len);
    (void)vm_gdb_feed(g, end, sizeof end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    unsigned sum = 0;
    const vm_gdb_ops ops = {
        .size = sizeof ops, .arch = len != 0 ? data[0] >> 1 & 3 : 0, .out = out, .command = command
    };

    if (m == NULL && ((m = guest_machine(2)) == NULL || atexit(destroy) != 0))
        abort();
    if (len == 0)
        return 0;
    vm_gdb *g = vm_gdb_new(m, &ops, &sum);
    if (g == NULL)
        abort();
    const uint8_t *at = data + 1, *end = data + len;
    if ((data[0] & 1) == 0)
        (void)vm_gdb_feed(g, at, (size_t)(end - at));
    while ((data[0] & 1) != 0 && at < end) {
        const uint8_t *nl = memchr(at, '\n', (size_t)(end - at));
        const size_t n = (size_t)((nl != NULL ? nl : end) - at);
        feed_line(g, at, n);
        if (vm_machine_state(m) == VM_ST_RUNNING) /* however far it came */
            (void)vm_machine_pause(m);
        at += n + 1;
    }
    (void)vm_machine_pause(m);
    vm_gdb_free(g);
    if (vm_machine_reset(m, VM_RESET_COLD) != VM_OK)
        abort();
    return 0;
}
