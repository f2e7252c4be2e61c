/* SPDX-License-Identifier: MIT */
/**
 * @file opts.c
 * Comma lists of names and values.
 */
#include "opts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "vmrun.h"

/** Cut the next item off; ",," becomes ','. NULL at the end. */
static char *next_item(char **list)
{
    char *in = *list, *out = *list, *item = *list;
    if (in == NULL)
        return NULL;
    while (*in != '\0' && (*in != ',' || in[1] == ',')) {
        in += *in == ',';
        *out++ = *in++;
    }
    *list = *in == ',' ? in + 1 : NULL;
    *out = '\0';
    return item;
}

static bool is_known(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

static bool unknown(const struct opts *o, const char *name, const char *const *names)
{
    size_t n = 0;
    while (names[n] != NULL)
        n++;
    const char *near = nearest(name, names, n);
    say("%s %s: %s is not known%s%s%s", o->option, o->text, *name != '\0' ? name : "an empty name",
        near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
    return false;
}

static bool add(struct opts *o, const char *name, const char *value, const char *const *names)
{
    if (!is_known(name, names))
        return unknown(o, name, names);
    if (o->n == OPTS_MAX) {
        say("%s %s: more than %d settings", o->option, o->text, OPTS_MAX);
        return false;
    }
    o->item[o->n].name = name;
    o->item[o->n++].value = value;
    return true;
}

bool opts_parse(struct opts *o, const char *option, const char *text, const char *first,
                const char *const *names)
{
    *o = (struct opts) { .option = option, .text = text, .copy = strdup(text) };
    char *list = o->copy, *item;
    bool ok = o->copy != NULL;
    for (bool head = true; ok && (item = next_item(&list)) != NULL; head = false) {
        char *value = strchr(item, '=');
        if (*item == '\0' && (list == NULL || head)) /* "": nothing; "a,": nothing more */
            continue;
        if (value != NULL) {
            *value++ = '\0';
            ok = add(o, item, value, names);
        } else if (head && first != NULL) {
            ok = add(o, first, item, names);
        } else if (strncmp(item, "no", 2) == 0 && !is_known(item, names) &&
                   is_known(item + 2, names)) {
            ok = add(o, item + 2, "off", names);
        } else {
            ok = add(o, item, "on", names);
        }
    }
    if (!ok)
        opts_free(o);
    return ok;
}

void opts_free(struct opts *o)
{
    free(o->copy);
    o->copy = NULL;
    o->n = 0;
}

const char *opts_get(const struct opts *o, const char *name)
{
    for (unsigned i = o->n; i-- > 0;)
        if (strcmp(o->item[i].name, name) == 0)
            return o->item[i].value;
    return NULL;
}

bool opts_bool(const struct opts *o, const char *name, bool *out)
{
    static const char *const yes[] = { "on", "yes", "true", "y" };
    static const char *const no[] = { "off", "no", "false", "n" };
    const char *value = opts_get(o, name);
    for (size_t i = 0; value != NULL && i < 4; i++) {
        if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0) {
            *out = strcasecmp(value, yes[i]) == 0;
            return true;
        }
    }
    if (value != NULL)
        say("%s %s: %s is on or off, not %s", o->option, o->text, name, value);
    return value == NULL;
}

bool opts_number(const struct opts *o, const char *name, uint64_t min, uint64_t max, uint64_t *out)
{
    const char *value = opts_get(o, name);
    if (value == NULL)
        return true;
    char *end;
    errno = 0;
    const unsigned long long n = strtoull(value, &end, 0);
    if (*value < '0' || *value > '9' || *end != '\0' || errno != 0 || n < min || n > max) {
        say("%s %s: %s is a number from %llu to %llu, not %s", o->option, o->text, name,
            (unsigned long long)min, (unsigned long long)max, value);
        return false;
    }
    *out = n;
    return true;
}

bool opts_choice(const struct opts *o, const char *name, const char *const *choices, unsigned *out)
{
    const char *value = opts_get(o, name);
    char list[256] = "";
    if (value == NULL)
        return true;
    for (unsigned i = 0; choices[i] != NULL; i++) {
        const size_t n = strlen(list);
        if (strcmp(value, choices[i]) == 0) {
            *out = i;
            return true;
        }
        (void)snprintf(list + n, sizeof list - n, "%s%s", i != 0 ? ", " : "", choices[i]);
    }
    say("%s %s: %s is one of %s, not %s", o->option, o->text, name, list, value);
    return false;
}

bool opts_append(char *text, size_t size, const char *name, const char *value)
{
    size_t at = strlen(text);
    const int n = snprintf(text + at, size - at, "%s%s=", at != 0 ? "," : "", name);
    if (n < 0 || (size_t)n >= size - at)
        return false;
    for (at += (size_t)n; *value != '\0'; value++) {
        if (at + 3 > size)
            return false;
        if (*value == ',')
            text[at++] = ',';
        text[at++] = *value;
    }
    text[at] = '\0';
    return true;
}
