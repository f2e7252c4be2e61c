/* SPDX-License-Identifier: MIT */
/**
 * @file setup16.h
 * Linux kernels, and what looks like one, started at their 16-bit entry by firmware.
 *
 * Some payloads live in the setup code and ask the BIOS for what they need: kernels of protocol
 * versions before 2.10, zImages, iPXE's .lkrn. For them firmware runs first, and an option ROM of
 * ours is what it boots from. The ROM has the parts copied to their places by fw_cfg's DMA, sets
 * registers as the protocol wants them and jumps.
 */
#ifndef LIBVM_BOARDS_BOOT_SETUP16_H
#define LIBVM_BOARDS_BOOT_SETUP16_H

#include "boards/boot/plan.h"

/** The parts of such a kernel. */
enum boot_part {
    BOOT_PART_SETUP,
    BOOT_PART_KERNEL,
    BOOT_PART_CMDLINE,
    BOOT_PART_INITRD,
    BOOT_PARTS
};

struct boot_setup16 {
    struct boot_segment part[BOOT_PARTS]; /**< len 0: there is no such part */
    uint16_t segment;                     /**< of the setup code; it begins at segment + 0x20:0 */
    uint16_t sp;
};

enum { BOOT_ROM_BYTES = 512 };

/** The file starts at its 16-bit entry and nowhere else. */
bool vm__boot_needs_setup(const uint8_t *data, size_t len);

/**
 * Where the parts of a kernel go. @p p owns what had to be changed; its segments are not for use.
 * On failure the plan is left empty and the message is one line about the kernel.
 */
int vm__boot_setup16(const struct boot_request *r, struct boot_plan *p, struct boot_setup16 *out);

/**
 * The option ROM that starts it.
 * @param keys fw_cfg's key of each part
 */
void vm__boot_rom(const struct boot_setup16 *s, const uint16_t keys[BOOT_PARTS],
                  uint8_t rom[BOOT_ROM_BYTES]);

#endif
