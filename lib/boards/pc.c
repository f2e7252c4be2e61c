/* SPDX-License-Identifier: MIT */
/**
 * @file pc.c
 * The "pc" board: i440FX host bridge, PIIX3 ISA bridge, PIIX4 power management; what every PC
 * system since the nineties knows.
 *
 * Memory: RAM from 0 to at most 3 GiB, the PCI hole to 4 GiB, the rest of RAM above.
 * Interrupts: lines 0 to 15 are the ISA ones; each reaches its 8259 input and the IOAPIC pin of the
 * same number, but for line 0, which is pin 2. Lines 16 to 23 reach the IOAPIC only.
 */
#include "boards/pc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/config.h"
#include "core/device.h"
#include "core/region.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/pci.h"
#include "devices/pci/pci_hotplug.h"
#include "devices/pci/piix4_pm.h"
#include "devices/timer/mc146818.h"

static const char *const vga_choices[] = { "std", "none", NULL }; /* by PC_VGA_* */
/* By enum pc_method. */
static const char *const methods[] = { "auto", "direct", "firmware", NULL };

static const struct vm_key keys[] = {
    { "pc.vga", VM_KEY_ENUM, "std", .choices = vga_choices, .help = "graphics adapter" },
    { "parallel0", VM_KEY_STR, "on", .help = "first parallel port: on or off" },
    { "parallel1", VM_KEY_STR, "off", .help = "second parallel port" },
    { "parallel2", VM_KEY_STR, "off", .help = "third parallel port" },
    { "pc.floppy", VM_KEY_BOOL, .value = "on", .help = "floppy controller" },
    { "pc.hpet", VM_KEY_BOOL, .value = "on", .help = "high precision event timer" },
    { "pc.uuid", VM_KEY_STR, .help = "the machine's UUID, for SMBIOS" },
    { "firmware.bios", VM_KEY_STR, "bios-256k.bin",
      .help = "firmware when there is no kernel: a file's name or path, or none" },
    { "firmware.console", VM_KEY_BOOL, "off",
      .help = "firmware's screen on the first serial port" },
    { "boot.method", VM_KEY_ENUM, "auto", .choices = methods,
      .help = "who starts the kernel: the board itself, or firmware at the 16-bit entry" },
    { "boot.order", VM_KEY_STR, "cad", .help = "what to try: a floppy, c disk, d CD, n network" },
    { "boot.once", VM_KEY_STR, .help = "the same for the first boot only" },
    { "boot.menu", VM_KEY_BOOL, "off", .help = "firmware offers a boot menu" },
    { "boot.menu_wait", VM_KEY_U64, .max = 65535, .help = "for so many milliseconds" },
    { "boot.fail_wait", VM_KEY_U64, .max = UINT32_MAX,
      .help = "milliseconds until firmware that found nothing starts over; 4294967295: never" },
    { "boot.floppy_check", VM_KEY_BOOL, "on", .help = "a bootable floppy needs its signature" },
    { 0 },
};

/* ---- memory ---- */

static int place_ram(struct vm_machine *m, struct vm_region *ram, const char *name, uint64_t off,
                     uint64_t size, uint64_t base)
{
    if (size == 0)
        return VM_OK;
    struct vm_region *part = vm__alias_new(m, name, ram, off, size);
    return part != NULL ? vm__region_place(part, base, VM_PRIO_RAM) : VM_E_NOMEM;
}

static int build_ram(struct pc *pc)
{
    uint64_t size = vm__config_u64(pc->m->config, "memory.size");
    uint64_t most = PC_RAM_LIMIT - (PC_HIGH - PC_HOLE);
    if (size > most)
        return vm__fail(VM_E_RANGE,
                        "memory.size: %" PRIu64 " GiB; this board takes at most %" PRIu64,
                        size >> 30, most >> 30);
    if (size < PC_RAM_LEAST || size % VM_PAGE_SIZE != 0)
        return vm__fail(VM_E_RANGE,
                        "memory.size: at least 2 MiB and a multiple of 4 KiB is needed");
    struct vm_region *ram = vm__ram_new(pc->m, "ram", size);
    if (ram == NULL)
        return VM_E_NOMEM;
    pc->ram = ram;
    pc->low_ram = size < PC_HOLE ? size : PC_HOLE;
    pc->high_ram = size - pc->low_ram;
    /* 0xA0000 to 0xFFFFF is the host bridge's. */
    int st = place_ram(pc->m, ram, "ram-base", 0, 0xa0000, 0);
    if (st == VM_OK)
        st = place_ram(pc->m, ram, "ram-low", 0x100000, pc->low_ram - 0x100000, 0x100000);
    if (st == VM_OK)
        st = place_ram(pc->m, ram, "ram-high", pc->low_ram, pc->high_ram, PC_HIGH);
    return st;
}

