/* SPDX-License-Identifier: MIT */
/**
 * @file ps2_queue.h
 * Bytes waiting in a PS/2 device or its controller.
 */
#ifndef LIBVM_DEVICES_INPUT_PS2_QUEUE_H
#define LIBVM_DEVICES_INPUT_PS2_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/field.h"

enum { PS2_QUEUE = 64 };

struct ps2_queue {
    uint8_t data[PS2_QUEUE];
    uint8_t head, count;
};

static inline void ps2_queue_clear(struct ps2_queue *q)
{
    q->head = q->count = 0;
}

static inline unsigned ps2_queue_room(const struct ps2_queue *q)
{
    return PS2_QUEUE - q->count;
}

/** Append; a full queue drops the byte. */
static inline void ps2_queue_put(struct ps2_queue *q, uint8_t byte)
{
    if (q->count < PS2_QUEUE)
        q->data[(q->head + q->count++) % PS2_QUEUE] = byte;
}

/** Remove the oldest; there must be one. */
static inline uint8_t ps2_queue_get(struct ps2_queue *q)
{
    uint8_t byte = q->data[q->head];
    q->head = (q->head + 1) % PS2_QUEUE;
    q->count--;
    return byte;
}

static inline bool ps2_queue_is_sane(const struct ps2_queue *q)
{
    return q->head < PS2_QUEUE && q->count <= PS2_QUEUE;
}

#define PS2_QUEUE_FIELDS                                                                           \
    VM_FIELD_BYTES(ps2_queue, data, 1), VM_FIELD(ps2_queue, head, 1), VM_FIELD(ps2_queue, count, 1)

#endif
