/* SPDX-License-Identifier: MIT */
/**
 * @file net.h
 * Networks: the host's end of the cables that lead to a guest's network cards.
 *
 * A network has an id. It comes from the configuration ("netdev.0" = "user,id=n0") or is added to a
 * machine later; a card is plugged in by its property: "device.0" = "rtl8139,netdev=n0". Frames are
 * Ethernet frames without preamble and checksum, 14 to 65600 bytes.
 *
 * The kind "callback" leads to this program: frames of the guest arrive in a callback, frames for
 * the guest are fed, as far as there is room.
 *
 *     vm_config_set_str(cfg, "netdev.0", "callback,id=n0");
 *     vm_config_set_str(cfg, "device.0", "rtl8139,netdev=n0");
 *     ...
 *     vm_net_ops ops = { .size = sizeof ops, .send = my_send };
 *     vm_net_attach(machine, "n0", &ops, my_data, NULL);
 *
 * Threads: feeding is [any]; callbacks come from library threads or out of vm_run(), with the
 * machine held back: be short, call only [any] functions.
 */
#ifndef LIBVM_NET_H
#define LIBVM_NET_H

#include <libvm/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vm_net_ops {
    uint32_t size;
    uint32_t flags; /**< 0 */
    /** A frame from the guest, complete with its checksums and not longer than the guest's MTU.
     *  Returns 1: taken, 0: not now (it is offered again after vm_net_ready()), or a negative
     * status that stops the machine. */
    int (*send)(void *ud, const void *frame, size_t len);
    /** There is room for vm_net_feed() again. May be NULL. */
    void (*room)(void *ud);
    /** The cable was plugged in or pulled out by vm_net_set_link(). May be NULL. */
    void (*link)(void *ud, int up);
} vm_net_ops;

/** Be the host of a network, in place of what was there; NULL: nobody. @p ops is copied. [owner]
 *  @retval VM_E_NOENT no such network @since 0.1 */
VM_API int vm_net_attach(vm_machine *m, const char *id, const vm_net_ops *ops, void *ud,
                         vm_free_fn free_ud);
/** Give a frame to the guest. [any] @return 1: taken (a card may still drop it), 0: no room now;
 *  or a negative status: VM_E_NOENT, VM_E_RANGE for its length @since 0.1 */
VM_API int vm_net_feed(vm_machine *m, const char *id, const void *frame, size_t len);
/** The send callback can take frames again. [any] @since 0.1 */
VM_API int vm_net_ready(vm_machine *m, const char *id);
/** Pull the cable out, or plug it in. [any] @param name of a network, or of a card
 *  @retval VM_E_NOENT there is neither @since 0.1 */
VM_API int vm_net_set_link(vm_machine *m, const char *name, int up);
/** One more network: "user,id=n1,restrict=on". [owner] @since 0.1 */
VM_API int vm_net_add(vm_machine *m, const char *spec);
/** Take a network away. A card that is plugged in keeps a cable that leads nowhere. [owner]
 *  @retval VM_E_NOENT no such network @since 0.1 */
VM_API int vm_net_remove(vm_machine *m, const char *id);

#ifdef __cplusplus
}
#endif
#endif
