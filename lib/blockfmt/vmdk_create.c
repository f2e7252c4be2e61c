/* SPDX-License-Identifier: MIT */
/**
 * @file vmdk_create.c
 * New VMDK images: one file or many, sparse, flat or streamed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/endian.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/vmdk.h"
#include "host/thread.h"

enum {
    DESCRIPTOR_SECTORS = 20,
    SPLIT_SECTORS = (int)((2047ull << 20) / VMDK_SECTOR), /* of a "2 GB" extent */
};

enum subformat { MONOLITHIC_SPARSE, MONOLITHIC_FLAT, SPLIT_SPARSE, SPLIT_FLAT, STREAM };
static const char *const subformats[] = { "monolithicSparse",     "monolithicFlat",
                                          "twoGbMaxExtentSparse", "twoGbMaxExtentFlat",
                                          "streamOptimized",      NULL };
static const char *const adapters[] = { "ide", "lsilogic", "buslogic", "legacyESX", NULL };

const struct vm_blk_option vmdk_create_options[] = {
    { "size", VM_OPT_SIZE, .help = "Virtual disk size" },
    { "adapter_type", VM_OPT_ENUM, .choices = adapters,
      .help =
          "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX" },
    { "backing_file", VM_OPT_STR, .help = "File name of a base image" },
    { "backing_fmt", VM_OPT_STR, .help = "Must be 'vmdk' if present" },
    { "compat6", VM_OPT_BOOL, .value = "off", .help = "VMDK version 6 image" },
    { "hwversion", VM_OPT_STR, .value = "undefined", .help = "VMDK hardware version" },
    { "toolsversion", VM_OPT_STR, .help = "VMware guest tools version" },
    { "subformat", VM_OPT_ENUM, .choices = subformats,
      .help = "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat "
              "| twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} " },
    { "zeroed_grain", VM_OPT_BOOL,
      .help = "Enable efficient zero writes using the zeroed-grain GTE feature" },
    { 0 },
};

struct plan {
    struct vm_blk_env *env;
    struct vm_blk_create *c;
    uint32_t sub, adapter;
    bool zero_grain, compat6;
    const char *hw_version, *tools_version;
    uint64_t sectors;
    uint32_t parent_cid;
    struct vm_buf text; /**< extent lines */
};

static bool is_flat(const struct plan *p)
{
    return p->sub == MONOLITHIC_FLAT || p->sub == SPLIT_FLAT;
}

static bool is_split(const struct plan *p)
{
    return p->sub == SPLIT_SPARSE || p->sub == SPLIT_FLAT;
}

/* ---- a sparse extent -------------------------------------------------------------------- */

/** Directory at @p dir, its tables right behind: all in place, so that a grain costs one entry. */
static int write_directory(struct vm_blk *file, uint64_t dir, uint64_t first_table, uint32_t tables)
{
    uint8_t *buf = calloc(tables + 1, 4);
    if (buf == NULL)
        return vm__fail_nomem(4 * (size_t)tables);
    for (uint32_t i = 0; i < tables; i++)
        vm_put_le32(buf + 4 * (size_t)i,
                    (uint32_t)(first_table + i * (4 * VMDK_GTES / VMDK_SECTOR)));
    int st = tables != 0 ? vm__blk_write(file, dir * VMDK_SECTOR, buf, 4 * (size_t)tables) : VM_OK;
    free(buf);
    return st;
}

