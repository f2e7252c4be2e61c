/* SPDX-License-Identifier: MIT */
/**
 * @file device_prop.c
 * Properties: text into the members of a device's state.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/device_impl.h"

static const struct vm_prop *find(const struct vm_dev_class *cls, const char *name)
{
    for (const struct vm_prop *p = cls->props; p != NULL && p->name != NULL; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

static const char *nth_name(const void *ud, uint32_t i)
{
    return ((const struct vm_prop *)ud)[i].name;
}

static int unknown(const struct vm_dev *dev, const char *name)
{
    const char *near =
        dev->cls->props != NULL ? vm__nearest(name, nth_name, dev->cls->props) : NULL;
    if (near != NULL)
        return vm__fail(VM_E_NOENT, "%s has no property %s; did you mean %s?", dev->cls->name, name,
                        near);
    return vm__fail(VM_E_NOENT, "%s has no property %s", dev->cls->name, name);
}

static int misfit(const struct vm_dev *dev, const struct vm_prop *p, const char *value,
                  const char *wanted)
{
    return vm__fail(VM_E_INVAL, "%s: %s=%s is not %s", dev->cls->name, p->name, value, wanted);
}

static int put_number(struct vm_dev *dev, const struct vm_prop *p, uint64_t v, const char *text)
{
    const uint64_t fits = vm_mask(p->size * 8);
    const uint64_t max = p->max != 0 && p->max < fits ? p->max : fits;
    if (v < p->min || v > max)
        return vm__fail(VM_E_INVAL, "%s: %s=%s is not in 0x%llx to 0x%llx", dev->cls->name, p->name,
                        text, (unsigned long long)p->min, (unsigned long long)max);
    vm_put_le_n((uint8_t *)dev->state + p->offset, p->size, v);
    return VM_OK;
}

static int put_string(struct vm_dev *dev, const struct vm_prop *p, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return vm__fail_nomem(strlen(value));
    const size_t i = (size_t)(p - dev->cls->props);
    free(dev->strings[i]);
    dev->strings[i] = copy;
    memcpy((uint8_t *)dev->state + p->offset, &copy, sizeof copy);
    return VM_OK;
}

static int put_choice(struct vm_dev *dev, const struct vm_prop *p, const char *value)
{
    for (uint32_t i = 0; p->choices[i] != NULL; i++)
        if (strcmp(p->choices[i], value) == 0)
            return put_number(dev, p, i, value);
    char all[160] = "one of";
    for (uint32_t i = 0; p->choices[i] != NULL; i++) {
        const size_t n = strlen(all);
        snprintf(all + n, sizeof all - n, " %s", p->choices[i]);
    }
    return misfit(dev, p, value, all);
}

static int put_chr(struct vm_dev *dev, const struct vm_prop *p, const char *value)
{
    struct vm_chr *chr = vm__chr_get(dev->m, value);
    if (chr == NULL)
        return vm_last_error()->code;
    memcpy((uint8_t *)dev->state + p->offset, &chr, sizeof chr);
    return VM_OK;
}

static int set(struct vm_dev *dev, const struct vm_prop *p, const char *value)
{
    uint64_t v;
    bool on;
    switch ((enum vm_prop_type)p->type) {
    case VM_PROP_TYPE_BOOL:
        if (vm__parse_bool(value, &on) != VM_OK)
            return misfit(dev, p, value, "on or off");
        return put_number(dev, p, on, value);
    case VM_PROP_TYPE_UINT:
    case VM_PROP_TYPE_BYTES:
        if (vm__parse_u64(value, p->type == VM_PROP_TYPE_BYTES, &v) != VM_OK)
            return misfit(dev, p, value, "a number");
        return put_number(dev, p, v, value);
    case VM_PROP_TYPE_STR:
        return put_string(dev, p, value);
    case VM_PROP_TYPE_ENUM:
        return put_choice(dev, p, value);
    case VM_PROP_TYPE_CHR:
        return put_chr(dev, p, value);
    }
    return VM_E_INVAL;
}

int vm__dev_init_props(struct vm_dev *dev)
{
    size_t n = 0;
    for (const struct vm_prop *p = dev->cls->props; p != NULL && p->name != NULL; p++)
        n++;
    dev->strings = calloc(n + 1, sizeof(*dev->strings));
    if (dev->strings == NULL)
        return vm__fail_nomem(n * sizeof(*dev->strings));
    for (size_t i = 0; i < n; i++) {
        const struct vm_prop *p = &dev->cls->props[i];
        if (p->value != NULL) {
            const int st = set(dev, p, p->value);
            if (st != VM_OK)
                return st;
        }
    }
    return VM_OK;
}

void vm__dev_free_props(struct vm_dev *dev)
{
    if (dev->strings == NULL)
        return;
    size_t i = 0;
    for (const struct vm_prop *p = dev->cls->props; p != NULL && p->name != NULL; p++)
        free(dev->strings[i++]);
    free(dev->strings);
}

int vm__dev_set(struct vm_dev *dev, const char *name, const char *value)
{
    const struct vm_prop *p = find(dev->cls, name);
    return p != NULL ? set(dev, p, value) : unknown(dev, name);
}

static const void *at(const struct vm_dev *dev, const struct vm_prop *p)
{
    return (const uint8_t *)dev->state + p->offset;
}

int vm__dev_get(const struct vm_dev *dev, const char *name, char *value, size_t size)
{
    const struct vm_prop *p = find(dev->cls, name);
    const char *text = NULL;
    if (p == NULL)
        return VM_E_NOENT;
    if (p->type == VM_PROP_TYPE_STR) {
        memcpy(&text, at(dev, p), sizeof text);
        snprintf(value, size, "\"%s\"", text != NULL ? text : "");
    } else if (p->type == VM_PROP_TYPE_CHR) {
        struct vm_chr *chr;
        memcpy(&chr, at(dev, p), sizeof chr);
        snprintf(value, size, "\"%s\"", chr != NULL ? vm__chr_id(chr) : "");
    } else if (p->type == VM_PROP_TYPE_BOOL) {
        snprintf(value, size, "%s", vm_le_n(at(dev, p), p->size) != 0 ? "true" : "false");
    } else if (p->type == VM_PROP_TYPE_ENUM) {
        const uint64_t index = vm_le_n(at(dev, p), p->size);
        for (uint64_t i = 0; i <= index && (text = p->choices[i]) != NULL; i++)
            ;
        snprintf(value, size, "\"%s\"", text != NULL ? text : "");
    } else if (p->type == VM_PROP_TYPE_UINT || p->type == VM_PROP_TYPE_BYTES) {
        const unsigned long long v = vm_le_n(at(dev, p), p->size);
        snprintf(value, size, "%llu (0x%llx)", v, v);
    } else {
        return VM_E_NOTSUP;
    }
    return VM_OK;
}

int vm__dev_set_u64(struct vm_dev *dev, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return vm__dev_set(dev, name, text);
}
