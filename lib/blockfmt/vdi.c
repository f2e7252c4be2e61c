/* SPDX-License-Identifier: MIT */
/**
 * @file vdi.c
 * VirtualBox disk images: dynamic, static and differencing.
 *
 * Spec: [VDI]. A 512-byte header, a table of 32-bit entries, blocks of (usually) 1 MiB. An entry is
 * the number of a block's place in the data area, or one of two marks. Places are used densely:
 * other programs put their next block at place `allocated`, so places are never given up, only
 * hollowed.
 *
 * A differencing image names its parent by UUID, not by file name. Where the parent lies comes from
 * the options (backing…), or from the image's comment, where create leaves it; the UUIDs must
 * agree.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/vdi.h"
#include "host/thread.h"

/* ---- the map ---------------------------------------------------------------------------- */

static struct vm_bmap_entry vdi_decode(const struct vm_bmap *b, uint64_t raw)
{
    const struct vdi *s = vdi_of(b->n);
    if (raw == VDI_FREE || raw == VDI_ZERO)
        return (struct vm_bmap_entry) { raw == VDI_ZERO ? VM_BMAP_ZERO : VM_BMAP_NONE, 0, 0 };
    if (raw >= VDI_FREE - 1 || raw > VDI_MAX_BLOCKS)
        return (struct vm_bmap_entry) { VM_BMAP_BAD, 0, 0 };
    return (struct vm_bmap_entry) { VM_BMAP_DATA, s->data_off + raw * b->block_size };
}

static uint64_t vdi_encode(const struct vm_bmap *b, enum vm_bmap_kind kind, uint64_t off)
{
    if (kind != VM_BMAP_DATA)
        return kind == VM_BMAP_ZERO ? VDI_ZERO : VDI_FREE;
    uint64_t place = (off - vdi_of(b->n)->data_off) / b->block_size;
    return place <= VDI_MAX_BLOCKS ? place : VDI_FREE - 2;
}

int vdi_write_header(struct vdi *s)
{
    return vm__blk_write(s->map.n->file, 0, s->header, VDI_HEADER);
}

/** Places in use are counted before a table entry names one: who appends there must not meet it. */
static int vdi_before_table(struct vm_bmap *b)
{
    struct vdi *s = vdi_of(b->n);
    vm_put_le32(s->header + VDI_ALLOCATED_AT, (uint32_t)((b->next - s->data_off) / b->block_size));
    return vdi_write_header(s);
}

static const struct vm_bmap_ops map_ops = {
    .decode = vdi_decode,
    .encode = vdi_encode,
    .before_table = vdi_before_table,
};

/* ---- opening ---------------------------------------------------------------------------- */

static int vdi_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    return len >= VDI_HEADER && vm_le32(head + VDI_SIGNATURE_AT) == VDI_SIGNATURE ? 100 : 0;
}

