/* SPDX-License-Identifier: MIT */
/**
 * @file display.c
 * Which display, and the monitor's screendump.
 */
#include "display.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmrun.h"

static const struct display_kind *const kinds[] = { &display_sdl, &display_curses };
static const struct display_kind *opened;

const struct display_kind *display_find(const char *name)
{
    const size_t n = strcspn(name, ",");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strlen(kinds[i]->name) == n && strncmp(name, kinds[i]->name, n) == 0)
            return kinds[i];
    return NULL;
}

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL && *value != '\0';
}

/**
 * A window where there are windows; else the terminal, if nothing else uses it. A kernel started
 * directly speaks on the serial port, which has the terminal then.
 */
const char *display_default(bool has_kernel, bool terminal_is_free)
{
    if (display_sdl.open != NULL && (is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")))
        return display_sdl.name;
    if (display_curses.open != NULL && !has_kernel && terminal_is_free && is_set("TERM") &&
        isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        return display_curses.name;
    return "none";
}

bool display_open(struct vmrun *v)
{
    const char *name = v->o.display != NULL ? v->o.display : "none";
    const struct display_kind *kind = display_find(name);
    if (kind == NULL)
        return true;
    if (kind->open == NULL) {
        say("-display %s: this vmrun was built without %s", name, kind->needs);
        return false;
    }
    if (!kind->open(v))
        return false;
    opened = kind;
    return true;
}

void display_close(void)
{
    if (opened != NULL)
        opened->close();
    opened = NULL;
}

/* ---- screendump --------------------------------------------------------------------------- */

static bool ends_in(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/** [-f png|ppm] FILE: without a format the name decides, PPM unless it ends in .png. */
static int run_screendump(void *ud, const char *args, vm_text_fn out, void *out_ud)
{
    static const char usage[] = "screendump: a file's name is expected";
    const struct vmrun *v = ud;
    char format[8] = "", path[4096] = "";
    int st = VM_E_INVAL;

    if (sscanf(args, "-f %7s %4095[^\n]", format, path) != 2 &&
        sscanf(args, "%4095[^\n]", path) != 1)
        out(out_ud, usage, sizeof usage - 1);
    else if (strcmp(format, "png") == 0 || (format[0] == '\0' && ends_in(path, ".png")))
        st = screenshot_png(v->m, path);
    else
        st = screenshot_ppm(v->m, path);
    if (st != VM_OK && path[0] != '\0' && vm_last_error()->code == st)
        out(out_ud, vm_last_error()->message, strlen(vm_last_error()->message));
    return st;
}

bool display_commands(struct vmrun *v)
{
    return vm_monitor_add(v->m, "screendump", "[-f png|ppm] FILE", "the screen as a picture",
                          run_screendump, v, NULL) == VM_OK ||
           say_last("screendump");
}
