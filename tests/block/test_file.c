/* SPDX-License-Identifier: MIT */
/**
 * @file test_file.c
 * Files as disks: bytes, holes, sizes, past the page cache, who may open them, and raw on top.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

enum { M = 1 << 20 };

static struct blk_place p;

static void setup(void)
{
    blk_init(&p);
}

static void teardown(void)
{
    blk_fini(&p);
}

TestSuite(file, .init = setup, .fini = teardown);
TestSuite(raw, .init = setup, .fini = teardown);

static const char *image(const char *name, uint64_t size)
{
    const char *path = blk_path(&p, name);
    cr_assert_eq(blk_create(&p, path, "raw", size, NULL), VM_OK, "%s", vm_last_error()->message);
    return path;
}

static struct vm_blk *open_ok(const char *name, const char *format, uint32_t flags)
{
    struct vm_blk *n = blk_open(&p, name, format, NULL, flags);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    return n;
}

static void refused(const char *name, const char *format, const char *options, uint32_t flags,
                    const char *words)
{
    struct vm_blk *n = blk_open(&p, name, format, options, flags);
    cr_assert_null(n, "%s %s was opened", name, options);
    cr_assert_not_null(strstr(vm_last_error()->message, words), "\"%s\" does not say \"%s\"",
                       vm_last_error()->message, words);
}

Test(file, keeps_what_is_written)
{
    const char *path = image("a", M);
    struct vm_blk *n = open_ok(path, "raw", 0);
    cr_assert_eq(vm__blk_size(n), M);
    cr_assert_eq(blk_fill(n, 1000, 5000, 0x5a), VM_OK);
    cr_assert(blk_is(n, 0, 1000, 0) && blk_is(n, 1000, 5000, 0x5a) && blk_is(n, 6000, M - 6000, 0));
    cr_assert_eq(vm__blk_flush(n, 0), VM_OK);
    vm__blk_unref(n);
    n = open_ok(path, "raw", VM_OPEN_RO);
    cr_assert(blk_is(n, 1000, 5000, 0x5a));
    cr_assert_eq(blk_fill(n, 0, 1, 1), VM_E_PERM);
    vm__blk_unref(n);
}

Test(file, ranges_are_checked)
{
    struct vm_blk *n = open_ok(image("a", M), "raw", 0);
    uint8_t b[16];
    cr_assert_eq(vm__blk_read(n, M - 8, b, 16), VM_E_RANGE);
    cr_assert_eq(vm__blk_read(n, UINT64_MAX - 4, b, 16), VM_E_RANGE);
    cr_assert_eq(vm__blk_write(n, M - 8, b, 16), VM_E_RANGE);
    cr_assert_eq(vm__blk_zero(n, 0, M + 1, 0), VM_E_RANGE);
    cr_assert_eq(vm__blk_read(n, M, b, 0), VM_OK);
    /* The file below grows instead: that is how formats allocate. */
    cr_assert_eq(vm__blk_write(n->file, M - 8, b, 16), VM_OK);
    cr_assert_eq(vm__blk_size(n->file), M + 8);
    cr_assert_eq(vm__blk_write(n->file, VM_BLK_MAX_SIZE - 8, b, 16), VM_E_RANGE);
    vm__blk_unref(n);
}

Test(file, scattered_memory_is_gathered)
{
    struct vm_blk *n = open_ok(image("a", M), "raw", 0);
    uint8_t a[100], b[1], c[300];
    memset(a, 1, sizeof a);
    memset(b, 2, sizeof b);
    memset(c, 3, sizeof c);
    const struct vm_iov v[] = { { a, 100 }, { NULL, 0 }, { b, 1 }, { c, 300 } };
    cr_assert_eq(vm__blk_writev(n, 7, 350, (struct vm_sg) { v, 50 }, 0), VM_OK);
    cr_assert(blk_is(n, 7, 50, 1) && blk_is(n, 57, 1, 2) && blk_is(n, 58, 299, 3));
    cr_assert(blk_is(n, 357, 100, 0));
    memset(a, 9, sizeof a);
    cr_assert_eq(vm__blk_readv(n, 7, 120, (struct vm_sg) { v, 0 }, 0), VM_OK);
    cr_assert(a[49] == 1 && a[50] == 2 && a[51] == 3 && b[0] == 3 && c[18] == 3);
    vm__blk_unref(n);
}

