/* SPDX-License-Identifier: MIT */
/**
 * @file files.c
 * vmimg ls, cat, cp: files inside images, without root and without a mount.
 *
 * IMAGE:PARTITION:/PATH names one; PARTITION is a number, VG/LV, or nothing for a file system on
 * the disk as a whole. Images come from strangers and other people's libraries look into them, so
 * all of it happens in a child process with limits: whatever it meets, the answer is a sentence.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs.h"
#include "inside.h"

/** What an argument names. */
struct place {
    char image[FS_PATH_BYTES], part[256], path[FS_PATH_BYTES];
};

/** How images are opened. */
struct how {
    struct source source;
    bool details;
};

/* ---- names ------------------------------------------------------------------------------ */

/* Absolute, with neither empty parts nor "." nor "..", which could lead nowhere good. */
static void tidy(const char *from, char *to, size_t room)
{
    char *const start = to;
    while (*from != '\0') {
        const size_t len = strcspn(from, "/");
        if (len == 2 && from[0] == '.' && from[1] == '.') {
            while (to > start && *--to != '/') {
            }
        } else if (len != 0 && !(len == 1 && *from == '.') &&
                   (size_t)(to - start) + len + 2 < room) {
            *to++ = '/';
            memcpy(to, from, len);
            to += len;
        }
        from += len;
        from += *from == '/';
    }
    *to = '\0';
}

static void cut(const char *text, const char *second, const char *third, struct place *p)
{
    snprintf(p->image, sizeof p->image, "%.*s", (int)(second - text), text);
    snprintf(p->part, sizeof p->part, "%.*s", third != NULL ? (int)(third - second - 1) : 255,
             second + 1);
    tidy(third != NULL ? third + 1 : "", p->path, sizeof p->path);
}

/* IMAGE:PART:/PATH. Names of images may have colons: the first way to read it that names a file is
 * taken, else the last. False: it is no such name. */
static bool split(const char *text, struct place *p)
{
    bool any = false;
    for (const char *second = strchr(text, ':'); second != NULL; second = strchr(second + 1, ':')) {
        const char *third = strchr(second + 1, ':');
        struct stat s;
        if (third == NULL || third[1] != '/' || third - second > 250)
            continue;
        cut(text, second, third, p);
        any = true;
        if (stat(p->image, &s) == 0)
            break;
    }
    return any;
}

/* ---- opening ---------------------------------------------------------------------------- */

/* A file system inside an image, open. */
struct opened {
    vm_blk *disk;
    struct inside *in;
    struct fs fs;
};

static bool open_place(const struct how *h, const struct place *p, bool writable, struct opened *o)
{
    static struct inside in;
    struct source s = h->source;
    s.name = p->image;
    s.exclusive = true;
    s.flags = writable ? 0 : VM_BLK_RO;
    *o = (struct opened) { .disk = open_source(&s) };
    if (o->disk == NULL)
        return false;
    if (*p->part != '\0' && !inside_open(&in, o->disk, s.flags))
        return false;
    o->in = &in;
    in.disk = o->disk;
    vm_blk *blk = inside_find(&in, p->part);
    if (blk == NULL) {
        say("%s has no partition or volume '%s'", p->image, p->part);
        return false;
    }
    return fs_open(&o->fs, blk, writable);
}

static int close_place(struct opened *o, int st)
{
    if (o->fs.state != NULL || o->fs.kind == &fs_iso) {
        const int closed = o->fs.kind->close(&o->fs);
        st = st != 0 ? st : closed;
    }
    if (o->in != NULL)
        inside_close(o->in);
    vm_blk_close(o->disk);
    return st;
}

/* ---- ls --------------------------------------------------------------------------------- */

