/* SPDX-License-Identifier: MIT */
/**
 * @file vhdx.c
 * Hyper-V disk images of the second generation: fixed, dynamic, differencing.
 *
 * Spec: [MS-VHDX]. The block allocation table has 64-bit entries: a state and a place in MiB. After
 * each `ratio` payload blocks comes the entry of their sector bitmap block, used by differencing
 * images only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/vhdx.h"
#include "host/thread.h"

enum { STATE = 7 };

/* ---- the map ---------------------------------------------------------------------------- */

static struct vm_bmap_entry decode(const struct vm_bmap *b, uint64_t raw)
{
    uint64_t off = raw >> 20 << 20;
    switch (raw & STATE) {
    case VHDX_NOT_PRESENT:
        return (struct vm_bmap_entry) { VM_BMAP_NONE, 0, 0 };
    case VHDX_UNDEFINED:
    case VHDX_ZERO:
    case VHDX_UNMAPPED:
        return (struct vm_bmap_entry) { VM_BMAP_ZERO, 0, 0 };
    case VHDX_PARTIALLY_PRESENT:
        if (b->bits_bytes == 0)
            break;
        /* fall through */
    case VHDX_FULLY_PRESENT:
        if (off < VHDX_MIB || off > VM_BLK_MAX_SIZE - b->block_size)
            break;
        return (struct vm_bmap_entry) { VM_BMAP_DATA, off, 0 };
    default:
        break;
    }
    return (struct vm_bmap_entry) { VM_BMAP_BAD, off, 0 };
}

static uint64_t encode(const struct vm_bmap *b, enum vm_bmap_kind kind, uint64_t off)
{
    if (kind != VM_BMAP_DATA)
        return kind == VM_BMAP_ZERO ? VHDX_ZERO : VHDX_NOT_PRESENT;
    return off | (b->bits_bytes != 0 ? VHDX_PARTIALLY_PRESENT : VHDX_FULLY_PRESENT);
}

/** Flush will write this entry ahead of others. Under the lock. */
static int note_bitmap(struct vhdx *s, uint64_t entry, uint64_t raw)
{
    struct vhdx_bitmap *more =
        realloc(s->new_bitmaps, (s->n_new_bitmaps + 1) * sizeof *s->new_bitmaps);
    if (more == NULL)
        return vm__fail_nomem(sizeof *more);
    s->new_bitmaps = more;
    more[s->n_new_bitmaps++] = (struct vhdx_bitmap) { entry, raw };
    return VM_OK;
}

/** The sector bitmap block that payload block @p index belongs to; made at its first use. */
static int bits_at(struct vm_bmap *b, uint64_t index, const struct vm_bmap_entry *e, uint64_t *at)
{
    struct vhdx *s = vhdx_of(b->n);
    uint64_t chunk = index / s->ratio, entry = chunk * (s->ratio + 1) + s->ratio, raw = 0;
    *at = 0;
    if ((e->raw & STATE) == VHDX_FULLY_PRESENT)
        return VM_OK;
    (void)pthread_mutex_lock(&s->lock);
    int st = vm__bmap_get_entry(b, entry, 0, &raw);
    if (st == VM_OK && (raw & STATE) != VHDX_BITMAP_PRESENT) {
        uint64_t off = 0;
        st = vm__blk_writable(b->n) ? vm__bmap_space(b, VHDX_MIB, VHDX_MIB, &off)
                                    : vm__fail(VM_E_CORRUPT, "Block %llu has no sector bitmap",
                                               (unsigned long long)index);
        raw = off | VHDX_BITMAP_PRESENT;
        if (st == VM_OK)
            st = vm__bmap_set_entry(b, entry, raw);
        if (st == VM_OK)
            st = note_bitmap(s, entry, raw);
    }
    (void)pthread_mutex_unlock(&s->lock);
    *at = (raw >> 20 << 20) + index % s->ratio * b->bits_bytes;
    if (st == VM_OK && (raw >> 20 == 0 || *at > VM_BLK_MAX_SIZE - VHDX_MIB))
        st = vm__fail(VM_E_CORRUPT, "The sector bitmap of block %llu lies outside of the file",
                      (unsigned long long)index);
    return st;
}

