/* SPDX-License-Identifier: MIT */
/**
 * @file display_sdl.c
 * The guest's screen in a window; keyboard and mouse go to the guest while it has the focus.
 *
 * A click gives the mouse to the guest, Ctrl+Alt+G takes it back; Ctrl+Alt+F is the whole screen.
 * SDL's scan codes are the USB usages that the library takes.
 */
#include <SDL.h>
#include <stdlib.h>
#include <string.h>

#include "display.h"
#include "vmrun.h"

enum { PERIOD_MS = 16, LAST_USAGE = 0xe7 };

static struct {
    struct vmrun *v;
    struct watch *tick;
    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *texture;
    uint32_t *pixels; /**< ours: what the library draws into may go away */
    uint32_t width, height;
    bool resized, damaged;
    bool grabbed, full;
    uint32_t buttons;
    bool down[LAST_USAGE + 1];
    char title[160];
} win;

/* ---- the picture; out of vm_display_refresh(), with the machine held back ----------------- */

static void on_mode(void *ud, const vm_display_surface *s)
{
    (void)ud;
    const size_t n = (size_t)s->width * s->height;
    uint32_t *pixels = n != 0 ? calloc(n, sizeof *pixels) : NULL;
    free(win.pixels);
    win.pixels = pixels;
    win.width = pixels != NULL ? s->width : 0;
    win.height = pixels != NULL ? s->height : 0;
    win.resized = true;
}

static void on_damage(void *ud, const vm_display_surface *s, uint32_t x, uint32_t y, uint32_t width,
                      uint32_t height)
{
    (void)ud;
    if (x + width > win.width || y + height > win.height)
        return;
    for (uint32_t i = y; i < y + height; i++)
        memcpy(win.pixels + (size_t)i * win.width + x,
               (const uint8_t *)s->pixels + (size_t)i * s->stride + 4 * (size_t)x,
               4 * (size_t)width);
    if (win.texture != NULL && !win.resized) {
        const SDL_Rect part = { (int)x, (int)y, (int)width, (int)height };
        (void)SDL_UpdateTexture(win.texture, &part, win.pixels + (size_t)y * win.width + x,
                                (int)win.width * 4);
    }
    win.damaged = true;
}

static void resize(void)
{
    win.resized = false;
    if (win.texture != NULL)
        SDL_DestroyTexture(win.texture);
    win.texture = NULL;
    if (win.width == 0)
        return;
    win.texture = SDL_CreateTexture(win.renderer, SDL_PIXELFORMAT_RGB888,
                                    SDL_TEXTUREACCESS_STREAMING, (int)win.width, (int)win.height);
    if (win.texture != NULL)
        (void)SDL_UpdateTexture(win.texture, NULL, win.pixels, (int)win.width * 4);
    if (!win.full)
        SDL_SetWindowSize(win.window, (int)win.width, (int)win.height);
    (void)SDL_RenderSetLogicalSize(win.renderer, (int)win.width, (int)win.height);
    win.damaged = true;
}

static void present(void)
{
    win.damaged = false;
    (void)SDL_RenderClear(win.renderer);
    if (win.texture != NULL)
        (void)SDL_RenderCopy(win.renderer, win.texture, NULL, NULL);
    SDL_RenderPresent(win.renderer);
}

/* ---- keyboard and mouse ------------------------------------------------------------------- */

static void set_title(void)
{
    char name[64] = "";
    size_t len = sizeof name;
    if (vm_config_get(win.v->cfg, "name", name, &len) != VM_OK)
        name[0] = '\0';
    (void)snprintf(win.title, sizeof win.title, "%s%svmrun%s", name, name[0] != '\0' ? " - " : "",
                   win.grabbed ? " - Ctrl+Alt+G gives the mouse back" : "");
    SDL_SetWindowTitle(win.window, win.title);
}

static void grab(bool on)
{
    win.grabbed = on;
    (void)SDL_SetRelativeMouseMode(on ? SDL_TRUE : SDL_FALSE);
    SDL_SetWindowGrab(win.window, on ? SDL_TRUE : SDL_FALSE);
    set_title();
}

static void release_keys(void)
{
    for (uint32_t usage = 0; usage <= LAST_USAGE; usage++) {
        if (win.down[usage])
            (void)vm_input_key(win.v->m, usage, 0);
        win.down[usage] = false;
    }
}

