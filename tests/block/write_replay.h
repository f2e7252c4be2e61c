/* SPDX-License-Identifier: MIT */
/**
 * @file write_replay.h
 * What a disk may hold after its power was cut: the log of the filter "write-log", played back.
 *
 * A disk promises what was written before its last completed flush (and what was forced). Of
 * everything later each record may have reached it or not, whole or only some of its sectors.
 */
#ifndef LIBVM_TESTS_BLOCK_WRITE_REPLAY_H
#define LIBVM_TESTS_BLOCK_WRITE_REPLAY_H

#include "support.h"

struct replay_record {
    uint32_t kind; /**< enum vm_log_kind */
    bool forced;   /**< on stable storage when it was done */
    uint64_t off, len;
    uint64_t end;         /**< of the record, in the log */
    const uint8_t *bytes; /**< of a write */
};

struct replay {
    uint8_t *log;
    struct replay_record *records;
    size_t n;
    /* What is safe: all records before number `at`, flush by flush. */
    uint8_t *safe;
    uint64_t size; /**< of the file */
    uint8_t *used; /**< by page: it may hold something */
    size_t at;
};

/** The largest file that is followed. */
#define REPLAY_MAX (UINT64_C(256) << 20)

/** Take over the log, and the file as it was when the log began. Asserts that it can be read. */
void replay_init(struct replay *r, struct vm_blk *log, struct vm_blk *file);
void replay_fini(struct replay *r);
/** Number of records that a cut after record @p cut leaves undecided, the first at *@p first. */
size_t replay_window(const struct replay *r, size_t cut, size_t *first);
/** Play what is safe before a cut after record @p cut; cuts come in ascending order. */
void replay_advance(struct replay *r, size_t cut);
/**
 * A disk in memory, node name "disk", as the cut may have left it.
 * @param keep  whether each record of the window reached the disk
 * @param torn  a record of the window of which only some sectors did; SIZE_MAX: none
 * @param seed  which sectors
 */
struct vm_blk *replay_state(const struct replay *r, const struct blk_place *p, size_t cut,
                            const uint8_t *keep, size_t torn, uint64_t seed);

/** A generator for tests. */
static inline uint64_t replay_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

#endif
