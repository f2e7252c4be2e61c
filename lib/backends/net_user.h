/* SPDX-License-Identifier: MIT */
/**
 * @file net_user.h
 * Between the files of the user network: its state, and libslirp on the machine's loop and clock.
 */
#ifndef LIBVM_BACKENDS_NET_USER_H
#define LIBVM_BACKENDS_NET_USER_H

#include <slirp/libslirp.h>

#include "core/clock.h"
#include "core/net_backend.h"

struct user_slot;
struct user_guestfwd;

struct user {
    struct vm_net *net;
    struct vm_machine *m;
    Slirp *slirp;
    char about[64];
    bool inside;  /**< libslirp is at work: it must not be entered again */
    bool refused; /**< a frame came meanwhile */

    struct user_slot **slots; /**< by descriptor; NULL: never used */
    int n_slots;
    int last_slot;             /**< highest descriptor in use, -1: none */
    uint32_t turn;             /**< of collecting what is to be watched */
    uint32_t n_sockets;        /**< watched now */
    struct vm_timer timeout;   /**< libslirp's own */
    struct user_guestfwd *fwd; /**< list */
};

/* net_user_loop.c */
extern const SlirpCb vm__user_callbacks;
/** Work with libslirp begins, resp. ends: watches and timers are brought up to date. */
void vm__user_enter(struct user *u);
void vm__user_leave(struct user *u);
void vm__user_loop_init(struct user *u);
void vm__user_loop_fini(struct user *u);

#endif
