/* SPDX-License-Identifier: MIT */
/**
 * @file test_qcow2_ext.c
 * qcow2 beyond the plain image: subclusters, data files, dirty bitmaps, amendment.
 *
 * Contents against a model in memory; qemu-img reads and checks what was made here.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "block/image.h"
#include "block/support.h"

enum { MiB = 1 << 20, KiB = 1 << 10 };

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

static struct vm_blk *open_ok(const struct blk_place *p, const char *name, uint32_t flags)
{
    struct vm_blk *n = blk_open(p, blk_path(p, name), "qcow2", NULL, flags);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    return n;
}

static void create_ok(const struct blk_place *p, const char *name, uint64_t size,
                      const char *options)
{
    cr_assert_eq(blk_create(p, blk_path(p, name), "qcow2", size, options), VM_OK, "%s",
                 vm_last_error()->message);
}

static void shell_ok(const struct blk_place *p, const char *command)
{
    char *out = NULL;
    if (blk_have("qemu-img"))
        cr_assert_eq(blk_shell(p, &out, "%s", command), 0, "%s: %s", command, out);
    free(out);
}

/** Writes, zeros, discards and flushes here and there; what is discarded is read again. */
static void scribble(struct vm_blk *n, uint8_t *model, uint64_t size, uint64_t *seed, unsigned ops)
{
    for (unsigned i = 0; i < ops; i++) {
        uint64_t kind = next_random(seed) % 10, off = next_random(seed) % size;
        size_t len = (size_t)(next_random(seed) % (kind < 2 ? 300000 : 9000)) + 1;
        off &= kind & 1 ? ~UINT64_C(511) : ~UINT64_C(0);
        len = len > size - off ? (size_t)(size - off) : len;
        int st;
        if (kind == 7) {
            st = vm__blk_discard(n, off, len, 0);
            if (st == VM_OK)
                st = vm__blk_read(n, off, model + off, len);
        } else if (kind == 8) {
            memset(model + off, 0, len);
            st = vm__blk_zero(n, off, len, i & 1 ? VM_IO_UNMAP : 0);
        } else if (kind == 9) {
            st = vm__blk_flush(n, 0);
        } else {
            for (size_t k = 0; k < len; k++)
                model[off + k] = (uint8_t)(off + k + i * 37 + (off + k) / 512);
            st = vm__blk_write(n, off, model + off, len);
        }
        cr_assert_eq(st, VM_OK, "%s", vm_last_error()->message);
    }
}

static void same(struct vm_blk *n, const uint8_t *model, uint64_t size, const char *when)
{
    uint8_t *buf = malloc(size);
    cr_assert_eq(vm__blk_size(n), size);
    cr_assert_eq(vm__blk_read(n, 0, buf, size), VM_OK, "%s: %s", when, vm_last_error()->message);
    for (uint64_t i = 0; i < size; i++)
        if (buf[i] != model[i])
            cr_assert_fail("%s: byte %llu is %02x, not %02x", when, (unsigned long long)i, buf[i],
                           model[i]);
    free(buf);
}

static void save(const struct blk_place *p, const uint8_t *model, uint64_t size)
{
    FILE *f = fopen(blk_path(p, "model.raw"), "wb");
    cr_assert(f != NULL && fwrite(model, 1, size, f) == size && fclose(f) == 0);
}

/** Overwrite bytes of the file, big-endian. */
static void poke(const struct blk_place *p, const char *name, uint64_t at, uint64_t v)
{
    FILE *f = fopen(blk_path(p, name), "r+b");
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> (56 - 8 * i));
    cr_assert(f != NULL && fseek(f, (long)at, SEEK_SET) == 0 && fwrite(b, 1, 8, f) == 8 &&
              fclose(f) == 0);
}

static uint64_t peek(const struct blk_place *p, const char *name, uint64_t at)
{
    FILE *f = fopen(blk_path(p, name), "rb");
    uint8_t b[8];
    uint64_t v = 0;
    cr_assert(f != NULL && fseek(f, (long)at, SEEK_SET) == 0 && fread(b, 1, 8, f) == 8 &&
              fclose(f) == 0);
    for (int i = 0; i < 8; i++)
        v = v << 8 | b[i];
    return v;
}

/* ---- subclusters ------------------------------------------------------------------------ */

