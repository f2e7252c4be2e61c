/* SPDX-License-Identifier: MIT */
/**
 * @file fs_iso.c
 * ISO 9660 with Rock Ridge and Joliet, by libarchive, which goes through all there is in order.
 */
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs.h"

enum { BUFFER = 64 << 10, MAX_LINKS = 16 };

/* One pass through the disc. */
struct pass {
    struct archive *a;
    vm_blk *blk;
    uint64_t at;
    uint8_t buf[BUFFER];
};

static bool iso_probe(vm_blk *blk)
{
    char mark[5];
    return vm_blk_read(blk, 0x8001, mark, sizeof mark) == VM_OK && memcmp(mark, "CD001", 5) == 0;
}

static int iso_open(struct fs *fs)
{
    (void)fs;
    return 0;
}

static int iso_close(struct fs *fs)
{
    (void)fs;
    return 0;
}

static la_ssize_t give(struct archive *a, void *ud, const void **buf)
{
    struct pass *p = ud;
    const uint64_t size = (uint64_t)vm_blk_size(p->blk);
    const size_t len = p->at >= size ? 0 : size - p->at < BUFFER ? size - p->at : BUFFER;
    *buf = p->buf;
    if (len != 0 && vm_blk_read(p->blk, p->at, p->buf, len) != VM_OK) {
        archive_set_error(a, 5, "%s", last());
        return ARCHIVE_FATAL;
    }
    p->at += len;
    return (la_ssize_t)len;
}

static la_int64_t seek_to(struct archive *a, void *ud, la_int64_t off, int whence)
{
    struct pass *p = ud;
    const int64_t size = vm_blk_size(p->blk);
    const int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? (int64_t)p->at : size;
    if (off < -base || off > size - base) {
        archive_set_error(a, 22, "beyond the disc");
        return ARCHIVE_FATAL;
    }
    p->at = (uint64_t)(base + off);
    return (la_int64_t)p->at;
}

static la_int64_t skip(struct archive *a, void *ud, la_int64_t n)
{
    struct pass *p = ud;
    const int64_t left = vm_blk_size(p->blk) - (int64_t)p->at;
    (void)a;
    n = n < 0 ? 0 : n < left ? n : left;
    p->at += (uint64_t)n;
    return n;
}

static struct pass *begin(struct fs *fs)
{
    struct pass *p = calloc(1, sizeof *p);
    if (p == NULL || (p->a = archive_read_new()) == NULL) {
        free(p);
        say("no memory");
        return NULL;
    }
    p->blk = fs->blk;
    archive_read_support_format_iso9660(p->a);
    archive_read_set_read_callback(p->a, give);
    archive_read_set_seek_callback(p->a, seek_to);
    archive_read_set_skip_callback(p->a, skip);
    archive_read_set_callback_data(p->a, p);
    if (archive_read_open1(p->a) == ARCHIVE_OK)
        return p;
    say("ISO 9660: %s", archive_error_string(p->a));
    archive_read_free(p->a);
    free(p);
    return NULL;
}

static void end(struct pass *p)
{
    archive_read_free(p->a);
    free(p);
}

/* The next name, without "./" before it and without a slash at the end. NULL: no more, or *@p st.
 */
static const char *next_entry(struct pass *p, struct archive_entry **entry, char *path, int *st)
{
    const int r = archive_read_next_header(p->a, entry);
    still_alive();
    if (r == ARCHIVE_EOF)
        return NULL;
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN) {
        *st = say("ISO 9660: %s", archive_error_string(p->a));
        return NULL;
    }
    const char *name = archive_entry_pathname(*entry);
    if (name == NULL)
        name = "";
    while (strncmp(name, "./", 2) == 0)
        name += 2;
    if (strcmp(name, ".") == 0)
        name = "";
    snprintf(path, FS_PATH_BYTES, "%s%s", *name != '\0' ? "/" : "", name);
    const size_t len = strlen(path);
    if (len > 1 && path[len - 1] == '/')
        path[len - 1] = '\0';
    return path;
}

static struct fs_entry entry_of(struct archive_entry *e, const char *name)
{
    return (struct fs_entry) {
        .name = name,
        .target = archive_entry_symlink(e),
        .mode = archive_entry_mode(e),
        .size = archive_entry_size(e) > 0 ? (uint64_t)archive_entry_size(e) : 0,
        .mtime = archive_entry_mtime(e),
        .uid = (uint32_t)archive_entry_uid(e),
        .gid = (uint32_t)archive_entry_gid(e),
    };
}

