/* SPDX-License-Identifier: MIT */
/**
 * @file ide_unit.c
 * The mover: how the data of a command gets between medium, buffer, host and guest memory.
 *
 * Spec: [ATA-7 §9] (volume 2) protocols: PIO data-in (9.5) and data-out (9.6), DMA (9.7), PACKET
 * (9.8).
 *
 * A host that takes data word by word gets it out of a buffer that is filled with one large request
 * instead of one a sector. A request that fails is repeated sector by sector, so that everything
 * before the bad one is moved and the registers name that one.
 */
#include "core/machine.h"
#include "devices/storage/ide.h"

static uint32_t out_bytes(const struct ide_unit *u)
{
    return u->out != 0 ? u->out : u->ops->sector;
}

/* ---- ends --------------------------------------------------------------------------------- */

void vm__ide_end(struct ide_unit *u, uint8_t status, uint8_t error, bool interrupt)
{
    u->step = IDE_NONE;
    u->status = status;
    u->error = error;
    if (interrupt)
        u->intrq = 1;
    vm__ide_update_irq(u->channel);
}

/** Give back what the request in flight holds. */
static void landed(struct ide_unit *u)
{
    u->flying = false;
    vm__ide_bm_unmap(u, !u->write);
}

void vm__ide_stop(struct ide_unit *u)
{
    u->step = IDE_NONE;
    if (!u->flying)
        return;
    if (vm__drive_cancel(&u->req))
        landed(u);
    else
        vm__drive_drain(u->drive);
}

/* ---- the host's side ---------------------------------------------------------------------- */

static void show(struct ide_unit *u, enum ide_step step, uint32_t n, bool interrupt)
{
    u->step = (uint8_t)step;
    u->end = u->pos + n;
    u->status = IDE_DRDY | IDE_DSC | IDE_DRQ;
    if (u->ops->announce != NULL)
        u->ops->announce(u, n, step == IDE_DATA_IN);
    if (interrupt)
        u->intrq = 1;
    vm__ide_update_irq(u->channel);
}

static void show_in(struct ide_unit *u)
{
    show(u, IDE_DATA_IN, (uint32_t)vm_min_u64(u->block, u->have - u->pos), true);
}

static void show_out(struct ide_unit *u, bool interrupt)
{
    uint64_t n = vm_min_u64(u->block, u->left - u->have);
    u->pos = u->have;
    show(u, IDE_DATA_OUT, (uint32_t)vm_min_u64(n, IDE_BUFFER - u->have), interrupt);
}

/** Go on with buffer[0, have). */
static void deliver(struct ide_unit *u)
{
    u->pos = 0;
    if (u->dma)
        vm__ide_do(u, IDE_DMA_BUFFER);
    else
        show_in(u);
}

static void refill(struct ide_unit *u)
{
    u->have = u->pos = 0;
    if (u->left != 0)
        vm__ide_do(u, IDE_FILL);
    else
        u->ops->done(u);
}

/** The host has taken a block. */
static void taken(struct ide_unit *u)
{
    if (u->pos < u->have)
        show_in(u);
    else
        refill(u);
}

/** The host has given a block. */
static void given(struct ide_unit *u)
{
    u->have = u->end;
    if (u->have < u->left && u->have + u->block <= IDE_BUFFER) {
        show_out(u, true);
        return;
    }
    u->pos = 0;
    if (!u->to_buffer) {
        vm__ide_do(u, IDE_DRAIN);
        return;
    }
    u->step = IDE_NONE;
    u->status = IDE_BSY;
    u->ops->received(u);
}

uint32_t vm__ide_data_read(struct ide_unit *u, unsigned size)
{
    uint32_t v = 0;
    if (u->step != IDE_DATA_IN)
        return 0;
    unsigned n = (unsigned)vm_min_u64(size, u->end - u->pos);
    v = (uint32_t)vm_le_n(&u->buffer[u->pos], n);
    u->pos += n;
    if (u->pos == u->end)
        taken(u);
    return v;
}

