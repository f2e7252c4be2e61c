/* SPDX-License-Identifier: MIT */
/**
 * @file fw_cfg.c
 * Firmware configuration device: how SeaBIOS, OVMF and test kernels learn about the machine.
 *
 * Spec: QEMU docs/specs/fw_cfg: selector at port 510h, data at 511h, DMA address at 514h.
 * Modelled: traditional and DMA interfaces, file directory, files that the guest may write.
 */
#include "devices/firmware/fw_cfg.h"

#include <stdlib.h>

#include "core/device.h"

enum {
    MAX_ITEMS = 256,
    CHUNK = 4096, /* bytes a DMA copies at a time */

    ID_TRADITIONAL = 0x1,
    ID_DMA = 0x2,

    DMA_ERROR = 0x01,
    DMA_READ = 0x02,
    DMA_SKIP = 0x04,
    DMA_SELECT = 0x08,
    DMA_WRITE = 0x10,
    DMA_DESCRIPTOR = 16,

    DIR_ENTRY = 64,
};

static const char dma_signature[] = "QEMU CFG";

struct fw_item {
    uint16_t key;
    bool writable;
    uint32_t len;
    uint8_t *data;
    char name[FW_CFG_MAX_NAME]; /**< "": not a file */
};

struct fw_cfg {
    uint16_t key;      /**< selected */
    uint32_t offset;   /**< next byte of it */
    uint32_t dma_high; /**< upper half of the descriptor's address */
    uint32_t n_items;
    struct fw_item items[MAX_ITEMS];
};

/* ---- items -------------------------------------------------------------------------------- */

static struct fw_item *find_key(struct fw_cfg *s, uint16_t key)
{
    for (uint32_t i = 0; i < s->n_items; i++)
        if (s->items[i].key == key)
            return &s->items[i];
    return NULL;
}

static struct fw_item *find_name(struct fw_cfg *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_items; i++)
        if (s->items[i].name[0] != '\0' && strcmp(s->items[i].name, name) == 0)
            return &s->items[i];
    return NULL;
}

static int set_content(struct fw_item *item, const void *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    if (copy == NULL)
        return vm__fail_nomem(len);
    if (len > 0)
        memcpy(copy, data, len);
    free(item->data);
    item->data = copy;
    item->len = (uint32_t)len;
    return VM_OK;
}

static int put_item(struct fw_cfg *s, struct fw_item *old, uint16_t key, const void *data,
                    size_t len, struct fw_item **out)
{
    struct fw_item fresh = { .key = key };
    struct fw_item *item = old != NULL ? old : &fresh;

    if (len > UINT32_MAX)
        return vm__fail(VM_E_RANGE, "fw_cfg item of %zu bytes is above 4 GiB", len);
    if (old == NULL && s->n_items == MAX_ITEMS)
        return vm__fail(VM_E_RANGE, "more than %d fw_cfg items", MAX_ITEMS);
    int st = set_content(item, data, len);
    if (st == VM_OK && old == NULL) {
        s->items[s->n_items] = fresh;
        item = &s->items[s->n_items++];
    }
    *out = item;
    return st;
}

int vm__fw_cfg_add(struct vm_dev *dev, uint16_t key, const void *data, size_t len)
{
    struct fw_cfg *s = vm_dev_state(dev);
    struct fw_item *item;
    return put_item(s, find_key(s, key), key, data, len, &item);
}

int vm__fw_cfg_add_u16(struct vm_dev *dev, uint16_t key, uint16_t value)
{
    uint8_t bytes[2];
    vm_put_le16(bytes, value);
    return vm__fw_cfg_add(dev, key, bytes, sizeof bytes);
}

int vm__fw_cfg_add_u32(struct vm_dev *dev, uint16_t key, uint32_t value)
{
    uint8_t bytes[4];
    vm_put_le32(bytes, value);
    return vm__fw_cfg_add(dev, key, bytes, sizeof bytes);
}

int vm__fw_cfg_add_u64(struct vm_dev *dev, uint16_t key, uint64_t value)
{
    uint8_t bytes[8];
    vm_put_le64(bytes, value);
    return vm__fw_cfg_add(dev, key, bytes, sizeof bytes);
}

