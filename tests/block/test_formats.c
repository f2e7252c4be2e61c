/* SPDX-License-Identifier: MIT */
/**
 * @file test_formats.c
 * Every format that can be written: made here and read by qemu-img, made by qemu-img and read here,
 * random writes against a model in memory, reopened and compared, resized, checked.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>

#include "block/support.h"

enum { MAX_SIZE = 96 << 20, OPS = 300 };

struct variant {
    char format[16], options[96];
    uint64_t size;
    char peer[16];    /**< what qemu-img calls it; empty: it has no such format */
    bool check;       /**< qemu-img can check it */
    bool peer_writes; /**< qemu-img can make it with these options */
};

static const struct variant variants[] = {
    { "raw", "", 10 << 20, "raw", false, true },
    { "qcow2", "", 10 << 20, "qcow2", true, true },
    { "qcow2", "cluster_size=512", 3 << 20, "qcow2", true, true },
    { "qcow2", "cluster_size=4096,refcount_bits=1", (3 << 20) + 512, "qcow2", true, true },
    { "qcow2", "cluster_size=2M,refcount_bits=64", 10 << 20, "qcow2", true, true },
    { "qcow2", "cluster_size=1024,refcount_bits=8", 5 << 20, "qcow2", true, true },
    { "qcow2", "compat=0.10", 10 << 20, "qcow2", true, true },
    { "qcow2", "preallocation=metadata", 10 << 20, "qcow2", true, true },
    { "qcow2", "lazy_refcounts=on", 10 << 20, "qcow2", true, true },
    { "qcow2", "extended_l2=on,cluster_size=128k", 10 << 20, "qcow2", true, true },
    { "qcow2", "extended_l2=on,cluster_size=16k", (5 << 20) + 512, "qcow2", true, true },
    { "qcow2", "extended_l2=on,cluster_size=2M,preallocation=metadata", 10 << 20, "qcow2", true,
      true },
    { "qcow", "", 10 << 20, "qcow", false, true },
    { "qcow", "", (5 << 20) + 512, "qcow", false, true },
    { "qed", "", 10 << 20, "qed", true, true },
    { "qed", "cluster_size=4096,table_size=2", 10 << 20, "qed", true, true },
    { "vdi", "", 10 << 20, "vdi", true, true },
    { "vdi", "static=on", 3 << 20, "vdi", true, true },
    { "vdi", "", (3 << 20) + 512, "vdi", true, true },
    { "vmdk", "", 10 << 20, "vmdk", true, true },
    { "vmdk", "zeroed_grain=on", 10 << 20, "vmdk", true, true },
    { "vmdk", "subformat=monolithicFlat", 10 << 20, "vmdk", false, true },
    { "vmdk", "subformat=twoGbMaxExtentSparse", 10 << 20, "vmdk", true, true },
    { "vmdk", "subformat=twoGbMaxExtentFlat", 10 << 20, "vmdk", false, true },
    { "vmdk", "subformat=streamOptimized", 10 << 20, "vmdk", true, true },
    { "vmdk", "", (3 << 20) + 1024, "vmdk", true, true },
    { "vpc", "force_size=on", 10 << 20, "vpc", false, true },
    { "vpc", "", 10514432, "vpc", false, true },
    { "vpc", "subformat=fixed,force_size=on", 5 << 20, "vpc", false, true },
    { "vhdx", "", 10 << 20, "vhdx", true, true },
    { "vhdx", "subformat=fixed,block_size=1048576", 5 << 20, "vhdx", true, true },
    { "vhdx", "block_size=1048576", (17 << 20) + 512, "vhdx", true, true },
    { "parallels", "", 10 << 20, "parallels", true, true },
    { "parallels", "cluster_size=65536", (3 << 20) + 512, "parallels", true, true },
};

ParameterizedTestParameters(formats, random_writes)
{
    return cr_make_param_array(struct variant, (void *)(uintptr_t)variants,
                               sizeof variants / sizeof variants[0]);
}

ParameterizedTestParameters(formats, made_by_qemu_img)
{
    return cr_make_param_array(struct variant, (void *)(uintptr_t)variants,
                               sizeof variants / sizeof variants[0]);
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

/** Bytes that tell where they are and which write they came from. */
static void pattern(uint8_t *p, uint64_t off, size_t len, uint64_t op)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)((off + i) * 7 + (off + i) / 512 * 13 + op * 31 + 1);
}