Test(file, many_pieces_take_several_calls)
{
    enum { PIECES = 300 };
    struct vm_blk *n = open_ok(image("a", M), "raw", 0);
    static uint8_t bytes[PIECES][3];
    struct vm_iov v[PIECES];
    for (int i = 0; i < PIECES; i++) {
        memset(bytes[i], i, 3);
        v[i] = (struct vm_iov) { bytes[i], 3 };
    }
    cr_assert_eq(vm__blk_writev(n, 11, sizeof bytes, (struct vm_sg) { v, 0 }, 0), VM_OK);
    for (int i = 0; i < PIECES; i++)
        cr_assert(blk_is(n, 11 + (uint64_t)i * 3, 3, (uint8_t)i));
    vm__blk_unref(n);
}

Test(file, a_read_without_waiting_gives_the_bytes_or_says_so)
{
    struct vm_blk *n = open_ok(image("a", M), "raw", 0);
    uint8_t b[4096];
    struct vm_iov v = { b, sizeof b };
    cr_assert_eq(blk_fill(n, 0, M, 7), VM_OK);
    const int st = vm__blk_readv(n, 8192, sizeof b, (struct vm_sg) { &v, 0 }, VM_IO_NOWAIT);
    cr_assert(st == VM_E_AGAIN || (st == VM_OK && b[0] == 7 && b[4095] == 7));
    vm__blk_unref(n);
}

static uint32_t at(struct vm_blk *n, uint64_t off)
{
    struct vm_extent e;
    cr_assert_eq(vm__blk_status(n, off, M, &e), VM_OK);
    return e.flags & (VM_EXTENT_DATA | VM_EXTENT_ZERO);
}

Test(file, holes_are_seen_and_remembered_rightly)
{
    struct vm_blk *n = open_ok(image("a", M), "raw", VM_OPEN_UNMAP);
    cr_assert_eq(at(n, 0), VM_EXTENT_ZERO);
    cr_assert_eq(blk_fill(n, 262144, 65536, 7), VM_OK); /* into a hole that is remembered */
    cr_assert_eq(at(n, 262144), VM_EXTENT_DATA);
    cr_assert_eq(at(n, 0), VM_EXTENT_ZERO);
    cr_assert_eq(vm__blk_zero(n, 262144, 65536, VM_IO_UNMAP), VM_OK);
    cr_assert_eq(at(n, 262144), VM_EXTENT_ZERO);
    cr_assert(blk_is(n, 262144, 65536, 0));
    cr_assert_eq(blk_fill(n, 0, 65536, 7), VM_OK);
    cr_assert_eq(vm__blk_discard(n, 0, 65536, 0), VM_OK);
    cr_assert(blk_is(n, 0, 65536, 0));
    vm__blk_unref(n);
}

Test(file, extents_end_where_the_image_does)
{
    struct vm_blk *n = open_ok(image("a", M + 100), "raw", 0);
    struct vm_extent e;
    uint64_t off = 0;
    cr_assert_eq(blk_fill(n, 300000, 1000, 7), VM_OK);
    for (int i = 0; off < M + 100; i++) {
        cr_assert_lt(i, 10);
        cr_assert_eq(vm__blk_status(n, off, UINT64_MAX - off, &e), VM_OK);
        cr_assert_gt(e.length, 0);
        cr_assert_eq(e.offset, off);
        off += e.length;
        cr_assert_eq(!!(e.flags & VM_EXTENT_EOF), off == M + 100);
    }
    cr_assert_eq(off, M + 100);
    vm__blk_unref(n);
}

Test(file, zeros_of_any_shape_and_size)
{
    struct vm_blk *n = open_ok(image("a", 4 * M), "raw", 0);
    for (uint64_t off = 0; off < 5000; off += 1777)
        for (uint64_t len = 1; len < 3 * M; len = len * 3 + 511) {
            cr_assert_eq(blk_fill(n, 0, 4 * M, 9), VM_OK);
            cr_assert_eq(vm__blk_zero(n, off, len, 0), VM_OK);
            cr_assert(blk_is(n, off, len, 0) && blk_is(n, 0, off, 9));
            cr_assert(blk_is(n, off + len, 4 * M - off - len, 9));
        }
    vm__blk_unref(n);
}