/* Names and link targets come from the image: nothing in them may work a terminal. */
static void print_text(const char *s)
{
    for (; *s != '\0'; s++)
        putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

static void print_details(const struct fs_entry *e)
{
    static const char letters[] = "rwxrwxrwx";
    char mode[11], date[32];
    const time_t t = (time_t)e->mtime;
    struct tm tm = { 0 };
    mode[0] = S_ISDIR(e->mode) ? 'd' : S_ISLNK(e->mode) ? 'l' : S_ISREG(e->mode) ? '-' : '?';
    for (int i = 0; i < 9; i++)
        mode[i + 1] = e->mode >> (8 - i) & 1 ? letters[i] : '-';
    mode[10] = '\0';
    if (gmtime_r(&t, &tm) == NULL)
        memset(&tm, 0, sizeof tm);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M", &tm);
    printf("%s %5u %5u %12llu %s ", mode, e->uid, e->gid, (unsigned long long)e->size, date);
}

static int print_entry(void *ud, const struct fs_entry *e)
{
    const struct how *h = ud;
    if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
        return 0;
    if (h->details)
        print_details(e);
    print_text(e->name);
    if (S_ISDIR(e->mode) && !h->details)
        putchar('/');
    if (h->details && e->target != NULL) {
        printf(" -> ");
        print_text(e->target);
    }
    putchar('\n');
    return 0;
}

/* The whole image: what is in it. */
static int list_pieces(const struct how *h, const char *image)
{
    static struct inside in;
    struct source s = h->source;
    char size[32];
    s.name = image;
    s.flags = VM_BLK_RO;
    vm_blk *disk = open_source(&s);
    if (disk == NULL)
        return 1;
    if (!inside_open(&in, disk, VM_BLK_RO)) {
        vm_blk_close(disk);
        return 1;
    }
    const char *name = fs_name(disk);
    if (in.n == 0 || name != NULL)
        printf("%-12s %10s  %s\n", "(disk)", human((uint64_t)vm_blk_size(disk), size),
               name != NULL ? name : "-");
    for (int i = 0; i < in.n; i++) {
        name = fs_name(in.pieces[i].blk);
        print_text(in.pieces[i].name);
        printf("%*s %10s  %s\n",
               (int)(strlen(in.pieces[i].name) < 12 ? 12 - strlen(in.pieces[i].name) : 0), "",
               human((uint64_t)vm_blk_size(in.pieces[i].blk), size), name != NULL ? name : "-");
    }
    inside_close(&in);
    vm_blk_close(disk);
    return 0;
}

struct ls {
    struct how how;
    const char *what;
};

static int do_ls(void *ud)
{
    struct ls *l = ud;
    struct place p;
    struct opened o;
    struct fs_entry e;
    if (!split(l->what, &p))
        return list_pieces(&l->how, l->what);
    if (!open_place(&l->how, &p, false, &o))
        return close_place(&o, 1);
    int st = o.fs.kind->stat(&o.fs, p.path, &e);
    if (st == 0 && S_ISDIR(e.mode)) {
        st = o.fs.kind->list(&o.fs, p.path, print_entry, &l->how);
    } else if (st == 0) {
        e.name = p.path;
        e.target = NULL;
        st = print_entry(&l->how, &e);
    }
    return close_place(&o, st);
}

/* ---- cat -------------------------------------------------------------------------------- */

static int to_stdout(void *ud, const void *buf, size_t len)
{
    (void)ud;
    return fwrite(buf, 1, len, stdout) == len ? 0 : say("write: %m");
}

static int do_cat(void *ud)
{
    struct ls *l = ud;
    struct place p;
    struct opened o;
    if (!split(l->what, &p))
        return say("'%s' is not IMAGE:PARTITION:/PATH", l->what);
    if (!open_place(&l->how, &p, false, &o))
        return close_place(&o, 1);
    return close_place(&o, o.fs.kind->read(&o.fs, p.path, to_stdout, NULL));
}

/* ---- cp --------------------------------------------------------------------------------- */

struct cp {
    struct how how;
    char **from;
    int n;
    const char *to;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static int to_fd(void *ud, const void *buf, size_t len)
{
    const char *at = buf;
    while (len != 0) {
        const ssize_t n = write(*(int *)ud, at, len);
        if (n < 0 && errno != EINTR)
            return say("write: %m");
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int copy_out(const struct cp *c, const char *from)
{
    char to[2 * FS_PATH_BYTES];
    struct place p;
    struct opened o;
    struct fs_entry e;
    struct stat s;
    (void)split(from, &p);
    if (!open_place(&c->how, &p, false, &o))
        return close_place(&o, 1);
    if (o.fs.kind->stat(&o.fs, p.path, &e) != 0)
        return close_place(&o, 1);
    if (!S_ISREG(e.mode))
        return close_place(&o, say("%s is not a file", *p.path != '\0' ? p.path : "/"));
    const bool folder = stat(c->to, &s) == 0 && S_ISDIR(s.st_mode);
    snprintf(to, sizeof to, "%s%s%s", c->to, folder ? "/" : "", folder ? base_name(p.path) : "");
    int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, e.mode & 0777);
    if (fd < 0)
        return close_place(&o, say("%s: %m", to));
    int st = o.fs.kind->read(&o.fs, p.path, to_fd, &fd);
    const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_sec = (time_t)e.mtime } };
    (void)futimens(fd, times);
    if (close(fd) != 0 && st == 0)
        st = say("%s: %m", to);
    if (st != 0)
        (void)unlink(to); /* half a file looks like one */
    return close_place(&o, st);
}

static ssize_t from_fd(void *ud, void *buf, size_t len)
{
    ssize_t n;
    while ((n = read(*(int *)ud, buf, len)) < 0 && errno == EINTR) {
    }
    if (n < 0)
        say("read: %m");
    return n;
}

static int put_one(struct opened *o, const char *from, const char *path)
{
    struct stat s;
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s) != 0) {
        const int st = say("%s: %m", from);
        if (fd >= 0)
            close(fd);
        return st;
    }
    if (!S_ISREG(s.st_mode)) {
        close(fd);
        return say("%s is not a file", from);
    }
    const struct fs_entry e = { .mode = s.st_mode,
                                .size = (uint64_t)s.st_size,
                                .mtime = s.st_mtime };
    const int st = o->fs.kind->put(&o->fs, path, &e, from_fd, &fd);
    close(fd);
    return st;
}