void vm__ide_data_write(struct ide_unit *u, unsigned size, uint32_t value)
{
    if (u->step != IDE_DATA_OUT)
        return;
    unsigned n = (unsigned)vm_min_u64(size, u->end - u->pos);
    vm_put_le_n(&u->buffer[u->pos], n, value);
    u->pos += n;
    if (u->pos == u->end)
        given(u);
}

/* ---- requests ----------------------------------------------------------------------------- */

static void on_done(struct vm_drive_req *r, int status);

static void submit(struct ide_unit *u, enum vm_io_op op, uint64_t off, uint64_t len,
                   uint32_t pieces)
{
    u->chunk = len;
    u->flying = true;
    u->n_pieces = pieces;
    u->req = (struct vm_drive_req) {
        .op = op,
        .flags = op == VM_IO_WRITE && u->fua ? VM_IO_FUA : 0,
        .off = off,
        .len = len,
        .sg = { u->iov, 0 },
        .done = on_done,
        .opaque = u,
    };
    vm__drive_submit(u->drive, &u->req);
}

static void submit_buffer(struct ide_unit *u, enum vm_io_op op, uint32_t from, uint64_t len)
{
    u->iov[0] = (struct vm_iov) { u->buffer + from, (size_t)len };
    submit(u, op, u->at, len, 0);
}

/** At most this much in one request. */
static uint64_t limit(const struct ide_unit *u, uint64_t most)
{
    return vm_min_u64(u->left, u->careful ? u->ops->sector : most);
}

static void issue_fill(struct ide_unit *u)
{
    uint64_t sectors = (IDE_BUFFER - u->have) / out_bytes(u);
    submit_buffer(u, VM_IO_READ, u->have, limit(u, sectors * u->ops->sector));
}

/** Guest memory that is no plain memory: by way of the buffer. */
static void issue_bounced(struct ide_unit *u)
{
    struct ide_channel *ch = u->channel;
    size_t n = vm__ide_bm_room(ch, ch->bm.prd, (size_t)limit(u, IDE_BUFFER));
    n -= n % u->ops->sector;
    if (n == 0) { /* the table is shorter than the transfer: the drive waits for the rest */
        struct ide_prd prd = { .last = 1 };
        vm__ide_bm_commit(ch, &prd);
        return;
    }
    u->bounce = true;
    u->prd_after = ch->bm.prd;
    if (u->write)
        vm__ide_bm_copy(ch, &u->prd_after, u->buffer, n, false);
    submit_buffer(u, u->write ? VM_IO_WRITE : VM_IO_READ, 0, n);
}

static void issue_dma(struct ide_unit *u)
{
    if (!vm__ide_bm_ready(u->channel))
        return;
    u->bounce = false;
    size_t n = vm__ide_bm_map(u, (size_t)limit(u, IDE_DMA_MOST), !u->write);
    if (n != 0)
        submit(u, u->write ? VM_IO_WRITE : VM_IO_READ, u->at, n, u->n_pieces);
    else
        issue_bounced(u);
}

static void issue_dma_buffer(struct ide_unit *u)
{
    struct ide_channel *ch = u->channel;
    if (!vm__ide_bm_ready(ch))
        return;
    struct ide_prd prd = ch->bm.prd;
    u->pos += (uint32_t)vm__ide_bm_copy(ch, &prd, u->buffer + u->pos, u->have - u->pos, !u->write);
    vm__ide_bm_commit(ch, &prd);
    if (u->pos < u->have)
        return; /* the table has ended: the drive waits */
    if (!u->write) {
        refill(u);
        return;
    }
    u->step = IDE_NONE;
    u->status = IDE_BSY;
    u->ops->received(u);
}

static void issue_trim(struct ide_unit *u)
{
    uint64_t off, len;
    if (u->ops->trim != NULL && u->ops->trim(u, &off, &len))
        submit(u, VM_IO_DISCARD, off, len, 0);
    else
        u->ops->done(u);
}

