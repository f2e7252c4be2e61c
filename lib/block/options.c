/* SPDX-License-Identifier: MIT */
/**
 * @file options.c
 * Sets of named texts, each marked when used.
 */
#include "block/options.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"

/* More than any image needs; a hostile json: name must not take the memory of the process. */
enum { MAX_ENTRIES = 4096, NAME_BYTES = 256, MAX_NESTING = 32 };

struct entry {
    char *name, *value;
    bool used;
};

struct vm_blk_options {
    struct entry *entries;
    uint32_t n, room;
};

struct vm_blk_options *vm__options_new(void)
{
    struct vm_blk_options *o = calloc(1, sizeof *o);
    if (o == NULL)
        vm__fail_nomem(sizeof *o);
    return o;
}

void vm__options_free(struct vm_blk_options *o)
{
    if (o == NULL)
        return;
    for (uint32_t i = 0; i < o->n; i++) {
        free(o->entries[i].name);
        free(o->entries[i].value);
    }
    free(o->entries);
    free(o);
}

static struct entry *find(const struct vm_blk_options *o, const char *name)
{
    for (uint32_t i = 0; o != NULL && i < o->n; i++)
        if (strcmp(o->entries[i].name, name) == 0)
            return &o->entries[i];
    return NULL;
}

static int make_room(struct vm_blk_options *o)
{
    if (o->n < o->room)
        return VM_OK;
    if (o->n >= MAX_ENTRIES)
        return vm__fail(VM_E_INVAL, "more than %d options", MAX_ENTRIES);
    const uint32_t room = o->room != 0 ? o->room * 2 : 16;
    struct entry *entries = realloc(o->entries, room * sizeof *entries);
    if (entries == NULL)
        return vm__fail_nomem(room * sizeof *entries);
    o->entries = entries;
    o->room = room;
    return VM_OK;
}

int vm__options_set(struct vm_blk_options *o, const char *name, const char *value)
{
    struct entry *e = find(o, name);
    char *copy = strdup(value);
    if (copy == NULL)
        return vm__fail_nomem(strlen(value));
    if (e != NULL) {
        free(e->value);
        e->value = copy;
        return VM_OK;
    }
    if (*name == '\0' || strlen(name) >= NAME_BYTES) {
        free(copy);
        return vm__fail(VM_E_INVAL, "Invalid parameter '%.40s'", name);
    }
    char *own = strdup(name);
    const int st = own != NULL ? make_room(o) : vm__fail_nomem(strlen(name));
    if (st != VM_OK) {
        free(own);
        free(copy);
        return st;
    }
    o->entries[o->n++] = (struct entry) { own, copy, false };
    return VM_OK;
}

/* ---- text ------------------------------------------------------------------------------- */

/* Cut the next piece off in place; a doubled comma is one. NULL at the end. */
static char *next_piece(char **rest)
{
    char *start = *rest, *to = start, *from = start;
    if (start == NULL)
        return NULL;
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

int vm__options_parse(struct vm_blk_options *o, const char *text, const char *implied)
{
    char *copy = strdup(text), *rest = copy;
    int st = VM_OK;
    if (copy == NULL)
        return vm__fail_nomem(strlen(text));
    for (char *piece; st == VM_OK && (piece = next_piece(&rest)) != NULL; implied = NULL) {
        char *equals = strchr(piece, '=');
        if (equals != NULL) {
            *equals = '\0';
            st = vm__options_set(o, piece, equals + 1);
        } else if (implied != NULL) {
            st = vm__options_set(o, implied, piece);
        } else if (*piece != '\0') {
            st = vm__options_set(o, piece, "on"); /* a bare name switches on */
        }
    }
    free(copy);
    return st;
}

/* ---- JSON ------------------------------------------------------------------------------- */

static int set_json(struct vm_blk_options *o, const char *name, const json_t *value, int depth);

static int set_member(struct vm_blk_options *o, const char *prefix, const char *name,
                      const json_t *value, int depth)
{
    char full[NAME_BYTES];
    const int n = snprintf(full, sizeof full, "%s%s%s", prefix, *prefix != '\0' ? "." : "", name);
    if (n < 0 || n >= NAME_BYTES || depth >= MAX_NESTING)
        return vm__fail(VM_E_INVAL, "an option's name is too long: %.40s...", prefix);
    return set_json(o, full, value, depth + 1);
}

static int set_object(struct vm_blk_options *o, const char *prefix, const json_t *object, int depth)
{
    const char *name;
    json_t *value;
    int st = VM_OK;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (st == VM_OK)
            st = set_member(o, prefix, name, value, depth);
    }
    return st;
}

