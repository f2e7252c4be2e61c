/* SPDX-License-Identifier: MIT */
/**
 * @file blob.c
 * Bytes and AML terms. See blob.h.
 */
#include "boards/acpi/blob.h"

#include <stdlib.h>
#include <string.h>

/* AML opcodes [ACPI-6.5 §20.3]. */
enum {
    AML_ZERO = 0x00,
    AML_ONE = 0x01,
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_WORD = 0x0b,
    AML_DWORD = 0x0c,
    AML_STRING = 0x0d,
    AML_QWORD = 0x0e,
    AML_SCOPE = 0x10,
    AML_BUFFER = 0x11,
    AML_PACKAGE = 0x12,
    AML_METHOD = 0x14,
    AML_DUAL_NAME = 0x2e,
    AML_MULTI_NAME = 0x2f,
    AML_EXT = 0x5b,
    AML_LOCAL0 = 0x60,
    AML_ARG0 = 0x68,
    AML_STORE = 0x70,
    AML_AND = 0x7b,
    AML_NOTIFY = 0x86,
    AML_IF = 0xa0,
    AML_EXT_DEVICE = 0x82,
    AML_EXT_PROCESSOR = 0x83,
    NAME_SEG = 4,
};

void vm__blob_free(struct acpi_blob *b)
{
    free(b->data);
    *b = (struct acpi_blob) { 0 };
}

size_t vm__blob_grow(struct acpi_blob *b, size_t n)
{
    size_t at = b->len;
    if (b->failed || n == 0)
        return at;
    if (n > b->cap - b->len) {
        size_t cap = b->cap * 2 > b->len + n ? b->cap * 2 : b->len + n + 256;
        uint8_t *data = realloc(b->data, cap);
        if (data == NULL) {
            b->failed = true;
            return at;
        }
        b->data = data;
        b->cap = cap;
    }
    memset(b->data + at, 0, n);
    b->len += n;
    return at;
}

void vm__blob_align(struct acpi_blob *b, size_t align)
{
    (void)vm__blob_grow(b, (align - b->len % align) % align);
}

void vm__blob_put(struct acpi_blob *b, const void *bytes, size_t n)
{
    size_t at = vm__blob_grow(b, n);
    if (!b->failed && n != 0)
        memcpy(b->data + at, bytes, n);
}

void vm__blob_set(struct acpi_blob *b, size_t at, unsigned size, uint64_t v)
{
    for (unsigned i = 0; i < size && !b->failed; i++)
        b->data[at + i] = (uint8_t)(v >> (8 * i));
}

uint64_t vm__blob_get(const struct acpi_blob *b, size_t at, unsigned size)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < size && !b->failed; i++)
        v |= (uint64_t)b->data[at + i] << (8 * i);
    return v;
}

static void put_int(struct acpi_blob *b, unsigned size, uint64_t v)
{
    size_t at = vm__blob_grow(b, size);
    vm__blob_set(b, at, size, v);
}

void vm__blob_u8(struct acpi_blob *b, uint8_t v)
{
    put_int(b, 1, v);
}

void vm__blob_u16(struct acpi_blob *b, uint16_t v)
{
    put_int(b, 2, v);
}

void vm__blob_u32(struct acpi_blob *b, uint32_t v)
{
    put_int(b, 4, v);
}

void vm__blob_u64(struct acpi_blob *b, uint64_t v)
{
    put_int(b, 8, v);
}

/** One name segment, padded with '_'; returns its length in @p s. */
static size_t put_segment(struct acpi_blob *b, const char *s)
{
    size_t n = strcspn(s, ".");
    for (size_t i = 0; i < NAME_SEG; i++)
        vm__blob_u8(b, i < n ? (uint8_t)s[i] : '_');
    return n;
}

void vm__aml_path(struct acpi_blob *b, const char *path)
{
    while (*path == '\\' || *path == '^')
        vm__blob_u8(b, (uint8_t)*path++);
    unsigned n = *path != '\0';
    for (const char *s = path; *s != '\0'; s++)
        n += *s == '.';
    if (n == 0)
        vm__blob_u8(b, AML_ZERO);
    if (n == 2)
        vm__blob_u8(b, AML_DUAL_NAME);
    if (n > 2) {
        vm__blob_u8(b, AML_MULTI_NAME);
        vm__blob_u8(b, (uint8_t)n);
    }
    while (*path != '\0') {
        path += put_segment(b, path);
        path += *path == '.';
    }
}

/**
 * PkgLength [ACPI-6.5 §20.2.4] counts itself: 6 bits in one byte, or 4 + 8 k bits in 1 + k bytes.
 * It is inserted once the package is complete.
 */
