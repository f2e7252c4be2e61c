/* SPDX-License-Identifier: MIT */
/**
 * @file parallels.c
 * Parallels disk images: expandable ones, both signatures.
 *
 * Spec: [PARALLELS] "Parallels Expandable Image File Format". A header of 64 bytes, a table of
 * 32-bit places (in sectors for "WithoutFreeSpace", in clusters for "WithouFreSpacExt"), clusters.
 * A mark in the header says that somebody is writing; who finds it without writing himself must
 * check first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/bmap.h"

enum {
    HEADER = 64,
    VERSION_AT = 16,
    HEADS_AT = 20,
    CYLINDERS_AT = 24,
    TRACKS_AT = 28, /* sectors of a cluster */
    ENTRIES_AT = 32,
    SECTORS_AT = 36,
    IN_USE_AT = 44,
    DATA_AT = 48, /* in sectors; 0: right behind the table */
    EXTENSION_AT = 56,
    SECTOR = 512,
    CLUSTER = 1 << 20,
};
#define MAGIC        "WithoutFreeSpace"
#define MAGIC_EXT    "WithouFreSpacExt"
#define IN_USE       UINT32_C(0x746f6e59)
#define MAX_CLUSTERS UINT64_C(0x3fffffff)

struct parallels {
    struct vm_bmap map;
    uint8_t header[HEADER];
    uint64_t unit;       /**< bytes that one counts in the table */
    uint64_t data_start; /**< no cluster lies before it */
    bool marked;         /**< our mark is in the header */
};

static struct parallels *state_of(const struct vm_blk *n)
{
    return n->state;
}

static struct vm_bmap_entry decode(const struct vm_bmap *b, uint64_t raw)
{
    const struct parallels *s = state_of(b->n);
    if (raw == 0)
        return (struct vm_bmap_entry) { VM_BMAP_NONE, 0, 0 };
    uint64_t off = raw * s->unit; /* 32 bits by at most 40 */
    if (off < s->data_start || off > VM_BLK_MAX_SIZE)
        return (struct vm_bmap_entry) { VM_BMAP_BAD, 0, 0 };
    return (struct vm_bmap_entry) { VM_BMAP_DATA, off };
}

static uint64_t encode(const struct vm_bmap *b, enum vm_bmap_kind kind, uint64_t off)
{
    uint64_t v = kind == VM_BMAP_DATA ? off / state_of(b->n)->unit : 0;
    return v <= UINT32_MAX ? v : 0;
}

static const struct vm_bmap_ops map_ops = { .decode = decode, .encode = encode };

/* ---- opening ---------------------------------------------------------------------------- */

static int parallels_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    bool ours = len >= HEADER && (memcmp(head, MAGIC, 16) == 0 || memcmp(head, MAGIC_EXT, 16) == 0);
    return ours && vm_le32(head + VERSION_AT) == 2 ? 100 : 0;
}

static int read_header(struct vm_blk *n)
{
    struct parallels *s = state_of(n);
    uint8_t *h = s->header;
    if (vm__blk_size(n->file) < HEADER)
        return vm__fail(VM_E_INVAL, "Image not in Parallels format");
    int st = vm__blk_read(n->file, 0, h, HEADER);
    if (st != VM_OK)
        return st;
    bool ext = memcmp(h, MAGIC_EXT, 16) == 0;
    if (!parallels_probe(h, HEADER, 0, ""))
        return vm__fail(VM_E_INVAL, "Image not in Parallels format");
    uint32_t tracks = vm_le32(h + TRACKS_AT);
    uint64_t sectors = ext ? vm_le64(h + SECTORS_AT) : vm_le32(h + SECTORS_AT);
    if (tracks == 0)
        return vm__fail(VM_E_CORRUPT, "Invalid image: Zero sectors per track");
    if (tracks > (1u << 21))
        return vm__fail(VM_E_CORRUPT, "Invalid image: Too big cluster");
    if (vm_le32(h + ENTRIES_AT) > MAX_CLUSTERS)
        return vm__fail(VM_E_CORRUPT, "Catalog too large");
    if (sectors > VM_BLK_MAX_SIZE / SECTOR)
        return vm__fail(VM_E_CORRUPT, "Image of %llu sectors is too large",
                        (unsigned long long)sectors);
    s->unit = ext ? (uint64_t)tracks * SECTOR : SECTOR;
    atomic_store(&n->size, sectors * SECTOR);
    return VM_OK;
}

