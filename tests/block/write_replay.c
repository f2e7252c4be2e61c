/* SPDX-License-Identifier: MIT */
/**
 * @file write_replay.c
 * Playing back a write log.
 */
#include "write_replay.h"

#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/endian.h"
#include "blockfmt/write_log.h"

enum { PAGE = 4096, SECTOR = 512 };

static void parse(struct replay *r, uint64_t bytes)
{
    size_t room = 0;
    for (uint64_t at = 0; at < bytes;) {
        const uint8_t *h = r->log + at;
        assert(bytes - at >= VM_LOG_HEAD_BYTES && vm_le64(h) == VM_LOG_MAGIC);
        if (r->n == room) {
            room = room * 2 + 256;
            r->records = realloc(r->records, room * sizeof *r->records);
            assert(r->records != NULL);
        }
        struct replay_record *e = &r->records[r->n++];
        *e = (struct replay_record) { .kind = vm_le32(h + 8),
                                      .forced = vm_le32(h + 12) & 1,
                                      .off = vm_le64(h + 16),
                                      .len = vm_le64(h + 24),
                                      .bytes = h + VM_LOG_HEAD_BYTES };
        at += VM_LOG_HEAD_BYTES + (e->kind == VM_LOG_WRITE ? e->len : 0);
        e->end = at;
        assert(at <= bytes && (e->kind == VM_LOG_TRUNCATE ? e->off : e->off + e->len) < REPLAY_MAX);
    }
}

static void *pages(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    assert(p != MAP_FAILED);
    return p;
}

static void mark(struct replay *r, uint64_t off, uint64_t len)
{
    if (off + len > r->size)
        r->size = off + len;
    for (uint64_t page = off / PAGE; len != 0 && page <= (off + len - 1) / PAGE; page++)
        r->used[page] = 1;
}

void replay_init(struct replay *r, struct vm_blk *log, struct vm_blk *file)
{
    uint64_t bytes = vm__blk_size(log), size = vm__blk_size(file);
    *r = (struct replay) { .log = malloc(bytes + 1), .safe = pages(REPLAY_MAX) };
    r->used = calloc(1, REPLAY_MAX / PAGE);
    assert(r->log != NULL && r->used != NULL && size < REPLAY_MAX);
    assert(bytes == 0 || vm__blk_read(log, 0, r->log, bytes) == VM_OK);
    assert(size == 0 || vm__blk_read(file, 0, r->safe, size) == VM_OK);
    mark(r, 0, size);
    parse(r, bytes);
}

void replay_fini(struct replay *r)
{
    free(r->log);
    free(r->records);
    free(r->used);
    munmap(r->safe, REPLAY_MAX);
}

/** The record after the last flush at or before @p cut. */
static size_t window_start(const struct replay *r, size_t cut)
{
    while (cut > 0 && r->records[cut - 1].kind != VM_LOG_FLUSH)
        cut--;
    return cut;
}

size_t replay_window(const struct replay *r, size_t cut, size_t *first)
{
    *first = window_start(r, cut);
    return cut - *first;
}

void replay_advance(struct replay *r, size_t cut)
{
    for (size_t to = window_start(r, cut); r->at < to; r->at++) {
        const struct replay_record *e = &r->records[r->at];
        if (e->kind == VM_LOG_WRITE) {
            memcpy(r->safe + e->off, e->bytes, e->len);
            mark(r, e->off, e->len);
        } else if (e->kind == VM_LOG_ZERO || e->kind == VM_LOG_DISCARD) {
            memset(r->safe + e->off, 0, e->len);
            mark(r, e->off, e->len);
        } else if (e->kind == VM_LOG_TRUNCATE) {
            if (e->off < r->size)
                memset(r->safe + e->off, 0, r->size - e->off);
            r->size = e->off;
        }
    }
}

static void apply(struct vm_blk *disk, const struct replay_record *e, uint64_t off, uint64_t len)
{
    int st = VM_OK;
    if (e->kind == VM_LOG_WRITE)
        st = vm__blk_write(disk, off, e->bytes + (off - e->off), len);
    else if (e->kind == VM_LOG_TRUNCATE)
        st = vm__blk_resize(disk, e->off, VM_PREALLOC_OFF, 0);
    else if (e->kind != VM_LOG_FLUSH)
        st = vm__blk_zero(disk, off, len, 0);
    assert(st == VM_OK);
}

static void apply_torn(struct vm_blk *disk, const struct replay_record *e, uint64_t *seed)
{
    if (e->kind == VM_LOG_TRUNCATE || e->kind == VM_LOG_FLUSH)
        return;
    for (uint64_t off = e->off, end = e->off + e->len; off < end;) {
        uint64_t len = SECTOR - off % SECTOR;
        if (len > end - off)
            len = end - off;
        if (replay_random(seed) >> 20 & 1)
            apply(disk, e, off, len);
        off += len;
    }
}

struct vm_blk *replay_state(const struct replay *r, const struct blk_place *p, size_t cut,
                            const uint8_t *keep, size_t torn, uint64_t seed)
{
    struct vm_blk *disk = blk_memory(p, r->size, "disk");
    size_t first;
    assert(disk != NULL);
    for (uint64_t at = 0; at < r->size; at += PAGE)
        if (r->used[at / PAGE]) {
            uint64_t len = r->size - at < PAGE ? r->size - at : PAGE;
            assert(vm__blk_write(disk, at, r->safe + at, len) == VM_OK);
        }
    for (size_t i = 0, n = replay_window(r, cut, &first); i < n; i++) {
        const struct replay_record *e = &r->records[first + i];
        if (i == torn && !e->forced)
            apply_torn(disk, e, &seed);
        else if (keep[i] || e->forced)
            apply(disk, e, e->off, e->len);
    }
    return disk;
}
