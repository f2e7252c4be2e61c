/* SPDX-License-Identifier: MIT */
/**
 * @file words.c
 * Words, numbers of things and formats in a command's arguments.
 */
#include <string.h>

#include "base/error.h"
#include "monitor/monitor.h"

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

char *vm__mon_word(char **args)
{
    char *in = *args;
    while (blank(*in))
        in++;
    if (*in == '\0') {
        *args = in;
        return NULL;
    }
    const bool quoted = *in == '"';
    in += quoted;
    char *word = in, *out = in;
    while (*in != '\0' && (quoted ? *in != '"' : !blank(*in))) {
        in += quoted && *in == '\\' && in[1] != '\0';
        *out++ = *in++;
    }
    *args = *in != '\0' ? in + 1 : in;
    *out = '\0';
    return word;
}

char *vm__mon_need(char **args, const char *what)
{
    char *word = vm__mon_word(args);
    if (word == NULL)
        (void)vm__fail(VM_E_INVAL, "%s is missing", what);
    return word;
}

int vm__mon_end(char **args)
{
    const char *word = vm__mon_word(args);
    return word == NULL ? VM_OK : vm__fail(VM_E_INVAL, "nothing more is expected: %.40s", word);
}

enum { MAX_COUNT = 1 << 20 };

int vm__mon_format(char **args, struct mon_format *f)
{
    static const char sizes[] = "bhwg";
    char *p = *args;
    while (blank(*p))
        p++;
    if (*p != '/')
        return VM_OK;
    p++;
    uint32_t count = 0;
    const bool counted = *p >= '0' && *p <= '9';
    for (; *p >= '0' && *p <= '9'; p++) {
        count = count * 10 + (uint32_t)(*p - '0');
        if (count > MAX_COUNT)
            return vm__fail(VM_E_RANGE, "a count is at most %d", MAX_COUNT);
    }
    if (counted)
        f->count = count;
    for (; *p != '\0' && !blank(*p); p++) {
        const char *size = strchr(sizes, *p);
        if (size != NULL)
            f->size = 1u << (size - sizes);
        else if (strchr("xduocis", *p) != NULL)
            f->letter = *p;
        else
            return vm__fail(VM_E_INVAL, "format: %c is neither x d u o c i s nor a size b h w g",
                            *p);
    }
    *args = p;
    return VM_OK;
}
