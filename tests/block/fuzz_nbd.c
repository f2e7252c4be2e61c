/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_nbd.c
 * Fuzz target: bytes that a client of the NBD server sends, from the greeting on or, with an odd
 * first byte, after an export has been chosen.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/nbd/server.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Structured replies, base:allocation, and NBD_OPT_GO of the export with the empty name. */
static const char chosen[] = "\0\0\0\3"
                             "IHAVEOPT\0\0\0\10\0\0\0\0"
                             "IHAVEOPT\0\0\0\12\0\0\0\33\0\0\0\0\0\0\0\1\0\0\0\17base:allocation"
                             "IHAVEOPT\0\0\0\7\0\0\0\6\0\0\0\0\0\0";

static void *drain(void *arg)
{
    char buf[65536];
    while (recv(*(int *)arg, buf, sizeof buf, 0) > 0) {
    }
    return NULL;
}

static void feed(int fd, const void *data, size_t len)
{
    for (const char *at = data; len != 0;) {
        const ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += n;
        len -= (size_t)n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct blk_place p;
    static struct vm_nbd *server;
    int ends[2];
    pthread_t reader;
    if (size < 1 || size > 32768) /* all of it must fit into the socket */
        return 0;
    if (p.ctx == NULL) {
        blk_init(&p);
        struct vm_blk *disk = blk_memory(&p, 1 << 20, NULL);
        server = vm__nbd_new(p.ctx, "max-connections=2");
        if (server == NULL || disk == NULL ||
            vm__nbd_add(server, disk, "", "a disk", false, true) != VM_OK)
            abort();
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 ||
        pthread_create(&reader, NULL, drain, &ends[1]) != 0)
        abort();
    if (data[0] & 1)
        feed(ends[1], chosen, sizeof chosen - 1);
    feed(ends[1], data + 1, size - 1);
    shutdown(ends[1], SHUT_WR);
    vm__nbd_serve(server, ends[0]);
    pthread_join(reader, NULL);
    close(ends[1]);
    return 0;
}