/* ---- interrupt lines ---- */

/** A level of one of the sources that share a line: open-collector, so any of them asserts it. */
static void drive_line(struct pc *pc, uint32_t line, uint32_t source, int level)
{
    uint32_t old = pc->line_sources[line];
    uint32_t now = level ? old | 1u << source : old & ~(1u << source);
    pc->line_sources[line] = now;
    if ((old != 0) == (now != 0))
        return;
    if (line < PC_ISA_LINES)
        vm__irq_set(&pc->pic_in[line], now != 0);
    vm__irq_set(&pc->ioapic_in[line == 0 ? 2 : line], now != 0);
}

/** m->lines[]: what devices are connected to by number. */
static void line_set(void *opaque, uint32_t n, int level)
{
    drive_line(opaque, n, PC_SOURCE_ISA, level);
}

/** A line with a source of its own: @p n is line | source << 8. */
static void shared_set(void *opaque, uint32_t n, int level)
{
    drive_line(opaque, n & 0xff, n >> 8, level);
}

struct vm_irq vm__pc_line(struct pc *pc, uint32_t line, enum pc_source source)
{
    return (struct vm_irq) { .set = shared_set, .opaque = pc, .n = line | (uint32_t)source << 8 };
}

/* ---- controllers and bridges ---- */

static int build_lines(struct pc *pc)
{
    struct vm_machine *m = pc->m;
    for (uint32_t i = 0; i < PC_LINES; i++)
        m->lines[i] = (struct vm_irq) { .set = line_set, .opaque = pc, .n = i };
    m->n_lines = PC_LINES;
    struct vm_dev *pic = vm__pc_add(pc, "i8259", "pic");
    struct vm_dev *ioapic = vm__pc_add(pc, "ioapic", "ioapic");
    if (pic == NULL || ioapic == NULL)
        return vm_last_error()->code;
    for (uint32_t i = 0; i < PC_LINES; i++) {
        if (i < PC_ISA_LINES && i != 2) /* input 2 is the cascade */
            pc->pic_in[i] = vm__dev_pin(pic, i);
        pc->ioapic_in[i] = vm__dev_pin(ioapic, i);
    }
    return VM_OK;
}

/** Host bridge, ISA bridge, power management; the bridge's PIRQs through the router to the lines.
 */
static int build_chipset(struct pc *pc)
{
    pc->host = vm__pc_add_pci(pc, vm__pc_class(pc, "i440fx"), "i440fx", 0, NULL);
    if (pc->host == NULL)
        return vm_last_error()->code;
    struct vm_dev *isa =
        vm__pc_add_pci(pc, vm__pc_class(pc, "piix3"), "piix3", PC_ISA_DEV << 3, NULL);
    if (isa == NULL)
        return vm_last_error()->code;
    const struct vm_setting pm[] = { { "s3", pc->bios != NULL ? "on" : "off" }, { 0 } };
    pc->pm = vm__pc_add_pci(pc, vm__pc_class(pc, "piix4_pm"), "pm",
                            PC_ISA_DEV << 3 | PC_PM_FUNCTION, pm);
    if (pc->pm == NULL)
        return vm_last_error()->code;
    for (unsigned i = 0; i < PCI_PINS; i++)
        vm__dev_connect(pc->host, i, vm__dev_pin(isa, i));
    for (uint32_t i = 0; i < PC_ISA_LINES; i++)
        vm__dev_connect(isa, i, vm__pc_line(pc, i, PC_SOURCE_PIRQ));
    vm__dev_connect(pc->pm, 0, vm__pc_line(pc, 9, PC_SOURCE_SCI));
    uint32_t low = vm__pc_firmware_low(pc);
    return vm__i440fx_set_memory(pc->host, pc->ram, pc->bios, 0x100000 - low,
                                 pc->bios != NULL ? vm__region_size(pc->bios) - low : 0);
}

