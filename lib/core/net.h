/* SPDX-License-Identifier: MIT */
/**
 * @file net.h
 * A network cable: a network card of the guest on one end, a backend or the embedder on the other.
 * Neither knows the other.
 *
 * What travels is an Ethernet frame without preamble and checksum, as pieces of memory that are
 * valid during the call, and what is still to be done to it (struct vm_net_meta: a checksum to be
 * completed, a packet to be cut into segments). An end says what of that it takes; for one that
 * does not, the cable does it on the way.
 *
 * Flow control both ways. Guest to host: vm__net_send() takes a frame or says no; after a no
 * nic->writable() comes. Host to guest: vm__net_deliver() hands over, or queues while the card has
 * no room or the machine stands still; when the queue is full it says no, and host->room() comes
 * later. A cable without a host, or pulled out (vm__net_set_link()), swallows what is sent.
 *
 * Threads: everything under the machine lock, except where [any] is said. receive() may come while
 * the card is inside vm__net_send(): a backend may answer at once.
 */
#ifndef LIBVM_CORE_NET_H
#define LIBVM_CORE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sg.h"

struct vm_buf;
struct vm_machine;
struct vm_net;

enum {
    VM_NET_MAC = 6,
    VM_NET_FRAME_MIN = 14,
    /** A whole IP packet with link header and VLAN tags. */
    VM_NET_FRAME_MAX = 65536 + 64,
    VM_NET_QUEUE_FRAMES = 2048, /**< from the host, waiting for the guest */
    VM_NET_QUEUE_BYTES = 4 << 20,
};

/** What is left to be done to a frame; the meaning of the fields is [VIRTIO-1.2 §5.1.6]'s. */
struct vm_net_meta {
    uint8_t flags; /**< VM_NET_NEEDS_CSUM, VM_NET_CSUM_OK */
    uint8_t gso;   /**< enum vm_net_gso */
    uint16_t hdr_len;
    uint16_t gso_size;   /**< payload bytes of a segment */
    uint16_t csum_start; /**< from here to the end is summed … */
    uint16_t
        csum_offset; /**< … into here, counted from csum_start; it holds the pseudo-header's sum */
};

enum { VM_NET_NEEDS_CSUM = 1, VM_NET_CSUM_OK = 2 /**< the sums are known to be right */ };
enum vm_net_gso { VM_NET_GSO_NONE = 0, VM_NET_GSO_TCP4 = 1, VM_NET_GSO_TCP6 = 4 };

/** What an end takes. */
enum { VM_NET_TAKES_CSUM = 1, VM_NET_TAKES_TSO4 = 2, VM_NET_TAKES_TSO6 = 4 };

struct vm_net_frame {
    const struct vm_iov *iov;
    uint32_t n_iov;
    size_t len; /**< of all pieces */
    struct vm_net_meta meta;
};

/** The card's side. Any call may be NULL. */
struct vm_net_nic_ops {
    /** Take a frame. False: no room now; it is offered again after vm__net_accept(). */
    bool (*receive)(void *opaque, const struct vm_net_frame *f);
    void (*link)(void *opaque, bool up);
    void (*writable)(void *opaque); /**< vm__net_send() takes frames again */
};

/** The backend's side. Any call may be NULL. */
struct vm_net_host_ops {
    /** Take a frame. False: not now; vm__net_ready() says when. */
    bool (*send)(void *opaque, const struct vm_net_frame *f);
    void (*room)(void *opaque); /**< vm__net_deliver() takes frames again */
    void (*link)(void *opaque, bool up);
    /** One line about it: "user: net=10.0.2.0". */
    void (*info)(void *opaque, struct vm_buf *out);
    /** What the monitor asks of this kind alone: "hostfwd_add" with its argument. */
    int (*control)(void *opaque, const char *verb, const char *arg, struct vm_buf *out);
    void (*close)(void *opaque); /**< detached: free what is behind opaque. Exactly once */
};

/** Someone who looks at every frame, before it is handed over. */
struct vm_net_tap {
    const char *id; /**< for vm__net_tap_remove(); NULL: nobody removes it */
    void (*frame)(void *opaque, bool to_guest, const struct vm_net_frame *f);
    void (*close)(void *opaque);
    void *opaque;
};

/* Made and found. Cables belong to the machine. */
/** A new one. NULL with the error set: the id is taken, no memory. */
struct vm_net *vm__net_new(struct vm_machine *m, const char *id);
/** Detach both ends and free. */
void vm__net_free(struct vm_net *net);
/** Take the network away: its card, if there is one, keeps a cable that leads nowhere. */
void vm__net_unplug(struct vm_net *net);
struct vm_net *vm__net_find(struct vm_machine *m, const char *id);
struct vm_net *vm__net_next(struct vm_machine *m, const struct vm_net *after); /**< NULL: first */
const char *vm__net_id(const struct vm_net *net);
struct vm_machine *vm__net_machine(const struct vm_net *net);

/** "52:54:00:12:34:56" to bytes; NULL: the next of the machine's own. */
int vm__net_mac(struct vm_machine *m, const char *text, uint8_t mac[VM_NET_MAC]);

/* For cards. */
/**
 * Plug a card in.
 * @param id   of the cable; NULL: one without a host is made
 * @param name of the card, for people
 * @return NULL with the error set: no such cable, or another card sits there
 */
struct vm_net *vm__net_attach_nic(struct vm_machine *m, const char *id, const char *name,
                                  const uint8_t mac[VM_NET_MAC], const struct vm_net_nic_ops *ops,
                                  void *opaque);
void vm__net_detach_nic(struct vm_net *net);
/** What receive() takes: VM_NET_TAKES_*; nothing at first. */
void vm__net_nic_takes(struct vm_net *net, unsigned takes);
/** What the host's side takes, so that a card need not offer more. */
unsigned vm__net_host_takes(const struct vm_net *net);
/** @return false: not taken; writable() comes */
bool vm__net_send(struct vm_net *net, const struct vm_net_frame *f);
/** There is room for receive() again. */
void vm__net_accept(struct vm_net *net);
/** The card forgot what it had asked for: drop what waits for it. At reset. */
void vm__net_flush(struct vm_net *net);
bool vm__net_link(const struct vm_net *net);

/* For backends. */
int vm__net_attach_host(struct vm_net *net, const struct vm_net_host_ops *ops, void *opaque,
                        unsigned takes);
/** Give a frame to the guest. [any] @return false: not taken; room() comes */
bool vm__net_deliver(struct vm_net *net, const struct vm_net_frame *f);
/** One that lies in one piece. */
bool vm__net_deliver_buf(struct vm_net *net, const void *buf, size_t len, unsigned flags);
/** send() takes frames again. [any] */
void vm__net_ready(struct vm_net *net);
/** The frame's bytes in one piece: where they lie, or copied into a place of the cable's. */
const uint8_t *vm__net_flat(struct vm_net *net, const struct vm_net_frame *f);

/* For the monitor and the embedder. */
void vm__net_set_link(struct vm_net *net, bool up);
/** By the name of a cable or of a card. */
struct vm_net *vm__net_by_name(struct vm_machine *m, const char *name);
/** A line for people: card, address, backend. */
void vm__net_info(struct vm_net *net, struct vm_buf *out);
int vm__net_control(struct vm_net *net, const char *verb, const char *arg, struct vm_buf *out);
int vm__net_tap_add(struct vm_net *net, const struct vm_net_tap *tap);

#endif
