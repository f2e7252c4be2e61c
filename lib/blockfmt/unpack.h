/* SPDX-License-Identifier: MIT */
/**
 * @file unpack.h
 * Decompressors of whole chunks beside deflate. Each makes at most @p room bytes of @p len.
 *
 * Those that need a library say VM_E_NOTSUP where the library was missing when this was built.
 */
#ifndef LIBVM_BLOCKFMT_UNPACK_H
#define LIBVM_BLOCKFMT_UNPACK_H

#include <stddef.h>
#include <stdint.h>

int vm__unpack_adc(const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got);
int vm__unpack_bzip2(const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got);
int vm__unpack_lzma(const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got);
int vm__unpack_lzfse(const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got);

#endif
