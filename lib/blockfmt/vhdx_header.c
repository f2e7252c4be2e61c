/* SPDX-License-Identifier: MIT */
/**
 * @file vhdx_header.c
 * What a VHDX file says of itself: headers, regions, metadata.
 *
 * Spec: [MS-VHDX §2.2, §2.6]. Everything is there twice or checksummed; what is required and not
 * understood is a reason not to touch the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "blockfmt/utf16.h"
#include "blockfmt/vhdx.h"
#include "host/thread.h"

/* GUIDs as they lie in the file: [MS-VHDX §2.2.3.2, §2.6.2] */
const uint8_t vhdx_bat_guid[] = { 0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                  0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08 };
const uint8_t vhdx_metadata_guid[] = { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                       0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e };
const uint8_t vhdx_params_guid[] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                     0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b };
const uint8_t vhdx_size_guid[] = { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                   0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8 };
const uint8_t vhdx_id_guid[] = { 0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45,
                                 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46 };
const uint8_t vhdx_logical_guid[] = { 0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                      0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f };
const uint8_t vhdx_physical_guid[] = { 0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
                                       0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56 };
const uint8_t vhdx_parent_guid[] = { 0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45,
                                     0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c };
const uint8_t vhdx_locator_guid[] = { 0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a,
                                      0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13 };

enum { REGION_ENTRY = 32, MAX_REGIONS = 2047, META_ENTRY = 32, MAX_ITEMS = 2047 };

