/* SPDX-License-Identifier: MIT */
/**
 * @file parse.c
 * Text into values, and the name someone probably meant.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/checked.h"
#include "core/config.h"

static unsigned digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 99;
}

static unsigned suffix_shift(const char *s)
{
    static const char letters[] = "kmgt";
    if (*s == '\0' || s[1] != '\0')
        return 99;
    const char *at = strchr(letters, tolower((unsigned char)*s));
    return at != NULL ? (unsigned)(at - letters + 1) * 10 : 99;
}

int vm__parse_u64(const char *text, bool sizes, uint64_t *out)
{
    const char *s = text;
    unsigned base = 10;
    uint64_t v = 0;

    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
        base = 16;
        s += 2;
    }
    const char *first = s;
    for (; digit(*s) < base; s++)
        if (!vm_mul_u64(v, base, &v) || !vm_add_u64(v, digit(*s), &v))
            return VM_E_INVAL;
    if (s == first)
        return VM_E_INVAL;
    if (*s != '\0') {
        const unsigned shift = suffix_shift(s);
        if (!sizes || shift > 40 || !vm_mul_u64(v, UINT64_C(1) << shift, &v))
            return VM_E_INVAL;
    }
    *out = v;
    return VM_OK;
}

int vm__parse_bool(const char *text, bool *out)
{
    static const char *const names[][2] = {
        { "off", "on" }, { "no", "yes" }, { "false", "true" }, { "0", "1" }
    };
    for (size_t i = 0; i < VM_COUNT_OF(names); i++) {
        for (int v = 0; v < 2; v++) {
            if (strcmp(text, names[i][v]) == 0) {
                *out = v != 0;
                return VM_OK;
            }
        }
    }
    return VM_E_INVAL;
}

enum { WORD_MAX = 48 };

/* Levenshtein's distance; words longer than WORD_MAX are not alike. */
static unsigned distance(const char *a, const char *b)
{
    const size_t la = strlen(a), lb = strlen(b);
    unsigned row[WORD_MAX + 1];

    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            const unsigned above = row[j];
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[lb];
}

const char *vm__nearest(const char *word, const char *(*next)(const void *ud, uint32_t i),
                        const void *ud)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)strlen(word) / 2 + 1; /* further is no help */

    for (uint32_t i = 0;; i++) {
        const char *name = next(ud, i);
        if (name == NULL)
            return best;
        const unsigned d = distance(word, name);
        if (d < best_distance) {
            best_distance = d;
            best = name;
        }
    }
}
