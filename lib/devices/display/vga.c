/* SPDX-License-Identifier: MIT */
/**
 * @file vga.c
 * VGA with Bochs extensions, as a PCI function: what firmware and systems know as "standard VGA".
 *
 * Spec: [IBM-VGA], [FreeVGA]; [BOCHS-VBE] high resolutions; [QEMU-VGA] for the layout of BAR 2.
 * BAR 0 is video memory, BAR 2 its registers without ports, the ROM is the VGA BIOS. The legacy
 * ranges are decoded whatever the command register says: there is no other adapter to make way for.
 */
#include "devices/display/vga.h"

#include "core/firmware.h"

enum {
    WINDOW_MEM = 0,
    WINDOW_PORTS,
    WINDOW_INDEX,
    WINDOW_DATA,
    WINDOW_MMIO,

    PORT_BASE = 0x3b0,
    PORT_DISPI_INDEX = 0x1ce,
    PORT_DISPI_DATA = 0x1cf,

    MMIO_SIZE = 0x1000, /* [QEMU-VGA "Memory bar 2"] */
    MMIO_PORTS = 0x400,
    MMIO_PORTS_FIRST = 0x3c0 - PORT_BASE,
    MMIO_PORTS_SIZE = 0x20,
    MMIO_DISPI = 0x500,
    MMIO_EXT = 0x600,
    MMIO_EXT_SIZE = 8,
    MMIO_ENDIAN = MMIO_EXT + 4,

    ROM_MOST = 0x40000,
};
#define ENDIAN_LITTLE UINT32_C(0x1e1e1e1e)
#define ENDIAN_BIG    UINT32_C(0xbebebebe)

/* ---- the window at 0xA0000 ---------------------------------------------------------------- */

void vm__vga_update_map(struct vm_dev *dev)
{
    struct vga *s = vm_dev_state(dev);
    struct vm_region *old = s->linear;
    uint64_t off;
    const bool want = vm__vga_mem_linear(s, &off);

    if (want == (old != NULL) && (!want || off == s->linear_off))
        return;
    vm__mem_begin(dev->m);
    s->linear = NULL;
    s->linear_off = off;
    if (want)
        s->linear = vm__alias_new(dev->m, "vga-window", s->vram, off, VGA_BANK_SIZE);
    if (s->linear != NULL)
        (void)vm__region_place(s->linear, VGA_MEM_BASE, VM_PRIO_DEVICE);
    vm__region_free(old);
    vm__mem_commit(dev->m);
}

/* ---- ports -------------------------------------------------------------------------------- */

static uint64_t ports_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    (void)size; /* 1: the table says so */
    return vm__vga_port_read(dev, (uint32_t)off);
}

static void ports_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    (void)size;
    vm__vga_port_write(dev, (uint32_t)off, (uint8_t)v);
}

static uint64_t index_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct vga *s = vm_dev_state(dev);
    (void)size;
    return off == 0 ? s->dispi_index : UINT64_MAX;
}

static void index_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct vga *s = vm_dev_state(dev);
    (void)size;
    if (off == 0)
        s->dispi_index = (uint16_t)v;
}

static uint64_t data_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct vga *s = vm_dev_state(dev);
    (void)size;
    return off == 0 ? vm__vga_dispi_read(s, s->dispi_index) : UINT64_MAX;
}

static void data_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    const struct vga *s = vm_dev_state(dev);
    if (off == 0 && size == 2)
        vm__vga_dispi_write(dev, s->dispi_index, (uint16_t)v);
}

/* ---- BAR 2 -------------------------------------------------------------------------------- */

static uint8_t mmio_byte(struct vm_dev *dev, uint32_t off)
{
    const struct vga *s = vm_dev_state(dev);
    const uint32_t dispi = off - MMIO_DISPI;

    if (off < VGA_EDID_SIZE)
        return s->edid[off];
    if (off - MMIO_PORTS < MMIO_PORTS_SIZE)
        return vm__vga_port_read(dev, off - MMIO_PORTS + MMIO_PORTS_FIRST);
    if (dispi < 2 * DISPI_REGS)
        return (uint8_t)(vm__vga_dispi_read(s, dispi / 2) >> 8 * (dispi & 1));
    if (off == MMIO_EXT)
        return MMIO_EXT_SIZE;
    if (off - MMIO_ENDIAN < 4)
        return (uint8_t)(s->big_endian ? ENDIAN_BIG : ENDIAN_LITTLE);
    return 0;
}

