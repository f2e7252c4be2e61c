/* SPDX-License-Identifier: MIT */
/**
 * @file lvm_meta.c
 * LVM2 metadata: where it is on a physical volume, and its text as JSON.
 *
 * [LVM2-format] A label in one of the first four sectors leads to the header of the physical
 * volume, that to metadata areas, and an area's header to the text, which may wrap round in its
 * area.
 */
#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "blockfmt/lvm.h"

enum { SECTOR = 512, LABELS = 4, UUID = 32, MAX_AREAS = 16, MAX_TEXT = 16 << 20, MAX_DEPTH = 8 };

/* The sector with the label, and where in it the header of the physical volume begins. */
static int find_label(struct vm_blk *pv, uint8_t sector[SECTOR], uint32_t *header)
{
    for (uint64_t i = 0; i < LABELS; i++) {
        if ((i + 1) * SECTOR > vm__blk_size(pv))
            break;
        const int st = vm__blk_read(pv, i * SECTOR, sector, SECTOR);
        if (st != VM_OK)
            return st;
        if (memcmp(sector, "LABELONE", 8) != 0 || memcmp(sector + 24, "LVM2 001", 8) != 0)
            continue;
        *header = vm_le32(sector + 20);
        if (vm_le64(sector + 8) != i || *header < 32 || *header > SECTOR - UUID - 8)
            return vm__fail(VM_E_CORRUPT, "the label of the physical volume is damaged");
        return VM_OK;
    }
    return vm__fail(VM_E_NOENT, "no LVM2 physical volume");
}

int vm__lvm_probe(struct vm_blk *pv, char uuid[VM_LVM_UUID_BYTES])
{
    uint8_t sector[SECTOR];
    uint32_t header;
    const int st = find_label(pv, sector, &header);
    if (st != VM_OK)
        return st;
    memcpy(uuid, sector + header, UUID);
    uuid[UUID] = '\0';
    return VM_OK;
}

/* Text of the area at @p area of @p size bytes, NUL-terminated; NULL with the error set. */
static char *area_text(struct vm_blk *pv, uint64_t area, uint64_t size, size_t *len)
{
    static const uint8_t magic[16] = { 0x20, 0x4c, 0x56, 0x4d, 0x32, 0x20, 0x78, 0x5b,
                                       0x35, 0x41, 0x25, 0x72, 0x30, 0x4e, 0x2a, 0x3e };
    uint8_t head[SECTOR];
    if (size <= SECTOR || !vm_in_range(area, size, vm__blk_size(pv))) {
        vm__fail(VM_E_CORRUPT, "a metadata area lies outside the physical volume");
        return NULL;
    }
    if (vm__blk_read(pv, area, head, sizeof head) != VM_OK)
        return NULL;
    const uint64_t off = vm_le64(head + 40), bytes = vm_le64(head + 48);
    if (memcmp(head + 4, magic, sizeof magic) != 0 || bytes == 0 || bytes > MAX_TEXT ||
        bytes > size - SECTOR || off < SECTOR || off >= size) {
        vm__fail(VM_E_CORRUPT, "the header of a metadata area is damaged");
        return NULL;
    }
    char *text = malloc((size_t)bytes + 1);
    if (text == NULL) {
        vm__fail_nomem(bytes);
        return NULL;
    }
    const uint64_t first = size - off < bytes ? size - off : bytes;
    int st = vm__blk_read(pv, area + off, text, (size_t)first);
    if (st == VM_OK && first < bytes) /* round, past the header */
        st = vm__blk_read(pv, area + SECTOR, text + first, (size_t)(bytes - first));
    if (st != VM_OK) {
        free(text);
        return NULL;
    }
    text[bytes] = '\0';
    *len = (size_t)bytes;
    return text;
}

