/* SPDX-License-Identifier: MIT */
/**
 * @file unpack_lzma.c
 * LZMA in the wrapping of xz, through liblzma.
 */
#include <lzma.h>

#include "base/error.h"
#include "blockfmt/unpack.h"

int vm__unpack_lzma(const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got)
{
    uint64_t memory = 64 << 20; /* a dictionary larger than any chunk is of no use */
    size_t at = 0, n = 0;
    lzma_ret r = lzma_stream_buffer_decode(&memory, 0, NULL, in, &at, len, out, &n, room);
    *got = n;
    return r == LZMA_OK ? VM_OK : vm__fail(VM_E_CORRUPT, "Compressed data is malformed");
}
