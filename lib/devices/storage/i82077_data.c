/* SPDX-License-Identifier: MIT */
/**
 * @file i82077_data.c
 * The floppy controller's data commands: those that look for sectors.
 *
 * Spec: [82077AA §5.1] and tables 5-1 to 5-7.
 *
 * A command goes from sector to sector in steps (enum fdc_step): wait for the sector, ask the drive
 * or the host for its bytes, let it pass. Times are short, but never zero: what a driver does
 * between its command and the interrupt happens in that order here as well.
 *
 * A raw image remembers data only: every sector of a known format has the ID its place implies,
 * 512 bytes and a normal data mark. WRITE DELETED DATA stores data like any other.
 */
#include <string.h>

#include "core/machine.h"
#include "devices/dma/i8237.h"
#include "devices/storage/i82077.h"

enum {
    SECTOR_NS = 10000,     /* a sector to pass; the real thing takes 11 ms of a 1.44 MB disk */
    MOVED_NS = 5000,       /* from the last byte to what it leads to */
    NO_INDEX_NS = 2000000, /* two turns without finding what is looked for */
    SIZE_CODE = 2,         /* N of 512 bytes */
    ID_BYTES = 4,
};

static struct floppy *floppy_of(struct i82077 *s)
{
    return &s->floppy[s->run.unit];
}

static void next_step(struct vm_dev *dev, enum fdc_step step, uint64_t delay_ns)
{
    struct i82077 *s = vm_dev_state(dev);
    s->run.step = (uint8_t)step;
    vm__timer_arm(&s->run_timer, vm__dev_now(dev) + delay_ns);
}

/** The result phase. [82077AA table 5-1] */
static void finish(struct vm_dev *dev, uint8_t interrupt_code)
{
    struct i82077 *s = vm_dev_state(dev);
    const struct fdc_run *run = &s->run;
    const uint8_t result[] = {
        (uint8_t)(interrupt_code | (run->seeked ? ST0_SEEK_END : 0) | run->head << 2 | run->unit),
        run->st1,
        run->st2,
        run->c,
        run->h,
        run->r,
        run->n,
    };
    s->run.step = FDC_NOTHING;
    memcpy(s->result, result, sizeof result);
    vm__i82077_result(dev, sizeof result);
    s->interrupt = 1;
    vm__i82077_update(dev);
}

static void fail(struct vm_dev *dev, uint8_t st1, uint8_t st2)
{
    struct i82077 *s = vm_dev_state(dev);
    s->run.st1 |= st1;
    s->run.st2 |= st2;
    finish(dev, ST0_ABNORMAL);
}

/* ---- the disk ----------------------------------------------------------------------------- */

static bool track_is_readable(struct i82077 *s)
{
    return fdc_is_turning(s, s->run.unit) &&
           vm__floppy_track_readable(floppy_of(s), s->run.head, s->rate, s->command[0] & CMD_MFM);
}

/** Compare the wanted ID with those of the track. @return false with st1 and st2 set */
static bool find_sector(struct i82077 *s, uint64_t *off)
{
    struct fdc_run *run = &s->run;

    if (!track_is_readable(s)) {
        run->st1 |= ST1_MISSING_AM;
        return false;
    }
    if (run->c != vm__floppy_cylinder(floppy_of(s))) {
        run->st1 |= ST1_NO_DATA;
        run->st2 |= ST2_WRONG_CYLINDER;
        return false;
    }
    if (run->h != run->head || run->n != SIZE_CODE ||
        !vm__floppy_sector(floppy_of(s), run->head, run->r, off)) {
        run->st1 |= ST1_NO_DATA;
        return false;
    }
    return true;
}

static void on_disk_done(struct vm_drive_req *r, int status)
{
    struct vm_dev *dev = r->opaque;
    struct i82077 *s = vm_dev_state(dev);

    s->in_flight = false;
    if (status == VM_OK)
        next_step(dev, FDC_PASSED, SECTOR_NS);
    else
        fail(dev, ST1_DATA_ERROR, ST2_DATA_ERROR);
}

static bool op_writes(const struct i82077 *s)
{
    return s->run.op == FDC_WRITE || s->run.op == FDC_FORMAT;
}

/** Where the current sector lies in the image. */
static bool sector_offset(struct i82077 *s, uint64_t *off)
{
    const unsigned sector = s->run.op == FDC_READ_TRACK ? s->run.track_sector : s->run.r;
    return vm__floppy_sector(floppy_of(s), s->run.head, sector, off);
}

