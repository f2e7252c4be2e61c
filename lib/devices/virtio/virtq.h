/* SPDX-License-Identifier: MIT */
/**
 * @file virtq.h
 * A virtqueue, from the device's side: split or packed, as the driver chose.
 *
 * The device takes chains of buffers, in the order in which the driver made them available, and
 * gives each back when it is done with it, in any order. A chain is buffers to read from, then
 * buffers to write to. Nothing in guest memory is trusted: a ring or chain that breaks the rules
 * stops the device until it is reset (vm__virtio_fail()).
 *
 * Threads: under the machine lock.
 * Spec: [VIRTIO-1.2 §2.7] split, [VIRTIO-1.2 §2.8] packed virtqueues.
 */
#ifndef LIBVM_DEVICES_VIRTIO_VIRTQ_H
#define LIBVM_DEVICES_VIRTIO_VIRTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/field.h"

struct virtio;

enum {
    VIRTQ_MAX_SIZE = 1024, /**< descriptors of a ring, and buffers of a chain */
    VIRTQ_TOGETHER = 64,   /**< chains given back at once */
};

/** Where a queue stands. */
struct virtq {
    uint16_t size; /**< descriptors; what the driver chose */
    uint8_t enabled;
    uint16_t vector;               /**< MSI-X vector */
    uint64_t desc, driver, device; /**< guest-physical: the three parts */
    uint16_t next_avail, next_used;
    uint8_t avail_wrap, used_wrap; /**< packed: wrap counters */
    uint16_t unsignalled;          /**< used descriptors since the driver was last looked after */
    uint8_t polling;               /**< the driver need not notify */

    /* Below: not saved. */
    struct virtio *v;
    uint16_t index;
    uint16_t most; /**< descriptors the device offers */
};

extern const struct vm_field vm__virtq_fields[];

struct virtq_buf {
    uint64_t gpa;
    uint32_t len;
};

/** A chain that was taken. Zeroed before its first use; kept by the device for the next. */
struct virtq_chain {
    uint16_t id;              /**< what the driver knows it by */
    uint16_t n_desc;          /**< packed: ring descriptors it took */
    uint32_t n_out, n_in;     /**< buffers to read from, and to write to */
    uint64_t out_len, in_len; /**< bytes in all of them */
    struct virtq_buf *buf;    /**< out, then in; the chain's */
    uint32_t room;
};

/** Take the next chain. False: there is none, or the queue is broken or not in use. */
bool vm__virtq_pop(struct virtq *q, struct virtq_chain *c);
/** Give a chain back, @p written bytes of whose in buffers were filled. */
void vm__virtq_push(struct virtq *q, const struct virtq_chain *c, uint32_t written);
/** Give several back at once: the driver sees all of them or none. At most VIRTQ_TOGETHER. */
void vm__virtq_push_all(struct virtq *q, const struct virtq_chain *c, const uint32_t *written,
                        unsigned n);
/** Undo the last pop: nothing was done with the chain. */
void vm__virtq_unpop(struct virtq *q, const struct virtq_chain *c);
/** Interrupt the driver for what was pushed, if it wants to know. */
void vm__virtq_signal(struct virtq *q);
/**
 * Have the driver notify of new chains, or not. @return there are some already: pop again
 */
bool vm__virtq_want_notify(struct virtq *q, bool on);
/** Some chain waits. */
bool vm__virtq_has_chain(struct virtq *q);
/** As after a reset of the device. */
void vm__virtq_reset(struct virtq *q);
void vm__virtq_chain_free(struct virtq_chain *c);

/** Copy from the out buffers, from byte @p off on. @return bytes copied: fewer at their end or
 * where there is no memory */
size_t vm__virtq_read(const struct virtq *q, const struct virtq_chain *c, uint64_t off, void *to,
                      size_t len);
/** Copy into the in buffers. */
size_t vm__virtq_write(const struct virtq *q, const struct virtq_chain *c, uint64_t off,
                       const void *from, size_t len);

#endif