/* ---- the class ---- */

static int pc_build(struct vm_machine *m)
{
    struct pc *pc = calloc(1, sizeof *pc);
    if (pc == NULL)
        return vm__fail_nomem(sizeof *pc);
    m->board_state = pc;
    pc->m = m;
    int (*const steps[])(struct pc *) = {
        build_ram,
        vm__pc_boot_open,
        vm__pc_firmware_load,
        build_lines,
        vm__pc_build_drives,
        build_chipset,
        vm__pc_display_build,
        vm__pc_build_timers,
        vm__pc_build_isa,
        vm__pc_build_serial,
        vm__pc_build_input,
        vm__pc_build_ide,
        vm__pc_build_firmware,
        vm__pc_build_hotplug,
        vm__pc_build_virtio_drives,
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int st = steps[i](pc);
        if (st != VM_OK)
            return st;
    }
    return vm__machine_add_cpus(m, (uint32_t)vm__config_u64(m->config, "cpu.count"));
}

static int pc_finish(struct vm_machine *m)
{
    struct pc *pc = pc_of(m);
    if (vm__dev_of_class(m, "pvpanic") != NULL)
        pc->devs |= ACPI_DEV_PVPANIC;
    int st = vm__pc_boot_tables(pc);
    if (st == VM_OK)
        st = vm__pc_firmware_smbios(pc);
    if (st == VM_OK)
        st = vm__pc_firmware_fill(pc);
    return st == VM_OK ? vm__pc_boot_load(pc) : st;
}

static int pc_reset(struct vm_machine *m, int kind)
{
    struct pc *pc = pc_of(m);
    if (kind == VM_DEV_RESET_WAKE) {
        vm__mc146818_set_cmos(pc->rtc, VM_CMOS_SHUTDOWN, PC_SHUTDOWN_WAKE);
        return VM_OK;
    }
    vm__pci_hotplug_finish(pc->hotplug);
    vm__pc_firmware_reset(pc);
    return vm__pc_boot_start(pc);
}

/**
 * INIT# for the processors only, as the keyboard controller and port 92h give it. Firmware goes on
 * in its shadow RAM, looks at the shutdown code in CMOS memory, and returns to a program from
 * protected mode or resets everything. A kernel without firmware is loaded again instead.
 */
static bool pc_soft_reset(struct vm_machine *m)
{
    const struct pc *pc = pc_of(m);
    if (pc->direct || pc->bios == NULL)
        return false;
    if (m->irq_hub.a20 != NULL) /* the first fetch is above 1 MiB; firmware then opens A20 */
        m->irq_hub.a20(m->irq_hub.cpus, 1);
    for (uint32_t i = 0; i < m->n_cpus; i++)
        vm__cpu_kick(m->cpus[i], VM_CPU_REQ_INIT);
    return true;
}

static int pc_boot_set(struct vm_machine *m, const char *order)
{
    return vm__pc_firmware_boot_set(pc_of(m), order);
}

static void pc_power_button(struct vm_machine *m)
{
    vm__piix4_pm_power_button(pc_of(m)->pm);
}

static void pc_destroy(struct vm_machine *m)
{
    struct pc *pc = m->board_state;
    if (pc == NULL)
        return;
    vm__pc_boot_fini(pc);
    vm__pc_firmware_fini(pc);
    free(pc);
    m->board_state = NULL;
}

const struct vm_board_class vm__pc_board = {
    .name = "pc",
    .summary = "i440FX and PIIX3 PC",
    .keys = keys,
    .build = pc_build,
    .plug = vm__pc_plug,
    .plugged = vm__pc_plugged,
    .unplug = vm__pc_unplug,
    .finish = pc_finish,
    .reset = pc_reset,
    .soft_reset = pc_soft_reset,
    .power_button = pc_power_button,
    .boot_set = pc_boot_set,
    .destroy = pc_destroy,
};