static void compare(struct vm_blk *n, const uint8_t *model, uint64_t size, const char *when)
{
    enum { STEP = 1 << 20 };
    static uint8_t buf[STEP];
    cr_assert_eq(vm__blk_size(n), size, "%s: size %llu, not %llu", when,
                 (unsigned long long)vm__blk_size(n), (unsigned long long)size);
    for (uint64_t off = 0; off < size; off += STEP) {
        size_t len = size - off < STEP ? (size_t)(size - off) : STEP;
        cr_assert_eq(vm__blk_read(n, off, buf, len), VM_OK, "%s: %s", when,
                     vm_last_error()->message);
        for (size_t i = 0; i < len; i++)
            if (buf[i] != model[off + i])
                cr_assert_fail("%s: byte %llu is %02x, not %02x", when,
                               (unsigned long long)(off + i), buf[i], model[off + i]);
    }
}

/** Status covers the disk, and what it calls zeros is zeros. */
static void check_status(struct vm_blk *n, const uint8_t *model, uint64_t size)
{
    for (uint64_t off = 0; off < size;) {
        struct vm_extent e;
        uint32_t depth;
        cr_assert_eq(vm__blk_status_chain(n, off, size - off, &e, &depth), VM_OK, "%s",
                     vm_last_error()->message);
        cr_assert(e.length > 0 && e.length <= size - off);
        if (e.flags & VM_EXTENT_ZERO)
            for (uint64_t i = 0; i < e.length; i++)
                cr_assert_eq(model[off + i], 0, "at %llu", (unsigned long long)(off + i));
        off += e.length;
    }
}

static void one_op(struct vm_blk *n, uint8_t *model, uint64_t size, uint64_t *seed, unsigned op)
{
    uint64_t kind = next_random(seed) % 10, off = next_random(seed) % size;
    size_t len = (size_t)(next_random(seed) % (kind < 2 ? 300000 : 9000)) + 1;
    if (kind & 1)
        off &= ~UINT64_C(4095);
    if (len > size - off)
        len = (size_t)(size - off);
    if (kind == 8) {
        cr_assert_eq(vm__blk_zero(n, off, len, op & 1 ? VM_IO_UNMAP : 0), VM_OK, "%s",
                     vm_last_error()->message);
        memset(model + off, 0, len);
    } else if (kind == 9) {
        cr_assert_eq(vm__blk_flush(n, 0), VM_OK, "%s", vm_last_error()->message);
    } else {
        pattern(model + off, off, len, op);
        cr_assert_eq(vm__blk_write(n, off, model + off, len), VM_OK, "%s",
                     vm_last_error()->message);
    }
}

static void save_model(const struct blk_place *p, const uint8_t *model, uint64_t size)
{
    FILE *f = fopen(blk_path(p, "model.raw"), "wb");
    cr_assert(f != NULL && fwrite(model, 1, size, f) == size && fclose(f) == 0);
}

ParameterizedTest(const struct variant *v, formats, random_writes, .timeout = 120)
{
    struct blk_place p;
    blk_init(&p);
    uint8_t *model = calloc(1, v->size);
    uint64_t seed = 88172645463325252ull;
    cr_assert_eq(blk_create(&p, blk_path(&p, "a"), v->format, v->size, v->options), VM_OK,
                 "%s %s: %s", v->format, v->options, vm_last_error()->message);
    for (unsigned round = 0; round < 3; round++) {
        struct vm_blk *n = blk_open(&p, blk_path(&p, "a"), v->format, NULL, VM_OPEN_UNMAP);
        cr_assert_not_null(n, "%s: %s", v->format, vm_last_error()->message);
        compare(n, model, v->size, "opened");
        for (unsigned op = 0; op < OPS; op++)
            one_op(n, model, v->size, &seed, op + round * OPS);
        compare(n, model, v->size, "written");
        check_status(n, model, v->size);
        vm__blk_unref(n);
    }
    save_model(&p, model, v->size);
    if (blk_have("qemu-img")) {
        char *out = NULL;
        cr_assert_eq(blk_shell(&p, &out,
                               "qemu-img convert -f %s -O raw a out.raw 2>&1 && cmp "
                               "out.raw model.raw",
                               v->peer),
                     0, "%s %s: %s", v->format, v->options, out);
        free(out);
        if (v->check)
            cr_assert_eq(blk_shell(&p, &out, "qemu-img check -f %s a 2>&1", v->peer), 0,
                         "%s %s: %s", v->format, v->options, out);
        free(v->check ? out : NULL);
    }
    free(model);
    blk_fini(&p);
}

