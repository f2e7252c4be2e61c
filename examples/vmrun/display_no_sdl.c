/* SPDX-License-Identifier: MIT */
/**
 * @file display_no_sdl.c
 * In place of display_sdl.c where there is no SDL2.
 */
#include "display.h"

const struct display_kind display_sdl = { .name = "sdl", .needs = "SDL2" };
