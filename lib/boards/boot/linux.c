/* SPDX-License-Identifier: MIT */
/**
 * @file linux.c
 * Linux bzImage, entered at its 32-bit entry point.
 *
 * Spec: [Linux-boot] The Linux/x86 Boot Protocol, versions 2.03 to 2.15, "32-bit boot protocol".
 * That entry exists in 32-bit and in 64-bit kernels alike and needs no page tables from us.
 * The real-mode setup code is skipped: everything that it would ask the firmware for is written
 * into boot_params ("zero page") here.
 * Old zImage kernels, and payloads that live in the setup code itself (iPXE's .lkrn), need the
 * 16-bit entry with firmware underneath: setup16.c.
 */
#include <inttypes.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "boards/boot/load.h"

/* Offsets in the file and in boot_params alike [Linux-boot "The Real-Mode Kernel Header"]. */
enum {
    HDR_SETUP_SECTS = 0x1f1,
    HDR_SYSSIZE = 0x1f4,
    HDR_BOOT_FLAG = 0x1fe,
    HDR_JUMP = 0x200,
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_TYPE_OF_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_CODE32_START = 0x214,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_KERNEL_ALIGNMENT = 0x230,
    HDR_RELOCATABLE = 0x234,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_PREF_ADDRESS = 0x258,
    HDR_INIT_SIZE = 0x260,
    HDR_MIN = 0x230, /* bytes a 2.03 header is sure to have, rounded up */
    HDR_MAX = 0x290, /* where boot_params goes on with other things */
};

/* Offsets in boot_params only [Linux-boot "zero page"]. */
enum {
    BP_SCREEN_EXT_MEM_K = 0x002,
    BP_SCREEN_VIDEO_MODE = 0x006,
    BP_SCREEN_VIDEO_COLS = 0x007,
    BP_SCREEN_VIDEO_LINES = 0x00e,
    BP_SCREEN_IS_VGA = 0x00f,
    BP_SCREEN_POINTS = 0x010,
    BP_ACPI_RSDP_ADDR = 0x070,
    BP_ALT_MEM_K = 0x1e0,
    BP_E820_ENTRIES = 0x1e8,
    BP_E820_TABLE = 0x2d0,
    BP_SIZE = 4096,
    E820_ENTRY_SIZE = 20,
};

enum {
    SECTOR = 512,
    LOAD_HIGH_ADDRESS = 0x100000,
    LOADED_HIGH = 1 << 0,   /* loadflags */
    KEEP_SEGMENTS = 1 << 6, /* loadflags: do not reload segment registers at entry */
    LOADER_UNDEFINED = 0xff,
    CMDLINE_OLD_MAX = 255,       /* before 2.06 */
    INITRD_OLD_MAX = 0x37ffffff, /* before 2.03 */
};

struct linux_header {
    uint32_t version;
    uint32_t setup_bytes;       /* boot sector and setup code */
    uint64_t payload_bytes;     /* protected-mode part, as the file has it */
    uint32_t cmdline_max;       /* without the final 0 */
    uint32_t initrd_max;        /* highest address of the last byte */
    uint64_t run_base, run_len; /* what the kernel overwrites while it unpacks itself */
};

bool vm__boot_is_linux(const uint8_t *data, size_t len)
{
    return len >= HDR_MIN && vm_le16(data + HDR_BOOT_FLAG) == 0xaa55 &&
           memcmp(data + HDR_MAGIC, "HdrS", 4) == 0;
}

/** Where the kernel runs and how much it needs there, before it reads any memory map. */
static void parse_run_area(const uint8_t *k, struct linux_header *h)
{
    h->run_base = LOAD_HIGH_ADDRESS;
    h->run_len = h->payload_bytes;
    if (h->version < 0x20a)
        return;
    uint64_t pref = vm_le64(k + HDR_PREF_ADDRESS);
    if (pref > h->run_base)
        h->run_base = pref;
    if (vm_le32(k + HDR_INIT_SIZE) > h->run_len)
        h->run_len = vm_le32(k + HDR_INIT_SIZE);
}

