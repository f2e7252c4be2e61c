/* SPDX-License-Identifier: MIT */
/**
 * @file fs_fat.c
 * FAT12, FAT16 and FAT32 with long names; read only.
 *
 * Spec: [FAT] §3 (the boot sector), §4 (the table), §6 and §7 (folders, long names). Everything
 * read is hostile: a chain is followed for as many clusters as there are, a folder for MAX_FOLDER
 * bytes.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "fs.h"

enum {
    ENTRY = 32,
    MAX_FOLDER = 65536 * ENTRY,
    LONG_UNITS = 13, /* UTF-16 in one entry of a long name */
    MAX_LONG = 20,   /* entries of a long name */
    ATTR_LABEL = 0x08,
    ATTR_FOLDER = 0x10,
    ATTR_LONG = 0x0f,
    DELETED = 0xe5,
};

struct fat {
    vm_blk *blk;
    unsigned bits; /* 12, 16, 32 */
    uint64_t table, data, root_off;
    uint32_t cluster, clusters, root_bytes, root_cluster;
    uint8_t cached[4096]; /* of the table */
    uint64_t cached_at;   /* UINT64_MAX: nothing */
};

/* One name as it stands in a folder. */
struct found {
    char name[MAX_LONG * LONG_UNITS * 3 + 1];
    uint32_t first, size;
    bool folder;
    int64_t mtime;
};

static unsigned u16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static uint32_t u32(const uint8_t *p)
{
    return u16(p) | (uint32_t)u16(p + 2) << 16;
}

/* ---- the boot sector -------------------------------------------------------------------- */

