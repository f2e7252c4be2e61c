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
/** A small image of @p format, whose disk is old_size() bytes. Asserts that there is one. */
void old_image(const char *format, struct sound *out);
uint64_t old_size(const char *format);

#endif
