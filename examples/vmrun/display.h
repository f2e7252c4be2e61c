/* SPDX-License-Identifier: MIT */
/**
 * @file display.h
 * Where vmrun shows the guest's screen: a window, the terminal, nowhere.
 *
 * A kind that needs a library is a file that Meson chooses; in its place stands display_no_KIND.c,
 * whose open() is NULL. One display is open at a time; all calls are the main thread's.
 */
#ifndef VMRUN_DISPLAY_H
#define VMRUN_DISPLAY_H

#include <stdbool.h>

#include <libvm/libvm.h>

struct vmrun;

struct display_kind {
    const char *name;
    const char *help;
    const char *needs;             /**< the library it is built with */
    bool (*open)(struct vmrun *v); /**< false after a line; NULL: built without the library */
    void (*close)(void);
};

extern const struct display_kind display_curses, display_sdl;

/** By name, up to a comma; NULL: "none" or not known. */
const struct display_kind *display_find(const char *name);
/** What is shown where when nothing was said; "none", "curses" or "sdl". */
const char *display_default(bool has_kernel, bool terminal_is_free);
bool display_open(struct vmrun *v);
void display_close(void);
/** The monitor's commands about the screen. False after a line. */
bool display_commands(struct vmrun *v);

/* display_shot.c */
/** Write the screen to a file, as PNG. @return VM_OK, or a status with the error set or said */
int screenshot_png(vm_machine *m, const char *path);
int screenshot_ppm(vm_machine *m, const char *path);

/** A picture: 0x00RRGGBB, without gaps. */
struct picture {
    uint32_t width, height;
    uint32_t *pixels; /**< to be freed */
};
/** display_png.c, or display_no_png.c: one line about what is wrong, or NULL. */
const char *png_write(const struct picture *p, const char *path);

#endif
