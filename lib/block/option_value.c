/* SPDX-License-Identifier: MIT */
/**
 * @file option_value.c
 * Texts of options as booleans, numbers, sizes and choices. The sentences are those that users of
 * qemu-img know.
 */
#include <ctype.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "block/options.h"
#include "core/config.h"

static int to_bool(const char *name, const char *text, bool *value)
{
    return vm__parse_bool(text, value) == VM_OK
               ? VM_OK
               : vm__fail(VM_E_INVAL, "Parameter '%s' expects 'on' or 'off'", name);
}

static int to_u64(const char *name, const char *text, uint64_t *value)
{
    uint64_t v;
    if (*text == '-' && vm__parse_u64(text + 1, false, &v) == VM_OK) {
        *value = 0 - v; /* modulo 2^64, as ever: what is too large says so */
        return VM_OK;
    }
    return vm__parse_u64(text, false, value) == VM_OK
               ? VM_OK
               : vm__fail(VM_E_INVAL, "Parameter '%s' expects a number", name);
}

/* The digits after a point as a fraction of @p unit: the first eight are enough. */
static uint64_t fraction(const char *p, uint64_t unit)
{
    uint64_t scale = 1, digits = 0;
    for (; isdigit((unsigned char)*p) && scale < 100000000; p++) {
        digits = digits * 10 + (uint64_t)(*p - '0');
        scale *= 10;
    }
    return unit / scale * digits + unit % scale * digits / scale;
}

int vm__parse_size(const char *text, uint64_t *value)
{
    static const char letters[] = "bkmgtpe";
    const char *s = text, *dot = NULL;
    const bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
    uint64_t v = 0, part = 0;

    if (hex)
        return vm__parse_u64(text, true, value);
    if (!isdigit((unsigned char)*s))
        return VM_E_INVAL;
    for (; isdigit((unsigned char)*s); s++)
        if (!vm_mul_u64(v, 10, &v) || !vm_add_u64(v, (uint64_t)(*s - '0'), &v))
            return VM_E_INVAL;
    if (*s == '.') {
        dot = s;
        s += 1 + strspn(s + 1, "0123456789");
    }
    const char *at = *s != '\0' ? strchr(letters, tolower((unsigned char)*s)) : letters;
    if (at == NULL || (*s != '\0' && s[1] != '\0'))
        return VM_E_INVAL;
    const uint64_t unit = UINT64_C(1) << (10 * (at - letters));
    if (dot != NULL) {
        const bool half_byte = unit == 1 && dot[1 + strspn(dot + 1, "0")] != '\0' &&
                               isdigit((unsigned char)dot[1 + strspn(dot + 1, "0")]);
        if (half_byte || !isdigit((unsigned char)dot[1]))
            return VM_E_INVAL;
        part = fraction(dot + 1, unit);
    }
    return vm_mul_u64(v, unit, &v) && vm_add_u64(v, part, value) ? VM_OK : VM_E_INVAL;
}

static int to_size(const char *name, const char *text, uint64_t *value)
{
    return vm__parse_size(text, value) == VM_OK
               ? VM_OK
               : vm__fail(VM_E_INVAL, "Parameter '%s' expects a non-negative number below 2^64",
                          name);
}

static int to_enum(const char *name, const char *text, const char *const *choices, uint32_t *value)
{
    for (uint32_t i = 0; choices[i] != NULL; i++)
        if (strcmp(choices[i], text) == 0) {
            *value = i;
            return VM_OK;
        }
    return vm__fail(VM_E_INVAL, "Parameter '%s' does not accept value '%.80s'", name, text);
}

int vm__opt_bool(struct vm_blk_options *o, const char *name, bool *value)
{
    const char *text = vm__opt_str(o, name);
    return text != NULL ? to_bool(name, text, value) : VM_OK;
}

int vm__opt_u64(struct vm_blk_options *o, const char *name, uint64_t *value)
{
    const char *text = vm__opt_str(o, name);
    return text != NULL ? to_u64(name, text, value) : VM_OK;
}

int vm__opt_size(struct vm_blk_options *o, const char *name, uint64_t *value)
{
    const char *text = vm__opt_str(o, name);
    return text != NULL ? to_size(name, text, value) : VM_OK;
}

int vm__opt_enum(struct vm_blk_options *o, const char *name, const char *const *choices,
                 uint32_t *value)
{
    const char *text = vm__opt_str(o, name);
    return text != NULL ? to_enum(name, text, choices, value) : VM_OK;
}

static int check_value(const struct vm_blk_option *row, const char *text)
{
    bool b;
    uint64_t v;
    uint32_t i;
    switch ((enum vm_opt_type)row->type) {
    case VM_OPT_STR:
        return VM_OK;
    case VM_OPT_BOOL:
        return to_bool(row->name, text, &b);
    case VM_OPT_U64:
        return to_u64(row->name, text, &v);
    case VM_OPT_SIZE:
        return to_size(row->name, text, &v);
    case VM_OPT_ENUM:
        return to_enum(row->name, text, row->choices, &i);
    }
    return VM_OK;
}

static int check_one(void *ud, const char *name, const char *value)
{
    const struct vm_blk_option *row = ud;
    for (; row != NULL && row->name != NULL; row++)
        if (strcmp(row->name, name) == 0)
            return check_value(row, value);
    return vm__fail(VM_E_INVAL, "Invalid parameter '%.80s'", name);
}

int vm__opt_check(const struct vm_blk_options *o, const struct vm_blk_option *table)
{
    return vm__opt_each(o, check_one, (void *)(uintptr_t)table);
}
