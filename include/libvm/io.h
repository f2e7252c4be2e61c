/* SPDX-License-Identifier: MIT */
/**
 * @file io.h
 * Character channels, displays and input: the host's end of them.
 *
 * A channel has an id ("serial0"). Bytes the guest sends arrive in a callback; bytes for the guest
 * are fed, as far as there is room.
 *
 * Threads: feeding and input are [any]; callbacks come from library threads or out of vm_run(),
 * with the machine held back: be short, call only [any] functions.
 */
#ifndef LIBVM_IO_H
#define LIBVM_IO_H

#include <libvm/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vm_chr_ops {
    uint32_t size;
    uint32_t flags; /**< 0 */
    /** Bytes from the guest. Returns how many were taken (the rest is offered again after
     *  vm_chr_ready()), or a negative status that stops the machine. */
    int64_t (*write)(void *ud, const void *buf, size_t len);
    /** There is room for vm_chr_feed() again. May be NULL. */
    void (*room)(void *ud);
} vm_chr_ops;

/** Connect a channel, in place of what was there. @p ops is copied. [owner] @retval VM_E_NOENT no
 * such channel. @since 0.1 */
VM_API int vm_chr_attach(vm_machine *m, const char *id, const vm_chr_ops *ops, void *ud,
                         vm_free_fn free_ud);
/** Give bytes to the guest. [any] @return how many were taken, or a negative status. @since 0.1 */
VM_API int64_t vm_chr_feed(vm_machine *m, const char *id, const void *buf, size_t len);
/** The write callback can take bytes again. [any] @since 0.1 */
VM_API int vm_chr_ready(vm_machine *m, const char *id);
/** A serial break condition. [any] @since 0.1 */
VM_API int vm_chr_break(vm_machine *m, const char *id);

/** Press or release a key, by USB HID usage (page 7). [any] @since 0.1 */
VM_API int vm_input_key(vm_machine *m, uint32_t usage, int down);
/**
 * Type a text on a US keyboard, 33 characters a second of the machine's time; returns at once.
 * [any] Line feed is Enter; tab, backspace and escape are their keys.
 * @retval VM_E_INVAL a character is on no key; nothing is typed. VM_E_BUSY 65536 already wait
 * @since 0.1
 */
VM_API int vm_input_text(vm_machine *m, const char *text);
/** Move the pointer: relative counts, or absolute in 0…32767. [any] @since 0.1 */
VM_API int vm_input_pointer(vm_machine *m, int absolute, int32_t x, int32_t y, int32_t wheel,
                            uint32_t buttons);

#ifdef __cplusplus
}
#endif
#endif
