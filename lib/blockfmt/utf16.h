/* SPDX-License-Identifier: MIT */
/**
 * @file utf16.h
 * UTF-16 as image formats of Windows hold names in, and UTF-8 as everyone else does.
 */
#ifndef LIBVM_BLOCKFMT_UTF16_H
#define LIBVM_BLOCKFMT_UTF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * From UTF-16 up to a NUL or @p len bytes; unpaired surrogates become U+FFFD.
 * @return malloc'd text, or NULL without memory
 */
char *vm__utf16_to_utf8(const uint8_t *in, size_t len, bool big_endian);
/** To UTF-16, no NUL. @return bytes written, 0 if it does not fit or is not UTF-8 */
size_t vm__utf8_to_utf16(const char *in, uint8_t *out, size_t room, bool big_endian);

#endif
