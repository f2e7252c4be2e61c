/* SPDX-License-Identifier: MIT */
/**
 * @file bmap.c
 * The table of a block map: reading it page by page, changing it, and writing it in order.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "blockfmt/bmap.h"

enum {
    GROW = 16 << 20,    /* the file grows by this much at a time: one call for many blocks */
    MAX_PAGES = 1 << 23 /* each costs 9 bytes before it is loaded */
};

/** What a page that lies nowhere holds. */
static const _Alignas(8) uint8_t nowhere[VM_BMAP_PAGE];

static uint64_t table_bytes(const struct vm_bmap *b)
{
    return b->n_entries * b->width;
}

size_t vm__bmap_page_bytes(const struct vm_bmap *b, uint64_t p)
{
    uint64_t left = table_bytes(b) - p * b->page_size;
    return left < b->page_size ? (size_t)left : b->page_size;
}

int vm__bmap_init(struct vm_bmap *b)
{
    b->file = b->file != NULL ? b->file : b->n->file;
    b->data = b->data != NULL ? b->data : b->file;
    b->size = b->size != 0 ? b->size : vm__blk_size(b->n);
    uint64_t bytes, end, size = vm__blk_size(b->file);
    b->page_size = b->page_size != 0 ? b->page_size : VM_BMAP_PAGE;
    b->n_entries = b->n_entries != 0 ? b->n_entries : b->n_blocks;
    if (!vm_mul_u64(b->n_entries, b->width, &bytes) || !vm_add_u64(b->table_off, bytes, &end) ||
        (b->ops->page_at == NULL && end > size))
        return vm__fail(VM_E_CORRUPT, "Block map of %llu entries at %llu lies outside of the file",
                        (unsigned long long)b->n_blocks, (unsigned long long)b->table_off);
    b->n_pages = bytes / b->page_size + (bytes % b->page_size != 0);
    if (b->n_pages > MAX_PAGES)
        return vm__fail(VM_E_NOTSUP, "Block map of %llu bytes is larger than the %llu supported",
                        (unsigned long long)bytes, (unsigned long long)MAX_PAGES * b->page_size);
    b->pages = calloc(b->n_pages + 1, sizeof *b->pages);
    b->dirty = calloc(b->n_pages + 1, 1);
    b->end = b->stale = size;
    (void)pthread_mutex_init(&b->load_lock, NULL);
    (void)pthread_mutex_init(&b->alloc_lock, NULL);
    (void)pthread_mutex_init(&b->flush_lock, NULL);
    for (unsigned i = 0; i < VM_BMAP_STRIPES; i++)
        (void)pthread_mutex_init(&b->stripes[i], NULL);
    if (b->pages == NULL || b->dirty == NULL)
        return vm__fail_nomem(b->n_pages * 9);
    return vm__bmap_bits_init(b);
}

void vm__bmap_fini(struct vm_bmap *b)
{
    if (b->n == NULL)
        return;
    vm__bmap_partial_free(b);
    vm__bmap_bits_fini(b);
    for (uint64_t p = 0; b->pages != NULL && p < b->n_pages; p++)
        if (!vm__bmap_page_empty(b, p))
            free(atomic_load(&b->pages[p]));
    free(b->pages);
    free((void *)b->dirty);
    b->pages = NULL;
    b->dirty = NULL;
}

static int page_place(struct vm_bmap *b, uint64_t p, uint64_t *at)
{
    *at = b->table_off + p * b->page_size;
    return b->ops->page_at != NULL ? b->ops->page_at(b, p, at) : VM_OK;
}