static bool power_of_two(unsigned n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static bool understand(vm_blk *blk, struct fat *f)
{
    uint8_t b[512];
    const int64_t bytes = vm_blk_size(blk);
    if (bytes < (int64_t)sizeof b || vm_blk_read(blk, 0, b, sizeof b) != VM_OK)
        return false;
    const unsigned sector = u16(b + 11), per = b[13], reserved = u16(b + 14), copies = b[16];
    const unsigned root = u16(b + 17);
    const uint64_t sectors = u16(b + 19) != 0 ? u16(b + 19) : u32(b + 32);
    const uint64_t table = u16(b + 22) != 0 ? u16(b + 22) : u32(b + 36);
    if (b[510] != 0x55 || b[511] != 0xaa || (b[0] != 0xeb && b[0] != 0xe9) ||
        !power_of_two(sector) || sector < 512 || sector > 4096 || !power_of_two(per) ||
        reserved == 0 || copies == 0 || copies > 4 || table == 0)
        return false;
    const uint64_t root_sectors = ((uint64_t)root * ENTRY + sector - 1) / sector;
    const uint64_t before = reserved + copies * table + root_sectors;
    if (before >= sectors || (sectors - before) / per > 0x0ffffff5)
        return false;
    *f = (struct fat) { .blk = blk, .cached_at = UINT64_MAX };
    f->clusters = (uint32_t)((sectors - before) / per);
    f->bits = f->clusters < 4085 ? 12 : f->clusters < 65525 ? 16 : 32; /* [FAT §3.5] */
    f->table = (uint64_t)reserved * sector;
    f->root_off = (reserved + copies * table) * sector;
    f->root_bytes = root * ENTRY;
    f->data = before * sector;
    f->cluster = per * sector;
    f->root_cluster = f->bits == 32 ? u32(b + 44) : 0;
    /* The table must have room for all of them. */
    return table * sector >= ((uint64_t)f->clusters + 2) * f->bits / 8 &&
           (f->bits == 32) == (root == 0);
}

static bool fat_probe(vm_blk *blk)
{
    struct fat f;
    return understand(blk, &f);
}

static int fat_open(struct fs *fs)
{
    struct fat *f = malloc(sizeof *f);
    if (f == NULL || !understand(fs->blk, f)) {
        free(f);
        return say("the FAT file system makes no sense");
    }
    fs->state = f;
    return 0;
}

static int fat_close(struct fs *fs)
{
    free(fs->state);
    return 0;
}

/* ---- chains ----------------------------------------------------------------------------- */

static bool table_byte(struct fat *f, uint64_t at, uint8_t *byte)
{
    const uint64_t start = at & ~(uint64_t)(sizeof f->cached - 1);
    if (f->cached_at != start) {
        const uint64_t size = (uint64_t)vm_blk_size(f->blk);
        if (start >= size)
            return false;
        const size_t len = size - start < sizeof f->cached ? size - start : sizeof f->cached;
        memset(f->cached, 0, sizeof f->cached);
        f->cached_at = UINT64_MAX;
        if (vm_blk_read(f->blk, start, f->cached, len) != VM_OK)
            return false;
        f->cached_at = start;
    }
    *byte = f->cached[at - start];
    return true;
}

/* The cluster after @p n; 0: it is the last, or no good. */
static uint32_t next_of(struct fat *f, uint32_t n)
{
    uint8_t b[4] = { 0 };
    const uint64_t at = f->table + (f->bits == 12 ? n + n / 2 : (uint64_t)n * (f->bits / 8));
    for (unsigned i = 0; i < (f->bits == 32 ? 4 : 2); i++)
        if (!table_byte(f, at + i, &b[i]))
            return 0;
    uint32_t v = u32(b);
    if (f->bits == 12)
        v = n & 1 ? v >> 4 & 0xfff : v & 0xfff;
    else if (f->bits == 32)
        v &= 0x0fffffff;
    return v >= 2 && v - 2 < f->clusters ? v : 0;
}

static bool good(const struct fat *f, uint32_t n)
{
    return n >= 2 && n - 2 < f->clusters;
}

/* Each cluster of a chain is given to @p fn with at most @p left bytes in all. */
static int each_cluster(struct fat *f, uint32_t n, uint64_t left, fs_sink fn, void *ud, bool exact)
{
    uint8_t *buf = malloc(f->cluster);
    int st = buf != NULL ? 0 : say("no memory");
    for (uint32_t i = 0; st == 0 && left != 0 && good(f, n) && i < f->clusters; i++) {
        const size_t part = left < f->cluster ? (size_t)left : f->cluster;
        if (vm_blk_read(f->blk, f->data + (uint64_t)(n - 2) * f->cluster, buf, part) != VM_OK)
            st = say_last("%s", "");
        else
            st = fn(ud, buf, part);
        left -= part;
        n = next_of(f, n);
        still_alive();
    }
    free(buf);
    return st == 0 && left != 0 && exact ? say("the file's chain of clusters ends too early") : st;
}

/* ---- folders ---------------------------------------------------------------------------- */

struct folder {
    uint8_t *bytes;
    size_t len;
};

static int add_bytes(void *ud, const void *buf, size_t len)
{
    struct folder *d = ud;
    uint8_t *more = realloc(d->bytes, d->len + len);
    if (more == NULL)
        return say("no memory");
    memcpy(more + d->len, buf, len);
    d->bytes = more;
    d->len += len;
    return 0;
}

/* @p first 0: the root. */
static int load(struct fat *f, uint32_t first, struct folder *d)
{
    *d = (struct folder) { 0 };
    if (first == 0 && f->bits == 32)
        first = f->root_cluster;
    if (first != 0)
        return each_cluster(f, first, MAX_FOLDER, add_bytes, d, false);
    d->bytes = malloc(f->root_bytes);
    d->len = f->root_bytes;
    if (d->bytes == NULL || vm_blk_read(f->blk, f->root_off, d->bytes, d->len) != VM_OK)
        return say_last("%s", "");
    return 0;
}

static void put_utf8(char **to, uint32_t c)
{
    char *p = *to;
    if (c == '/' || c < 0x20)
        c = '_';
    if (c < 0x80) {
        *p++ = (char)c;
    } else if (c < 0x800) {
        *p++ = (char)(0xc0 | c >> 6);
        *p++ = (char)(0x80 | (c & 0x3f));
    } else {
        *p++ = (char)(0xe0 | c >> 12);
        *p++ = (char)(0x80 | (c >> 6 & 0x3f));
        *p++ = (char)(0x80 | (c & 0x3f));
    }
    *to = p;
}

/* Pieces of a long name come before the entry they name, the last one first. */
struct long_name {
    uint16_t units[MAX_LONG * LONG_UNITS];
    unsigned wanted; /* number of the next piece; 0: complete */
    uint8_t sum;
    bool valid;
};

static void take_long(struct long_name *l, const uint8_t *e)
{
    static const uint8_t places[LONG_UNITS] = { 1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30 };
    const unsigned n = e[0] & 0x1f;
    if (e[0] & 0x40) {
        memset(l, 0, sizeof *l);
        l->wanted = n;
        l->sum = e[13];
        l->valid = n >= 1 && n <= MAX_LONG;
    }
    if (!l->valid || n != l->wanted || n == 0 || e[13] != l->sum) {
        l->valid = false;
        return;
    }
    for (unsigned i = 0; i < LONG_UNITS; i++)
        l->units[(n - 1) * LONG_UNITS + i] = (uint16_t)u16(e + places[i]);
    l->wanted--;
}

static bool belongs(const struct long_name *l, const uint8_t *e)
{
    uint8_t sum = 0; /* [FAT §7.2] */
    for (int i = 0; i < 11; i++)
        sum = (uint8_t)((sum >> 1 | sum << 7) + e[i]);
    return l->valid && l->wanted == 0 && l->sum == sum;
}

static void long_text(const struct long_name *l, char *to)
{
    for (unsigned i = 0; i < MAX_LONG * LONG_UNITS && l->units[i] != 0 && l->units[i] != 0xffff;
         i++)
        put_utf8(&to, l->units[i]); /* surrogates one by one: readable enough */
    *to = '\0';
}

static void short_text(const uint8_t *e, char *to)
{
    for (int i = 0; i < 11; i++) {
        const unsigned lower = i < 8 ? e[12] & 0x08 : e[12] & 0x10; /* as Windows NT keeps it */
        unsigned c = i == 0 && e[0] == 0x05 ? DELETED : e[i];
        if (i == 8 && c != ' ')
            *to++ = '.';
        if (c == ' ')
            continue;
        if (lower && c >= 'A' && c <= 'Z')
            c += 'a' - 'A';
        put_utf8(&to, c < 0x80 ? c : '_');
    }
    *to = '\0';
}

static int64_t time_of(unsigned date, unsigned clock)
{
    struct tm t = { .tm_year = (int)(date >> 9) + 80,
                    .tm_mon = (int)(date >> 5 & 15) - 1,
                    .tm_mday = (int)(date & 31),
                    .tm_hour = (int)(clock >> 11),
                    .tm_min = (int)(clock >> 5 & 63),
                    .tm_sec = (int)(clock & 31) * 2 };
    return timegm(&t);
}

/* The next name from *@p at on. False: no more. */
static bool next_name(const struct fat *f, const struct folder *d, size_t *at, struct found *out)
{
    struct long_name l = { .valid = false };
    for (; *at + ENTRY <= d->len; *at += ENTRY) {
        const uint8_t *e = d->bytes + *at;
        if (e[0] == 0)
            return false;
        if (e[0] == DELETED) {
            l.valid = false;
        } else if ((e[11] & 0x3f) == ATTR_LONG) {
            take_long(&l, e);
        } else if (e[11] & ATTR_LABEL || e[0] == '.') {
            l.valid = false;
        } else {
            if (belongs(&l, e))
                long_text(&l, out->name);
            else
                short_text(e, out->name);
            out->first = u16(e + 26) | (f->bits == 32 ? (uint32_t)u16(e + 20) << 16 : 0);
            out->size = u32(e + 28);
            out->folder = e[11] & ATTR_FOLDER;
            out->mtime = time_of(u16(e + 24), u16(e + 22));
            *at += ENTRY;
            if (out->name[0] != '\0')
                return true;
            *at -= ENTRY;
        }
    }
    return false;
}

/* "" is the root: a folder whose first cluster is 0. */
static int walk(struct fat *f, const char *path, struct found *out)
{
    *out = (struct found) { .folder = true };
    while (*path == '/') {
        char part[1024];
        const size_t len = strcspn(path + 1, "/");
        struct folder d;
        size_t at = 0;
        snprintf(part, sizeof part, "%.*s", (int)(len < 1000 ? len : 1000), path + 1);
        if (!out->folder)
            return say("%s is not a folder", out->name);
        int st = load(f, out->first, &d);
        bool is = false;
        while (st == 0 && !is && next_name(f, &d, &at, out))
            is = strcasecmp(out->name, part) == 0;
        free(d.bytes);
        if (st != 0)
            return st;
        if (!is)
            return say("%s: No such file or directory", part);
        path += 1 + len;
    }
    return 0;
}

static struct fs_entry entry_of(const struct found *x)
{
    return (struct fs_entry) { .name = x->name,
                               .mode = x->folder ? S_IFDIR | 0755 : S_IFREG | 0644,
                               .size = x->folder ? 0 : x->size,
                               .mtime = x->mtime };
}

static int fat_stat(struct fs *fs, const char *path, struct fs_entry *e)
{
    struct found x;
    if (walk(fs->state, path, &x) != 0)
        return 1;
    *e = entry_of(&x);
    e->name = NULL;
    return 0;
}

static int fat_list(struct fs *fs, const char *path, fs_list_fn fn, void *ud)
{
    struct found x;
    struct folder d;
    size_t at = 0;
    if (walk(fs->state, path, &x) != 0)
        return 1;
    if (!x.folder)
        return say("%s is not a folder", x.name);
    int st = load(fs->state, x.first, &d);
    while (st == 0 && next_name(fs->state, &d, &at, &x)) {
        const struct fs_entry e = entry_of(&x);
        st = fn(ud, &e);
    }
    free(d.bytes);
    return st;
}

static int fat_read(struct fs *fs, const char *path, fs_sink sink, void *ud)
{
    struct found x;
    if (walk(fs->state, path, &x) != 0)
        return 1;
    if (x.folder)
        return say("%s is a folder", *path != '\0' ? path : "/");
    return each_cluster(fs->state, x.first, x.size, sink, ud, true);
}

const struct fs_kind fs_fat = {
    .name = "FAT",
    .probe = fat_probe,
    .open = fat_open,
    .close = fat_close,
    .stat = fat_stat,
    .list = fat_list,
    .read = fat_read,
};
