/* SPDX-License-Identifier: MIT */
/**
 * @file vga_mem.c
 * What the processor sees at 0xA0000: four planes behind the graphics controller.
 *
 * Spec: [IBM-VGA §2], [FreeVGA "Accessing the VGA Display Memory"], [FreeVGA "Graphics Registers"].
 * The four planes of an address are handled together, a byte each of a 32-bit word.
 */
#include "devices/display/vga.h"

enum { ALL_PLANES = 0x0f };

/** 0xff in the byte of every plane whose bit is set. */
static uint32_t expand(unsigned planes)
{
    return (planes & 1 ? 0xffu : 0) | (planes & 2 ? 0xff00u : 0) | (planes & 4 ? 0xff0000u : 0) |
           (planes & 8 ? 0xff000000u : 0);
}

/** The same byte in each plane. */
static uint32_t spread(uint8_t v)
{
    return v * 0x01010101u;
}

/** Offset in the window to offset in the range that is decoded; false: nobody answers there. */
static bool decode(const struct vga *s, uint32_t off, uint32_t *a)
{
    static const struct {
        uint32_t base, size;
    } maps[4] = {
        { 0x00000, 0x20000 }, { 0x00000, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 }
    };
    const unsigned map = s->gc[GC_MISC] >> 2 & 3;
    *a = off - maps[map].base;
    return (s->misc & MISC_RAM) && *a < maps[map].size;
}

/** The plane address of an address in the range; *@p planes: which planes it can reach at all. */
static uint32_t plane_address(const struct vga *s, uint32_t a, unsigned *planes)
{
    *planes = ALL_PLANES;
    if (s->seq[SEQ_MEMORY] & MEMORY_CHAIN4) {
        *planes = 1u << (a & 3);
        return (a & 0xfffc) | (a >> 14 & 3);
    }
    if (!(s->seq[SEQ_MEMORY] & MEMORY_NOT_ODD_EVEN))
        *planes = a & 1 ? 0x0a : 0x05;
    if (s->gc[GC_MISC] & GC_MISC_CHAIN) /* A0 selects the plane; A16 takes its place, if decoded */
        a = (a & ~1u) | (a >> 16 & 1);
    a &= VGA_PLANE_SIZE - 1;
    if (vga_in_dispi(s))
        a += (uint32_t)s->dispi[DISPI_BANK] * VGA_BANK_SIZE;
    return a;
}

/** The word of an access, or NULL: outside of the memory there is. */
static uint8_t *word_at(const struct vga *s, uint32_t plane_addr)
{
    const uint64_t slot = vga_slot(plane_addr);
    return plane_addr < s->vram_bytes / 4 ? s->mem + slot : NULL;
}

static void written(struct vga *s, const uint8_t *at, unsigned planes)
{
    const uint64_t off = (uint64_t)(at - s->mem);
    vm__page_written(&s->pages[off >> VM_PAGE_SHIFT], off & (VM_PAGE_SIZE - 1), 1);
    if (planes & 4)
        s->font_touched = true;
}

/* ---- packed modes -------------------------------------------------------------------------- */

/** A DISPI mode with packed pixels: 64 KiB of memory, by bank. NULL: behind its end. */
static uint8_t *packed_at(const struct vga *s, uint32_t off)
{
    const uint64_t at = (uint64_t)s->dispi[DISPI_BANK] * VGA_BANK_SIZE + off;
    return off < VGA_BANK_SIZE && at < s->vram_bytes ? s->mem + at : NULL;
}

/** Chain-4 with nothing between the processor and memory. */
static bool is_plain_chain4(const struct vga *s)
{
    return (s->misc & MISC_RAM) && (s->seq[SEQ_MEMORY] & MEMORY_CHAIN4) &&
           s->seq[SEQ_MAP_MASK] == ALL_PLANES && (s->gc[GC_MODE] & 0x0b) == 0 &&
           s->gc[GC_ROTATE] == 0 && s->gc[GC_SET_RESET_ENABLE] == 0 && s->gc[GC_BIT_MASK] == 0xff &&
           (s->gc[GC_MISC] >> 2 & 3) == 1;
}

