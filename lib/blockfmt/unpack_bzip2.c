/* SPDX-License-Identifier: MIT */
/**
 * @file unpack_bzip2.c
 * bzip2, through libbz2.
 */
#include <bzlib.h>

#include "base/error.h"
#include "blockfmt/unpack.h"

int vm__unpack_bzip2(const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got)
{
    bz_stream z = { .next_in = (char *)(uintptr_t)in,
                    .avail_in = (unsigned)len,
                    .next_out = (char *)out,
                    .avail_out = (unsigned)room };
    if (len > UINT32_MAX || room > UINT32_MAX)
        return vm__fail(VM_E_NOTSUP, "A compressed chunk is too large");
    if (BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK)
        return vm__fail_nomem(0);
    int r = BZ2_bzDecompress(&z);
    *got = room - z.avail_out;
    (void)BZ2_bzDecompressEnd(&z);
    return r == BZ_STREAM_END || (r == BZ_OK && *got == room)
               ? VM_OK
               : vm__fail(VM_E_CORRUPT, "Compressed data is malformed");
}
