/* SPDX-License-Identifier: MIT */
/**
 * @file perf_map.c
 * Names for translated code, where Linux's perf looks for them: /tmp/perf-PID.map has a line
 * "START SIZE NAME" for each piece (tools/perf/Documentation/jit-interface.txt of its sources).
 *
 * Key "jit.perf_map" asks for it. A line is one write() to a file that is only ever appended to, so
 * processors and machines of one process share it. When translations are dropped their lines stay,
 * and perf gives an address to the last line that has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cpu/jit/jit.h"

int vm__jit_perf_open(struct x86_jit_cache *k)
{
    char path[40];

    (void)snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    k->perf_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return k->perf_fd >= 0 ? VM_OK : vm__fail_os(VM_E_IO, errno, "%s", path);
}

void vm__jit_perf_close(struct x86_jit_cache *k)
{
    if (k->perf_fd >= 0)
        (void)close(k->perf_fd);
    k->perf_fd = -1;
}

static void line(const struct x86_jit_cache *k, const uint8_t *rw, const uint8_t *end,
                 const char *name)
{
    char text[160];
    const uint8_t *at = rw + (k->rx - k->rw);

    if (k->perf_fd < 0 || end <= rw)
        return;
    int n = snprintf(text, sizeof text, "%" PRIxPTR " %zx %s\n", (uintptr_t)at, (size_t)(end - rw),
                     name);
    const ssize_t done = write(k->perf_fd, text, (size_t)n);
    (void)done; /* what cannot be written perf does not know */
}

void vm__jit_perf_stubs(struct x86_jit_cache *k)
{
    line(k, k->rw, k->hot_start, "libvm_jit_stubs");
}

void vm__jit_perf_block(struct x86_jit_cache *k, const struct jit_code *code, const uint8_t *hot,
                        const uint8_t *cold)
{
    static const char *const rings[] = { "user", "kernel", "kernel", "flat" };
    const struct x86_block *b = code->blk;
    char name[80];

    if (k->perf_fd < 0)
        return;
    const char *ring = rings[code->tlb & 3];
    const uint64_t base = (b->mode & X86_MODE_CODE) == X86_MODE_CODE64 ? 0 : b->cs_base;
    (void)snprintf(name, sizeof name, "guest_%s_%" PRIx64, ring, base + b->rip);
    line(k, hot, k->hot.at, name);
    (void)snprintf(name, sizeof name, "guest_%s_%" PRIx64 "_slow", ring, base + b->rip);
    line(k, cold, k->cold.at, name);
}
