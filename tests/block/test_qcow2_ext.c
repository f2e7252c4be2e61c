/* SPDX-License-Identifier: MIT */
/**
 * @file test_qcow2_ext.c
 * qcow2 beyond the plain image: subclusters, data files, dirty bitmaps, amendment.
 *
 * Contents against a model in memory; qemu-img reads and checks what was made here.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
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

/* ---- data files ------------------------------------------------------------------------- */

struct data_case {
    char options[64];
    bool raw;
};

static const struct data_case data_cases[] = {
    { "", false },
    { "data_file_raw=on", true },
    { "cluster_size=4k", false },
    { "extended_l2=on,cluster_size=16k", false },
    { "extended_l2=on,data_file_raw=on", true },
};

ParameterizedTestParameters(qcow2_ext, data_file)
{
    return cr_make_param_array(struct data_case, (void *)(uintptr_t)data_cases,
                               sizeof data_cases / sizeof data_cases[0]);
}

ParameterizedTest(const struct data_case *c, qcow2_ext, data_file, .timeout = 120)
{
    enum { SIZE = 5 * MiB + 512, OPS = 200 };
    struct blk_place p;
    char options[256];
    uint8_t *model = calloc(1, SIZE + MiB);
    uint64_t seed = 31337;
    blk_init(&p);
    /* Leftovers in the file must not show. */
    cr_assert_eq(blk_create(&p, blk_path(&p, "a.data"), "raw", MiB, NULL), VM_OK);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "a.data"), "raw", NULL, 0);
    cr_assert_eq(blk_fill(n, 0, MiB, 0xee), VM_OK);
    vm__blk_unref(n);
    (void)snprintf(options, sizeof options, "data_file=%s%s%s", blk_path(&p, "a.data"),
                   c->options[0] != '\0' ? "," : "", c->options);
    create_ok(&p, "a", SIZE, options);
    for (int round = 0; round < 2; round++) {
        n = open_ok(&p, "a", VM_OPEN_UNMAP);
        same(n, model, SIZE, "opened");
        scribble(n, model, SIZE, &seed, OPS);
        same(n, model, SIZE, "written");
        vm__blk_unref(n);
        save(&p, model, SIZE);
        shell_ok(&p, "qemu-img check a && qemu-img convert -O raw a out && cmp out model.raw");
        if (c->raw)
            shell_ok(&p, "cmp a.data model.raw");
    }
    n = open_ok(&p, "a", 0);
    cr_assert_eq(vm__blk_resize(n, SIZE + MiB, VM_PREALLOC_OFF, 0), VM_OK, "%s",
                 vm_last_error()->message);
    scribble(n, model, SIZE + MiB, &seed, 20);
    same(n, model, SIZE + MiB, "grown");
    struct vm_blk_check found = { 0 };
    cr_assert_eq(vm__blk_check(n, &found, 0), VM_OK);
    cr_assert(found.corruptions == 0 && found.leaks == 0);
    vm__blk_unref(n);
    save(&p, model, SIZE + MiB);
    shell_ok(&p, "qemu-img check a && qemu-img convert -O raw a out && cmp out model.raw");
    if (c->raw)
        shell_ok(&p, "cmp a.data model.raw");
    free(model);
    blk_fini(&p);
}

/** Made by qemu-img; found beside the image; named by an option; not opened for information. */
Test(qcow2_ext, data_file_is_found, .timeout = 60)
{
    struct blk_place p;
    if (!blk_have("qemu-img"))
        return;
    blk_init(&p);
    shell_ok(&p, "qemu-img create -q -f qcow2 -o data_file=d,data_file_raw=on a 1M && "
                 "qemu-io -c 'write -P 7 64k 64k' a && mv d e && cp e d");
    struct vm_blk *n = open_ok(&p, "a", 0);
    cr_assert(blk_is(n, 64 * KiB, 64 * KiB, 7) && blk_is(n, 0, 64 * KiB, 0));
    vm__blk_unref(n);
    shell_ok(&p, "rm d");
    cr_assert_null(blk_open(&p, blk_path(&p, "a"), "qcow2", NULL, 0));
    n = open_ok(&p, "a", VM_OPEN_NO_IO | VM_OPEN_RO);
    vm__blk_unref(n);
    char options[256];
    (void)snprintf(options, sizeof options, "data-file.filename=%s", blk_path(&p, "e"));
    n = blk_open(&p, blk_path(&p, "a"), "qcow2", options, 0);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    cr_assert(blk_is(n, 64 * KiB, 64 * KiB, 7));
    struct vm_blk_snapshot sn = { .name = "no" };
    cr_assert_eq(n->drv->snapshot_create(n, &sn), VM_E_NOTSUP);
    vm__blk_unref(n);
    /* An image that is its own data file. */
    shell_ok(&p, "cd / && qemu-img create -q -f qcow2 -o data_file=$OLDPWD/a2.d $OLDPWD/a2 1M && "
                 "rm $OLDPWD/a2.d && ln $OLDPWD/a2 $OLDPWD/a2.d");
    cr_assert_null(blk_open(&p, blk_path(&p, "a2"), "qcow2", NULL, 0));
    blk_fini(&p);
}

