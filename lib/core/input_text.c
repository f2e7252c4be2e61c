/* SPDX-License-Identifier: MIT */
/**
 * @file input_text.c
 * Typing: text to strokes of a US keyboard, at a speed that any guest keeps up with.
 *
 * Usages: [HID-USAGE §10].
 */
#include "core/input.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/machine.h"

enum {
    STEP_NS = 15000000, /* between two events: 33 characters a second */
    TEXT_MOST = 1 << 16,
    SHIFT = 0xe1,
    WITH_SHIFT = 0x100,
};

/** The strokes of the printing keys from usage 0x1e on, plain and shifted, in the usages' order. */
static const char digits_plain[] = "1234567890", digits_shifted[] = "!@#$%^&*()";
static const char signs_plain[] = " -=[]\\", signs_shifted[] = " _+{}|"; /* from 0x2c on */
static const char more_plain[] = ";'`,./", more_shifted[] = ":\"~<>?";   /* from 0x33 on */

static unsigned find(const char *keys, char c, unsigned first, unsigned flags)
{
    const char *at = strchr(keys, c);
    return at != NULL ? (first + (unsigned)(at - keys)) | flags : 0;
}

/** Usage, perhaps with WITH_SHIFT; 0: there is no key for it. */
static unsigned stroke(char c)
{
    unsigned k = 0;
    switch (c) {
    case '\n':
    case '\r':
        return 0x28;
    case '\x1b':
        return 0x29;
    case '\b':
    case '\x7f':
        return 0x2a;
    case '\t':
        return 0x2b;
    case '\0':
        return 0;
    default:
        break;
    }
    if (c >= 'a' && c <= 'z')
        return 0x04 + (unsigned)(c - 'a');
    if (c >= 'A' && c <= 'Z')
        return (0x04 + (unsigned)(c - 'A')) | WITH_SHIFT;
    if ((k = find(digits_plain, c, 0x1e, 0)) != 0 || (k = find(signs_plain, c, 0x2c, 0)) != 0 ||
        (k = find(more_plain, c, 0x33, 0)) != 0)
        return k;
    if ((k = find(digits_shifted, c, 0x1e, WITH_SHIFT)) != 0 ||
        (k = find(signs_shifted, c, 0x2c, WITH_SHIFT)) != 0)
        return k;
    return find(more_shifted, c, 0x33, WITH_SHIFT);
}

/** One event: shift down, key down, key up, shift up. Under the lock. */
static void type_on(void *opaque)
{
    struct vm_typist *t = opaque;
    struct vm_machine *m = t->timer.m;

    if (t->at >= t->len)
        return;
    const unsigned k = stroke(t->text[t->at]);
    const bool shift = k & WITH_SHIFT;
    if (t->step == 0 && !shift)
        t->step = 1;
    switch (t->step++) {
    case 0:
        vm__input_key(m, SHIFT, true);
        break;
    case 1:
        vm__input_key(m, k & 0xff, true);
        break;
    case 2:
        vm__input_key(m, k & 0xff, false);
        t->step += !shift;
        break;
    default:
        vm__input_key(m, SHIFT, false);
        break;
    }
    if (t->step == 4) {
        t->step = 0;
        t->at++;
    }
    if (t->at < t->len)
        vm__timer_arm(&t->timer, vm__clock_ns(m) + STEP_NS);
}

/** Under the lock. */
static int add(struct vm_machine *m, const char *text, size_t len)
{
    struct vm_typist *t = m->typist;
    if (t == NULL) {
        t = m->typist = calloc(1, sizeof *t);
        if (t == NULL)
            return vm__fail_nomem(sizeof *t);
        vm__timer_init(&t->timer, m, type_on, t);
    }
    const size_t left = t->len - t->at;
    if (left + len > TEXT_MOST)
        return vm__fail(VM_E_BUSY, "more than %d characters wait to be typed", TEXT_MOST);
    char *fresh = malloc(left + len + 1);
    if (fresh == NULL)
        return vm__fail_nomem(left + len);
    if (left != 0)
        memcpy(fresh, t->text + t->at, left);
    memcpy(fresh + left, text, len);
    free(t->text);
    t->text = fresh;
    t->at = 0;
    t->len = left + len;
    if (left == 0 && len != 0)
        vm__timer_arm(&t->timer, vm__clock_ns(m));
    return VM_OK;
}

int vm__input_text(struct vm_machine *m, const char *text)
{
    const size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (stroke(text[i]) == 0)
            return vm__fail(VM_E_INVAL,
                            "byte %zu of the text, 0x%02x, is on no key of a US keyboard", i,
                            (unsigned char)text[i]);
    vm__lock(m);
    const int st = add(m, text, len);
    vm__unlock(m);
    return st;
}

void vm__input_text_fini(struct vm_machine *m)
{
    if (m->typist == NULL)
        return;
    vm__timer_cancel(&m->typist->timer);
    free(m->typist->text);
    free(m->typist);
    m->typist = NULL;
}