Test(file, past_the_page_cache_everything_may_still_be_unaligned)
{
    const char *path = image("a", M + 700);
    struct vm_blk *n = blk_open(&p, path, "raw", NULL, VM_OPEN_DIRECT);
    if (n == NULL)
        cr_skip_test("this file system has no O_DIRECT");
    cr_assert_eq(blk_fill(n, 0, M + 700, 1), VM_OK);
    cr_assert_eq(blk_fill(n, 513, 70001, 2), VM_OK);
    cr_assert_eq(blk_fill(n, M + 600, 100, 3), VM_OK);
    cr_assert(blk_is(n, 0, 513, 1) && blk_is(n, 513, 70001, 2) && blk_is(n, 70514, 1000, 1));
    cr_assert(blk_is(n, M + 599, 1, 1) && blk_is(n, M + 600, 100, 3));
    vm__blk_unref(n);
    struct stat s;
    cr_assert_eq(stat(path, &s), 0);
    cr_assert_eq(s.st_size, M + 700);
}

Test(file, sizes_change)
{
    const char *path = image("a", M);
    struct vm_blk *n = open_ok(path, "raw", 0);
    cr_assert_eq(blk_fill(n, 0, M, 5), VM_OK);
    cr_assert_eq(vm__blk_resize(n, 2 * M, VM_PREALLOC_OFF, 0), VM_OK);
    cr_assert(vm__blk_size(n) == 2 * M && blk_is(n, M, M, 0));
    cr_assert_eq(vm__blk_resize(n, 3 * M, VM_PREALLOC_FULL, 0), VM_OK);
    struct stat s;
    stat(path, &s);
    cr_assert_geq(s.st_blocks * 512, 2 * M);
    cr_assert_eq(vm__blk_resize(n, 1000, VM_PREALLOC_OFF, 0), VM_OK);
    cr_assert(blk_is(n, 0, 1000, 5));
    cr_assert_neq(vm__blk_resize(n, 10, VM_PREALLOC_FULL, 0), VM_OK);
    cr_assert_neq(vm__blk_resize(n, 4000, VM_PREALLOC_METADATA, 0), VM_OK);
    cr_assert_eq(vm__blk_resize(n, UINT64_MAX, VM_PREALLOC_OFF, 0), VM_E_RANGE);
    vm__blk_unref(n);
}

Test(file, what_is_no_image_is_refused_with_a_reason)
{
    refused(blk_path(&p, "none"), "raw", NULL, 0, "No such file or directory");
    refused(p.folder, "raw", NULL, VM_OPEN_RO, "to be a regular file");
    refused("/dev/null", "raw", NULL, VM_OPEN_RO, "to be a regular file");
    refused("nosuch:x", "raw", NULL, 0, "Unknown protocol 'nosuch'");
    refused("", "raw", NULL, 0, "requires a file name");
    refused(blk_path(&p, "none"), "nosuch", NULL, 0, "Unknown driver 'nosuch'");
    refused("json:{", "raw", NULL, 0, "Could not parse the JSON options");
    refused("json:[1]", NULL, NULL, 0, "Invalid JSON object");
    refused("json:{\"driver\":\"raw\"}", NULL, NULL, 0, "must be specified for \"file\"");
    char *fifo = strdup(blk_path(&p, "fifo"));
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    refused(fifo, "raw", NULL, VM_OPEN_RO, "to be a regular file"); /* and it does not hang */
    free(fifo);
    const char *path = image("a", M);
    refused(path, "raw", "foo=1", 0, "Block format 'raw' does not support the option 'foo'");
    refused(path, "raw", "file.foo=1", 0, "Block protocol 'file' doesn't support the option 'foo'");
    refused(path, "raw", "offset=zz", 0, "expects a non-negative number");
    refused(path, "raw", "discard=zz", 0, "Invalid discard option");
    refused(path, "raw", "driver=memory", 0, "Driver specified twice");
    refused(path, NULL, NULL, 0, "no format given");
    cr_assert_eq(chmod(path, 0400), 0);
    if (getuid() != 0)
        refused(path, "raw", NULL, 0, "Permission denied");
}

