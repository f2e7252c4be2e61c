/* SPDX-License-Identifier: MIT */
/**
 * @file display_no_curses.c
 * In place of display_curses.c where there is no ncurses.
 */
#include "display.h"

const struct display_kind display_curses = { .name = "curses", .needs = "ncurses" };
