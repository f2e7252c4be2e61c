/* SPDX-License-Identifier: MIT */
/**
 * @file vmdk.c
 * VMware disk images: a list of extents as one disk.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/chunk_cache.h"
#include "blockfmt/vmdk.h"
#include "host/thread.h"

#include <jansson.h>

/* ---- opening ---------------------------------------------------------------------------- */

/** A descriptor begins with its comment, after comments and blank lines at most. */
static bool is_descriptor(const uint8_t *text, size_t len)
{
    size_t i = 0;
    while (i < len) {
        size_t end = i;
        while (end < len && text[end] != '\n')
            end++;
        size_t n = end - i;
        while (n > 0 && (text[i + n - 1] == '\r' || text[i + n - 1] == ' '))
            n--;
        if (n == 9 && memcmp(text + i, "version=", 8) == 0)
            return text[i + 8] >= '1' && text[i + 8] <= '3';
        if (n != 0 && text[i] != '#')
            return false;
        i = end + 1;
    }
    return false;
}

static int vmdk_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    if (len >= 4 && (memcmp(head, VMDK_MAGIC, 4) == 0 || memcmp(head, VMDK_COWD_MAGIC, 4) == 0))
        return 100;
    return len > 0 && head[0] == '#' && is_descriptor(head, len) ? 100 : 0;
}

static int read_text(struct vm_blk *n, uint64_t off, uint64_t len)
{
    struct vmdk *s = vmdk_of(n);
    if (!vm_in_range(off, len, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "The descriptor lies outside of the file");
    s->text_off = off;
    s->text_room = len;
    len = len < VMDK_DESCRIPTOR_MAX ? len : VMDK_DESCRIPTOR_MAX;
    s->text = calloc(1, (size_t)len + 1);
    if (s->text == NULL)
        return vm__fail_nomem((size_t)len);
    return vm__blk_read(n->file, off, s->text, (size_t)len);
}

/** A sparse extent without a descriptor of its own is a disk of one extent. */
static int open_bare(struct vm_blk *n, enum vmdk_kind kind)
{
    struct vmdk *s = vmdk_of(n);
    s->parent_cid = VMDK_NO_CID;
    s->extents = calloc(1, sizeof *s->extents);
    if (s->extents == NULL)
        return vm__fail_nomem(sizeof *s->extents);
    s->n_extents = 1;
    *s->extents = (struct vmdk_extent) { .kind = kind, .file = n->file };
    int st = kind == VMDK_SPARSE ? vmdk_open_sparse(n, s->extents) : vmdk_open_cowd(n, s->extents);
    atomic_store(&n->size, s->extents->size);
    return st;
}

static int open_all(struct vm_blk *n, struct vm_blk_options *o)
{
    (void)o;
    struct vmdk *s = vmdk_of(n);
    uint8_t head[VMDK_HEADER] = { 0 };
    uint64_t size = vm__blk_size(n->file), off = 0, len = 0;
    (void)pthread_mutex_init(&s->lock, NULL);
    int st = vm__blk_read(n->file, 0, head, size < sizeof head ? (size_t)size : sizeof head);
    if (st != VM_OK)
        return st;
    if (memcmp(head, VMDK_COWD_MAGIC, 4) == 0)
        return open_bare(n, VMDK_COWD);
    if (memcmp(head, VMDK_MAGIC, 4) == 0) {
        st = vmdk_embedded(head, &off, &len);
        if (st != VM_OK || len == 0)
            return st != VM_OK ? st : open_bare(n, VMDK_SPARSE);
        st = read_text(n, off, len);
        return st == VM_OK ? vmdk_parse(n) : st;
    }
    if (!is_descriptor(head, size < sizeof head ? (size_t)size : sizeof head))
        return vm__fail(VM_E_INVAL, "Image not in VMDK format");
    if (size > VMDK_DESCRIPTOR_MAX)
        return vm__fail(VM_E_CORRUPT, "A descriptor of %llu bytes", (unsigned long long)size);
    s->text_is_file = true;
    st = read_text(n, 0, size);
    return st == VM_OK ? vmdk_parse(n) : st;
}

/** The parent is the one whose content was last seen: [VMDK "parentCID"]. */
static int vmdk_attach_backing(struct vm_blk *n)
{
    const struct vmdk *s = vmdk_of(n);
    if (strcmp(n->backing->drv->name, "vmdk") != 0)
        return vm__fail(VM_E_INVAL, "The parent of a VMDK image must be a VMDK image");
    if (s->parent_cid != vmdk_of(n->backing)->cid)
        return vm__fail(VM_E_CORRUPT, "The parent '%s' has been changed since this image was made",
                        n->backing->name);
    return VM_OK;
}

static void free_state(struct vm_blk *n)
{
    struct vmdk *s = vmdk_of(n);
    for (uint32_t i = 0; i < s->n_extents; i++) {
        vmdk_close_sparse(n, &s->extents[i]);
        free(s->extents[i].file_name);
    }
    free(s->extents);
    free(s->text);
}

static int vmdk_open(struct vm_blk *n, struct vm_blk_options *o)
{
    int st = open_all(n, o);
    if (st != VM_OK)
        free_state(n);
    return st;
}

static void vmdk_close(struct vm_blk *n)
{
    free_state(n);
}

/* ---- I/O -------------------------------------------------------------------------------- */

/** The extent that holds @p off. The list covers the disk without gaps. */
static struct vmdk_extent *extent_at(const struct vmdk *s, uint64_t off)
{
    uint32_t lo = 0, hi = s->n_extents - 1;
    while (lo < hi) {
        uint32_t mid = (lo + hi + 1) / 2;
        if (s->extents[mid].start <= off)
            lo = mid;
        else
            hi = mid - 1;
    }
    return &s->extents[lo];
}

static uint64_t left_in(const struct vmdk_extent *e, uint64_t off, uint64_t len)
{
    uint64_t left = e->start + e->size - off;
    return left < len ? left : len;
}

static int vmdk_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    for (size_t done = 0; done < len;) {
        struct vmdk_extent *e = extent_at(vmdk_of(n), off + done);
        uint64_t at = off + done - e->start;
        size_t run = (size_t)left_in(e, off + done, len - done);
        struct vm_sg part = vm_sg_at(sg, done);
        int st = VM_OK;
        if (e->kind == VMDK_ZERO)
            vm_sg_zero(part, run);
        else if (e->kind == VMDK_FLAT)
            st = vm__blk_readv(e->file, e->file_off + at, run, part, flags);
        else
            st = vm__bmap_read(&e->map, at, run, part, flags);
        if (st != VM_OK)
            return st;
        done += run;
    }
    return VM_OK;
}

