/* SPDX-License-Identifier: MIT */
/**
 * @file spec.c
 * Cutting up "name,setting=value,id=x". See spec.h.
 */
#include "core/spec.h"

#include <stdlib.h>
#include <string.h>

#include "core/config.h"

/* Cut the next piece off in place; doubled commas become one. NULL at the end. */
static char *next_piece(char **rest)
{
    char *start = *rest;
    if (start == NULL)
        return NULL;
    char *to = start, *from = start;
    for (; *from != '\0'; from++) {
        if (*from == ',' && from[1] == ',')
            from++;
        else if (*from == ',')
            break;
        *to++ = *from;
    }
    *rest = *from == ',' ? from + 1 : NULL;
    *to = '\0';
    return start;
}

int vm__spec_parse(const char *text, struct vm_spec *spec)
{
    *spec = (struct vm_spec) { .copy = strdup(text) };
    if (spec->copy == NULL)
        return vm__fail_nomem(strlen(text));
    char *rest = spec->copy;
    spec->name = next_piece(&rest);
    for (char *piece; (piece = next_piece(&rest)) != NULL;) {
        char *equals = strchr(piece, '=');
        const char *value = "on"; /* a bare name switches on */
        if (equals != NULL) {
            *equals = '\0';
            value = equals + 1;
        }
        if (*piece == '\0')
            return vm__fail(VM_E_INVAL, "%s: a property without a name", spec->name);
        if (strcmp(piece, "id") == 0) {
            spec->id = value;
            continue;
        }
        if (spec->n == VM_SPEC_MOST)
            return vm__fail(VM_E_INVAL, "%s: more than %d properties", spec->name, VM_SPEC_MOST);
        spec->settings[spec->n++] = (struct vm_setting) { piece, value };
    }
    return VM_OK;
}

void vm__spec_free(struct vm_spec *spec)
{
    free(spec->copy);
    spec->copy = NULL;
}

const char *vm__spec_get(const struct vm_spec *spec, const char *name)
{
    for (uint32_t i = spec->n; i-- > 0;)
        if (strcmp(spec->settings[i].name, name) == 0)
            return spec->settings[i].value;
    return NULL;
}

int vm__spec_bool(const struct vm_spec *spec, const char *name, bool *out)
{
    const char *text = vm__spec_get(spec, name);
    if (text == NULL || vm__parse_bool(text, out) == VM_OK)
        return VM_OK;
    return vm__fail(VM_E_INVAL, "%s: %s is neither on nor off", name, text);
}

int vm__spec_u64(const struct vm_spec *spec, const char *name, uint64_t max, uint64_t *out)
{
    const char *text = vm__spec_get(spec, name);
    uint64_t v;
    if (text == NULL)
        return VM_OK;
    if (vm__parse_u64(text, false, &v) != VM_OK || v > max)
        return vm__fail(VM_E_INVAL, "%s: %s is not a number up to %llu", name, text,
                        (unsigned long long)max);
    *out = v;
    return VM_OK;
}

static const char *nth(const void *ud, uint32_t i)
{
    const char *const *names = ud;
    return names[i];
}

int vm__spec_check(const struct vm_spec *spec, const char *const *names)
{
    for (uint32_t i = 0; i < spec->n; i++) {
        const char *name = spec->settings[i].name;
        uint32_t k = 0;
        while (names[k] != NULL && strcmp(names[k], name) != 0)
            k++;
        if (names[k] != NULL)
            continue;
        const char *near = vm__nearest(name, nth, names);
        return vm__fail(VM_E_NOENT, "%s has no setting %s%s%s%s", spec->name, name,
                        near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                        near != NULL ? "?" : "");
    }
    return VM_OK;
}
