/* SPDX-License-Identifier: MIT */
/**
 * @file vhdx_log.c
 * The log of a VHDX file: changes of its structures that a writer had promised and may not have
 * made.
 *
 * Spec: [MS-VHDX §2.3]. A ring of entries, each a header, descriptors, and sectors of data whose
 * first eight and last four bytes are kept in the descriptor. The entries to carry out are the
 * sequence with the highest numbers that begins at the tail its last entry names.
 *
 * This driver leaves the log empty: what it changes in the block allocation table are whole entries
 * of eight bytes, written after what they point at is safe (bmap.h), and any of them alone is
 * valid.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "blockfmt/vhdx.h"

enum {
    SECTOR = 4096,
    ENTRY_HEADER = 64,
    DESCRIPTOR = 32,
    MAX_LOG = 64 << 20,
    LENGTH_AT = 8,
    TAIL_AT = 12,
    SEQUENCE_AT = 16,
    COUNT_AT = 24,
    GUID_AT = 32,
    FLUSHED_AT = 48,
};

struct log {
    struct vm_blk *n;
    uint8_t *ring;
    uint32_t len;
    uint64_t budget; /**< bytes that may still be checksummed: a hostile ring overlaps itself */
};

bool vhdx_log_dirty(const struct vhdx *s)
{
    static const uint8_t none[VHDX_GUID];
    return memcmp(s->header + VHDX_LOG_GUID_AT, none, VHDX_GUID) != 0;
}

/** The entry at @p at, in one piece and malloc'd, if it is a whole and valid one. */
static uint8_t *get_entry(struct log *l, uint32_t at)
{
    const uint8_t *h = l->ring + at;
    uint32_t len = vm_le32(h + LENGTH_AT);
    if (memcmp(h, "loge", 4) != 0 || len == 0 || len % SECTOR != 0 || len > l->len ||
        memcmp(h + GUID_AT, vhdx_of(l->n)->header + VHDX_LOG_GUID_AT, VHDX_GUID) != 0 ||
        vm_le64(h + SEQUENCE_AT) == 0 || vm_le32(h + TAIL_AT) % SECTOR != 0 ||
        vm_le32(h + TAIL_AT) >= l->len || len > l->budget)
        return NULL;
    l->budget -= len;
    uint8_t *e = malloc(len);
    if (e == NULL)
        return NULL;
    uint32_t first = l->len - at < len ? l->len - at : len;
    memcpy(e, l->ring + at, first);
    memcpy(e + first, l->ring, len - first);
    if (vm_le32(e + 4) == vhdx_crc(e, len, 4))
        return e;
    free(e);
    return NULL;
}

/** Follow valid entries from @p at; *last is the last one's number, *tail what it names. */
static uint32_t follow(struct log *l, uint32_t at, uint64_t *last, uint32_t *tail)
{
    uint32_t count = 0, gone = 0;
    while (gone < l->len) {
        uint8_t *e = get_entry(l, at);
        if (e == NULL)
            break;
        uint64_t seq = vm_le64(e + SEQUENCE_AT);
        uint32_t len = vm_le32(e + LENGTH_AT), t = vm_le32(e + TAIL_AT);
        free(e);
        if (count != 0 && seq != *last + 1)
            break;
        *last = seq;
        *tail = t;
        count++;
        gone += len;
        at = (at + len) % l->len;
    }
    return count;
}

/** The start and number of entries to carry out. False: there are none. */
static bool find_sequence(struct log *l, uint32_t *start, uint32_t *count)
{
    uint64_t best = 0;
    for (uint32_t at = 0; at < l->len; at += SECTOR) {
        uint64_t last = 0;
        uint32_t tail = 0;
        uint32_t n = follow(l, at, &last, &tail);
        if (n != 0 && tail == at && last > best) {
            best = last;
            *start = at;
            *count = n;
        }
    }
    return best != 0;
}

static int apply_zero(struct log *l, const uint8_t *d)
{
    uint64_t len = vm_le64(d + 8), off = vm_le64(d + 16), end;
    if (len % SECTOR != 0 || off % SECTOR != 0 || !vm_add_u64(off, len, &end) ||
        end > vm__blk_size(l->n->file))
        return vm__fail(VM_E_CORRUPT, "A log entry clears what lies outside of the file");
    return len != 0 ? vm__blk_zero(l->n->file, off, len, 0) : VM_OK;
}

