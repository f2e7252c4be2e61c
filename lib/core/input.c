/* SPDX-License-Identifier: MIT */
/**
 * @file input.c
 * Keys and pointer movements to the device attached last.
 */
#include "core/input.h"

#include <stdlib.h>

#include "base/error.h"
#include "core/machine.h"

struct vm_input {
    uint32_t n;
    struct {
        const struct vm_input_ops *ops;
        void *opaque;
    } sink[VM_INPUT_SINKS]; /* in the order of attaching */
};

int vm__input_attach(struct vm_machine *m, const struct vm_input_ops *ops, void *opaque)
{
    if (m->input == NULL)
        m->input = calloc(1, sizeof *m->input);
    if (m->input == NULL)
        return vm__fail_nomem(sizeof *m->input);
    if (m->input->n == VM_INPUT_SINKS)
        return vm__fail(VM_E_RANGE, "more than %d input devices", VM_INPUT_SINKS);
    m->input->sink[m->input->n].ops = ops;
    m->input->sink[m->input->n++].opaque = opaque;
    return VM_OK;
}

void vm__input_detach(struct vm_machine *m, void *opaque)
{
    struct vm_input *in = m->input;
    for (uint32_t i = 0; in != NULL && i < in->n; i++) {
        if (in->sink[i].opaque == opaque) {
            in->n--;
            for (; i < in->n; i++)
                in->sink[i] = in->sink[i + 1];
            return;
        }
    }
}

void vm__input_key(struct vm_machine *m, uint32_t usage, bool down)
{
    vm__lock(m);
    struct vm_input *in = m->input;
    for (uint32_t i = in != NULL ? in->n : 0; i-- > 0;) {
        if (in->sink[i].ops->key != NULL) {
            in->sink[i].ops->key(in->sink[i].opaque, usage, down);
            break;
        }
    }
    vm__unlock(m);
}

void vm__input_relative(struct vm_machine *m, int32_t dx, int32_t dy, int32_t wheel,
                        uint32_t buttons)
{
    vm__lock(m);
    struct vm_input *in = m->input;
    for (uint32_t i = in != NULL ? in->n : 0; i-- > 0;) {
        if (in->sink[i].ops->relative != NULL) {
            in->sink[i].ops->relative(in->sink[i].opaque, dx, dy, wheel, buttons);
            break;
        }
    }
    vm__unlock(m);
}

void vm__input_absolute(struct vm_machine *m, int32_t x, int32_t y, int32_t wheel, uint32_t buttons)
{
    vm__lock(m);
    struct vm_input *in = m->input;
    for (uint32_t i = in != NULL ? in->n : 0; i-- > 0;) {
        if (in->sink[i].ops->absolute != NULL) {
            in->sink[i].ops->absolute(in->sink[i].opaque, x, y, wheel, buttons);
            break;
        }
    }
    vm__unlock(m);
}
