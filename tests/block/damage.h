/* SPDX-License-Identifier: MIT */
/**
 * @file damage.h
 * Sound images, kept as the sectors that hold something, and damaged copies of them in memory.
 */
#ifndef LIBVM_TESTS_BLOCK_DAMAGE_H
#define LIBVM_TESTS_BLOCK_DAMAGE_H

#include "support.h"

struct sound {
    uint64_t size;    /**< bytes of the file */
    uint64_t *places; /**< of the sectors that are not zeros */
    uint8_t *bytes;   /**< 512 each */
    size_t n;
};

/** Keep what @p file holds. */
void sound_take(struct sound *s, struct vm_blk *file);
/** The same from memory. */
void sound_take_bytes(struct sound *s, const uint8_t *bytes, uint64_t size);
/**
 * A disk in memory, node name "disk", that holds @p s with the patches of @p data applied: a byte
 * of what and how much, two of which sector, two of where in it, and the bytes themselves.
 * NULL: it would be larger than @p most.
 */
struct vm_blk *damaged(const struct blk_place *p, const struct sound *s, const uint8_t *data,
                       size_t size, uint64_t most);
/** Make the checksums of a format right again, so that what they cover is looked at. */
void mend_checksums(const char *format, struct vm_blk *file);

#endif
