/* SPDX-License-Identifier: MIT */
/**
 * @file ide_dma.c
 * A channel's half of the bus master: its registers, and the walk along the table of physical
 * region descriptors.
 *
 * Spec: [BMIDE §1.2] descriptors, [BMIDE §2] registers, [BMIDE §3] operation; [PIIX3 §2.7].
 *
 * A descriptor is 8 bytes: address, even; byte count, even, 0 for 64 KiB; bit 31 of the second
 * dword ends the table. The direction bit of the command register is kept but not looked at: the
 * unit knows which way its command moves data.
 */
#include "devices/storage/ide.h"

enum {
    BM_COMMAND = 0,
    BM_STATUS = 2,
    BM_TABLE = 4,

    COMMAND_START = 0x01,
    COMMAND_WRITABLE = 0x09,
    STATUS_ACTIVE = 0x01,
    STATUS_ERROR = 0x02,
    STATUS_INTERRUPT = 0x04,
    STATUS_CAPABLE = 0x60, /* storage for software */

    PRD_SIZE = 8,
    PRD_LAST = 0x80, /* of byte 7 */
    PRD_MOST = 0x10000,
};

/* ---- descriptors -------------------------------------------------------------------------- */

/** Make the next descriptor the current one. False: there is none, or it cannot be read. */
static bool fetch(struct ide_channel *ch, struct ide_prd *prd)
{
    uint8_t d[PRD_SIZE];
    if (prd->last)
        return false;
    if (vm__dma_read(ch->dev, prd->next, d, sizeof d) != VM_OK) {
        ch->bm.status = (ch->bm.status & (uint8_t)~STATUS_ACTIVE) | STATUS_ERROR;
        return false;
    }
    uint32_t count = vm_le16(d + 4) & 0xfffe;
    prd->address = vm_le32(d) & ~UINT32_C(1);
    prd->left = count != 0 ? count : PRD_MOST;
    prd->last = (d[7] & PRD_LAST) != 0;
    /* The table lies in one 64 KiB block: the counter has 16 bits. */
    prd->next = (prd->next & 0xffff0000) | ((prd->next + PRD_SIZE) & 0xffff);
    return true;
}

/** Bytes that can be moved in one go, at most @p want; 0: the table has ended. */
static size_t run(struct ide_channel *ch, struct ide_prd *prd, size_t want)
{
    if (prd->left == 0 && !fetch(ch, prd))
        return 0;
    uint64_t to_4g = (UINT64_C(1) << 32) - prd->address;
    return (size_t)vm_min_u64(want, vm_min_u64(prd->left, to_4g));
}

static void advance(struct ide_prd *prd, size_t n)
{
    prd->address += (uint32_t)n;
    prd->left -= (uint32_t)n;
}

static void skip(struct ide_channel *ch, struct ide_prd *prd, size_t len)
{
    for (size_t n; len != 0 && (n = run(ch, prd, len)) != 0; len -= n)
        advance(prd, n);
}

size_t vm__ide_bm_room(struct ide_channel *ch, struct ide_prd prd, size_t want)
{
    size_t total = 0;
    for (size_t n; total < want && (n = run(ch, &prd, want - total)) != 0; total += n)
        advance(&prd, n);
    return total;
}

size_t vm__ide_bm_copy(struct ide_channel *ch, struct ide_prd *prd, uint8_t *buf, size_t len,
                       bool to_guest)
{
    size_t total = 0;
    for (size_t n; total < len && (n = run(ch, prd, len - total)) != 0; total += n) {
        /* What is not there reads as ones and drops writes, as on the bus. */
        if (to_guest)
            (void)vm__dma_write(ch->dev, prd->address, buf + total, n);
        else
            (void)vm__dma_read(ch->dev, prd->address, buf + total, n);
        advance(prd, n);
    }
    return total;
}

/* ---- mapping ------------------------------------------------------------------------------ */

/** Take @p extra bytes off the end. */
static void trim(struct ide_unit *u, size_t extra)
{
    while (extra != 0) {
        struct vm_dma_piece *p = &u->piece[u->n_pieces - 1];
        size_t n = (size_t)vm_min_u64(extra, p->len);
        p->len -= n;
        u->iov[u->n_pieces - 1].len -= n;
        extra -= n;
        if (p->len == 0) {
            vm__dma_unmap(u->channel->dev, p, 0);
            u->n_pieces--;
        }
    }
}

