/* SPDX-License-Identifier: MIT */
/**
 * @file cow.c
 * Copy-on-write images of User-mode Linux, version 2, which early QEMU also made.
 *
 * Spec: [UML-COW]. A header, a bit for each sector of 512 bytes (the lowest first; set: it is in
 * this file), and from the next sector on the sectors, each in its own place; the others are the
 * backing file's. Numbers are big-endian. The header was written as a C structure, so the 64-bit
 * size has no fixed place: i386 puts it right after the time of the backing file, other machines
 * leave a gap of 4. Both are read; what is made here has the gap.
 *
 * The time of the backing file is not looked at: copying a file changes it.
 *
 * Bits are kept in memory by pages, and written by flush, after the data they speak of.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "block/env.h"
#include "block/options.h"
#include "block/ranges.h"

enum {
    VERSION_AT = 4,
    NAME_AT = 8,
    NAME_BYTES = 1024,
    TIME_AT = 1032,
    WIDE_HEADER = 1056, /* size at 1040 */
    TIGHT_HEADER = 1048,
    SECTOR = 512,
    PAGE = 4096, /* of the bitmap: 16 MiB of the disk */
    PAGE_SECTORS = PAGE * 8,
    BATCH = 64, /* pages to a flush of the file: those of 1 GiB */
};
#define MAGIC "OOOM"
/* A pointer a page, and a byte: 9 MiB. */
#define MAX_SIZE (UINT64_C(16) << 40)

struct cow {
    uint64_t bits_off, data_off;
    uint64_t n_pages;
    pthread_mutex_t lock; /**< the pages */
    uint8_t **pages;      /**< NULL: not read yet */
    uint8_t *dirty;       /**< by page */
    pthread_mutex_t flush_lock;
    struct vm_ranges writing;
};

static struct cow *cow_of(const struct vm_blk *n)
{
    return n->state;
}

/* ---- the header ------------------------------------------------------------------------- */

static int cow_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    return len >= TIME_AT && memcmp(head, MAGIC, 4) == 0 && vm_be32(head + VERSION_AT) == 2 ? 100
                                                                                            : 0;
}

/** Bytes of the header, from where its last field says 512; 0: neither. */
static uint32_t header_bytes(const uint8_t *h)
{
    if (vm_be32(h + WIDE_HEADER - 8) == SECTOR && vm_be32(h + TIME_AT + 4) == 0)
        return WIDE_HEADER;
    return vm_be32(h + TIGHT_HEADER - 4) == SECTOR ? TIGHT_HEADER : 0;
}

/** Where the bitmap and the sectors of a disk of @p size bytes lie. */
static void lay_out(struct cow *s, uint32_t header, uint64_t size)
{
    uint64_t sectors = (size + SECTOR - 1) / SECTOR, bytes = (sectors + 7) / 8;
    s->bits_off = header;
    s->data_off = (header + bytes + SECTOR - 1) / SECTOR * SECTOR;
    s->n_pages = (bytes + PAGE - 1) / PAGE;
}

static int read_header(struct vm_blk *n)
{
    struct cow *s = cow_of(n);
    uint8_t h[WIDE_HEADER] = { 0 };
    if (vm__blk_size(n->file) < WIDE_HEADER)
        return vm__fail(VM_E_INVAL, "Image not in COW format");
    int st = vm__blk_read(n->file, 0, h, sizeof h);
    if (st != VM_OK)
        return st;
    uint32_t header = header_bytes(h);
    if (cow_probe(h, sizeof h, 0, NULL) == 0)
        return vm__fail(VM_E_INVAL, "Image not in COW format, version 2");
    if (header == 0)
        return vm__fail(VM_E_NOTSUP, "COW images with sectors other than of 512 bytes");
    uint64_t size = vm_be64(h + header - (header == WIDE_HEADER ? 16 : 12));
    if (size > MAX_SIZE)
        return vm__fail(VM_E_CORRUPT, "An image of %llu bytes is larger than the %llu supported",
                        (unsigned long long)size, (unsigned long long)MAX_SIZE);
    lay_out(s, header, size);
    if (s->data_off > vm__blk_size(n->file) + SECTOR)
        return vm__fail(VM_E_CORRUPT, "The bitmap of %llu bytes lies outside of the file",
                        (unsigned long long)(s->data_off - s->bits_off));
    atomic_store(&n->size, size);
    const char *name = (const char *)h + NAME_AT;
    if (*name != '\0' && (n->backing_name = strndup(name, NAME_BYTES - 1)) == NULL)
        return vm__fail_nomem(NAME_BYTES);
    return VM_OK;
}

