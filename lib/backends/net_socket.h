/* SPDX-License-Identifier: MIT */
/**
 * @file net_socket.h
 * Networks over sockets: addresses as the user writes them, frames in a stream, frames as
 * datagrams.
 */
#ifndef LIBVM_BACKENDS_NET_SOCKET_H
#define LIBVM_BACKENDS_NET_SOCKET_H

#include <sys/socket.h>

#include "core/net_backend.h"

struct sock_addr {
    struct sockaddr_storage at;
    socklen_t len;
};

/** "HOST:PORT"; an empty host is any. */
int vm__sock_inet(const char *what, const char *text, struct sock_addr *out);
/** A path, or a name without one where @p abstract says so. */
int vm__sock_unix(const char *what, const char *path, bool abstract, struct sock_addr *out);
/** "KIND.type=inet,KIND.host=…,KIND.port=…", or unix with path, or fd with str. *fd: -1 unless
 *  it is one. */
int vm__sock_option(const struct vm_spec *spec, const char *kind, struct sock_addr *out, int *fd);
/** A descriptor the user hands over, as a number. */
int vm__sock_fd(const char *what, const char *text, int *fd);

/** Frames behind their length in 32 bits, big-endian, in a stream. [QEMU-NET "-netdev stream"] */
struct sock_stream_plan {
    bool listens;
    struct sock_addr at;
    int fd;            /**< connected already; -1: none */
    uint64_t again_ns; /**< connect again after this time; 0: not */
    const char *about; /**< for people; copied */
};
int vm__sock_stream(struct vm_net *net, const struct sock_stream_plan *plan);

/** A frame a datagram. */
struct sock_dgram_plan {
    int fd;                /**< open, and bound or connected */
    struct sock_addr peer; /**< where to; len 0: it is connected */
    const char *about;
};
int vm__sock_dgram(struct vm_net *net, const struct sock_dgram_plan *plan);
/** A socket that hears a multicast group. */
int vm__sock_mcast(const char *group, const char *local, struct sock_dgram_plan *plan);
/** A socket bound to @p local. */
int vm__sock_bound(const struct sock_addr *local, int *fd);

#endif