static int open_map(struct vm_blk *n)
{
    struct parallels *s = state_of(n);
    const uint8_t *h = s->header;
    uint64_t cluster = (uint64_t)vm_le32(h + TRACKS_AT) * SECTOR;
    uint64_t need = (vm__blk_size(n) + cluster - 1) / cluster;
    uint64_t table_end = HEADER + 4 * (uint64_t)vm_le32(h + ENTRIES_AT);
    uint64_t data = (uint64_t)vm_le32(h + DATA_AT) * SECTOR;
    if (need > vm_le32(h + ENTRIES_AT))
        return vm__fail(VM_E_CORRUPT, "Catalog of %u entries is too small for the disk",
                        vm_le32(h + ENTRIES_AT));
    table_end = (table_end + SECTOR - 1) / SECTOR * SECTOR;
    if (data != 0 && data < table_end)
        return vm__fail(VM_E_CORRUPT, "Data begins at %llu, inside of the catalog",
                        (unsigned long long)data);
    s->data_start = data != 0 ? data : table_end;
    s->map = (struct vm_bmap) {
        .n = n,
        .ops = &map_ops,
        .table_off = HEADER,
        .n_blocks = need,
        .width = 4,
        .block_size = cluster,
        .align = s->unit,
    };
    int st = vm__bmap_init(&s->map);
    if (st != VM_OK || !vm__blk_writable(n) || n->flags & VM_OPEN_CHECK)
        return st;
    uint64_t used, end = s->data_start;
    st = vm__bmap_scan(&s->map, &end, &used);
    s->map.next = end;
    return st;
}

static int mark(struct parallels *s, uint32_t value)
{
    vm_put_le32(s->header + IN_USE_AT, value);
    int st = vm__blk_write(s->map.n->file, 0, s->header, HEADER);
    return st == VM_OK ? vm__blk_flush(s->map.n->file, 0) : st;
}

static int open_all(struct vm_blk *n, struct vm_blk_options *o)
{
    (void)o;
    struct parallels *s = state_of(n);
    int st = read_header(n);
    if (st == VM_OK && vm__blk_writable(n) && !(n->flags & VM_OPEN_CHECK) &&
        vm_le32(s->header + IN_USE_AT) == IN_USE)
        st = vm__fail(VM_E_CORRUPT, "parallels: Image was not closed correctly; cannot be opened "
                                    "read/write");
    if (st == VM_OK)
        st = open_map(n);
    return st;
}

static void free_state(struct vm_blk *n)
{
    vm__bmap_fini(&state_of(n)->map);
}

static int parallels_open(struct vm_blk *n, struct vm_blk_options *o)
{
    int st = open_all(n, o);
    if (st != VM_OK)
        free_state(n);
    return st;
}

static void parallels_close(struct vm_blk *n)
{
    struct parallels *s = state_of(n);
    if (s->marked) {
        if (s->map.end > s->map.next)
            (void)vm__blk_truncate(n->file, s->map.next, VM_PREALLOC_OFF, 0);
        if (atomic_load(&s->map.n_dirty) == 0) /* flush has succeeded */
            (void)mark(s, 0);
    }
    free_state(n);
}

/* ---- I/O -------------------------------------------------------------------------------- */