static void free_state(struct vm_blk *n)
{
    struct cow *s = cow_of(n);
    for (uint64_t i = 0; s->pages != NULL && i < s->n_pages; i++)
        free(s->pages[i]);
    free(s->pages);
    free(s->dirty);
}

static int cow_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct cow *s = cow_of(n);
    (void)o;
    int st = read_header(n);
    if (st != VM_OK)
        return st;
    s->pages = calloc(s->n_pages + 1, sizeof *s->pages);
    s->dirty = calloc(s->n_pages + 1, 1);
    if (s->pages == NULL || s->dirty == NULL) {
        free_state(n);
        return vm__fail_nomem(s->n_pages * 9);
    }
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_mutex_init(&s->flush_lock, NULL);
    vm__ranges_init(&s->writing);
    return VM_OK;
}

static void cow_close(struct vm_blk *n)
{
    struct cow *s = cow_of(n);
    vm__ranges_fini(&s->writing);
    (void)pthread_mutex_destroy(&s->flush_lock);
    (void)pthread_mutex_destroy(&s->lock);
    free_state(n);
}

/* ---- bits ------------------------------------------------------------------------------- */

/** Bytes of page @p p that are in the file; the rest of it has no sectors. */
static size_t page_bytes(const struct vm_blk *n, uint64_t p)
{
    const struct cow *s = cow_of(n);
    uint64_t at = s->bits_off + p * PAGE, end = s->data_off;
    if (end > vm__blk_size(n->file))
        end = vm__blk_size(n->file);
    return end <= at ? 0 : end - at < PAGE ? (size_t)(end - at) : PAGE;
}

/** Page @p p, read when first needed. With the lock. */
static int load_page(struct vm_blk *n, uint64_t p, uint8_t **out)
{
    struct cow *s = cow_of(n);
    *out = s->pages[p];
    if (*out != NULL)
        return VM_OK;
    uint8_t *page = calloc(1, PAGE);
    size_t len = page_bytes(n, p);
    int st = page == NULL ? vm__fail_nomem(PAGE)
             : len != 0   ? vm__blk_read(n->file, s->bits_off + p * PAGE, page, len)
                          : VM_OK;
    if (st == VM_OK)
        *out = s->pages[p] = page;
    else
        free(page);
    return st;
}

static bool has(const uint8_t *page, uint64_t sector)
{
    return page[sector % PAGE_SECTORS / 8] >> sector % 8 & 1;
}

