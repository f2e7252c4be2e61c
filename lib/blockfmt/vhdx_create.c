/* SPDX-License-Identifier: MIT */
/**
 * @file vhdx_create.c
 * New VHDX images.
 *
 * Layout: identifier, headers and region tables in the first MiB, then log, metadata and the block
 * allocation table on MiB boundaries, then payload.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/env.h"
#include "block/options.h"
#include "blockfmt/utf16.h"
#include "blockfmt/vhdx.h"
#include "host/thread.h"

enum { ITEMS_AT = VHDX_TABLE, LOG_AT = VHDX_MIB, LOCATOR_MAX = 8192 };

static const char *const subformats[] = { "dynamic", "fixed", NULL };

const struct vm_blk_option vhdx_create_options[] = {
    { "size", VM_OPT_SIZE, .help = "Virtual disk size; max of 64TB." },
    { "log_size", VM_OPT_SIZE, .value = "1048576", .help = "Log size; min 1MB." },
    { "block_size", VM_OPT_SIZE, .value = "0",
      .help = "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size." },
    { "subformat", VM_OPT_ENUM, .choices = subformats,
      .help = "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'." },
    { "block_state_zero", VM_OPT_BOOL,
      .help =
          "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to "
          "'off' when using 'qemu-img convert' with subformat=dynamic." },
    { "backing_file", VM_OPT_STR, .help = "File name of a base image: makes a differencing image" },
    { "backing_fmt", VM_OPT_STR, .help = "Image format of the base image" },
    { 0 },
};

struct plan {
    const struct vm_blk_create *c;
    uint64_t size, log, block, blocks, entries, bat, payload;
    uint32_t sub;
    bool zero_state;
    uint8_t parent[VHDX_GUID]; /**< data GUID of the parent */
    uint8_t locator[LOCATOR_MAX];
    uint32_t locator_len;
};

static bool new_guid(uint8_t *g)
{
    if (!vm__host_random(g, VHDX_GUID))
        return false;
    g[7] = (uint8_t)((g[7] & 0x0f) | 0x40);
    g[8] = (uint8_t)((g[8] & 0x3f) | 0x80);
    return true;
}

static int read_options(struct plan *p)
{
    struct vm_blk_options *o = p->c->options;
    p->log = VHDX_MIB;
    p->zero_state = true;
    int st = vm__opt_size(o, "log_size", &p->log);
    if (st == VM_OK)
        st = vm__opt_size(o, "block_size", &p->block);
    if (st == VM_OK)
        st = vm__opt_enum(o, "subformat", subformats, &p->sub);
    if (st == VM_OK)
        st = vm__opt_bool(o, "block_state_zero", &p->zero_state);
    if (st != VM_OK)
        return st;
    p->size = (p->c->size + 511) & ~UINT64_C(511);
    if (p->size > VHDX_MAX_SIZE || p->c->size > VHDX_MAX_SIZE)
        return vm__fail(VM_E_RANGE, "Image size too large; max of 64TB");
    if (p->log < VHDX_MIB || p->log % VHDX_MIB != 0 || p->log >= UINT64_C(4) << 30)
        return vm__fail(VM_E_INVAL, "Log size must be 4 GB or less, and a multiple of 1 MB");
    if (p->block == 0) /* larger blocks for larger disks: the table stays small */
        p->block = p->size > UINT64_C(32) << 40    ? 64 * VHDX_MIB
                   : p->size > UINT64_C(100) << 30 ? 32 * VHDX_MIB
                   : p->size > UINT64_C(1) << 30   ? 16 * VHDX_MIB
                                                   : 8 * VHDX_MIB;
    if (p->c->backing_name != NULL && !vm__opt_has(o, "block_size"))
        p->block = 2 * VHDX_MIB;
    if (p->block < VHDX_MIB || p->block > 256 * VHDX_MIB || (p->block & (p->block - 1)) != 0)
        return vm__fail(VM_E_INVAL, "Block size must be a power of two from 1 MB to 256 MB");
    if (p->sub == 1 && p->c->backing_name != NULL)
        return vm__fail(VM_E_INVAL, "A fixed VHDX image has no parent");
    return VM_OK;
}

