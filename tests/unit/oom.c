/* SPDX-License-Identifier: MIT */
/**
 * @file oom.c
 * Building, running and saving a machine while the n-th allocation fails, for every n: the answer
 * is an error or success, never a crash, a leak or a hang.
 *
 * A plain executable that puts itself in front of the C library's allocator.
 */
#include <errno.h>
#include <libvm/libvm.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/fake_pc.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);

static _Atomic long countdown = -1; /* allocations until one fails; negative: none does */
static _Atomic long live;
static _Atomic long failed;

static bool fails(void)
{
    if (atomic_load(&countdown) < 0 || atomic_fetch_sub(&countdown, 1) != 0)
        return false;
    atomic_fetch_add(&failed, 1);
    errno = ENOMEM;
    return true;
}

static void *counted(void *p)
{
    if (p != NULL)
        atomic_fetch_add(&live, 1);
    return p;
}

void *malloc(size_t size)
{
    return fails() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
    if (fails())
        return NULL;
    void *q = __libc_realloc(p, size);
    return p == NULL ? counted(q) : q;
}

void free(void *p)
{
    if (p != NULL)
        atomic_fetch_sub(&live, 1);
    __libc_free(p);
}

static void check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "oom: %s (%s)\n", what, vm_last_error()->message);
        exit(1);
    }
}

/* Everything once. */
static void life(const vm_config *cfg)
{
    vm_exit e = { .size = sizeof e };
    void *data;
    size_t len;
    vm_machine *m = vm_machine_build(cfg);
    if (m == NULL) {
        check(vm_last_error()->code == VM_E_NOMEM, "another error than no memory");
        return;
    }
    (void)vm_ram_add(m, "more", 0x80000000, 0x10000);
    (void)vm_run(m, 3000, -1, &e);
    if (vm_machine_start(m) == VM_OK)
        (void)vm_machine_pause(m);
    if (vm_machine_save(m, &data, &len) == VM_OK) {
        (void)vm_machine_load(m, data, len);
        vm_buffer_free(data);
    }
    vm_machine_destroy(m);
}

int main(void)
{
    vm_config *cfg = fake_pc_config("o004001+j07", 2);
    life(cfg); /* what the C library allocates once */
    life(cfg);
    const long before = atomic_load(&live);
    long n = 0;
    for (;; n++) {
        atomic_store(&failed, 0);
        atomic_store(&countdown, n);
        life(cfg);
        atomic_store(&countdown, -1);
        if (atomic_load(&failed) == 0)
            break;
    }
    const long after = atomic_load(&live); /* before printf() takes a buffer */
    printf("%ld allocations, each failed once: %ld blocks live before, %ld after\n", n, before,
           after);
    check(n > 50, "fewer allocations than there must be");
    check(after <= before, "blocks are left");
    vm_config_free(cfg);
    return 0;
}
