/* SPDX-License-Identifier: MIT */
/**
 * @file ata_disk.c
 * An ATA hard disk on an IDE channel: its commands.
 *
 * Spec: [ATA-7 §6] (volume 1) commands; [ATA-4 §8] for the older ones (RECALIBRATE, SEEK,
 * INITIALIZE DEVICE PARAMETERS, CHS addresses) that firmware and old systems use; [ACS-2 §7.10]
 * DATA SET MANAGEMENT.
 * Modelled: all data commands by CHS, 28 and 48 bits, power management as state, SMART's answers.
 * Not modelled: security, host protected area, automatic acoustic management (commands rejected),
 * queued commands; time passing while a disk moves.
 */
#include "devices/storage/ata_disk.h"

#include "core/machine.h"

enum {
    READY = IDE_DRDY | IDE_DSC,
    HEAD = 0x0f, /* of the device register: head, or LBA 24-27 */

    SET_TRANSFER_MODE = 0x03,
    SMART_MID = 0x4f,
    SMART_HIGH = 0xc2,
};

static struct ide_hd *disk(struct ide_unit *u)
{
    return VM_CONTAINER_OF(u, struct ide_hd, u);
}

static void good(struct ide_hd *d)
{
    vm__ide_end(&d->u, READY, 0, true);
}

static void reject(struct ide_hd *d, uint8_t error)
{
    vm__ide_end(&d->u, READY | IDE_ERR, error, true);
}

/* ---- addresses ---------------------------------------------------------------------------- */

static uint64_t lba48(const struct ide_unit *u)
{
    return (uint64_t)u->before.high << 40 | (uint64_t)u->before.mid << 32 |
           (uint64_t)u->before.low << 24 | (uint64_t)u->now.high << 16 | (uint64_t)u->now.mid << 8 |
           u->now.low;
}

static void set_lba48(struct ide_unit *u, uint64_t lba)
{
    u->now.low = (uint8_t)lba;
    u->now.mid = (uint8_t)(lba >> 8);
    u->now.high = (uint8_t)(lba >> 16);
    u->before.low = (uint8_t)(lba >> 24);
    u->before.mid = (uint8_t)(lba >> 32);
    u->before.high = (uint8_t)(lba >> 40);
}

static void set_lba28(struct ide_unit *u, uint32_t lba)
{
    u->now.low = (uint8_t)lba;
    u->now.mid = (uint8_t)(lba >> 8);
    u->now.high = (uint8_t)(lba >> 16);
    u->device = (u->device & (uint8_t)~HEAD) | (lba >> 24 & HEAD);
}

/** Cylinder, head and sector to a sector's number. False: there is no such place. */
static bool chs(const struct ide_hd *d, uint64_t *sector)
{
    const struct ide_unit *u = &d->u;
    uint32_t cyl = (uint32_t)u->now.high << 8 | u->now.mid, head = u->device & HEAD;
    if (u->now.low == 0 || u->now.low > d->now.secs || head >= d->now.heads || cyl >= d->now.cyls)
        return false;
    *sector = ((uint64_t)cyl * d->now.heads + head) * d->now.secs + u->now.low - 1;
    return true;
}

static void set_chs(struct ide_hd *d, uint64_t sector)
{
    struct ide_unit *u = &d->u;
    uint64_t track = sector / d->now.secs, cyl = track / d->now.heads;
    u->now.low = (uint8_t)(sector % d->now.secs + 1);
    u->now.mid = (uint8_t)cyl;
    u->now.high = (uint8_t)(cyl >> 8);
    u->device = (u->device & (uint8_t)~HEAD) | (uint8_t)(track % d->now.heads);
}

static void set_address(struct ide_hd *d, uint64_t sector, bool ext)
{
    if (ext)
        set_lba48(&d->u, sector);
    else if (d->u.device & IDE_LBA)
        set_lba28(&d->u, (uint32_t)sector);
    else
        set_chs(d, sector);
}

/* ---- the commands that move data ---------------------------------------------------------- */

enum { EXT = 1, WRITE = 2, DMA = 4, MULTI = 8, FUA = 16, VERIFY = 32 };

