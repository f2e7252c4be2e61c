/* SPDX-License-Identifier: MIT */
/**
 * @file deflate.h
 * Compressing whole chunks with deflate, raw or in zlib's wrapping.
 */
#ifndef LIBVM_BLOCKFMT_DEFLATE_H
#define LIBVM_BLOCKFMT_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** @return bytes made; 0: they would not fit in @p room, or there is no memory. Any thread. */
size_t vm__deflate(bool zlib, const uint8_t *in, size_t len, uint8_t *out, size_t room);

#endif