/** Bounds of everything the header says; sizes are of the file as it is. */
static int check_header(const uint8_t *h)
{
    uint32_t blocks = vm_le32(h + VDI_BLOCKS_AT), block = vm_le32(h + VDI_BLOCK_SIZE_AT);
    uint32_t bmap = vm_le32(h + VDI_BMAP_AT), data = vm_le32(h + VDI_DATA_AT),
             type = vm_le32(h + VDI_TYPE_AT);
    uint64_t size = vm_le64(h + VDI_DISK_SIZE_AT);
    if (vm_le32(h + VDI_SIGNATURE_AT) != VDI_SIGNATURE)
        return vm__fail(VM_E_INVAL, "Image not in VDI format (bad signature %08x)",
                        vm_le32(h + VDI_SIGNATURE_AT));
    if (vm_le32(h + VDI_VERSION_AT) != VDI_VERSION)
        return vm__fail(VM_E_NOTSUP, "unsupported VDI image (version %u.%u)",
                        vm_le32(h + VDI_VERSION_AT) >> 16, vm_le32(h + VDI_VERSION_AT) & 0xffff);
    if (type != VDI_TYPE_DYNAMIC && type != VDI_TYPE_STATIC && type != VDI_TYPE_DIFFERENCING)
        return vm__fail(VM_E_NOTSUP, "unsupported VDI image (type %u)", type);
    if (vm_le32(h + VDI_SECTOR_SIZE_AT) != 512)
        return vm__fail(VM_E_NOTSUP, "unsupported VDI image (sector size %u is not 512)",
                        vm_le32(h + VDI_SECTOR_SIZE_AT));
    if (block < 4096 || block > (256u << 20) || (block & (block - 1)) != 0)
        return vm__fail(VM_E_NOTSUP, "unsupported VDI image (block size %u)", block);
    if (vm_le32(h + VDI_BLOCK_EXTRA_AT) != 0)
        return vm__fail(VM_E_NOTSUP, "unsupported VDI image (%u extra bytes before each block)",
                        vm_le32(h + VDI_BLOCK_EXTRA_AT));
    if (bmap % 512 != 0 || bmap < VDI_HEADER || data % 512 != 0 || data < VDI_HEADER)
        return vm__fail(VM_E_NOTSUP,
                        "unsupported VDI image (unaligned block map at 0x%x or data "
                        "at 0x%x)",
                        bmap, data);
    if (blocks > VDI_MAX_BLOCKS || (size + block - 1) / block > blocks || size > VM_BLK_MAX_SIZE)
        return vm__fail(VM_E_CORRUPT,
                        "unsupported VDI image (disk size %llu, image bitmap has room "
                        "for %llu)",
                        (unsigned long long)size, (unsigned long long)blocks * block);
    return VM_OK;
}

int vdi_open_map(struct vm_blk *n)
{
    struct vdi *s = vdi_of(n);
    const uint8_t *h = s->header;
    s->data_off = vm_le32(h + VDI_DATA_AT);
    s->map = (struct vm_bmap) {
        .n = n,
        .ops = &map_ops,
        .table_off = vm_le32(h + VDI_BMAP_AT),
        .n_blocks = vm_le32(h + VDI_BLOCKS_AT),
        .width = 4,
        .has_zero = true,
        .block_size = vm_le32(h + VDI_BLOCK_SIZE_AT),
        .align = 1,
    };
    s->map.next = s->data_off + vm_le32(h + VDI_ALLOCATED_AT) * s->map.block_size;
    int st = vm__bmap_init(&s->map);
    if (st != VM_OK || !vm__blk_writable(n) || n->flags & VM_OPEN_CHECK)
        return st;
    uint64_t used, end = s->map.next;
    st = vm__bmap_scan(&s->map, &end, &used);
    s->map.next = end; /* a header that counts too few must not make blocks share a place */
    return st;
}

/** The parent's name from the comment, if create left one there. */
static int find_parent(struct vm_blk *n)
{
    struct vdi *s = vdi_of(n);
    const char *comment = (const char *)s->header + VDI_COMMENT_AT;
    size_t mark = sizeof VDI_PARENT_MARK - 1, len = strnlen(comment, VDI_COMMENT_BYTES);
    if (len > mark && len < VDI_COMMENT_BYTES && memcmp(comment, VDI_PARENT_MARK, mark) == 0) {
        n->backing_name = strndup(comment + mark, len - mark);
        n->backing_format = strdup("vdi");
        return n->backing_name != NULL && n->backing_format != NULL ? VM_OK : vm__fail_nomem(len);
    }
    if (n->backing_overridden || n->flags & (VM_OPEN_NO_BACKING | VM_OPEN_NO_IO))
        return VM_OK;
    const uint8_t *u = s->header + VDI_PARENT_UUID_AT;
    return vm__fail(VM_E_NOENT,
                    "differencing VDI image: its parent has the UUID "
                    "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x; name the file with "
                    "backing.file.filename=",
                    vm_le32(u), vm_le16(u + 4), vm_le16(u + 6), u[8], u[9], u[10], u[11], u[12],
                    u[13], u[14], u[15]);
}

