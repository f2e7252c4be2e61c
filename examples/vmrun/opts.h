/* SPDX-License-Identifier: MIT */
/**
 * @file opts.h
 * Comma lists: "socket,path=/tmp/s,server=on,wait=off".
 */
#ifndef VMRUN_OPTS_H
#define VMRUN_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OPTS_MAX = 32 };

struct opts {
    const char *option; /**< "-drive": begins every complaint */
    const char *text;   /**< as the user wrote it; borrowed */
    char *copy;
    unsigned n;
    struct {
        const char *name, *value;
    } item[OPTS_MAX];
};

/**
 * Cut up a list; ",," stands for a comma. An item without '=' is the value of @p first if it is the
 * first one; else it is a switch: "server" is server=on, "noserver" with "server" known is off.
 * @param names what may be there, NULL-ended; anything else is an error that names the nearest
 * @return false after a line
 */
bool opts_parse(struct opts *o, const char *option, const char *text, const char *first,
                const char *const *names);
void opts_free(struct opts *o);
/** The last value of a name, or NULL. */
const char *opts_get(const struct opts *o, const char *name);
/** on/off, yes/no, true/false, y/n; *out stays if it is not there. False after a line. */
bool opts_bool(const struct opts *o, const char *name, bool *out);
/** A number from @p min to @p max; *out stays if it is not there. False after a line. */
bool opts_number(const struct opts *o, const char *name, uint64_t min, uint64_t max, uint64_t *out);
/** One of a NULL-ended list; *out stays if it is not there. False after a line. */
bool opts_choice(const struct opts *o, const char *name, const char *const *choices, unsigned *out);
/** Append ",name=value" to a text, commas doubled. False: no room. */
bool opts_append(char *text, size_t size, const char *name, const char *value);

#endif
