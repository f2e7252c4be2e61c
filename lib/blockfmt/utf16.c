/* SPDX-License-Identifier: MIT */
/**
 * @file utf16.c
 * UTF-16 to UTF-8 and back. Spec: [RFC2781], [RFC3629].
 */
#include <stdlib.h>

#include "base/endian.h"
#include "blockfmt/utf16.h"

static uint32_t unit(const uint8_t *p, bool big_endian)
{
    return big_endian ? vm_be16(p) : vm_le16(p);
}

static size_t put_utf8(char *out, uint32_t c)
{
    static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n == 1 ? 0 : n] | c);
    return n;
}

char *vm__utf16_to_utf8(const uint8_t *in, size_t len, bool big_endian)
{
    char *out = malloc(len / 2 * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; out != NULL && i + 2 <= len; i += 2) {
        uint32_t c = unit(in + i, big_endian);
        if (c == 0)
            break;
        if (c >= 0xd800 && c < 0xe000) {
            uint32_t low = c < 0xdc00 && i + 4 <= len ? unit(in + i + 2, big_endian) : 0;
            bool pair = low >= 0xdc00 && low < 0xe000;
            c = pair ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
            i += pair ? 2 : 0;
        }
        n += put_utf8(out + n, c);
    }
    if (out != NULL)
        out[n] = '\0';
    return out;
}

/** One character of @p *in, which moves on; UINT32_MAX if it is none. */
static uint32_t get_utf8(const uint8_t **in)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    uint32_t c = *(*in)++;
    size_t more = c < 0x80 ? 0 : c < 0xc2 ? 4 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 4;
    if (more == 4)
        return UINT32_MAX;
    c &= more == 0 ? 0x7f : 0x3fu >> more;
    for (size_t i = 0; i < more; i++) {
        if ((**in & 0xc0) != 0x80)
            return UINT32_MAX;
        c = c << 6 | (*(*in)++ & 0x3f);
    }
    bool bad = c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000);
    return bad ? UINT32_MAX : c;
}

size_t vm__utf8_to_utf16(const char *text, uint8_t *out, size_t room, bool big_endian)
{
    const uint8_t *in = (const uint8_t *)text;
    size_t n = 0;
    while (*in != '\0') {
        uint32_t c = get_utf8(&in);
        uint16_t units[2] = { (uint16_t)c, 0 };
        size_t count = 1;
        if (c == UINT32_MAX)
            return 0;
        if (c >= 0x10000) {
            units[0] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
            units[1] = (uint16_t)(0xdc00 + (c & 0x3ff));
            count = 2;
        }
        if (n + 2 * count > room)
            return 0;
        for (size_t i = 0; i < count; i++, n += 2)
            big_endian ? vm_put_be16(out + n, units[i]) : vm_put_le16(out + n, units[i]);
    }
    return n;
}