static uint32_t count_files(const struct fw_cfg *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_items; i++)
        n += s->items[i].name[0] != '\0';
    return n;
}

/** The directory: big-endian count, then size, key, reserved, name of each file. */
static int update_directory(struct vm_dev *dev)
{
    const struct fw_cfg *s = vm_dev_state(dev);
    uint32_t files = count_files(s);
    uint8_t *dir = calloc(1, 4 + (size_t)files * DIR_ENTRY), *at = dir;

    if (dir == NULL)
        return vm__fail_nomem(4 + (uint64_t)files * DIR_ENTRY);
    vm_put_be32(at, files);
    at += 4;
    for (uint32_t i = 0; i < s->n_items; i++) {
        const struct fw_item *item = &s->items[i];
        if (item->name[0] == '\0')
            continue;
        vm_put_be32(at, item->len);
        vm_put_be16(at + 4, item->key);
        memcpy(at + 8, item->name, FW_CFG_MAX_NAME);
        at += DIR_ENTRY;
    }
    int st = vm__fw_cfg_add(dev, FW_CFG_FILE_DIR, dir, (size_t)(at - dir));
    free(dir);
    return st;
}

static int add_file(struct vm_dev *dev, const char *name, const void *data, size_t len,
                    bool writable)
{
    struct fw_cfg *s = vm_dev_state(dev);
    size_t n = strlen(name);
    struct fw_item *item;

    if (n == 0 || n >= FW_CFG_MAX_NAME)
        return vm__fail(VM_E_INVAL, "fw_cfg file name of %zu characters, 1 to %d are allowed", n,
                        FW_CFG_MAX_NAME - 1);
    uint16_t key = (uint16_t)(FW_CFG_FILE_FIRST + count_files(s));
    int st = put_item(s, find_name(s, name), key, data, len, &item);
    if (st != VM_OK)
        return st;
    memcpy(item->name, name, n + 1);
    item->writable = writable;
    return update_directory(dev);
}

int vm__fw_cfg_add_file(struct vm_dev *dev, const char *name, const void *data, size_t len)
{
    return add_file(dev, name, data, len, false);
}

int vm__fw_cfg_add_writable(struct vm_dev *dev, const char *name, const void *data, size_t len)
{
    return add_file(dev, name, data, len, true);
}

const void *vm__fw_cfg_file(struct vm_dev *dev, const char *name, size_t *len)
{
    const struct fw_item *item = find_name(vm_dev_state(dev), name);
    if (item == NULL)
        return NULL;
    *len = item->len;
    return item->data;
}

/* ---- the guest's side --------------------------------------------------------------------- */

static void select_key(struct fw_cfg *s, uint16_t key)
{
    s->key = key;
    s->offset = 0;
}

static uint32_t left(const struct fw_cfg *s, const struct fw_item *item)
{
    return item != NULL && s->offset < item->len ? item->len - s->offset : 0;
}

/** Reading past the end, or an item that is not there, gives zeroes. */
static uint64_t cfg_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct fw_cfg *s = vm_dev_state(dev);
    const struct fw_item *item = find_key(s, s->key);
    (void)size;
    if (off == 0 || left(s, item) == 0)
        return 0;
    return item->data[s->offset++];
}

static void cfg_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    if (off == 0 && size == 2)
        select_key(vm_dev_state(dev), (uint16_t)v);
}

static void advance(struct fw_cfg *s, uint32_t n)
{
    s->offset = n > UINT32_MAX - s->offset ? UINT32_MAX : s->offset + n;
}

/** To memory, with zeroes after the end; ends at the first byte that no memory takes. */
static int dma_read(struct vm_dev *dev, uint64_t gpa, uint32_t len)
{
    static const uint8_t zeroes[CHUNK];
    struct fw_cfg *s = vm_dev_state(dev);
    const struct fw_item *item = find_key(s, s->key);
    int st = VM_OK;

    while (len > 0 && st == VM_OK) {
        uint32_t have = left(s, item);
        uint32_t n = (uint32_t)vm_min_u64(len, have ? have : CHUNK);
        st = vm__dma_write(dev, gpa, have ? &item->data[s->offset] : zeroes, n);
        advance(s, n);
        gpa += n;
        len -= n;
    }
    return st;
}