/** Read the sector into the buffer, or write it from there. */
static void ask_disk(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    uint64_t off;

    s->run.step = FDC_DISK;
    if (!sector_offset(s, &off)) { /* taken out meanwhile */
        fail(dev, ST1_MISSING_AM, 0);
        return;
    }
    if (floppy_of(s)->size - FLOPPY_SECTOR < off) {
        memset(s->run.buffer, 0, sizeof s->run.buffer); /* past a short image: write-protected */
        next_step(dev, FDC_PASSED, SECTOR_NS);
        return;
    }
    s->iov = (struct vm_iov) { s->run.buffer, FLOPPY_SECTOR };
    s->req = (struct vm_drive_req) {
        .op = op_writes(s) ? VM_IO_WRITE : VM_IO_READ,
        .off = off,
        .len = FLOPPY_SECTOR,
        .sg = { &s->iov, 0 },
        .done = on_disk_done,
        .opaque = dev,
    };
    s->in_flight = true;
    vm__drive_submit(floppy_of(s)->drive, &s->req);
}

void vm__i82077_retry(struct vm_dev *dev)
{
    const struct i82077 *s = vm_dev_state(dev);
    if (s->phase == FDC_EXECUTE && s->run.step == FDC_DISK && !s->in_flight)
        ask_disk(dev);
}

/* ---- the host ----------------------------------------------------------------------------- */

bool vm__i82077_to_host(const struct i82077 *s)
{
    return s->run.op == FDC_READ || s->run.op == FDC_READ_TRACK;
}

static void ask_host(struct vm_dev *dev, unsigned bytes)
{
    struct i82077 *s = vm_dev_state(dev);

    s->run.step = FDC_HOST;
    s->run.want = (uint16_t)bytes;
    s->run.at = 0;
    if (!fdc_uses_dma(s))
        s->interrupt = 1;
    vm__i82077_update(dev);
    vm__i82077_pump(dev);
}

static void check_host(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);

    if (s->run.at < s->run.want && !s->run.ended)
        return;
    s->interrupt = 0;
    next_step(dev, FDC_MOVED, MOVED_NS);
    vm__i82077_update(dev);
}

/** A channel that is not ready, or a closed gate, is no overrun: real chips would see one after
 *  microseconds, which a guest on a busy host cannot help. */
void vm__i82077_pump(void *opaque)
{
    struct vm_dev *dev = opaque;
    struct i82077 *s = vm_dev_state(dev);
    struct fdc_run *run = &s->run;
    bool end = false;

    if (s->phase != FDC_EXECUTE || run->step != FDC_HOST || !fdc_uses_dma(s) ||
        !fdc_gate_is_open(s))
        return;
    run->at += (uint16_t)vm__dma_transfer(
        s->dmac, s->dma, vm__i82077_to_host(s) ? VM_DMA_TO_MEMORY : VM_DMA_FROM_MEMORY,
        run->buffer + run->at, (size_t)run->want - run->at, &end);
    run->ended |= end;
    check_host(dev);
}

uint8_t vm__i82077_give(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    const uint8_t byte = s->run.buffer[s->run.at++];
    check_host(dev);
    return byte;
}

void vm__i82077_take(struct vm_dev *dev, uint8_t byte)
{
    struct i82077 *s = vm_dev_state(dev);
    s->run.buffer[s->run.at++] = byte;
    check_host(dev);
}

/* ---- from sector to sector ---------------------------------------------------------------- */

/** The next ID; true if the cylinder has no more for this command. [82077AA table 5-6] */
static bool next_id(struct i82077 *s, unsigned by)
{
    struct fdc_run *run = &s->run;

    if (run->r != run->eot && (by == 1 || run->r + by <= run->eot)) {
        run->r = (uint8_t)(run->r + by);
        return false;
    }
    run->r = 1;
    if (s->command[0] & CMD_MT) {
        run->h ^= 1;
        if (run->head == 0) {
            run->head = 1;
            return false;
        }
    }
    run->c++;
    return true;
}

static bool is_last_counted(struct fdc_run *run)
{
    return run->left > 0 && --run->left == 0;
}

/** Go on after a sector, or end: at the host's word, at a count, or at the end of the cylinder,
 *  which is an error unless nobody could have given the word. [82077AA table 5-7] */
static void sector_done(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    struct fdc_run *run = &s->run;
    const bool to_eot = run->op == FDC_VERIFY && run->left == 0;
    const bool ended = run->ended || is_last_counted(run);
    const uint8_t head = run->head;
    const bool last = next_id(s, 1);

    if (ended || last)
        run->head = head; /* the ID is the next one's, the head is where it was */
    if (ended || (last && to_eot))
        finish(dev, 0);
    else if (last)
        fail(dev, ST1_END_OF_CYLINDER, 0);
    else
        next_step(dev, FDC_SEARCH, SECTOR_NS);
}

