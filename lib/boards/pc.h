/* SPDX-License-Identifier: MIT */
/**
 * @file pc.h
 * Between the files of the "pc" board: i440FX, PIIX3 and the PIIX4's power management.
 */
#ifndef LIBVM_BOARDS_PC_H
#define LIBVM_BOARDS_PC_H

#include <stdbool.h>
#include <stdint.h>

#include "boards/acpi/acpi.h"
#include "boards/boot/load.h"
#include "boards/smbios.h"
#include "core/board.h"
#include "core/device.h"
#include "core/machine.h"

enum {
    PC_SERIAL_PORTS = 4,
    PC_PARALLEL_PORTS = 3,
    PC_LINES = 24,      /* the IOAPIC's inputs */
    PC_ISA_LINES = 16,  /* of these reach the 8259 pair too */
    PC_PM_BASE = 0x600, /* where firmware puts the power management block */
    PC_SMI_PORT = 0xb2,
    PC_ACPI_ENABLE = 0xf1, /* commands to it; the PM block answers them itself */
    PC_ACPI_DISABLE = 0xf0,
    PC_ISA_DEV = 1, /* PCI device number of the PIIX3 */
    PC_IDE_FUNCTION = 1,
    PC_PM_FUNCTION = 3,
    PC_EBDA = 0x9fc00,
    PC_LOW_FREE = 0x10000,     /* what firmware leaves alone once it boots begins here */
    PC_SHUTDOWN_WAKE = 0xfe,   /* shutdown code by which SeaBIOS knows that it wakes from S3 */
    PC_FIRMWARE_TOP = 1 << 20, /* what it keeps for itself at the end of low RAM, at most */
    PC_RSDP = 0xf0000,
};

#define PC_HPET_ID    UINT32_C(0x8086a201) /* low half of the HPET's capabilities: 3 timers */
#define PC_HOLE       UINT64_C(0xc0000000) /* RAM ends here and goes on at 4 GiB */
#define PC_HOLE_EARLY UINT32_C(0x80000000)
#define PC_HIGH       UINT64_C(0x100000000)
#define PC_PCI_LAST   UINT32_C(0xfebfffff) /* below the IOAPIC */
#define PC_RAM_LEAST  (UINT64_C(2) << 20)
#define PC_RAM_LIMIT  (UINT64_C(1) << 40) /* physical address width of the processors */

/** Who drives an interrupt line; each has a bit. */
enum pc_source {
    PC_SOURCE_ISA = 0, /**< whatever was connected by number */
    PC_SOURCE_COM3,    /**< COM3 and COM4 share the lines of COM1 and COM2 */
    PC_SOURCE_COM4,
    PC_SOURCE_PIRQ,
    PC_SOURCE_SCI,
};

/** By the choices of "boot.method". */
enum pc_method { PC_METHOD_AUTO, PC_METHOD_DIRECT, PC_METHOD_FIRMWARE };

#define PC_KERNEL_ROM "genroms/libvm-kernel.rom"

struct pc {
    struct vm_machine *m;
    struct vm_region *ram;
    struct vm_region *bios; /**< firmware, ending at 4 GiB; NULL: there is none */
    struct vm_dev *host, *pm, *rtc, *fw_cfg, *hotplug;
    struct vm_dev *vga; /**< NULL: none */
    struct vm_pci_bus *bus;
    struct vm_irq pic_in[PC_ISA_LINES];
    struct vm_irq ioapic_in[PC_LINES];
    uint32_t line_sources[PC_LINES]; /**< bits by enum pc_source */
    struct vm_irq rtc_line, rtc_event;
    uint64_t low_ram, high_ram; /**< bytes below the hole and above 4 GiB */
    uint32_t devs;              /**< enum acpi_dev */

    struct boot_range ranges[BOOT_MAX_RANGES]; /**< the memory map */
    uint32_t n_ranges;
    struct acpi_image acpi;
    uint32_t acpi_gpa; /**< where the tables lie; firmware chooses otherwise */
    struct smbios_image smbios;
    uint8_t uuid[16]; /**< as text spells it */

