/* SPDX-License-Identifier: MIT */
/**
 * @file say.c
 * Messages: one clear line each, and "did you mean".
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "vmrun.h"

void (*say_before)(void);

void say(const char *fmt, ...)
{
    char line[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (say_before != NULL)
        say_before();
    (void)fprintf(stderr, "vmrun: %s\n", line);
}

bool say_last(const char *context)
{
    const char *message = vm_last_error()->message;
    if (context != NULL)
        say("%s: %s", context, message);
    else
        say("%s", message);
    return false;
}

/** Edits (insert, delete, replace) between two words; words beyond 63 bytes are far away. */
static unsigned distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    unsigned row[MAX + 1];
    size_t na = strlen(a), nb = strlen(b);
    if (na >= MAX || nb >= MAX)
        return MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned replace = diagonal + (a[i - 1] != b[j - 1]);
            unsigned edit = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replace < edit ? replace : edit;
        }
    }
    return row[nb];
}

const char *nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)strlen(word) / 3 + 2;
    for (size_t i = 0; i < n; i++) {
        unsigned d = distance(word, candidates[i]);
        if (d < best_distance) {
            best_distance = d;
            best = candidates[i];
        }
    }
    return best;
}
