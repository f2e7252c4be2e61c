/* SPDX-License-Identifier: MIT */
/**
 * @file socket.h
 * Stream sockets: listening, accepting, bytes both ways without waiting, and waiting.
 *
 * A socket is its descriptor, non-blocking. Functions answer a negative VM_E_* with the error set,
 * VM_E_AGAIN without one.
 */
#ifndef LIBVM_HOST_SOCKET_H
#define LIBVM_HOST_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sg.h"

enum { VM_SOCKET_ADDRESSES = 8 };

/** Listen at a path; one that a program which has ended left behind is taken over. @return a
 *  descriptor. @retval VM_E_BUSY somebody listens there */
int vm__socket_listen_unix(const char *path);
/** Listen at every address that @p host has. @p fds: room for VM_SOCKET_ADDRESSES. */
int vm__socket_listen_tcp(const char *host, const char *port, int *fds, uint32_t *n);
/** A descriptor from elsewhere becomes ours: is it a stream socket, and does it listen? */
int vm__socket_adopt(int fd, bool *listens);
/** @return a connected descriptor; VM_E_AGAIN: nobody waits, or whoever did has gone */
int vm__socket_accept(int fd);
/** @return bytes, 0 at the end of the stream */
int64_t vm__socket_recv(int fd, void *buf, size_t len);
int64_t vm__socket_send(int fd, const struct vm_iov *iov, uint32_t n);
/** Both directions end, also for a thread that waits. */
void vm__socket_shutdown(int fd);
void vm__socket_close(int fd);

/** What to wait for, and what came. */
struct vm_wait {
    int fd;                 /**< negative: ignored */
    unsigned events, ready; /**< VM_LOOP_IN, VM_LOOP_OUT of host/loop.h; an error is both */
};
/** Wait for one of them. @param timeout_ns negative: for ever. @retval VM_E_TIMEOUT no message */
int vm__socket_wait(struct vm_wait *w, uint32_t n, int64_t timeout_ns);

#endif
