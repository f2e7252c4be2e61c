/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_block.c
 * Fuzz target: a damaged image of any format is opened, looked at, checked, read, written,
 * repaired.
 *
 * An input is a format, how to open, and a list of patches to a sound image that is made here, at
 * the places where that image has something. FUZZ_FORMAT in the environment fixes the format. No
 * file can be opened: what an image names further is asked for and refused.
 */
#undef NDEBUG
#include <assert.h>
#include <jansson.h>
#include <libvm/block.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "block/image.h"
#include "damage.h"
#include "old_images.h"
#include "support.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE = 3 << 20, MAX_FILE = 64 << 20, READ_AT_MOST = 4 << 20 };

struct kind {
    const char *format, *options;
    bool over; /* stands on a base, which is there */
};

static const struct kind kinds[] = {
    { "qcow2", "cluster_size=512", false },
    { "qcow2", "cluster_size=65536", true },
    { "qcow2", "compat=0.10,cluster_size=4096", false },
    { "qcow2", "extended_l2=on,cluster_size=16384", true },
    { "qcow", "", false },
    { "qed", "cluster_size=4096,table_size=1", false },
    { "vdi", "", true },
    { "vmdk", "", false },
    { "vmdk", "subformat=streamOptimized", false },
    { "vpc", "force_size=on", true },
    { "vhdx", "block_size=1048576", true },
    { "parallels", "cluster_size=65536", false },
    { "bochs", NULL, false },
    { "cloop", NULL, false },
    { "dmg", NULL, false },
    { "cow", "", false },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static struct sound images[KINDS];
static struct blk_place place; /* where no file can be opened */

/* ---- sound images ----------------------------------------------------------------------- */

static void write_some(struct vm_blk *n)
{
    static uint8_t buf[65536];
    for (unsigned i = 0; i < 24; i++) {
        for (size_t at = 0; at < sizeof buf; at++)
            buf[at] = (uint8_t)(at / 16 + i);
        (void)vm__blk_write(n, (uint64_t)i * i * 4096 % (SIZE - 65536), buf, 3000 + i * 100);
    }
    if (n->drv->can & VM_CAN_COMPRESS)
        (void)vm__blk_writev(n, 2 << 20, sizeof buf,
                             (struct vm_sg) { &(struct vm_iov) { buf, sizeof buf }, 0 },
                             VM_IO_COMPRESSED);
    (void)vm__blk_zero(n, 1 << 20, 65536, VM_IO_UNMAP);
    if (n->drv->snapshot_create != NULL) {
        struct vm_blk_snapshot s = { .name = "one", .date_s = 1 };
        vm__blk_drain_begin(n);
        (void)n->drv->snapshot_create(n, &s);
        vm__blk_drain_end(n);
        (void)vm__blk_write(n, 8192, buf, 4096);
    }
}

static void make(struct blk_place *p, const struct kind *k, struct sound *out)
{
    char options[160];
    if (k->options == NULL) {
        old_image(k->format, out);
        return;
    }
    snprintf(options, sizeof options, "%s%s%s", k->options,
             k->over ? *k->options != '\0' ? ",backing_file=base,backing_fmt="
                                           : "backing_file=base,backing_fmt="
                     : "",
             k->over ? k->format : "");
    if (k->over)
        assert(blk_create(p, blk_path(p, "base"), k->format, SIZE,
                          strcmp(k->format, "vpc") == 0 ? "force_size=on" : NULL) == VM_OK);
    assert(blk_create(p, blk_path(p, "image"), k->format, SIZE, options) == VM_OK);
    struct vm_blk *n = blk_open(p, blk_path(p, "image"), k->format, NULL, VM_OPEN_UNMAP);
    assert(n != NULL);
    write_some(n);
    vm__blk_unref(n);
    n = blk_open(p, blk_path(p, "image"), "raw", NULL, VM_OPEN_RO);
    assert(n != NULL);
    sound_take(out, n);
    vm__blk_unref(n);
}

static int refuse(void *ud, const char *path, int flags, int why)
{
    (void)ud;
    (void)path;
    (void)flags;
    (void)why;
    return -13;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    static const vm_host_ops host = { .size = sizeof host, .open = refuse };
    struct blk_place p;
    blk_init(&p);
    const char *fixed = getenv("FUZZ_FORMAT");
    for (unsigned i = 0; i < KINDS; i++)
        if (fixed == NULL || strcmp(fixed, kinds[i].format) == 0)
            make(&p, &kinds[i], &images[i]);
    blk_fini(&p);
    place.ctx = vm__ctx_new(&vm__registry, &host);
    assert(place.ctx != NULL);
    place.env = vm__ctx_block(place.ctx);
    assert(place.env != NULL);
    return 0;
}

/* ---- what is done with a damaged one ---------------------------------------------------- */

static void one_line(void)
{
    const char *why = vm_last_error()->message;
    assert(*why != '\0' && strchr(why, '\n') == NULL);
}

static int count_row(void *ud, const struct vm_blk_row *row)
{
    uint32_t *left = ud;
    (void)row;
    return --*left == 0;
}

static void read_some(struct vm_blk *n)
{
    static uint8_t buf[65536];
    const uint64_t size = vm__blk_size(n);
    uint64_t budget = READ_AT_MOST, steps = 2000;
    for (uint64_t off = 0; off < size && budget != 0 && --steps != 0;) {
        struct vm_extent e;
        if (vm__blk_status(n, off, size - off, &e) != VM_OK) {
            one_line();
            e = (struct vm_extent) { .length = size - off < 65536 ? size - off : 65536,
                                     .flags = VM_EXTENT_DATA };
        }
        assert(e.length != 0 && e.length <= size - off);
        for (uint64_t at = off; at < off + e.length && at < off + 262144 && budget != 0;) {
            size_t len =
                off + e.length - at < sizeof buf ? (size_t)(off + e.length - at) : sizeof buf;
            if (vm__blk_read(n, at, buf, len) != VM_OK)
                one_line();
            budget -= len < budget ? len : budget;
            at += len;
        }
        off += e.length;
    }
    if (size > sizeof buf && vm__blk_read(n, size - sizeof buf, buf, sizeof buf) != VM_OK)
        one_line();
}

static void write_here_and_there(struct vm_blk *n)
{
    static const uint8_t bytes[5000] = { 1, 2, 3 };
    const uint64_t size = vm__blk_size(n), places[] = { 0, 70000, size / 2, size - 5000 };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (size > sizeof bytes && places[i] < size - sizeof bytes &&
            vm__blk_write(n, places[i], bytes, sizeof bytes) != VM_OK)
            one_line();
    if (size > 1 << 20) {
        (void)vm__blk_zero(n, 4096, 200000, VM_IO_UNMAP);
        (void)vm__blk_discard(n, 300000, 200000, 0);
    }
    if (vm__blk_flush(n, 0) != VM_OK)
        one_line();
}

static void look(struct vm_blk *n)
{
    struct vm_blk_check c = { 0 };
    uint32_t rows = 2000;
    json_t *info = vm__blk_info_json(n);
    if (info == NULL)
        one_line();
    json_decref(info);
    (void)vm__blk_map(n, 0, vm__blk_size(n), count_row, &rows);
    if (n->drv->check != NULL && vm__blk_check(n, &c, 0) != VM_OK)
        one_line();
    read_some(n);
}

static void use(struct vm_blk *n, unsigned how)
{
    struct vm_blk_check c = { 0 };
    look(n);
    if (!vm__blk_writable(n))
        return;
    write_here_and_there(n);
    if (how & 16 && n->drv->snapshot_create != NULL) {
        struct vm_blk_snapshot s = { .name = "two", .date_s = 1 };
        vm__blk_drain_begin(n);
        (void)n->drv->snapshot_create(n, &s);
        (void)n->drv->snapshot_delete(n, "one");
        vm__blk_drain_end(n);
    }
    if (n->drv->check != NULL && vm__blk_check(n, &c, VM_FIX_LEAKS | VM_FIX_ERRORS) != VM_OK)
        one_line();
    if (how & 32 && vm__blk_size(n) < UINT64_C(1) << 40)
        (void)vm__blk_resize(n, vm__blk_size(n) + (1 << 20), VM_PREALLOC_OFF, 0);
    write_here_and_there(n);
    read_some(n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const char *fixed = getenv("FUZZ_FORMAT");
    unsigned kind = data[0] % KINDS, how = data[1];
    for (unsigned i = 0; fixed != NULL && i < KINDS && strcmp(kinds[kind].format, fixed) != 0; i++)
        kind = (kind + 1) % KINDS;
    if (fixed != NULL && strcmp(kinds[kind].format, fixed) != 0)
        return 0;
    struct vm_blk *file = damaged(&place, &images[kind], data + 2, size - 2, MAX_FILE);
    if (file == NULL)
        return 0;
    if (!(how & 4))
        mend_checksums(kinds[kind].format, file);
    char options[128];
    snprintf(options, sizeof options, "driver=%s,file=disk", kinds[kind].format);
    uint32_t flags = (how & 1 ? VM_OPEN_RO | VM_OPEN_AUTO_RO : VM_OPEN_AUTO_RO) |
                     (how & 2 ? VM_OPEN_CHECK : 0) | (how & 8 ? 0 : VM_OPEN_NO_BACKING) |
                     VM_OPEN_UNMAP;
    struct vm_blk *n = blk_open(&place, NULL, NULL, options, flags);
    if (n == NULL)
        one_line();
    else
        use(n, how);
    vm__blk_unref(n);
    vm__blk_unref(file);
    return 0;
}