ParameterizedTest(const struct variant *v, formats, made_by_qemu_img, .timeout = 120)
{
    struct blk_place p;
    if (!blk_have("qemu-img") || !v->peer_writes)
        return;
    blk_init(&p);
    uint8_t *model = calloc(1, v->size);
    uint64_t seed = 1234567;
    for (unsigned i = 0; i < 40; i++) {
        uint64_t off = next_random(&seed) % v->size;
        size_t len = (size_t)(next_random(&seed) % 100000);
        len = len > v->size - off ? (size_t)(v->size - off) : len;
        pattern(model + off, off, len, i);
    }
    save_model(&p, model, v->size);
    char *out = NULL;
    cr_assert_eq(blk_shell(&p, &out, "qemu-img convert -f raw -O %s %s%s model.raw b 2>&1", v->peer,
                           v->options[0] != '\0' ? "-o " : "", v->options),
                 0, "%s", out);
    free(out);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "b"), v->format, NULL, 0);
    cr_assert_not_null(n, "%s %s: %s", v->format, v->options, vm_last_error()->message);
    compare(n, model, v->size, "made by qemu-img");
    check_status(n, model, v->size);
    for (unsigned op = 0; op < OPS; op++)
        one_op(n, model, v->size, &seed, op);
    vm__blk_unref(n);
    save_model(&p, model, v->size);
    cr_assert_eq(blk_shell(&p, &out,
                           "qemu-img convert -f %s -O raw b out.raw 2>&1 && cmp out.raw model.raw",
                           v->peer),
                 0, "%s %s: %s", v->format, v->options, out);
    free(out);
    free(model);
    blk_fini(&p);
}

/* ---- overlays --------------------------------------------------------------------------- */

struct chain {
    char format[16], base_options[48];
    bool peer_reads; /**< qemu-img follows such a chain */
};

static const struct chain chains[] = {
    { "qcow2", "", true },
    { "qcow2", "cluster_size=512", true },
    { "qcow2", "compat=0.10", true },
    { "qcow2", "extended_l2=on", true },
    { "qcow2", "extended_l2=on,cluster_size=16k", true },
    { "qcow", "", true },
    { "qed", "", true },
    { "vdi", "", false },
    { "vmdk", "", true },
    { "vpc", "force_size=on", false },
    { "vhdx", "", false },
};

ParameterizedTestParameters(formats, overlays)
{
    return cr_make_param_array(struct chain, (void *)(uintptr_t)chains,
                               sizeof chains / sizeof chains[0]);
}