/** With the load lock: read page @p p, or make it if it lies nowhere. */
static int read_page(struct vm_bmap *b, uint64_t p, uint64_t at, uint32_t flags, bool change,
                     uint8_t **out)
{
    uint8_t *page = calloc(1, VM_BMAP_PAGE);
    struct vm_iov v = { page, vm__bmap_page_bytes(b, p) };
    int st = page != NULL ? VM_OK : vm__fail_nomem(VM_BMAP_PAGE);
    if (st == VM_OK && at != 0)
        st = vm__blk_readv(b->file, at, v.len, (struct vm_sg) { &v, 0 }, flags & VM_IO_NOWAIT);
    /* A table of zeros, as sparse images have thousands of, is kept as that. */
    if (st == VM_OK && !change && memcmp(page, nowhere, VM_BMAP_PAGE) == 0)
        atomic_store_explicit(&b->pages[p], (uint8_t *)(uintptr_t)nowhere, memory_order_release);
    else if (st == VM_OK)
        atomic_store_explicit(&b->pages[p], page, memory_order_release);
    uint8_t *kept = atomic_load_explicit(&b->pages[p], memory_order_relaxed);
    if (page != kept)
        free(page);
    *out = kept;
    return st;
}

/**
 * Page @p p of the table, read when first needed.
 * @param change it will be changed: not the page of zeros that all empty ones share
 */
static int load_page(struct vm_bmap *b, uint64_t p, uint32_t flags, bool change,
                     const uint8_t **out)
{
    uint64_t at;
    uint8_t *page = atomic_load_explicit(&b->pages[p], memory_order_acquire);
    *out = page;
    if (page != NULL && !(change && page == nowhere))
        return VM_OK;
    if (flags & VM_IO_NOWAIT) {
        if (pthread_mutex_trylock(&b->load_lock) != 0)
            return VM_E_AGAIN;
    } else {
        (void)pthread_mutex_lock(&b->load_lock);
    }
    int st = VM_OK;
    page = atomic_load_explicit(&b->pages[p], memory_order_relaxed);
    if (page == NULL || (change && page == nowhere)) {
        st = page == NULL ? page_place(b, p, &at) : VM_OK;
        if (st == VM_OK)
            st = read_page(b, p, page == NULL ? at : 0, flags, change, &page);
    }
    *out = page;
    (void)pthread_mutex_unlock(&b->load_lock);
    return st;
}

bool vm__bmap_page_empty(const struct vm_bmap *b, uint64_t p)
{
    return atomic_load_explicit(&b->pages[p], memory_order_acquire) == nowhere;
}

static uint64_t load_raw(const struct vm_bmap *b, const uint8_t *page, size_t at)
{
    if (b->width == 4) {
        uint32_t v =
            atomic_load_explicit((const _Atomic uint32_t *)(page + at), memory_order_acquire);
        return b->big_endian ? __builtin_bswap32(v) : v;
    }
    uint64_t v = atomic_load_explicit((const _Atomic uint64_t *)(page + at), memory_order_acquire);
    return b->big_endian ? __builtin_bswap64(v) : v;
}

static void store_raw(const struct vm_bmap *b, uint8_t *page, size_t at, uint64_t v)
{
    if (b->width == 4)
        atomic_store_explicit((_Atomic uint32_t *)(page + at),
                              b->big_endian ? __builtin_bswap32((uint32_t)v) : (uint32_t)v,
                              memory_order_release);
    else
        atomic_store_explicit((_Atomic uint64_t *)(page + at),
                              b->big_endian ? __builtin_bswap64(v) : v, memory_order_release);
}

/** The number in the table of a block's entry. */
static uint64_t entry_of(const struct vm_bmap *b, uint64_t index)
{
    return b->group != 0 ? index + index / b->group : index;
}

int vm__bmap_get_entry(struct vm_bmap *b, uint64_t entry, uint32_t flags, uint64_t *raw)
{
    uint64_t at = entry * b->width;
    const uint8_t *page;
    int st = load_page(b, at / b->page_size, flags, false, &page);
    if (st == VM_OK)
        *raw = load_raw(b, page, at % b->page_size);
    return st;
}

