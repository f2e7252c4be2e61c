/* SPDX-License-Identifier: MIT */
/**
 * @file memory.c
 * Memory as gdb sees it: through the page tables of the chosen processor, without a trace.
 *
 * No accessed or dirty bit is set, no fault raised, and devices are left alone: reading a register
 * of theirs may change them. What page tables make read-only can be written all the same.
 */
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "debug/gdb.h"

/* How much of [addr, addr + len) lies at *gpa. 0: it is not memory. */
static size_t locate(struct vm_gdb *g, uint64_t addr, size_t len, uint64_t *gpa)
{
    struct vm_cpu *cpu = g->m->cpus[g->cpu];
    struct vm_mem_page pg;

    *gpa = addr;
    if (!g->physical && cpu->cls->translate(cpu, addr, VM_ACCESS_READ, gpa) != VM_OK)
        return 0;
    vm__mem_page(g->m, VM_VIEW_NORMAL, *gpa, &pg);
    if (pg.host == NULL)
        return 0;
    return (size_t)vm_min_u64(len, VM_PAGE_SIZE - addr % VM_PAGE_SIZE);
}

/* @return bytes copied, up to the first that is not memory. */
static size_t copy(struct vm_gdb *g, uint64_t addr, uint8_t *to, const uint8_t *from, size_t len)
{
    size_t done = 0, n;
    uint64_t gpa;

    vm__lock(g->m);
    while (done < len && (n = locate(g, addr + done, len - done, &gpa)) != 0) {
        const int st = from != NULL ? vm__mem_write(g->m, gpa, from + done, n)
                                    : vm__mem_read(g->m, gpa, to + done, n);
        if (st != VM_OK)
            break;
        done += n;
    }
    vm__unlock(g->m);
    return done;
}

/* addr,length */
void vm__gdb_read_memory(struct vm_gdb *g, const char *p)
{
    uint8_t buf[GDB_PACKET / 2];
    uint64_t addr, len;

    if (!vm__gdb_number_to(&p, &addr, ',') || !vm__gdb_number(&p, &len)) {
        vm__gdb_status(g, VM_E_INVAL);
        return;
    }
    len = vm_min_u64(len, sizeof buf);
    const size_t n = copy(g, addr, buf, NULL, (size_t)len);
    if (n == 0 && len != 0) {
        vm__gdb_status(g, VM_E_RANGE);
        return;
    }
    vm__gdb_begin(g);
    vm__gdb_hex(g, buf, n);
    vm__gdb_end(g);
}

/* addr,length:data */
void vm__gdb_write_memory(struct vm_gdb *g, const char *p, bool binary)
{
    uint8_t buf[GDB_PACKET];
    uint64_t addr, len;

    if (!vm__gdb_number_to(&p, &addr, ',') || !vm__gdb_number_to(&p, &len, ':')) {
        vm__gdb_status(g, VM_E_INVAL);
        return;
    }
    const size_t have = g->in_len - (size_t)(p - g->in);
    if (len != (binary ? have : have / 2) || (!binary && !vm__gdb_unhex(p, buf, (size_t)len))) {
        vm__gdb_status(g, VM_E_INVAL);
        return;
    }
    if (binary)
        memcpy(buf, p, (size_t)len);
    vm__gdb_status(g, copy(g, addr, NULL, buf, (size_t)len) == len ? VM_OK : VM_E_RANGE);
}
