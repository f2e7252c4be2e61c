/* SPDX-License-Identifier: MIT */
/**
 * @file inflate.c
 * Deflate through libdeflate, which works on whole buffers and is about twice as fast as zlib.
 * Spec: [RFC1950], [RFC1951].
 */
#include <libdeflate.h>

#include "base/error.h"
#include "blockfmt/inflate.h"

int vm__inflate(bool zlib, const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    if (d == NULL)
        return vm__fail_nomem(0);
    size_t used;
    enum libdeflate_result r =
        zlib ? libdeflate_zlib_decompress_ex(d, in, len, out, room, &used, got)
             : libdeflate_deflate_decompress_ex(d, in, len, out, room, &used, got);
    libdeflate_free_decompressor(d);
    if (r == LIBDEFLATE_SUCCESS)
        return VM_OK;
    return vm__fail(VM_E_CORRUPT, r == LIBDEFLATE_INSUFFICIENT_SPACE
                                      ? "Compressed data makes more than it should"
                                      : "Compressed data is malformed");
}