int vm__bmap_get(struct vm_bmap *b, uint64_t index, uint32_t flags, struct vm_bmap_entry *e)
{
    uint64_t raw = 0;
    int st = vm__bmap_get_entry(b, entry_of(b, index), flags, &raw);
    if (st != VM_OK)
        return st;
    *e = b->ops->decode(b, raw);
    e->raw = raw;
    bool in_file = b->data == b->file && (e->kind == VM_BMAP_DATA || e->kind == VM_BMAP_SHARED);
    if (e->kind == VM_BMAP_BAD || (in_file && e->off >= vm__blk_size(b->file)))
        return vm__fail(VM_E_CORRUPT, "Block %llu has a map entry of 0x%llx that points nowhere",
                        (unsigned long long)index, (unsigned long long)raw);
    return VM_OK;
}

int vm__bmap_set_entry(struct vm_bmap *b, uint64_t entry, uint64_t raw)
{
    uint64_t at = entry * b->width, p = at / b->page_size;
    const uint8_t *page;
    int st = load_page(b, p, 0, true, &page);
    if (st != VM_OK)
        return st;
    uint8_t *own = atomic_load(&b->pages[p]);
    if (b->ops->dropped != NULL) {
        struct vm_bmap_entry old = b->ops->decode(b, load_raw(b, own, at % b->page_size));
        old.raw = load_raw(b, own, at % b->page_size);
        b->ops->dropped(b, &old);
    }
    store_raw(b, own, at % b->page_size, raw);
    if (!atomic_exchange(&b->dirty[p], 1))
        atomic_fetch_add(&b->n_dirty, 1);
    return VM_OK;
}

int vm__bmap_set_raw(struct vm_bmap *b, uint64_t index, uint64_t raw)
{
    return vm__bmap_set_entry(b, entry_of(b, index), raw);
}

int vm__bmap_set(struct vm_bmap *b, uint64_t index, enum vm_bmap_kind kind, uint64_t off)
{
    return vm__bmap_set_raw(b, index, b->ops->encode(b, kind, off));
}

int vm__bmap_scan(struct vm_bmap *b, uint64_t *end, uint64_t *used)
{
    *used = 0;
    for (uint64_t i = 0; i < b->n_blocks; i++) {
        struct vm_bmap_entry e;
        int st = vm__bmap_get(b, i, 0, &e);
        if (st != VM_OK)
            return st;
        if (e.kind != VM_BMAP_DATA)
            continue;
        ++*used;
        if (e.off + b->block_size > *end)
            *end = e.off + b->block_size;
    }
    return VM_OK;
}

/* ---- allocation ------------------------------------------------------------------------- */

/** The file reaches to @p end at least. Growing it ahead keeps every data write inside of it. */
static int reach(struct vm_bmap *b, uint64_t end)
{
    if (end <= b->end)
        return VM_OK;
    uint64_t want = end;
    if (!vm_add_u64(end, GROW, &want) || want > VM_BLK_MAX_SIZE)
        want = end;
    int st = vm__blk_truncate(b->file, want, VM_PREALLOC_OFF, 0);
    if (st != VM_OK && want != end)
        st = vm__blk_truncate(b->file, want = end, VM_PREALLOC_OFF, 0);
    if (st == VM_OK)
        b->end = want;
    return st;
}

/** With the allocation lock: @p len bytes at @p at, zeros where an old tail may be. */
static int claim(struct vm_bmap *b, uint64_t at, uint64_t len)
{
    uint64_t end;
    if (!vm_add_u64(at, len, &end) || end > VM_BLK_MAX_SIZE)
        return vm__fail(VM_E_NOSPC, "The image file cannot grow beyond %llu bytes",
                        (unsigned long long)at);
    int st = reach(b, end);
    if (st == VM_OK && at < b->stale)
        st = vm__blk_zero(b->file, at, (end < b->stale ? end : b->stale) - at, VM_IO_UNMAP);
    if (st == VM_OK) {
        b->next = end > b->next ? end : b->next;
        if (b->ops->space != NULL && end > b->stale)
            b->stale = end; /* it may be given back, and taken again */
        atomic_store(&b->touched, true);
    }
    return st;
}

