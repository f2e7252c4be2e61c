/* SPDX-License-Identifier: MIT */
/**
 * @file chr.h
 * A character channel: a UART, debug port or console on one side, a terminal, socket or the
 * embedder on the other. Neither knows the other.
 *
 * Flow control both ways. Guest to host: vm__chr_write() says how much was taken; when it was not
 * all, guest->writable() is called later. Host to guest: vm__chr_feed() queues up to VM_CHR_QUEUE
 * bytes and hands them over as guest->can_receive() allows; when it took less than offered,
 * host->room() is called later. A channel with no host swallows what the guest writes.
 *
 * Threads: all calls and callbacks happen under the machine lock, except where [any] is said.
 */
#ifndef LIBVM_CORE_CHR_H
#define LIBVM_CORE_CHR_H

#include <stddef.h>
#include <stdint.h>

struct vm_machine;
struct vm_chr;

enum { VM_CHR_QUEUE = 4096 }; /* bytes from the host waiting for the guest */

enum vm_chr_event {
    VM_CHR_OPENED, /**< a host side was attached, or its peer connected */
    VM_CHR_CLOSED,
    VM_CHR_BREAK, /**< a break condition on the line */
};

/** The device's side. Any call may be NULL. */
struct vm_chr_guest_ops {
    size_t (*can_receive)(void *opaque);                           /**< bytes it has room for now */
    void (*receive)(void *opaque, const uint8_t *buf, size_t len); /**< len <= can_receive() */
    void (*event)(void *opaque, enum vm_chr_event event);
    void (*writable)(void *opaque); /**< the host takes bytes again */
};

/** The backend's side. Any call may be NULL. */
struct vm_chr_host_ops {
    size_t (*write)(void *opaque, const uint8_t *buf, size_t len); /**< bytes taken */
    void (*room)(void *opaque);                                    /**< feed again */
    void (*line)(void *opaque, uint32_t baud, unsigned data_bits, char parity, unsigned stop_bits);
    void (*close)(void *opaque); /**< detached: free what is behind opaque. Exactly once */
};

/* Made and found. Channels belong to the machine and live as long. */
/** The channel of this id, made if there is none. NULL: no memory. */
struct vm_chr *vm__chr_get(struct vm_machine *m, const char *id);
/** The channel of this id or NULL. [any] */
struct vm_chr *vm__chr_find(struct vm_machine *m, const char *id);
const char *vm__chr_id(const struct vm_chr *chr);

/* For devices. A NULL channel behaves as one with no host. */
/** Connect the device's side. @retval VM_E_BUSY another device has it */
int vm__chr_attach_guest(struct vm_chr *chr, const struct vm_chr_guest_ops *ops, void *opaque);
void vm__chr_detach_guest(struct vm_chr *chr);
/** Send bytes to the host. @return bytes taken; fewer than @p len: wait for writable(). */
size_t vm__chr_write(struct vm_chr *chr, const void *buf, size_t len);
/** can_receive() has grown: hand over what waits. Calls receive() before it returns. */
void vm__chr_accept(struct vm_chr *chr);
/** Tell the host the line settings; @p parity is 'N', 'E' or 'O'. */
void vm__chr_line(struct vm_chr *chr, uint32_t baud, unsigned data_bits, char parity,
                  unsigned stop_bits);

/* For backends and the embedder. */
/** Connect the host's side, closing the one before. */
int vm__chr_attach_host(struct vm_chr *chr, const struct vm_chr_host_ops *ops, void *opaque);
/** Give bytes to the guest. [any] (takes the lock) @return bytes taken. */
size_t vm__chr_feed(struct vm_chr *chr, const void *buf, size_t len);
/** write() can take bytes again. [any] */
void vm__chr_ready(struct vm_chr *chr);
/** [any] */
void vm__chr_event(struct vm_chr *chr, enum vm_chr_event event);

#endif