/** The first change of a session changes the content id: overlays made before must notice. */
static int begin_writing(struct vm_blk *n, uint32_t flags)
{
    struct vmdk *s = vmdk_of(n);
    int st = VM_OK;
    if (atomic_load(&s->written))
        return VM_OK;
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    (void)pthread_mutex_lock(&s->lock);
    if (!atomic_load(&s->written)) {
        uint32_t cid;
        do
            (void)vm__host_random(&cid, sizeof cid);
        while (cid == VMDK_NO_CID || cid == VMDK_NO_CID - 1 || cid == s->cid);
        s->cid = cid;
        st = s->text != NULL ? vmdk_write_cid(n) : VM_OK;
        atomic_store(&s->written, st == VM_OK);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return st;
}

static int vmdk_flush(struct vm_blk *n, uint32_t flags)
{
    struct vmdk *s = vmdk_of(n);
    for (uint32_t i = 0; i < s->n_extents; i++) {
        struct vmdk_extent *e = &s->extents[i];
        int st = e->kind == VMDK_ZERO   ? VM_OK
                 : e->kind == VMDK_FLAT ? vm__blk_flush(e->file, flags)
                                        : vm__bmap_flush(&e->map, flags);
        if (st != VM_OK)
            return st;
    }
    return s->text_is_file ? vm__blk_flush(n->file, flags) : VM_OK;
}

static int write_extent(struct vmdk_extent *e, uint64_t at, size_t run, struct vm_sg part,
                        uint32_t flags)
{
    if (e->kind == VMDK_ZERO || e->kind == VMDK_COWD || e->kind == VMDK_SESPARSE)
        return vm__fail(VM_E_NOTSUP, "This kind of VMDK extent can only be read");
    if (e->kind == VMDK_FLAT)
        return vm__blk_writev(e->file, e->file_off + at, run, part, flags);
    if (e->flags & VMDK_F_COMPRESSED)
        return vmdk_write_packed(&e->map, at, run, part, flags);
    return vm__bmap_write(&e->map, at, run, part, flags);
}

static int vmdk_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    int st = begin_writing(n, flags);
    for (size_t done = 0; st == VM_OK && done < len;) {
        struct vmdk_extent *e = extent_at(vmdk_of(n), off + done);
        size_t run = (size_t)left_in(e, off + done, len - done);
        st = write_extent(e, off + done - e->start, run, vm_sg_at(sg, done), flags);
        done += run;
    }
    return st;
}

