/* SPDX-License-Identifier: MIT */
/**
 * @file old_images.h
 * Images of formats that the library only reads, made here from their specifications.
 */
#ifndef LIBVM_TESTS_BLOCK_OLD_IMAGES_H
#define LIBVM_TESTS_BLOCK_OLD_IMAGES_H

#include "damage.h"

/** The byte that every such image holds at @p off of its disk. */
static inline uint8_t old_byte(uint64_t off)
{
    return (uint8_t)(off / 512 * 3 + off % 512 * 7 + 1);
}
enum { OLD_DMG_BYTES = 12 * 16384, OLD_DMG_CHUNK = 16384, OLD_DMG_ROOM = 512 << 10 };

/** How the test packs what is otherwise a chunk of zeros. */
struct old_packed {
    uint32_t kind;
    size_t (*pack)(const struct old_packed *self, uint8_t *out, const uint8_t *in, size_t len);
    void *ud;
};
/** A DMG image, chunks in turn as they are, zlib, ADC, and zeros or @p extra (may be NULL).
 *  @return bytes */
size_t old_dmg(uint8_t *f, size_t room, const struct old_packed *extra);

/** A small image of @p format, whose disk is old_size() bytes. Asserts that there is one. */
void old_image(const char *format, struct sound *out);
uint64_t old_size(const char *format);

#endif