Test(file, creating_leaves_alone_what_it_refuses)
{
    const char *path = image("a", M);
    cr_assert_neq(blk_create(&p, path, "raw", 5, "foo=1"), VM_OK);
    cr_assert_neq(blk_create(&p, path, "raw", 5, "preallocation=metadata"), VM_OK);
    cr_assert_neq(blk_create(&p, path, "raw", UINT64_MAX, NULL), VM_OK);
    struct stat s;
    cr_assert_eq(stat(path, &s), 0);
    cr_assert_eq(s.st_size, M);
    cr_assert_neq(blk_create(&p, blk_path(&p, "no/such"), "raw", M, NULL), VM_OK);
    cr_assert_neq(blk_create(&p, blk_path(&p, "b"), "nosuch", M, NULL), VM_OK);
    cr_assert_neq(access(blk_path(&p, "b"), F_OK), 0);
}

Test(file, a_new_image_that_cannot_be_made_does_not_stay)
{
    /* Larger than any file of ext4, xfs or tmpfs: the file is made, its size refused. */
    const char *path = blk_path(&p, "big");
    if (blk_create(&p, path, "raw", VM_BLK_MAX_SIZE & ~511ull, NULL) == VM_OK)
        cr_skip_test("this file system takes files of 8 EiB");
    cr_assert_neq(access(path, F_OK), 0);
}

Test(file, names_are_options_and_json_too)
{
    char text[512];
    const char *path = image("a,b", M);
    snprintf(text, sizeof text, "driver=raw,file.driver=file,file.filename=%s/a,,b", p.folder);
    struct vm_blk *n = blk_open(&p, NULL, NULL, text, VM_OPEN_RO);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    cr_assert_str_eq(n->name, path);
    vm__blk_unref(n);
    snprintf(text, sizeof text,
             "json:{\"driver\":\"raw\",\"offset\":512,\"file\":{\"driver\":\"file\",\"filename\":"
             "\"%s\"}}",
             path);
    n = open_ok(text, NULL, VM_OPEN_RO);
    cr_assert_eq(vm__blk_size(n), M - 512);
    cr_assert_eq(strncmp(n->name, "json:", 5), 0);
    char *again = strdup(n->name); /* what it says of itself opens it again */
    vm__blk_unref(n);
    n = open_ok(again, NULL, VM_OPEN_RO);
    cr_assert_eq(vm__blk_size(n), M - 512);
    vm__blk_unref(n);
    free(again);
}

/* ---- locks ------------------------------------------------------------------------------ */

Test(file, two_writers_do_not_share)
{
    const char *path = image("a", M);
    struct vm_blk *n = open_ok(path, "raw", 0);
    refused(path, "raw", NULL, 0, "Failed to get");
    refused(path, "raw", NULL, VM_OPEN_RO, "Failed to get shared \"write\" lock");
    struct vm_blk *shared = open_ok(path, "raw", VM_OPEN_RO | VM_OPEN_SHARE);
    vm__blk_unref(shared);
    struct vm_blk *off = blk_open(&p, path, "raw", "file.locking=off", 0);
    cr_assert_not_null(off);
    vm__blk_unref(off);
    vm__blk_unref(n);
    struct vm_blk *a = open_ok(path, "raw", VM_OPEN_RO), *b = open_ok(path, "raw", VM_OPEN_RO);
    refused(path, "raw", NULL, 0, "Failed to get \"write\" lock");
    vm__blk_unref(a);
    vm__blk_unref(b);
    vm__blk_unref(open_ok(path, "raw", 0));
}

Test(file, becoming_writable_takes_the_lock)
{
    const char *path = image("a", M);
    struct vm_blk *n = open_ok(path, "raw", VM_OPEN_RO);
    cr_assert_eq(vm__blk_reopen(n, 0), VM_OK);
    cr_assert_eq(blk_fill(n, 0, 10, 1), VM_OK);
    refused(path, "raw", NULL, VM_OPEN_RO, "Failed to get shared \"write\" lock");
    cr_assert_eq(vm__blk_reopen(n, VM_OPEN_RO), VM_OK);
    struct vm_blk *b = open_ok(path, "raw", VM_OPEN_RO);
    cr_assert_neq(vm__blk_reopen(n, 0), VM_OK); /* b is in the way */
    cr_assert_not(vm__blk_writable(n));
    cr_assert(blk_is(n, 0, 10, 1));
    vm__blk_unref(b);
    vm__blk_unref(n);
}