static const struct {
    uint8_t op, how;
} moves[] = {
    { 0x20, 0 },
    { 0x21, 0 }, /* without retries: an older spelling */
    { 0x24, EXT },
    { 0x25, EXT | DMA },
    { 0x29, EXT | MULTI },
    { 0x30, WRITE },
    { 0x31, WRITE },
    { 0x34, WRITE | EXT },
    { 0x35, WRITE | EXT | DMA },
    { 0x39, WRITE | EXT | MULTI },
    { 0x3c, WRITE }, /* WRITE VERIFY */
    { 0x3d, WRITE | EXT | DMA | FUA },
    { 0x40, VERIFY },
    { 0x41, VERIFY },
    { 0x42, VERIFY | EXT },
    { 0xc4, MULTI },
    { 0xc5, WRITE | MULTI },
    { 0xc8, DMA },
    { 0xc9, DMA },
    { 0xca, WRITE | DMA },
    { 0xcb, WRITE | DMA },
    { 0xce, WRITE | EXT | MULTI | FUA },
};

/** How a command moves data, or -1. */
static int how_of(uint8_t op)
{
    for (unsigned i = 0; i < VM_COUNT_OF(moves); i++)
        if (moves[i].op == op)
            return moves[i].how;
    return -1;
}

static bool address(const struct ide_hd *d, int how, uint64_t *sector)
{
    const struct ide_unit *u = &d->u;
    if (how & EXT)
        *sector = lba48(u);
    else if (u->device & IDE_LBA)
        *sector = (uint32_t)(u->device & HEAD) << 24 | (uint32_t)u->now.high << 16 |
                  (uint32_t)u->now.mid << 8 | u->now.low;
    else
        return chs(d, sector);
    return true;
}

static void move(struct ide_hd *d, int how)
{
    struct ide_unit *u = &d->u;
    uint32_t count = u->now.count | (how & EXT ? (uint32_t)u->before.count << 8 : 0);
    uint64_t sector;

    if (count == 0)
        count = how & EXT ? 65536 : 256;
    if ((how & MULTI) && d->multiple == 0) {
        reject(d, IDE_ABRT);
        return;
    }
    if (!address(d, how, &sector) || sector >= d->sectors || count > d->sectors - sector) {
        reject(d, IDE_IDNF);
        return;
    }
    if ((how & WRITE) && u->drive->read_only) {
        reject(d, IDE_ABRT | IDE_WP);
        return;
    }
    u->write = (how & WRITE) != 0;
    u->dma = (how & DMA) != 0;
    u->fua = (how & FUA) || !d->write_cache;
    u->block = how & MULTI ? (uint32_t)d->multiple * IDE_SECTOR : IDE_SECTOR;
    if (how & VERIFY) {
        u->at = sector * IDE_SECTOR;
        u->left = (uint64_t)count * IDE_SECTOR;
        vm__ide_do(u, IDE_VERIFY);
    } else {
        vm__ide_move(u, sector * IDE_SECTOR, (uint64_t)count * IDE_SECTOR);
    }
}

/** The registers tell the last sector moved; the host that took it needs no interrupt. */
static void on_done(struct ide_unit *u)
{
    struct ide_hd *d = disk(u);
    int how = how_of(u->command);
    if (how >= 0) {
        u->now.count = u->before.count = 0;
        set_address(d, u->at / IDE_SECTOR - 1, how & EXT);
    }
    vm__ide_end(u, READY, 0, u->step != IDE_DATA_IN);
}

static void on_failed(struct ide_unit *u, int status)
{
    struct ide_hd *d = disk(u);
    int how = how_of(u->command);
    if (u->step == IDE_TRIM) { /* advice: a medium need not follow it */
        vm__ide_issue(u);
        return;
    }
    if (how >= 0)
        set_address(d, u->at / IDE_SECTOR, how & EXT);
    vm__dev_log(u->dev, VM_LOG_WARN, VM_LOG_BLK, "command 0x%02x at sector %llu: %s", u->command,
                (unsigned long long)(u->at / IDE_SECTOR), vm_strerror(status));
    reject(d, how >= 0 && !u->write ? IDE_UNC : IDE_ABRT);
}