static uint64_t mmio_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)mmio_byte(dev, (uint32_t)off + i) << 8 * i;
    return v;
}

static void mmio_write(struct vm_dev *dev, uint64_t off64, unsigned size, uint64_t v)
{
    struct vga *s = vm_dev_state(dev);
    const uint32_t off = (uint32_t)off64, dispi = off - MMIO_DISPI;

    if (off - MMIO_PORTS < MMIO_PORTS_SIZE) {
        for (unsigned i = 0; i < size; i++)
            vm__vga_port_write(dev, off + i - MMIO_PORTS + MMIO_PORTS_FIRST, (uint8_t)(v >> 8 * i));
    } else if (dispi < 2 * DISPI_REGS) {
        for (unsigned i = 0; i + 1 < size; i += 2)
            vm__vga_dispi_write(dev, (dispi + i) / 2, (uint16_t)(v >> 8 * i));
    } else if (off == MMIO_ENDIAN && size == 4 && (v == ENDIAN_BIG || v == ENDIAN_LITTLE)) {
        s->big_endian = v == ENDIAN_BIG;
        vga_stale(s);
    }
}

/* ---- life --------------------------------------------------------------------------------- */

static int add_rom(struct vm_dev *dev)
{
    struct vga *s = vm_dev_state(dev);
    struct vm_file file;
    uint64_t size = VM_PAGE_SIZE;

    if (s->rom_file == NULL || strcmp(s->rom_file, "none") == 0)
        return VM_OK;
    int st = vm__firmware_find(dev->m, s->rom_file, "seabios", ROM_MOST, &file);
    if (st != VM_OK)
        return st;
    while (size < file.len)
        size *= 2;
    s->rom = vm__rom_new(dev->m, "vga-rom", file.data, file.len, size);
    vm__file_free(&file);
    if (s->rom == NULL)
        return vm_last_error()->code;
    vm__pci_bar_region(dev, PCI_ROM_BAR, VM_PCI_BAR_MEM, false, s->rom);
    return VM_OK;
}

static int map_windows(struct vm_dev *dev)
{
    static const uint32_t bases[] = { VGA_MEM_BASE, PORT_BASE, PORT_DISPI_INDEX, PORT_DISPI_DATA };
    int st = VM_OK;
    for (uint32_t i = 0; i < VM_COUNT_OF(bases) && st == VM_OK; i++)
        st = vm__dev_map_at(dev, i, bases[i], i == WINDOW_MEM ? VM_PRIO_PCI : VM_PRIO_DEVICE);
    return st;
}

static void vga_unrealize(struct vm_dev *dev)
{
    struct vga *s = vm_dev_state(dev);
    if (s->display != NULL)
        vm__display_detach_guest(s->display);
    vm__vga_draw_fini(s);
    vm__region_free(s->linear);
    vm__region_free(s->rom);
    vm__region_free(s->vram);
    s->linear = s->rom = s->vram = NULL;
    s->display = NULL;
}

static int build(struct vm_dev *dev)
{
    struct vga *s = vm_dev_state(dev);

    if (!vm_is_pow2(s->vram_bytes))
        return vm__fail(VM_E_INVAL, "vram: %llu bytes is not a power of two",
                        (unsigned long long)s->vram_bytes);
    s->vram = vm__ram_new(dev->m, "vga-vram", s->vram_bytes);
    if (s->vram == NULL)
        return vm_last_error()->code;
    s->mem = vm__region_host(s->vram);
    s->pages = vm__region_pages(s->vram);
    vm__pci_bar_region(dev, 0, VM_PCI_BAR_MEM, true, s->vram);
    vm__vga_edid(s->edid, s->xres, s->yres);
    int st = add_rom(dev);
    if (st == VM_OK)
        st = map_windows(dev);
    if (st != VM_OK)
        return st;
    struct vm_display *display = vm__display_get(dev->m, 0);
    if (display == NULL)
        return vm_last_error()->code;
    st = vm__display_attach_guest(display, &vm__vga_display_ops, dev);
    if (st == VM_OK)
        s->display = display;
    return st;
}

