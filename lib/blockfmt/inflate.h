/* SPDX-License-Identifier: MIT */
/**
 * @file inflate.h
 * Whole chunks compressed with deflate, raw or in zlib's wrapping.
 */
#ifndef LIBVM_BLOCKFMT_INFLATE_H
#define LIBVM_BLOCKFMT_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Decompress; bytes of @p in after the end of the stream are ignored.
 * @param got bytes made, at most @p room
 * @retval VM_E_CORRUPT not a stream, or one that makes more than @p room
 */
int vm__inflate(bool zlib, const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got);

#endif
