/* SPDX-License-Identifier: MIT */
/**
 * @file display.c
 * Exported: displays.
 */
#include <libvm/display.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/display.h"
#include "core/machine.h"

enum { MAX_CELLS = 1 << 20 }; /* more than any text mode has */

struct user_display {
    struct vm_display *d;
    vm_display_ops calls;
    void *ud;
    vm_free_fn free_ud;
};

static vm_display_surface surface_of(const struct vm_surface *s)
{
    return (vm_display_surface) { .size = sizeof(vm_display_surface),
                                  .width = s->width,
                                  .height = s->height,
                                  .stride = s->stride,
                                  .pixels = s->pixels };
}

static void user_mode(void *opaque, const struct vm_surface *surface)
{
    const struct user_display *u = opaque;
    const vm_display_surface s = surface_of(surface);
    if (u->calls.mode != NULL)
        u->calls.mode(u->ud, &s);
}

static void user_damage(void *opaque, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
    const struct user_display *u = opaque;
    const vm_display_surface s = surface_of(vm__display_surface(u->d));
    if (u->calls.damage != NULL)
        u->calls.damage(u->ud, &s, x, y, width, height);
}

static void user_close(void *opaque)
{
    struct user_display *u = opaque;
    if (u->free_ud != NULL)
        u->free_ud(u->ud);
    free(u);
}

static const struct vm_display_host_ops user_ops = { .mode = user_mode,
                                                     .damage = user_damage,
                                                     .close = user_close };

/** Under the lock, which the caller gives back also when this fails. */
static struct vm_display *head_of(vm_machine *m, uint32_t head)
{
    struct vm_display *d = vm__display_get(m, head);
    if (d != NULL && !vm__display_has_guest(d)) {
        vm__fail(VM_E_NOENT, "no graphics adapter drives display %u", head);
        return NULL;
    }
    return d;
}

int vm_display_attach(vm_machine *m, uint32_t head, const vm_display_ops *ops, void *ud,
                      vm_free_fn free_ud)
{
    if (m == NULL)
        return vm__fail(VM_E_INVAL, "no machine");
    struct user_display *u = calloc(1, sizeof *u);
    if (u == NULL)
        return vm__fail_nomem(sizeof *u);
    vm__lock(m);
    struct vm_display *d = vm__display_get(m, head);
    int st = d != NULL ? VM_OK : vm_last_error()->code;
    if (d != NULL && ops != NULL) {
        memcpy(&u->calls, ops, ops->size < sizeof u->calls ? ops->size : sizeof u->calls);
        u->d = d;
        u->ud = ud;
        u->free_ud = free_ud;
        st = vm__display_attach_host(d, &user_ops, u);
    } else {
        if (d != NULL)
            st = vm__display_attach_host(d, NULL, NULL);
        free(u);
    }
    vm__unlock(m);
    return st;
}

int vm_display_refresh(vm_machine *m, uint32_t head)
{
    if (m == NULL)
        return vm__fail(VM_E_INVAL, "no machine");
    vm__lock(m);
    struct vm_display *d = head_of(m, head);
    int st = d != NULL ? VM_OK : vm_last_error()->code;
    if (d != NULL)
        (void)vm__display_refresh(d, false);
    vm__unlock(m);
    return st;
}

static int grab(vm_machine *m, uint32_t head, void *pixels, size_t *len, uint32_t *width,
                uint32_t *height)
{
    struct vm_display *d = head_of(m, head);
    if (d == NULL)
        return vm_last_error()->code;
    const struct vm_surface *s = vm__display_refresh(d, false);
    if (s == NULL)
        return vm__fail(VM_E_NOENT, "display %u is switched off", head);
    const size_t room = *len, row = (size_t)s->width * 4;
    *len = row * s->height;
    *width = s->width;
    *height = s->height;
    if (pixels == NULL)
        return VM_OK;
    if (room < *len)
        return vm__fail(VM_E_RANGE, "the picture takes %zu bytes", *len);
    for (uint32_t y = 0; y < s->height; y++)
        memcpy((uint8_t *)pixels + y * row, (const uint8_t *)s->pixels + (size_t)y * s->stride,
               row);
    return VM_OK;
}