void vm__aml_end(struct acpi_blob *b, size_t open)
{
    if (b->failed)
        return;
    size_t body = b->len - open;
    unsigned n = body + 1 < 0x40 ? 1 : body + 2 < 0x1000 ? 2 : body + 3 < 0x100000 ? 3 : 4;
    size_t total = body + n;
    (void)vm__blob_grow(b, n);
    if (b->failed)
        return;
    memmove(b->data + open + n, b->data + open, body);
    if (n == 1) {
        b->data[open] = (uint8_t)total;
        return;
    }
    b->data[open] = (uint8_t)((n - 1) << 6 | (total & 0xf));
    for (unsigned i = 1; i < n; i++)
        b->data[open + i] = (uint8_t)(total >> (4 + 8 * (i - 1)));
}

size_t vm__aml_scope(struct acpi_blob *b, const char *path)
{
    vm__blob_u8(b, AML_SCOPE);
    size_t open = b->len;
    vm__aml_path(b, path);
    return open;
}

size_t vm__aml_device(struct acpi_blob *b, const char *name)
{
    vm__blob_u8(b, AML_EXT);
    vm__blob_u8(b, AML_EXT_DEVICE);
    size_t open = b->len;
    vm__aml_path(b, name);
    return open;
}

size_t vm__aml_processor(struct acpi_blob *b, const char *name, uint8_t id)
{
    vm__blob_u8(b, AML_EXT);
    vm__blob_u8(b, AML_EXT_PROCESSOR);
    size_t open = b->len;
    vm__aml_path(b, name);
    vm__blob_u8(b, id);
    vm__blob_u32(b, 0); /* no processor register block */
    vm__blob_u8(b, 0);
    return open;
}

size_t vm__aml_package(struct acpi_blob *b, uint8_t n_elements)
{
    vm__blob_u8(b, AML_PACKAGE);
    size_t open = b->len;
    vm__blob_u8(b, n_elements);
    return open;
}

size_t vm__aml_buffer(struct acpi_blob *b, uint16_t n_bytes)
{
    vm__blob_u8(b, AML_BUFFER);
    size_t open = b->len;
    vm__aml_int(b, n_bytes);
    return open;
}

size_t vm__aml_method(struct acpi_blob *b, const char *name, uint8_t n_args)
{
    vm__blob_u8(b, AML_METHOD);
    size_t open = b->len;
    vm__aml_path(b, name);
    vm__blob_u8(b, n_args); /* not serialized */
    return open;
}

size_t vm__aml_if_arg_has(struct acpi_blob *b, unsigned arg, uint32_t bits)
{
    vm__blob_u8(b, AML_IF);
    size_t open = b->len;
    vm__blob_u8(b, AML_AND);
    vm__aml_arg(b, arg);
    vm__aml_int(b, bits);
    vm__blob_u8(b, AML_ZERO); /* no target */
    return open;
}

void vm__aml_arg(struct acpi_blob *b, unsigned n)
{
    vm__blob_u8(b, (uint8_t)(AML_ARG0 + n));
}

void vm__aml_notify(struct acpi_blob *b, const char *path, unsigned arg)
{
    vm__blob_u8(b, AML_NOTIFY);
    vm__aml_path(b, path);
    vm__aml_arg(b, arg);
}

void vm__aml_local0(struct acpi_blob *b)
{
    vm__blob_u8(b, AML_LOCAL0);
}

void vm__aml_take_local0(struct acpi_blob *b, const char *path)
{
    vm__blob_u8(b, AML_STORE);
    vm__aml_path(b, path);
    vm__aml_local0(b);
    vm__blob_u8(b, AML_STORE);
    vm__aml_local0(b);
    vm__aml_path(b, path);
}

void vm__aml_name(struct acpi_blob *b, const char *path)
{
    vm__blob_u8(b, AML_NAME);
    vm__aml_path(b, path);
}

void vm__aml_int(struct acpi_blob *b, uint64_t v)
{
    if (v <= 1) {
        vm__blob_u8(b, v == 0 ? AML_ZERO : AML_ONE);
    } else if (v <= UINT8_MAX) {
        vm__blob_u8(b, AML_BYTE);
        vm__blob_u8(b, (uint8_t)v);
    } else if (v <= UINT16_MAX) {
        vm__blob_u8(b, AML_WORD);
        vm__blob_u16(b, (uint16_t)v);
    } else if (v <= UINT32_MAX) {
        vm__blob_u8(b, AML_DWORD);
        vm__blob_u32(b, (uint32_t)v);
    } else {
        vm__blob_u8(b, AML_QWORD);
        vm__blob_u64(b, v);
    }
}

void vm__aml_string(struct acpi_blob *b, const char *text)
{
    vm__blob_u8(b, AML_STRING);
    vm__blob_put(b, text, strlen(text) + 1);
}

void vm__aml_name_int(struct acpi_blob *b, const char *path, uint64_t v)
{
    vm__aml_name(b, path);
    vm__aml_int(b, v);
}
