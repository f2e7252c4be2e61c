/* SPDX-License-Identifier: MIT */
/**
 * @file fake_disk.h
 * Drives for device tests: media in memory, requests that end when the clock moves, and media that
 * fail where the test says.
 *
 * It stands in for block/drive.c: its functions come first, see fake_disk_args in meson.build.
 */
#ifndef LIBVM_TESTS_FAKE_DISK_H
#define LIBVM_TESTS_FAKE_DISK_H

#include "block/drive.h"
#include "support/fake_machine.h"

enum { FAKE_DISKS = 16, FAKE_DISK_NS = 1000 };

struct fake_disk {
    struct vm_drive drive;
    uint8_t *data;
    uint64_t size;
    uint64_t bad_from, bad_to; /**< bytes of the medium that cannot be read or written */
    unsigned requests, reads, writes, flushes, discards, fua;
    uint64_t most; /**< bytes of the largest request */
    struct vm_timer timer;
};

/** A medium of @p size bytes (0: empty drive), each dword its own number. */
struct fake_disk *fake_disk(struct fake_machine *f, const char *id, bool cdrom, uint64_t size);
/** Put another medium in, or none. The device is told. */
void fake_disk_change(struct fake_disk *d, uint64_t size);
/** Frees them all; after the machine. */
void fake_disks_free(void);

#endif