/** Sectors from @p sector on, before @p end, that are all here or all below; within a page. */
static int run(struct vm_blk *n, uint64_t sector, uint64_t end, uint64_t *count, bool *here)
{
    struct cow *s = cow_of(n);
    uint64_t last = (sector / PAGE_SECTORS + 1) * PAGE_SECTORS, at = sector + 1;
    uint8_t *page;
    (void)pthread_mutex_lock(&s->lock);
    int st = load_page(n, sector / PAGE_SECTORS, &page);
    if (st == VM_OK) {
        *here = has(page, sector);
        last = last < end ? last : end;
        while (at < last && has(page, at) == *here) {
            bool even = at % 8 == 0 && page[at % PAGE_SECTORS / 8] == (*here ? 0xff : 0);
            at += even ? 8 : 1;
        }
        *count = (at < last ? at : last) - sector;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return st;
}

static int mark(struct vm_blk *n, uint64_t first, uint64_t end)
{
    struct cow *s = cow_of(n);
    int st = VM_OK;
    (void)pthread_mutex_lock(&s->lock);
    for (uint64_t i = first; st == VM_OK && i < end; i++) {
        uint8_t *page;
        st = load_page(n, i / PAGE_SECTORS, &page);
        if (st != VM_OK || has(page, i))
            continue;
        page[i % PAGE_SECTORS / 8] |= (uint8_t)(1 << i % 8);
        s->dirty[i / PAGE_SECTORS] = 1;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return st;
}

/* ---- I/O -------------------------------------------------------------------------------- */

static int cow_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    uint64_t end = (off + len + SECTOR - 1) / SECTOR;
    for (size_t done = 0; done < len;) {
        uint64_t sector = (off + done) / SECTOR, count = 0;
        bool here = false;
        int st = run(n, sector, end, &count, &here);
        uint64_t till = (sector + count) * SECTOR;
        size_t part = till < off + len ? (size_t)(till - off - done) : len - done;
        struct vm_sg to = vm_sg_at(sg, done);
        if (st == VM_OK)
            st = here ? vm__blk_readv(n->file, cow_of(n)->data_off + off + done, part, to, flags)
                      : vm__blk_read_backing(n, off + done, part, to, flags);
        if (st != VM_OK)
            return st;
        done += part;
    }
    return VM_OK;
}

/** A sector that is written in part, and is still the backing file's, is first copied. */
static int copy_edge(struct vm_blk *n, uint64_t sector)
{
    uint8_t buf[SECTOR];
    uint64_t off = sector * SECTOR, left = vm__blk_size(n) - off, count;
    struct vm_iov v = { buf, left < SECTOR ? (size_t)left : SECTOR };
    bool here;
    int st = run(n, sector, sector + 1, &count, &here);
    if (st != VM_OK || here)
        return st;
    st = vm__blk_read_backing(n, off, v.len, (struct vm_sg) { &v, 0 }, 0);
    return st == VM_OK ? vm__blk_write(n->file, cow_of(n)->data_off + off, buf, v.len) : st;
}

static int cow_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    struct cow *s = cow_of(n);
    uint64_t end = off + len, first = off / SECTOR, last = (end - 1) / SECTOR;
    struct vm_range r;
    int st = VM_OK;
    vm__ranges_lock(&s->writing, &r, first * SECTOR, (last - first + 1) * SECTOR);
    if (off % SECTOR != 0)
        st = copy_edge(n, first);
    if (st == VM_OK && end % SECTOR != 0 && end < vm__blk_size(n))
        st = copy_edge(n, last);
    if (st == VM_OK)
        st = vm__blk_writev(n->file, s->data_off + off, len, sg, flags);
    if (st == VM_OK)
        st = mark(n, first, last + 1);
    vm__ranges_unlock(&s->writing, &r);
    return st;
}

static int cow_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    uint64_t sector = off / SECTOR, end = (off + len + SECTOR - 1) / SECTOR, count = 0;
    bool here = false, same = true;
    int st = run(n, sector, end, &count, &here);
    while (st == VM_OK && same && sector + count < end) {
        uint64_t more = 0;
        bool next = here;
        if ((sector + count) % PAGE_SECTORS != 0)
            break;
        st = run(n, sector + count, end, &more, &next);
        same = next == here;
        count += same ? more : 0;
    }
    if (st != VM_OK)
        return st;
    uint64_t length = (sector + count) * SECTOR - off;
    *e = (struct vm_extent) { .length = length < len ? length : len };
    if (here) {
        e->flags = VM_EXTENT_DATA | VM_EXTENT_ALLOCATED | VM_EXTENT_OFFSET;
        e->offset = cow_of(n)->data_off + off;
        e->file = n->file;
    } else if (n->backing == NULL) {
        e->flags = VM_EXTENT_ZERO;
    }
    return VM_OK;
}

/* ---- flush ------------------------------------------------------------------------------ */

/** Pages that flush has copied and will write. */
struct batch {
    uint64_t pages[BATCH];
    uint8_t bytes[BATCH][PAGE];
    size_t n;
};

/** Dirty pages from *@p p on, as they are now; they count as clean. */
static void take_pages(struct cow *s, uint64_t *p, struct batch *out)
{
    out->n = 0;
    (void)pthread_mutex_lock(&s->lock);
    for (; *p < s->n_pages && out->n < BATCH; ++*p) {
        if (!s->dirty[*p])
            continue;
        memcpy(out->bytes[out->n], s->pages[*p], PAGE);
        out->pages[out->n++] = *p;
        s->dirty[*p] = 0;
    }
    (void)pthread_mutex_unlock(&s->lock);
}

static int write_batch(struct vm_blk *n, const struct batch *b)
{
    struct cow *s = cow_of(n);
    int st = vm__blk_flush(n->file, 0); /* what the bits speak of */
    for (size_t i = 0; st == VM_OK && i < b->n; i++) {
        uint64_t at = s->bits_off + b->pages[i] * PAGE, len = s->data_off - at;
        st = vm__blk_write(n->file, at, b->bytes[i], len < PAGE ? (size_t)len : PAGE);
    }
    if (st == VM_OK)
        return VM_OK;
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < b->n; i++)
        s->dirty[b->pages[i]] = 1;
    (void)pthread_mutex_unlock(&s->lock);
    return st;
}

