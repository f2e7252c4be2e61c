/* SPDX-License-Identifier: MIT */
/**
 * @file dmg_parse.c
 * Where the chunks of a DMG image are: the trailer, the property list or resource fork, the tables.
 *
 * Spec: [UDIF]. A trailer of 512 bytes ("koly") ends the file. It names a property list, in which
 * each entry of the array "blkx" has a table ("mish") in base64; or, in older images, a resource
 * fork with resources of type "blkx". Numbers are big-endian.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "blockfmt/dmg.h"

enum {
    TRAILER = 512,
    DATA_FORK_AT = 24,
    RESOURCE_AT = 40,
    XML_AT = 216,
    SECTORS_AT = 492,

    MISH = 204, /* bytes before the chunks */
    MISH_START_AT = 8,
    MISH_OFFSET_AT = 24,
    MISH_COUNT_AT = 200,
    CHUNK = 40,

    MAX_TABLE = 16 << 20, /* bytes of a property list or a resource fork */
};

/* ---- the tables ------------------------------------------------------------------------- */

static int add_chunk(struct dmg_list *l, struct dmg_chunk c)
{
    if (l->n == l->room) {
        size_t room = l->room != 0 ? l->room * 2 : 256;
        struct dmg_chunk *more = realloc(l->chunks, room * sizeof *more);
        if (more == NULL)
            return vm__fail_nomem(room * sizeof *more);
        l->chunks = more;
        l->room = room;
    }
    l->chunks[l->n++] = c;
    return VM_OK;
}

static bool packed(uint32_t kind)
{
    return kind >= DMG_ADC && kind <= DMG_LZMA;
}

/** One chunk at @p p, of a table that starts at sector @p first and byte @p base of the file. */
static int read_chunk(struct dmg_list *l, const uint8_t *p, uint64_t first, uint64_t base,
                      uint64_t file_size)
{
    struct dmg_chunk c = { .kind = vm_be32(p), .len = vm_be64(p + 32) };
    uint64_t sector, count = vm_be64(p + 16), bytes;
    if (c.kind == DMG_COMMENT || c.kind == DMG_END || count == 0)
        return VM_OK;
    if (!packed(c.kind) && c.kind != DMG_ZERO && c.kind != DMG_RAW && c.kind != DMG_IGNORE)
        return vm__fail(VM_E_NOTSUP, "Chunks of type 0x%x are not supported", c.kind);
    if (!vm_add_u64(vm_be64(p + 8), first, &sector) || !vm_mul_u64(sector, DMG_SECTOR, &c.start) ||
        !vm_mul_u64(count, DMG_SECTOR, &bytes) || !vm_add_u64(c.start, bytes, &c.end) ||
        c.end > VM_BLK_MAX_SIZE)
        return vm__fail(VM_E_CORRUPT, "A chunk of %llu sectors at %llu is beyond any disk",
                        (unsigned long long)count, (unsigned long long)vm_be64(p + 8));
    if (c.kind == DMG_ZERO || c.kind == DMG_IGNORE)
        return add_chunk(l, c);
    if (!vm_add_u64(vm_be64(p + 24), base, &c.off) || !vm_in_range(c.off, c.len, file_size))
        return vm__fail(VM_E_CORRUPT, "A chunk of %llu bytes at %llu lies outside of the file",
                        (unsigned long long)c.len, (unsigned long long)c.off);
    if (packed(c.kind) && (bytes > DMG_MAX_CHUNK || c.len > DMG_MAX_CHUNK))
        return vm__fail(VM_E_CORRUPT, "A compressed chunk of %llu bytes is too large",
                        (unsigned long long)bytes);
    if (c.kind == DMG_RAW && c.len < bytes)
        return vm__fail(VM_E_CORRUPT, "A chunk of %llu bytes has only %llu of them",
                        (unsigned long long)bytes, (unsigned long long)c.len);
    return add_chunk(l, c);
}

static int read_table(struct dmg_list *l, const uint8_t *p, size_t len, uint64_t file_size)
{
    if (len < MISH || memcmp(p, "mish", 4) != 0)
        return VM_OK; /* something else of that name */
    uint64_t first = vm_be64(p + MISH_START_AT), base;
    uint32_t count = vm_be32(p + MISH_COUNT_AT);
    if (count > (len - MISH) / CHUNK)
        return vm__fail(VM_E_CORRUPT, "A table of %u chunks has room for %zu", count,
                        (len - MISH) / CHUNK);
    if (!vm_add_u64(vm_be64(p + MISH_OFFSET_AT), l->data_off, &base))
        return vm__fail(VM_E_CORRUPT, "A table of chunks starts beyond any file");
    int st = VM_OK;
    for (uint32_t i = 0; st == VM_OK && i < count; i++)
        st = read_chunk(l, p + MISH + (size_t)i * CHUNK, first, base, file_size);
    return st;
}

/* ---- the property list ------------------------------------------------------------------ */

