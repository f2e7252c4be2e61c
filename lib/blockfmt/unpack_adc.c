/* SPDX-License-Identifier: MIT */
/**
 * @file unpack_adc.c
 * Apple Data Compression: bytes as they are, and copies of what came before.
 *
 * Spec: [ADC]. The first byte of each item says what it is:
 *   1nnnnnnn                    n + 1 bytes as they are
 *   01nnnnnn dddddddd dddddddd  n + 4 bytes from d + 1 back
 *   00nnnndd dddddddd           n + 3 bytes from d + 1 back
 */
#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "blockfmt/unpack.h"

/** An item: how many bytes, from how far back (0: they follow), and how long the item is. */
struct item {
    size_t count, back, bytes;
};

static struct item decode(const uint8_t *p, size_t left)
{
    const uint8_t b = p[0];
    if (b & 0x80)
        return (struct item) { (b & 0x7fu) + 1, 0, 1 };
    if (b & 0x40)
        return left < 3 ? (struct item) { 0, 0, 0 }
                        : (struct item) { (b & 0x3fu) + 4, (size_t)p[1] * 256 + p[2] + 1, 3 };
    return left < 2 ? (struct item) { 0, 0, 0 }
                    : (struct item) { (b >> 2) + 3u, (b & 3u) * 256 + p[1] + 1, 2 };
}

int vm__unpack_adc(const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *got)
{
    size_t at = 0, n = 0;
    while (at < len && n < room) {
        struct item i = decode(in + at, len - at);
        at += i.bytes;
        bool bad = i.bytes == 0 || i.back > n || (i.back == 0 && i.count > len - at);
        if (bad || i.count > room - n)
            return vm__fail(VM_E_CORRUPT, bad ? "Compressed data is malformed"
                                              : "Compressed data makes more than it should");
        if (i.back == 0) {
            memcpy(out + n, in + at, i.count);
            at += i.count;
        }
        for (size_t k = 0; i.back != 0 && k < i.count; k++) /* they may overlap */
            out[n + k] = out[n + k - i.back];
        n += i.count;
    }
    *got = n;
    return VM_OK;
}