/* ---- preallocation ---------------------------------------------------------------------- */

/** Each mode takes on the host what it promises, at creation and in growth, and checks clean. */
Test(qcow2_ext, preallocation, .timeout = 60)
{
    static const char *const modes[] = { "metadata", "falloc", "full" };
    struct blk_place p;
    blk_init(&p);
    for (unsigned i = 0; i < 3; i++) {
        char options[64];
        (void)snprintf(options, sizeof options, "preallocation=%s", modes[i]);
        create_ok(&p, "a", 8 * MiB, options);
        struct vm_blk *n = open_ok(&p, "a", 0);
        uint64_t taken = vm__blk_allocated(n);
        cr_assert(i == 0 ? taken < 2 * MiB : taken >= 8 * MiB, "%s takes %llu", modes[i],
                  (unsigned long long)taken);
        cr_assert_eq(vm__blk_resize(n, 16 * MiB, (enum vm_prealloc)(VM_PREALLOC_METADATA + i), 0),
                     VM_OK, "%s", vm_last_error()->message);
        struct vm_extent e;
        cr_assert_eq(vm__blk_status(n, 9 * MiB, MiB, &e), VM_OK);
        cr_assert(e.flags & VM_EXTENT_ALLOCATED && e.flags & VM_EXTENT_OFFSET);
        cr_assert(blk_is(n, 0, 16 * MiB, 0));
        taken = vm__blk_allocated(n);
        cr_assert(i == 0 ? taken < 2 * MiB : taken >= 16 * MiB, "%s takes %llu grown", modes[i],
                  (unsigned long long)taken);
        vm__blk_unref(n);
        shell_ok(&p, "qemu-img check a");
    }
    blk_fini(&p);
}

/* ---- dirty bitmaps ---------------------------------------------------------------------- */

static void bitmap_ok(struct vm_blk *n, const char *what, const char *name, const char *options)
{
    struct vm_blk_options *o = vm__options_new();
    cr_assert(o != NULL && vm__options_parse(o, options != NULL ? options : "", NULL) == VM_OK);
    cr_assert_eq(vm__blk_bitmap(n, what, name, o), VM_OK, "%s %s: %s", what, name,
                 vm_last_error()->message);
    vm__options_free(o);
}

/** The bits of a bitmap as text, a digit each. */
static char *bits_of(struct vm_blk *n, const char *name)
{
    struct vm_blk_bits b = { 0 };
    cr_assert_eq(n->drv->bitmap_read(n, name, &b), VM_OK, "%s", vm_last_error()->message);
    char *text = calloc(1, (size_t)b.n_bits + 1);
    for (uint64_t i = 0; i < b.n_bits; i++)
        text[i] = b.bits[i / 8] >> i % 8 & 1 ? '1' : '0';
    free(b.bits);
    return text;
}

static void has_bits(struct vm_blk *n, const char *name, const char *want)
{
    char *text = bits_of(n, name);
    cr_assert_str_eq(text, want, "%s", name);
    free(text);
}

