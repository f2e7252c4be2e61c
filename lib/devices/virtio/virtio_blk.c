/* SPDX-License-Identifier: MIT */
/**
 * @file virtio_blk.c
 * virtio block device: a drive behind virtqueues.
 *
 * Spec: [VIRTIO-1.2 §5.2].
 * Modelled: read, write, flush, discard, write zeroes, the serial number; several queues, topology,
 * geometry, switching the write cache. Not modelled: secure erase, zones, lifetime (not offered);
 * SCSI commands of the legacy interface (answered "unsupported").
 *
 * Data goes straight between guest memory and the node: requests map their buffers. A buffer that
 * is not memory fails its request.
 */
#include <stdlib.h>

#include "block/drive.h"
#include "core/dma.h"
#include "core/machine.h"
#include "devices/virtio/virtio.h"

#define F_SEG_MAX      (UINT64_C(1) << 2)
#define F_GEOMETRY     (UINT64_C(1) << 4)
#define F_RO           (UINT64_C(1) << 5)
#define F_BLK_SIZE     (UINT64_C(1) << 6)
#define F_FLUSH        (UINT64_C(1) << 9)
#define F_TOPOLOGY     (UINT64_C(1) << 10)
#define F_CONFIG_WCE   (UINT64_C(1) << 11)
#define F_MQ           (UINT64_C(1) << 12)
#define F_DISCARD      (UINT64_C(1) << 13)
#define F_WRITE_ZEROES (UINT64_C(1) << 14)

enum {
    SECTOR = 512,
    SERIAL = 20,
    HEADER = 16, /* type, reserved, sector */
    RANGE = 16,  /* of a discard: sector, number of sectors, flags */
    RANGE_UNMAP = 1,

    T_IN = 0,
    T_OUT = 1,
    T_FLUSH = 4,
    T_GET_ID = 8,
    T_DISCARD = 11,
    T_WRITE_ZEROES = 13,

    S_OK = 0,
    S_IOERR = 1,
    S_UNSUPP = 2,

    CONFIG_WRITEBACK = 32, /* offsets in the configuration */
    CONFIG_SIZE = 60,
    MOST_SECTORS = 0x3fffff, /* of a discard or write zeroes */
    MAX_QUEUES = 32,
};

#define MOST_DATA (UINT64_C(256) << 20) /* bytes of one request */

struct virtio_blk;

/** A request of the guest's. */
struct blk_req {
    struct virtq_chain chain;
    struct virtq *q;
    struct virtio_blk *s;
    struct vm_drive_req io;
    struct vm_dma_piece *piece;
    struct vm_iov *iov;
    uint32_t n_pieces, room;
    uint32_t type;
    bool dropped;          /* the device was reset: nobody waits for it */
    struct blk_req *next;  /* free, or all that fly */
    struct blk_req **prev; /* flying */
};

struct virtio_blk {
    struct virtio v;
    uint8_t writeback; /**< the driver's choice; saved */

    const char *drive_id, *serial; /* properties */
    uint16_t n_queues, queue_size;
    uint32_t logical, physical, min_io, opt_io;
    bool read_only, no_discard, no_write_zeroes;

    struct vm_dev *dev;
    struct vm_drive *drive;
    struct blk_req *idle, *flying;
    uint16_t n_flying[MAX_QUEUES]; /**< of each queue: at most its size */
    struct vm_timer later;         /**< look at queues that were left; saved */
};

/* ---- configuration ------------------------------------------------------------------------ */

static void blk_config(struct vm_dev *dev, uint8_t *c)
{
    const struct virtio_blk *s = vm_dev_state(dev);
    const uint64_t sectors = vm__drive_size(s->drive) / SECTOR;
    const uint64_t cylinders = vm_min_u64(sectors / (16 * 63), 65535);

    vm_put_le64(c, sectors);
    vm_put_le32(c + 12, s->v.queue[0].most > 2 ? s->v.queue[0].most - 2u : 1);
    vm_put_le16(c + 16, (uint16_t)cylinders);
    c[18] = 16;
    c[19] = 63;
    vm_put_le32(c + 20, s->logical);
    c[24] = (uint8_t)__builtin_ctz(s->physical / s->logical);
    vm_put_le16(c + 26, (uint16_t)(s->min_io / s->logical));
    vm_put_le32(c + 28, s->opt_io / s->logical);
    c[CONFIG_WRITEBACK] = s->writeback;
    vm_put_le16(c + 34, s->v.n_queues);
    vm_put_le32(c + 36, MOST_SECTORS);
    vm_put_le32(c + 40, 1);
    vm_put_le32(c + 44, s->logical / SECTOR);
    vm_put_le32(c + 48, MOST_SECTORS);
    vm_put_le32(c + 52, 1);
    c[56] = 1; /* writing zeroes may unmap */
}