/** The mark is in the file before anything else changes there. */
static int begin_writing(struct vm_blk *n, uint32_t flags)
{
    struct parallels *s = state_of(n);
    int st = VM_OK;
    if (__atomic_load_n(&s->marked, __ATOMIC_ACQUIRE))
        return VM_OK;
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    (void)pthread_mutex_lock(&s->map.alloc_lock);
    if (!s->marked) {
        st = mark(s, IN_USE);
        __atomic_store_n(&s->marked, st == VM_OK, __ATOMIC_RELEASE);
    }
    (void)pthread_mutex_unlock(&s->map.alloc_lock);
    return st;
}

static int parallels_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                           uint32_t flags)
{
    int st = begin_writing(n, flags);
    return st == VM_OK ? vm__bmap_write(&state_of(n)->map, off, len, sg, flags) : st;
}

static int parallels_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    int st = begin_writing(n, flags);
    return st == VM_OK ? vm__bmap_zero(&state_of(n)->map, off, len, flags) : st;
}

static int parallels_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    int st = begin_writing(n, flags);
    return st == VM_OK ? vm__bmap_discard(&state_of(n)->map, off, len, flags) : st;
}

/* ---- info, check, create ---------------------------------------------------------------- */

static int parallels_info(struct vm_blk *n, struct vm_blk_info *out)
{
    const struct parallels *s = state_of(n);
    out->cluster_size = s->map.block_size;
    out->dirty = vm_le32(s->header + IN_USE_AT) == IN_USE && !s->marked;
    return VM_OK;
}

static void say(struct vm_blk_check *out, const char *fmt, unsigned long long a)
{
    char line[120];
    (void)snprintf(line, sizeof line, fmt, a);
    if (out->problem != NULL)
        out->problem(out->ud, line);
}

/** Clusters in the file, and none twice. @p seen has a bit for each unit of the file. */
static int check_entries(struct parallels *s, struct vm_blk_check *out, uint8_t *seen,
                         uint64_t file_size, uint32_t fix, uint64_t *end)
{
    struct vm_bmap *b = &s->map;
    uint64_t before = 0;
    for (uint64_t i = 0; i < b->n_blocks; i++) {
        uint8_t raw[4];
        int st = vm__blk_read(b->n->file, b->table_off + 4 * i, raw, sizeof raw);
        if (st != VM_OK)
            return st;
        uint64_t v = vm_le32(raw), off = v * s->unit;
        if (v == 0)
            continue;
        bool outside = off < s->data_start || off >= file_size;
        bool twice = !outside && seen[off / b->block_size / 8] >> off / b->block_size % 8 & 1 &&
                     s->unit == b->block_size;
        if (outside || twice) {
            say(out, outside ? "cluster %llu is outside image" : "cluster %llu is used twice", i);
            out->corruptions++;
            if (outside && fix & VM_FIX_ERRORS) {
                st = vm__bmap_set(b, i, VM_BMAP_NONE, 0);
                out->corruptions_fixed += st == VM_OK;
            }
            if (st != VM_OK)
                return st;
            continue;
        }
        seen[off / b->block_size / 8] |= (uint8_t)(1 << off / b->block_size % 8);
        out->allocated_clusters++;
        out->fragmented_clusters += before != 0 && off != before + b->block_size;
        before = off;
        *end = off + b->block_size > *end ? off + b->block_size : *end;
    }
    return VM_OK;
}