int vm_display_grab(vm_machine *m, uint32_t head, void *pixels, size_t *len, uint32_t *width,
                    uint32_t *height)
{
    if (m == NULL || len == NULL || width == NULL || height == NULL)
        return vm__fail(VM_E_INVAL, "no machine or nowhere to put the size");
    vm__lock(m);
    const int st = grab(m, head, pixels, len, width, height);
    vm__unlock(m);
    return st;
}

/** The cells of a text screen, to be freed; NULL with the error set. */
static vm_text_cell *text_of(vm_machine *m, uint32_t head, size_t *n, uint32_t *columns)
{
    vm_text_cell *cells = NULL;
    vm__lock(m);
    struct vm_display *d = head_of(m, head);
    if (d != NULL) {
        *n = vm__display_text(d, NULL, 0, columns);
        if (*n == 0 || *columns == 0 || *n > MAX_CELLS)
            vm__fail(VM_E_STATE, "display %u does not show text", head);
        else if ((cells = calloc(*n, sizeof *cells)) == NULL)
            vm__fail_nomem(*n * sizeof *cells);
        else
            (void)vm__display_text(d, cells, *n, columns);
    }
    vm__unlock(m);
    return cells;
}

/** @return bytes of @p code in UTF-8; @p out may be NULL. No text screen has more than 16 bits. */
static size_t put_utf8(char *out, uint32_t code)
{
    const size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
    if (out == NULL)
        return n;
    if (n == 1) {
        out[0] = (char)code;
    } else if (n == 2) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
    } else {
        out[0] = (char)(0xe0 | (code >> 12 & 0x0f));
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
    }
    return n;
}

static size_t put_row(char *out, const vm_text_cell *row, uint32_t columns)
{
    size_t len = 0;
    while (columns > 0 && (row[columns - 1].code == ' ' || row[columns - 1].code == 0xa0))
        columns--;
    for (uint32_t i = 0; i < columns; i++)
        len += put_utf8(out != NULL ? out + len : NULL, row[i].code);
    if (out != NULL)
        out[len] = '\n';
    return len + 1;
}

int vm_display_text(vm_machine *m, uint32_t head, char *utf8, size_t *len)
{
    size_t n = 0, need = 0;
    uint32_t columns = 0;

    if (m == NULL || len == NULL)
        return vm__fail(VM_E_INVAL, "no machine or no length");
    vm_text_cell *cells = text_of(m, head, &n, &columns);
    if (cells == NULL)
        return vm_last_error()->code;
    for (size_t i = 0; i + columns <= n; i += columns)
        need += put_row(NULL, &cells[i], columns);
    const bool fits = *len > need;
    *len = need + 1;
    if (utf8 != NULL && fits) {
        char *out = utf8;
        for (size_t i = 0; i + columns <= n; i += columns)
            out += put_row(out, &cells[i], columns);
        *out = '\0';
    }
    free(cells);
    return utf8 == NULL || fits ? VM_OK : vm__fail(VM_E_RANGE, "the text takes %zu bytes", *len);
}

int vm_display_cells(vm_machine *m, uint32_t head, vm_text_cell *cells, size_t *n,
                     uint32_t *columns)
{
    if (m == NULL || n == NULL || columns == NULL)
        return vm__fail(VM_E_INVAL, "no machine or nowhere to put the size");
    const size_t room = *n;
    vm_text_cell *all = text_of(m, head, n, columns);
    if (all == NULL)
        return vm_last_error()->code;
    if (cells != NULL && room >= *n)
        memcpy(cells, all, *n * sizeof *cells);
    free(all);
    return cells == NULL || room >= *n ? VM_OK : vm__fail(VM_E_RANGE, "there are %zu cells", *n);
}