/* ---- DATA SET MANAGEMENT ------------------------------------------------------------------ */

/** Ranges are 48 bits of address and 16 of length, in the buffer from u->pos on. */
static bool next_range(struct ide_unit *u, uint64_t *off, uint64_t *len)
{
    while (u->pos + 8 <= u->have) {
        uint64_t entry = vm_le64(&u->buffer[u->pos]);
        u->pos += 8;
        *off = vm_bits(entry, 0, 48) * IDE_SECTOR;
        *len = vm_bits(entry, 48, 16) * IDE_SECTOR;
        if (*len != 0)
            return true;
    }
    return false;
}

static void data_set_management(struct ide_hd *d)
{
    struct ide_unit *u = &d->u;
    uint32_t blocks = u->now.count | (uint32_t)u->before.count << 8;
    if (u->now.feature != 1 || blocks == 0 || blocks > ATA_TRIM_BLOCKS || u->drive->read_only) {
        reject(d, IDE_ABRT);
        return;
    }
    u->dma = 1;
    u->block = IDE_SECTOR;
    vm__ide_receive(u, blocks * IDE_SECTOR);
}

static void trim_received(struct ide_hd *d)
{
    struct ide_unit *u = &d->u;
    uint64_t off, len;
    u->pos = 0;
    while (next_range(u, &off, &len)) {
        if (off / IDE_SECTOR >= d->sectors || len / IDE_SECTOR > d->sectors - off / IDE_SECTOR) {
            reject(d, IDE_ABRT);
            return;
        }
    }
    u->pos = 0;
    vm__ide_do(u, IDE_TRIM);
}

static void on_received(struct ide_unit *u)
{
    if (u->command == 0x06)
        trim_received(disk(u));
    else
        good(disk(u)); /* WRITE BUFFER */
}

/* ---- settings ----------------------------------------------------------------------------- */

static bool set_transfer_mode(struct ide_hd *d, uint8_t mode)
{
    uint8_t n = mode & 7;
    switch (mode & 0xf8) {
    case 0x00: /* default PIO, with or without IORDY */
        return n <= 1;
    case 0x08:
        return n <= ATA_PIO_MODE;
    case 0x20:
        if (n >= ATA_MWDMA_MODES)
            return false;
        break;
    case 0x40:
        if (n >= ATA_UDMA_MODES)
            return false;
        break;
    default:
        return false;
    }
    d->transfer_mode = mode;
    return true;
}

static void set_features(struct ide_hd *d)
{
    bool ok = true;
    switch (d->u.now.feature) {
    case 0x02:
        d->write_cache = 1;
        break;
    case 0x82: /* what is in it goes to the medium first */
        d->write_cache = 0;
        vm__ide_do(&d->u, IDE_FLUSH);
        return;
    case SET_TRANSFER_MODE:
        ok = set_transfer_mode(d, d->u.now.count);
        break;
    case 0x55:
        d->look_ahead = 0;
        break;
    case 0xaa:
        d->look_ahead = 1;
        break;
    case 0x66:
        d->revert = 0;
        break;
    case 0xcc:
        d->revert = 1;
        break;
    default:
        ok = false;
        break;
    }
    if (ok)
        good(d);
    else
        reject(d, IDE_ABRT);
}

static void set_multiple(struct ide_hd *d)
{
    uint8_t n = d->u.now.count;
    if (n > ATA_MULTIPLE_MOST || (n & (n - 1)) != 0) {
        d->multiple = 0; /* [ATA-7 §6.48.5] */
        reject(d, IDE_ABRT);
        return;
    }
    d->multiple = n;
    good(d);
}

static uint32_t cylinders(const struct ide_hd *d, uint32_t heads, uint32_t secs, uint32_t most)
{
    return (uint32_t)vm_min_u64(d->sectors / (heads * secs), most);
}

static void initialize_parameters(struct ide_hd *d)
{
    uint32_t heads = (d->u.device & HEAD) + 1u, secs = d->u.now.count;
    if (secs == 0 || cylinders(d, heads, secs, 65535) == 0) {
        reject(d, IDE_ABRT);
        return;
    }
    d->now = (struct ata_geometry) { cylinders(d, heads, secs, 65535), heads, secs };
    good(d);
}