static int parse_header(const struct boot_request *r, struct linux_header *h)
{
    const uint8_t *k = r->kernel.data;
    const char *name = r->kernel.name;

    h->version = vm_le16(k + HDR_VERSION);
    if (h->version < 0x203)
        return vm__fail(VM_E_NOTSUP, "%s: Linux boot protocol %u.%02u is too old (2.03 is needed)",
                        name, h->version >> 8, h->version & 0xff);
    if (!(k[HDR_LOADFLAGS] & LOADED_HIGH))
        return vm__fail(VM_E_NOTSUP, "%s: zImage kernels (loaded low) are not supported", name);

    uint32_t sects = k[HDR_SETUP_SECTS] != 0 ? k[HDR_SETUP_SECTS] : 4;
    h->setup_bytes = (sects + 1) * SECTOR;
    if (h->setup_bytes >= r->kernel.len)
        return vm__fail(VM_E_CORRUPT,
                        "%s: truncated kernel: %zu bytes, its setup part alone has %u", name,
                        r->kernel.len, h->setup_bytes);
    h->payload_bytes = r->kernel.len - h->setup_bytes;

    /* syssize counts paragraphs; the last one may be cut short. Before 2.04 it was 16 bits. */
    uint64_t promised = (uint64_t)vm_le32(k + HDR_SYSSIZE) * 16;
    if (h->version >= 0x204 && promised > h->payload_bytes + 15)
        return vm__fail(VM_E_CORRUPT,
                        "%s: truncated kernel: %zu bytes, its header promises %" PRIu64, name,
                        r->kernel.len, promised + h->setup_bytes);
    uint32_t header_end = HDR_MAGIC + k[HDR_JUMP + 1];
    if (h->version >= 0x20a && header_end < HDR_INIT_SIZE + 4)
        return vm__fail(VM_E_CORRUPT, "%s: setup header ends at 0x%x, too early for its version",
                        name, header_end);
    h->cmdline_max = h->version >= 0x206 ? vm_le32(k + HDR_CMDLINE_SIZE) : CMDLINE_OLD_MAX;
    h->initrd_max = vm_le32(k + HDR_INITRD_ADDR_MAX);
    if (h->initrd_max == 0)
        h->initrd_max = INITRD_OLD_MAX;
    parse_run_area(k, h);
    return VM_OK;
}

/** The image, and behind it (or apart, when it moves first) the space it unpacks into. */
static int add_kernel(const struct boot_request *r, const struct linux_header *h,
                      struct boot_plan *p)
{
    const uint8_t *payload = r->kernel.data + h->setup_bytes;
    if (!vm__boot_in_ram(r, h->run_base, h->run_len))
        return vm__fail(VM_E_RANGE,
                        "%s: the kernel needs memory up to %" PRIu64
                        " MiB, which this machine does not have",
                        r->kernel.name, ((h->run_base + h->run_len) >> 20) + 1);
    return vm__boot_add(p, r, "the kernel", LOAD_HIGH_ADDRESS, payload, h->payload_bytes, 0);
}

/** As high as the kernel allows: it frees that memory most easily, and unpacks lower. */
static int add_initrd(const struct boot_request *r, const struct linux_header *h,
                      struct boot_plan *p, uint8_t *bp)
{
    if (r->n_modules == 0 || r->modules[0].file.len == 0)
        return VM_OK;
    const struct boot_file *f = &r->modules[0].file;
    uint64_t gpa;
    int st = vm__boot_find(p, r, "the initrd", f->len, 4096, h->run_base + h->run_len,
                           h->initrd_max, &gpa);
    if (st != VM_OK)
        return st;
    vm_put_le32(bp + HDR_RAMDISK_IMAGE, (uint32_t)gpa);
    vm_put_le32(bp + HDR_RAMDISK_SIZE, (uint32_t)f->len);
    return vm__boot_add(p, r, "the initrd", gpa, f->data, f->len, 0);
}