/** CRC-32C, reflected polynomial 0x82f63b78: [RFC3720 §12.1]; four bits at a time. */
uint32_t vhdx_crc(const uint8_t *p, size_t len, size_t checksum_at)
{
    uint32_t table[16], crc = UINT32_MAX;
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t c = i;
        for (int k = 0; k < 4; k++)
            c = c >> 1 ^ (c & 1 ? UINT32_C(0x82f63b78) : 0);
        table[i] = c;
    }
    for (size_t i = 0; i < len; i++) {
        crc ^= i >= checksum_at && i < checksum_at + 4 ? 0 : p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* ---- headers ---------------------------------------------------------------------------- */

static bool header_ok(const uint8_t *h)
{
    return memcmp(h, "head", 4) == 0 && vm_le16(h + VHDX_VERSION_AT) == 1 &&
           vm_le32(h + VHDX_CHECKSUM_AT) == vhdx_crc(h, VHDX_HEADER, VHDX_CHECKSUM_AT);
}

static int pick_header(struct vm_blk *n)
{
    static const uint64_t at[2] = { VHDX_HEADER_1, VHDX_HEADER_2 };
    struct vhdx *s = vhdx_of(n);
    uint8_t h[VHDX_HEADER];
    bool found = false;
    for (unsigned i = 0; i < 2; i++) {
        int st = vm__blk_read(n->file, at[i], h, sizeof h);
        if (st != VM_OK)
            return st;
        if (!header_ok(h) ||
            (found && vm_le64(h + VHDX_SEQUENCE_AT) <= vm_le64(s->header + VHDX_SEQUENCE_AT)))
            continue;
        memcpy(s->header, h, sizeof h);
        s->current = i;
        found = true;
    }
    return found ? VM_OK : vm__fail(VM_E_CORRUPT, "No valid VHDX header found");
}

int vhdx_write_header(struct vm_blk *n)
{
    static const uint64_t at[2] = { VHDX_HEADER_1, VHDX_HEADER_2 };
    struct vhdx *s = vhdx_of(n);
    int st = VM_OK;
    for (unsigned i = 0; st == VM_OK && i < 2; i++) {
        vm_put_le64(s->header + VHDX_SEQUENCE_AT, vm_le64(s->header + VHDX_SEQUENCE_AT) + 1);
        vm_put_le32(s->header + VHDX_CHECKSUM_AT,
                    vhdx_crc(s->header, VHDX_HEADER, VHDX_CHECKSUM_AT));
        st = vm__blk_write(n->file, at[!s->current], s->header, VHDX_HEADER);
        if (st == VM_OK)
            st = vm__blk_flush(n->file, 0);
        s->current = !s->current;
    }
    return st;
}

/* ---- regions ---------------------------------------------------------------------------- */

static int use_region(struct vm_blk *n, const uint8_t *e)
{
    struct vhdx *s = vhdx_of(n);
    uint64_t off = vm_le64(e + 16), len = vm_le32(e + 24), size = vm__blk_size(n->file);
    bool bat = memcmp(e, vhdx_bat_guid, VHDX_GUID) == 0;
    bool meta = memcmp(e, vhdx_metadata_guid, VHDX_GUID) == 0;
    if (!bat && !meta)
        return vm_le32(e + 28) & 1
                   ? vm__fail(VM_E_NOTSUP, "The image has a required region of an unknown kind")
                   : VM_OK;
    if (off < VHDX_MIB || off % VHDX_MIB != 0 || len == 0 || !vm_in_range(off, len, size))
        return vm__fail(VM_E_CORRUPT, "A region at %llu lies outside of the file",
                        (unsigned long long)off);
    uint64_t *o = bat ? &s->bat_off : &s->meta_off;
    if (*o != 0)
        return vm__fail(VM_E_CORRUPT, "The image has a region twice");
    *o = off;
    *(bat ? &s->bat_len : &s->meta_len) = len;
    return VM_OK;
}

static int read_regions(struct vm_blk *n)
{
    static const uint64_t at[2] = { VHDX_REGIONS_1, VHDX_REGIONS_2 };
    struct vhdx *s = vhdx_of(n);
    uint8_t *t = malloc(VHDX_TABLE);
    int st = t != NULL ? VM_E_CORRUPT : vm__fail_nomem(VHDX_TABLE);
    for (unsigned i = 0; st == VM_E_CORRUPT && i < 2; i++) {
        st = vm__blk_read(n->file, at[i], t, VHDX_TABLE);
        if (st == VM_OK && (memcmp(t, "regi", 4) != 0 || vm_le32(t + 8) > MAX_REGIONS ||
                            vm_le32(t + 4) != vhdx_crc(t, VHDX_TABLE, 4)))
            st = VM_E_CORRUPT;
    }
    if (st == VM_E_CORRUPT)
        st = vm__fail(VM_E_CORRUPT, "No valid VHDX region table found");
    for (uint32_t i = 0; st == VM_OK && i < vm_le32(t + 8); i++)
        st = use_region(n, t + 16 + (size_t)i * REGION_ENTRY);
    free(t);
    if (st == VM_OK && (s->bat_off == 0 || s->meta_off == 0))
        st = vm__fail(VM_E_CORRUPT, "The image has no block allocation table or no metadata");
    return st;
}

int vhdx_read_headers(struct vm_blk *n)
{
    uint8_t magic[8];
    if (vm__blk_size(n->file) < VHDX_MIB)
        return vm__fail(VM_E_INVAL, "Image not in VHDX format");
    int st = vm__blk_read(n->file, 0, magic, sizeof magic);
    if (st == VM_OK && memcmp(magic, VHDX_FILE_MAGIC, 8) != 0)
        st = vm__fail(VM_E_INVAL, "Image not in VHDX format");
    if (st == VM_OK)
        st = pick_header(n);
    return st == VM_OK ? read_regions(n) : st;
}

/* ---- metadata --------------------------------------------------------------------------- */

/** Item @p guid: its bytes, malloc'd; *len 0 and NULL if there is none. */
static int read_item(struct vm_blk *n, const uint8_t *table, const uint8_t *guid, uint8_t **out,
                     uint32_t *len)
{
    const struct vhdx *s = vhdx_of(n);
    *out = NULL;
    *len = 0;
    for (unsigned i = 0; i < vm_le16(table + 10); i++) {
        const uint8_t *e = table + 32 + (size_t)i * META_ENTRY;
        if (memcmp(e, guid, VHDX_GUID) != 0)
            continue;
        uint32_t off = vm_le32(e + 16), bytes = vm_le32(e + 20);
        if (bytes > VHDX_MIB || off < VHDX_TABLE || !vm_in_range(off, bytes, s->meta_len))
            return vm__fail(VM_E_CORRUPT, "A metadata item lies outside of its region");
        *out = malloc((size_t)bytes + 1);
        *len = bytes;
        if (*out == NULL)
            return vm__fail_nomem(bytes);
        return bytes != 0 ? vm__blk_read(n->file, s->meta_off + off, *out, bytes) : VM_OK;
    }
    return VM_OK;
}

/** A number that every image must have. */
static int read_number(struct vm_blk *n, const uint8_t *table, const uint8_t *guid, uint32_t bytes,
                       uint64_t *out)
{
    uint8_t *item;
    uint32_t len;
    int st = read_item(n, table, guid, &item, &len);
    if (st == VM_OK && (item == NULL || len < bytes))
        st = vm__fail(VM_E_CORRUPT, "A required metadata item is missing");
    if (st == VM_OK)
        *out = bytes == 8 ? vm_le64(item) : vm_le32(item);
    free(item);
    return st;
}

static int check_known(const uint8_t *table)
{
    static const uint8_t *const known[] = {
        vhdx_params_guid,  vhdx_size_guid,     vhdx_id_guid,
        vhdx_logical_guid, vhdx_physical_guid, vhdx_parent_guid
    };
    for (unsigned i = 0; i < vm_le16(table + 10); i++) {
        const uint8_t *e = table + 32 + (size_t)i * META_ENTRY;
        bool ours = false;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            ours = ours || memcmp(e, known[k], VHDX_GUID) == 0;
        if (!ours && vm_le32(e + 24) & 4)
            return vm__fail(VM_E_NOTSUP, "The image has required metadata of an unknown kind");
    }
    return VM_OK;
}

/** One key of the parent locator as text, or NULL. */
static char *locator_value(const uint8_t *item, uint32_t len, const char *key)
{
    unsigned count = vm_le16(item + 18);
    for (unsigned i = 0; i < count && 20 + 12 * ((size_t)i + 1) <= len; i++) {
        const uint8_t *e = item + 20 + 12 * (size_t)i;
        uint32_t ko = vm_le32(e), vo = vm_le32(e + 4), kl = vm_le16(e + 8), vl = vm_le16(e + 10);
        if (!vm_in_range(ko, kl, len) || !vm_in_range(vo, vl, len))
            continue;
        char *name = vm__utf16_to_utf8(item + ko, kl, false);
        bool match = name != NULL && strcmp(name, key) == 0;
        free(name);
        if (match)
            return vm__utf16_to_utf8(item + vo, vl, false);
    }
    return NULL;
}

/** "{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}" as it lies in a file. */
static bool parse_guid(const char *text, uint8_t *out)
{
    static const uint8_t place[] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    for (unsigned i = 0; i < VHDX_GUID; text++) {
        unsigned v;
        if (*text == '{' || *text == '-')
            continue;
        if (strspn(text, "0123456789abcdefABCDEF") < 2 || sscanf(text, "%2x", &v) != 1)
            return false;
        out[place[i++]] = (uint8_t)v;
        text++;
    }
    return true;
}

static int read_parent(struct vm_blk *n, const uint8_t *table)
{
    struct vhdx *s = vhdx_of(n);
    uint8_t *item;
    uint32_t len;
    int st = read_item(n, table, vhdx_parent_guid, &item, &len);
    char *link = NULL, *path = NULL;
    if (st == VM_OK &&
        (item == NULL || len < 20 || memcmp(item, vhdx_locator_guid, VHDX_GUID) != 0))
        st = vm__fail(VM_E_CORRUPT, "The image has a parent, but not the locator of one");
    if (st == VM_OK) {
        link = locator_value(item, len, "parent_linkage");
        path = locator_value(item, len, "relative_path");
        if (path == NULL)
            path = locator_value(item, len, "absolute_win32_path");
        if (link == NULL || !parse_guid(link, s->parent_linkage) || path == NULL)
            st = vm__fail(VM_E_CORRUPT, "The parent locator lacks its linkage or a path");
    }
    if (st == VM_OK) {
        char *name = strrchr(path, '\\');
        bool relative = path[0] == '.' || strchr(path, ':') == NULL;
        for (char *c = path; relative && *c != '\0'; c++)
            *c = *c == '\\' ? '/' : *c;
        n->backing_name = strdup(relative       ? (strncmp(path, "./", 2) == 0 ? path + 2 : path)
                                 : name != NULL ? name + 1
                                                : path);
        n->backing_format = strdup("vhdx");
        st = n->backing_name != NULL && n->backing_format != NULL ? VM_OK : vm__fail_nomem(0);
    }
    free(link);
    free(path);
    free(item);
    return st;
}

static int read_params(struct vm_blk *n, const uint8_t *table, uint64_t *size)
{
    struct vhdx *s = vhdx_of(n);
    uint64_t params = 0, logical = 0;
    int st = read_number(n, table, vhdx_params_guid, 8, &params);
    if (st == VM_OK)
        st = read_number(n, table, vhdx_size_guid, 8, size);
    if (st == VM_OK)
        st = read_number(n, table, vhdx_logical_guid, 4, &logical);
    if (st != VM_OK)
        return st;
    s->block = (uint32_t)params;
    s->has_parent = params >> 33 & 1;
    s->logical = (uint32_t)logical;
    if (s->block < VHDX_MIB || s->block > 256 * VHDX_MIB || (s->block & (s->block - 1)) != 0)
        return vm__fail(VM_E_CORRUPT, "Invalid block size %u", s->block);
    if (s->logical != 512 && s->logical != 4096)
        return vm__fail(VM_E_CORRUPT, "Invalid logical sector size %u", s->logical);
    if (*size > VHDX_MAX_SIZE || *size % s->logical != 0)
        return vm__fail(VM_E_CORRUPT, "Invalid virtual disk size %llu", (unsigned long long)*size);
    return VM_OK;
}

int vhdx_read_metadata(struct vm_blk *n)
{
    struct vhdx *s = vhdx_of(n);
    uint64_t size = 0;
    uint8_t *table = malloc(VHDX_TABLE);
    int st = table != NULL ? VM_OK : vm__fail_nomem(VHDX_TABLE);
    if (st == VM_OK && s->meta_len < VHDX_TABLE)
        st = vm__fail(VM_E_CORRUPT, "The metadata region is too small");
    if (st == VM_OK)
        st = vm__blk_read(n->file, s->meta_off, table, VHDX_TABLE);
    if (st == VM_OK && (memcmp(table, "metadata", 8) != 0 || vm_le16(table + 10) > MAX_ITEMS))
        st = vm__fail(VM_E_CORRUPT, "The metadata table is malformed");
    if (st == VM_OK)
        st = check_known(table);
    if (st == VM_OK)
        st = read_params(n, table, &size);
    if (st == VM_OK && s->has_parent)
        st = read_parent(n, table);
    free(table);
    atomic_store(&n->size, size);
    return st;
}
