/* SPDX-License-Identifier: MIT */
/**
 * @file load.h
 * The kernel formats that a board starts without firmware.
 */
#ifndef LIBVM_BOARDS_BOOT_LOAD_H
#define LIBVM_BOARDS_BOOT_LOAD_H

#include "boards/boot/plan.h"

enum boot_kind {
    BOOT_KIND_UNKNOWN,
    BOOT_KIND_LINUX,     /**< bzImage */
    BOOT_KIND_MULTIBOOT, /**< ELF or flat with a Multiboot 1 header */
    BOOT_KIND_PVH,       /**< ELF with Xen's PVH entry note */
};

/** What a file is, from its bytes alone. */
enum boot_kind vm__boot_probe(const uint8_t *data, size_t len);

/**
 * Make the plan for a kernel of any kind.
 * On failure the plan is left empty and the message is one line about the kernel.
 */
int vm__boot_load(const struct boot_request *r, struct boot_plan *p);

/* One loader a file. */
bool vm__boot_is_linux(const uint8_t *data, size_t len);
int vm__boot_linux(const struct boot_request *r, struct boot_plan *p);

bool vm__boot_is_multiboot(const uint8_t *data, size_t len);
int vm__boot_multiboot(const struct boot_request *r, struct boot_plan *p);

bool vm__boot_is_pvh(const uint8_t *data, size_t len);
int vm__boot_pvh(const struct boot_request *r, struct boot_plan *p);

#endif
