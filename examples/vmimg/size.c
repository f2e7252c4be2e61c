/* SPDX-License-Identifier: MIT */
/**
 * @file size.c
 * Sizes as people write and read them.
 */
#include "vmimg.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char units[] = "bkmgtpe";

static bool scale(const char *text, uint64_t *unit)
{
    *unit = 1;
    if (*text == '\0')
        return true;
    const char *at = strchr(units, tolower((unsigned char)*text));
    if (at == NULL || text[1] != '\0')
        return false;
    *unit = UINT64_C(1) << (10 * (at - units));
    return true;
}

bool parse_size(const char *text, uint64_t *value)
{
    uint64_t unit, whole;
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        *value = strtoull(text, &end, 16);
        return *end == '\0' && end != text + 2 && (*value != UINT64_MAX || strlen(text) == 18);
    }
    whole = strtoull(text, &end, 10);
    if (whole == UINT64_MAX)
        return false;
    if (*end != '.')
        return scale(end, &unit) && !__builtin_mul_overflow(whole, unit, value);
    double part = strtod(end, &end);
    if (!scale(end, &unit) || (unit == 1 && part > 0) || part >= 1)
        return false;
    return !__builtin_mul_overflow(whole, unit, value) &&
           !__builtin_add_overflow(*value, (uint64_t)(part * (double)unit), value);
}

bool image_size(const char *text, uint64_t *value)
{
    if (parse_size(text, value) && *value <= INT64_MAX)
        return true;
    if (parse_size(text, value)) {
        say("Image size must be less than 8 EiB!");
        return false;
    }
    say("Invalid image size specified. You may use k, M, G, T, P or E suffixes for");
    say("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
    return false;
}

bool sized(const char *what, const char *text, uint64_t *value)
{
    if (parse_size(text, value) && *value <= INT64_MAX)
        return true;
    say("Invalid %s specified. You may use k, M, G, T, P or E suffixes for", what);
    say("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
    return false;
}

const char *human(uint64_t bytes, char text[static 32])
{
    static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double v = (double)bytes;
    int unit = 0;
    while (v >= 1000 && unit < 6) {
        v /= 1024;
        unit++;
    }
    snprintf(text, 32, "%.3g %s", v, names[unit]);
    return text;
}
