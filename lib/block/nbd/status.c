/* SPDX-License-Identifier: MIT */
/**
 * @file status.c
 * NBD_CMD_BLOCK_STATUS: what lies where.
 *
 * Spec: [NBD "Metadata querying"], [NBD "Request types"]. Extents are told up to a number; the
 * client asks for the rest.
 */
#include "base/endian.h"
#include "base/error.h"
#include "block/image.h"
#include "block/nbd/server.h"

enum {
    MAX_EXTENTS = 2048,
    EXTENT_BYTES = 8,
    CONTEXT_BYTES = MAX_EXTENTS * EXTENT_BYTES + NBD_CHUNK_BYTES + 4,
    ENOUGH = 1, /* ends the walk */
};

/* The chunk of one context, being written. */
struct telling {
    enum nbd_context context;
    uint8_t *at;       /* of the next extent */
    uint32_t n, limit; /* extents */
    uint32_t value;    /* of the last one */
};

static uint32_t value_of(enum nbd_context context, const struct vm_blk_row *row)
{
    if (context == NBD_CTX_DEPTH)
        return row->flags & VM_EXTENT_ALLOCATED ? row->depth + 1 : 0;
    return (row->flags & VM_EXTENT_DATA ? 0 : NBD_STATE_HOLE) |
           (row->flags & VM_EXTENT_ZERO ? NBD_STATE_ZERO : 0);
}

static int tell_row(void *ud, const struct vm_blk_row *row)
{
    struct telling *t = ud;
    const uint32_t value = value_of(t->context, row), len = (uint32_t)row->length;
    if (t->n != 0 && t->value == value) {
        vm_put_be32(t->at - EXTENT_BYTES, vm_be32(t->at - EXTENT_BYTES) + len);
        return 0;
    }
    if (t->n == t->limit)
        return ENOUGH;
    vm_put_be32(t->at, len);
    vm_put_be32(t->at + 4, value);
    t->at += EXTENT_BYTES;
    t->value = value;
    t->n++;
    return 0;
}

/* @return bytes of the chunk, or negative */
static int64_t tell_context(struct nbd_req *q, enum nbd_context context, uint8_t *chunk, bool last)
{
    struct telling t = {
        .context = context,
        .at = chunk + NBD_CHUNK_BYTES + 4,
        .limit = q->flags & NBD_CMD_FLAG_REQ_ONE ? 1 : MAX_EXTENTS,
    };
    const int st = vm__blk_map(q->conn->export->node, q->off, q->len, tell_row, &t);
    if (st < 0)
        return st;
    const uint32_t payload = 4 + t.n * EXTENT_BYTES;
    vm_put_be32(chunk, NBD_CHUNK_MAGIC);
    vm_put_be16(chunk + 4, last ? NBD_REPLY_FLAG_DONE : 0);
    vm_put_be16(chunk + 6, NBD_CHUNK_BLOCK_STATUS);
    vm_put_be64(chunk + 8, q->cookie);
    vm_put_be32(chunk + 16, payload);
    vm_put_be32(chunk + 20, context);
    return NBD_CHUNK_BYTES + payload;
}

void vm__nbd_status(void *req)
{
    struct nbd_req *q = req;
    const uint32_t wanted = q->conn->contexts;
    int64_t n = vm__nbd_room(q, (size_t)NBD_CONTEXTS * CONTEXT_BYTES);
    for (uint32_t i = 0; i < NBD_CONTEXTS && n >= 0; i++) {
        if (!(wanted & 1u << i))
            continue;
        n = tell_context(q, (enum nbd_context)i, q->data + q->data_bytes, wanted >> (i + 1) == 0);
        if (n > 0)
            q->data_bytes += (size_t)n;
    }
    vm__nbd_reply(q, n < 0 ? (int)n : VM_OK, vm_last_error()->message);
}