static void blk_config_written(struct vm_dev *dev, uint32_t off, uint8_t value)
{
    struct virtio_blk *s = vm_dev_state(dev);
    if (off == CONFIG_WRITEBACK && vm__virtio_has(&s->v, F_CONFIG_WCE))
        s->writeback = value & 1;
}

/** [VIRTIO-1.2 §5.2.6.2] without FLUSH the driver knows no cache: writes go through. */
static void blk_negotiated(struct vm_dev *dev)
{
    struct virtio_blk *s = vm_dev_state(dev);
    s->writeback = vm__virtio_has(&s->v, F_FLUSH);
}

/* ---- requests ----------------------------------------------------------------------------- */

static struct blk_req *get_req(struct virtio_blk *s, struct virtq *q)
{
    struct blk_req *r = s->idle;
    if (r != NULL)
        s->idle = r->next;
    else
        r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->q = q;
    r->s = s;
    r->n_pieces = 0;
    r->dropped = false;
    r->next = NULL;
    r->prev = NULL;
    return r;
}

static void put_req(struct blk_req *r)
{
    if (r->prev != NULL) {
        *r->prev = r->next;
        if (r->next != NULL)
            r->next->prev = r->prev;
        r->prev = NULL;
        r->s->n_flying[r->q->index]--;
    }
    r->next = r->s->idle;
    r->s->idle = r;
}

static void unmap(struct blk_req *r)
{
    const bool written = r->type == T_IN;
    for (uint32_t i = 0; i < r->n_pieces; i++)
        vm__dma_unmap(r->s->dev, &r->piece[i], written ? r->piece[i].len : 0);
    r->n_pieces = 0;
}

/** The status is the last byte of the in buffers. */
static void finish(struct blk_req *r, uint8_t status, uint64_t written)
{
    if (!r->dropped) {
        if (vm__virtq_write(r->q, &r->chain, r->chain.in_len - 1, &status, 1) == 1)
            vm__virtq_push(r->q, &r->chain, (uint32_t)written + 1);
        else
            vm__virtio_fail(&r->s->v, "a request's status is not in memory");
    }
    put_req(r);
}

/** Go on with what was left in queues, from a timer: time stands still while the machine does. */
static void go_on_later(struct virtio_blk *s)
{
    if (!vm__timer_armed(&s->later))
        vm__timer_arm(&s->later, vm__dev_now(s->dev));
}

static void on_done(struct vm_drive_req *io, int status)
{
    struct blk_req *r = VM_CONTAINER_OF(io, struct blk_req, io);
    struct virtq *q = r->q;
    unmap(r);
    finish(r, status == VM_OK ? S_OK : S_IOERR, status == VM_OK && r->type == T_IN ? io->len : 0);
    vm__virtq_signal(q);
    if (q->polling)
        go_on_later(r->s);
}

static bool add_piece(struct blk_req *r, const struct vm_dma_piece *p)
{
    if (r->n_pieces == r->room) {
        const uint32_t room = r->room != 0 ? r->room * 2 : 16;
        struct vm_dma_piece *piece = realloc(r->piece, room * sizeof *piece);
        if (piece != NULL)
            r->piece = piece;
        struct vm_iov *iov = realloc(r->iov, room * sizeof *iov);
        if (iov != NULL)
            r->iov = iov;
        if (piece == NULL || iov == NULL)
            return false;
        r->room = room;
    }
    r->piece[r->n_pieces] = *p;
    r->iov[r->n_pieces++] = (struct vm_iov) { p->host, p->len };
    return true;
}

