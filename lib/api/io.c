/* SPDX-License-Identifier: MIT */
/**
 * @file io.c
 * Exported: channels, input, interrupts, devices.
 */
#include <libvm/io.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/chr.h"
#include "core/input.h"
#include "core/run.h"

struct user_chr {
    struct vm_machine *m;
    vm_chr_ops calls;
    void *ud;
    vm_free_fn free_ud;
};

static size_t user_write(void *opaque, const uint8_t *buf, size_t len)
{
    struct user_chr *c = opaque;
    if (c->calls.write == NULL)
        return len;
    const int64_t n = c->calls.write(c->ud, buf, len);
    if (n < 0)
        vm__request_error(c->m, VM_E_CALLBACK, vm_strerror((int)n));
    return n < 0 ? len : (size_t)n;
}

static void user_room(void *opaque)
{
    struct user_chr *c = opaque;
    if (c->calls.room != NULL)
        c->calls.room(c->ud);
}

static void user_close(void *opaque)
{
    struct user_chr *c = opaque;
    if (c->free_ud != NULL)
        c->free_ud(c->ud);
    free(c);
}

static const struct vm_chr_host_ops user_ops = { .write = user_write,
                                                 .room = user_room,
                                                 .close = user_close };

static struct vm_chr *find_chr(vm_machine *m, const char *id)
{
    if (m == NULL || id == NULL) {
        vm__fail(VM_E_INVAL, "no machine or no channel");
        return NULL;
    }
    struct vm_chr *chr = vm__chr_find(m, id);
    if (chr == NULL)
        vm__fail(VM_E_NOENT, "no channel %s", id);
    return chr;
}

int vm_chr_attach(vm_machine *m, const char *id, const vm_chr_ops *ops, void *ud,
                  vm_free_fn free_ud)
{
    struct vm_chr *chr = find_chr(m, id);
    if (chr == NULL)
        return vm_last_error()->code;
    if (ops == NULL)
        return vm__chr_attach_host(chr, NULL, NULL);
    struct user_chr *c = calloc(1, sizeof *c);
    if (c == NULL)
        return vm__fail_nomem(sizeof *c);
    c->m = m;
    memcpy(&c->calls, ops, ops->size < sizeof c->calls ? ops->size : sizeof c->calls);
    c->ud = ud;
    c->free_ud = free_ud;
    return vm__chr_attach_host(chr, &user_ops, c);
}

int64_t vm_chr_feed(vm_machine *m, const char *id, const void *buf, size_t len)
{
    struct vm_chr *chr = find_chr(m, id);
    if (chr == NULL)
        return vm_last_error()->code;
    if (buf == NULL && len != 0)
        return vm__fail(VM_E_INVAL, "no bytes");
    return (int64_t)vm__chr_feed(chr, buf, len);
}

int vm_chr_ready(vm_machine *m, const char *id)
{
    struct vm_chr *chr = find_chr(m, id);
    if (chr == NULL)
        return vm_last_error()->code;
    vm__chr_ready(chr);
    return VM_OK;
}

int vm_chr_break(vm_machine *m, const char *id)
{
    struct vm_chr *chr = find_chr(m, id);
    if (chr == NULL)
        return vm_last_error()->code;
    vm__chr_event(chr, VM_CHR_BREAK);
    return VM_OK;
}

int vm_input_key(vm_machine *m, uint32_t usage, int down)
{
    if (m == NULL)
        return vm__fail(VM_E_INVAL, "no machine");
    vm__input_key(m, usage, down != 0);
    return VM_OK;
}

int vm_input_text(vm_machine *m, const char *text)
{
    if (m == NULL || text == NULL)
        return vm__fail(VM_E_INVAL, "no machine or no text");
    return vm__input_text(m, text);
}

int vm_input_pointer(vm_machine *m, int absolute, int32_t x, int32_t y, int32_t wheel,
                     uint32_t buttons)
{
    if (m == NULL)
        return vm__fail(VM_E_INVAL, "no machine");
    if (absolute && (x < 0 || x > VM_INPUT_ABS_MAX || y < 0 || y > VM_INPUT_ABS_MAX))
        return vm__fail(VM_E_RANGE, "position %d,%d is not in 0 to %d", x, y, VM_INPUT_ABS_MAX);
    if (absolute)
        vm__input_absolute(m, x, y, wheel, buttons);
    else
        vm__input_relative(m, x, y, wheel, buttons);
    return VM_OK;
}
