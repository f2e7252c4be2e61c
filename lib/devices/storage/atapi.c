/* SPDX-License-Identifier: MIT */
/**
 * @file atapi.c
 * An ATAPI CD-ROM drive on an IDE channel: the packet protocol, the table of commands, tray and
 * lock.
 *
 * Spec: [ATA-7 §9.8] (volume 2) PACKET protocol, [ATA-7 §6.24] PACKET (volume 1); [MMC-5];
 * [SPC-3] for INQUIRY, REQUEST SENSE and their like.
 * Modelled: one data track; tray, lock and medium events; DMA and PIO; CD and DVD profiles by size.
 * Not modelled: audio, writing, overlapped commands, regions and copy protection.
 */
#include "core/machine.h"
#include "devices/storage/ide_cd.h"

enum {
    REASON_COMMAND = 1, /* interrupt reason, in the count register: the packet is wanted */
    REASON_TO_HOST = 2,
    REASON_END = REASON_COMMAND | REASON_TO_HOST,

    PACKET = 0xa0,
    PACKET_DMA = 0x01, /* features */
    PACKET_OVERLAP = 0x02,
    COUNT_MOST = 0xfffe,

    SIGNATURE_MID = 0x14,
    SIGNATURE_HIGH = 0xeb,

    LOAD = 1, /* START STOP UNIT: start, load or eject */
    LOAD_EJECT = 2,
};

/* ---- ends of a command -------------------------------------------------------------------- */

static void end(struct ide_cd *s, uint8_t status, uint8_t error)
{
    s->expecting = 0;
    s->u.now.count = REASON_END;
    vm__ide_end(&s->u, status, error, true);
}

void vm__cd_ok(struct ide_cd *s)
{
    s->sense = CD_GOOD;
    end(s, IDE_DRDY, 0);
}

void vm__cd_fail(struct ide_cd *s, enum cd_sense sense)
{
    s->sense = sense;
    end(s, IDE_DRDY | IDE_ERR, (uint8_t)(sense >> 16 << 4));
}

uint8_t *vm__cd_buffer(struct ide_cd *s, uint32_t len)
{
    return memset(s->u.buffer, 0, len);
}

void vm__cd_reply(struct ide_cd *s, uint32_t len, uint32_t allocated)
{
    uint32_t n = (uint32_t)vm_min_u64(len, allocated);
    if (n == 0)
        vm__cd_ok(s);
    else
        vm__ide_send(&s->u, n);
}

/* ---- what every SCSI device answers ------------------------------------------------------- */

static void test_unit_ready(struct ide_cd *s)
{
    vm__cd_ok(s);
}

static void request_sense(struct ide_cd *s)
{
    uint8_t *b = vm__cd_buffer(s, 18);
    uint32_t sense = s->sense;
    if (sense == CD_GOOD && s->attention != CD_GOOD) {
        sense = s->attention;
        s->attention = CD_GOOD;
    }
    b[0] = 0x70; /* current error, fixed format */
    b[2] = (uint8_t)(sense >> 16);
    b[7] = 10;
    b[12] = (uint8_t)(sense >> 8);
    b[13] = (uint8_t)sense;
    s->sense = CD_GOOD;
    vm__cd_reply(s, 18, s->cdb[4]);
}

/** Blank-padded characters. */
static void put_text(uint8_t *to, size_t len, const char *text)
{
    size_t n = strlen(text);
    memset(to, ' ', len);
    memcpy(to, text, n < len ? n : len);
}