/** Map @p len bytes of the out or in buffers from @p off on. */
static bool map(struct blk_req *r, uint64_t off, uint64_t len, bool in)
{
    const struct virtq_buf *b = r->chain.buf + (in ? r->chain.n_out : 0);
    for (; len != 0; b++) {
        if (off >= b->len) {
            off -= b->len;
            continue;
        }
        uint64_t gpa = b->gpa + off, left = vm_min_u64(b->len - off, len);
        off = 0;
        len -= left;
        while (left != 0) {
            struct vm_dma_piece p;
            if (!vm__dma_map(r->s->dev, gpa, (size_t)left, in, &p))
                return false;
            if (!add_piece(r, &p)) {
                vm__dma_unmap(r->s->dev, &p, 0);
                return false;
            }
            gpa += p.len;
            left -= p.len;
        }
    }
    return true;
}

/** Send it to the drive; its end comes by on_done(). */
static void submit(struct blk_req *r, uint32_t op, uint64_t sector, uint64_t len, uint32_t flags)
{
    struct virtio_blk *s = r->s;
    r->io.op = op;
    r->io.flags = flags;
    r->io.off = sector * SECTOR;
    r->io.len = len;
    r->io.sg = (struct vm_sg) { .iov = r->iov };
    r->io.done = on_done;
    r->io.opaque = NULL;
    r->next = s->flying;
    r->prev = &s->flying;
    if (r->next != NULL)
        r->next->prev = &r->next;
    s->flying = r;
    s->n_flying[r->q->index]++;
    vm__drive_submit(s->drive, &r->io);
}

static bool fits(const struct virtio_blk *s, uint64_t sector, uint64_t len)
{
    const uint64_t size = vm__drive_size(s->drive);
    return len % s->logical == 0 && sector % (s->logical / SECTOR) == 0 &&
           sector <= size / SECTOR && len <= size - sector * SECTOR;
}

static void move(struct blk_req *r, uint64_t sector, bool in)
{
    struct virtio_blk *s = r->s;
    const uint64_t len = in ? r->chain.in_len - 1 : r->chain.out_len - HEADER;
    if (len == 0) {
        finish(r, S_OK, 0);
    } else if (len > MOST_DATA || !fits(s, sector, len) || (!in && s->read_only) ||
               !map(r, in ? 0 : HEADER, len, in)) {
        unmap(r);
        finish(r, S_IOERR, 0);
    } else if (in) {
        submit(r, VM_IO_READ, sector, len, 0);
    } else {
        submit(r, VM_IO_WRITE, sector, len, s->writeback ? 0 : VM_IO_FUA);
    }
}

/** Discard or write zeroes: one range [VIRTIO-1.2 §5.2.6]. */
static void clear(struct blk_req *r, bool zero)
{
    struct virtio_blk *s = r->s;
    uint8_t b[RANGE];
    const uint64_t feature = zero ? F_WRITE_ZEROES : F_DISCARD;
    if (!vm__virtio_has(&s->v, feature) || r->chain.out_len != HEADER + RANGE ||
        vm__virtq_read(r->q, &r->chain, HEADER, b, sizeof b) != sizeof b) {
        finish(r, S_UNSUPP, 0);
        return;
    }
    const uint64_t sector = vm_le64(b), len = (uint64_t)vm_le32(b + 8) * SECTOR;
    const uint32_t flags = vm_le32(b + 12);
    if ((flags & ~(uint32_t)RANGE_UNMAP) != 0 || (!zero && flags != 0))
        finish(r, S_UNSUPP, 0);
    else if (s->read_only || len / SECTOR > MOST_SECTORS || !fits(s, sector, len))
        finish(r, S_IOERR, 0);
    else if (len == 0)
        finish(r, S_OK, 0);
    else
        submit(r, zero ? VM_IO_ZERO : VM_IO_DISCARD, sector, len,
               (flags & RANGE_UNMAP ? VM_IO_UNMAP : 0) | (zero && !s->writeback ? VM_IO_FUA : 0));
}

static void give_id(struct blk_req *r)
{
    char id[SERIAL] = { 0 };
    const struct virtio_blk *s = r->s;
    const char *serial = s->serial != NULL ? s->serial : s->drive->serial;
    const uint64_t room = vm_min_u64(SERIAL, r->chain.in_len - 1);
    if (serial != NULL)
        memcpy(id, serial, vm_min_u64(strlen(serial), SERIAL));
    finish(r, S_OK, vm__virtq_write(r->q, &r->chain, 0, id, (size_t)room));
}