Test(file, qemu_and_we_see_each_other)
{
    if (!blk_have("qemu-img") || !blk_have("qemu-io"))
        cr_skip_test("qemu-utils is not installed");
    char *out = NULL;
    cr_assert_eq(blk_shell(&p, NULL, "qemu-img create -f qcow2 q.qcow2 1M"), 0);
    const char *path = blk_path(&p, "q.qcow2");
    struct vm_blk *n = open_ok(path, "raw", 0); /* a writer of ours */
    cr_assert_neq(blk_shell(&p, &out, "qemu-io -c quit q.qcow2 </dev/null; false"), 0);
    cr_assert_not_null(strstr(out, "Failed to get"), "%s", out);
    free(out);
    cr_assert_neq(blk_shell(&p, &out, "qemu-img info q.qcow2"), 0);
    cr_assert_not_null(strstr(out, "Failed to get shared \"write\" lock"), "%s", out);
    free(out);
    cr_assert_eq(blk_shell(&p, NULL, "qemu-img info -U q.qcow2"), 0);
    vm__blk_unref(n);

    n = open_ok(path, "raw", VM_OPEN_RO); /* readers share */
    cr_assert_eq(blk_shell(&p, NULL, "qemu-img info q.qcow2"), 0);
    cr_assert_neq(blk_shell(&p, NULL, "qemu-img resize q.qcow2 2M"), 0);
    vm__blk_unref(n);
    cr_assert_eq(blk_shell(&p, NULL, "qemu-img resize q.qcow2 2M"), 0);

    /* A writer of theirs, held open by a pipe that we close. */
    char command[256];
    snprintf(command, sizeof command, "qemu-io -f qcow2 %s >/dev/null", path);
    FILE *theirs = popen(command, "w");
    cr_assert_not_null(theirs);
    fputs("write 0 512\n", theirs);
    fflush(theirs);
    bool busy = false;
    for (int i = 0; i < 20000 && !busy; i++) {
        n = blk_open(&p, path, "raw", NULL, VM_OPEN_RO);
        busy = n == NULL;
        vm__blk_unref(n);
        usleep(1000);
    }
    cr_assert(busy);
    cr_assert_not_null(strstr(vm_last_error()->message, "Failed to get"), "%s",
                       vm_last_error()->message);
    refused(path, "raw", NULL, 0, "Failed to get");
    vm__blk_unref(open_ok(path, "raw", VM_OPEN_RO | VM_OPEN_SHARE));
    pclose(theirs);
    vm__blk_unref(open_ok(path, "raw", 0));
}

/* ---- raw -------------------------------------------------------------------------------- */

Test(raw, is_a_stretch_of_the_file)
{
    const char *path = image("a", M);
    struct vm_blk *n = blk_open(&p, path, "raw", "offset=1000,size=5000", 0);
    cr_assert_not_null(n);
    cr_assert_eq(vm__blk_size(n), 5000);
    cr_assert_eq(blk_fill(n, 0, 5000, 4), VM_OK);
    struct vm_extent e;
    cr_assert_eq(vm__blk_status(n, 100, 5000, &e), VM_OK);
    cr_assert_eq(e.offset, 1100);
    cr_assert_neq(vm__blk_resize(n, 100, VM_PREALLOC_OFF, 0), VM_OK);
    vm__blk_unref(n);
    n = open_ok(path, "raw", 0);
    cr_assert(blk_is(n, 0, 1000, 0) && blk_is(n, 1000, 5000, 4) && blk_is(n, 6000, 100, 0));
    vm__blk_unref(n);
    refused(path, "raw", "offset=2M", 0, "exceeds the size");
    refused(path, "raw", "offset=512k,size=1M", 0, "has to be smaller");
    refused(path, "raw", "offset=1,size=18446744073709551615", 0, "The sum of offset");
}

Test(raw, that_was_guessed_stays_raw)
{
    const char *path = image("a", M);
    struct vm_blk *n = open_ok(path, NULL, VM_OPEN_PROBE);
    cr_assert_str_eq(n->drv->name, "raw");
    cr_assert(n->probed);
    cr_assert_eq(blk_fill(n, 0, 4096, 0x11), VM_OK);
    vm__blk_unref(n);
}