/** Writes are recorded while a bitmap is enabled, over closing and opening; and only then. */
Test(qcow2_ext, bitmaps_record_writes, .timeout = 60)
{
    struct blk_place p;
    blk_init(&p);
    create_ok(&p, "a", MiB, NULL);
    struct vm_blk *n = open_ok(&p, "a", VM_OPEN_UNMAP);
    bitmap_ok(n, "add", "fine", "granularity=128k");
    bitmap_ok(n, "add", "off", "granularity=128k,disabled=on");
    cr_assert_eq(blk_fill(n, 0, 512, 1), VM_OK);
    has_bits(n, "fine", "10000000");
    vm__blk_unref(n);
    shell_ok(&p, "qemu-img check a && qemu-img info a | grep -q fine");
    n = open_ok(&p, "a", VM_OPEN_UNMAP);
    cr_assert_eq(vm__blk_zero(n, 256 * KiB - 1, 2, 0), VM_OK);
    cr_assert_eq(vm__blk_discard(n, 512 * KiB, 1, 0), VM_OK);
    has_bits(n, "fine", "11101000");
    has_bits(n, "off", "00000000");
    bitmap_ok(n, "disable", "fine", NULL);
    bitmap_ok(n, "enable", "off", NULL);
    cr_assert_eq(blk_fill(n, MiB - 512, 512, 1), VM_OK);
    vm__blk_unref(n);
    n = open_ok(&p, "a", 0);
    has_bits(n, "fine", "11101000");
    has_bits(n, "off", "00000001");
    bitmap_ok(n, "add", "coarse", "granularity=256k,disabled=on");
    bitmap_ok(n, "merge", "coarse", "source=fine");
    has_bits(n, "coarse", "1110");
    bitmap_ok(n, "merge", "off", "source=coarse");
    has_bits(n, "off", "11111101");
    bitmap_ok(n, "clear", "fine", NULL);
    has_bits(n, "fine", "00000000");
    cr_assert_eq(vm__blk_resize(n, MiB + 64 * KiB, VM_PREALLOC_OFF, 0), VM_OK, "%s",
                 vm_last_error()->message);
    has_bits(n, "off", "111111010");
    cr_assert_eq(vm__blk_resize(n, 300 * KiB, VM_PREALLOC_OFF, 0), VM_OK);
    has_bits(n, "coarse", "11");
    bitmap_ok(n, "remove", "off", NULL);
    vm__blk_unref(n);
    shell_ok(&p, "qemu-img check a && qemu-img bitmap --remove a coarse && qemu-img check a");
    n = open_ok(&p, "a", VM_OPEN_RO);
    has_bits(n, "fine", "000");
    cr_assert_eq(vm__blk_bitmap(n, "clear", "fine", NULL), VM_E_PERM);
    vm__blk_unref(n);
    blk_fini(&p);
}

/** The same bits for qemu-img, both ways; and copies from image to image. */
Test(qcow2_ext, bitmaps_with_qemu_img, .timeout = 60)
{
    struct blk_place p;
    if (!blk_have("qemu-img"))
        return;
    blk_init(&p);
    shell_ok(&p, "qemu-img create -q -f qcow2 a 2M && qemu-img bitmap --add -g 64k a b && "
                 "qemu-io -c 'write 64k 128k' -c 'write 1M 1' a");
    struct vm_blk *n = open_ok(&p, "a", 0);
    has_bits(n, "b", "01100000000000001000000000000000");
    cr_assert_eq(blk_fill(n, 0, 512, 1), VM_OK);
    vm__blk_unref(n);
    shell_ok(&p, "qemu-img check a && qemu-img bitmap --add -g 64k a c && "
                 "qemu-img bitmap --merge b a c && qemu-img bitmap --disable a c");
    n = open_ok(&p, "a", 0);
    has_bits(n, "c", "11100000000000001000000000000000");
    create_ok(&p, "to", 2 * MiB, "cluster_size=4k");
    struct vm_blk *to = open_ok(&p, "to", 0);
    cr_assert_eq(vm__blk_bitmap_copy(n, to, false), VM_OK, "%s", vm_last_error()->message);
    has_bits(to, "b", "11100000000000001000000000000000");
    struct vm_blk_bitmap *list;
    size_t count;
    cr_assert_eq(vm__blk_bitmap_list(to, &list, &count), VM_OK);
    cr_assert(count == 2 && list[0].enabled && !list[1].enabled && !list[0].in_use);
    free(list);
    vm__blk_unref(to);
    vm__blk_unref(n);
    shell_ok(&p, "qemu-img check to && qemu-img bitmap --clear to b && qemu-img check to");
    blk_fini(&p);
}

/** Not put away (the writer was killed): in use, not to be trusted, and good for removal only. */
Test(qcow2_ext, bitmaps_left_in_use, .timeout = 60)
{
    struct blk_place p;
    blk_init(&p);
    create_ok(&p, "a", MiB, NULL);
    struct vm_blk *n = open_ok(&p, "a", 0);
    bitmap_ok(n, "add", "b", NULL);
    cr_assert_eq(blk_fill(n, 0, 512, 1), VM_OK);
    cr_assert_eq(vm__blk_flush(n, 0), VM_OK);
    char *out = NULL;
    cr_assert_eq(blk_shell(&p, &out, "cp a killed"), 0);
    free(out);
    vm__blk_unref(n);
    n = open_ok(&p, "killed", 0);
    struct vm_blk_bits bits;
    cr_assert_eq(n->drv->bitmap_read(n, "b", &bits), VM_E_CORRUPT);
    cr_assert_eq(vm__blk_bitmap(n, "enable", "b", NULL), VM_E_CORRUPT);
    cr_assert_eq(blk_fill(n, 0, 512, 2), VM_OK);
    bitmap_ok(n, "remove", "b", NULL);
    vm__blk_unref(n);
    shell_ok(&p, "qemu-img check killed && ! qemu-img info killed | grep -q bitmaps");
    blk_fini(&p);
}

