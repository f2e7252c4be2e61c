/* SPDX-License-Identifier: MIT */
/**
 * @file setup16.c
 * Where the parts of a Linux kernel go that starts at its 16-bit entry. See setup16.h.
 *
 * Spec: [Linux-boot] "Memory Layout", "The Real-Mode Kernel Header", "The Kernel Command Line",
 * "Running the Kernel"; protocol versions from 2.00 on.
 */
#include "boards/boot/setup16.h"

#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "boards/boot/load.h"

enum {
    HDR_SETUP_SECTS = 0x1f1,
    HDR_VERSION = 0x206,
    HDR_TYPE_OF_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_HEAP_END_PTR = 0x224,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_CMDLINE_SIZE = 0x238,
    OLD_CMDLINE_MAGIC = 0x20, /* in the boot sector, before 2.02 */
    OLD_CMDLINE_OFFSET = 0x22,

    SECTOR = 512,
    LOADED_HIGH = 0x01,
    CAN_USE_HEAP = 0x80,
    LOADER_UNDEFINED = 0xff,

    SETUP_ANYWHERE = 0x10000, /* where the setup code goes if it may be put anywhere */
    SETUP_FIXED = 0x90000,
    HEAP_END = 0xe000, /* the heap and stack end here, the command line follows */
    HEAP_END_FIXED = 0x9800,
    KERNEL_HIGH = 0x100000,
    KERNEL_LOW = 0x10000,
    CMDLINE_OLD_MAX = 255,
    CMDLINE_ROOM = 0x1fff,
    INITRD_OLD_MAX = 0x37ffffff,
    DIRECT_SINCE = 0x20a, /* this version says all that a 32-bit entry needs to know */
};

bool vm__boot_needs_setup(const uint8_t *data, size_t len)
{
    return vm__boot_is_linux(data, len) &&
           (vm_le16(data + HDR_VERSION) < DIRECT_SINCE || !(data[HDR_LOADFLAGS] & LOADED_HIGH));
}

/** What the header says, and the copy of the setup code that gets our answers. */
struct setup {
    uint8_t *code;
    uint32_t code_len;
    uint32_t version;
    uint32_t base, heap_end;
    bool high;
};

static int open_setup(const struct boot_request *r, struct boot_plan *p, struct setup *s)
{
    const uint8_t *k = r->kernel.data;
    uint32_t sects = k[HDR_SETUP_SECTS] != 0 ? k[HDR_SETUP_SECTS] : 4;
    s->code_len = (sects + 1) * SECTOR;
    s->version = vm_le16(k + HDR_VERSION);
    s->high = k[HDR_LOADFLAGS] & LOADED_HIGH;
    bool anywhere = s->version >= 0x202 && s->high;
    s->base = anywhere ? SETUP_ANYWHERE : SETUP_FIXED;
    s->heap_end = anywhere ? HEAP_END : HEAP_END_FIXED;
    if (s->code_len >= r->kernel.len)
        return vm__fail(VM_E_CORRUPT,
                        "%s: truncated kernel: %zu bytes, its setup part alone has %u",
                        r->kernel.name, r->kernel.len, s->code_len);
    if (s->code_len > s->heap_end)
        return vm__fail(VM_E_CORRUPT, "%s: the setup part has %u bytes, %u at most have room",
                        r->kernel.name, s->code_len, s->heap_end);
    s->code = vm__boot_alloc(p, s->code_len);
    if (s->code == NULL)
        return VM_E_NOMEM;
    memcpy(s->code, k, s->code_len);
    s->code[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    if (s->version >= 0x201) {
        s->code[HDR_LOADFLAGS] |= CAN_USE_HEAP;
        vm_put_le16(s->code + HDR_HEAP_END_PTR, (uint16_t)(s->heap_end - 0x200));
    }
    return VM_OK;
}

/** Note a part and check that it lies in RAM, away from the others. */
static int add(const struct boot_request *r, struct boot_plan *p, struct boot_setup16 *out,
               enum boot_part part, const char *what, uint64_t gpa, const void *data, size_t len)
{
    out->part[part] = (struct boot_segment) { .gpa = gpa, .data = data, .len = len };
    return vm__boot_add(p, r, what, gpa, data, len, 0);
}

static int add_cmdline(const struct boot_request *r, struct boot_plan *p, const struct setup *s,
                       struct boot_setup16 *out)
{
    size_t len = strlen(r->cmdline);
    uint32_t most = s->version >= 0x206 ? vm_le32(s->code + HDR_CMDLINE_SIZE) : CMDLINE_OLD_MAX;
    if (most > CMDLINE_ROOM)
        most = CMDLINE_ROOM;
    if (len > most)
        return vm__fail(VM_E_RANGE, "%s: the command line has %zu bytes, the kernel takes %u",
                        r->kernel.name, len, most);
    if (s->version >= 0x202) {
        vm_put_le32(s->code + HDR_CMD_LINE_PTR, s->base + s->heap_end);
    } else {
        vm_put_le16(s->code + OLD_CMDLINE_MAGIC, 0xa33f);
        vm_put_le16(s->code + OLD_CMDLINE_OFFSET, (uint16_t)s->heap_end);
    }
    return add(r, p, out, BOOT_PART_CMDLINE, "the command line", s->base + s->heap_end, r->cmdline,
               len + 1);
}

static int add_initrd(const struct boot_request *r, struct boot_plan *p, const struct setup *s,
                      struct boot_setup16 *out)
{
    if (r->n_modules == 0 || r->modules[0].file.len == 0)
        return VM_OK;
    const struct boot_file *f = &r->modules[0].file;
    uint64_t most = s->version >= 0x203 ? vm_le32(s->code + HDR_INITRD_ADDR_MAX) : INITRD_OLD_MAX;
    uint64_t gpa = 0;
    int st = vm__boot_find(p, r, "the initrd", f->len, 4096, KERNEL_HIGH, most, &gpa);
    if (st != VM_OK)
        return st;
    vm_put_le32(s->code + HDR_RAMDISK_IMAGE, (uint32_t)gpa);
    vm_put_le32(s->code + HDR_RAMDISK_SIZE, (uint32_t)f->len);
    return add(r, p, out, BOOT_PART_INITRD, "the initrd", gpa, f->data, f->len);
}

static int place(const struct boot_request *r, struct boot_plan *p, struct boot_setup16 *out)
{
    struct setup s = { 0 };
    int st = open_setup(r, p, &s);
    if (st != VM_OK)
        return st;
    out->segment = (uint16_t)(s.base >> 4);
    out->sp = (uint16_t)s.heap_end;
    st = add(r, p, out, BOOT_PART_SETUP, "the setup part", s.base, s.code, s.code_len);
    if (st == VM_OK)
        st = add(r, p, out, BOOT_PART_KERNEL, "the kernel", s.high ? KERNEL_HIGH : KERNEL_LOW,
                 r->kernel.data + s.code_len, r->kernel.len - s.code_len);
    if (st == VM_OK)
        st = add_cmdline(r, p, &s, out);
    return st == VM_OK ? add_initrd(r, p, &s, out) : st;
}

int vm__boot_setup16(const struct boot_request *r, struct boot_plan *p, struct boot_setup16 *out)
{
    memset(out, 0, sizeof *out);
    vm__boot_plan_init(p);
    if (!vm__boot_is_linux(r->kernel.data, r->kernel.len))
        return vm__fail(VM_E_NOTSUP, "%s: only a Linux kernel can be started through firmware",
                        r->kernel.name);
    int st = place(r, p, out);
    if (st != VM_OK)
        vm__boot_plan_fini(p);
    return st;
}