static int find_space(struct vm_bmap *b, uint64_t len, uint64_t align, uint64_t *off)
{
    if (b->ops->space != NULL)
        return b->ops->space(b, len, align, off);
    *off = (b->next + align - 1) / align * align;
    return VM_OK;
}

int vm__bmap_space(struct vm_bmap *b, uint64_t len, uint64_t align, uint64_t *off)
{
    (void)pthread_mutex_lock(&b->alloc_lock);
    int st = find_space(b, len, align, off);
    if (st == VM_OK)
        st = claim(b, *off, len);
    (void)pthread_mutex_unlock(&b->alloc_lock);
    return st;
}

int vm__bmap_alloc(struct vm_bmap *b, uint64_t index, uint64_t *off)
{
    if (b->ops->place != NULL)
        return b->ops->place(b, index, off);
    (void)pthread_mutex_lock(&b->alloc_lock);
    uint64_t data = (b->next + b->lead + b->align - 1) / b->align * b->align;
    int st = b->ops->space != NULL ? b->ops->space(b, b->block_size, b->align, &data) : VM_OK;
    struct vm_bmap_entry e = b->ops->decode(b, b->ops->encode(b, VM_BMAP_DATA, data));
    if (st == VM_OK)
        st = e.kind == VM_BMAP_DATA && e.off == data
                 ? claim(b, data, b->block_size)
                 : vm__fail(VM_E_NOSPC, "The block map cannot name a block at %llu",
                            (unsigned long long)data);
    if (st == VM_OK && b->ops->block_new != NULL)
        st = b->ops->block_new(b, index, data);
    (void)pthread_mutex_unlock(&b->alloc_lock);
    *off = data;
    return st;
}

int vm__bmap_alloc_now(struct vm_bmap *b, uint64_t *off)
{
    bool own = b->ops->space != NULL; /* the format's way of finding room */
    if (b->ops->place != NULL || b->ops->block_new != NULL || b->bits_bytes != 0 ||
        (own && b->ops->space_now == NULL) || pthread_mutex_trylock(&b->alloc_lock) != 0)
        return VM_E_AGAIN;
    uint64_t data = (b->next + b->lead + b->align - 1) / b->align * b->align;
    int st = own ? b->ops->space_now(b, &data) : VM_OK;
    if (st == VM_OK && (data < b->stale || data > b->end || b->end - data < b->block_size))
        st = VM_E_AGAIN;
    struct vm_bmap_entry e = b->ops->decode(b, b->ops->encode(b, VM_BMAP_DATA, data));
    if (st == VM_OK)
        st = e.kind == VM_BMAP_DATA && e.off == data ? claim(b, data, b->block_size) : VM_E_AGAIN;
    (void)pthread_mutex_unlock(&b->alloc_lock);
    *off = data;
    return st;
}

/* ---- flush ------------------------------------------------------------------------------ */

/** The blocks, then what else is in the file. */
static int flush_files(struct vm_bmap *b)
{
    int st = b->data != b->file ? vm__blk_flush(b->data, 0) : VM_OK;
    return st == VM_OK ? vm__blk_flush(b->file, 0) : st;
}

/** Entries that come in pairs are copied while none of them changes. */
static void hold_pairs(struct vm_bmap *b, bool hold)
{
    for (unsigned i = 0; b->pairs && i < VM_BMAP_STRIPES; i++)
        (void)(hold ? pthread_mutex_lock : pthread_mutex_unlock)(&b->stripes[i]);
}

/** Copies of the dirty pages, as of now; the pages count as clean. */
static size_t take_dirty(struct vm_bmap *b, uint64_t *list, uint8_t *bytes, size_t max)
{
    size_t n = 0;
    for (uint64_t p = 0; p < b->n_pages && n < max; p++) {
        if (!atomic_load(&b->dirty[p]))
            continue;
        hold_pairs(b, true);
        atomic_store(&b->dirty[p], 0);
        atomic_fetch_sub(&b->n_dirty, 1);
        const uint8_t *page = atomic_load(&b->pages[p]);
        for (size_t at = 0; at < b->page_size; at += b->width) {
            uint64_t raw = load_raw(b, page, at);
            store_raw(b, bytes + n * VM_BMAP_PAGE, at, raw);
        }
        hold_pairs(b, false);
        list[n++] = p;
    }
    return n;
}