/** Directories and tables that lie. */
Test(qcow2_ext, hostile_bitmaps, .timeout = 60)
{
    static const struct {
        int where; /* 0: extension, 1: directory, 2: table */
        uint64_t at, v;
        bool opens;
    } bad[] = {
        { 0, 0, UINT64_C(0xffffffff00000000), false },  /* number of bitmaps */
        { 0, 8, UINT64_C(1) << 40, false },             /* size of the directory */
        { 0, 16, UINT64_C(1) << 62, false },            /* its place */
        { 0, 16, 512, false },                          /* not aligned */
        { 1, 0, UINT64_C(1) << 60, false },             /* place of the table */
        { 1, 8, UINT64_C(0xffffffff00000000), false },  /* its size */
        { 1, 8, UINT64_C(0x0000000200000002), true },   /* a larger one than there are bits for */
        { 1, 16, UINT64_C(0x01ff000100000000), false }, /* granularity */
        { 1, 16, UINT64_C(0x011000010fffffff), false }, /* extra data */
        { 2, 0, UINT64_C(1) << 55, true },              /* place of bits */
        { 2, 0, 2, true },                              /* reserved bits */
    };
    struct blk_place p;
    blk_init(&p);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        create_ok(&p, "a", MiB, "cluster_size=512");
        struct vm_blk *n = open_ok(&p, "a", 0);
        bitmap_ok(n, "add", "b", "granularity=512");
        cr_assert_eq(blk_fill(n, 0, 512, 1), VM_OK);
        vm__blk_unref(n);
        uint64_t ext = 112, dir, table;
        while (peek(&p, "a", ext) >> 32 != 0x23852875)
            ext += 8;
        dir = peek(&p, "a", ext + 24);
        table = peek(&p, "a", dir);
        poke(&p, "a",
             (bad[i].where == 0   ? ext + 8
              : bad[i].where == 1 ? dir
                                  : table) +
                 bad[i].at,
             bad[i].v);
        n = blk_open(&p, blk_path(&p, "a"), "qcow2", NULL, VM_OPEN_RO);
        cr_assert_eq(n != NULL, bad[i].opens, "case %zu", i);
        if (n != NULL) {
            struct vm_blk_bits bits = { 0 };
            int st = n->drv->bitmap_read(n, "b", &bits);
            cr_assert(st == VM_E_CORRUPT, "case %zu: %d", i, st);
        }
        vm__blk_unref(n);
        n = blk_open(&p, blk_path(&p, "a"), "qcow2", NULL, VM_OPEN_CHECK);
        struct vm_blk_check found = { 0 };
        if (n != NULL)
            cr_assert_eq(n->drv->check(n, &found, VM_FIX_LEAKS | VM_FIX_ERRORS), VM_OK);
        vm__blk_unref(n);
    }
    blk_fini(&p);
}

/* ---- amendment, measuring --------------------------------------------------------------- */

static int amend(struct vm_blk *n, const char *options)
{
    struct vm_blk_options *o = vm__options_new();
    cr_assert(o != NULL && vm__options_parse(o, options, NULL) == VM_OK);
    int st = vm__blk_amend(n, o, NULL);
    vm__options_free(o);
    return st;
}