/** Ctrl+Alt and a letter is for us. */
static bool our_key(const SDL_KeyboardEvent *e)
{
    const Uint16 both = e->keysym.mod;
    if (!(both & KMOD_CTRL) || !(both & KMOD_ALT))
        return false;
    if (e->keysym.scancode != SDL_SCANCODE_G && e->keysym.scancode != SDL_SCANCODE_F)
        return false;
    if (e->type == SDL_KEYUP || e->repeat)
        return true;
    release_keys();
    if (e->keysym.scancode == SDL_SCANCODE_G) {
        grab(!win.grabbed);
    } else {
        win.full = !win.full;
        (void)SDL_SetWindowFullscreen(win.window, win.full ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
        win.damaged = true;
    }
    return true;
}

static void on_key(const SDL_KeyboardEvent *e)
{
    const uint32_t usage = (uint32_t)e->keysym.scancode;
    if (usage > LAST_USAGE || our_key(e))
        return;
    win.down[usage] = e->type == SDL_KEYDOWN;
    (void)vm_input_key(win.v->m, usage, e->type == SDL_KEYDOWN);
}

static void on_button(const SDL_MouseButtonEvent *e)
{
    uint32_t bit = e->button == SDL_BUTTON_LEFT     ? 1
                   : e->button == SDL_BUTTON_RIGHT  ? 2
                   : e->button == SDL_BUTTON_MIDDLE ? 4
                                                    : 0;
    if (!win.grabbed) {
        if (e->type == SDL_MOUSEBUTTONDOWN)
            grab(true);
        return; /* this click was for us */
    }
    win.buttons = e->type == SDL_MOUSEBUTTONDOWN ? win.buttons | bit : win.buttons & ~bit;
    (void)vm_input_pointer(win.v->m, 0, 0, 0, 0, win.buttons);
}

static void on_window(const SDL_WindowEvent *e)
{
    if (e->event == SDL_WINDOWEVENT_FOCUS_LOST) {
        release_keys();
        grab(false);
    }
    win.damaged = true; /* uncovered, moved to another screen: draw it again */
}

static void on_sdl(const SDL_Event *e)
{
    switch (e->type) {
    case SDL_QUIT:
        loop_quit(win.v->loop, 0);
        break;
    case SDL_KEYDOWN:
    case SDL_KEYUP:
        on_key(&e->key);
        break;
    case SDL_MOUSEMOTION:
        if (win.grabbed)
            (void)vm_input_pointer(win.v->m, 0, e->motion.xrel, e->motion.yrel, 0, win.buttons);
        break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
        on_button(&e->button);
        break;
    case SDL_MOUSEWHEEL:
        if (win.grabbed)
            (void)vm_input_pointer(win.v->m, 0, 0, 0, e->wheel.y, win.buttons);
        break;
    case SDL_WINDOWEVENT:
        on_window(&e->window);
        break;
    default:
        break;
    }
}

/* ---- life --------------------------------------------------------------------------------- */

static void on_tick(void *ud)
{
    SDL_Event e;
    (void)ud;
    while (SDL_PollEvent(&e))
        on_sdl(&e);
    (void)vm_display_refresh(win.v->m, 0);
    if (win.resized)
        resize();
    if (win.damaged)
        present();
}

static void close_sdl(void)
{
    loop_unwatch(win.tick);
    if (win.v != NULL && win.v->m != NULL)
        (void)vm_display_attach(win.v->m, 0, NULL, NULL, NULL);
    free(win.pixels);
    SDL_Quit();
    memset(&win, 0, sizeof win);
}

static bool fail(const char *what)
{
    say("-display sdl: %s: %s", what, SDL_GetError());
    return false;
}

static bool open_sdl(struct vmrun *v)
{
    const vm_display_ops ops = { .size = sizeof ops, .mode = on_mode, .damage = on_damage };
    win.v = v;
    (void)SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    (void)SDL_SetHint(SDL_HINT_RENDER_SCALE_QUALITY, "linear");
    (void)SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
    if (SDL_Init(SDL_INIT_VIDEO) != 0)
        return fail("no window system");
    win.window = SDL_CreateWindow("vmrun", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, 720,
                                  400, SDL_WINDOW_RESIZABLE);
    if (win.window == NULL)
        return fail("no window");
    win.renderer = SDL_CreateRenderer(win.window, -1, 0);
    if (win.renderer == NULL)
        win.renderer = SDL_CreateRenderer(win.window, -1, SDL_RENDERER_SOFTWARE);
    if (win.renderer == NULL)
        return fail("nothing draws");
    set_title();
    if (vm_display_attach(v->m, 0, &ops, NULL, NULL) != VM_OK)
        return say_last("-display sdl");
    win.tick = loop_every(v->loop, PERIOD_MS, on_tick, NULL);
    return win.tick != NULL;
}

const struct display_kind display_sdl = {
    .name = "sdl",
    .help = "a window",
    .needs = "SDL2",
    .open = open_sdl,
    .close = close_sdl,
};
