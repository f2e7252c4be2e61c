/* SPDX-License-Identifier: MIT */
/**
 * @file screen.c
 * The screen as a file: screendump.
 *
 * The picture is written as PPM, which needs no library; a host program that has one for PNG puts
 * its own command in place of this.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/display.h"
#include "monitor/monitor.h"

static int write_ppm(FILE *f, const struct vm_surface *s)
{
    uint8_t *line = malloc((size_t)s->width * 3);
    if (line == NULL)
        return vm__fail_nomem((uint64_t)s->width * 3);
    bool ok = fprintf(f, "P6\n%u %u\n255\n", s->width, s->height) > 0;
    for (uint32_t y = 0; ok && y < s->height; y++) {
        const uint8_t *from = (const uint8_t *)s->pixels + (size_t)y * s->stride;
        for (uint32_t x = 0; x < s->width; x++) {
            uint32_t pixel;
            memcpy(&pixel, from + 4 * (size_t)x, sizeof pixel);
            line[3 * x] = (uint8_t)(pixel >> 16);
            line[3 * x + 1] = (uint8_t)(pixel >> 8);
            line[3 * x + 2] = (uint8_t)pixel;
        }
        ok = fwrite(line, 3, s->width, f) == s->width;
    }
    free(line);
    return ok ? VM_OK : VM_E_IO;
}

static int run_screendump(struct mon *mon, char *args)
{
    const char *name = vm__mon_need(&args, "a file's name");
    if (name == NULL)
        return VM_E_INVAL;
    struct vm_display *d = mon->m->displays[0];
    const struct vm_surface *s = d != NULL ? vm__display_refresh(d, true) : NULL;
    if (s == NULL || s->width == 0 || s->height == 0)
        return vm__fail(VM_E_STATE, "there is no picture: no graphics adapter, or it is off");
    FILE *f = fopen(name, "wbe");
    if (f == NULL)
        return vm__fail_os(VM_E_IO, errno, "%s", name);
    int st = write_ppm(f, s);
    const int why = errno;
    if (fclose(f) != 0 && st == VM_OK)
        st = VM_E_IO;
    return st == VM_E_IO ? vm__fail_os(VM_E_IO, why, "%s", name) : st;
}

const struct mon_command vm__mon_screen[] = {
    { "screendump", NULL, "FILE", "the screen as a PPM picture", 0, run_screendump },
    { 0 },
};