/** READ TRACK takes sectors as they come and only notes whether they are those asked for. */
static void track_sector_done(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    struct fdc_run *run = &s->run;

    if (floppy_of(s)->format != NULL) /* or it was taken out meanwhile */
        run->track_sector = run->track_sector % floppy_of(s)->format->sectors + 1;
    run->r++;
    if (!is_last_counted(run) && !run->ended)
        next_step(dev, FDC_SEARCH, SECTOR_NS);
    else
        finish(dev, run->st1 != 0 ? ST0_ABNORMAL : 0);
}

/** How the disk's bytes compare with the host's, of which 0xFF matches all. [82077AA §5.1.9] */
static int compare(const uint8_t *disk, const uint8_t *host, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (disk[i] != host[i] && disk[i] != 0xff && host[i] != 0xff)
            return disk[i] < host[i] ? -1 : 1;
    return 0;
}

static void scan_done(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    struct fdc_run *run = &s->run;
    const int order = compare(run->disk, run->buffer, run->at);

    run->st2 &= (uint8_t) ~(ST2_SCAN_EQUAL | ST2_SCAN_NOT_SATISFIED);
    if (order == 0)
        run->st2 |= ST2_SCAN_EQUAL;
    const bool hit = order == 0 || (run->op == FDC_SCAN_LOW && order < 0) ||
                     (run->op == FDC_SCAN_HIGH && order > 0);
    if (!hit)
        run->st2 |= ST2_SCAN_NOT_SATISFIED;
    if (hit || run->ended || next_id(s, s->command[8] == 2 ? 2 : 1))
        finish(dev, 0);
    else
        next_step(dev, FDC_SEARCH, SECTOR_NS);
}

/** The four bytes of an ID came in: lay down that sector, if the image has a place for it. */
static void format_sector(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    struct fdc_run *run = &s->run;
    uint64_t off;

    if (run->at < ID_BYTES) {
        finish(dev, 0);
        return;
    }
    run->c = run->buffer[0];
    run->h = run->buffer[1];
    run->r = run->buffer[2];
    run->n = run->buffer[3];
    memset(run->buffer, run->track_sector, sizeof run->buffer);
    if (find_sector(s, &off)) {
        ask_disk(dev);
        return;
    }
    run->st1 = run->st2 = 0;
    next_step(dev, FDC_PASSED, SECTOR_NS);
}

static void format_sector_done(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    if (is_last_counted(&s->run) || s->run.ended)
        finish(dev, 0);
    else
        ask_host(dev, ID_BYTES);
}

/** The host has moved its bytes, or said that there are no more. */
static void host_done(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    struct fdc_run *run = &s->run;

    switch ((enum fdc_op)run->op) {
    case FDC_READ:
        if (run->deleted) /* a normal mark where a deleted one was wanted */
            finish(dev, 0);
        else
            sector_done(dev);
        break;
    case FDC_READ_TRACK:
        track_sector_done(dev);
        break;
    case FDC_WRITE:
        memset(run->buffer + run->at, 0, sizeof run->buffer - run->at);
        ask_disk(dev);
        break;
    case FDC_FORMAT:
        format_sector(dev);
        break;
    case FDC_SCAN_EQUAL:
    case FDC_SCAN_LOW:
    case FDC_SCAN_HIGH:
        scan_done(dev);
        break;
    case FDC_READ_ID:
    case FDC_VERIFY:
        break;
    }
}

/** The sector's bytes are in the buffer, or on the disk. */
static void sector_passed(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);

    switch ((enum fdc_op)s->run.op) {
    case FDC_READ:
    case FDC_READ_TRACK:
        ask_host(dev, FLOPPY_SECTOR);
        break;
    case FDC_FORMAT:
        format_sector_done(dev);
        break;
    case FDC_SCAN_EQUAL:
    case FDC_SCAN_LOW:
    case FDC_SCAN_HIGH:
        memcpy(s->run.disk, s->run.buffer, sizeof s->run.disk);
        ask_host(dev, FLOPPY_SECTOR);
        break;
    case FDC_WRITE:
    case FDC_VERIFY:
        sector_done(dev);
        break;
    case FDC_READ_ID:
        break;
    }
}

/** A sector without the wanted data mark, with SK: passed over. [82077AA tables 5-4, 5-5] */
static bool skips(struct i82077 *s)
{
    if (!s->run.deleted || op_writes(s))
        return false;
    s->run.st2 |= ST2_CONTROL_MARK;
    return s->command[0] & CMD_SK;
}

static void find_id(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    struct fdc_run *run = &s->run;

    if (!track_is_readable(s)) {
        fail(dev, ST1_MISSING_AM, 0);
        return;
    }
    run->c = (uint8_t)vm__floppy_cylinder(floppy_of(s));
    run->h = run->head;
    run->r = (uint8_t)(vm__dev_now(dev) / SECTOR_NS % floppy_of(s)->format->sectors + 1);
    run->n = SIZE_CODE;
    finish(dev, 0);
}