/** Entries of sector bitmap blocks that no flush has written yet. Under the lock. */
static int write_new_bitmaps(struct vhdx *s)
{
    int st = VM_OK;
    for (size_t i = 0; st == VM_OK && i < s->n_new_bitmaps; i++) {
        uint8_t raw[8];
        vm_put_le64(raw, s->new_bitmaps[i].raw);
        st = vm__blk_write(s->map.file, s->bat_off + 8 * s->new_bitmaps[i].entry, raw, 8);
    }
    return st;
}

/** The copy of a page may be older than the entry of a bitmap. Under the lock. */
static void mend_page(const struct vhdx *s, uint64_t page, uint8_t *bytes)
{
    uint64_t per_page = s->map.page_size / 8;
    for (size_t i = 0; i < s->n_new_bitmaps; i++)
        if (s->new_bitmaps[i].entry / per_page == page)
            vm_put_le64(bytes + 8 * (s->new_bitmaps[i].entry % per_page), s->new_bitmaps[i].raw);
}

/**
 * Blocks that are present in part rely on bitmaps, so these come first: their sectors, written just
 * before this, and their entries, which may lie in another sector of the table than the blocks'.
 */
static int write_pages(struct vm_bmap *b, const uint64_t *pages, const uint8_t *bytes, size_t count)
{
    struct vhdx *s = vhdx_of(b->n);
    uint8_t page[VM_BMAP_PAGE];
    (void)pthread_mutex_lock(&s->lock);
    int st = write_new_bitmaps(s);
    if (st == VM_OK && s->has_parent)
        st = vm__blk_flush(b->file, 0);
    for (size_t i = 0; st == VM_OK && i < count; i++) {
        memcpy(page, bytes + i * VM_BMAP_PAGE, sizeof page);
        mend_page(s, pages[i], page);
        st = vm__blk_write(b->file, b->table_off + pages[i] * b->page_size, page,
                           vm__bmap_page_bytes(b, pages[i]));
    }
    if (st == VM_OK) /* a page that is written later has them by itself */
        s->n_new_bitmaps = 0;
    (void)pthread_mutex_unlock(&s->lock);
    return st;
}

static const struct vm_bmap_ops map_ops = {
    .decode = decode,
    .encode = encode,
    .bits_at = bits_at,
    .write_pages = write_pages,
};

/* ---- opening ---------------------------------------------------------------------------- */

static int vhdx_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    return len >= 8 && memcmp(head, VHDX_FILE_MAGIC, 8) == 0 ? 100 : 0;
}