static void carry_out(struct blk_req *r)
{
    uint8_t h[HEADER];
    if (r->chain.in_len == 0 || vm__virtq_read(r->q, &r->chain, 0, h, sizeof h) != sizeof h) {
        vm__virtio_fail(&r->s->v, "a block request without header or status");
        put_req(r);
        return;
    }
    r->type = vm_le32(h) & ~UINT32_C(0x80000000); /* the top bit was a barrier once */
    switch (r->type) {
    case T_IN:
        move(r, vm_le64(h + 8), true);
        break;
    case T_OUT:
        move(r, vm_le64(h + 8), false);
        break;
    case T_FLUSH:
        submit(r, VM_IO_FLUSH, 0, 0, 0);
        break;
    case T_GET_ID:
        give_id(r);
        break;
    case T_DISCARD:
    case T_WRITE_ZEROES:
        clear(r, r->type == T_WRITE_ZEROES);
        break;
    default:
        finish(r, S_UNSUPP, 0);
    }
}

/**
 * Take what is there. A driver must not hold us here by adding while we take, nor have more fly
 * than the queue has descriptors: then the rest waits for a timer, and notifications stay off.
 */
static void blk_notify(struct vm_dev *dev, struct virtq *q)
{
    struct virtio_blk *s = vm_dev_state(dev);
    uint32_t budget = q->size;
    do {
        (void)vm__virtq_want_notify(q, false);
        while (budget != 0 && s->n_flying[q->index] < q->size) {
            struct blk_req *r = get_req(s, q);
            if (r == NULL) {
                budget = 0;
            } else if (!vm__virtq_pop(q, &r->chain)) {
                put_req(r);
                break;
            } else {
                budget--;
                carry_out(r);
            }
        }
        vm__virtq_signal(q); /* those that ended at once */
        if (s->n_flying[q->index] >= q->size)
            return; /* on_done() sees to it */
        if (budget == 0) {
            go_on_later(s);
            return;
        }
    } while (vm__virtq_want_notify(q, true));
}

static void on_later(void *opaque)
{
    struct virtio_blk *s = vm_dev_state(opaque);
    for (uint32_t i = 0; i < s->v.n_queues; i++)
        if (s->v.queue[i].polling && s->v.queue[i].enabled)
            blk_notify(opaque, &s->v.queue[i]);
}

/** What flies must end before guest memory may be used for something else. */
static void blk_reset_queue(struct vm_dev *dev, struct virtq *q)
{
    struct virtio_blk *s = vm_dev_state(dev);
    if (s->drive == NULL)
        return;
    for (struct blk_req *r = s->flying; r != NULL; r = r->next)
        r->dropped |= q == NULL || r->q == q;
    vm__drive_drain(s->drive);
    if (q == NULL) {
        s->writeback = 1;
        vm__timer_cancel(&s->later);
    }
}

/* ---- life --------------------------------------------------------------------------------- */

static void on_resized(void *opaque)
{
    vm__virtio_config_changed(opaque);
}

static const struct vm_drive_ops drive_ops = { .changed = on_resized, .resized = on_resized };

static int check_sizes(const struct virtio_blk *s)
{
    const uint32_t l = s->logical, p = s->physical;
    if (l < SECTOR || l > 32768 || (l & (l - 1)) != 0)
        return vm__fail(VM_E_INVAL, "logical_block_size=%u: a power of two from 512 to 32768", l);
    if (p < l || p > (2u << 20) || (p & (p - 1)) != 0)
        return vm__fail(VM_E_INVAL,
                        "physical_block_size=%u: a power of two, not below logical_block_size", p);
    if (s->min_io % l != 0 || s->opt_io % l != 0 || s->min_io / l > UINT16_MAX)
        return vm__fail(VM_E_INVAL,
                        "min_io_size and opt_io_size are multiples of logical_block_size");
    return VM_OK;
}

static int take_drive(struct vm_dev *dev)
{
    struct virtio_blk *s = vm_dev_state(dev);
    if (s->drive_id == NULL)
        return vm__fail(VM_E_INVAL, "drive= is missing: the id of a drive");
    struct vm_drive *d = vm__drive_find(dev->m, s->drive_id);
    if (d == NULL)
        return vm__fail(VM_E_NOENT, "no drive %.60s", s->drive_id);
    if (!vm__drive_has_medium(d))
        return vm__fail(VM_E_INVAL, "drive %.60s is empty", s->drive_id);
    const int st = vm__drive_attach(d, &drive_ops, dev);
    if (st == VM_OK)
        s->drive = d;
    return st;
}

