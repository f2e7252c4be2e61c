/* SPDX-License-Identifier: MIT */
/**
 * @file deflate.c
 * Deflate through libdeflate. Spec: [RFC1950], [RFC1951].
 */
#include <libdeflate.h>

#include "blockfmt/deflate.h"

/* Smaller than zlib at its default, in a third of the time; more costs more than it saves. */
enum { LEVEL = 4 };

size_t vm__deflate(bool zlib, const uint8_t *in, size_t len, uint8_t *out, size_t room)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(LEVEL);
    if (c == NULL)
        return 0;
    size_t n = zlib ? libdeflate_zlib_compress(c, in, len, out, room)
                    : libdeflate_deflate_compress(c, in, len, out, room);
    libdeflate_free_compressor(c);
    return n;
}
