/* SPDX-License-Identifier: MIT */
/**
 * @file zero.c
 * Is this memory all zeros?
 *
 * Data that is not zero usually shows it in its first or last word, and memory that is compared
 * with itself, one word on, is as fast as the C library's comparison: that one uses the widest
 * vectors the host has, chosen once for the process, so no choice is made here.
 */
#include <stdint.h>
#include <string.h>

#include "base/sg.h"

enum { WORD = sizeof(uint64_t), HEAD = 64 };

bool vm_is_zero(const void *p, size_t len)
{
    const unsigned char *c = p;
    uint64_t first, last;

    if (len < HEAD) {
        unsigned char any = 0;
        for (size_t i = 0; i < len; i++)
            any |= c[i];
        return any == 0;
    }
    memcpy(&first, c, WORD);
    memcpy(&last, c + len - WORD, WORD);
    if ((first | last) != 0)
        return false;
    uint64_t any = 0;
    for (size_t i = 0; i < HEAD; i += WORD) {
        uint64_t w;
        memcpy(&w, c + i, WORD);
        any |= w;
    }
    /* Each byte equals the one HEAD before it, and the first HEAD are zero. */
    return any == 0 && memcmp(c, c + HEAD, len - HEAD) == 0;
}