/* Where a link at @p path leads, in place. */
static void follow(char *path, const char *target)
{
    char joined[2 * FS_PATH_BYTES], *to = path;
    const char *slash = strrchr(path, '/');
    snprintf(joined, sizeof joined, "%.*s/%s",
             *target != '/' && slash != NULL ? (int)(slash - path) : 0, path, target);
    for (char *save = NULL, *part = strtok_r(joined, "/", &save); part != NULL;
         part = strtok_r(NULL, "/", &save)) {
        if (strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            while (to > path && *--to != '/') {
            }
            continue;
        }
        const size_t len = strlen(part);
        if ((size_t)(to - path) + len + 2 > FS_PATH_BYTES)
            break;
        *to++ = '/';
        memcpy(to, part, len);
        to += len;
    }
    *to = '\0';
}

/* Find @p path, through links at its end; @p found is called with the pass still at it. */
static int find(struct fs *fs, const char *path,
                int (*found)(struct pass *p, struct archive_entry *e, void *ud), void *ud)
{
    char want[FS_PATH_BYTES], here[FS_PATH_BYTES];
    snprintf(want, sizeof want, "%s", path);
    for (int links = 0; links < MAX_LINKS; links++) {
        struct pass *p = begin(fs);
        struct archive_entry *e = NULL;
        int st = 0;
        bool again = false, is = false;
        if (p == NULL)
            return 1;
        while (!is && !again && next_entry(p, &e, here, &st) != NULL) {
            if (strcmp(here, want) != 0)
                continue;
            again = archive_entry_filetype(e) == AE_IFLNK && archive_entry_symlink(e) != NULL;
            if (again)
                follow(want, archive_entry_symlink(e));
            else
                is = true;
        }
        if (is)
            st = found(p, e, ud);
        end(p);
        if (is || st != 0)
            return st;
        if (!again)
            return say("%s: No such file or directory", *path != '\0' ? path : "/");
    }
    return say("%s: Too many levels of symbolic links", path);
}

static int take_stat(struct pass *p, struct archive_entry *e, void *ud)
{
    struct fs_entry *out = ud;
    (void)p;
    *out = entry_of(e, NULL);
    out->target = NULL;
    return 0;
}

static int iso_stat(struct fs *fs, const char *path, struct fs_entry *e)
{
    if (*path != '\0')
        return find(fs, path, take_stat, e);
    *e = (struct fs_entry) { .mode = S_IFDIR | 0755 };
    return 0;
}

static int iso_list(struct fs *fs, const char *path, fs_list_fn fn, void *ud)
{
    char here[FS_PATH_BYTES];
    const size_t len = strlen(path);
    struct fs_entry folder;
    struct archive_entry *e;
    uint32_t n = 0;
    int st = iso_stat(fs, path, &folder);
    if (st == 0 && !S_ISDIR(folder.mode))
        st = say("%s is not a folder", path);
    struct pass *p = st == 0 ? begin(fs) : NULL;
    if (p == NULL)
        return 1;
    while (st == 0 && n < FS_MAX_ENTRIES && next_entry(p, &e, here, &st) != NULL) {
        if (strncmp(here, path, len) != 0 || here[len] != '/' ||
            strchr(here + len + 1, '/') != NULL)
            continue;
        const struct fs_entry x = entry_of(e, here + len + 1);
        st = fn(ud, &x);
        n++;
    }
    end(p);
    return st;
}

struct copying {
    fs_sink sink;
    void *ud;
};

static int copy_out(struct pass *p, struct archive_entry *e, void *ud)
{
    const struct copying *c = ud;
    static char buf[BUFFER];
    la_ssize_t n;
    int st = 0;
    if (archive_entry_filetype(e) != AE_IFREG)
        return say("this is not a file");
    while (st == 0 && (n = archive_read_data(p->a, buf, sizeof buf)) != 0) {
        if (n < 0)
            return say("ISO 9660: %s", archive_error_string(p->a));
        st = c->sink(c->ud, buf, (size_t)n);
        still_alive();
    }
    return st;
}

static int iso_read(struct fs *fs, const char *path, fs_sink sink, void *ud)
{
    struct copying c = { sink, ud };
    return find(fs, path, copy_out, &c);
}

const struct fs_kind fs_iso = {
    .name = "ISO 9660",
    .probe = iso_probe,
    .open = iso_open,
    .close = iso_close,
    .stat = iso_stat,
    .list = iso_list,
    .read = iso_read,
};