/** The parent is who the image says it is, unchanged since. */
static int vdi_attach_backing(struct vm_blk *n)
{
    const struct vdi *s = vdi_of(n);
    if (strcmp(n->backing->drv->name, "vdi") != 0)
        return vm__fail(VM_E_INVAL, "The parent of a differencing VDI image must be a VDI image");
    const uint8_t *h = s->header, *p = vdi_of(n->backing)->header;
    if (memcmp(h + VDI_PARENT_UUID_AT, p + VDI_UUID_AT, VDI_UUID_BYTES) != 0)
        return vm__fail(VM_E_INVAL, "'%s' is not this image's parent: its UUID is another",
                        n->backing->name);
    if (memcmp(h + VDI_PARENT_MODIFY_UUID_AT, p + VDI_MODIFY_UUID_AT, VDI_UUID_BYTES) != 0)
        return vm__fail(VM_E_CORRUPT, "The parent '%s' has been changed since this image was made",
                        n->backing->name);
    return VM_OK;
}

static int open_all(struct vm_blk *n, struct vm_blk_options *o)
{
    (void)o;
    struct vdi *s = vdi_of(n);
    if (vm__blk_size(n->file) < VDI_HEADER)
        return vm__fail(VM_E_INVAL, "Image not in VDI format (file too small)");
    int st = vm__blk_read(n->file, 0, s->header, VDI_HEADER);
    if (st == VM_OK)
        st = check_header(s->header);
    if (st == VM_OK)
        atomic_store(&n->size, (vm_le64(s->header + VDI_DISK_SIZE_AT) + 511) & ~UINT64_C(511));
    if (st == VM_OK)
        st = vdi_open_map(n);
    if (st == VM_OK && vm_le32(s->header + VDI_TYPE_AT) == VDI_TYPE_DIFFERENCING)
        st = find_parent(n);
    return st;
}

static void free_state(struct vm_blk *n)
{
    vm__bmap_fini(&vdi_of(n)->map);
}

static int vdi_open(struct vm_blk *n, struct vm_blk_options *o)
{
    int st = open_all(n, o);
    if (st != VM_OK)
        free_state(n);
    return st;
}

static void vdi_close(struct vm_blk *n)
{
    struct vdi *s = vdi_of(n);
    /* The file was grown ahead of its last block. */
    if (s->map.pages != NULL && vm__blk_writable(n) && s->map.end > s->map.next && s->modified)
        (void)vm__blk_truncate(n->file, s->map.next, VM_PREALLOC_OFF, 0);
    free_state(n);
}

/* ---- I/O -------------------------------------------------------------------------------- */

/** The first change of a session gives the image a new modification UUID: [VDI] uuidModify. */
static void modify(struct vdi *s)
{
    if (s->modified)
        return;
    (void)pthread_mutex_lock(&s->map.alloc_lock);
    if (!s->modified) {
        (void)vm__host_random(s->header + VDI_MODIFY_UUID_AT, VDI_UUID_BYTES);
        atomic_store(&s->map.touched, true);
        s->modified = true;
    }
    (void)pthread_mutex_unlock(&s->map.alloc_lock);
}

static int vdi_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    modify(vdi_of(n));
    return vm__bmap_write(&vdi_of(n)->map, off, len, sg, flags);
}

static int vdi_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    modify(vdi_of(n));
    return vm__bmap_zero(&vdi_of(n)->map, off, len, flags);
}

static int vdi_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    modify(vdi_of(n));
    return vm__bmap_discard(&vdi_of(n)->map, off, len, flags);
}

_Static_assert(offsetof(struct vdi, map) == 0, "vm__bmap_node_read() and the others");

const struct vm_blk_driver vm__vdi_driver = {
    .name = "vdi",
    .summary = "VirtualBox disk image",
    .spec = "VDI 1.1, as described in the VirtualBox forum's \"All about VDIs\"",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_BACKING | VM_CAN_ZERO_INIT | VM_CAN_NOWAIT,
    .state_size = sizeof(struct vdi),
    .create_options = vdi_create_options,
    .probe = vdi_probe,
    .open = vdi_open,
    .attach_backing = vdi_attach_backing,
    .close = vdi_close,
    .read = vm__bmap_node_read,
    .write = vdi_write,
    .zero = vdi_zero,
    .discard = vdi_discard,
    .flush = vm__bmap_node_flush,
    .status = vm__bmap_node_status,
    .truncate = vdi_truncate,
    .info = vdi_info,
    .check = vdi_check,
    .create = vdi_create,
};
