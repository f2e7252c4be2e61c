/* SPDX-License-Identifier: MIT */
/**
 * @file test_filter.c
 * Filters: injected errors, breakpoints, the write log, copy-on-read, throttling.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/endian.h"
#include "blockfmt/blkdebug.h"
#include "blockfmt/write_log.h"
#include "host/time.h"
#include "support.h"

enum { M = 1 << 20 };

static struct blk_place p;
static struct vm_blk *base;

static void setup(void)
{
    blk_init(&p);
    base = blk_memory(&p, M, "base");
    cr_assert_not_null(base);
}

static void teardown(void)
{
    vm__blk_unref(base);
    blk_fini(&p);
}

TestSuite(filter, .init = setup, .fini = teardown);

static struct vm_blk *over(const char *options)
{
    struct vm_blk *n = blk_open(&p, NULL, NULL, options, VM_OPEN_UNMAP);
    cr_assert_not_null(n, "%s: %s", options, vm_last_error()->message);
    return n;
}

static int touch(struct vm_blk *n, uint64_t off, bool write)
{
    uint8_t b[512] = { 0 };
    return write ? vm__blk_write(n, off, b, sizeof b) : vm__blk_read(n, off, b, sizeof b);
}

Test(filter, errors_by_kind_place_and_number)
{
    struct vm_blk *n = over("driver=raw,file.driver=blkdebug,file.image=base,"
                            "file.inject-error.0.event=read_aio,file.inject-error.0.once=on,"
                            "file.inject-error.1.event=write_aio,file.inject-error.1.errno=28,"
                            "file.inject-error.1.sector=8,"
                            "file.inject-error.2.event=none,file.inject-error.2.iotype=flush");
    cr_assert_eq(touch(n, 0, false), VM_E_IO);
    cr_assert_eq(touch(n, 0, false), VM_OK);
    cr_assert_eq(touch(n, 0, true), VM_OK);
    cr_assert_eq(touch(n, 4096, true), VM_E_NOSPC);
    cr_assert_eq(vm_last_error()->os_errno, 28);
    cr_assert_eq(touch(n, 4096, true), VM_E_NOSPC);
    cr_assert_eq(touch(n, 8192, true), VM_OK);
    cr_assert_eq(vm__blk_flush(n, 0), VM_E_IO);
    vm__blk_unref(n);
}

Test(filter, states_and_a_file_of_rules)
{
    char name[256];
    FILE *f = fopen(blk_path(&p, "rules"), "w");
    fputs("# comment\n[set-state]\nstate = \"1\"\nevent = \"write_aio\"\nnew_state = \"2\"\n\n"
          "[inject-error]\nevent = \"read_aio\"\nerrno = \"5\"\nstate = \"2\"\nonce = \"off\"\n",
          f);
    fclose(f);
    cr_assert_eq(blk_create(&p, blk_path(&p, "a"), "raw", M, NULL), VM_OK);
    snprintf(name, sizeof name, "blkdebug:%s/rules:%s/a", p.folder, p.folder);
    struct vm_blk *n = blk_open(&p, name, "raw", NULL, 0);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    cr_assert_eq(touch(n, 0, false), VM_OK);
    cr_assert_eq(touch(n, 0, true), VM_OK);
    cr_assert_eq(touch(n, 0, false), VM_E_IO);
    cr_assert_eq(touch(n, 0, false), VM_E_IO);
    vm__blk_unref(n);
}

Test(filter, bad_rules_are_refused)
{
    static const char *const rows[][2] = {
        { "inject-error.0.errno=5", "Missing event name" },
        { "inject-error.0.event=read_aio,inject-error.0.errno=x", "expects a number" },
        { "inject-error.0.event=read_aio,inject-error.0.foo=1", "Invalid parameter 'foo'" },
        { "inject-error.0.event=none,inject-error.0.iotype=fly", "Invalid iotype value 'fly'" },
        { "set-state.0.event=x,set-state.0.errno=3", "Invalid parameter 'errno'" },
        { "config=/nonexistent", "Could not read blkdebug config file" },
        { "foo=1", "doesn't support the option 'foo'" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char options[256];
        snprintf(options, sizeof options, "driver=blkdebug,image=base,%s", rows[i][0]);
        cr_expect_null(blk_open(&p, NULL, NULL, options, 0));
        cr_expect_not_null(strstr(vm_last_error()->message, rows[i][1]), "%s: %s", rows[i][0],
                           vm_last_error()->message);
    }
    cr_expect_null(blk_open(&p, NULL, NULL, "driver=blkdebug", 0));
    cr_expect_null(blk_open(&p, "blkdebug:x", "raw", NULL, 0));
}

static _Atomic int reads_done;

static void *reader(void *n)
{
    cr_assert_eq(touch(n, 0, false), VM_OK);
    atomic_fetch_add(&reads_done, 1);
    return NULL;
}

Test(filter, a_breakpoint_holds_a_request)
{
    pthread_t t;
    struct vm_blk *n = over("driver=raw,file.driver=blkdebug,file.image=base");
    atomic_store(&reads_done, 0);
    cr_assert_eq(vm__blkdebug_break(n, "read_aio", "A"), VM_OK);
    cr_assert_eq(pthread_create(&t, NULL, reader, n), 0);
    cr_assert_eq(vm__blkdebug_wait(n, "A"), VM_OK);
    cr_assert_eq(atomic_load(&reads_done), 0);
    cr_assert_eq(vm__blkdebug_resume(n, "A"), VM_OK);
    pthread_join(t, NULL);
    cr_assert_eq(atomic_load(&reads_done), 1);
    cr_assert_eq(vm__blkdebug_resume(n, "A"), VM_E_NOENT);
    cr_assert_eq(touch(n, 0, false), VM_OK);
    cr_assert_eq(vm__blkdebug_break(base, "read_aio", "B"), VM_E_NOTSUP);
    vm__blk_unref(n);
}

Test(filter, the_log_replayed_gives_the_disk)
{
    struct vm_blk *log = blk_memory(&p, 0, "log"), *copy = blk_memory(&p, M, NULL);
    struct vm_blk *n = over("driver=raw,file.driver=write-log,file.file=base,file.log=log");
    cr_assert_eq(blk_fill(n, 1000, 200000, 5), VM_OK);
    cr_assert_eq(vm__blk_zero(n, 5000, 70000, 0), VM_OK);
    cr_assert_eq(vm__blk_flush(n, 0), VM_OK);
    cr_assert_eq(blk_fill(n, 6000, 100, 7), VM_OK);
    vm__blk_unref(n);
    uint8_t head[VM_LOG_HEAD_BYTES], *buf = malloc(M);
    uint64_t at = 0, number = 0;
    int flushes = 0;
    while (at < vm__blk_size(log)) {
        cr_assert_eq(vm__blk_read(log, at, head, sizeof head), VM_OK);
        at += sizeof head;
        cr_assert_eq(vm_le64(head), VM_LOG_MAGIC);
        cr_assert_eq(vm_le64(head + 32), number++);
        const uint64_t off = vm_le64(head + 16), len = vm_le64(head + 24);
        switch (vm_le32(head + 8)) {
        case VM_LOG_WRITE:
            cr_assert_eq(vm__blk_read(log, at, buf, (size_t)len), VM_OK);
            cr_assert_eq(vm__blk_write(copy, off, buf, (size_t)len), VM_OK);
            at += len;
            break;
        case VM_LOG_ZERO:
            cr_assert_eq(vm__blk_zero(copy, off, len, 0), VM_OK);
            break;
        case VM_LOG_FLUSH:
            flushes++;
            break;
        }
    }
    free(buf);
    cr_assert_geq(flushes, 1);
    cr_assert(blk_is(copy, 0, 1000, 0) && blk_is(copy, 1000, 4000, 5) &&
              blk_is(copy, 5000, 1000, 0));
    cr_assert(blk_is(copy, 6000, 100, 7) && blk_is(copy, 6100, 68900, 0));
    cr_assert(blk_is(copy, 75000, 126000, 5) && blk_is(copy, 201000, M - 201000, 0));
    vm__blk_unref(copy);
    vm__blk_unref(log);
}

Test(filter, copy_on_read_keeps_what_it_fetched)
{
    const char *b = blk_path(&p, "b"), *t = blk_path(&p, "t");
    char options[512];
    cr_assert_eq(blk_create(&p, b, "raw", M, NULL), VM_OK);
    struct vm_blk *n = blk_open(&p, b, "raw", NULL, 0);
    cr_assert_eq(blk_fill(n, 0, M, 6), VM_OK);
    vm__blk_unref(n);
    snprintf(options, sizeof options, "backing_file=%s,backing_fmt=raw", b);
    cr_assert_eq(blk_create(&p, t, "qed", M, options), VM_OK);
    snprintf(options, sizeof options,
             "driver=copy-on-read,file.driver=qed,file.file.driver=file,file.file.filename=%s", t);
    n = blk_open(&p, NULL, NULL, options, 0);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    struct vm_extent e;
    cr_assert_eq(vm__blk_status(n, 131072, 65536, &e), VM_OK);
    cr_assert_not(e.flags & VM_EXTENT_ALLOCATED);
    cr_assert(blk_is(n, 131072, 100, 6));
    cr_assert_eq(vm__blk_status(n, 131072, 65536, &e), VM_OK);
    cr_assert((e.flags & VM_EXTENT_ALLOCATED) && e.length == 65536);
    cr_assert_eq(blk_fill(n, 500000, 10, 7), VM_OK);
    cr_assert(blk_is(n, 0, 500000, 6) && blk_is(n, 500000, 10, 7) &&
              blk_is(n, 500010, M - 500010, 6));
    vm__blk_unref(n);
}

Test(filter, throttling_takes_its_time)
{
    struct vm_blk *n = over("driver=throttle,file=base,iops-total=100");
    const uint64_t start = vm__host_ns();
    for (int i = 0; i < 20; i++)
        cr_assert_eq(touch(n, 0, i & 1), VM_OK);
    const uint64_t took = vm__host_ns() - start; /* ten at once, ten at 10 ms each */
    cr_assert_geq(took, 80000000);
    vm__blk_unref(n);
    n = over("driver=throttle,file=base,bps-read=1M");
    const uint64_t again = vm__host_ns();
    cr_assert(blk_is(n, 0, 400000, 0));
    cr_assert_geq(vm__host_ns() - again, 200000000);
    vm__blk_unref(n);
}