static int make_sparse(const struct plan *p, struct vm_blk *file, uint64_t sectors)
{
    static const uint8_t newlines[4] = { '\n', ' ', '\r', '\n' };
    uint8_t h[VMDK_HEADER] = VMDK_MAGIC;
    bool stream = p->sub == STREAM;
    uint64_t covered = (uint64_t)VMDK_GRAIN * VMDK_GTES;
    uint32_t tables = (uint32_t)((sectors + covered - 1) / covered);
    uint64_t dir = (4 * (uint64_t)tables + VMDK_SECTOR - 1) / VMDK_SECTOR;
    uint64_t all_tables = (uint64_t)tables * (4 * VMDK_GTES / VMDK_SECTOR);
    uint64_t rgd = 1 + DESCRIPTOR_SECTORS, gd = rgd + dir + all_tables;
    uint64_t data = gd + dir + all_tables;
    data = (data + VMDK_GRAIN - 1) / VMDK_GRAIN * VMDK_GRAIN;
    uint32_t flags = VMDK_F_NEWLINE | VMDK_F_REDUNDANT |
                     (stream ? VMDK_F_COMPRESSED | VMDK_F_MARKERS : 0) |
                     (p->zero_grain ? VMDK_F_ZERO_GRAIN : 0);
    if (data > UINT32_MAX)
        return vm__fail(VM_E_RANGE, "The image is too large for a VMDK extent");
    vm_put_le32(h + VMDK_VERSION_AT, stream ? 3 : p->zero_grain ? 2 : 1);
    vm_put_le32(h + VMDK_FLAGS_AT, flags);
    vm_put_le64(h + VMDK_CAPACITY_AT, sectors);
    vm_put_le64(h + VMDK_GRAIN_AT, VMDK_GRAIN);
    vm_put_le64(h + VMDK_DESCRIPTOR_AT, is_split(p) ? 0 : 1);
    vm_put_le64(h + VMDK_DESCRIPTOR_SIZE_AT, is_split(p) ? 0 : DESCRIPTOR_SECTORS);
    vm_put_le32(h + VMDK_GTES_AT, VMDK_GTES);
    vm_put_le64(h + VMDK_RGD_AT, rgd);
    vm_put_le64(h + VMDK_GD_AT, gd);
    vm_put_le64(h + VMDK_OVERHEAD_AT, data);
    memcpy(h + VMDK_TEST_AT, newlines, sizeof newlines);
    vm_put_le16(h + VMDK_COMPRESS_AT, stream);
    int st = vm__blk_truncate(file, data * VMDK_SECTOR, VM_PREALLOC_OFF, 0);
    if (st == VM_OK)
        st = write_directory(file, rgd, rgd + dir, tables);
    if (st == VM_OK)
        st = write_directory(file, gd, gd + dir, tables);
    return st == VM_OK ? vm__blk_write(file, 0, h, sizeof h) : st;
}

static int fill_extent(const struct plan *p, struct vm_blk *file, uint64_t sectors)
{
    return is_flat(p) ? vm__blk_truncate(file, sectors * VMDK_SECTOR, VM_PREALLOC_OFF, 0)
                      : make_sparse(p, file, sectors);
}

/* ---- extents and their lines ------------------------------------------------------------ */

/** "dir/disk.vmdk" and number 2 to "dir/disk-s002.vmdk"; 0 to "dir/disk-flat.vmdk". */
static char *extent_path(const struct plan *p, unsigned number)
{
    const char *name = p->c->name, *dot = strrchr(name, '.'), *slash = strrchr(name, '/');
    size_t stem =
        dot != NULL && (slash == NULL || dot > slash) ? (size_t)(dot - name) : strlen(name);
    size_t room = strlen(name) + 32;
    char *out = malloc(room), suffix[16];
    if (number == 0)
        (void)snprintf(suffix, sizeof suffix, "-flat");
    else
        (void)snprintf(suffix, sizeof suffix, "-%c%03u", is_flat(p) ? 'f' : 's', number % 1000);
    if (out != NULL)
        (void)snprintf(out, room, "%.*s%s%s", (int)stem, name, suffix, name + stem);
    return out;
}

static void add_line(struct plan *p, uint64_t sectors, const char *path)
{
    const char *slash = strrchr(path, '/');
    vm__buf_printf(&p->text, "RW %llu %s \"%s\"%s\n", (unsigned long long)sectors,
                   is_flat(p) ? "FLAT" : "SPARSE", slash != NULL ? slash + 1 : path,
                   is_flat(p) ? " 0" : "");
}

static int make_file(struct plan *p, unsigned number, uint64_t sectors)
{
    char *path = extent_path(p, number);
    if (path == NULL)
        return vm__fail_nomem(0);
    add_line(p, sectors, path);
    const char *slash = strrchr(path, '/');
    struct vm_blk *file = vm__create_extra(p->c, slash != NULL ? slash + 1 : path);
    int st = file != NULL ? fill_extent(p, file, sectors) : vm_last_error()->code;
    vm__blk_unref(file);
    free(path);
    return st;
}

static int make_extents(struct plan *p)
{
    if (p->sub == MONOLITHIC_FLAT)
        return make_file(p, 0, p->sectors);
    if (!is_split(p)) {
        add_line(p, p->sectors, p->c->name);
        return make_sparse(p, p->c->file, p->sectors);
    }
    int st = VM_OK;
    uint64_t left = p->sectors;
    for (unsigned i = 1; st == VM_OK && left != 0; i++) {
        uint64_t n = left < SPLIT_SECTORS ? left : SPLIT_SECTORS;
        st = make_file(p, i, n);
        left -= n;
    }
    return st;
}

/* ---- the descriptor --------------------------------------------------------------------- */