/** Through every width of counts and both levels; contents and counts stay right. */
Test(qcow2_ext, amend_levels_and_widths, .timeout = 120)
{
    enum { SIZE = 2 * MiB };
    static const char *const steps[] = {
        "refcount_bits=1",
        "refcount_bits=64",
        "refcount_bits=8",
        "lazy_refcounts=on",
        "refcount_bits=16",
        "compat=0.10",
        "compat=1.1",
        "refcount_bits=2",
        "size=3M",
        "size=2M",
        "compat=v3,refcount_bits=32",
    };
    struct blk_place p;
    uint8_t *model = calloc(1, SIZE);
    uint64_t seed = 5150;
    blk_init(&p);
    cr_assert_eq(blk_create(&p, blk_path(&p, "base"), "raw", SIZE, NULL), VM_OK);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "base"), "raw", NULL, 0);
    scribble(n, model, SIZE, &seed, 50);
    vm__blk_unref(n);
    create_ok(&p, "a", SIZE, "cluster_size=4k,backing_file=base,backing_fmt=raw");
    save(&p, model, SIZE);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        n = open_ok(&p, "a", VM_OPEN_UNMAP);
        scribble(n, model, SIZE, &seed, 40);
        cr_assert_eq(vm__blk_zero(n, 64 * KiB, 32 * KiB, VM_IO_UNMAP), VM_OK);
        memset(model + 64 * KiB, 0, 32 * KiB);
        cr_assert_eq(amend(n, steps[i]), VM_OK, "%s: %s", steps[i], vm_last_error()->message);
        if (vm__blk_size(n) == SIZE)
            same(n, model, SIZE, steps[i]);
        scribble(n, model, SIZE, &seed, 20);
        vm__blk_unref(n);
        shell_ok(&p, "qemu-img check a");
    }
    n = open_ok(&p, "a", VM_OPEN_UNMAP);
    same(n, model, SIZE, "amended");
    cr_assert_eq(amend(n, "compat=0.10"), VM_E_NOTSUP);
    cr_assert_eq(amend(n, "refcount_bits=3"), VM_E_INVAL);
    cr_assert_eq(amend(n, "data_file=x"), VM_E_INVAL);
    struct vm_blk_snapshot sn = { .name = "one" };
    cr_assert_eq(n->drv->snapshot_create(n, &sn), VM_OK);
    cr_assert_eq(amend(n, "refcount_bits=1"), VM_E_RANGE); /* shared clusters count two */
    same(n, model, SIZE, "refused");
    vm__blk_unref(n);
    shell_ok(&p, "qemu-img check a");
    n = open_ok(&p, "a", 0);
    cr_assert_eq(amend(n, "backing_file=other,backing_fmt=qcow2"), VM_OK);
    vm__blk_unref(n);
    shell_ok(&p, "qemu-img info a | grep -q 'backing file: other'");
    free(model);
    blk_fini(&p);
}

/** The same numbers as the peer's. */
Test(qcow2_ext, measures_as_qemu_img, .timeout = 60)
{
    static const char *const options[] = {
        "cluster_size=64k", "cluster_size=512", "cluster_size=2M",
        "extended_l2=on",   "refcount_bits=64", "refcount_bits=1,cluster_size=4k",
    };
    struct blk_place p;
    if (!blk_have("qemu-img"))
        return;
    blk_init(&p);
    create_ok(&p, "a", 40 * MiB, NULL);
    struct vm_blk *n = open_ok(&p, "a", 0);
    cr_assert_eq(blk_fill(n, 3 * MiB + 512, 5 * MiB, 3), VM_OK);
    cr_assert_eq(blk_fill(n, 30 * MiB, 512, 3), VM_OK);
    bitmap_ok(n, "add", "b", "granularity=512");
    vm__blk_unref(n);
    for (size_t i = 0; i < 2 * sizeof options / sizeof options[0]; i++) {
        struct vm_blk_measure m;
        char *out = NULL, want[160];
        struct vm_blk_options *o = vm__options_new();
        bool source = i & 1;
        cr_assert_eq(vm__options_parse(o, options[i / 2], NULL), VM_OK);
        n = open_ok(&p, "a", VM_OPEN_RO);
        cr_assert_eq(vm__blk_measure(p.env, "qcow2", UINT64_C(5) << 30, source ? n : NULL, o, &m),
                     VM_OK, "%s", vm_last_error()->message);
        vm__blk_unref(n);
        vm__options_free(o);
        cr_assert_eq(blk_shell(&p, &out, "qemu-img measure -O qcow2 -o %s %s", options[i / 2],
                               source ? "a" : "--size 5G"),
                     0, "%s", out);
        (void)snprintf(want, sizeof want, "required size: %llu\nfully allocated size: %llu\n",
                       (unsigned long long)m.required, (unsigned long long)m.fully_allocated);
        cr_assert_eq(strncmp(out, want, strlen(want)), 0, "%s: %s, not %s", options[i / 2], want,
                     out);
        (void)snprintf(want, sizeof want, "bitmaps size: %llu\n", (unsigned long long)m.bitmaps);
        cr_assert_eq(m.has_bitmaps, source);
        cr_assert(!source || strstr(out, want) != NULL, "%s: %s, not %s", options[i / 2], want,
                  out);
        free(out);
    }
    blk_fini(&p);
}
