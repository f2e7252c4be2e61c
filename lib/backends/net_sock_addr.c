/* SPDX-License-Identifier: MIT */
/**
 * @file net_sock_addr.c
 * Addresses of sockets as the user writes them. See net_socket.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/net_socket.h"
#include "base/error.h"
#include "core/config.h"

static int resolve(const char *what, const char *host, const char *port, struct sock_addr *out)
{
    const struct addrinfo hints = { .ai_family = AF_INET,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = *host == '\0' ? AI_PASSIVE : 0 };
    struct addrinfo *found;
    const int why = getaddrinfo(*host != '\0' ? host : NULL, port, &hints, &found);
    if (why != 0)
        return vm__fail(VM_E_INVAL, "%s: %s:%s: %s", what, host, port, gai_strerror(why));
    memcpy(&out->at, found->ai_addr, found->ai_addrlen);
    out->len = found->ai_addrlen;
    freeaddrinfo(found);
    return VM_OK;
}

int vm__sock_inet(const char *what, const char *text, struct sock_addr *out)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon[1] == '\0' || (size_t)(colon - text) >= sizeof host)
        return vm__fail(VM_E_INVAL, "%s: %s: HOST:PORT is expected", what, text);
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    return resolve(what, host, colon + 1, out);
}

int vm__sock_unix(const char *what, const char *path, bool abstract, struct sock_addr *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->at;
    const size_t n = strlen(path);
    if (n + 1 + abstract > sizeof un->sun_path || n == 0)
        return vm__fail(VM_E_INVAL, "%s: a path of %zu characters", what, n);
    memset(un, 0, sizeof *un);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path + abstract, path, n);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return VM_OK;
}

int vm__sock_fd(const char *what, const char *text, int *fd)
{
    uint64_t n;
    if (vm__parse_u64(text, false, &n) != VM_OK || n > 65535 || fcntl((int)n, F_GETFD) < 0)
        return vm__fail(VM_E_INVAL, "%s: %s is not an open descriptor", what, text);
    *fd = (int)n;
    return VM_OK;
}

static const char *part(const struct vm_spec *spec, const char *kind, const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%s.%s", kind, name);
    return vm__spec_get(spec, key);
}

int vm__sock_option(const struct vm_spec *spec, const char *kind, struct sock_addr *out, int *fd)
{
    const char *type = part(spec, kind, "type"), *host = part(spec, kind, "host");
    const char *port = part(spec, kind, "port"), *path = part(spec, kind, "path");
    const char *number = part(spec, kind, "str");
    *fd = -1;
    if (type != NULL && strcmp(type, "inet") == 0 && host != NULL && port != NULL)
        return resolve(kind, host, port, out);
    if (type != NULL && strcmp(type, "unix") == 0 && path != NULL) {
        bool abstract = false;
        char key[64];
        (void)snprintf(key, sizeof key, "%s.abstract", kind);
        const int st = vm__spec_bool(spec, key, &abstract);
        return st == VM_OK ? vm__sock_unix(kind, path, abstract, out) : st;
    }
    if (type != NULL && strcmp(type, "fd") == 0 && number != NULL)
        return vm__sock_fd(kind, number, fd);
    return vm__fail(VM_E_INVAL,
                    "%s: type=inet with host and port, unix with path, or fd with str is expected",
                    kind);
}
