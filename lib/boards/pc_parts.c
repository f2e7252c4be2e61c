/* SPDX-License-Identifier: MIT */
/**
 * @file pc_parts.c
 * The parts behind the chipset: timers, ports, keyboard. Each is a small step of the build.
 */
#include "base/error.h"
#include "boards/pc.h"
#include "core/config.h"
#include "core/device.h"
#include "devices/pci/pci.h"
#include "devices/pci/piix4_pm.h"
#include "devices/storage/i82077.h"
#include "devices/timer/mc146818.h"

/* Bits of the equipment byte. */
enum { EQUIPMENT_FLOPPY = 0x01, EQUIPMENT_TWO_FLOPPIES = 0x40 };

const struct vm_dev_class *vm__pc_class(struct pc *pc, const char *name)
{
    const struct vm_dev_class *cls = vm__dev_class(pc->m, name);
    if (cls == NULL)
        (void)vm__fail(VM_E_NOTSUP, "this library was built without %s, which a pc needs", name);
    return cls;
}

struct vm_dev *vm__pc_add(struct pc *pc, const char *class_name, const char *id)
{
    const struct vm_dev_class *cls = vm__pc_class(pc, class_name);
    return cls != NULL ? vm__dev_add(pc->m, cls, id, NULL) : NULL;
}

struct vm_dev *vm__pc_add_pci(struct pc *pc, const struct vm_dev_class *cls, const char *id,
                              unsigned devfn, const struct vm_setting *settings)
{
    struct vm_dev *dev = cls != NULL ? vm__dev_new(pc->m, cls, id, settings) : NULL;
    if (dev == NULL)
        return NULL;
    if (pc->bus == NULL)
        pc->bus = vm__pci_bus_of(dev); /* the bridge itself comes first */
    return vm__pci_add(pc->bus, dev, devfn);
}

/** The clock's interrupt also is an event of power management, which can wake the machine up. */
static void rtc_set(void *opaque, uint32_t n, int level)
{
    const struct pc *pc = opaque;
    (void)n;
    vm__irq_set(&pc->rtc_line, level);
    vm__irq_set(&pc->rtc_event, level);
}

/** PIT and RTC interrupt through the HPET, if there is one, which can take their lines over. */
int vm__pc_build_timers(struct pc *pc)
{
    struct vm_dev *pit = vm__pc_add(pc, "i8254", "pit");
    pc->rtc = pit != NULL ? vm__pc_add(pc, "mc146818", "rtc") : NULL;
    if (pc->rtc == NULL)
        return vm_last_error()->code;
    vm__dev_connect(pc->rtc, 0, (struct vm_irq) { .set = rtc_set, .opaque = pc });
    pc->rtc_event = vm__dev_pin(pc->pm, PIIX4_PM_RTC);
    if (!vm__config_bool(pc->m->config, "pc.hpet")) {
        vm__dev_connect(pit, 0, pc->m->lines[0]);
        pc->rtc_line = pc->m->lines[8];
        return VM_OK;
    }
    struct vm_dev *hpet = vm__pc_add(pc, "hpet", "hpet");
    if (hpet == NULL)
        return vm_last_error()->code;
    vm__dev_connect(pit, 0, vm__dev_pin(hpet, 0));
    pc->rtc_line = vm__dev_pin(hpet, 1);
    pc->devs |= ACPI_DEV_HPET;
    return VM_OK;
}

/** A key that is "on" or "off", or a mistake. */
static int read_switch(struct pc *pc, const char *key, bool *on)
{
    const char *text = vm__config_str(pc->m->config, key);
    if (vm__parse_bool(text, on) != VM_OK)
        return vm__fail(VM_E_INVAL, "%s: %s is neither on nor off", key, text);
    return VM_OK;
}

int vm__pc_build_serial(struct pc *pc)
{
    static const struct {
        const char *iobase, *irq, *chr;
        uint32_t source;
    } ports[PC_SERIAL_PORTS] = {
        { "0x3f8", "4", "serial0", PC_SOURCE_ISA },
        { "0x2f8", "3", "serial1", PC_SOURCE_ISA },
        { "0x3e8", "4", "serial2", PC_SOURCE_COM3 },
        { "0x2e8", "3", "serial3", PC_SOURCE_COM4 },
    };
    const struct vm_dev_class *cls = vm__pc_class(pc, "ns16550");
    if (cls == NULL)
        return VM_E_NOTSUP;
    for (uint32_t i = 0; i < PC_SERIAL_PORTS; i++) {
        const struct vm_setting settings[] = {
            { "iobase", ports[i].iobase },
            { "irq", ports[i].irq },
            { "chardev", ports[i].chr },
            { 0 },
        };
        bool on;
        int st = read_switch(pc, ports[i].chr, &on);
        if (st != VM_OK)
            return st;
        if (!on)
            continue;
        char id[8] = "com1";
        id[3] = (char)('1' + i);
        struct vm_dev *com = vm__dev_add(pc->m, cls, id, settings);
        if (com == NULL)
            return vm_last_error()->code;
        if (ports[i].source != PC_SOURCE_ISA)
            vm__dev_connect(com, 0, vm__pc_line(pc, i == 2 ? 4 : 3, ports[i].source));
        pc->devs |= (uint32_t)ACPI_DEV_COM1 << i;
    }
    return VM_OK;
}