static int vmdk_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    int st = begin_writing(n, flags);
    for (uint64_t done = 0; st == VM_OK && done < len;) {
        struct vmdk_extent *e = extent_at(vmdk_of(n), off + done);
        uint64_t at = off + done - e->start, run = left_in(e, off + done, len - done);
        if (e->kind == VMDK_FLAT)
            st = vm__blk_zero(e->file, e->file_off + at, run, flags);
        else if (e->kind == VMDK_SPARSE && !(e->flags & VMDK_F_COMPRESSED))
            st = vm__bmap_zero(&e->map, at, run, flags);
        else if (e->kind != VMDK_ZERO)
            return VM_E_NOTSUP;
        done += run;
    }
    return st;
}

static int vmdk_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *out)
{
    struct vmdk_extent *e = extent_at(vmdk_of(n), off);
    uint64_t at = off - e->start, run = left_in(e, off, len);
    if (e->kind != VMDK_FLAT && e->kind != VMDK_ZERO)
        return vm__bmap_status(&e->map, at, run, out);
    *out = (struct vm_extent) { .length = run, .flags = VM_EXTENT_ZERO | VM_EXTENT_ALLOCATED };
    if (e->kind == VMDK_FLAT) {
        out->flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED | VM_EXTENT_OFFSET;
        out->offset = e->file_off + at;
        out->file = e->file;
    }
    return VM_OK;
}

/* ---- info ------------------------------------------------------------------------------- */

static json_t *describe(const struct vm_blk *n, const struct vmdk_extent *e)
{
    json_t *j = json_object();
    (void)json_object_set_new(j, "virtual-size", json_integer((json_int_t)e->size));
    (void)json_object_set_new(j, "filename",
                              json_string(e->file != NULL ? e->file->name : n->name));
    if (e->kind != VMDK_FLAT && e->kind != VMDK_ZERO)
        (void)json_object_set_new(j, "cluster-size", json_integer((json_int_t)e->map.block_size));
    (void)json_object_set_new(j, "format",
                              json_string(e->kind == VMDK_FLAT   ? "FLAT"
                                          : e->kind == VMDK_ZERO ? "ZERO"
                                                                 : ""));
    if (e->flags & VMDK_F_COMPRESSED)
        (void)json_object_set_new(j, "compressed", json_true());
    return j;
}

static int vmdk_info(struct vm_blk *n, struct vm_blk_info *out)
{
    const struct vmdk *s = vmdk_of(n);
    json_t *data = json_object(), *list = json_array();
    for (uint32_t i = 0; i < s->n_extents; i++) {
        if (s->extents[i].kind != VMDK_FLAT && s->extents[i].kind != VMDK_ZERO)
            out->cluster_size = s->extents[i].map.block_size;
        (void)json_array_append_new(list, describe(n, &s->extents[i]));
    }
    (void)json_object_set_new(data, "cid", json_integer(s->cid));
    (void)json_object_set_new(data, "parent-cid", json_integer(s->parent_cid));
    (void)json_object_set_new(data, "create-type", json_string(s->create_type));
    (void)json_object_set_new(data, "extents", list);
    out->specific = data;
    return VM_OK;
}

const struct vm_blk_driver vm__vmdk_driver = {
    .name = "vmdk",
    .summary = "VMware disk image",
    .spec = "VMware Virtual Disk Format 5.0",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_BACKING | VM_CAN_COMPRESS | VM_CAN_ZERO_INIT | VM_CAN_NOWAIT,
    .state_size = sizeof(struct vmdk),
    .create_options = vmdk_create_options,
    .probe = vmdk_probe,
    .open = vmdk_open,
    .attach_backing = vmdk_attach_backing,
    .close = vmdk_close,
    .read = vmdk_read,
    .write = vmdk_write,
    .zero = vmdk_zero,
    .flush = vmdk_flush,
    .status = vmdk_status,
    .info = vmdk_info,
    .create = vmdk_create,
};