struct search {
    const char *name;
    bool found;
};

static int look(void *ud, const struct fs_entry *e)
{
    struct search *s = ud;
    s->found = s->found || (strcmp(e->name, s->name) == 0 && S_ISDIR(e->mode));
    return 0;
}

/* Without a word if there is nothing of that name. */
static bool is_folder(struct fs *fs, const char *path)
{
    char parent[FS_PATH_BYTES];
    struct search s = { base_name(path), false };
    snprintf(parent, sizeof parent, "%.*s", (int)(s.name - 1 - path), path);
    return fs->kind->list(fs, parent, look, &s) == 0 && s.found;
}

static int copy_in(const struct cp *c)
{
    struct place p;
    struct opened o;
    struct fs_entry e;
    int st = 0;
    (void)split(c->to, &p);
    if (!open_place(&c->how, &p, true, &o))
        return close_place(&o, 1);
    const bool folder = *p.path == '\0' || c->n > 1 || c->to[strlen(c->to) - 1] == '/';
    bool into = folder;
    if (folder)
        st = o.fs.kind->stat(&o.fs, p.path, &e);
    else if (is_folder(&o.fs, p.path))
        into = true;
    if (st == 0 && folder && !S_ISDIR(e.mode))
        st = say("%s is not a folder", p.path);
    for (int i = 0; i < c->n && st == 0; i++) {
        char path[2 * FS_PATH_BYTES];
        snprintf(path, sizeof path, "%s%s%s", p.path, into ? "/" : "",
                 into ? base_name(c->from[i]) : "");
        st = put_one(&o, c->from[i], path);
    }
    return close_place(&o, st);
}

static int do_cp(void *ud)
{
    struct cp *c = ud;
    struct place p;
    int inside = 0, st = 0;
    for (int i = 0; i < c->n; i++)
        inside += split(c->from[i], &p);
    const bool into = split(c->to, &p);
    if (inside + into != (into ? 1 : c->n))
        return say("one side of a copy is IMAGE:PARTITION:/PATH, the other is not");
    if (into)
        return copy_in(c);
    for (int i = 0; i < c->n && st == 0; i++)
        st = copy_out(c, c->from[i]);
    return st;
}

/* ---- the commands ----------------------------------------------------------------------- */

static bool read_how(struct args *a, struct how *h)
{
    int c;
    while ((c = next_option(a)) != -1) {
        if (c == 'F')
            h->source.format = optarg;
        else if (c == 'U')
            h->source.force_share = true;
        else if (c == 'l')
            h->details = true;
    }
    h->source.image_opts = a->image_opts;
    return a->failed < 0;
}

static const struct option names[] = { COMMON_OPTIONS,
                                       { "format", required_argument, NULL, 'F' },
                                       { "force-share", no_argument, NULL, 'U' },
                                       { "long", no_argument, NULL, 'l' },
                                       { 0 } };

int cmd_ls(int argc, char **argv)
{
    struct ls l = { 0 };
    struct args a;
    args_begin(&a, argc, argv, ":hF:Ul", names);
    if (!read_how(&a, &l.how))
        return a.failed;
    if (rest_count(&a) != 1)
        return usage("Expecting IMAGE or IMAGE:PARTITION:/PATH");
    l.what = argv[optind];
    return guarded(do_ls, &l);
}

int cmd_cat(int argc, char **argv)
{
    struct ls l = { 0 };
    struct args a;
    args_begin(&a, argc, argv, ":hF:U", names);
    if (!read_how(&a, &l.how))
        return a.failed;
    if (rest_count(&a) < 1)
        return usage("Expecting IMAGE:PARTITION:/PATH");
    int st = 0;
    for (int i = optind; i < argc && st == 0; i++) {
        l.what = argv[i];
        st = guarded(do_cat, &l);
    }
    return st;
}

int cmd_cp(int argc, char **argv)
{
    struct cp c = { 0 };
    struct args a;
    args_begin(&a, argc, argv, ":hF:U", names);
    if (!read_how(&a, &c.how))
        return a.failed;
    if (rest_count(&a) < 2)
        return usage("Expecting what to copy, and where to");
    c.from = argv + optind;
    c.n = rest_count(&a) - 1;
    c.to = argv[argc - 1];
    return guarded(do_cp, &c);
}