static void read_native_max(struct ide_hd *d, bool ext)
{
    uint64_t last = d->sectors - 1;
    if (ext)
        set_lba48(&d->u, last);
    else
        set_lba28(&d->u, (uint32_t)vm_min_u64(last, 0x0fffffff));
    good(d);
}

/* ---- SMART -------------------------------------------------------------------------------- */

static void send_sector(struct ide_hd *d)
{
    d->u.block = IDE_SECTOR;
    vm__ide_send(&d->u, IDE_SECTOR);
}

static void smart_enabled(struct ide_hd *d)
{
    struct ide_unit *u = &d->u;
    switch (u->now.feature) {
    case 0xd0:
        vm__ata_smart_data(u->buffer);
        send_sector(d);
        break;
    case 0xd1:
        vm__ata_smart_thresholds(u->buffer);
        send_sector(d);
        break;
    case 0xd2:
        d->smart_autosave = u->now.count == 0xf1;
        good(d);
        break;
    case 0xd4: /* off-line tests: done, and nothing found */
    case 0xd8:
        good(d);
        break;
    case 0xd5:
        if (u->now.count == 1 && vm__ata_smart_log(u->buffer, u->now.low) != 0)
            send_sector(d);
        else
            reject(d, IDE_ABRT);
        break;
    case 0xd9:
        d->smart = 0;
        good(d);
        break;
    case 0xda: /* all is well: the signature stays as it is */
        good(d);
        break;
    default:
        reject(d, IDE_ABRT);
        break;
    }
}

static void smart(struct ide_hd *d)
{
    struct ide_unit *u = &d->u;
    if (u->now.mid != SMART_MID || u->now.high != SMART_HIGH ||
        (!d->smart && u->now.feature != 0xd8)) {
        reject(d, IDE_ABRT);
        return;
    }
    d->smart = 1;
    smart_enabled(d);
}

/* ---- power -------------------------------------------------------------------------------- */

static void standby(struct ide_hd *d, enum ata_power power)
{
    d->power = (uint8_t)power;
    vm__ide_do(&d->u, IDE_FLUSH);
}

static void check_power(struct ide_hd *d)
{
    d->u.now.count = d->power == ATA_STANDBY ? 0x00 : 0xff;
    good(d);
}

/* ---- all others --------------------------------------------------------------------------- */

static void other(struct ide_hd *d, uint8_t op)
{
    struct ide_unit *u = &d->u;
    switch (op) {
    case 0x06:
        data_set_management(d);
        break;
    case 0x27:
        read_native_max(d, true);
        break;
    case 0xf8:
        read_native_max(d, false);
        break;
    case 0x91:
        initialize_parameters(d);
        break;
    case 0xb0:
        smart(d);
        break;
    case 0xc6:
        set_multiple(d);
        break;
    case 0x94:
    case 0x96:
    case 0xe0:
    case 0xe2:
        standby(d, ATA_STANDBY);
        break;
    case 0x95:
    case 0x97:
    case 0xe1:
    case 0xe3:
        d->power = ATA_ACTIVE;
        good(d);
        break;
    case 0x98:
    case 0xe5:
        check_power(d);
        break;
    case 0x99:
    case 0xe6:
        standby(d, ATA_SLEEP);
        break;
    case 0xe4: /* READ BUFFER: what WRITE BUFFER left there */
        send_sector(d);
        break;
    case 0xe8:
        u->block = IDE_SECTOR;
        vm__ide_receive(u, IDE_SECTOR);
        break;
    case 0xe7:
    case 0xea:
        vm__ide_do(u, IDE_FLUSH);
        break;
    case 0xec:
        vm__ata_identify(d, u->buffer);
        send_sector(d);
        break;
    case 0xef:
        set_features(d);
        break;
    default: /* NOP among them, whose answer this is */
        reject(d, IDE_ABRT);
        break;
    }
}