struct json_t *vm__lvm_metadata(struct vm_blk *pv)
{
    uint8_t sector[SECTOR];
    uint32_t at;
    if (find_label(pv, sector, &at) != VM_OK)
        return NULL;
    at += UUID + 8;
    /* Data areas, up to an entry of zeros; then metadata areas. */
    int lists = 0, areas = 0;
    json_t *root = NULL;
    vm__fail(VM_E_CORRUPT, "the physical volume has no metadata");
    for (; root == NULL && lists < 2 && at + 16 <= SECTOR && areas < MAX_AREAS; at += 16, areas++) {
        const uint64_t off = vm_le64(sector + at), size = vm_le64(sector + at + 8);
        size_t len;
        if (off == 0) {
            lists++;
            continue;
        }
        char *text = lists == 1 ? area_text(pv, off, size, &len) : NULL;
        if (text != NULL)
            root = vm__lvm_parse(text, len);
        free(text);
    }
    return root;
}

/* ---- text ------------------------------------------------------------------------------- */

struct parser {
    const char *at, *end;
    bool bad;
};

static void blank(struct parser *p)
{
    while (p->at < p->end) {
        if (*p->at == '#')
            while (p->at < p->end && *p->at != '\n')
                p->at++;
        else if (isspace((unsigned char)*p->at) || *p->at == '\0')
            p->at++;
        else
            break;
    }
}

static bool eat(struct parser *p, char c)
{
    blank(p);
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

static json_t *bad(struct parser *p)
{
    p->bad = true;
    return NULL;
}

static json_t *parse_string(struct parser *p)
{
    const char *start = p->at;
    while (p->at < p->end && *p->at != '"')
        p->at += *p->at == '\\' && p->at + 1 < p->end ? 2 : 1;
    if (p->at >= p->end)
        return bad(p);
    json_t *s = json_stringn(start, (size_t)(p->at - start));
    p->at++;
    return s != NULL ? s : bad(p);
}

static json_t *parse_number(struct parser *p)
{
    json_int_t v = 0;
    const char *start = p->at;
    const bool negative = p->at < p->end && *p->at == '-';
    p->at += negative;
    for (; p->at < p->end && isdigit((unsigned char)*p->at); p->at++)
        if (v < INT64_MAX / 10 - 1)
            v = v * 10 + (*p->at - '0');
    if (p->at == start + negative)
        return bad(p);
    if (p->at < p->end && *p->at == '.') /* a version: nobody here reads it */
        for (p->at++; p->at < p->end && isdigit((unsigned char)*p->at);)
            p->at++;
    return json_integer(negative ? -v : v);
}

static json_t *parse_value(struct parser *p, int depth)
{
    if (eat(p, '"'))
        return parse_string(p);
    if (!eat(p, '['))
        return parse_number(p);
    json_t *a = json_array();
    while (!p->bad && !eat(p, ']')) {
        json_t *v = depth < MAX_DEPTH ? parse_value(p, depth + 1) : bad(p);
        if (v != NULL)
            json_array_append_new(a, v);
        (void)eat(p, ',');
    }
    return a;
}

static size_t name_bytes(struct parser *p)
{
    size_t n = 0;
    blank(p);
    while (p->at + n < p->end &&
           (isalnum((unsigned char)p->at[n]) || strchr("_+.-/", p->at[n]) != NULL) &&
           p->at[n] != '\0')
        n++;
    return n;
}

static json_t *parse_section(struct parser *p, int depth)
{
    json_t *o = json_object();
    for (;;) {
        char name[256];
        const size_t n = name_bytes(p);
        if (n == 0 || n >= sizeof name)
            break;
        memcpy(name, p->at, n);
        name[n] = '\0';
        p->at += n;
        json_t *v = NULL;
        if (eat(p, '='))
            v = parse_value(p, 0);
        else if (eat(p, '{') && depth < MAX_DEPTH && (v = parse_section(p, depth + 1)) != NULL &&
                 !eat(p, '}'))
            p->bad = true;
        if (v != NULL)
            json_object_set_new(o, name, v);
        if (v == NULL || p->bad) {
            p->bad = true;
            break;
        }
    }
    return o;
}

struct json_t *vm__lvm_parse(const char *text, size_t len)
{
    struct parser p = { text, text + len, false };
    json_t *root = parse_section(&p, 0);
    blank(&p);
    if (p.bad || p.at != p.end || root == NULL) {
        json_decref(root);
        vm__fail(VM_E_CORRUPT, "the metadata of the volume group cannot be read at byte %zu",
                 (size_t)(p.at - text));
        return NULL;
    }
    return root;
}
