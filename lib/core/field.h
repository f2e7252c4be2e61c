/* SPDX-License-Identifier: MIT */
/**
 * @file field.h
 * Field tables: guest-visible state as data.
 *
 * A table lists what must survive saving: fixed-size, pointer-free members of a state struct. From
 * it come snapshots, fork, migration, `info` and lockstep comparison. Host pointers, caches and
 * anything that can be rebuilt stay out of it and are rebuilt in post_load().
 *
 * `since` is the version of the class that brought the field; loading an older stream leaves such a
 * field as reset() left it. Versions start at 1.
 *
 *     static const struct vm_field fields[] = {
 *         VM_FIELD(i8254, speaker, 1),
 *         VM_FIELD_STRUCTS(i8254, channel, channel_fields, 1),
 *         { 0 },
 *     };
 */
#ifndef LIBVM_CORE_FIELD_H
#define LIBVM_CORE_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vm_field_type {
    VM_FIELD_UINT = 1, /**< integers (bool, enum) of 1, 2, 4 or 8 bytes, stored little-endian */
    VM_FIELD_RAW,      /**< bytes as they lie */
    VM_FIELD_SUB,      /**< structs, described by `sub` */
    VM_FIELD_TIME,     /**< a struct vm_timer: its deadline */
};

struct vm_field {
    const char *name; /**< NULL ends the table */
    uint32_t type;    /**< enum vm_field_type */
    uint32_t offset;  /**< in the state struct */
    uint32_t size;    /**< of one element, in bytes */
    uint32_t count;   /**< elements */
    uint32_t since;   /**< first version that has it */
    const struct vm_field *sub;
};

#define VM_FIELD_AT_(t, s, f, elem, n, v, table)                                                   \
    {                                                                                              \
        .name = #f, .type = (t), .offset = offsetof(struct s, f), .size = (uint32_t)(elem),        \
        .count = (uint32_t)(n), .since = (v), .sub = (table)                                       \
    }
#define VM_FIELD_SIZEOF_(s, f) sizeof(((struct s *)NULL)->f)

/** One integer. */
#define VM_FIELD(s, f, since)                                                                      \
    VM_FIELD_AT_(VM_FIELD_UINT, s, f, VM_FIELD_SIZEOF_(s, f), 1, since, NULL)
/** An array of integers. */
#define VM_FIELD_ARRAY(s, f, since)                                                                \
    VM_FIELD_AT_(VM_FIELD_UINT, s, f, VM_FIELD_SIZEOF_(s, f[0]),                                   \
                 VM_FIELD_SIZEOF_(s, f) / VM_FIELD_SIZEOF_(s, f[0]), since, NULL)
/** Anything, byte for byte: buffers, register files. */
#define VM_FIELD_BYTES(s, f, since)                                                                \
    VM_FIELD_AT_(VM_FIELD_RAW, s, f, VM_FIELD_SIZEOF_(s, f), 1, since, NULL)
/** A struct with a table of its own. */
#define VM_FIELD_STRUCT(s, f, table, since)                                                        \
    VM_FIELD_AT_(VM_FIELD_SUB, s, f, VM_FIELD_SIZEOF_(s, f), 1, since, table)
/** An array of such structs. */
#define VM_FIELD_STRUCTS(s, f, table, since)                                                       \
    VM_FIELD_AT_(VM_FIELD_SUB, s, f, VM_FIELD_SIZEOF_(s, f[0]),                                    \
                 VM_FIELD_SIZEOF_(s, f) / VM_FIELD_SIZEOF_(s, f[0]), since, table)
/** A timer: saved as its deadline, armed again on loading. */
#define VM_FIELD_TIMER(s, f, since)                                                                \
    VM_FIELD_AT_(VM_FIELD_TIME, s, f, VM_FIELD_SIZEOF_(s, f), 1, since, NULL)

#endif