static int blk_realize(struct vm_dev *dev)
{
    struct virtio_blk *s = vm_dev_state(dev);
    s->dev = dev;
    vm__dev_timer(dev, &s->later, on_later);
    if (s->n_queues == 0 || s->n_queues > MAX_QUEUES)
        return vm__fail(VM_E_RANGE, "num-queues=%u: 1 to %d", s->n_queues, MAX_QUEUES);
    int st = check_sizes(s);
    if (st == VM_OK)
        st = take_drive(dev);
    if (st != VM_OK)
        return st;
    s->read_only = s->drive->read_only;
    const uint64_t features = F_SEG_MAX | F_GEOMETRY | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY |
                              F_CONFIG_WCE | (s->n_queues > 1 ? F_MQ : 0) |
                              (s->read_only ? F_RO : 0) |
                              (s->read_only || s->no_discard ? 0 : F_DISCARD) |
                              (s->read_only || s->no_write_zeroes ? 0 : F_WRITE_ZEROES);
    st = vm__virtio_realize(dev, features, s->n_queues, s->queue_size);
    if (st != VM_OK) {
        vm__drive_detach(s->drive);
        s->drive = NULL;
    }
    return st;
}

static void blk_unrealize(struct vm_dev *dev)
{
    struct virtio_blk *s = vm_dev_state(dev);
    blk_reset_queue(dev, NULL);
    vm__drive_detach(s->drive);
    while (s->idle != NULL) {
        struct blk_req *r = s->idle;
        s->idle = r->next;
        vm__virtq_chain_free(&r->chain);
        free(r->piece);
        free(r->iov);
        free(r);
    }
}

static int blk_post_load(struct vm_dev *dev)
{
    struct virtio_blk *s = vm_dev_state(dev);
    s->writeback &= 1;
    return vm__virtio_post_load(dev);
}

static const struct virtio_class blk = {
    .type = 2,
    .config = blk_config,
    .config_size = CONFIG_SIZE,
    .config_written = blk_config_written,
    .notify = blk_notify,
    .negotiated = blk_negotiated,
    .reset = blk_reset_queue,
};

static const struct vm_pci_function function = VM_VIRTIO_FUNCTION(0x1001, 2, 0x010000);

static const struct vm_prop props[] = {
    VM_VIRTIO_PROPS(virtio_blk),
    { "drive", VM_PROP_STR(virtio_blk, drive_id), .help = "id of the drive" },
    { "serial", VM_PROP_STR(virtio_blk, serial), .help = "serial number, up to 20 characters" },
    { "num-queues", VM_PROP_UINT(virtio_blk, n_queues), .value = "1", .max = MAX_QUEUES,
      .help = "queues" },
    { "queue-size", VM_PROP_UINT(virtio_blk, queue_size), .value = "256", .max = VIRTQ_MAX_SIZE,
      .help = "descriptors of a queue" },
    { "logical_block_size", VM_PROP_UINT(virtio_blk, logical), .value = "512",
      .help = "bytes of a block" },
    { "physical_block_size", VM_PROP_UINT(virtio_blk, physical), .value = "512",
      .help = "bytes that the medium writes at once" },
    { "min_io_size", VM_PROP_UINT(virtio_blk, min_io), .help = "bytes; 0: not said" },
    { "opt_io_size", VM_PROP_UINT(virtio_blk, opt_io), .help = "bytes; 0: not said" },
    { "no-discard", VM_PROP_BOOL(virtio_blk, no_discard), .help = "do not offer discard" },
    { "no-write-zeroes", VM_PROP_BOOL(virtio_blk, no_write_zeroes),
      .help = "do not offer writing zeroes" },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_VIRTIO_FIELD(virtio_blk),
    VM_FIELD(virtio_blk, writeback, 1),
    VM_FIELD_TIMER(virtio_blk, later, 1),
    { 0 },
};

const struct vm_dev_class vm__virtio_blk_class = {
    .name = "virtio-blk-pci",
    .summary = "virtio block device",
    .spec = "OASIS virtio 1.2 §5.2",
    .bus = VM_BUS_PCI,
    .state_size = sizeof(struct virtio_blk),
    .windows = vm__virtio_windows,
    .props = props,
    .fields = fields,
    .realize = blk_realize,
    .unrealize = blk_unrealize,
    .reset = vm__virtio_reset,
    .post_load = blk_post_load,
    .pci = &function,
    .extra = &blk,
};
