/* SPDX-License-Identifier: MIT */
/**
 * @file display_png.c
 * PNG files, by libpng's simplified interface.
 */
#include <errno.h>
#include <png.h>
#include <string.h>

#include "display.h"

const char *png_write(const struct picture *p, const char *path)
{
    static char message[sizeof((png_image *)NULL)->message];
    png_image image = { .version = PNG_IMAGE_VERSION,
                        .width = p->width,
                        .height = p->height,
                        .format = PNG_FORMAT_BGR };
    /* Three bytes a pixel: packed in place, each pixel before the ones still to be read. */
    uint8_t *to = (uint8_t *)p->pixels;
    for (size_t i = 0; i < (size_t)p->width * p->height; i++) {
        const uint32_t v = p->pixels[i];
        *to++ = (uint8_t)v;
        *to++ = (uint8_t)(v >> 8);
        *to++ = (uint8_t)(v >> 16);
    }
    FILE *f = fopen(path, "wbe");
    if (f == NULL)
        return strerror(errno);
    const bool ok = png_image_write_to_stdio(&image, f, 0, p->pixels, 0, NULL) != 0;
    (void)strcpy(message, image.message);
    if (fclose(f) != 0 && ok)
        return strerror(errno);
    return ok ? NULL : message;
}
