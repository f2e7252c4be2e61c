/* SPDX-License-Identifier: MIT */
/**
 * @file fake_machine.h
 * A machine for device tests: RAM, a clock the test moves, a recorder of interrupt lines, and
 * access to ports and windows. Nothing runs.
 *
 *     static struct fake_machine f;
 *     fake_init(&f);
 *     struct vm_dev *dev = fake_add(&f, &vm__ns16550_class, "iobase", "0x3f8", "irq", "4", NULL);
 *     fake_out8(&f, 0x3f9, 0x02);
 *     cr_assert_eq(f.level[4], 1);
 *     fake_fini(&f);
 *
 * Lines 0…63 of the "board" are recorded. A device's own outputs are recorded from line
 * FAKE_PIN on, in fake_wire().
 */
#ifndef LIBVM_TESTS_FAKE_MACHINE_H
#define LIBVM_TESTS_FAKE_MACHINE_H

#include "core/config.h"
#include "core/device.h"
#include "core/machine.h"

enum { FAKE_LINES = 96, FAKE_PIN = 64, FAKE_CHR_BYTES = 4096, FAKE_RAM_BYTES = 1 << 20 };

struct fake_machine {
    struct vm_machine *m;
    struct vm_ctx *ctx;
    struct vm_region *ram;      /**< FAKE_RAM_BYTES at 0 */
    int level[FAKE_LINES];      /**< now */
    unsigned rises[FAKE_LINES]; /**< 0 to 1 so far */
    unsigned falls[FAKE_LINES];
    unsigned n_msi; /**< messages so far, and the last one */
    uint64_t msi_address;
    uint32_t msi_data;
    uint8_t out[FAKE_CHR_BYTES]; /**< what the device wrote to the channel of fake_chr() */
    size_t n_out;
    bool chr_blocked; /**< the test's end of the channel takes nothing */
    uint32_t asked;   /**< collected by fake_asked() */
};

/** Classes that vm__dev_class() knows besides; NULL-ended or NULL. Asserts that it worked. */
void fake_init_with(struct fake_machine *f, const struct vm_dev_class *const *classes);
static inline void fake_init(struct fake_machine *f)
{
    fake_init_with(f, NULL);
}
void fake_fini(struct fake_machine *f);

/** Add a device with "name", "value" pairs, ended by NULL, and reset it. NULL if it refuses. */
struct vm_dev *fake_add(struct fake_machine *f, const struct vm_dev_class *cls, ...)
    __attribute__((sentinel));
/** Record output @p pin of a device as line FAKE_PIN + pin. */
void fake_wire(struct fake_machine *f, struct vm_dev *dev, uint32_t pin);
void fake_reset(struct vm_dev *dev, enum vm_reset_kind kind);

/** Move the clock; timers fire on their way, each at its time. */
void fake_advance(struct fake_machine *f, uint64_t ns);
static inline uint64_t fake_now(struct fake_machine *f)
{
    return vm__clock_ns(f->m);
}

uint8_t fake_in8(struct fake_machine *f, uint16_t port);
uint16_t fake_in16(struct fake_machine *f, uint16_t port);
uint32_t fake_in32(struct fake_machine *f, uint16_t port);
void fake_out8(struct fake_machine *f, uint16_t port, uint8_t v);
void fake_out16(struct fake_machine *f, uint16_t port, uint16_t v);
void fake_out32(struct fake_machine *f, uint16_t port, uint32_t v);
uint64_t fake_read(struct fake_machine *f, uint64_t gpa, unsigned size);
void fake_write(struct fake_machine *f, uint64_t gpa, unsigned size, uint64_t v);

/** The channel of this id with the test as host: what the device writes lands in f->out. */
struct vm_chr *fake_chr(struct fake_machine *f, const char *id);
/** Feed a text to it. @return bytes taken */
size_t fake_feed(struct fake_machine *f, const char *id, const char *text);

/** VM_ASK_* bits (core/run.h) that devices have asked for since the last call. */
uint32_t fake_asked(struct fake_machine *f);

/** Save the device's fields, reset it, load them. Asserts that saving again gives the same bytes.
 */
void fake_save_load(struct vm_dev *dev);

#endif