static int open_map(struct vm_blk *n)
{
    struct vhdx *s = vhdx_of(n);
    uint64_t blocks = (vm__blk_size(n) + s->block - 1) / s->block;
    s->ratio = VHDX_CHUNK_SECTORS * s->logical / s->block;
    uint64_t chunks = (blocks + s->ratio - 1) / s->ratio;
    uint64_t entries = s->has_parent ? chunks * (s->ratio + 1)
                       : blocks != 0 ? blocks + (blocks - 1) / s->ratio
                                     : 0;
    if (entries * 8 > s->bat_len)
        return vm__fail(VM_E_CORRUPT, "The block allocation table is too small for the disk");
    if (s->has_parent && s->logical != 512)
        return vm__fail(VM_E_NOTSUP, "Differencing images with sectors of %u bytes", s->logical);
    s->map = (struct vm_bmap) {
        .n = n,
        .ops = &map_ops,
        .table_off = s->bat_off,
        .n_blocks = blocks,
        .n_entries = entries,
        .group = s->ratio,
        .width = 8,
        .has_zero = true,
        .block_size = s->block,
        .align = VHDX_MIB,
        .bits_bytes = s->has_parent ? s->block / 512 / 8 : 0,
    };
    uint64_t size = vm__blk_size(n->file);
    s->map.next = (size + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB;
    return vm__bmap_init(&s->map);
}

static int open_all(struct vm_blk *n, struct vm_blk_options *o)
{
    (void)o;
    struct vhdx *s = vhdx_of(n);
    (void)pthread_mutex_init(&s->lock, NULL);
    int st = vhdx_read_headers(n);
    if (st == VM_OK && vhdx_log_dirty(s)) {
        if (!vm__blk_writable(n))
            st = vm__fail(VM_E_PERM,
                          "VHDX image file '%s' opened read-only, but contains a log that needs to "
                          "be replayed",
                          n->file->name);
        else if (!(n->flags & VM_OPEN_CHECK))
            st = vhdx_log_replay(n);
    }
    if (st == VM_OK)
        st = vhdx_read_metadata(n);
    return st == VM_OK ? open_map(n) : st;
}

static int vhdx_attach_backing(struct vm_blk *n)
{
    const struct vhdx *s = vhdx_of(n);
    if (!s->has_parent)
        return vm__fail(VM_E_INVAL, "Only a differencing VHDX image has a parent");
    if (strcmp(n->backing->drv->name, "vhdx") != 0)
        return vm__fail(VM_E_INVAL, "The parent of a differencing VHDX image must be a VHDX image");
    if (memcmp(s->parent_linkage, vhdx_of(n->backing)->header + VHDX_DATA_GUID_AT, VHDX_GUID) != 0)
        return vm__fail(VM_E_CORRUPT,
                        "The parent '%s' is another, or has been changed since this "
                        "image was made",
                        n->backing->name);
    return VM_OK;
}

static void free_state(struct vm_blk *n)
{
    vm__bmap_fini(&vhdx_of(n)->map);
    free(vhdx_of(n)->new_bitmaps);
}

static int vhdx_open(struct vm_blk *n, struct vm_blk_options *o)
{
    int st = open_all(n, o);
    if (st != VM_OK)
        free_state(n);
    return st;
}

static void vhdx_close(struct vm_blk *n)
{
    struct vhdx *s = vhdx_of(n);
    if (s->map.pages != NULL && vm__blk_writable(n) && s->map.end > s->map.next)
        (void)vm__blk_truncate(n->file, s->map.next, VM_PREALLOC_OFF, 0);
    free_state(n);
}

/* ---- I/O -------------------------------------------------------------------------------- */

/** The first change of a session: new GUIDs tell others so, [MS-VHDX §2.2.2]. */
static int begin_writing(struct vm_blk *n, uint32_t flags)
{
    struct vhdx *s = vhdx_of(n);
    int st = VM_OK;
    if (atomic_load(&s->written))
        return VM_OK;
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    (void)pthread_mutex_lock(&s->lock);
    if (!atomic_load(&s->written)) {
        bool ok = vm__host_random(s->header + VHDX_FILE_GUID_AT, VHDX_GUID) &&
                  vm__host_random(s->header + VHDX_DATA_GUID_AT, VHDX_GUID);
        st = ok ? vhdx_write_header(n) : vm__fail(VM_E_IO, "The host has no random numbers");
        atomic_store(&s->written, st == VM_OK);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return st;
}

static int vhdx_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    int st = begin_writing(n, flags);
    return st == VM_OK ? vm__bmap_write(&vhdx_of(n)->map, off, len, sg, flags) : st;
}

static int vhdx_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    int st = begin_writing(n, flags);
    return st == VM_OK ? vm__bmap_zero(&vhdx_of(n)->map, off, len, flags) : st;
}

static int vhdx_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    int st = begin_writing(n, flags);
    return st == VM_OK ? vm__bmap_discard(&vhdx_of(n)->map, off, len, flags) : st;
}