static int digit64(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/** Base64 with blanks between, in place. @return bytes */
static size_t decode64(char *text, size_t len)
{
    uint32_t bits = 0;
    unsigned n = 0;
    size_t out = 0;
    for (size_t i = 0; i < len && text[i] != '='; i++) {
        int d = digit64(text[i]);
        if (d < 0)
            continue;
        bits = bits << 6 | (uint32_t)d;
        n += 6;
        if (n >= 8)
            text[out++] = (char)(bits >> (n -= 8) & 0xff);
    }
    return out;
}

/** Every <data> of the array that follows <key>blkx</key>. */
static int read_xml(struct dmg_list *l, char *xml, uint64_t file_size)
{
    char *at = strstr(xml, "<key>blkx</key>");
    char *end = at != NULL ? strstr(at, "</array>") : NULL;
    int st = VM_OK;
    while (st == VM_OK && at != NULL && (at = strstr(at, "<data>")) != NULL &&
           (end == NULL || at < end)) {
        at += strlen("<data>");
        char *stop = strstr(at, "</data>");
        if (stop == NULL)
            break;
        size_t len = decode64(at, (size_t)(stop - at));
        st = read_table(l, (const uint8_t *)at, len, file_size);
        at = stop;
    }
    return st;
}

/* ---- the resource fork ------------------------------------------------------------------ */

/** [UDIF "Resource fork"]: data, each with its length; found through the map's list of types. */
static int read_resources(struct dmg_list *l, const uint8_t *p, size_t len, uint64_t file_size)
{
    if (len < 16)
        return VM_OK;
    uint64_t data = vm_be32(p), map = vm_be32(p + 4), data_len = vm_be32(p + 8);
    if (!vm_in_range(data, data_len, len) || map > len)
        return vm__fail(VM_E_CORRUPT, "The resource fork points outside of itself");
    /* Tables say what they are, so every resource is looked at, whatever its type. */
    int st = VM_OK;
    for (uint64_t at = data, end = data + data_len; st == VM_OK && end - at >= 4;) {
        uint32_t n = vm_be32(p + at);
        at += 4;
        if (n > end - at)
            return vm__fail(VM_E_CORRUPT, "A resource of %u bytes lies outside of its fork", n);
        st = read_table(l, p + at, n, file_size);
        at += n;
    }
    return st;
}

/* ---- the trailer ------------------------------------------------------------------------ */

/** It ends the file; some files have some bytes more. */
static int find_trailer(struct vm_blk *file, uint8_t *out)
{
    uint8_t tail[2 * TRAILER];
    uint64_t size = vm__blk_size(file);
    size_t len = size < sizeof tail ? (size_t)size : sizeof tail;
    int st = len != 0 ? vm__blk_read(file, size - len, tail, len) : VM_OK;
    if (st != VM_OK)
        return st;
    for (size_t at = len >= TRAILER ? len - TRAILER + 1 : 0; at-- != 0;)
        if (memcmp(tail + at, "koly", 4) == 0) {
            memcpy(out, tail + at, TRAILER);
            return VM_OK;
        }
    return vm__fail(VM_E_INVAL, "Image not in DMG format: it has no 'koly' trailer");
}

/** Text or fork at @p off, with a NUL behind. */
static int read_part(struct vm_blk *file, uint64_t off, uint64_t len, char **out)
{
    if (len > MAX_TABLE || !vm_in_range(off, len, vm__blk_size(file)))
        return vm__fail(VM_E_CORRUPT, "The list of chunks, %llu bytes at %llu, cannot be read",
                        (unsigned long long)len, (unsigned long long)off);
    *out = calloc(1, (size_t)len + 1);
    if (*out == NULL)
        return vm__fail_nomem((size_t)len);
    return vm__blk_read(file, off, *out, (size_t)len);
}

static int by_start(const void *a, const void *b)
{
    const struct dmg_chunk *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

static int put_in_order(struct dmg_list *l)
{
    if (l->n == 0)
        return vm__fail(VM_E_CORRUPT, "The image has no chunks");
    qsort(l->chunks, l->n, sizeof *l->chunks, by_start);
    for (size_t i = 1; i < l->n; i++)
        if (l->chunks[i].start < l->chunks[i - 1].end)
            return vm__fail(VM_E_CORRUPT, "Two chunks overlap at byte %llu of the disk",
                            (unsigned long long)l->chunks[i].start);
    return VM_OK;
}

int dmg_parse(struct vm_blk *file, struct dmg_list *list, uint64_t *size)
{
    uint8_t t[TRAILER] = { 0 };
    char *part = NULL;
    int st = find_trailer(file, t);
    if (st != VM_OK)
        return st;
    uint64_t xml = vm_be64(t + XML_AT), xml_len = vm_be64(t + XML_AT + 8);
    uint64_t fork = vm_be64(t + RESOURCE_AT), fork_len = vm_be64(t + RESOURCE_AT + 8);
    uint64_t file_size = vm__blk_size(file), said;
    list->data_off = vm_be64(t + DATA_FORK_AT);
    if (xml_len != 0) {
        st = read_part(file, xml, xml_len, &part);
        if (st == VM_OK)
            st = read_xml(list, part, file_size);
    } else {
        st = read_part(file, fork, fork_len, &part);
        if (st == VM_OK)
            st = read_resources(list, (const uint8_t *)part, (size_t)fork_len, file_size);
    }
    free(part);
    if (st == VM_OK)
        st = put_in_order(list);
    if (st != VM_OK)
        return st;
    *size = list->chunks[list->n - 1].end;
    if (vm_mul_u64(vm_be64(t + SECTORS_AT), DMG_SECTOR, &said) && said > *size &&
        said <= VM_BLK_MAX_SIZE)
        *size = said; /* what no chunk has reads as zeros */
    return VM_OK;
}
