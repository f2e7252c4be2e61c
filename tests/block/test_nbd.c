/* SPDX-License-Identifier: MIT */
/**
 * @file test_nbd.c
 * The NBD server, byte by byte: a client that says what no good client would.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/endian.h"
#include "block/nbd/server.h"
#include "host/time.h"
#include "support.h"

enum { SIZE = 1 << 20 };

static struct blk_place p;
static struct vm_blk *disk;
static struct vm_nbd *server;

static void start(const char *options)
{
    server = vm__nbd_new(p.ctx, options);
    cr_assert_not_null(server, "%s", vm_last_error()->message);
    cr_assert_eq(vm__nbd_add(server, disk, "disk", "words", false, true), VM_OK);
    cr_assert_eq(vm__nbd_add(server, disk, "ro", "", true, false), VM_OK);
}

static void setup(void)
{
    blk_init(&p);
    disk = blk_memory(&p, SIZE, NULL);
    cr_assert_not_null(disk);
}

static void teardown(void)
{
    vm__nbd_free(server);
    server = NULL;
    vm__blk_unref(disk);
    blk_fini(&p);
}

TestSuite(nbd, .init = setup, .fini = teardown, .timeout = 60);

/* ---- a client --------------------------------------------------------------------------- */

static void put(int fd, const void *buf, size_t len)
{
    for (const char *at = buf; len != 0;) {
        const ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        cr_assert_gt(n, 0, "the server has gone");
        at += n;
        len -= (size_t)n;
    }
}