bool vm__vga_mem_linear(const struct vga *s, uint64_t *off)
{
    const uint64_t bank = (uint64_t)s->dispi[DISPI_BANK] * VGA_BANK_SIZE;
    *off = vga_is_packed(s) ? bank : 0;
    if (vga_is_packed(s))
        return bank + VGA_BANK_SIZE <= s->vram_bytes;
    return !vga_in_dispi(s) && is_plain_chain4(s);
}

/* ---- reading ------------------------------------------------------------------------------- */

/** Read mode 1: a bit is set where all planes that count have the wanted colour. */
static uint8_t compare(const struct vga *s, uint32_t word)
{
    const uint32_t differ = (word ^ expand(s->gc[GC_COMPARE])) & expand(s->gc[GC_DONT_CARE]);
    return (uint8_t) ~(differ | differ >> 8 | differ >> 16 | differ >> 24);
}

static uint8_t read_byte(struct vga *s, uint32_t off)
{
    uint32_t a;
    unsigned planes;

    if (vga_is_packed(s)) {
        const uint8_t *p = packed_at(s, off);
        return p != NULL ? *p : 0xff;
    }
    if (!decode(s, off, &a))
        return 0xff;
    const uint8_t *word = word_at(s, plane_address(s, a, &planes));
    if (word == NULL)
        return 0xff;
    memcpy(s->latch, word, 4);
    if (s->seq[SEQ_MEMORY] & MEMORY_CHAIN4)
        return word[a & 3];
    if (s->gc[GC_MODE] & GC_MODE_READ1)
        return compare(s, vm_le32(word));
    if (s->gc[GC_MODE] & GC_MODE_ODD_EVEN)
        return word[(s->gc[GC_READ_MAP] & 2) | (a & 1)];
    return word[s->gc[GC_READ_MAP] & 3];
}

uint64_t vm__vga_mem_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct vga *s = vm_dev_state(dev);
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)read_byte(s, (uint32_t)off + i) << 8 * i;
    return v;
}

/* ---- writing ------------------------------------------------------------------------------- */

static uint8_t rotate(const struct vga *s, uint8_t v)
{
    const unsigned n = s->gc[GC_ROTATE] & 7;
    return (uint8_t)(v >> n | v << (8 - n));
}

/** The logical unit: data with latches. */
static uint32_t combine(const struct vga *s, uint32_t data, uint32_t latch)
{
    switch (s->gc[GC_ROTATE] >> 3 & 3) {
    case 1:
        return data & latch;
    case 2:
        return data | latch;
    case 3:
        return data ^ latch;
    default:
        return data;
    }
}

/** What the four planes get for a byte from the processor. */
static uint32_t planes_data(const struct vga *s, uint8_t v)
{
    const uint32_t latch = vm_le32(s->latch), set = expand(s->gc[GC_SET_RESET]);
    uint32_t data, bits = spread(s->gc[GC_BIT_MASK]);

    switch (s->gc[GC_MODE] & 3) {
    case 0: {
        const uint32_t use_set = expand(s->gc[GC_SET_RESET_ENABLE]);
        data = (set & use_set) | (spread(rotate(s, v)) & ~use_set);
        break;
    }
    case 1:
        return latch;
    case 2:
        data = expand(v);
        break;
    default:
        data = set;
        bits &= spread(rotate(s, v));
        break;
    }
    return (combine(s, data, latch) & bits) | (latch & ~bits);
}

static void write_byte(struct vga *s, uint32_t off, uint8_t v)
{
    uint32_t a;
    unsigned planes;

    if (vga_is_packed(s)) {
        uint8_t *p = packed_at(s, off);
        if (p != NULL) {
            *p = v;
            written(s, p, 0);
        }
        return;
    }
    if (!decode(s, off, &a))
        return;
    uint8_t *word = word_at(s, plane_address(s, a, &planes));
    planes &= s->seq[SEQ_MAP_MASK];
    if (word == NULL || planes == 0)
        return;
    const uint32_t keep = ~expand(planes);
    vm_put_le32(word, (vm_le32(word) & keep) | (planes_data(s, v) & ~keep));
    written(s, word, planes);
}

void vm__vga_mem_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct vga *s = vm_dev_state(dev);
    for (unsigned i = 0; i < size; i++)
        write_byte(s, (uint32_t)off + i, (uint8_t)(v >> 8 * i));
}
