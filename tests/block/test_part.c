/* SPDX-License-Identifier: MIT */
/**
 * @file test_part.c
 * Partition tables made by sfdisk, damaged ones, and LVM2 volumes.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "block/part.h"
#include "blockfmt/lvm.h"
#include "support.h"

enum { M = 1 << 20 };

static struct blk_place p;
static struct vm_part_table t;

static void setup(void)
{
    blk_init(&p);
}

static void teardown(void)
{
    blk_fini(&p);
}

TestSuite(part, .init = setup, .fini = teardown);
TestSuite(lvm, .init = setup, .fini = teardown);

/* A disk of 100 MiB that sfdisk has divided. */
static struct vm_blk *divided(const char *script)
{
    if (!blk_have("sfdisk"))
        cr_skip_test("sfdisk is not installed");
    cr_assert_eq(blk_create(&p, blk_path(&p, "disk"), "raw", 100 * M, NULL), VM_OK);
    char *out = NULL;
    cr_assert_eq(
        blk_shell(&p, &out, "printf '%s' | PATH=$PATH:/sbin:/usr/sbin sfdisk -q disk", script), 0,
        "%s", out);
    free(out);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "disk"), "raw", NULL, 0);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    return n;
}

Test(part, mbr_with_logical_partitions)
{
    struct vm_blk *n = divided("label: dos\\nstart=2048,size=20480,type=83,bootable\\n"
                               "start=22528,size=100000,type=5\\n"
                               "start=24576,size=8192,type=82\\nstart=34816,size=8192,type=83\\n"
                               "start=45056,size=4096,type=7\\n");
    cr_assert_eq(vm__part_read(n, &t), VM_OK);
    cr_assert_str_eq(t.scheme, "mbr");
    cr_assert_eq(t.n, 4);
    cr_assert(t.parts[0].index == 1 && t.parts[0].bootable && t.parts[0].off == 2048 * 512);
    cr_assert(t.parts[1].index == 5 && t.parts[1].off == 24576 * 512 &&
              t.parts[1].len == 8192 * 512);
    cr_assert_str_eq(t.parts[1].type, "0x82");
    cr_assert(t.parts[2].index == 6 && t.parts[2].off == 34816 * 512);
    cr_assert(t.parts[3].index == 7 && t.parts[3].len == 4096 * 512);
    struct vm_blk *five = vm__part_open(n, 5, 0);
    cr_assert_not_null(five, "%s", vm_last_error()->message);
    cr_assert_eq(vm__blk_size(five), 8192 * 512);
    cr_assert_eq(blk_fill(five, 0, vm__blk_size(five), 5), VM_OK);
    cr_assert_eq(blk_fill(five, vm__blk_size(five), 1, 5), VM_E_RANGE);
    vm__blk_unref(five);
    cr_assert(blk_is(n, 24576 * 512, 8192 * 512, 5) && blk_is(n, 32768 * 512, 400, 0));
    cr_assert_null(vm__part_open(n, 2, 0));
    cr_assert_not_null(strstr(vm_last_error()->message, "no partition 2"));
    vm__blk_unref(n);
}