static void plan_layout(struct plan *p)
{
    uint64_t ratio = VHDX_CHUNK_SECTORS * 512 / p->block;
    p->blocks = (p->size + p->block - 1) / p->block;
    p->entries = p->blocks != 0 ? p->blocks + (p->blocks - 1) / ratio : 0;
    if (p->c->backing_name != NULL)
        p->entries = (p->blocks + ratio - 1) / ratio * (ratio + 1);
    p->bat = LOG_AT + p->log + VHDX_MIB;
    uint64_t len = (p->entries * 8 + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB;
    p->payload = p->bat + (len != 0 ? len : VHDX_MIB);
}

/* ---- parent ----------------------------------------------------------------------------- */

/** One key and value of the locator, [MS-VHDX §2.6.2.6.2]. */
static bool put_pair(struct plan *p, unsigned i, const char *key, const char *value)
{
    uint8_t *e = p->locator + 20 + 12 * (size_t)i;
    uint32_t at = p->locator_len;
    size_t k = vm__utf8_to_utf16(key, p->locator + at, LOCATOR_MAX - at, false);
    size_t v = vm__utf8_to_utf16(value, p->locator + at + k, LOCATOR_MAX - at - k, false);
    vm_put_le32(e, at);
    vm_put_le32(e + 4, (uint32_t)(at + k));
    vm_put_le16(e + 8, (uint16_t)k);
    vm_put_le16(e + 10, (uint16_t)v);
    p->locator_len += (uint32_t)(k + v);
    return k != 0 && v != 0;
}

static int plan_parent(struct vm_blk_env *env, struct plan *p)
{
    const struct vm_blk_create *c = p->c;
    char guid[64], rel[2048];
    if (c->backing_format != NULL && strcmp(c->backing_format, "vhdx") != 0)
        return vm__fail(VM_E_NOTSUP,
                        "The parent of a differencing VHDX image must be a VHDX image, not %s",
                        c->backing_format);
    char *path = vm__blk_relative(c->name, c->backing_name);
    struct vm_blk *parent =
        path != NULL ? vm__blk_open(env, path, "vhdx", NULL, VM_OPEN_RO | VM_OPEN_NO_BACKING)
                     : NULL;
    free(path);
    if (parent == NULL)
        return vm_last_error()->code;
    memcpy(p->parent, vhdx_of(parent)->header + VHDX_DATA_GUID_AT, VHDX_GUID);
    vm__blk_unref(parent);
    const uint8_t *g = p->parent;
    (void)snprintf(guid, sizeof guid, "{%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x}",
                   vm_le32(g), vm_le16(g + 4), vm_le16(g + 6), g[8], g[9], g[10], g[11], g[12],
                   g[13], g[14], g[15]);
    bool absolute = c->backing_name[0] == '/';
    int n = snprintf(rel, sizeof rel, "%s%s", absolute ? "" : ".\\", c->backing_name);
    for (char *ch = rel; !absolute && *ch != '\0'; ch++)
        *ch = *ch == '/' ? '\\' : *ch;
    memcpy(p->locator, vhdx_locator_guid, VHDX_GUID);
    vm_put_le16(p->locator + 18, 2);
    p->locator_len = 20 + 2 * 12;
    if (n >= (int)sizeof rel || !put_pair(p, 0, "parent_linkage", guid) ||
        !put_pair(p, 1, "relative_path", rel))
        return vm__fail(VM_E_RANGE, "The name of the parent does not fit in a parent locator");
    return VM_OK;
}

/* ---- writing ---------------------------------------------------------------------------- */

static int write_regions(const struct plan *p, struct vm_blk *file)
{
    uint8_t *t = calloc(1, VHDX_TABLE);
    if (t == NULL)
        return vm__fail_nomem(VHDX_TABLE);
    memcpy(t, "regi", 4);
    vm_put_le32(t + 8, 2);
    memcpy(t + 16, vhdx_bat_guid, VHDX_GUID);
    vm_put_le64(t + 32, p->bat);
    vm_put_le32(t + 40, (uint32_t)(p->payload - p->bat));
    vm_put_le32(t + 44, 1);
    memcpy(t + 48, vhdx_metadata_guid, VHDX_GUID);
    vm_put_le64(t + 64, LOG_AT + p->log);
    vm_put_le32(t + 72, VHDX_MIB);
    vm_put_le32(t + 76, 1);
    vm_put_le32(t + 4, vhdx_crc(t, VHDX_TABLE, 4));
    int st = vm__blk_write(file, VHDX_REGIONS_1, t, VHDX_TABLE);
    if (st == VM_OK)
        st = vm__blk_write(file, VHDX_REGIONS_2, t, VHDX_TABLE);
    free(t);
    return st;
}

/** One row of the metadata table; the item itself goes to @p items. */
static void put_item(uint8_t *table, uint8_t *items, uint32_t *used, const uint8_t *guid,
                     const void *data, uint32_t len, uint32_t flags)
{
    unsigned i = vm_le16(table + 10);
    uint8_t *e = table + 32 + 32 * (size_t)i;
    memcpy(e, guid, VHDX_GUID);
    vm_put_le32(e + 16, ITEMS_AT + *used);
    vm_put_le32(e + 20, len);
    vm_put_le32(e + 24, flags);
    memcpy(items + *used, data, len);
    *used += len;
    vm_put_le16(table + 10, (uint16_t)(i + 1));
}

static int write_metadata(const struct plan *p, struct vm_blk *file)
{
    enum { REQUIRED = 4, DISK = 2 };
    uint8_t *t = calloc(1, VHDX_TABLE + LOCATOR_MAX + 64), v[VHDX_GUID];
    uint32_t used = 0;
    if (t == NULL)
        return vm__fail_nomem(VHDX_TABLE);
    uint8_t *items = t + VHDX_TABLE;
    memcpy(t, "metadata", 8);
    vm_put_le32(v, (uint32_t)p->block);
    vm_put_le32(v + 4, (p->sub == 1 ? 1 : 0) | (p->c->backing_name != NULL ? 2 : 0));
    put_item(t, items, &used, vhdx_params_guid, v, 8, REQUIRED);
    vm_put_le64(v, p->size);
    put_item(t, items, &used, vhdx_size_guid, v, 8, REQUIRED | DISK);
    bool ok = new_guid(v);
    put_item(t, items, &used, vhdx_id_guid, v, VHDX_GUID, REQUIRED | DISK);
    vm_put_le32(v, 512);
    put_item(t, items, &used, vhdx_logical_guid, v, 4, REQUIRED | DISK);
    put_item(t, items, &used, vhdx_physical_guid, v, 4, REQUIRED | DISK);
    if (p->locator_len != 0)
        put_item(t, items, &used, vhdx_parent_guid, p->locator, p->locator_len, REQUIRED);
    int st = ok ? vm__blk_write(file, LOG_AT + p->log, t, VHDX_TABLE + used)
                : vm__fail(VM_E_IO, "The host has no random numbers for a GUID");
    free(t);
    return st;
}

/** What each block is: in place for a fixed image, the state asked for in a dynamic one. */
static int write_table(const struct plan *p, struct vm_blk *file)
{
    uint64_t state = p->zero_state && p->c->backing_name == NULL ? VHDX_ZERO : VHDX_NOT_PRESENT;
    uint64_t ratio = VHDX_CHUNK_SECTORS * 512 / p->block;
    if (p->sub == 0 && state == VHDX_NOT_PRESENT)
        return VM_OK; /* zeros, as the file has there */
    uint8_t *buf = malloc(65536);
    int st = buf != NULL ? VM_OK : vm__fail_nomem(65536);
    for (uint64_t i = 0; st == VM_OK && i < p->entries;) {
        size_t n = 0;
        for (; n < 65536 / 8 && i < p->entries; n++, i++) {
            bool bitmap = i % (ratio + 1) == ratio;
            uint64_t payload = i - i / (ratio + 1);
            uint64_t e =
                p->sub == 1 ? (p->payload + payload * p->block) | VHDX_FULLY_PRESENT : state;
            vm_put_le64(buf + 8 * n, bitmap ? 0 : e);
        }
        st = vm__blk_write(file, p->bat + (i - n) * 8, buf, 8 * n);
    }
    free(buf);
    return st;
}

static int write_headers(const struct plan *p, struct vm_blk *file)
{
    static const char creator[] = "libvm";
    uint8_t id[520] = VHDX_FILE_MAGIC, h[VHDX_HEADER] = "head";
    (void)vm__utf8_to_utf16(creator, id + 8, sizeof id - 8, false);
    vm_put_le16(h + VHDX_VERSION_AT, 1);
    vm_put_le32(h + VHDX_LOG_LENGTH_AT, (uint32_t)p->log);
    vm_put_le64(h + VHDX_LOG_OFFSET_AT, LOG_AT);
    if (!new_guid(h + VHDX_FILE_GUID_AT) || !new_guid(h + VHDX_DATA_GUID_AT))
        return vm__fail(VM_E_IO, "The host has no random numbers for a GUID");
    int st = vm__blk_write(file, 0, id, sizeof id);
    for (unsigned i = 0; st == VM_OK && i < 2; i++) {
        vm_put_le64(h + VHDX_SEQUENCE_AT, i + 1);
        vm_put_le32(h + VHDX_CHECKSUM_AT, vhdx_crc(h, sizeof h, VHDX_CHECKSUM_AT));
        st = vm__blk_write(file, i == 0 ? VHDX_HEADER_1 : VHDX_HEADER_2, h, sizeof h);
    }
    return st;
}

int vhdx_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    struct plan *p = calloc(1, sizeof *p);
    if (p == NULL)
        return vm__fail_nomem(sizeof *p);
    p->c = c;
    int st = read_options(p);
    if (st == VM_OK && c->backing_name != NULL)
        st = plan_parent(env, p);
    if (st == VM_OK) {
        plan_layout(p);
        uint64_t end = p->payload + (p->sub == 1 ? p->blocks * p->block : 0);
        st = vm__create_file(c);
        if (st == VM_OK)
            st = vm__blk_truncate(c->file, end, VM_PREALLOC_OFF, 0);
    }
    if (st == VM_OK)
        st = write_regions(p, c->file);
    if (st == VM_OK)
        st = write_metadata(p, c->file);
    if (st == VM_OK)
        st = write_table(p, c->file);
    if (st == VM_OK)
        st = write_headers(p, c->file);
    free(p);
    return st;
}
