/* SPDX-License-Identifier: MIT */
/**
 * @file unpack_no_bzip2.c
 * In place of unpack_bzip2.c where libbz2 is missing.
 */
#include "base/error.h"
#include "blockfmt/unpack.h"

int vm__unpack_bzip2(const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got)
{
    (void)in;
    (void)len;
    (void)out;
    (void)room;
    (void)got;
    return vm__fail(VM_E_NOTSUP, "This library was built without libbz2, which the image needs");
}