/** RECALIBRATE takes any low digit; SEEK checks the address. */
static void seek(struct ide_hd *d)
{
    uint64_t sector;
    if (d->u.command < 0x20) {
        d->u.now.mid = d->u.now.high = 0;
        good(d);
    } else if (address(d, 0, &sector) && sector < d->sectors) {
        good(d);
    } else {
        reject(d, IDE_IDNF);
    }
}

static void on_command(struct ide_unit *u, uint8_t op)
{
    struct ide_hd *d = disk(u);
    int how = how_of(op);

    if (d->power == ATA_SLEEP) {
        reject(d, IDE_ABRT); /* only a reset wakes it */
    } else if (how >= 0) {
        d->power = ATA_ACTIVE;
        move(d, how);
    } else if ((op & 0xf0) == 0x10 || (op & 0xf0) == 0x70) {
        seek(d);
    } else {
        other(d, op);
    }
}

/* ---- life --------------------------------------------------------------------------------- */

static void defaults(struct ide_hd *d)
{
    d->now = d->geometry;
    d->multiple = ATA_MULTIPLE_MOST;
    d->transfer_mode = 0x40 | (ATA_UDMA_MODES - 1);
    d->write_cache = d->look_ahead = d->smart = d->smart_autosave = 1;
}

static void on_post(struct ide_unit *u)
{
    struct ide_hd *d = disk(u);
    d->power = ATA_ACTIVE;
    if (d->revert)
        defaults(d);
    u->status = READY;
}

static const struct ide_unit_ops unit_ops = {
    .sector = IDE_SECTOR,
    .command = on_command,
    .post = on_post,
    .done = on_done,
    .failed = on_failed,
    .received = on_received,
    .trim = next_range,
};

static void on_resized(void *opaque)
{
    struct ide_hd *d = opaque;
    d->sectors = vm__drive_size(d->u.drive) / IDE_SECTOR;
}

static const struct vm_drive_ops drive_ops = { .resized = on_resized };

/** Bounds of what IDENTIFY's words 1, 3 and 6 may say: [ATA-4 §6.2.1]. */
static int set_geometry(struct ide_hd *d)
{
    struct ata_geometry *g = &d->geometry;
    if (g->cyls == 0 && g->heads == 0 && g->secs == 0)
        *g = (struct ata_geometry) { cylinders(d, 16, 63, 16383), 16, 63 };
    else if (g->cyls == 0 || g->heads == 0 || g->secs == 0)
        return vm__fail(VM_E_INVAL, "cyls, heads and secs go together");
    if (g->cyls == 0)
        g->cyls = 1; /* smaller than a cylinder */
    return VM_OK;
}

static int find_drive(struct ide_hd *d, struct vm_dev *dev)
{
    struct vm_drive *drive = d->drive != NULL ? vm__drive_find(dev->m, d->drive) : NULL;
    if (d->drive == NULL)
        return vm__fail(VM_E_INVAL, "a disk needs drive=, the id of a drive");
    if (drive == NULL)
        return vm__fail(VM_E_NOENT, "there is no drive %s", d->drive);
    if (!vm__drive_has_medium(drive))
        return vm__fail(VM_E_INVAL, "drive %s is empty; a disk needs an image", d->drive);
    d->sectors = vm__drive_size(drive) / IDE_SECTOR;
    if (d->sectors == 0)
        return vm__fail(VM_E_INVAL, "drive %s is smaller than a sector", d->drive);
    d->u.drive = drive;
    return VM_OK;
}

static int hd_realize(struct vm_dev *dev)
{
    struct ide_hd *d = vm_dev_state(dev);
    int st = vm__ide_unit_init(&d->u, dev, &unit_ops, d->bus, d->unit);
    if (st == VM_OK)
        st = find_drive(d, dev);
    if (st == VM_OK)
        st = set_geometry(d);
    if (st == VM_OK)
        st = vm__drive_attach(d->u.drive, &drive_ops, d);
    if (st != VM_OK) {
        vm__ide_unit_fini(&d->u);
        return st;
    }
    if (d->serial == NULL)
        d->serial = d->u.drive->serial;
    if (d->serial == NULL) {
        memcpy(d->made_serial, "VM00001", 8);
        d->made_serial[6] = (char)('1' + 2 * d->u.channel->number + d->u.number);
        d->serial = d->made_serial;
    }
    return VM_OK;
}

