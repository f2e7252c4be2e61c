/* SPDX-License-Identifier: MIT */
/**
 * @file display_no_png.c
 * In place of display_png.c where there is no libpng.
 */
#include "display.h"

const char *png_write(const struct picture *p, const char *path)
{
    (void)p;
    (void)path;
    return "this vmrun was built without libpng; a name that ends in .ppm gives a PPM file";
}
