/* SPDX-License-Identifier: MIT */
/**
 * @file info_print.c
 * What is known of images, for people.
 */
#include "info_print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmimg.h"

void print_json(const json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(4));
    printf("%s\n", text != NULL ? text : "");
    free(text);
}

/* ---- what only the format knows --------------------------------------------------------- */

static void print_value(const json_t *v, int depth);

static void indent(int depth)
{
    printf("%*s", depth * 4, "");
}

static bool nests(const json_t *v)
{
    return json_is_object(v) || json_is_array(v);
}

static void print_members(const json_t *o, int depth)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)o, name, v)
    {
        indent(depth);
        for (const char *p = name; *p != '\0'; p++)
            putchar(*p == '-' ? ' ' : *p);
        printf(nests(v) ? ":\n" : ": ");
        print_value(v, depth + 1);
    }
}

static void print_value(const json_t *v, int depth)
{
    size_t i;
    json_t *item;
    if (json_is_object(v)) {
        print_members(v, depth);
    } else if (json_is_array(v)) {
        json_array_foreach(v, i, item)
        {
            indent(depth);
            printf(nests(item) ? "[%zu]:\n" : "[%zu]: ", i);
            print_value(item, depth + 1);
        }
    } else if (json_is_string(v)) {
        printf("%s\n", json_string_value(v));
    } else if (json_is_boolean(v)) {
        printf("%s\n", json_is_true(v) ? "true" : "false");
    } else if (json_is_integer(v)) {
        printf("%lld\n", (long long)json_integer_value(v));
    } else {
        printf("%g\n", json_number_value(v));
    }
}

void print_specific(const json_t *specific)
{
    const json_t *data = json_object_get(specific, "data");
    if (json_object_size(data) == 0)
        return;
    printf("Format specific information:\n");
    print_members(data, 1);
}

/* ---- snapshots -------------------------------------------------------------------------- */

static uint64_t number(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s != NULL ? s : "";
}

static void print_snapshot(const json_t *s)
{
    char date[32], clock[32], size[32], icount[32] = "";
    const time_t when = (time_t)number(s, "date-sec");
    const uint64_t sec = number(s, "vm-clock-sec");
    struct tm tm;
    localtime_r(&when, &tm);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(clock, sizeof clock, "%02u:%02u:%02u.%03u", (unsigned)(sec / 3600),
             (unsigned)(sec / 60 % 60), (unsigned)(sec % 60),
             (unsigned)(number(s, "vm-clock-nsec") / 1000000));
    if (json_object_get(s, "icount") != NULL)
        snprintf(icount, sizeof icount, "%" PRIu64, number(s, "icount"));
    printf("%-10s%-17s%8s%20s%13s%11s\n", text(s, "id"), text(s, "name"),
           human(number(s, "vm-state-size"), size), date, clock, icount);
}

void print_snapshots(const json_t *list)
{
    size_t i;
    json_t *s;
    printf("%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
    json_array_foreach(list, i, s) print_snapshot(s);
}

/* ---- all of it -------------------------------------------------------------------------- */

static void print_backing(const json_t *o)
{
    const char *name = text(o, "backing-filename"), *full = text(o, "full-backing-filename");
    if (*name == '\0')
        return;
    printf("backing file: %s", name);
    if (json_object_get(o, "full-backing-filename") == NULL)
        printf(" (cannot determine actual path)");
    else if (strcmp(name, full) != 0)
        printf(" (actual path: %s)", full);
    printf("\n");
    if (json_object_get(o, "backing-filename-format") != NULL)
        printf("backing file format: %s\n", text(o, "backing-filename-format"));
}

void print_info(const json_t *o)
{
    char size[32];
    const json_t *snapshots = json_object_get(o, "snapshots");
    const json_t *disk = json_object_get(o, "actual-size");
    const uint64_t bytes = number(o, "virtual-size");
    printf("image: %s\nfile format: %s\n", text(o, "filename"), text(o, "format"));
    printf("virtual size: %s (%" PRIu64 " bytes)\n", human(bytes, size), bytes);
    printf("disk size: %s\n",
           disk != NULL ? human((uint64_t)json_integer_value(disk), size) : "unavailable");
    if (json_is_true(json_object_get(o, "encrypted")))
        printf("encrypted: yes\n");
    if (number(o, "cluster-size") != 0)
        printf("cluster_size: %" PRIu64 "\n", number(o, "cluster-size"));
    if (json_is_true(json_object_get(o, "dirty-flag")))
        printf("cleanly shut down: no\n");
    print_backing(o);
    if (json_array_size(snapshots) != 0) {
        printf("Snapshot list:\n");
        print_snapshots(snapshots);
    }
    print_specific(json_object_get(o, "format-specific"));
}
