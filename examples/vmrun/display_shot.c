/* SPDX-License-Identifier: MIT */
/**
 * @file display_shot.c
 * Screenshots as files.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "display.h"
#include "vmrun.h"

/** The screen now; VM_OK, or a status with the error set. */
static int grab(vm_machine *m, struct picture *p)
{
    size_t len = 0;
    int st = vm_display_grab(m, 0, NULL, &len, &p->width, &p->height);
    p->pixels = NULL;
    while (st == VM_OK) {
        free(p->pixels);
        p->pixels = malloc(len);
        if (p->pixels == NULL)
            return VM_E_NOMEM;
        st = vm_display_grab(m, 0, p->pixels, &len, &p->width, &p->height);
        if (st == VM_OK)
            return VM_OK;
        if (st == VM_E_RANGE)
            st = VM_OK; /* it grew in between */
    }
    free(p->pixels);
    p->pixels = NULL;
    return st;
}

int screenshot_png(vm_machine *m, const char *path)
{
    struct picture p;
    int st = grab(m, &p);
    if (st != VM_OK)
        return st;
    const char *why = png_write(&p, path);
    free(p.pixels);
    if (why == NULL)
        return VM_OK;
    say("%s: %s", path, why);
    return VM_E_IO;
}

static bool put_ppm(FILE *f, const struct picture *p)
{
    bool ok = fprintf(f, "P6\n%u %u\n255\n", p->width, p->height) > 0;
    for (size_t i = 0; ok && i < (size_t)p->width * p->height; i++) {
        const uint32_t v = p->pixels[i];
        const uint8_t rgb[3] = { (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
        ok = fwrite(rgb, 3, 1, f) == 1;
    }
    return ok;
}

int screenshot_ppm(vm_machine *m, const char *path)
{
    struct picture p;
    int st = grab(m, &p);
    if (st != VM_OK)
        return st;
    FILE *f = fopen(path, "wbe");
    bool ok = f != NULL && put_ppm(f, &p);
    if (f != NULL)
        ok = fclose(f) == 0 && ok;
    free(p.pixels);
    if (ok)
        return VM_OK;
    say("%s: %s", path, strerror(errno));
    return VM_E_IO;
}