ParameterizedTest(const struct chain *c, formats, overlays, .timeout = 120)
{
    enum { SIZE = 12 << 20 };
    struct blk_place p;
    char options[160];
    blk_init(&p);
    uint8_t *base = calloc(1, SIZE), *model = calloc(1, SIZE);
    uint64_t seed = 424242;
    cr_assert_eq(blk_create(&p, blk_path(&p, "base"), c->format, SIZE, c->base_options), VM_OK,
                 "%s", vm_last_error()->message);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "base"), c->format, NULL, 0);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    for (unsigned op = 0; op < OPS; op++)
        one_op(n, base, SIZE, &seed, op);
    vm__blk_unref(n);
    memcpy(model, base, SIZE);
    (void)snprintf(options, sizeof options, "backing_file=base,backing_fmt=%s%s%s", c->format,
                   c->base_options[0] != '\0' ? "," : "", c->base_options);
    cr_assert_eq(blk_create(&p, blk_path(&p, "over"), c->format, SIZE, options), VM_OK, "%s: %s",
                 c->format, vm_last_error()->message);
    for (unsigned round = 0; round < 3; round++) {
        n = blk_open(&p, blk_path(&p, "over"), c->format, NULL, VM_OPEN_PROBE);
        cr_assert_not_null(n, "%s: %s", c->format, vm_last_error()->message);
        cr_assert_not_null(n->backing);
        compare(n, model, SIZE, "overlay opened");
        for (unsigned op = 0; op < OPS / 3; op++)
            one_op(n, model, SIZE, &seed, 1000 * (round + 1) + op);
        compare(n, model, SIZE, "overlay written");
        check_status(n, model, SIZE);
        vm__blk_unref(n);
    }
    n = blk_open(&p, blk_path(&p, "base"), c->format, NULL, VM_OPEN_RO);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    compare(n, base, SIZE, "base");
    vm__blk_unref(n);
    save_model(&p, model, SIZE);
    char *out = NULL;
    if (c->peer_reads && blk_have("qemu-img"))
        cr_assert_eq(blk_shell(&p, &out,
                               "qemu-img convert -f %s -O raw over out.raw 2>&1 && cmp "
                               "out.raw model.raw",
                               c->format),
                     0, "%s: %s", c->format, out);
    free(out);
    free(base);
    free(model);
    blk_fini(&p);
}

/** An overlay whose base was written to afterwards is refused by formats that can tell. */
Test(formats, changed_parent, .timeout = 60)
{
    static const char *const names[] = { "vdi", "vmdk", "vhdx" };
    struct blk_place p;
    blk_init(&p);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char base[24], over[24], options[80];
        (void)snprintf(base, sizeof base, "base.%s", names[i]);
        (void)snprintf(over, sizeof over, "over.%s", names[i]);
        (void)snprintf(options, sizeof options, "backing_file=%s,backing_fmt=%s", base, names[i]);
        cr_assert_eq(blk_create(&p, blk_path(&p, base), names[i], 4 << 20, NULL), VM_OK);
        cr_assert_eq(blk_create(&p, blk_path(&p, over), names[i], 4 << 20, options), VM_OK, "%s",
                     vm_last_error()->message);
        struct vm_blk *n = blk_open(&p, blk_path(&p, base), names[i], NULL, 0);
        cr_assert_not_null(n);
        cr_assert_eq(blk_fill(n, 0, 4096, 1), VM_OK);
        vm__blk_unref(n);
        cr_assert_null(blk_open(&p, blk_path(&p, over), names[i], NULL, 0));
        cr_assert_not_null(strstr(vm_last_error()->message, "changed"), "%s",
                           vm_last_error()->message);
    }
    blk_fini(&p);
}

/** A VDI image grows past what its table has room for: blocks move out of the way. */
Test(formats, vdi_grows, .timeout = 120)
{
    enum { OLD = 5 << 20 };
    const uint64_t large = UINT64_C(400) << 30; /* 409,600 entries: two blocks must give way */
    struct blk_place p;
    blk_init(&p);
    uint8_t *model = calloc(1, OLD);
    cr_assert_eq(blk_create(&p, blk_path(&p, "a"), "vdi", OLD, NULL), VM_OK);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "a"), "vdi", NULL, 0);
    pattern(model, 0, OLD, 5);
    cr_assert_eq(vm__blk_write(n, 0, model, OLD), VM_OK);
    cr_assert_eq(vm__blk_resize(n, large, VM_PREALLOC_OFF, 0), VM_OK, "%s",
                 vm_last_error()->message);
    cr_assert_eq(blk_fill(n, large - 4096, 4096, 0x55), VM_OK);
    vm__blk_unref(n);
    n = blk_open(&p, blk_path(&p, "a"), "vdi", NULL, 0);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    cr_assert_eq(vm__blk_size(n), large);
    cr_assert(blk_is(n, large - 4096, 4096, 0x55));
    cr_assert(blk_is(n, OLD, 1 << 20, 0));
    cr_assert_eq(vm__blk_resize(n, OLD, VM_PREALLOC_OFF, 0), VM_OK, "%s", vm_last_error()->message);
    compare(n, model, OLD, "grown and shrunk");
    vm__blk_unref(n);
    char *out = NULL;
    if (blk_have("qemu-img"))
        cr_assert_eq(blk_shell(&p, &out, "qemu-img check -f vdi a 2>&1"), 0, "%s", out);
    free(out);
    free(model);
    blk_fini(&p);
}