static int write_bits(struct vm_blk *n)
{
    struct batch *b = malloc(sizeof *b);
    int st = b != NULL ? VM_OK : vm__fail_nomem(sizeof *b);
    for (uint64_t p = 0; st == VM_OK && p < cow_of(n)->n_pages;) {
        take_pages(cow_of(n), &p, b);
        if (b->n != 0)
            st = write_batch(n, b);
    }
    free(b);
    return st;
}

static int cow_flush(struct vm_blk *n, uint32_t flags)
{
    struct cow *s = cow_of(n);
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    (void)pthread_mutex_lock(&s->flush_lock);
    int st = write_bits(n);
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    (void)pthread_mutex_unlock(&s->flush_lock);
    return st;
}

/* ---- alone ------------------------------------------------------------------------------ */

static int cow_info(struct vm_blk *n, struct vm_blk_info *out)
{
    (void)n;
    out->cluster_size = SECTOR;
    return VM_OK;
}

static int put_name(struct vm_blk *file, const char *name)
{
    char buf[NAME_BYTES] = { 0 };
    if (name != NULL && strlen(name) >= NAME_BYTES)
        return vm__fail(VM_E_RANGE, "Backing file name too long");
    if (name != NULL)
        memcpy(buf, name, strlen(name));
    return vm__blk_write(file, NAME_AT, buf, sizeof buf);
}

static int cow_set_backing(struct vm_blk *n, const char *name, const char *format)
{
    (void)format; /* there is no place for it */
    return put_name(n->file, name);
}

static int cow_make_empty(struct vm_blk *n)
{
    struct cow *s = cow_of(n);
    for (uint64_t p = 0; p < s->n_pages; p++) {
        free(s->pages[p]);
        s->pages[p] = NULL;
        s->dirty[p] = 0;
    }
    return vm__blk_zero(n->file, s->bits_off, s->data_off - s->bits_off, 0);
}

static const struct vm_blk_option create_options[] = {
    { "size", VM_OPT_SIZE, .help = "Virtual disk size" },
    { "backing_file", VM_OPT_STR, .help = "File name of a base image" },
    { "backing_fmt", VM_OPT_STR, .help = "Format of the backing image; not recorded" },
    { 0 },
};

static int cow_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    struct cow s;
    uint8_t h[WIDE_HEADER] = MAGIC;
    (void)env;
    if (c->size > MAX_SIZE)
        return vm__fail(VM_E_RANGE, "Image size is too large for the cow format");
    if (c->backing_name != NULL && strlen(c->backing_name) >= NAME_BYTES)
        return vm__fail(VM_E_RANGE, "Backing file name too long");
    lay_out(&s, WIDE_HEADER, c->size);
    vm_put_be32(h + VERSION_AT, 2);
    vm_put_be64(h + WIDE_HEADER - 16, c->size);
    vm_put_be32(h + WIDE_HEADER - 8, SECTOR);
    int st = vm__create_file(c);
    if (st == VM_OK)
        st = vm__blk_write(c->file, 0, h, sizeof h);
    if (st == VM_OK)
        st = put_name(c->file, c->backing_name);
    return st == VM_OK
               ? vm__blk_truncate(c->file, s.data_off + (c->size + SECTOR - 1) / SECTOR * SECTOR,
                                  VM_PREALLOC_OFF, 0)
               : st;
}

const struct vm_blk_driver vm__cow_driver = {
    .name = "cow",
    .summary = "User-mode Linux copy-on-write image, version 2",
    .spec = "User-mode Linux, cow_user.c: struct cow_header_v2",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_BACKING | VM_CAN_ZERO_INIT,
    .state_size = sizeof(struct cow),
    .create_options = create_options,
    .probe = cow_probe,
    .open = cow_open,
    .close = cow_close,
    .read = cow_read,
    .write = cow_write,
    .flush = cow_flush,
    .status = cow_status,
    .info = cow_info,
    .set_backing = cow_set_backing,
    .make_empty = cow_make_empty,
    .create = cow_create,
};
