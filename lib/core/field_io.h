/* SPDX-License-Identifier: MIT */
/**
 * @file field_io.h
 * Writing, checking, reading and showing state through its field table.
 */
#ifndef LIBVM_CORE_FIELD_IO_H
#define LIBVM_CORE_FIELD_IO_H

#include "base/buf.h"
#include "core/field.h"

/** Append every field of @p state. */
void vm__fields_save(struct vm_buf *b, const struct vm_field *fields, const void *state);
/**
 * Read fields written by version @p version of the class.
 *
 * @param state NULL: only check that the bytes fit the table
 * @return VM_OK, or VM_E_CORRUPT with the field named
 */
int vm__fields_load(struct vm_reader *r, const struct vm_field *fields, uint32_t version,
                    void *state);
/** Every field as text: `fn(ud, "channel[1].count", "0x1234")`; non-zero ends it. */
int vm__fields_show(const struct vm_field *fields, const void *state,
                    int (*fn)(void *ud, const char *name, const char *value), void *ud);

#endif