static void hd_unrealize(struct vm_dev *dev)
{
    struct ide_hd *d = vm_dev_state(dev);
    vm__ide_unit_fini(&d->u);
    vm__drive_detach(d->u.drive);
}

/** The channel has posted before; settings come after. */
static void hd_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct ide_hd *d = vm_dev_state(dev);
    (void)kind;
    vm__ide_stop(&d->u);
    d->u.block = IDE_SECTOR;
    d->revert = 0;
    defaults(d);
    on_post(&d->u);
}

static int hd_post_load(struct vm_dev *dev)
{
    struct ide_hd *d = vm_dev_state(dev);
    const struct ata_geometry *g = &d->now;
    if (g->cyls == 0 || g->cyls > 65535 || g->heads == 0 || g->heads > 16 || g->secs == 0 ||
        g->secs > 255 || d->multiple > ATA_MULTIPLE_MOST || d->power > ATA_SLEEP)
        return vm__fail(VM_E_CORRUPT, "settings that cannot be");
    return vm__ide_unit_post_load(&d->u);
}

/* clang-format off */
static const struct vm_prop props[] = {
    { "drive", "id of the drive whose image this disk shows", VM_PROP_STR(ide_hd, drive) },
    { "bus", "channel: ide.0 or ide.1; the first with a free place", VM_PROP_STR(ide_hd, bus) },
    { "unit", "0: master, 1: slave; 255: the first free one", VM_PROP_UINT(ide_hd, unit), .value = "255", .max = 255 },
    { "serial", "serial number, 20 characters; the drive's, or made up", VM_PROP_STR(ide_hd, serial) },
    { "model", "model name, 40 characters", VM_PROP_STR(ide_hd, model), .value = "LIBVM HARDDISK" },
    { "ver", "firmware revision, 8 characters", VM_PROP_STR(ide_hd, version), .value = "0.1" },
    { "wwn", "world wide name, 64 bits; 0: none", VM_PROP_UINT(ide_hd, wwn) },
    { "cyls", "cylinders; with heads and secs, or by the disk's size", VM_PROP_UINT(ide_hd, geometry.cyls), .max = 65535 },
    { "heads", "heads", VM_PROP_UINT(ide_hd, geometry.heads), .max = 16 },
    { "secs", "sectors a track", VM_PROP_UINT(ide_hd, geometry.secs), .max = 255 },
    { "rotation_rate", "0: not told, 1: no moving parts, else a minute", VM_PROP_UINT(ide_hd, rotation) },
    { 0 },
};
/* clang-format on */

static const struct vm_field geometry_fields[] = {
    VM_FIELD(ata_geometry, cyls, 1),
    VM_FIELD(ata_geometry, heads, 1),
    VM_FIELD(ata_geometry, secs, 1),
    { 0 },
};

static const struct vm_field fields[] = {
    VM_FIELD_STRUCT(ide_hd, u, vm__ide_unit_fields, 1),
    VM_FIELD_STRUCT(ide_hd, now, geometry_fields, 1),
    VM_FIELD(ide_hd, multiple, 1),
    VM_FIELD(ide_hd, transfer_mode, 1),
    VM_FIELD(ide_hd, write_cache, 1),
    VM_FIELD(ide_hd, look_ahead, 1),
    VM_FIELD(ide_hd, smart, 1),
    VM_FIELD(ide_hd, smart_autosave, 1),
    VM_FIELD(ide_hd, revert, 1),
    VM_FIELD(ide_hd, power, 1),
    { 0 },
};

const struct vm_dev_class vm__ata_disk_class = {
    .name = "ide-hd",
    .summary = "ATA hard disk",
    .spec = "ATA/ATAPI-7",
    .bus = VM_BUS_IDE,
    .state_size = sizeof(struct ide_hd),
    .props = props,
    .fields = fields,
    .realize = hd_realize,
    .unrealize = hd_unrealize,
    .reset = hd_reset,
    .post_load = hd_post_load,
};