static int vhdx_info(struct vm_blk *n, struct vm_blk_info *out)
{
    out->cluster_size = vhdx_of(n)->map.block_size;
    out->dirty = vhdx_log_dirty(vhdx_of(n));
    return VM_OK;
}

/* ---- check ------------------------------------------------------------------------------ */

static void say(struct vm_blk_check *out, const char *fmt, unsigned long long a)
{
    char line[120];
    (void)snprintf(line, sizeof line, fmt, a);
    if (out->problem != NULL)
        out->problem(out->ud, line);
}

/** Places in MiB: every block inside of the file, and none twice. */
static int check_blocks(struct vhdx *s, struct vm_blk_check *out, uint8_t *used, uint64_t mibs)
{
    uint64_t per_block = s->block / VHDX_MIB, before = 0;
    for (uint64_t i = 0; i < s->map.n_blocks; i++) {
        struct vm_bmap_entry e;
        int st = vm__bmap_get(&s->map, i, 0, &e);
        if (st == VM_E_CORRUPT) {
            say(out, "ERROR: block %llu has an entry that makes no sense", i);
            out->corruptions++;
            continue;
        }
        if (st != VM_OK)
            return st;
        if (e.kind != VM_BMAP_DATA)
            continue;
        uint64_t first = e.off / VHDX_MIB;
        bool bad = !vm_in_range(first, per_block, mibs);
        for (uint64_t k = 0; !bad && k < per_block; k++) {
            bad = used[(first + k) / 8] >> (first + k) % 8 & 1;
            used[(first + k) / 8] |= (uint8_t)(1 << (first + k) % 8);
        }
        if (bad) {
            say(out, "ERROR: block %llu lies outside of the file or on another block", i);
            out->corruptions++;
            continue;
        }
        out->allocated_clusters++;
        out->fragmented_clusters += before != 0 && first != before + per_block;
        before = first;
    }
    return VM_OK;
}

static int vhdx_check(struct vm_blk *n, struct vm_blk_check *out, uint32_t fix)
{
    struct vhdx *s = vhdx_of(n);
    if (vhdx_log_dirty(s)) {
        out->corruptions++;
        if (!(fix & VM_FIX_ERRORS)) {
            say(out, "ERROR: the log needs to be replayed", 0);
            return VM_OK;
        }
        int st = vhdx_log_replay(n);
        if (st != VM_OK)
            return st;
        out->corruptions_fixed++;
    }
    uint64_t mibs = (vm__blk_size(n->file) + VHDX_MIB - 1) / VHDX_MIB;
    uint8_t *used = calloc(1, (size_t)(mibs / 8 + 1));
    if (used == NULL)
        return vm__fail_nomem((size_t)(mibs / 8 + 1));
    out->total_clusters = s->map.n_blocks;
    out->image_end_offset = vm__blk_size(n->file);
    int st = check_blocks(s, out, used, mibs);
    free(used);
    return st;
}

_Static_assert(offsetof(struct vhdx, map) == 0, "vm__bmap_node_read() and the others");

const struct vm_blk_driver vm__vhdx_driver = {
    .name = "vhdx",
    .summary = "Hyper-V disk image (VHDX)",
    .spec = "[MS-VHDX] Virtual Hard Disk v2 File Format",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_BACKING | VM_CAN_ZERO_INIT | VM_CAN_NOWAIT,
    .state_size = sizeof(struct vhdx),
    .create_options = vhdx_create_options,
    .probe = vhdx_probe,
    .open = vhdx_open,
    .attach_backing = vhdx_attach_backing,
    .close = vhdx_close,
    .read = vm__bmap_node_read,
    .write = vhdx_write,
    .zero = vhdx_zero,
    .discard = vhdx_discard,
    .flush = vm__bmap_node_flush,
    .status = vm__bmap_node_status,
    .info = vhdx_info,
    .check = vhdx_check,
    .create = vhdx_create,
};