static int find_parent(struct plan *p)
{
    const struct vm_blk_create *c = p->c;
    p->parent_cid = VMDK_NO_CID;
    if (c->backing_name == NULL)
        return VM_OK;
    if (c->backing_format != NULL && strcmp(c->backing_format, "vmdk") != 0)
        return vm__fail(VM_E_INVAL, "backing_file must be a vmdk image");
    if (p->sub != MONOLITHIC_SPARSE)
        return vm__fail(VM_E_NOTSUP, "%s can't have a backing file", subformats[p->sub]);
    char *path = vm__blk_relative(c->name, c->backing_name);
    struct vm_blk *parent =
        path != NULL ? vm__blk_open(p->env, path, "vmdk", NULL, VM_OPEN_RO | VM_OPEN_NO_BACKING)
                     : NULL;
    free(path);
    if (parent == NULL)
        return vm_last_error()->code;
    p->parent_cid = vmdk_of(parent)->cid;
    vm__blk_unref(parent);
    return VM_OK;
}

static int write_descriptor(struct plan *p)
{
    uint32_t cid;
    struct vm_buf out = { 0 };
    unsigned heads = p->adapter == 0 ? 16 : 255;
    uint64_t cylinders = p->sectors / (heads * 63ull);
    (void)vm__host_random(&cid, sizeof cid);
    cid -= cid >= VMDK_NO_CID - 1 ? 2 : 0;
    vm__buf_printf(&out,
                   "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\n"
                   "createType=\"%s\"\n",
                   cid, p->parent_cid, subformats[p->sub]);
    if (p->c->backing_name != NULL)
        vm__buf_printf(&out, "parentFileNameHint=\"%s\"\n", p->c->backing_name);
    vm__buf_printf(&out, "\n# Extent description\n%.*s\n# The Disk Data Base\n#DDB\n\n",
                   (int)p->text.len, (const char *)p->text.data);
    vm__buf_printf(&out, "ddb.virtualHWVersion = \"%s\"\n", p->hw_version);
    vm__buf_printf(&out,
                   "ddb.geometry.cylinders = \"%llu\"\nddb.geometry.heads = \"%u\"\n"
                   "ddb.geometry.sectors = \"63\"\nddb.adapterType = \"%s\"\n",
                   (unsigned long long)cylinders, heads, adapters[p->adapter]);
    vm__buf_printf(&out, "ddb.toolsVersion = \"%s\"\n", p->tools_version);
    bool own_file = is_split(p) || p->sub == MONOLITHIC_FLAT;
    int st = !out.failed ? VM_OK : vm__fail_nomem(0);
    if (st == VM_OK && !own_file && out.len > DESCRIPTOR_SECTORS * VMDK_SECTOR)
        st = vm__fail(VM_E_RANGE, "The descriptor does not fit in the image");
    if (st == VM_OK)
        st = vm__blk_write(p->c->file, own_file ? 0 : VMDK_SECTOR, out.data, out.len);
    free(out.data);
    return st;
}

static int read_options(struct plan *p)
{
    struct vm_blk_options *o = p->c->options;
    int st = vm__opt_enum(o, "subformat", subformats, &p->sub);
    if (st == VM_OK)
        st = vm__opt_enum(o, "adapter_type", adapters, &p->adapter);
    if (st == VM_OK)
        st = vm__opt_bool(o, "zeroed_grain", &p->zero_grain);
    if (st == VM_OK)
        st = vm__opt_bool(o, "compat6", &p->compat6);
    if (st != VM_OK)
        return st;
    const char *hw = vm__opt_str(o, "hwversion"), *tools = vm__opt_str(o, "toolsversion");
    bool given = hw != NULL && strcmp(hw, "undefined") != 0;
    if (given && p->compat6)
        return vm__fail(VM_E_INVAL, "compat6 cannot be enabled with hwversion set");
    p->hw_version = given ? hw : p->compat6 ? "6" : "4";
    p->tools_version = tools != NULL ? tools : "2147483647";
    p->sectors = p->c->size / VMDK_SECTOR + (p->c->size % VMDK_SECTOR != 0);
    if (p->zero_grain && is_flat(p))
        return vm__fail(VM_E_INVAL, "Flat image can't enable zeroed grain");
    return VM_OK;
}

int vmdk_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    struct plan p = { .env = env, .c = c };
    int st = read_options(&p);
    if (st == VM_OK)
        st = find_parent(&p);
    if (st == VM_OK)
        st = vm__create_file(c);
    if (st == VM_OK)
        st = make_extents(&p);
    if (st == VM_OK)
        st = write_descriptor(&p);
    free(p.text.data);
    return st;
}