static int vga_realize(struct vm_dev *dev)
{
    const int st = build(dev);
    if (st != VM_OK)
        vga_unrealize(dev);
    return st;
}

static void vga_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct vga *s = vm_dev_state(dev);
    (void)kind;
    vm__vga_regs_reset(s);
    vm__vga_dispi_reset(s);
    vm__vga_update_map(dev);
    vga_stale(s);
}

static int vga_post_load(struct vm_dev *dev)
{
    struct vga *s = vm_dev_state(dev);
    int st = vm__vga_dispi_check(s);
    if (st != VM_OK)
        return st;
    vm__vga_regs_fix(s);
    st = vm__pci_post_load(dev);
    vm__vga_update_map(dev);
    vga_stale(s);
    return st;
}

/* ---- the class ---------------------------------------------------------------------------- */

static const struct vm_pci_function function = {
    .vendor = 0x1234,
    .device = 0x1111,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 2,
    .class_code = 0x030000,
    .bars = { [2] = { VM_PCI_BAR_MEM, WINDOW_MMIO } },
};

static const struct vm_window windows[] = {
    { "mem", VM_SPACE_MEM, VGA_MEM_SIZE, 1, 8, .read = vm__vga_mem_read,
      .write = vm__vga_mem_write, .late = true },
    { "ports", VM_SPACE_PORT, 0x30, 1, 1, .read = ports_read, .write = ports_write },
    { "dispi-index", VM_SPACE_PORT, 2, 1, 2, .read = index_read, .write = index_write },
    { "dispi-data", VM_SPACE_PORT, 2, 1, 2, .read = data_read, .write = data_write },
    { "mmio", VM_SPACE_MEM, MMIO_SIZE, 1, 4, .read = mmio_read, .write = mmio_write },
    { 0 },
};

static const struct vm_prop props[] = {
    { "vram", VM_PROP_SIZE(vga, vram_bytes), .value = "16M", .min = 1 << 20, .max = 256 << 20,
      .help = "video memory" },
    { "romfile", VM_PROP_STR(vga, rom_file), .value = "vgabios-stdvga.bin",
      .help = "VGA BIOS, a file among the firmware; none" },
    { "xres", VM_PROP_UINT(vga, xres), .value = "1024", .min = 320, .max = DISPI_MAX_X,
      .help = "width the monitor prefers" },
    { "yres", VM_PROP_UINT(vga, yres), .value = "768", .min = 200, .max = DISPI_MAX_Y,
      .help = "height the monitor prefers" },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_PCI_FIELD(vga),
    VM_FIELD(vga, misc, 1),
    VM_FIELD(vga, feature, 1),
    VM_FIELD(vga, seq_index, 1),
    VM_FIELD_ARRAY(vga, seq, 1),
    VM_FIELD(vga, crtc_index, 1),
    VM_FIELD_ARRAY(vga, crtc, 1),
    VM_FIELD(vga, gc_index, 1),
    VM_FIELD_ARRAY(vga, gc, 1),
    VM_FIELD(vga, attr_index, 1),
    VM_FIELD_ARRAY(vga, attr, 1),
    VM_FIELD(vga, attr_data, 1),
    VM_FIELD(vga, status_toggle, 1),
    VM_FIELD(vga, dac_mask, 1),
    VM_FIELD(vga, dac_read_index, 1),
    VM_FIELD(vga, dac_write_index, 1),
    VM_FIELD(vga, dac_step, 1),
    VM_FIELD(vga, dac_reading, 1),
    VM_FIELD_ARRAY(vga, dac_wait, 1),
    VM_FIELD_BYTES(vga, dac, 1),
    VM_FIELD_ARRAY(vga, latch, 1),
    VM_FIELD(vga, dispi_index, 1),
    VM_FIELD_ARRAY(vga, dispi, 1),
    VM_FIELD(vga, big_endian, 1),
    { 0 },
};

const struct vm_dev_class vm__vga_class = {
    .name = "vga",
    .summary = "VGA with Bochs VBE extensions",
    .spec = "IBM VGA, Bochs VBE B0C5",
    .bus = VM_BUS_PCI,
    .state_size = sizeof(struct vga),
    .windows = windows,
    .props = props,
    .fields = fields,
    .realize = vga_realize,
    .unrealize = vga_unrealize,
    .reset = vga_reset,
    .post_load = vga_post_load,
    .pci = &function,
};