void vm__ide_issue(struct ide_unit *u)
{
    if (u->flying)
        return;
    switch ((enum ide_step)u->step) {
    case IDE_FILL:
        issue_fill(u);
        break;
    case IDE_DRAIN:
        submit_buffer(u, VM_IO_WRITE, u->pos,
                      u->careful ? u->ops->sector : (uint64_t)(u->have - u->pos));
        break;
    case IDE_DMA:
        issue_dma(u);
        break;
    case IDE_DMA_BUFFER:
        issue_dma_buffer(u);
        break;
    case IDE_VERIFY:
        submit_buffer(u, VM_IO_READ, 0, limit(u, IDE_BUFFER));
        break;
    case IDE_FLUSH:
        submit(u, VM_IO_FLUSH, 0, 0, 0);
        break;
    case IDE_TRIM:
        issue_trim(u);
        break;
    case IDE_NONE:
    case IDE_DATA_IN:
    case IDE_DATA_OUT:
    case IDE_STEPS:
        break;
    }
}

void vm__ide_do(struct ide_unit *u, enum ide_step step)
{
    u->step = (uint8_t)step;
    u->status = step == IDE_DMA || step == IDE_DMA_BUFFER ? IDE_DRDY | IDE_DSC | IDE_DRQ : IDE_BSY;
    vm__ide_issue(u);
}

/* ---- requests come back ------------------------------------------------------------------- */

/** The medium has given what the buffer was to be filled with. */
static void filled(struct ide_unit *u)
{
    if (u->out != 0)
        u->ops->expand(u, (uint32_t)(u->chunk / u->ops->sector));
    u->have += (uint32_t)(u->chunk / u->ops->sector) * out_bytes(u);
    /* A block is shown whole. */
    if (u->careful && u->left != 0 && u->out == 0 && u->have % u->block != 0 &&
        u->block % u->ops->sector == 0 && u->have + u->ops->sector <= IDE_BUFFER)
        vm__ide_do(u, IDE_FILL);
    else
        deliver(u);
}

static void drained(struct ide_unit *u)
{
    u->pos += (uint32_t)u->chunk;
    if (u->pos < u->have) {
        vm__ide_issue(u);
        return;
    }
    u->have = 0;
    if (u->left != 0)
        show_out(u, true);
    else
        u->ops->done(u);
}

static void moved(struct ide_unit *u)
{
    struct ide_channel *ch = u->channel;
    if (u->bounce && !u->write) {
        u->prd_after = ch->bm.prd;
        vm__ide_bm_copy(ch, &u->prd_after, u->buffer, (size_t)u->chunk, true);
    }
    if (vm__ide_bm_ready(ch))
        vm__ide_bm_commit(ch, &u->prd_after);
    if (u->left != 0)
        vm__ide_issue(u);
    else
        u->ops->done(u);
}

static void succeeded(struct ide_unit *u)
{
    switch ((enum ide_step)u->step) {
    case IDE_FILL:
        filled(u);
        break;
    case IDE_DRAIN:
        drained(u);
        break;
    case IDE_DMA:
        moved(u);
        break;
    case IDE_VERIFY:
        if (u->left != 0)
            vm__ide_issue(u);
        else
            u->ops->done(u);
        break;
    case IDE_TRIM:
        vm__ide_issue(u);
        break;
    case IDE_FLUSH:
        u->ops->done(u);
        break;
    case IDE_NONE:
    case IDE_DATA_IN:
    case IDE_DATA_OUT:
    case IDE_DMA_BUFFER:
    case IDE_STEPS:
        break;
    }
}