static int dma_write(struct vm_dev *dev, uint64_t gpa, uint32_t len)
{
    struct fw_cfg *s = vm_dev_state(dev);
    struct fw_item *item = find_key(s, s->key);

    if (item == NULL || !item->writable || len > left(s, item))
        return VM_E_RANGE;
    int st = vm__dma_read(dev, gpa, &item->data[s->offset], len);
    advance(s, len);
    return st;
}

/** Carry out the descriptor at @p gpa and write its verdict back. */
static void dma(struct vm_dev *dev, uint64_t gpa)
{
    struct fw_cfg *s = vm_dev_state(dev);
    uint8_t d[DMA_DESCRIPTOR], verdict[4] = { 0 };
    int st = VM_OK;

    if (vm__dma_read(dev, gpa, d, sizeof d) != VM_OK)
        return;
    uint32_t control = vm_be32(d), len = vm_be32(d + 4);
    uint64_t address = vm_be64(d + 8);
    if (control & DMA_SELECT)
        select_key(s, (uint16_t)(control >> 16));
    if (control & DMA_READ)
        st = dma_read(dev, address, len);
    else if (control & DMA_WRITE)
        st = dma_write(dev, address, len);
    else if (control & DMA_SKIP)
        advance(s, len);
    vm_put_be32(verdict, st == VM_OK ? 0 : DMA_ERROR);
    (void)vm__dma_write(dev, gpa, verdict, sizeof verdict);
}

/** Registers are big-endian: two halves of an address; the lower one starts the transfer. */
static uint64_t dma_port_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    (void)dev;
    return vm_le_n(&dma_signature[off], off + size <= 8 ? size : 1);
}

static void dma_port_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct fw_cfg *s = vm_dev_state(dev);
    uint32_t value = __builtin_bswap32((uint32_t)v);

    if (size != 4)
        return;
    if (off == 0) {
        s->dma_high = value;
    } else if (off == 4) {
        uint64_t gpa = (uint64_t)s->dma_high << 32 | value;
        s->dma_high = 0;
        dma(dev, gpa);
    }
}

/* ---- life --------------------------------------------------------------------------------- */

static void cfg_unrealize(struct vm_dev *dev)
{
    struct fw_cfg *s = vm_dev_state(dev);
    for (uint32_t i = 0; i < s->n_items; i++)
        free(s->items[i].data);
    s->n_items = 0;
}

static int cfg_realize(struct vm_dev *dev)
{
    int st = vm__fw_cfg_add(dev, FW_CFG_SIGNATURE, "QEMU", 4);
    if (st == VM_OK)
        st = vm__fw_cfg_add_u32(dev, FW_CFG_ID, ID_TRADITIONAL | ID_DMA);
    if (st == VM_OK)
        st = update_directory(dev);
    if (st == VM_OK)
        st = vm__dev_map(dev, 0, 0x510);
    if (st == VM_OK)
        st = vm__dev_map(dev, 1, 0x514);
    if (st != VM_OK)
        cfg_unrealize(dev);
    return st;
}

static void cfg_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct fw_cfg *s = vm_dev_state(dev);
    (void)kind;
    select_key(s, FW_CFG_SIGNATURE);
    s->dma_high = 0;
}

static const struct vm_window windows[] = {
    { "cfg", VM_SPACE_PORT, 2, 1, 2, .read = cfg_read, .write = cfg_write },
    { "dma", VM_SPACE_PORT, 8, 1, 4, .read = dma_port_read, .write = dma_port_write },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_FIELD(fw_cfg, key, 1),
    VM_FIELD(fw_cfg, offset, 1),
    VM_FIELD(fw_cfg, dma_high, 1),
    { 0 },
};

const struct vm_dev_class vm__fw_cfg_class = {
    .name = "fw_cfg",
    .summary = "firmware configuration",
    .spec = "QEMU fw_cfg",
    .state_size = sizeof(struct fw_cfg),
    .windows = windows,
    .fields = fields,
    .realize = cfg_realize,
    .unrealize = cfg_unrealize,
    .reset = cfg_reset,
};
