/* SPDX-License-Identifier: MIT */
/**
 * @file unpack_lzfse.c
 * LZFSE, through liblzfse.
 */
#include <lzfse.h>

#include "base/error.h"
#include "blockfmt/unpack.h"

int vm__unpack_lzfse(const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got)
{
    *got = lzfse_decode_buffer(out, room, in, len, NULL);
    return *got != 0 ? VM_OK : vm__fail(VM_E_CORRUPT, "Compressed data is malformed");
}