static void on_done(struct vm_drive_req *r, int status)
{
    struct ide_unit *u = r->opaque;
    landed(u);
    if (u->step == IDE_NONE)
        return; /* given up */
    const bool sized = u->step != IDE_FLUSH && u->step != IDE_TRIM;
    if (status == VM_OK) {
        if (sized) {
            u->at += u->chunk;
            u->left -= u->chunk;
        }
        succeeded(u);
    } else if (sized && u->chunk > u->ops->sector && !u->careful) {
        u->careful = 1;
        vm__ide_issue(u);
    } else {
        u->ops->failed(u, status);
    }
}

/* ---- commands' side ----------------------------------------------------------------------- */

void vm__ide_send(struct ide_unit *u, uint32_t len)
{
    u->left = 0;
    u->have = len;
    u->write = 0;
    deliver(u);
}

void vm__ide_receive(struct ide_unit *u, uint32_t len)
{
    u->left = len;
    u->have = u->pos = 0;
    u->write = u->to_buffer = 1;
    if (u->dma) {
        u->have = len;
        vm__ide_do(u, IDE_DMA_BUFFER);
    } else {
        show_out(u, false);
    }
}

void vm__ide_move(struct ide_unit *u, uint64_t at, uint64_t len)
{
    u->at = at;
    u->left = len;
    u->have = u->pos = 0;
    if (u->dma && u->out == 0)
        vm__ide_do(u, IDE_DMA);
    else if (u->write)
        show_out(u, false);
    else
        vm__ide_do(u, IDE_FILL);
}

void vm__ide_text(uint8_t *to, size_t len, const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < len; i++)
        to[i ^ 1] = i < n ? (uint8_t)text[i] : ' ';
}

/* ---- life --------------------------------------------------------------------------------- */

static void on_resume(void *opaque)
{
    vm__ide_issue(opaque);
}

static bool has_room(const struct ide_channel *ch, uint32_t unit)
{
    return unit < IDE_UNITS ? ch->unit[unit] == NULL : !ch->unit[0] || !ch->unit[1];
}

/** The channel named, or the first with a free place. */
static struct ide_channel *find_channel(struct vm_dev *dev, const char *bus, uint32_t unit)
{
    for (uint32_t i = 0; i < IDE_CHANNELS; i++) {
        const char name[] = { 'i', 'd', 'e', '.', (char)('0' + i), '\0' };
        struct ide_channel *ch = vm__ide_channel(dev->m, i);
        if (ch == NULL) {
            (void)vm__fail(VM_E_NOENT, "this machine has no IDE controller");
            return NULL;
        }
        if (bus != NULL ? strcmp(bus, name) == 0 : has_room(ch, unit))
            return ch;
    }
    if (bus != NULL)
        (void)vm__fail(VM_E_NOENT, "no bus %s; there are ide.0 and ide.1", bus);
    else
        (void)vm__fail(VM_E_BUSY, "every place on the IDE channels is taken");
    return NULL;
}

int vm__ide_unit_init(struct ide_unit *u, struct vm_dev *dev, const struct ide_unit_ops *ops,
                      const char *bus, uint32_t unit)
{
    if (unit >= IDE_UNITS && unit != IDE_UNIT_ANY)
        return vm__fail(VM_E_INVAL, "an IDE channel has units 0 and 1");
    struct ide_channel *ch = find_channel(dev, bus, unit);
    if (ch == NULL)
        return vm_last_error()->code;
    if (unit >= IDE_UNITS && !has_room(ch, unit))
        return vm__fail(VM_E_BUSY, "ide.%u has no unit left", ch->number);
    if (!has_room(ch, unit))
        return vm__fail(VM_E_BUSY, "unit %u of ide.%u is taken by %s", unit, ch->number,
                        ch->unit[unit]->dev->id);
    u->dev = dev;
    u->ops = ops;
    u->channel = ch;
    u->number = (uint8_t)(unit < IDE_UNITS ? unit : ch->unit[0] != NULL);
    ch->unit[u->number] = u;
    vm__timer_init(&u->resume, dev->m, on_resume, u);
    return VM_OK;
}

