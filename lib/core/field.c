/* SPDX-License-Identifier: MIT */
/**
 * @file field.c
 * Field tables at work.
 *
 * In a stream a field is its name, the bytes that follow (u32), and those: integers little-endian
 * one after the other, structs as their fields with an empty name after the last. Rows come in
 * table order, so reading needs no search.
 */
#include "core/field_io.h"

#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "core/clock.h"

static const uint8_t *element(const struct vm_field *f, const void *state, uint32_t i)
{
    return (const uint8_t *)state + f->offset + (size_t)i * f->size;
}

static void save_timer(struct vm_buf *b, const void *at)
{
    const struct vm_timer *t = at;
    vm__buf_u64(b, vm__timer_armed(t) ? t->deadline_ns : UINT64_MAX);
}

static void save_one(struct vm_buf *b, const struct vm_field *f, const void *state)
{
    vm__buf_name(b, f->name);
    const size_t length_at = b->len;
    vm__buf_u32(b, 0);
    const size_t start = b->len;
    for (uint32_t i = 0; i < f->count; i++) {
        const uint8_t *at = element(f, state, i);
        switch ((enum vm_field_type)f->type) {
        case VM_FIELD_UINT: /* the host is little-endian: as they lie */
        case VM_FIELD_RAW:
            vm__buf_put(b, at, f->size);
            break;
        case VM_FIELD_SUB:
            vm__fields_save(b, f->sub, at);
            break;
        case VM_FIELD_TIME:
            save_timer(b, at);
            break;
        }
    }
    if (!b->failed)
        vm_put_le32(b->data + length_at, (uint32_t)(b->len - start));
}

void vm__fields_save(struct vm_buf *b, const struct vm_field *fields, const void *state)
{
    for (const struct vm_field *f = fields; f != NULL && f->name != NULL; f++)
        save_one(b, f, state);
    vm__buf_u8(b, 0);
}

static int bad(const struct vm_field *f, const char *what)
{
    return vm__fail(VM_E_CORRUPT, "field %s %s", f->name, what);
}

static void load_timer(uint64_t deadline, void *at)
{
    struct vm_timer *t = at;
    if (deadline == UINT64_MAX)
        vm__timer_cancel(t);
    else
        vm__timer_arm(t, deadline);
}

static int load_one(struct vm_reader *r, const struct vm_field *f, uint32_t version, void *state)
{
    if (!vm__read_name(r, f->name))
        return bad(f, "is missing");
    struct vm_reader part = vm__read_part(r, vm__read_u32(r));
    for (uint32_t i = 0; i < f->count; i++) {
        void *at = state != NULL ? (uint8_t *)state + f->offset + (size_t)i * f->size : NULL;
        switch ((enum vm_field_type)f->type) {
        case VM_FIELD_UINT:
        case VM_FIELD_RAW: {
            const uint8_t *p = vm__read_bytes(&part, f->size);
            if (p != NULL && at != NULL)
                memcpy(at, p, f->size);
            break;
        }
        case VM_FIELD_SUB: {
            const int st = vm__fields_load(&part, f->sub, version, at);
            if (st != VM_OK)
                return st;
            break;
        }
        case VM_FIELD_TIME: {
            const uint64_t deadline = vm__read_u64(&part);
            if (!part.failed && at != NULL)
                load_timer(deadline, at);
            break;
        }
        }
    }
    if (part.failed || part.off != part.len)
        return bad(f, "has the wrong size");
    return VM_OK;
}

int vm__fields_load(struct vm_reader *r, const struct vm_field *fields, uint32_t version,
                    void *state)
{
    for (const struct vm_field *f = fields; f != NULL && f->name != NULL; f++) {
        if (f->since > version)
            continue;
        const int st = load_one(r, f, version, state);
        if (st != VM_OK)
            return st;
    }
    if (vm__read_u8(r) != 0 || r->failed)
        return vm__fail(VM_E_CORRUPT, "an unknown field follows the last");
    return VM_OK;
}

/* ---- as text ---------------------------------------------------------------------------- */

enum { NAME_BYTES = 128, SHOWN_RAW = 16 };

struct show {
    int (*fn)(void *ud, const char *name, const char *value);
    void *ud;
    char name[NAME_BYTES];
};

static int show_fields(struct show *s, size_t prefix, const struct vm_field *fields,
                       const void *state);

static int show_raw(struct show *s, const uint8_t *at, uint32_t size)
{
    char text[3 * SHOWN_RAW + 8];
    size_t n = 0;
    for (uint32_t i = 0; i < size && i < SHOWN_RAW; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, i != 0 ? " %02x" : "%02x", at[i]);
    if (size > SHOWN_RAW)
        snprintf(text + n, sizeof text - n, " ...");
    return s->fn(s->ud, s->name, text);
}

static int show_element(struct show *s, size_t end, const struct vm_field *f, const uint8_t *at)
{
    char text[32];
    switch ((enum vm_field_type)f->type) {
    case VM_FIELD_UINT:
        snprintf(text, sizeof text, "0x%llx", (unsigned long long)vm_le_n(at, f->size));
        return s->fn(s->ud, s->name, text);
    case VM_FIELD_RAW:
        return show_raw(s, at, f->size);
    case VM_FIELD_SUB:
        if (end + 1 >= NAME_BYTES)
            return 0;
        s->name[end] = '.';
        s->name[end + 1] = '\0';
        return show_fields(s, end + 1, f->sub, at);
    case VM_FIELD_TIME: {
        const struct vm_timer *t = (const void *)at;
        if (!vm__timer_armed(t))
            return s->fn(s->ud, s->name, "off");
        snprintf(text, sizeof text, "%llu ns", (unsigned long long)t->deadline_ns);
        return s->fn(s->ud, s->name, text);
    }
    }
    return 0;
}

static int show_fields(struct show *s, size_t prefix, const struct vm_field *fields,
                       const void *state)
{
    for (const struct vm_field *f = fields; f != NULL && f->name != NULL; f++) {
        for (uint32_t i = 0; i < f->count; i++) {
            int n = snprintf(s->name + prefix, NAME_BYTES - prefix, f->count > 1 ? "%s[%u]" : "%s",
                             f->name, i);
            if (n < 0 || (size_t)n >= NAME_BYTES - prefix)
                continue; /* nested deeper than any table is */
            const int st = show_element(s, prefix + (size_t)n, f, element(f, state, i));
            if (st != 0)
                return st;
        }
    }
    return 0;
}

int vm__fields_show(const struct vm_field *fields, const void *state,
                    int (*fn)(void *ud, const char *name, const char *value), void *ud)
{
    struct show s = { .fn = fn, .ud = ud };
    return show_fields(&s, 0, fields, state);
}
