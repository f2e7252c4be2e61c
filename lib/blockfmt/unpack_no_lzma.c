/* SPDX-License-Identifier: MIT */
/**
 * @file unpack_no_lzma.c
 * In place of unpack_lzma.c where liblzma is missing.
 */
#include "base/error.h"
#include "blockfmt/unpack.h"

int vm__unpack_lzma(const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got)
{
    (void)in;
    (void)len;
    (void)out;
    (void)room;
    (void)got;
    return vm__fail(VM_E_NOTSUP, "This library was built without liblzma, which the image needs");
}