static int parallels_check(struct vm_blk *n, struct vm_blk_check *out, uint32_t fix)
{
    struct parallels *s = state_of(n);
    uint64_t size = vm__blk_size(n->file), end = s->data_start;
    uint8_t *seen = calloc(1, (size_t)(size / s->map.block_size / 8 + 1));
    if (seen == NULL)
        return vm__fail_nomem((size_t)(size / s->map.block_size / 8 + 1));
    out->total_clusters = s->map.n_blocks;
    bool open_mark = vm_le32(s->header + IN_USE_AT) == IN_USE && !s->marked;
    if (open_mark) {
        say(out, "ERROR image was not closed correctly", 0);
        out->corruptions++;
    }
    int st = check_entries(s, out, seen, size, fix, &end);
    free(seen);
    if (st == VM_OK && size > end) {
        uint64_t leaked = (size - end + s->map.block_size - 1) / s->map.block_size;
        say(out, "space leaked at the end of the image: %llu bytes", size - end);
        out->leaks += leaked;
        if (fix & VM_FIX_LEAKS) {
            st = vm__blk_truncate(n->file, end, VM_PREALLOC_OFF, 0);
            out->leaks_fixed += st == VM_OK ? leaked : 0;
        }
    }
    out->image_end_offset = end;
    if (st == VM_OK && fix != 0)
        st = vm__bmap_flush(&s->map, 0);
    if (st == VM_OK && open_mark && fix & VM_FIX_ERRORS) {
        st = mark(s, 0);
        out->corruptions_fixed += st == VM_OK;
    }
    return st;
}

static const struct vm_blk_option create_options[] = {
    { "size", VM_OPT_SIZE, .help = "Virtual disk size" },
    { "cluster_size", VM_OPT_SIZE, .help = "Parallels image cluster size", .value = "1048576" },
    { 0 },
};

static int parallels_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    (void)env;
    uint8_t h[HEADER] = { 0 };
    uint64_t cluster = CLUSTER, sectors = c->size / SECTOR + (c->size % SECTOR != 0);
    int st = vm__opt_size(c->options, "cluster_size", &cluster);
    if (st != VM_OK)
        return st;
    if (cluster < SECTOR || cluster % SECTOR != 0 || cluster > (1 << 30))
        return vm__fail(VM_E_INVAL, "Cluster size must be a multiple of 512 bytes, at most 1 GiB");
    uint64_t clusters = (sectors * SECTOR + cluster - 1) / cluster;
    if (clusters > MAX_CLUSTERS)
        return vm__fail(VM_E_RANGE, "Image size is too big for this cluster size");
    uint64_t data = (HEADER + 4 * clusters + cluster - 1) / cluster * cluster;
    memcpy(h, MAGIC_EXT, 16);
    vm_put_le32(h + VERSION_AT, 2);
    vm_put_le32(h + HEADS_AT, 16);
    vm_put_le32(h + CYLINDERS_AT,
                sectors / 16 / 32 < UINT32_MAX ? (uint32_t)(sectors / 16 / 32) : UINT32_MAX);
    vm_put_le32(h + TRACKS_AT, (uint32_t)(cluster / SECTOR));
    vm_put_le32(h + ENTRIES_AT, (uint32_t)clusters);
    vm_put_le64(h + SECTORS_AT, sectors);
    vm_put_le32(h + DATA_AT, (uint32_t)(data / SECTOR));
    st = vm__create_file(c);
    if (st == VM_OK)
        st = vm__blk_truncate(c->file, data, VM_PREALLOC_OFF, 0); /* a table of zeros */
    return st == VM_OK ? vm__blk_write(c->file, 0, h, sizeof h) : st;
}

_Static_assert(offsetof(struct parallels, map) == 0, "vm__bmap_node_read() and the others");

const struct vm_blk_driver vm__parallels_driver = {
    .name = "parallels",
    .summary = "Parallels expandable disk image",
    .spec = "Parallels Expandable Image File Format",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_ZERO_INIT | VM_CAN_NOWAIT,
    .state_size = sizeof(struct parallels),
    .create_options = create_options,
    .probe = parallels_probe,
    .open = parallels_open,
    .close = parallels_close,
    .read = vm__bmap_node_read,
    .write = parallels_write,
    .zero = parallels_zero,
    .discard = parallels_discard,
    .flush = vm__bmap_node_flush,
    .status = vm__bmap_node_status,
    .info = parallels_info,
    .check = parallels_check,
    .create = parallels_create,
};