/** Compressed clusters, of both kinds, made here and there; then written over. */
Test(formats, qcow2_compressed, .timeout = 120)
{
    enum { SIZE = 4 << 20, CLUSTER = 65536 };
    static const char *const types[] = { "zlib", "zstd" };
    struct blk_place p;
    blk_init(&p);
    uint8_t *model = calloc(1, SIZE);
    for (size_t t = 0; t < 2; t++) {
        char options[64], *out = NULL;
        uint64_t seed = 99 + t;
        (void)snprintf(options, sizeof options, "compression_type=%s", types[t]);
        cr_assert_eq(blk_create(&p, blk_path(&p, "a"), "qcow2", SIZE, options), VM_OK, "%s",
                     vm_last_error()->message);
        pattern(model, 0, SIZE, 3);
        for (unsigned i = 0; i < CLUSTER; i++) /* one that does not get smaller */
            model[5 * CLUSTER + i] = (uint8_t)(next_random(&seed) >> 24);
        struct vm_blk *n = blk_open(&p, blk_path(&p, "a"), "qcow2", NULL, 0);
        for (unsigned i = 0; i < SIZE / CLUSTER; i++) {
            struct vm_iov v = { model + (size_t)i * CLUSTER, CLUSTER };
            cr_assert_eq(vm__blk_writev(n, (uint64_t)i * CLUSTER, CLUSTER, (struct vm_sg) { &v, 0 },
                                        VM_IO_COMPRESSED),
                         VM_OK, "%s", vm_last_error()->message);
        }
        compare(n, model, SIZE, "compressed");
        vm__blk_unref(n);
        save_model(&p, model, SIZE);
        cr_assert_eq(blk_shell(&p, &out,
                               "qemu-img convert -O raw a out.raw 2>&1 && cmp out.raw "
                               "model.raw && qemu-img check a 2>&1"),
                     0, "%s: %s", types[t], out);
        free(out);
        cr_assert_eq(blk_shell(&p, &out,
                               "qemu-img convert -c -O qcow2 -o compression_type=%s "
                               "model.raw b 2>&1",
                               types[t]),
                     0, "%s", out);
        free(out);
        n = blk_open(&p, blk_path(&p, "b"), "qcow2", NULL, 0);
        compare(n, model, SIZE, "compressed by qemu-img");
        for (unsigned op = 0; op < 60; op++)
            one_op(n, model, SIZE, &seed, op);
        compare(n, model, SIZE, "written over");
        vm__blk_unref(n);
        cr_assert_eq(blk_shell(&p, &out, "qemu-img check b 2>&1"), 0, "%s: %s", types[t], out);
        free(out);
    }
    free(model);
    blk_fini(&p);
}