/** Vital product data: the list of pages, the serial number, an identification made of it. */
static void inquiry_page(struct ide_cd *s, uint8_t page)
{
    static const uint8_t pages[] = { 0x00, 0x80, 0x83 };
    uint8_t *b = vm__cd_buffer(s, 64);
    uint8_t n = 20;

    b[0] = 5;
    b[1] = page;
    switch (page) {
    case 0x00:
        n = sizeof pages;
        memcpy(b + 4, pages, sizeof pages);
        break;
    case 0x80:
        put_text(b + 4, n, s->serial);
        break;
    case 0x83:
        b[4] = 2; /* ASCII */
        b[7] = 20;
        put_text(b + 8, 20, s->serial);
        n = 24;
        break;
    default:
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    b[3] = n;
    vm__cd_reply(s, 4u + n, vm_be16(s->cdb + 3));
}

static void inquiry(struct ide_cd *s)
{
    uint8_t *b;
    if (s->cdb[1] & 1) {
        inquiry_page(s, s->cdb[2]);
        return;
    }
    if (s->cdb[2] != 0) {
        vm__cd_fail(s, CD_BAD_FIELD);
        return;
    }
    b = vm__cd_buffer(s, 36);
    b[0] = 5;    /* CD or DVD */
    b[1] = 0x80; /* removable */
    b[2] = 5;    /* SPC-3 */
    b[3] = 2;    /* format of this answer */
    b[4] = 36 - 5;
    put_text(b + 8, 8, "LIBVM");
    put_text(b + 16, 16, "CD-ROM");
    put_text(b + 32, 4, s->version);
    vm__cd_reply(s, 36, vm_be16(s->cdb + 3));
}

/* ---- tray --------------------------------------------------------------------------------- */

static void show_tray(struct ide_cd *s)
{
    s->u.drive->tray_open = s->tray_open;
    s->u.drive->tray_locked = s->locked;
}

static void open_tray(struct ide_cd *s)
{
    if (!s->tray_open)
        s->event = CD_EVENT_GONE;
    s->tray_open = 1;
    show_tray(s);
}

static void close_tray(struct ide_cd *s)
{
    s->tray_open = 0;
    if (vm__cd_has_disc(s)) {
        s->event = CD_EVENT_NEW;
        s->attention = CD_NEW_MEDIUM;
    }
    show_tray(s);
}

static void start_stop(struct ide_cd *s)
{
    uint8_t what = s->cdb[4] & (LOAD | LOAD_EJECT);
    if ((s->cdb[4] >> 4) != 0) { /* a power condition: taken note of */
        vm__cd_ok(s);
        return;
    }
    if (what == LOAD_EJECT) {
        if (s->locked) {
            vm__cd_fail(s, CD_LOCKED);
            return;
        }
        open_tray(s);
    } else if (what == (LOAD_EJECT | LOAD) && s->tray_open) {
        close_tray(s);
    }
    vm__cd_ok(s);
}

static void prevent_allow(struct ide_cd *s)
{
    s->locked = s->cdb[4] & 1;
    show_tray(s);
    vm__cd_ok(s);
}

static void on_changed(void *opaque)
{
    struct ide_cd *s = opaque;
    if (vm__drive_has_medium(s->u.drive))
        close_tray(s);
    else if (!s->tray_open)
        s->event = CD_EVENT_GONE;
}

/** The button on the front: a guest that has locked the tray is asked instead. */
static bool on_eject_request(void *opaque, bool force)
{
    struct ide_cd *s = opaque;
    if (s->locked && !force) {
        s->event = CD_EVENT_EJECT;
        return false;
    }
    open_tray(s);
    return true;
}

static const struct vm_drive_ops drive_ops = {
    .changed = on_changed,
    .eject_request = on_eject_request,
};

/* ---- commands that nothing needs to be done for ------------------------------------------- */

static void nothing(struct ide_cd *s)
{
    vm__cd_ok(s);
}

static void no_audio(struct ide_cd *s)
{
    vm__cd_fail(s, CD_WRONG_MODE);
}

enum {
    NEEDS_DISC = 1,
    ALWAYS = 2, /* even while something waits to be told: [MMC-5 §4.1.6] */
};

/* clang-format off */
static const struct {
    uint8_t op, flags;
    void (*run)(struct ide_cd *s);
} commands[] = {
    { 0x00, NEEDS_DISC, test_unit_ready },
    { 0x01, NEEDS_DISC, nothing },                       /* REZERO UNIT, of old */
    { 0x03, ALWAYS, request_sense },
    { 0x12, ALWAYS, inquiry },
    { 0x15, 0, vm__cd_mode_select6 },
    { 0x1a, 0, vm__cd_mode_sense6 },
    { 0x1b, 0, start_stop },
    { 0x1e, 0, prevent_allow },
    { 0x23, 0, vm__cd_read_format_capacities },
    { 0x25, NEEDS_DISC, vm__cd_read_capacity },
    { 0x28, NEEDS_DISC, vm__cd_read10 },
    { 0x2b, NEEDS_DISC, vm__cd_seek },
    { 0x2f, NEEDS_DISC, vm__cd_verify },
    { 0x35, NEEDS_DISC, nothing },                       /* SYNCHRONIZE CACHE */
    { 0x42, NEEDS_DISC, vm__cd_read_subchannel },
    { 0x43, NEEDS_DISC, vm__cd_read_toc },
    { 0x44, NEEDS_DISC, vm__cd_read_header },
    { 0x45, NEEDS_DISC, no_audio },                      /* PLAY AUDIO */
    { 0x46, ALWAYS, vm__cd_get_configuration },
    { 0x47, NEEDS_DISC, no_audio },
    { 0x48, NEEDS_DISC, no_audio },
    { 0x4a, ALWAYS, vm__cd_get_event_status },
    { 0x4b, NEEDS_DISC, no_audio },                      /* PAUSE, RESUME */
    { 0x4e, NEEDS_DISC, nothing },                       /* STOP PLAY */
    { 0x51, NEEDS_DISC, vm__cd_read_disc_information },
    { 0x52, NEEDS_DISC, vm__cd_read_track_information },
    { 0x55, 0, vm__cd_mode_select10 },
    { 0x5a, 0, vm__cd_mode_sense10 },
    { 0xa5, NEEDS_DISC, no_audio },
    { 0xa8, NEEDS_DISC, vm__cd_read12 },
    { 0xac, NEEDS_DISC, vm__cd_get_performance },
    { 0xad, NEEDS_DISC, vm__cd_read_dvd_structure },
    { 0xb9, NEEDS_DISC, vm__cd_read_cd_msf },
    { 0xbb, 0, nothing },                                /* SET CD SPEED */
    { 0xbd, 0, vm__cd_mechanism_status },
    { 0xbe, NEEDS_DISC, vm__cd_read_cd },
};
/* clang-format on */

static void run_packet(struct ide_cd *s)
{
    for (unsigned i = 0; i < VM_COUNT_OF(commands); i++) {
        if (commands[i].op != s->cdb[0])
            continue;
        if (!(commands[i].flags & ALWAYS) && s->attention != CD_GOOD) {
            enum cd_sense sense = (enum cd_sense)s->attention;
            s->attention = CD_GOOD;
            vm__cd_fail(s, sense);
        } else if ((commands[i].flags & NEEDS_DISC) &&
                   (!vm__cd_has_disc(s) || vm__cd_blocks(s) == 0)) {
            vm__cd_fail(s, s->tray_open ? CD_TRAY_OPEN : CD_NO_MEDIUM);
        } else {
            commands[i].run(s);
        }
        return;
    }
    vm__cd_fail(s, CD_BAD_COMMAND);
}

/* ---- packet protocol ---------------------------------------------------------------------- */

/** Byte count limit: even, so that only the last block may be odd. 0 means all there is. */
static uint16_t byte_limit(const struct ide_unit *u)
{
    uint32_t n = (uint32_t)u->now.high << 8 | u->now.mid;
    return (uint16_t)(n == 0 || n > COUNT_MOST ? COUNT_MOST : n < 2 ? 2 : n & ~1u);
}

static void packet(struct ide_cd *s)
{
    struct ide_unit *u = &s->u;
    if (u->now.feature & PACKET_OVERLAP) {
        end(s, IDE_DRDY | IDE_ERR, IDE_ABRT);
        return;
    }
    s->want_dma = (u->now.feature & PACKET_DMA) != 0;
    s->expecting = 1;
    s->limit = byte_limit(u);
    u->block = CD_PACKET;
    vm__ide_receive(u, CD_PACKET);
}

static void on_received(struct ide_unit *u)
{
    struct ide_cd *s = vm__cd_of(u);
    if (!s->expecting) {
        vm__cd_mode_selected(s);
        return;
    }
    s->expecting = 0;
    memcpy(s->cdb, u->buffer, CD_PACKET);
    u->dma = s->want_dma;
    u->block = s->limit;
    u->write = u->to_buffer = 0;
    run_packet(s);
}

static void on_announce(struct ide_unit *u, uint32_t n, bool to_host)
{
    const struct ide_cd *s = vm__cd_of(u);
    u->status = IDE_DRDY | IDE_DRQ;
    if (u->command != PACKET)
        return;
    u->now.count = to_host ? REASON_TO_HOST : s->expecting ? REASON_COMMAND : 0;
    if (!s->expecting) {
        u->now.mid = (uint8_t)n;
        u->now.high = (uint8_t)(n >> 8);
    }
}

static void on_done(struct ide_unit *u)
{
    if (u->command == PACKET)
        vm__cd_ok(vm__cd_of(u));
    else
        vm__ide_end(u, IDE_DRDY, 0, u->step != IDE_DATA_IN); /* IDENTIFY PACKET DEVICE */
}

static void on_failed(struct ide_unit *u, int status)
{
    struct ide_cd *s = vm__cd_of(u);
    vm__dev_log(u->dev, VM_LOG_WARN, VM_LOG_BLK, "packet 0x%02x at sector %llu: %s", s->cdb[0],
                (unsigned long long)(u->at / CD_SECTOR), vm_strerror(status));
    vm__cd_fail(s, vm__cd_has_disc(s) ? CD_READ_ERROR : CD_NO_MEDIUM);
}

/* ---- ATA commands of a packet device ------------------------------------------------------ */

static void word(uint8_t *to, unsigned n, uint32_t v)
{
    vm_put_le16(to + 2 * n, (uint16_t)v);
}

/** [ATA-7 §6.18] */
static void identify(struct ide_cd *s)
{
    struct ide_unit *u = &s->u;
    uint8_t *b = vm__cd_buffer(s, IDE_SECTOR);
    uint32_t mode = s->transfer_mode & 7;

    word(b, 0, 0x85c0); /* CD-ROM, removable, DRQ within 50 us, packets of 12 bytes */
    vm__ide_text(b + 2 * 10, 20, s->serial);
    vm__ide_text(b + 2 * 23, 8, s->version);
    vm__ide_text(b + 2 * 27, 40, s->model);
    word(b, 49, 0x0f00); /* IORDY, LBA, DMA */
    word(b, 50, 0x4000);
    word(b, 51, 0x0200);
    word(b, 53, 0x0006); /* words 64-70 and 88 count */
    word(b, 63, 0x0007 | ((s->transfer_mode & 0xf8) == 0x20 ? 1u << (8 + mode) : 0));
    word(b, 64, 0x0003);
    for (unsigned i = 65; i <= 68; i++)
        word(b, i, 120);
    word(b, 80, 0x00f0);
    word(b, 82, 0x4210); /* NOP, DEVICE RESET, PACKET */
    word(b, 83, 0x4000);
    word(b, 84, 0x4000);
    word(b, 85, 0x4210);
    word(b, 87, 0x4000);
    word(b, 88, 0x003f | ((s->transfer_mode & 0xf8) == 0x40 ? 1u << (8 + mode) : 0));
    word(b, 93, u->number == 0 ? 0x600b : 0x6b00);
    u->block = IDE_SECTOR;
    vm__ide_send(u, IDE_SECTOR);
}

static void signature(struct ide_unit *u)
{
    u->now.count = u->now.low = 1;
    u->now.mid = SIGNATURE_MID;
    u->now.high = SIGNATURE_HIGH;
}

static bool set_features(struct ide_cd *s)
{
    uint8_t mode = s->u.now.count, n = mode & 7;
    switch (s->u.now.feature) {
    case 0x03:
        if ((mode & 0xf8) == 0x00   ? n > 1
            : (mode & 0xf8) == 0x08 ? n > 4
            : (mode & 0xf8) == 0x20 ? n > 2
            : (mode & 0xf8) == 0x40 ? n > 5
                                    : true)
            return false;
        if (mode & 0xf0)
            s->transfer_mode = mode;
        return true;
    case 0x66:
    case 0xcc:
        return true;
    default:
        return false;
    }
}

static void on_command(struct ide_unit *u, uint8_t op)
{
    struct ide_cd *s = vm__cd_of(u);
    bool ok = true;

    s->expecting = 0;
    switch (op) {
    case PACKET:
        packet(s);
        return;
    case 0xa1:
        identify(s);
        return;
    case 0x08: /* DEVICE RESET: no interrupt [ATA-7 §9.10] */
        signature(u);
        vm__ide_end(u, 0, 1, false);
        return;
    case 0x20: /* a disk's commands: this is none, say the registers */
    case 0xec:
        signature(u);
        ok = false;
        break;
    case 0xe5:
        u->now.count = 0xff;
        break;
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3:
    case 0xe6:
        break;
    case 0xef:
        ok = set_features(s);
        break;
    default:
        ok = false;
        break;
    }
    vm__ide_end(u, ok ? IDE_DRDY : IDE_DRDY | IDE_ERR, ok ? 0 : IDE_ABRT, true);
}

static void on_post(struct ide_unit *u)
{
    signature(u);
    u->status = 0; /* not ready for commands but PACKET: [ATA-7 §9.1] */
}

static const struct ide_unit_ops unit_ops = {
    .sector = CD_SECTOR,
    .command = on_command,
    .post = on_post,
    .done = on_done,
    .failed = on_failed,
    .received = on_received,
    .announce = on_announce,
    .expand = vm__cd_expand,
};

/* ---- life --------------------------------------------------------------------------------- */

static int find_drive(struct ide_cd *s, struct vm_dev *dev)
{
    if (s->drive == NULL) {
        s->u.drive = vm__drive_new(dev->m, dev->id, VM_IF_NONE, 0);
        return s->u.drive != NULL ? VM_OK : vm_last_error()->code;
    }
    s->u.drive = vm__drive_find(dev->m, s->drive);
    return s->u.drive != NULL ? VM_OK : vm__fail(VM_E_NOENT, "there is no drive %s", s->drive);
}

static int cd_realize(struct vm_dev *dev)
{
    struct ide_cd *s = vm_dev_state(dev);
    int st = vm__ide_unit_init(&s->u, dev, &unit_ops, s->bus, s->unit);
    if (st == VM_OK)
        st = find_drive(s, dev);
    if (st == VM_OK)
        st = vm__drive_attach(s->u.drive, &drive_ops, s);
    if (st != VM_OK) {
        vm__ide_unit_fini(&s->u);
        return st;
    }
    s->u.drive->removable = true;
    if (s->serial == NULL)
        s->serial = s->u.drive->serial;
    if (s->serial == NULL) {
        memcpy(s->made_serial, "VM00001", 8);
        s->made_serial[6] = (char)('1' + 2 * s->u.channel->number + s->u.number);
        s->serial = s->made_serial;
    }
    return VM_OK;
}

static void cd_unrealize(struct vm_dev *dev)
{
    struct ide_cd *s = vm_dev_state(dev);
    vm__ide_unit_fini(&s->u);
    vm__drive_detach(s->u.drive);
}

/** The tray stays as it is; a lock does not survive. */
static void cd_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct ide_cd *s = vm_dev_state(dev);
    (void)kind;
    vm__ide_stop(&s->u);
    s->u.block = CD_SECTOR;
    s->expecting = s->want_dma = s->locked = 0;
    s->limit = COUNT_MOST;
    s->sense = CD_GOOD;
    s->attention = CD_WAS_RESET;
    s->event = vm__cd_has_disc(s) ? CD_EVENT_NEW : CD_EVENT_NONE;
    s->transfer_mode = 0x45;
    s->raw = 0;
    vm__cd_mode_reset(s);
    on_post(&s->u);
    show_tray(s);
}