void vm__ide_unit_fini(struct ide_unit *u)
{
    if (u->channel == NULL)
        return;
    vm__ide_stop(u);
    u->channel->unit[u->number] = NULL;
    u->channel = NULL;
}

/** What is left fits the step, so that no request goes beyond the buffer or below a sector. */
static bool is_possible(const struct ide_unit *u)
{
    const uint32_t sector = u->ops->sector;
    const bool whole = u->left != 0 && u->left % sector == 0 && u->left <= VM_BLK_MAX_SIZE;

    if (u->step == IDE_NONE)
        return true;
    if (u->have > IDE_BUFFER || u->end > IDE_BUFFER || u->block == 0 || u->at > VM_BLK_MAX_SIZE ||
        (u->out != 0 && (u->ops->expand == NULL || u->out < sector || u->out > IDE_BUFFER)))
        return false;
    switch ((enum ide_step)u->step) {
    case IDE_DATA_IN:
        return u->pos <= u->end && u->end <= u->have && u->left % sector == 0;
    case IDE_DATA_OUT:
        return u->have <= u->pos && u->pos <= u->end && u->end <= u->left &&
               (u->to_buffer || whole);
    case IDE_FILL:
        return whole && u->have + out_bytes(u) <= IDE_BUFFER && (u->out == 0 || u->have == 0);
    case IDE_DRAIN:
        return whole && u->pos < u->have && (u->have - u->pos) % sector == 0 &&
               u->have - u->pos <= u->left;
    case IDE_DMA_BUFFER:
        return u->pos <= u->have && (u->write || u->left % sector == 0);
    case IDE_DMA:
    case IDE_VERIFY:
        return whole;
    case IDE_TRIM:
        return u->pos <= u->have;
    case IDE_FLUSH:
        return true;
    case IDE_NONE:
    case IDE_STEPS:
        break;
    }
    return false;
}

int vm__ide_unit_post_load(struct ide_unit *u)
{
    if (u->flying) { /* what was held back belongs to the state of before */
        uint8_t step = u->step;
        vm__ide_stop(u);
        u->step = step;
    }
    if (!is_possible(u))
        return vm__fail(VM_E_CORRUPT, "a transfer that cannot be");
    vm__timer_arm(&u->resume, vm__dev_now(u->dev)); /* not now: memory is loaded last */
    return VM_OK;
}

static const struct vm_field task_fields[] = {
    VM_FIELD(ide_task, feature, 1), VM_FIELD(ide_task, count, 1), VM_FIELD(ide_task, low, 1),
    VM_FIELD(ide_task, mid, 1),     VM_FIELD(ide_task, high, 1),  { 0 },
};

const struct vm_field vm__ide_unit_fields[] = {
    VM_FIELD_STRUCT(ide_unit, now, task_fields, 1),
    VM_FIELD_STRUCT(ide_unit, before, task_fields, 1),
    VM_FIELD(ide_unit, device, 1),
    VM_FIELD(ide_unit, status, 1),
    VM_FIELD(ide_unit, error, 1),
    VM_FIELD(ide_unit, intrq, 1),
    VM_FIELD(ide_unit, command, 1),
    VM_FIELD(ide_unit, step, 1),
    VM_FIELD(ide_unit, dma, 1),
    VM_FIELD(ide_unit, write, 1),
    VM_FIELD(ide_unit, to_buffer, 1),
    VM_FIELD(ide_unit, fua, 1),
    VM_FIELD(ide_unit, careful, 1),
    VM_FIELD(ide_unit, at, 1),
    VM_FIELD(ide_unit, left, 1),
    VM_FIELD(ide_unit, block, 1),
    VM_FIELD(ide_unit, out, 1),
    VM_FIELD(ide_unit, pos, 1),
    VM_FIELD(ide_unit, end, 1),
    VM_FIELD(ide_unit, have, 1),
    VM_FIELD_BYTES(ide_unit, buffer, 1),
    { 0 },
};