/** Snapshots made, looked at, gone back to and deleted, here; each state also read by qemu-img. */
Test(formats, qcow2_snapshots, .timeout = 120)
{
    enum { SIZE = 3 << 20, N = 3 };
    struct blk_place p;
    char *out = NULL;
    uint8_t *model = calloc(1, SIZE), *then[N];
    uint64_t seed = 4711;
    blk_init(&p);
    cr_assert_eq(blk_create(&p, blk_path(&p, "a"), "qcow2", SIZE, "cluster_size=4096"), VM_OK);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "a"), "qcow2", NULL, 0);
    for (unsigned i = 0; i < N; i++) {
        struct vm_blk_snapshot sn = { .date_s = 1000000000 + i };
        for (unsigned op = 0; op < 60; op++)
            one_op(n, model, SIZE, &seed, op + 100 * i);
        (void)snprintf(sn.name, sizeof sn.name, "s%u", i);
        cr_assert_eq(n->drv->snapshot_create(n, &sn), VM_OK, "%s", vm_last_error()->message);
        then[i] = malloc(SIZE);
        memcpy(then[i], model, SIZE);
    }
    for (unsigned op = 0; op < 60; op++)
        one_op(n, model, SIZE, &seed, op + 1000);
    compare(n, model, SIZE, "after snapshots");
    vm__blk_unref(n);
    cr_assert_eq(blk_shell(&p, &out, "qemu-img check a 2>&1"), 0, "%s", out);
    free(out);
    for (unsigned i = 0; i < N; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "s%u", i);
        n = blk_open(&p, blk_path(&p, "a"), "qcow2", NULL, VM_OPEN_RO);
        cr_assert_eq(n->drv->snapshot_load(n, name), VM_OK, "%s", vm_last_error()->message);
        compare(n, then[i], SIZE, name);
        vm__blk_unref(n);
        save_model(&p, then[i], SIZE);
        cr_assert_eq(blk_shell(&p, &out,
                               "qemu-img convert -l %s -O raw a out.raw 2>&1 && cmp out.raw "
                               "model.raw",
                               name),
                     0, "%s", out);
        free(out);
    }
    n = blk_open(&p, blk_path(&p, "a"), "qcow2", NULL, 0);
    cr_assert_eq(n->drv->snapshot_goto(n, "s1"), VM_OK, "%s", vm_last_error()->message);
    memcpy(model, then[1], SIZE);
    compare(n, model, SIZE, "gone back");
    for (unsigned op = 0; op < 40; op++)
        one_op(n, model, SIZE, &seed, op + 2000);
    cr_assert_eq(n->drv->snapshot_delete(n, "s0"), VM_OK, "%s", vm_last_error()->message);
    cr_assert_eq(n->drv->snapshot_delete(n, "2"), VM_OK, "%s", vm_last_error()->message);
    cr_assert_eq(n->drv->snapshot_delete(n, "nothing"), VM_E_NOENT);
    compare(n, model, SIZE, "deleted");
    vm__blk_unref(n);
    cr_assert_eq(blk_shell(&p, &out, "qemu-img check a 2>&1 && qemu-img snapshot -l a"), 0, "%s",
                 out);
    cr_assert_not_null(strstr(out, "s2"));
    cr_assert_null(strstr(out, "s1"));
    free(out);
    for (unsigned i = 0; i < N; i++)
        free(then[i]);
    free(model);
    blk_fini(&p);
}

/** Broken counts are found, and repaired so that qemu-img agrees. */
Test(formats, qcow2_repair, .timeout = 60)
{
    struct blk_place p;
    char *out = NULL;
    blk_init(&p);
    cr_assert_eq(blk_create(&p, blk_path(&p, "a"), "qcow2", 4 << 20, NULL), VM_OK);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "a"), "qcow2", NULL, 0);
    cr_assert_eq(blk_fill(n, 0, 1 << 20, 7), VM_OK);
    vm__blk_unref(n);
    /* counts of clusters 4, 5 and 40: lost, doubled, leaked */
    cr_assert_eq(
        blk_shell(&p, &out,
                  "printf '\\0\\0\\0\\2' | dd of=a bs=1 seek=$((0x20000 + 8)) conv=notrunc "
                  "2>&1 && printf '\\0\\1' | dd of=a bs=1 seek=$((0x20000 + 80)) "
                  "conv=notrunc 2>&1 && truncate -s 4M a"),
        0, "%s", out);
    free(out);
    n = blk_open(&p, blk_path(&p, "a"), "qcow2", NULL, VM_OPEN_CHECK);
    struct vm_blk_check found = { 0 };
    cr_assert_eq(n->drv->check(n, &found, 0), VM_OK, "%s", vm_last_error()->message);
    cr_assert(found.corruptions >= 1 && found.leaks >= 2, "%llu corruptions, %llu leaks",
              (unsigned long long)found.corruptions, (unsigned long long)found.leaks);
    found = (struct vm_blk_check) { 0 };
    cr_assert_eq(n->drv->check(n, &found, VM_FIX_LEAKS | VM_FIX_ERRORS), VM_OK);
    cr_assert_eq(found.corruptions, found.corruptions_fixed);
    cr_assert_eq(found.leaks, found.leaks_fixed);
    vm__blk_unref(n);
    cr_assert_eq(blk_shell(&p, &out, "qemu-img check a 2>&1"), 0, "%s", out);
    free(out);
    blk_fini(&p);
}