static int cd_post_load(struct vm_dev *dev)
{
    struct ide_cd *s = vm_dev_state(dev);
    struct ide_unit *u = &s->u;
    uint32_t parts = CD_SECTOR + (s->raw & 0x80 ? 12u : 0) + (s->raw & 0x20 ? 4u : 0) +
                     (s->raw & 0x08 ? 288u : 0);
    if (s->limit == 0 || (u->out != 0 && u->out != parts))
        return vm__fail(VM_E_CORRUPT, "a packet that cannot be");
    show_tray(s);
    return vm__ide_unit_post_load(u);
}

/* clang-format off */
static const struct vm_prop props[] = {
    { "drive", "id of the drive whose medium this is; none: an empty one", VM_PROP_STR(ide_cd, drive) },
    { "bus", "channel: ide.0 or ide.1; the first with a free place", VM_PROP_STR(ide_cd, bus) },
    { "unit", "0: master, 1: slave; 255: the first free one", VM_PROP_UINT(ide_cd, unit), .value = "255", .max = 255 },
    { "serial", "serial number, 20 characters; the drive's, or made up", VM_PROP_STR(ide_cd, serial) },
    { "model", "model name, 40 characters", VM_PROP_STR(ide_cd, model), .value = "LIBVM CD-ROM" },
    { "ver", "firmware revision, 8 characters", VM_PROP_STR(ide_cd, version), .value = "0.1" },
    { 0 },
};
/* clang-format on */