/** A first small write over a base costs a subcluster on the host, after a flush as before it. */
Test(qcow2_ext, first_write_costs_a_subcluster, .timeout = 60)
{
    enum { WRITES = 32, CLUSTER = 128 * KiB };
    struct blk_place p;
    blk_init(&p);
    cr_assert_eq(blk_create(&p, blk_path(&p, "base"), "raw", WRITES * CLUSTER, NULL), VM_OK);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "base"), "raw", NULL, 0);
    cr_assert_eq(blk_fill(n, 0, WRITES * CLUSTER, 5), VM_OK);
    vm__blk_unref(n);
    create_ok(&p, "a", WRITES * CLUSTER,
              "extended_l2=on,cluster_size=128k,backing_file=base,backing_fmt=raw");
    n = open_ok(&p, "a", 0);
    cr_assert_eq(vm__blk_flush(n, 0), VM_OK);
    uint64_t before = vm__blk_allocated(n);
    for (uint64_t i = 0; i < WRITES; i++)
        cr_assert_eq(blk_fill(n, i * CLUSTER + 8 * KiB, 4 * KiB, 6), VM_OK);
    cr_assert_eq(vm__blk_flush(n, 0), VM_OK);
    uint64_t cost = vm__blk_allocated(n) - before;
    cr_assert_leq(cost, WRITES * 4 * KiB + 2 * CLUSTER, "%llu bytes for %d writes",
                  (unsigned long long)cost, WRITES);
    cr_assert(blk_is(n, 8 * KiB, 4 * KiB, 6));
    cr_assert(blk_is(n, 12 * KiB, CLUSTER - 4 * KiB, 5));
    vm__blk_unref(n);
    shell_ok(&p, "qemu-img check a");
    blk_fini(&p);
}

/** Discarded and zeroed subclusters show neither old data nor the base; others are untouched. */
Test(qcow2_ext, discard_and_zero_by_subcluster, .timeout = 60)
{
    struct blk_place p;
    blk_init(&p);
    cr_assert_eq(blk_create(&p, blk_path(&p, "base"), "raw", MiB, NULL), VM_OK);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "base"), "raw", NULL, 0);
    cr_assert_eq(blk_fill(n, 0, MiB, 5), VM_OK);
    vm__blk_unref(n);
    create_ok(&p, "a", MiB, "extended_l2=on,cluster_size=64k,backing_file=base,backing_fmt=raw");
    n = open_ok(&p, "a", VM_OPEN_UNMAP);
    cr_assert_eq(blk_fill(n, 0, 64 * KiB, 6), VM_OK);
    cr_assert_eq(vm__blk_discard(n, 4 * KiB, 2 * KiB, 0), VM_OK);
    cr_assert_eq(vm__blk_zero(n, 9 * KiB, 6 * KiB, 0), VM_OK);
    cr_assert_eq(vm__blk_zero(n, 128 * KiB, 2 * KiB, 0), VM_OK);
    struct vm_extent e;
    cr_assert_eq(vm__blk_status(n, 4 * KiB, 64 * KiB, &e), VM_OK);
    cr_assert(e.flags & VM_EXTENT_ZERO && e.length == 2 * KiB);
    cr_assert_eq(vm__blk_status(n, 130 * KiB, 64 * KiB, &e), VM_OK);
    cr_assert(!(e.flags & VM_EXTENT_ALLOCATED));
    for (int round = 0; round < 2; round++) {
        cr_assert(blk_is(n, 0, 4 * KiB, 6) && blk_is(n, 4 * KiB, 2 * KiB, 0));
        cr_assert(blk_is(n, 6 * KiB, 3 * KiB, 6) && blk_is(n, 9 * KiB, 6 * KiB, 0));
        cr_assert(blk_is(n, 15 * KiB, 49 * KiB, 6) && blk_is(n, 64 * KiB, 64 * KiB, 5));
        cr_assert(blk_is(n, 128 * KiB, 2 * KiB, 0) && blk_is(n, 130 * KiB, 32 * KiB, 5));
        vm__blk_unref(n);
        n = round == 0 ? open_ok(&p, "a", VM_OPEN_RO) : NULL;
    }
    shell_ok(&p, "qemu-img check a");
    blk_fini(&p);
}