static int apply_data(struct log *l, const uint8_t *d, const uint8_t *sector, uint64_t seq)
{
    uint8_t out[SECTOR];
    uint64_t off = vm_le64(d + 16);
    if (off % SECTOR != 0 || off > VM_BLK_MAX_SIZE - SECTOR)
        return vm__fail(VM_E_CORRUPT, "A log entry writes to 0x%llx", (unsigned long long)off);
    if (memcmp(sector, "data", 4) != 0 || vm_le32(sector + 4) != (uint32_t)(seq >> 32) ||
        vm_le32(sector + SECTOR - 4) != (uint32_t)seq)
        return vm__fail(VM_E_CORRUPT, "A sector of the log does not belong to its entry");
    memcpy(out, d + 8, 8);
    memcpy(out + 8, sector + 8, SECTOR - 12);
    memcpy(out + SECTOR - 4, d + 4, 4);
    return vm__blk_write(l->n->file, off, out, SECTOR);
}

static int apply_entry(struct log *l, const uint8_t *e)
{
    uint32_t count = vm_le32(e + COUNT_AT), len = vm_le32(e + LENGTH_AT);
    uint64_t seq = vm_le64(e + SEQUENCE_AT), flushed = vm_le64(e + FLUSHED_AT);
    uint64_t head = (ENTRY_HEADER + (uint64_t)count * DESCRIPTOR + SECTOR - 1) / SECTOR * SECTOR;
    uint64_t data = head;
    int st = VM_OK;
    if (head > len)
        return vm__fail(VM_E_CORRUPT, "A log entry of %u descriptors", count);
    if (flushed > vm__blk_size(l->n->file))
        return vm__fail(VM_E_CORRUPT, "The file is shorter than when the log was written");
    for (uint32_t i = 0; st == VM_OK && i < count; i++) {
        const uint8_t *d = e + ENTRY_HEADER + (size_t)i * DESCRIPTOR;
        if (vm_le64(d + 24) != seq)
            return vm__fail(VM_E_CORRUPT, "A descriptor of the log does not belong to its entry");
        if (memcmp(d, "zero", 4) == 0) {
            st = apply_zero(l, d);
        } else if (memcmp(d, "desc", 4) == 0 && data + SECTOR <= len) {
            st = apply_data(l, d, e + data, seq);
            data += SECTOR;
        } else {
            st = vm__fail(VM_E_CORRUPT, "A descriptor of the log is malformed");
        }
    }
    return st;
}

static int replay(struct log *l)
{
    uint32_t at = 0, count = 0;
    int st = VM_OK;
    if (!find_sequence(l, &at, &count))
        return VM_OK; /* nothing valid was left: [MS-VHDX §2.3.3] the file is as it should be */
    l->budget = l->len;
    for (uint32_t i = 0; st == VM_OK && i < count; i++) {
        uint8_t *e = get_entry(l, at);
        if (e == NULL)
            return vm__fail(VM_E_CORRUPT, "The log changed while it was read");
        at = (at + vm_le32(e + LENGTH_AT)) % l->len;
        st = apply_entry(l, e);
        free(e);
    }
    return st == VM_OK ? vm__blk_flush(l->n->file, 0) : st;
}

int vhdx_log_replay(struct vm_blk *n)
{
    struct vhdx *s = vhdx_of(n);
    struct log l = { .n = n, .len = vm_le32(s->header + VHDX_LOG_LENGTH_AT) };
    uint64_t off = vm_le64(s->header + VHDX_LOG_OFFSET_AT);
    if (vm_le16(s->header + VHDX_LOG_VERSION_AT) != 0)
        return vm__fail(VM_E_NOTSUP, "The log is of an unknown version");
    if (off < VHDX_MIB || off % VHDX_MIB != 0 || l.len == 0 || l.len % VHDX_MIB != 0 ||
        !vm_in_range(off, l.len, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "The log lies outside of the file");
    if (l.len > MAX_LOG)
        return vm__fail(VM_E_NOTSUP, "A log of %u bytes is larger than the %d supported", l.len,
                        MAX_LOG);
    l.budget = 8 * (uint64_t)l.len;
    l.ring = malloc(l.len);
    if (l.ring == NULL)
        return vm__fail_nomem(l.len);
    int st = vm__blk_read(n->file, off, l.ring, l.len);
    if (st == VM_OK)
        st = replay(&l);
    free(l.ring);
    if (st != VM_OK)
        return st;
    memset(s->header + VHDX_LOG_GUID_AT, 0, VHDX_GUID);
    return vhdx_write_header(n);
}
