/* SPDX-License-Identifier: MIT */
/**
 * @file blob.h
 * A growing byte buffer for firmware tables, with AML on top.
 *
 * Running out of memory is sticky: writers go on into nothing, and the owner asks `failed` once.
 * Package lengths are patched by vm__aml_end(), so AML is written in reading order:
 *
 *     size_t scope = vm__aml_scope(b, "\\_SB");
 *     vm__aml_name_int(b, "FLAG", 3);
 *     vm__aml_end(b, scope);
 *
 * Spec: [ACPI-6.5 §20.2].
 */
#ifndef LIBVM_BOARDS_ACPI_BLOB_H
#define LIBVM_BOARDS_ACPI_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct acpi_blob {
    uint8_t *data;
    size_t len, cap;
    bool failed;
};

void vm__blob_free(struct acpi_blob *b);
/** @p n zero bytes at the end; their offset. */
size_t vm__blob_grow(struct acpi_blob *b, size_t n);
void vm__blob_align(struct acpi_blob *b, size_t align);
void vm__blob_put(struct acpi_blob *b, const void *bytes, size_t n);
void vm__blob_u8(struct acpi_blob *b, uint8_t v);
void vm__blob_u16(struct acpi_blob *b, uint16_t v);
void vm__blob_u32(struct acpi_blob *b, uint32_t v);
void vm__blob_u64(struct acpi_blob *b, uint64_t v);
/** Overwrite @p size (1, 2, 4, 8) bytes at @p at. */
void vm__blob_set(struct acpi_blob *b, size_t at, unsigned size, uint64_t v);
uint64_t vm__blob_get(const struct acpi_blob *b, size_t at, unsigned size);

/* Opens a package; give the result to vm__aml_end(). Paths are ASL's: "\\_SB.PCI0", "LNKA". */
size_t vm__aml_scope(struct acpi_blob *b, const char *path);
size_t vm__aml_device(struct acpi_blob *b, const char *name);
size_t vm__aml_processor(struct acpi_blob *b, const char *name, uint8_t id);
size_t vm__aml_package(struct acpi_blob *b, uint8_t n_elements);
size_t vm__aml_buffer(struct acpi_blob *b, uint16_t n_bytes);
/** @p n_args: 0…7. */
size_t vm__aml_method(struct acpi_blob *b, const char *name, uint8_t n_args);
/** If (And (Arg @p arg, @p bits)). */
size_t vm__aml_if_arg_has(struct acpi_blob *b, unsigned arg, uint32_t bits);
void vm__aml_end(struct acpi_blob *b, size_t open);

/** Within a method: argument @p n; Notify (path, argument @p arg). */
void vm__aml_arg(struct acpi_blob *b, unsigned n);
void vm__aml_notify(struct acpi_blob *b, const char *path, unsigned arg);
/** Within a method: Local0 = path, path = Local0: what was there, acknowledged. */
void vm__aml_take_local0(struct acpi_blob *b, const char *path);
void vm__aml_local0(struct acpi_blob *b);

/** Name (path, what is written next). */
void vm__aml_name(struct acpi_blob *b, const char *path);
void vm__aml_path(struct acpi_blob *b, const char *path);
void vm__aml_int(struct acpi_blob *b, uint64_t v);
void vm__aml_string(struct acpi_blob *b, const char *text);
void vm__aml_name_int(struct acpi_blob *b, const char *path, uint64_t v);

#endif
