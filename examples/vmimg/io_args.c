/* SPDX-License-Identifier: MIT */
/**
 * @file io_args.c
 * The shell's numbers, and how it tells what was done.
 */
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

int io_getopt(int argc, char **argv, const char *letters)
{
    return getopt(argc, argv, letters);
}

bool io_number(const char *text, uint64_t *value)
{
    if (parse_size(text, value) && *value <= INT64_MAX)
        return true;
    if (parse_size(text, value))
        printf("Parsing error: argument too large -- %s\n", text);
    else
        printf("Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- %s\n",
               text);
    return false;
}

bool io_length(const char *text, bool any, uint64_t *value)
{
    const uint64_t most = (INT32_MAX / 512) * UINT64_C(512);
    if (!io_number(text, value))
        return false;
    if (*value <= most || any)
        return true;
    printf("length cannot exceed %" PRIu64 ", given %s\n", most, text);
    return false;
}

bool io_pattern(const char *text, int *value)
{
    char *end;
    const long v = strtol(text, &end, 0);
    if (*end == '\0' && end != text && v >= 0 && v <= 255) {
        *value = (int)v;
        return true;
    }
    printf("%s is not a valid pattern byte\n", text);
    return false;
}

const char *io_size(double value, char text[static 40])
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    int unit = 0;
    while (value >= 1024 && unit < 6) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 40, unit == 0 ? "%f" : "%.3f", value);
    char *point = strchr(text, '.');
    if (point != NULL && strspn(point + 1, "0") == strlen(point + 1))
        *point = '\0';
    const size_t len = strlen(text);
    snprintf(text + len, (size_t)(40 - len), " %s", units[unit]);
    return text;
}

static const char *time_text(double s, bool full, char text[static 32])
{
    const unsigned hours = (unsigned)(s / 3600), minutes = (unsigned)(s / 60) % 60;
    const double rest = s - 60.0 * (double)(hours * 60 + minutes);
    const unsigned hundredths = (unsigned)(rest * 100) % 100;
    if (full || hours != 0)
        snprintf(text, 32, "%u:%02u:%02u.%02u", hours, minutes, (unsigned)rest, hundredths);
    else if (minutes != 0)
        snprintf(text, 32, "%02u:%02u.%02u", minutes, (unsigned)rest, hundredths);
    else
        snprintf(text, 32, "%02u.%02u sec", (unsigned)rest, hundredths);
    return text;
}

void io_report(const char *what, const struct timespec *since, uint64_t off, uint64_t asked,
               uint64_t done, uint64_t ops, bool csv)
{
    struct timespec now;
    char time[32], size[40], rate[40];
    clock_gettime(CLOCK_MONOTONIC, &now);
    double s = (double)(now.tv_sec - since->tv_sec) + (double)(now.tv_nsec - since->tv_nsec) / 1e9;
    if (s <= 0)
        s = 1e-9;
    time_text(s, csv, time);
    if (csv) {
        printf("%" PRIu64 ",%" PRIu64 ",%s,%.3f,%.3f\n", done, ops, time, (double)done / s,
               (double)ops / s);
        return;
    }
    printf("%s %" PRIu64 "/%" PRIu64 " bytes at offset %" PRIu64 "\n", what, done, asked, off);
    printf("%s, %" PRIu64 " ops; %s (%s/sec and %.4f ops/sec)\n", io_size((double)done, size), ops,
           time, io_size((double)done / s, rate), (double)ops / s);
}

void io_dump(const uint8_t *p, uint64_t len, uint64_t at)
{
    for (uint64_t i = 0; i < len; i += 16) {
        const uint64_t n = len - i < 16 ? len - i : 16;
        printf("%08" PRIx64 ":  ", at + i);
        for (uint64_t j = 0; j < n; j++)
            printf("%02x ", p[i + j]);
        putchar(' ');
        for (uint64_t j = 0; j < n; j++)
            putchar(isalnum(p[i + j]) ? p[i + j] : '.');
        putchar('\n');
    }
}

bool io_same(const uint8_t *p, uint64_t len, int pattern)
{
    return len == 0 || (p[0] == pattern && memcmp(p, p + 1, (size_t)len - 1) == 0);
}