/** Snapshots and compressed clusters together with subclusters. */
Test(qcow2_ext, subclusters_with_snapshots, .timeout = 120)
{
    enum { SIZE = 3 * MiB + 512, OPS = 120, CLUSTER = 64 * KiB };
    struct blk_place p;
    uint8_t *model = calloc(1, SIZE), *then = malloc(SIZE);
    uint64_t seed = 8128;
    blk_init(&p);
    create_ok(&p, "a", SIZE, "extended_l2=on,cluster_size=64k");
    struct vm_blk *n = open_ok(&p, "a", VM_OPEN_UNMAP);
    for (uint64_t off = 0; off < MiB; off += CLUSTER) {
        struct vm_iov v = { model + off, CLUSTER };
        memset(v.base, (int)(off / CLUSTER) + 1, CLUSTER);
        cr_assert_eq(vm__blk_writev(n, off, CLUSTER, (struct vm_sg) { &v, 0 }, VM_IO_COMPRESSED),
                     VM_OK, "%s", vm_last_error()->message);
    }
    same(n, model, SIZE, "compressed");
    scribble(n, model, SIZE, &seed, OPS);
    struct vm_blk_snapshot sn = { .name = "one" };
    cr_assert_eq(n->drv->snapshot_create(n, &sn), VM_OK, "%s", vm_last_error()->message);
    memcpy(then, model, SIZE);
    scribble(n, model, SIZE, &seed, OPS);
    same(n, model, SIZE, "after the snapshot");
    vm__blk_unref(n);
    save(&p, then, SIZE);
    shell_ok(&p, "qemu-img check a && qemu-img convert -l one -O raw a out && cmp out model.raw");
    save(&p, model, SIZE);
    shell_ok(&p, "qemu-img convert -O raw a out && cmp out model.raw");
    n = open_ok(&p, "a", VM_OPEN_UNMAP);
    same(n, model, SIZE, "opened again");
    cr_assert_eq(n->drv->snapshot_goto(n, "one"), VM_OK, "%s", vm_last_error()->message);
    same(n, then, SIZE, "gone back");
    scribble(n, then, SIZE, &seed, OPS);
    cr_assert_eq(n->drv->snapshot_delete(n, "one"), VM_OK, "%s", vm_last_error()->message);
    same(n, then, SIZE, "deleted");
    vm__blk_unref(n);
    shell_ok(&p, "qemu-img check a");
    free(model);
    free(then);
    blk_fini(&p);
}

/** Bitmaps that contradict themselves are refused where they are read, and found by check. */
Test(qcow2_ext, hostile_subclusters, .timeout = 60)
{
    static const uint64_t bad[][2] = {
        { UINT64_C(1) << 63 | 0x50000, 0x0000000100000001 }, /* there, and zeros */
        { 0, 1 },                                            /* there, but nowhere */
        { UINT64_C(1) << 63 | 0x50200, 1 },                  /* not aligned */
        { UINT64_C(1) << 63 | 0x50001, 1 },                  /* the zero bit of plain entries */
    };
    struct blk_place p;
    uint8_t buf[512];
    blk_init(&p);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        create_ok(&p, "a", MiB, "extended_l2=on,cluster_size=64k");
        struct vm_blk *n = open_ok(&p, "a", 0);
        cr_assert_eq(blk_fill(n, 0, 4 * KiB, 1), VM_OK);
        vm__blk_unref(n);
        uint64_t l1 = peek(&p, "a", 40), l2 = peek(&p, "a", l1) & 0xfffffffffffe00;
        poke(&p, "a", l2, bad[i][0]);
        poke(&p, "a", l2 + 8, bad[i][1]);
        n = open_ok(&p, "a", VM_OPEN_CHECK);
        cr_assert_eq(vm__blk_read(n, 0, buf, sizeof buf), VM_E_CORRUPT, "case %zu", i);
        cr_assert_eq(blk_fill(n, 0, 512, 1), VM_E_CORRUPT);
        struct vm_blk_check found = { 0 };
        cr_assert_eq(n->drv->check(n, &found, 0), VM_OK, "%s", vm_last_error()->message);
        cr_assert_gt(found.corruptions, 0, "case %zu", i);
        vm__blk_unref(n);
    }
    blk_fini(&p);
}