static const struct vm_field fields[] = {
    VM_FIELD_STRUCT(ide_cd, u, vm__ide_unit_fields, 1),
    VM_FIELD_BYTES(ide_cd, cdb, 1),
    VM_FIELD(ide_cd, expecting, 1),
    VM_FIELD(ide_cd, want_dma, 1),
    VM_FIELD(ide_cd, limit, 1),
    VM_FIELD(ide_cd, sense, 1),
    VM_FIELD(ide_cd, attention, 1),
    VM_FIELD(ide_cd, event, 1),
    VM_FIELD(ide_cd, tray_open, 1),
    VM_FIELD(ide_cd, locked, 1),
    VM_FIELD(ide_cd, raw, 1),
    VM_FIELD(ide_cd, transfer_mode, 1),
    VM_FIELD(ide_cd, error_recovery, 1),
    VM_FIELD(ide_cd, audio_flags, 1),
    { 0 },
};

const struct vm_dev_class vm__atapi_class = {
    .name = "ide-cd",
    .summary = "ATAPI CD-ROM drive",
    .spec = "MMC-5 over ATA/ATAPI-7",
    .bus = VM_BUS_IDE,
    .state_size = sizeof(struct ide_cd),
    .props = props,
    .fields = fields,
    .realize = cd_realize,
    .unrealize = cd_unrealize,
    .reset = cd_reset,
    .post_load = cd_post_load,
};
