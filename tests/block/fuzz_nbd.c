/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_nbd.c
 * Fuzz target: what a client of the NBD server says.
 *
 * The first byte chooses: bytes as they are, from the greeting on (0) or after an export has been
 * chosen (1); or options (2) or requests (3) with the right magic numbers, each from RECORD bytes.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/endian.h"
#include "block/nbd/server.h"
#include "support.h"

enum { RECORD = 8, DISK = 1 << 20 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
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

/* An option: code, length said, length sent. */
static void feed_option(int fd, const uint8_t r[RECORD])
{
    static const char body[64] = "\0\0\0\0\0\0\0\1\0\0\0\5base:\0\0\0\3";
    uint8_t head[16];
    const uint32_t sent = r[2] % sizeof body;
    vm_put_be64(head, NBD_OPTION_MAGIC);
    vm_put_be32(head + 8, r[0] % 12);
    vm_put_be32(head + 12, r[1] & 1 ? sent : (uint32_t)r[3] << (r[4] % 26));
    feed(fd, head, sizeof head);
    feed(fd, body + r[5] % 16, sent < 40 ? sent : 40);
    if (r[6] > 128)
        feed(fd, r, RECORD);
}

/* A request: command, flags, where, how much; now and then beyond the end. */
static void feed_request(int fd, const uint8_t r[RECORD])
{
    static const uint8_t bytes[4096] = { 1, 2, 3 };
    uint8_t h[28];
    const uint16_t command = r[0] % 9;
    uint32_t len = ((uint32_t)r[4] << 8 | r[5]) << (r[7] % 17);
    if (command == NBD_CMD_WRITE && (r[6] & 7) != 0)
        len %= sizeof bytes;
    vm_put_be32(h, NBD_REQUEST_MAGIC);
    vm_put_be16(h + 4, r[1] & 0x20 ? 0 : r[1] & 0x1f);
    vm_put_be16(h + 6, command == NBD_CMD_DISC && r[6] > 8 ? NBD_CMD_FLUSH : command);
    vm_put_be64(h + 8, r[6]);
    vm_put_be64(h + 16, ((uint64_t)r[2] << 8 | r[3]) * 16 + (r[6] == 1 ? UINT64_MAX - 100 : 0));
    vm_put_be32(h + 24, len);
    feed(fd, h, sizeof h);
    if (command == NBD_CMD_WRITE)
        feed(fd, bytes, len < sizeof bytes ? len : sizeof bytes);
}

static struct vm_nbd *make_server(void)
{
    static struct blk_place p;
    blk_init(&p);
    struct vm_blk *disk = blk_memory(&p, DISK, NULL);
    struct vm_nbd *s = vm__nbd_new(p.ctx, "max-connections=2");
    if (s == NULL || disk == NULL || vm__nbd_add(s, disk, "", "a disk", false, true) != VM_OK)
        abort();
    return s;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vm_nbd *server;
    int ends[2];
    pthread_t reader;
    if (size < 1 || size > 160) /* what it becomes must fit into the socket */
        return 0;
    if (server == NULL)
        server = make_server();
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 ||
        pthread_create(&reader, NULL, drain, &ends[1]) != 0)
        abort();
    const unsigned how = data[0] & 3;
    if (how & 1)
        feed(ends[1], chosen, sizeof chosen - 1);
    else if (how == 2)
        feed(ends[1], "\0\0\0\3", 4);
    if (how < 2)
        feed(ends[1], data + 1, size - 1);
    for (size_t at = 1; how >= 2 && at + RECORD <= size; at += RECORD)
        (how == 2 ? feed_option : feed_request)(ends[1], data + at);
    shutdown(ends[1], SHUT_WR);
    vm__nbd_serve(server, ends[0]);
    pthread_join(reader, NULL);
    close(ends[1]);
    return 0;
}