/* False: the server has closed. */
static bool try_get(int fd, void *buf, size_t len)
{
    for (char *at = buf; len != 0;) {
        struct pollfd w = { fd, POLLIN, 0 };
        cr_assert_eq(poll(&w, 1, 20000), 1, "the server says nothing");
        const ssize_t n = recv(fd, at, len, 0);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static void get(int fd, void *buf, size_t len)
{
    cr_assert(try_get(fd, buf, len), "the server has gone");
}

static bool closed(int fd)
{
    char c;
    while (try_get(fd, &c, 1)) {
    }
    return true;
}

/* A connection whose greeting has been exchanged. */
static int dial(void)
{
    int ends[2];
    uint8_t greeting[18], flags[4] = { 0, 0, 0, 3 };
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert_eq(vm__nbd_listen_fd(server, ends[0]), VM_OK);
    get(ends[1], greeting, sizeof greeting);
    cr_assert_eq(vm_be64(greeting), NBD_MAGIC);
    cr_assert_eq(vm_be16(greeting + 16), 3);
    put(ends[1], flags, sizeof flags);
    return ends[1];
}

static void option(int fd, uint32_t code, const void *data, uint32_t len)
{
    uint8_t head[16];
    vm_put_be64(head, NBD_OPTION_MAGIC);
    vm_put_be32(head + 8, code);
    vm_put_be32(head + 12, len);
    put(fd, head, sizeof head);
    put(fd, data, len);
}

/* The type of the next reply; its data are in @p data. */
static uint32_t answer(int fd, uint8_t data[static 8192], uint32_t *len)
{
    uint8_t head[20];
    get(fd, head, sizeof head);
    cr_assert_eq(vm_be64(head), NBD_OPTION_REPLY_MAGIC);
    *len = vm_be32(head + 16);
    cr_assert_leq(*len, 8192);
    get(fd, data, *len);
    return vm_be32(head + 12);
}

/* The last one: an acknowledgement or an error. */
static uint32_t final(int fd)
{
    uint8_t data[8192];
    uint32_t len, type;
    do {
        type = answer(fd, data, &len);
    } while (type != NBD_REP_ACK && !(type & 0x80000000));
    return type;
}

static uint32_t go(int fd, const char *name)
{
    uint8_t data[512] = { 0 };
    const uint32_t len = (uint32_t)strlen(name);
    vm_put_be32(data, len);
    memcpy(data + 4, name, len);
    option(fd, NBD_OPT_GO, data, 4 + len + 2);
    return final(fd);
}

static uint32_t contexts(int fd, const char *name, const char *query)
{
    uint8_t data[512] = { 0 };
    const uint32_t len = (uint32_t)strlen(name), more = (uint32_t)strlen(query);
    vm_put_be32(data, len);
    memcpy(data + 4, name, len);
    vm_put_be32(data + 4 + len, 1);
    vm_put_be32(data + 8 + len, more);
    memcpy(data + 12 + len, query, more);
    option(fd, NBD_OPT_SET_META_CONTEXT, data, 12 + len + more);
    return final(fd);
}

static int client(bool structured, const char *name)
{
    const int fd = dial();
    if (structured) {
        option(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
        cr_assert_eq(final(fd), NBD_REP_ACK);
        cr_assert_eq(contexts(fd, name, "base:allocation"), NBD_REP_ACK);
    }
    cr_assert_eq(go(fd, name), NBD_REP_ACK);
    return fd;
}

static void ask(int fd, unsigned command, unsigned flags, uint64_t off, uint32_t len)
{
    uint8_t h[28];
    vm_put_be32(h, NBD_REQUEST_MAGIC);
    vm_put_be16(h + 4, (uint16_t)flags);
    vm_put_be16(h + 6, (uint16_t)command);
    vm_put_be64(h + 8, off ^ 0x1234567890);
    vm_put_be64(h + 16, off);
    vm_put_be32(h + 24, len);
    put(fd, h, sizeof h);
}

/* The error of a simple reply. */
static uint32_t simple(int fd, uint64_t off)
{
    uint8_t h[16];
    get(fd, h, sizeof h);
    cr_assert_eq(vm_be32(h), NBD_SIMPLE_REPLY_MAGIC);
    cr_assert_eq(vm_be64(h + 8), off ^ 0x1234567890);
    return vm_be32(h + 4);
}

/* The type of a final chunk; its payload is in @p data. */
static uint32_t chunk(int fd, uint8_t *data, uint32_t room, uint32_t *len)
{
    uint8_t h[20];
    get(fd, h, sizeof h);
    cr_assert_eq(vm_be32(h), NBD_CHUNK_MAGIC);
    cr_assert_eq(vm_be16(h + 4), NBD_REPLY_FLAG_DONE);
    *len = vm_be32(h + 16);
    cr_assert_leq(*len, room);
    get(fd, data, *len);
    return vm_be16(h + 6);
}

static uint32_t chunk_error(int fd)
{
    uint8_t data[4096];
    uint32_t len;
    cr_assert_eq(chunk(fd, data, sizeof data, &len), NBD_CHUNK_ERROR);
    cr_assert_eq(len, 6 + (uint32_t)vm_be16(data + 4));
    return vm_be32(data);
}

static void bye(int fd)
{
    ask(fd, NBD_CMD_DISC, 0, 0, 0);
    cr_assert(closed(fd));
    close(fd);
}

/* ---- negotiation ------------------------------------------------------------------------ */

Test(nbd, exports_are_listed_and_described)
{
    uint8_t data[8192];
    uint32_t len;
    start(NULL);
    const int fd = dial();
    option(fd, NBD_OPT_LIST, NULL, 0);
    cr_assert_eq(answer(fd, data, &len), NBD_REP_SERVER);
    cr_assert(len == 4 + 4 + 5 && memcmp(data + 4, "diskwords", 9) == 0);
    cr_assert_eq(answer(fd, data, &len), NBD_REP_SERVER);
    cr_assert(len == 4 + 2 && vm_be32(data) == 2);
    cr_assert_eq(answer(fd, data, &len), NBD_REP_ACK);
    option(fd, NBD_OPT_INFO, "\0\0\0\4disk\0\2\0\1\0\2", 14);
    unsigned seen = 0;
    while (answer(fd, data, &len) == NBD_REP_INFO) {
        const uint16_t type = vm_be16(data);
        seen |= 1u << type;
        if (type == NBD_INFO_EXPORT)
            cr_assert(vm_be64(data + 2) == SIZE && !(vm_be16(data + 10) & NBD_FLAG_READ_ONLY));
        if (type == NBD_INFO_DESCRIPTION)
            cr_assert(len == 7 && memcmp(data + 2, "words", 5) == 0);
    }
    cr_assert_eq(seen, 0xf);
    option(fd, NBD_OPT_ABORT, NULL, 0);
    cr_assert_eq(final(fd), NBD_REP_ACK);
    cr_assert(closed(fd));
    close(fd);
}

Test(nbd, bad_options_are_answered_and_do_not_end_it)
{
    uint8_t big[70000] = { 0 };
    start(NULL);
    const int fd = dial();
    option(fd, 77, "abc", 3);
    cr_assert_eq(final(fd), NBD_REP_ERR_UNSUP);
    option(fd, NBD_OPT_STARTTLS, NULL, 0);
    cr_assert_eq(final(fd), NBD_REP_ERR_POLICY);
    option(fd, NBD_OPT_LIST, "x", 1);
    cr_assert_eq(final(fd), NBD_REP_ERR_INVALID);
    option(fd, NBD_OPT_GO, "\0\0", 2);
    cr_assert_eq(final(fd), NBD_REP_ERR_INVALID);
    option(fd, NBD_OPT_GO,
           "\xff\xff\xff\xff"
           "disk\0\0",
           10);
    cr_assert_eq(final(fd), NBD_REP_ERR_INVALID);
    option(fd, NBD_OPT_GO, "\0\0\0\4disk\0\3\0\1", 12);
    cr_assert_eq(final(fd), NBD_REP_ERR_INVALID);
    option(fd, NBD_OPT_GO, "\0\0\0\4disk\0\0x", 11);
    cr_assert_eq(final(fd), NBD_REP_ERR_INVALID);
    option(fd, NBD_OPT_GO, big, sizeof big);
    cr_assert_eq(final(fd), NBD_REP_ERR_TOO_BIG);
    cr_assert_eq(go(fd, "nope"), NBD_REP_ERR_UNKNOWN);
    cr_assert_eq(contexts(fd, "disk", "base:allocation"), NBD_REP_ERR_INVALID); /* not structured */
    option(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
    cr_assert_eq(final(fd), NBD_REP_ACK);
    cr_assert_eq(contexts(fd, "nope", "base:allocation"), NBD_REP_ERR_UNKNOWN);
    option(fd, NBD_OPT_SET_META_CONTEXT, "\0\0\0\4disk\xff\xff\xff\xff", 12);
    cr_assert_eq(final(fd), NBD_REP_ERR_INVALID);
    cr_assert_eq(go(fd, "disk"), NBD_REP_ACK);
    bye(fd);
}

Test(nbd, what_is_no_option_ends_it)
{
    start(NULL);
    int fd = dial();
    put(fd, "GET / HTTP/1.0\r\n\r\n", 18);
    cr_assert(closed(fd));
    close(fd);
    fd = dial();
    option(fd, NBD_OPT_EXPORT_NAME, "nope", 4);
    cr_assert(closed(fd));
    close(fd);
    fd = dial();
    uint8_t head[16];
    vm_put_be64(head, NBD_OPTION_MAGIC);
    vm_put_be32(head + 8, NBD_OPT_LIST);
    vm_put_be32(head + 12, UINT32_MAX);
    put(fd, head, sizeof head);
    cr_assert(closed(fd));
    close(fd);
}

Test(nbd, the_old_way_to_choose_an_export)
{
    uint8_t data[10];
    start(NULL);
    const int fd = dial();
    option(fd, NBD_OPT_EXPORT_NAME, "disk", 4);
    get(fd, data, sizeof data);
    cr_assert_eq(vm_be64(data), SIZE);
    ask(fd, NBD_CMD_FLUSH, 0, 0, 0);
    cr_assert_eq(simple(fd, 0), 0);
    bye(fd);
}

Test(nbd, who_does_not_choose_is_cut_off)
{
    start("handshake-limit=1");
    const uint64_t before = vm__host_ns();
    const int fd = dial();
    cr_assert(closed(fd));
    cr_assert_geq(vm__host_ns() - before, UINT64_C(900000000));
    close(fd);
}

Test(nbd, contexts_are_those_of_the_export_chosen)
{
    start(NULL);
    const int fd = dial();
    option(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
    cr_assert_eq(final(fd), NBD_REP_ACK);
    cr_assert_eq(contexts(fd, "ro", "base:allocation"), NBD_REP_ACK);
    cr_assert_eq(go(fd, "disk"), NBD_REP_ACK);
    ask(fd, NBD_CMD_BLOCK_STATUS, 0, 0, 4096);
    cr_assert_eq(chunk_error(fd), NBD_EINVAL);
    bye(fd);
}

/* ---- requests --------------------------------------------------------------------------- */

Test(nbd, bytes_go_there_and_back)
{
    uint8_t out[5000], in[5000];
    start(NULL);
    const int fd = client(false, "disk");
    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 7);
    ask(fd, NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 777, sizeof out);
    put(fd, out, sizeof out);
    cr_assert_eq(simple(fd, 777), 0);
    ask(fd, NBD_CMD_READ, 0, 777, sizeof in);
    cr_assert_eq(simple(fd, 777), 0);
    get(fd, in, sizeof in);
    cr_assert_eq(memcmp(in, out, sizeof in), 0);
    ask(fd, NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_NO_HOLE, 777, 2500);
    cr_assert_eq(simple(fd, 777), 0);
    ask(fd, NBD_CMD_TRIM, NBD_CMD_FLAG_FUA, 777 + 2500, 2500);
    cr_assert_eq(simple(fd, 777 + 2500), 0);
    ask(fd, NBD_CMD_CACHE, 0, 0, SIZE);
    cr_assert_eq(simple(fd, 0), 0);
    cr_assert(blk_is(disk, 777, 2500, 0));
    ask(fd, NBD_CMD_READ, 0, 5, 0);
    cr_assert_eq(simple(fd, 5), 0);
    bye(fd);
}

Test(nbd, structured_replies_tell_holes_data_and_errors)
{
    uint8_t data[70000];
    uint32_t len;
    start(NULL);
    const int fd = client(true, "disk");
    cr_assert_eq(blk_fill(disk, 65536, 4096, 9), VM_OK);
    ask(fd, NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, 65536);
    cr_assert_eq(chunk(fd, data, sizeof data, &len), NBD_CHUNK_OFFSET_HOLE);
    cr_assert(len == 12 && vm_be64(data) == 0 && vm_be32(data + 8) == 65536);
    ask(fd, NBD_CMD_READ, 0, 65000, 4000);
    cr_assert_eq(chunk(fd, data, sizeof data, &len), NBD_CHUNK_OFFSET_DATA);
    cr_assert(len == 4008 && vm_be64(data) == 65000 && data[8] == 0 && data[8 + 536] == 9);
    ask(fd, NBD_CMD_READ, 0, 5, 0);
    cr_assert_eq(chunk(fd, data, sizeof data, &len), NBD_CHUNK_NONE);
    ask(fd, NBD_CMD_READ, 0, SIZE - 1, 2);
    cr_assert_eq(chunk_error(fd), NBD_EINVAL);
    ask(fd, NBD_CMD_READ, 0, UINT64_MAX, 2);
    cr_assert_eq(chunk_error(fd), NBD_EINVAL);
    ask(fd, NBD_CMD_READ, 0, 0, NBD_MAX_PAYLOAD + 1);
    cr_assert_eq(chunk_error(fd), NBD_EINVAL);
    ask(fd, NBD_CMD_READ, NBD_CMD_FLAG_REQ_ONE, 0, 512);
    cr_assert_eq(chunk_error(fd), NBD_EINVAL);
    ask(fd, 99, 0, 0, 0);
    cr_assert_eq(chunk_error(fd), NBD_EINVAL);
    ask(fd, NBD_CMD_WRITE_ZEROES, 0, SIZE, 1);
    cr_assert_eq(chunk_error(fd), NBD_ENOSPC);
    bye(fd);
}

Test(nbd, block_status_tells_what_lies_where)
{
    uint8_t data[1000];
    uint32_t len;
    start(NULL);
    const int fd = client(true, "disk");
    cr_assert_eq(blk_fill(disk, 256 << 10, 256 << 10, 9), VM_OK);
    ask(fd, NBD_CMD_BLOCK_STATUS, 0, 0, SIZE);
    cr_assert_eq(chunk(fd, data, sizeof data, &len), NBD_CHUNK_BLOCK_STATUS);
    cr_assert_eq(len, 4 + 3 * 8);
    cr_assert(vm_be32(data + 4) == 256 << 10 && vm_be32(data + 8) == 3);
    cr_assert(vm_be32(data + 12) == 256 << 10 && vm_be32(data + 16) == 0);
    cr_assert(vm_be32(data + 20) == SIZE / 2 && vm_be32(data + 24) == 3);
    ask(fd, NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE, 300 << 10, 4096);
    cr_assert_eq(chunk(fd, data, sizeof data, &len), NBD_CHUNK_BLOCK_STATUS);
    cr_assert(len == 12 && vm_be32(data + 4) == 4096 && vm_be32(data + 8) == 0);
    ask(fd, NBD_CMD_BLOCK_STATUS, 0, 0, 0);
    cr_assert_eq(chunk_error(fd), NBD_EINVAL);
    bye(fd);
}

Test(nbd, a_read_only_export_takes_no_changes)
{
    start(NULL);
    const int fd = client(false, "ro");
    ask(fd, NBD_CMD_WRITE, 0, 0, 3);
    put(fd, "abc", 3);
    cr_assert_eq(simple(fd, 0), NBD_EPERM);
    ask(fd, NBD_CMD_TRIM, 0, 0, 4096);
    cr_assert_eq(simple(fd, 0), NBD_EPERM);
    ask(fd, NBD_CMD_WRITE_ZEROES, 0, 0, 4096);
    cr_assert_eq(simple(fd, 0), NBD_EPERM);
    cr_assert(blk_is(disk, 0, 4096, 0));
    bye(fd);
}

Test(nbd, what_is_no_request_ends_it)
{
    uint8_t junk[28] = "this is not a request at all";
    start(NULL);
    int fd = client(true, "disk");
    put(fd, junk, sizeof junk);
    cr_assert(closed(fd));
    close(fd);
    fd = client(true, "disk");
    ask(fd, NBD_CMD_WRITE, 0, 0, NBD_MAX_PAYLOAD + 1);
    cr_assert(closed(fd));
    close(fd);
}

Test(nbd, what_was_asked_before_half_a_goodbye_is_answered)
{
    uint8_t data[4096];
    start(NULL);
    const int fd = client(false, "disk");
    for (uint64_t i = 0; i < 100; i++)
        ask(fd, NBD_CMD_READ, 0, 0, sizeof data);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    for (uint64_t i = 0; i < 100; i++) {
        cr_assert_eq(simple(fd, 0), 0);
        get(fd, data, sizeof data);
    }
    cr_assert(closed(fd));
    close(fd);
}

/* ---- clients that do harm --------------------------------------------------------------- */

static struct nbd_conn *the_conn(void)
{
    pthread_mutex_lock(&server->lock);
    struct nbd_conn *c = server->conns;
    pthread_mutex_unlock(&server->lock);
    return c;
}

Test(nbd, who_does_not_read_gets_no_more_memory_and_stops_nobody)
{
    uint8_t data[4096];
    start(NULL);
    const int deaf = client(false, "disk");
    struct nbd_conn *c = the_conn();
    /* More than a connection may have in progress; the server stops taking them. */
    struct pollfd w = { deaf, POLLOUT, 0 };
    for (int i = 0; i < 3000; i++) {
        if (poll(&w, 1, 200) != 1)
            break;
        ask(deaf, NBD_CMD_READ, 0, 0, SIZE);
    }
    pthread_mutex_lock(&c->lock);
    const size_t bytes = c->bytes;
    const uint32_t n = c->n_requests;
    pthread_mutex_unlock(&c->lock);
    cr_assert_leq(bytes, NBD_MAX_BYTES + NBD_MAX_PAYLOAD);
    cr_assert_leq(n, NBD_MAX_REQUESTS);
    const int fd = client(false, "disk");
    ask(fd, NBD_CMD_READ, 0, 4096, sizeof data);
    cr_assert_eq(simple(fd, 4096), 0);
    get(fd, data, sizeof data);
    bye(fd);
    vm__nbd_free(server); /* does not wait for it, either */
    server = NULL;
    close(deaf);
}

Test(nbd, who_goes_in_the_middle_leaves_nothing_behind)
{
    start(NULL);
    for (int i = 0; i < 50; i++) {
        const int fd = client(i % 2 == 0, "disk");
        for (int k = 0; k < 20; k++)
            ask(fd, NBD_CMD_READ, 0, 0, SIZE / 2);
        ask(fd, NBD_CMD_WRITE, 0, 0, 4096);
        put(fd, "half of it", 10);
        close(fd);
    }
    const int fd = client(false, "disk");
    cr_assert(blk_is(disk, 0, 4096, 0));
    bye(fd);
}

Test(nbd, no_more_clients_than_allowed)
{
    start("max-connections=1");
    const char *path = blk_path(&p, "socket");
    char address[256], *out = NULL;
    snprintf(address, sizeof address, "unix:%s", path);
    cr_assert_eq(vm__nbd_listen(server, address), VM_OK);
    cr_assert_eq(vm__nbd_listen(server, address), VM_E_BUSY);
    if (!blk_have("nbdinfo"))
        cr_skip_test("nbdinfo is not installed");
    cr_assert_eq(blk_shell(&p, &out, "nbdinfo --size 'nbd+unix:///disk?socket=%s'", path), 0, "%s",
                 out);
    cr_assert_str_eq(out, "1048576\n");
    free(out);
    const int fd = client(false, "disk");
    cr_assert_eq(blk_shell(&p, NULL, "timeout 1 nbdinfo --size 'nbd+unix:///disk?socket=%s'", path),
                 124);
    bye(fd);
    cr_assert_eq(blk_shell(&p, NULL, "timeout 9 nbdinfo --size 'nbd+unix:///disk?socket=%s'", path),
                 0);
}