/** Pages to their places; new ones are named by the table above only when they are safe. */
static int write_pages(struct vm_bmap *b, const uint64_t *list, const uint8_t *bytes, size_t n)
{
    bool roots = false;
    if (b->ops->write_pages != NULL)
        return b->ops->write_pages(b, list, bytes, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t at;
        int st = page_place(b, list[i], &at);
        if (st == VM_OK && at == 0) {
            st = b->ops->page_new(b, list[i], &at);
            roots = true;
        }
        if (st == VM_OK)
            st = vm__blk_write(b->file, at, bytes + i * VM_BMAP_PAGE,
                               vm__bmap_page_bytes(b, list[i]));
        if (st != VM_OK)
            return st;
    }
    if (!roots)
        return VM_OK;
    int st = vm__blk_flush(b->file, 0);
    return st == VM_OK ? b->ops->write_roots(b) : st;
}

static int write_header_and_tail(struct vm_bmap *b)
{
    if (!atomic_exchange(&b->touched, false))
        return VM_OK;
    int st = VM_OK;
    (void)pthread_mutex_lock(&b->alloc_lock);
    if (b->ops->before_table != NULL)
        st = b->ops->before_table(b);
    if (st == VM_OK && b->ops->tail != NULL)
        st = b->ops->tail(b, b->next);
    (void)pthread_mutex_unlock(&b->alloc_lock);
    if (st != VM_OK)
        atomic_store(&b->touched, true);
    return st;
}

static int write_table(struct vm_bmap *b, size_t n)
{
    struct vm_bmap_saved bits;
    uint64_t *list = calloc(n + 1, sizeof *list);
    uint8_t *bytes = calloc(n + 1, VM_BMAP_PAGE);
    int st = list != NULL && bytes != NULL ? VM_OK : vm__fail_nomem(n * VM_BMAP_PAGE);
    if (st == VM_OK) {
        n = take_dirty(b, list, bytes, n); /* before the bitmaps that new entries rely on */
        st = vm__bmap_bits_take(b, &bits);
        if (st == VM_OK)
            st = write_header_and_tail(b);
        if (st == VM_OK)
            st = flush_files(b);
        st = vm__bmap_bits_put(b, &bits, st);
        if (st == VM_OK && n != 0)
            st = write_pages(b, list, bytes, n);
        for (size_t i = 0; st != VM_OK && i < n; i++)
            if (!atomic_exchange(&b->dirty[list[i]], 1))
                atomic_fetch_add(&b->n_dirty, 1);
    }
    free(list);
    free(bytes);
    return st;
}

static int flush_locked(struct vm_bmap *b)
{
    int st = vm__bmap_partial_fill(b);
    if (b->ops->flush_begin != NULL)
        b->ops->flush_begin(b);
    size_t n = (size_t)atomic_load(&b->n_dirty);
    if (st == VM_OK)
        st = n != 0 || atomic_load(&b->n_dirty_bits) != 0 ? write_table(b, n)
                                                          : write_header_and_tail(b);
    if (st == VM_OK)
        st = flush_files(b);
    return st == VM_OK && b->ops->after_table != NULL ? b->ops->after_table(b) : st;
}

int vm__bmap_flush(struct vm_bmap *b, uint32_t flags)
{
    if (flags & VM_IO_NOWAIT)
        return VM_E_AGAIN;
    uint64_t mine = atomic_fetch_add(&b->flush_asked, 1) + 1;
    int st = VM_OK;
    (void)pthread_mutex_lock(&b->flush_lock);
    if (b->flush_done < mine) {
        uint64_t all = atomic_load(&b->flush_asked);
        st = flush_locked(b);
        if (st == VM_OK)
            b->flush_done = all;
    }
    (void)pthread_mutex_unlock(&b->flush_lock);
    return st;
}