static void begin_track_sector(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    struct fdc_run *run = &s->run;

    if (!track_is_readable(s)) {
        fail(dev, ST1_MISSING_AM, 0);
        return;
    }
    if (run->c != vm__floppy_cylinder(floppy_of(s)) || run->h != run->head ||
        run->r != run->track_sector || run->n != SIZE_CODE)
        run->st1 |= ST1_NO_DATA;
    ask_disk(dev);
}

static void begin_sector(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);
    uint64_t off;

    if (!find_sector(s, &off)) {
        fail(dev, 0, 0);
    } else if (s->run.op == FDC_WRITE) {
        ask_host(dev, FLOPPY_SECTOR);
    } else if (skips(s)) {
        sector_done(dev);
    } else {
        ask_disk(dev);
    }
}

static void search(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);

    if (op_writes(s) && floppy_of(s)->format != NULL && floppy_of(s)->read_only) {
        fail(dev, ST1_NOT_WRITABLE, 0);
        return;
    }
    switch ((enum fdc_op)s->run.op) {
    case FDC_READ_ID:
        find_id(dev);
        break;
    case FDC_READ_TRACK:
        begin_track_sector(dev);
        break;
    case FDC_FORMAT: /* only as it is: an image has one format */
        if (!track_is_readable(s) || s->run.n != SIZE_CODE)
            fail(dev, ST1_NOT_WRITABLE, 0);
        else
            ask_host(dev, ID_BYTES);
        break;
    default:
        begin_sector(dev);
        break;
    }
}

void vm__i82077_on_run_timer(void *opaque)
{
    const struct i82077 *s = vm_dev_state(opaque);

    if (s->phase != FDC_EXECUTE)
        return;
    if (s->run.step == FDC_SEARCH)
        search(opaque);
    else if (s->run.step == FDC_PASSED)
        sector_passed(opaque);
    else if (s->run.step == FDC_MOVED)
        host_done(opaque);
}

/* ---- beginning and end -------------------------------------------------------------------- */

/** The parameters after the first two bytes. */
static void take_parameters(struct i82077 *s)
{
    const uint8_t *cmd = s->command;
    struct fdc_run *run = &s->run;

    if (run->op == FDC_READ_ID)
        return;
    if (run->op == FDC_FORMAT) {
        run->n = cmd[2];
        s->last_eot = cmd[3];
        run->left = cmd[3] != 0 ? cmd[3] : 256;
        run->track_sector = cmd[5];
        return;
    }
    run->c = cmd[2];
    run->h = cmd[3];
    run->r = cmd[4];
    run->n = cmd[5];
    run->eot = s->last_eot = cmd[6];
    run->track_sector = 1;
    if (run->op == FDC_READ_TRACK)
        run->left = run->eot;
    if (run->op == FDC_VERIFY && (cmd[1] & 0x80)) /* EC: the last byte counts sectors */
        run->left = cmd[8] != 0 ? cmd[8] : 256;
}

/** With EIS, commands find their cylinder themselves. @return steps */
static unsigned implied_seek(struct i82077 *s)
{
    struct fdc_run *run = &s->run;
    const int steps = run->c - s->pcn[run->unit];

    if (!(s->config & CONFIG_EIS) || run->op == FDC_READ_ID || run->op == FDC_FORMAT || steps == 0)
        return 0;
    vm__floppy_step(floppy_of(s), steps);
    s->pcn[run->unit] = run->c;
    run->seeked = 1;
    return (unsigned)(steps < 0 ? -steps : steps);
}

void vm__i82077_start(struct vm_dev *dev, enum fdc_op op)
{
    struct i82077 *s = vm_dev_state(dev);

    s->run = (struct fdc_run) {
        .op = (uint8_t)op,
        .unit = s->command[1] & 3,
        .head = s->command[1] >> 2 & 1,
        .deleted = (s->command[0] & 0x1f) == 0x0c || (s->command[0] & 0x1f) == 0x09,
    };
    take_parameters(s);
    s->phase = FDC_EXECUTE;
    uint64_t delay_ns = vm__i82077_seek_ns(implied_seek(s));
    if (!fdc_is_turning(s, s->run.unit) || floppy_of(s)->format == NULL)
        delay_ns += NO_INDEX_NS;
    next_step(dev, FDC_SEARCH, delay_ns + SECTOR_NS);
}

void vm__i82077_abort(struct vm_dev *dev)
{
    struct i82077 *s = vm_dev_state(dev);

    vm__timer_cancel(&s->run_timer);
    if (s->in_flight && !vm__drive_cancel(&s->req))
        vm__drive_drain(floppy_of(s)->drive);
    s->in_flight = false;
    vm__timer_cancel(&s->run_timer); /* what the drive's answer armed */
    s->run.step = FDC_NOTHING;
    s->phase = FDC_COMMAND;
    s->interrupt = 0;
}