Test(part, gpt_and_its_second_copy)
{
    struct vm_blk *n = divided("label: gpt\\nstart=2048,size=20480,type=U,name=\"EFI\"\\n"
                               "start=40960,size=40960,type=L,name=\"r\xc3\xb6\xc3\xb6t\"\\n");
    for (int copy = 0; copy < 2; copy++) {
        cr_assert_eq(vm__part_read(n, &t), VM_OK, "%s", vm_last_error()->message);
        cr_assert_str_eq(t.scheme, "gpt");
        cr_assert_eq(t.n, 2);
        cr_assert(t.parts[0].index == 1 && t.parts[0].off == 2048 * 512 &&
                  t.parts[0].len == 20480 * 512);
        cr_assert_str_eq(t.parts[0].type, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        cr_assert_str_eq(t.parts[1].type, "0fc63daf-8483-4772-8e79-3d69d8477de4");
        cr_assert_str_eq(t.parts[0].label, "EFI");
        cr_assert_eq(strlen(t.parts[1].uuid), 36);
        cr_assert_eq(blk_fill(n, 512 + 60, 1, 0xff), VM_OK); /* now the first copy is damaged */
    }
    cr_assert_eq(blk_fill(n, 100 * M - 512 + 60, 1, 0xff), VM_OK);
    cr_assert_eq(vm__part_read(n, &t), VM_E_CORRUPT);
    vm__blk_unref(n);
}

static void entry(struct vm_blk *n, uint64_t sector, int i, uint8_t type, uint32_t start,
                  uint32_t count)
{
    uint8_t e[16] = { 0 }, mark[2] = { 0x55, 0xaa };
    e[4] = type;
    vm_put_le32(e + 8, start);
    vm_put_le32(e + 12, count);
    cr_assert_eq(vm__blk_write(n, sector * 512 + 446 + (unsigned)i * 16, e, 16), VM_OK);
    cr_assert_eq(vm__blk_write(n, sector * 512 + 510, mark, 2), VM_OK);
}

Test(part, hostile_tables_end)
{
    struct vm_blk *n = blk_memory(&p, 10 * M, NULL);
    cr_assert_eq(vm__part_read(n, &t), VM_OK);
    cr_assert(t.n == 0 && t.scheme == NULL);
    entry(n, 0, 0, 0x05, 100, 1000); /* an extended partition that contains itself */
    entry(n, 100, 0, 0x83, 10, 10);
    entry(n, 100, 1, 0x05, 5, 10);
    entry(n, 105, 0, 0x83, 10, 10);
    entry(n, 105, 1, 0x05, 5, 10);
    cr_assert_eq(vm__part_read(n, &t), VM_OK);
    cr_assert_leq(t.n, VM_PART_MAX);
    entry(n, 105, 1, 0x05, UINT32_MAX, 10);
    cr_assert_eq(vm__part_read(n, &t), VM_E_CORRUPT);
    entry(n, 0, 0, 0x83, 5, UINT32_MAX); /* longer than the disk: what there is of it */
    cr_assert_eq(vm__part_read(n, &t), VM_OK);
    cr_assert(t.n == 1 && t.parts[0].off + t.parts[0].len == 10 * M);
    entry(n, 0, 0, 0x83, UINT32_MAX, 5); /* beyond it: no table at all */
    cr_assert_eq(vm__part_read(n, &t), VM_OK);
    cr_assert_eq(t.n, 0);
    entry(n, 0, 0, 0xee, 1, 5);
    cr_assert_eq(vm__part_read(n, &t), VM_E_CORRUPT);
    vm__blk_unref(n);
    n = blk_memory(&p, 100, NULL);
    cr_assert_eq(vm__part_read(n, &t), VM_OK);
    cr_assert_eq(t.n, 0);
    vm__blk_unref(n);
}

/* ---- LVM -------------------------------------------------------------------------------- */

static const char metadata[] =
    "# made by hand\n"
    "contents = \"Text Format Volume Group\"\nversion = 1\n"
    "vg0 {\n id = \"x\"\n extent_size = 128\n"
    " physical_volumes {\n"
    "  pv0 { id = \"aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa\"\n pe_start = 2048\n pe_count = 100 }\n"
    "  pv1 { id = \"bbbbbb-bbbb-bbbb-bbbb-bbbb-bbbb-bbbbbb\"\n pe_start = 2048\n pe_count = 100 }\n"
    " }\n logical_volumes {\n"
    "  lin { id = \"y\"\n status = [\"READ\", \"WRITE\", \"VISIBLE\"]\n segment_count = 2\n"
    "   segment1 { start_extent = 0\n extent_count = 2\n type = \"striped\"\n stripe_count = 1\n"
    "    stripes = [ \"pv0\", 10 ] }\n"
    "   segment2 { start_extent = 2\n extent_count = 3\n type = \"striped\"\n stripe_count = 1\n"
    "    stripes = [ \"pv1\", 0 ] }\n }\n"
    "  str { id = \"z\"\n status = [\"READ\", \"VISIBLE\"]\n segment_count = 1\n"
    "   segment1 { start_extent = 0\n extent_count = 4\n type = \"striped\"\n stripe_count = 2\n"
    "    stripe_size = 8\n stripes = [ \"pv0\", 20, \"pv1\", 20 ] }\n }\n"
    "  odd { id = \"w\"\n status = [\"VISIBLE\"]\n segment_count = 1\n"
    "   segment1 { start_extent = 0\n extent_count = 1\n type = \"raid1\" }\n }\n"
    "  hidden { status = [\"READ\"]\n segment_count = 1\n }\n }\n}\n";

static struct vm_blk *make_pv(char letter, const char *text)
{
    static const uint8_t magic[16] = { 0x20, 0x4c, 0x56, 0x4d, 0x32, 0x20, 0x78, 0x5b,
                                       0x35, 0x41, 0x25, 0x72, 0x30, 0x4e, 0x2a, 0x3e };
    uint8_t label[512] = { 0 }, area[512] = { 0 };
    struct vm_blk *n = blk_memory(&p, 16 * M, NULL);
    memcpy(label, "LABELONE", 8);
    vm_put_le64(label + 8, 1);
    vm_put_le32(label + 20, 32);
    memcpy(label + 24, "LVM2 001", 8);
    memset(label + 32, letter, 32);
    vm_put_le64(label + 64, 16 * M);
    vm_put_le64(label + 72, M); /* data; end of list; metadata */
    vm_put_le64(label + 104, 4096);
    vm_put_le64(label + 112, M - 4096);
    memcpy(area + 4, magic, 16);
    vm_put_le32(area + 20, 1);
    vm_put_le64(area + 24, 4096);
    vm_put_le64(area + 32, M - 4096);
    vm_put_le64(area + 40, M - 4096 - 100); /* it wraps after 100 bytes */
    vm_put_le64(area + 48, strlen(text));
    cr_assert_eq(vm__blk_write(n, 512, label, 512), VM_OK);
    cr_assert_eq(vm__blk_write(n, 4096, area, 512), VM_OK);
    cr_assert_eq(vm__blk_write(n, M - 100, text, 100), VM_OK);
    cr_assert_eq(vm__blk_write(n, 4096 + 512, text + 100, strlen(text) - 100), VM_OK);
    return n;
}

static char names[512];

static int list_one(void *ud, const char *name, uint64_t bytes)
{
    (void)ud;
    snprintf(names + strlen(names), sizeof names - strlen(names), "%s:%lld ", name,
             (long long)bytes);
    return 0;
}

Test(lvm, volumes_are_listed_and_opened)
{
    struct vm_blk *pvs[2] = { make_pv('a', metadata), make_pv('b', metadata) };
    char uuid[VM_LVM_UUID_BYTES];
    enum { E = 65536 };
    cr_assert_eq(vm__lvm_probe(pvs[0], uuid), VM_OK);
    cr_assert_str_eq(uuid, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    cr_assert_eq(vm__lvm_list(pvs[1], list_one, NULL), VM_OK, "%s", vm_last_error()->message);
    cr_assert_str_eq(names, "vg0/lin:327680 vg0/str:262144 vg0/odd:-1 ");

    struct vm_blk *n = vm__lvm_open(pvs, 2, "vg0/lin", 0);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    cr_assert_eq(vm__blk_size(n), 5 * E);
    cr_assert_eq(blk_fill(n, 0, 5 * E, 1), VM_OK);
    cr_assert_eq(blk_fill(n, 2 * E - 10, 20, 2), VM_OK); /* over the seam */
    cr_assert(blk_is(n, 2 * E - 10, 20, 2));
    vm__blk_unref(n);
    cr_assert(blk_is(pvs[0], M + 10 * E, 2 * E - 10, 1) && blk_is(pvs[0], M + 12 * E - 10, 10, 2));
    cr_assert(blk_is(pvs[0], M + 12 * E, E, 0) && blk_is(pvs[1], M, 10, 2));
    cr_assert(blk_is(pvs[1], M + 10, 3 * E - 10, 1) && blk_is(pvs[1], M + 3 * E, E, 0));

    n = vm__lvm_open(pvs, 2, "vg0/str", 0);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    for (int i = 0; i < 64; i++)
        cr_assert_eq(blk_fill(n, (uint64_t)i * 4096, 4096, (uint8_t)(i + 1)), VM_OK);
    for (int i = 0; i < 64; i++)
        cr_assert(
            blk_is(pvs[i % 2], M + 20 * E + (uint64_t)(i / 2) * 4096, 4096, (uint8_t)(i + 1)));
    vm__blk_unref(n);

    cr_assert_null(vm__lvm_open(pvs, 2, "vg0/odd", 0));
    cr_assert_not_null(strstr(vm_last_error()->message, "raid1"));
    cr_assert_null(vm__lvm_open(pvs, 1, "vg0/str", 0));
    cr_assert_not_null(strstr(vm_last_error()->message, "pv1"));
    cr_assert_null(vm__lvm_open(pvs, 2, "vg0/none", 0));
    vm__blk_unref(pvs[0]);
    vm__blk_unref(pvs[1]);
}

Test(lvm, metadata_that_is_cut_or_nests_too_deep_is_refused)
{
    for (size_t len = 0; len < sizeof metadata - 1; len += 3)
        json_decref(vm__lvm_parse(metadata, len)); /* no crash; some prefixes are well formed */
    char deep[2048];
    memset(deep, 0, sizeof deep);
    for (int i = 0; i < 500; i++)
        strcat(deep, "a {");
    cr_assert_null(vm__lvm_parse(deep, strlen(deep)));
    memset(deep, '[', sizeof deep);
    deep[0] = 'a';
    deep[1] = '=';
    cr_assert_null(vm__lvm_parse(deep, sizeof deep));
    struct vm_blk *n = blk_memory(&p, M, NULL);
    char uuid[VM_LVM_UUID_BYTES];
    cr_assert_eq(vm__lvm_probe(n, uuid), VM_E_NOENT);
    vm__blk_unref(n);
    n = make_pv('a', metadata);
    uint8_t huge[8];
    vm_put_le64(huge, UINT64_MAX - 5);
    cr_assert_eq(vm__blk_write(n, 4096 + 40, huge, 8), VM_OK);
    cr_assert_neq(vm__lvm_list(n, list_one, NULL), VM_OK);
    cr_assert_eq(vm__blk_write(n, 512 + 104, huge, 8), VM_OK);
    cr_assert_neq(vm__lvm_list(n, list_one, NULL), VM_OK);
    vm__blk_unref(n);
}