/** Keyboard, mouse and their controller; the coprocessor's interrupt; system control port A, where
 * the A20 gates meet. */
int vm__pc_build_input(struct pc *pc)
{
    struct vm_dev *ps2 = vm__pc_add(pc, "i8042", "ps2");
    struct vm_dev *port92 = ps2 != NULL ? vm__pc_add(pc, "port92", "port92") : NULL;
    struct vm_dev *ferr = port92 != NULL ? vm__pc_add(pc, "ferr", "ferr") : NULL;
    if (ferr == NULL)
        return vm_last_error()->code;
    vm__dev_connect(ferr, 0, pc->m->lines[13]);
    vm__dev_connect(ps2, 0, pc->m->lines[1]);
    vm__dev_connect(ps2, 1, pc->m->lines[12]);
    vm__dev_connect(ps2, 2, vm__dev_pin(port92, 0));
    pc->devs |= ACPI_DEV_KBD | ACPI_DEV_MOUSE;
    return VM_OK;
}

static int build_parallel(struct pc *pc)
{
    static const struct {
        const char *id, *iobase, *irq, *dma, *chr;
    } ports[PC_PARALLEL_PORTS] = {
        { "lpt1", "0x378", "7", "3", "parallel0" },
        { "lpt2", "0x278", "5", "4", "parallel1" }, /* 4: none */
        { "lpt3", "0x3bc", "5", "4", "parallel2" },
    };
    const struct vm_dev_class *cls = vm__pc_class(pc, "parallel");
    if (cls == NULL)
        return VM_E_NOTSUP;
    for (uint32_t i = 0; i < PC_PARALLEL_PORTS; i++) {
        const struct vm_setting settings[] = {
            { "iobase", ports[i].iobase },
            { "irq", ports[i].irq },
            { "dma", ports[i].dma },
            { "chardev", ports[i].chr },
            { 0 },
        };
        bool on;
        int st = read_switch(pc, ports[i].chr, &on);
        if (st != VM_OK)
            return st;
        if (on && vm__dev_add(pc->m, cls, ports[i].id, settings) == NULL)
            return vm_last_error()->code;
        if (on && i == 0)
            pc->devs |= ACPI_DEV_LPT;
    }
    return VM_OK;
}

/** The floppy controller; CMOS memory tells firmware of its drives. [PC-AT §1 "CMOS RAM"] */
static int build_floppy(struct pc *pc)
{
    if (!vm__config_bool(pc->m->config, "pc.floppy"))
        return VM_OK;
    struct vm_dev *fdc = vm__pc_add(pc, "i82077", "fdc");
    if (fdc == NULL)
        return vm_last_error()->code;
    const uint8_t types = vm__i82077_drive_types(fdc);
    uint8_t equipment = vm__mc146818_cmos(pc->rtc, VM_CMOS_EQUIPMENT);
    if (types & 0xf0)
        equipment |= EQUIPMENT_FLOPPY;
    if (types & 0x0f)
        equipment |= EQUIPMENT_TWO_FLOPPIES;
    vm__mc146818_set_cmos(pc->rtc, VM_CMOS_FLOPPY, types);
    vm__mc146818_set_cmos(pc->rtc, VM_CMOS_EQUIPMENT, equipment);
    pc->devs |= ACPI_DEV_FDC;
    return VM_OK;
}

/** What an AT had on its ISA bus besides: DMA controllers and what uses them. */
int vm__pc_build_isa(struct pc *pc)
{
    if (vm__pc_add(pc, "i8237", "dma") == NULL)
        return vm_last_error()->code;
    int st = build_parallel(pc);
    return st == VM_OK ? build_floppy(pc) : st;
}

int vm__pc_build_firmware(struct pc *pc)
{
    pc->fw_cfg = vm__pc_add(pc, "fw_cfg", "fw_cfg");
    pc->devs |= ACPI_DEV_FW_CFG;
    return pc->fw_cfg != NULL ? VM_OK : vm_last_error()->code;
}
