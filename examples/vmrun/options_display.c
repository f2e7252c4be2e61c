/* SPDX-License-Identifier: MIT */
/**
 * @file options_display.c
 * Options for the screen.
 */
#include <string.h>

#include "display.h"
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
    static const char *const words[] = { "none", "sdl", "curses", NULL };
    if (strcmp(arg, "help") == 0) {
        (void)print_row(NULL, "none", "nowhere");
        for (size_t i = 1; words[i] != NULL; i++)
            if (display_find(words[i])->open != NULL)
                (void)print_row(NULL, words[i], display_find(words[i])->help);
        p->done = true;
        return true;
    }
    p->o->display = arg;
    return one_of("-display", arg, words);
}

static bool opt_curses(struct parse *p, const char *arg)
{
    (void)arg;
    return opt_display(p, "curses");
}

static bool opt_sdl(struct parse *p, const char *arg)
{
    (void)arg;
    return opt_display(p, "sdl");
}

static bool opt_vga(struct parse *p, const char *arg)
{
    static const char *const words[] = { "std", "none", NULL };
    if (!one_of("-vga", arg, words))
        return false;
    p->o->vga = arg;
    return set_key(p, "-vga", "pc.vga", arg);
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
    return set_key(p, "-nographic", "firmware.console", "on");
}

/** Does a port or the monitor have the terminal? */
static bool terminal_is_free(const struct options *o)
{
    for (unsigned i = 0; i < o->n_chrs; i++)
        if (chr_spec_is_terminal(o->chrs[i].spec))
            return false;
    return true;
}

bool display_defaults(struct parse *p)
{
    struct options *o = p->o;
    if (o->nodefaults && o->vga == NULL && !opt_vga(p, "none"))
        return false;
    const bool has_vga = o->vga == NULL || strcmp(o->vga, "none") != 0;
    if (o->display == NULL)
        o->display =
            has_vga && !o->daemonize ? display_default(o->has_kernel, terminal_is_free(o)) : "none";
    return true;
}

static const struct option rows[] = {
    { "-display", "KIND", NULL, opt_display,
      "where the screen is shown: sdl, curses, none; help lists them" },
    { "-vga", "KIND", NULL, opt_vga, "graphics adapter: std, none" },
    { "-nographic", NULL, NULL, opt_nographic,
      "no window; firmware and the first serial port on this terminal" },
    { "-curses", NULL, NULL, opt_curses, NULL },
    { "-sdl", NULL, NULL, opt_sdl, NULL },
    { "-vnc", "none", NULL, opt_vnc, NULL },
    { 0 },
};

const struct option_group options_display = { "Screen", rows };