    struct boot_file kernel;
    struct boot_plan plan;
    bool direct;     /**< the plan starts a kernel; no firmware runs */
    bool booted;     /**< this is not the first boot */
    uint8_t **files; /**< contents the plan borrows from */
    uint32_t n_files;
};

static inline struct pc *pc_of(struct vm_machine *m)
{
    return m->board_state;
}

/* pc.c */
/** A line with a source of its own, so that several may share it. */
struct vm_irq vm__pc_line(struct pc *pc, uint32_t line, enum pc_source source);

/* pc_parts.c */
/** A class that a PC cannot do without; NULL with the error set. */
const struct vm_dev_class *vm__pc_class(struct pc *pc, const char *name);
/** A device without settings; NULL with the error set. */
struct vm_dev *vm__pc_add(struct pc *pc, const char *class_name, const char *id);
/** A function on PCI bus 0. */
struct vm_dev *vm__pc_add_pci(struct pc *pc, const struct vm_dev_class *cls, const char *id,
                              unsigned devfn, const struct vm_setting *settings);
int vm__pc_build_timers(struct pc *pc);
int vm__pc_build_isa(struct pc *pc);
int vm__pc_build_serial(struct pc *pc);
int vm__pc_build_input(struct pc *pc);
int vm__pc_build_firmware(struct pc *pc);

/* pc_storage.c */
/** Open the drives of the configuration. */
int vm__pc_build_drives(struct pc *pc);
int vm__pc_build_ide(struct pc *pc);
/** The drives with if=virtio, each on a function of its own. */
int vm__pc_build_virtio_drives(struct pc *pc);

/* pc_slots.c */
/** The hot-plug registers; once the board's own functions have their slots. */
int vm__pc_build_hotplug(struct pc *pc);
/** A device of the user's: PCI functions get the next free slot, or the one "addr" names. */
struct vm_dev *vm__pc_plug(struct vm_machine *m, const char *class_name, const char *id,
                           const struct vm_setting *settings);
void vm__pc_plugged(struct vm_machine *m, struct vm_dev *dev);
int vm__pc_unplug(struct vm_machine *m, struct vm_dev *dev);

/* pc_boot.c */
/** Read the kernel, if one is configured, and decide who starts it. */
int vm__pc_boot_open(struct pc *pc);
/** Make the plan. */
int vm__pc_boot_load(struct pc *pc);
/** Memory map and ACPI tables. */
int vm__pc_boot_tables(struct pc *pc);
/** Put everything into memory and set the boot processor's registers. */
int vm__pc_boot_start(struct pc *pc);
void vm__pc_boot_fini(struct pc *pc);

/* pc_display.c */
enum { PC_VGA_STD = 0, PC_VGA_NONE }; /* the key "pc.vga" */
/** The graphics adapter that the configuration asks for. */
int vm__pc_display_build(struct pc *pc);
/** A direct boot: a graphics mode, and the news of it where the kernel looks. */
int vm__pc_display_boot(struct pc *pc);

/* pc_firmware.c */
/** Read firmware's ROM and put it below 4 GiB, unless a kernel starts without. */
int vm__pc_firmware_load(struct pc *pc);
/** How many bytes of the ROM are also seen below 1 MiB. */
uint32_t vm__pc_firmware_low(const struct pc *pc);
int vm__pc_firmware_smbios(struct pc *pc);
/** CMOS memory and fw_cfg, once all devices are there. */
int vm__pc_firmware_fill(struct pc *pc);
/** Before every boot. */
void vm__pc_firmware_reset(struct pc *pc);
/** Another boot order from the next reset on. */
int vm__pc_firmware_boot_set(struct pc *pc, const char *order);
void vm__pc_firmware_fini(struct pc *pc);

/* pc_setup.c */
/** What firmware does to the chipset before it starts an operating system. */
void vm__pc_setup(struct pc *pc);

#endif