static int add_cmdline(const struct boot_request *r, const struct linux_header *h,
                       struct boot_plan *p, uint8_t *bp)
{
    size_t len = strlen(r->cmdline);
    if (len > h->cmdline_max)
        return vm__fail(VM_E_RANGE, "%s: the command line has %zu bytes, the kernel takes %u",
                        r->kernel.name, len, h->cmdline_max);
    uint32_t gpa;
    int st = vm__boot_add_low(p, r, "the command line", (const uint8_t *)r->cmdline, len + 1, &gpa);
    if (st == VM_OK)
        vm_put_le32(bp + HDR_CMD_LINE_PTR, gpa);
    return st;
}

static void fill_memory(const struct boot_request *r, uint8_t *bp)
{
    uint8_t *e = bp + BP_E820_TABLE;
    for (size_t i = 0; i < r->n_ranges; i++, e += E820_ENTRY_SIZE) {
        vm_put_le64(e, r->ranges[i].base);
        vm_put_le64(e + 8, r->ranges[i].size);
        vm_put_le32(e + 16, r->ranges[i].type);
        if (r->ranges[i].type == BOOT_RAM_USABLE && r->ranges[i].base == LOAD_HIGH_ADDRESS) {
            uint64_t kib = r->ranges[i].size >> 10;
            vm_put_le32(bp + BP_ALT_MEM_K, (uint32_t)kib);
            vm_put_le16(bp + BP_SCREEN_EXT_MEM_K, kib > 0xfc00 ? 0xfc00 : (uint16_t)kib);
        }
    }
    bp[BP_E820_ENTRIES] = (uint8_t)r->n_ranges;
}

static void fill_screen(uint8_t *bp)
{
    bp[BP_SCREEN_VIDEO_MODE] = 3;
    bp[BP_SCREEN_VIDEO_COLS] = 80;
    bp[BP_SCREEN_VIDEO_LINES] = 25;
    bp[BP_SCREEN_IS_VGA] = 1;
    bp[BP_SCREEN_POINTS] = 16;
}

static void fill_params(const struct boot_request *r, const struct linux_header *h, uint8_t *bp)
{
    const uint8_t *k = r->kernel.data;
    uint32_t end = HDR_MAGIC + k[HDR_JUMP + 1];
    if (end > HDR_MAX)
        end = HDR_MAX;
    if (end > r->kernel.len)
        end = (uint32_t)r->kernel.len;
    memcpy(bp + HDR_SETUP_SECTS, k + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
    bp[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    bp[HDR_LOADFLAGS] &= (uint8_t)~KEEP_SEGMENTS;
    vm_put_le32(bp + HDR_CODE32_START, LOAD_HIGH_ADDRESS);
    vm_put_le32(bp + HDR_RAMDISK_IMAGE, 0);
    vm_put_le32(bp + HDR_RAMDISK_SIZE, 0);
    if (h->version >= 0x20e)
        vm_put_le64(bp + BP_ACPI_RSDP_ADDR, r->rsdp);
    fill_memory(r, bp);
    if (r->has_vga_text)
        fill_screen(bp);
}

int vm__boot_linux(const struct boot_request *r, struct boot_plan *p)
{
    struct linux_header h = { 0 };
    int st = parse_header(r, &h);
    if (st != VM_OK)
        return st;
    uint8_t *bp = vm__boot_alloc(p, BP_SIZE);
    if (bp == NULL)
        return VM_E_NOMEM;
    fill_params(r, &h, bp);
    uint32_t bp_gpa = 0;
    if ((st = add_kernel(r, &h, p)) != VM_OK || (st = add_initrd(r, &h, p, bp)) != VM_OK ||
        (st = add_cmdline(r, &h, p, bp)) != VM_OK ||
        (st = vm__boot_add_low(p, r, "boot parameters", bp, BP_SIZE, &bp_gpa)) != VM_OK)
        return st;
    p->entry.eip = LOAD_HIGH_ADDRESS;
    p->entry.esi = bp_gpa;
    p->screen_gpa = bp_gpa;
    p->entry.esp = bp_gpa; /* the protocol asks for none; a fault then is not a surprise */
    return VM_OK;
}