size_t vm__ide_bm_map(struct ide_unit *u, size_t want, bool to_guest)
{
    struct ide_channel *ch = u->channel;
    struct ide_prd prd = ch->bm.prd;
    size_t total = 0;

    u->n_pieces = 0;
    while (total < want && u->n_pieces < IDE_PIECES) {
        struct vm_dma_piece *p = &u->piece[u->n_pieces];
        size_t n = run(ch, &prd, want - total);
        if (n == 0 || !vm__dma_map(ch->dev, prd.address, n, to_guest, p))
            break;
        u->iov[u->n_pieces++] = (struct vm_iov) { p->host, p->len };
        advance(&prd, p->len);
        total += p->len;
    }
    size_t extra = total % u->ops->sector;
    if (extra != 0) {
        trim(u, extra);
        total -= extra;
        prd = ch->bm.prd;
        skip(ch, &prd, total);
    }
    u->prd_after = prd;
    return total;
}

void vm__ide_bm_unmap(struct ide_unit *u, bool written)
{
    for (uint32_t i = 0; i < u->n_pieces; i++)
        vm__dma_unmap(u->channel->dev, &u->piece[i], written ? u->piece[i].len : 0);
    u->n_pieces = 0;
}

void vm__ide_bm_commit(struct ide_channel *ch, const struct ide_prd *prd)
{
    ch->bm.prd = *prd;
    if (prd->last && prd->left == 0)
        ch->bm.status &= (uint8_t)~STATUS_ACTIVE;
}

/* ---- registers ---------------------------------------------------------------------------- */

bool vm__ide_bm_ready(const struct ide_channel *ch)
{
    return (ch->bm.command & COMMAND_START) && (ch->bm.status & STATUS_ACTIVE);
}

void vm__ide_bm_interrupt(struct ide_bm *bm)
{
    bm->status |= STATUS_INTERRUPT;
}

void vm__ide_bm_reset(struct ide_bm *bm)
{
    *bm = (struct ide_bm) { 0 };
}

uint8_t vm__ide_bm_read(const struct ide_channel *ch, unsigned off)
{
    const struct ide_bm *bm = &ch->bm;
    switch (off) {
    case BM_COMMAND:
        return bm->command;
    case BM_STATUS:
        return bm->status;
    case BM_TABLE:
    case BM_TABLE + 1:
    case BM_TABLE + 2:
    case BM_TABLE + 3:
        return (uint8_t)(bm->table >> 8 * (off - BM_TABLE));
    default:
        return 0;
    }
}

/** Going on is the unit's business, if its command waits for it. */
static void start(struct ide_channel *ch)
{
    ch->bm.status |= STATUS_ACTIVE;
    ch->bm.prd = (struct ide_prd) { .next = ch->bm.table };
    struct ide_unit *u = ch->unit[ch->selected];
    if (u != NULL && (u->step == IDE_DMA || u->step == IDE_DMA_BUFFER))
        vm__ide_issue(u);
}

/** Software gives up; what the drive is just doing into guest memory must end first. */
static void stop(struct ide_channel *ch)
{
    ch->bm.status &= (uint8_t)~STATUS_ACTIVE;
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        struct ide_unit *u = ch->unit[i];
        if (u != NULL && u->flying && u->step == IDE_DMA)
            vm__drive_drain(u->drive);
    }
}

void vm__ide_bm_write(struct ide_channel *ch, unsigned off, uint8_t value)
{
    struct ide_bm *bm = &ch->bm;
    uint8_t old = bm->command;
    switch (off) {
    case BM_COMMAND:
        bm->command = value & COMMAND_WRITABLE;
        if (bm->command & ~old & COMMAND_START)
            start(ch);
        else if (old & ~bm->command & COMMAND_START)
            stop(ch);
        break;
    case BM_STATUS:
        bm->status &= (uint8_t) ~(value & (STATUS_ERROR | STATUS_INTERRUPT));
        bm->status = (bm->status & (uint8_t)~STATUS_CAPABLE) | (value & STATUS_CAPABLE);
        break;
    case BM_TABLE:
        value &= 0xfc;
        /* fall through */
    case BM_TABLE + 1:
    case BM_TABLE + 2:
    case BM_TABLE + 3:
        bm->table = (uint32_t)vm_put_bits(bm->table, 8 * (off - BM_TABLE), 8, value);
        break;
    default:
        break;
    }
}