static int set_array(struct vm_blk_options *o, const char *prefix, const json_t *array, int depth)
{
    size_t i;
    json_t *value;
    int st = VM_OK;
    json_array_foreach(array, i, value)
    {
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        if (st == VM_OK)
            st = set_member(o, prefix, index, value, depth);
    }
    return st;
}

static int set_json(struct vm_blk_options *o, const char *name, const json_t *value, int depth)
{
    char number[32];
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return set_object(o, name, value, depth);
    case JSON_ARRAY:
        return set_array(o, name, value, depth);
    case JSON_STRING:
        return vm__options_set(o, name, json_string_value(value));
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        return vm__options_set(o, name, number);
    case JSON_REAL:
        snprintf(number, sizeof number, "%.17g", json_real_value(value));
        return vm__options_set(o, name, number);
    case JSON_TRUE:
        return vm__options_set(o, name, "on");
    case JSON_FALSE:
        return vm__options_set(o, name, "off");
    case JSON_NULL:
        break;
    }
    return vm__options_set(o, name, ""); /* "backing": null is no backing file */
}

int vm__options_json(struct vm_blk_options *o, const struct json_t *object)
{
    if (!json_is_object(object))
        return vm__fail(VM_E_INVAL, "Invalid JSON object given");
    return set_object(o, "", object, 0);
}

/* Strings in single quotes become ones in double quotes: twice the room is enough. */
static char *double_quotes(const char *text)
{
    char *out = malloc(2 * strlen(text) + 1), *to = out, quote = 0;
    for (; out != NULL && *text != '\0'; text++) {
        if (*text == '\\' && text[1] != '\0') {
            if (text[1] != '\'') /* which needs no escape then */
                *to++ = *text;
            *to++ = *++text;
            continue;
        }
        const bool mark = *text == '"' || *text == '\'';
        if (mark && (quote == 0 || quote == *text)) {
            quote = quote == 0 ? *text : 0;
            *to++ = '"';
            continue;
        }
        if (*text == '"') /* within single quotes */
            *to++ = '\\';
        *to++ = *text;
    }
    if (out != NULL)
        *to = '\0';
    return out;
}

int vm__options_json_text(struct vm_blk_options *o, const char *text)
{
    json_error_t e;
    char *standard = double_quotes(text);
    if (standard == NULL)
        return vm__fail_nomem(strlen(text));
    json_t *root = json_loads(standard, JSON_REJECT_DUPLICATES, &e);
    const int st = root != NULL
                       ? vm__options_json(o, root)
                       : vm__fail(VM_E_INVAL, "Could not parse the JSON options: %s", e.text);
    json_decref(root);
    free(standard);
    return st;
}

/* ---- use -------------------------------------------------------------------------------- */

const char *vm__opt_str(struct vm_blk_options *o, const char *name)
{
    struct entry *e = find(o, name);
    if (e == NULL)
        return NULL;
    e->used = true;
    return e->value;
}

static bool under(const char *name, const char *prefix, size_t len)
{
    return strncmp(name, prefix, len) == 0 && name[len] == '.';
}

bool vm__opt_has(const struct vm_blk_options *o, const char *name)
{
    const size_t len = strlen(name);
    for (uint32_t i = 0; o != NULL && i < o->n; i++)
        if (strcmp(o->entries[i].name, name) == 0 || under(o->entries[i].name, name, len))
            return true;
    return false;
}

struct vm_blk_options *vm__opt_sub(struct vm_blk_options *o, const char *name)
{
    const size_t len = strlen(name);
    struct vm_blk_options *sub = NULL;
    for (uint32_t i = 0; o != NULL && i < o->n; i++) {
        struct entry *e = &o->entries[i];
        if (!under(e->name, name, len))
            continue;
        e->used = true;
        if (sub == NULL)
            sub = vm__options_new();
        if (sub == NULL || vm__options_set(sub, e->name + len + 1, e->value) != VM_OK) {
            vm__options_free(sub);
            return NULL;
        }
    }
    return sub;
}

const char *vm__opt_unused(const struct vm_blk_options *o)
{
    for (uint32_t i = 0; o != NULL && i < o->n; i++)
        if (!o->entries[i].used)
            return o->entries[i].name;
    return NULL;
}

int vm__opt_each(const struct vm_blk_options *o,
                 int (*fn)(void *ud, const char *name, const char *value), void *ud)
{
    for (uint32_t i = 0; o != NULL && i < o->n; i++) {
        const int st = fn(ud, o->entries[i].name, o->entries[i].value);
        if (st != 0)
            return st;
    }
    return VM_OK;
}
