/* SPDX-License-Identifier: MIT */
/**
 * @file options_display.c
 * Options for the screen.
 */
#include <string.h>

#include "vmrun.h"

/** One of these words, perhaps with settings behind a comma. */
static bool one_of(const char *option, const char *arg, const char *const *words)
{
    const size_t n = strcspn(arg, ",");
    size_t count = 0;
    for (; words[count] != NULL; count++)
        if (strlen(words[count]) == n && strncmp(arg, words[count], n) == 0)
            return true;
    const char *near = nearest(arg, words, count);
    say("%s %s: not there; %s%s", option, arg, near != NULL ? "did you mean " : "there is ",
        near != NULL ? near : words[0]);
    return false;
}

static bool opt_display(struct parse *p, const char *arg)
{
    static const char *const words[] = { "none", NULL };
    p->o->display = arg;
    return one_of("-display", arg, words);
}

static bool opt_vga(struct parse *p, const char *arg)
{
    static const char *const words[] = { "none", NULL };
    p->o->vga = arg;
    return one_of("-vga", arg, words);
}

static bool opt_vnc(struct parse *p, const char *arg)
{
    static const char *const words[] = { "none", NULL };
    (void)p;
    return one_of("-vnc", arg, words);
}

/** No window, and firmware's screen on the first serial port. */
static bool opt_nographic(struct parse *p, const char *arg)
{
    (void)arg;
    p->o->nographic = true;
    p->o->display = "none";
    /* Older libraries have no firmware to tell. */
    (void)vm_config_set_str(p->cfg, "firmware.console", "on");
    return true;
}

static const struct option rows[] = {
    { "-display", "none", NULL, opt_display, "where the screen is shown" },
    { "-vga", "none", NULL, opt_vga, "graphics adapter" },
    { "-nographic", NULL, NULL, opt_nographic,
      "no window; firmware and the first serial port on this terminal" },
    { "-vnc", "none", NULL, opt_vnc, NULL },
    { 0 },
};

const struct option_group options_display = { "Screen", rows };
