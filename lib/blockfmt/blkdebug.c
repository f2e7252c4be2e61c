/* SPDX-License-Identifier: MIT */
/**
 * @file blkdebug.c
 * Filter "blkdebug": errors where one wants them.
 *
 * [qemu-block blkdebug.rst] Drivers above name the points they pass ("l1_update", "read_aio");
 * rules say what happens there: errors are injected into the requests that follow, or the filter
 * goes to another state, which rules can ask for. Rules come from options (inject-error.N.…,
 * set-state.N.…) or from a file of sections. A breakpoint holds the thread that comes by until it
 * is let go.
 */
#include "blockfmt/blkdebug.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env.h"
#include "block/options.h"
#include "host/file.h"

enum { MAX_RULES = 256, MAX_BREAKS = 16, NAME_BYTES = 48, CONFIG_BYTES = 64 * 1024 };

/* Kinds of requests, as bits of a rule. */
enum { IO_READ = 1, IO_WRITE = 2, IO_ZERO = 4, IO_DISCARD = 8, IO_FLUSH = 16, IO_STATUS = 32 };

struct rule {
    char event[NAME_BYTES]; /* "none": from the start, and always */
    bool sets_state, once;
    uint32_t state, new_state; /* state 0: in any */
    int os_errno;
    uint32_t io;     /* kinds */
    uint64_t sector; /* UINT64_MAX: any */
    bool active, spent;
};

struct breakpoint {
    char event[NAME_BYTES], tag[NAME_BYTES];
    uint32_t held; /* threads that wait */
    bool used, go;
};

struct blkdebug {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct rule *rules;
    uint32_t n_rules, state;
    struct breakpoint breaks[MAX_BREAKS];
};

static const struct {
    const char *name;
    uint32_t bit;
} kinds[] = { { "read", IO_READ },       { "write", IO_WRITE }, { "write-zeroes", IO_ZERO },
              { "discard", IO_DISCARD }, { "flush", IO_FLUSH }, { "block-status", IO_STATUS } };

/* ---- rules ------------------------------------------------------------------------------ */

static int take_event(struct vm_blk_options *o, struct rule *r)
{
    const char *event = vm__opt_str(o, "event");
    if (event == NULL || strlen(event) >= sizeof r->event)
        return vm__fail(VM_E_INVAL, "Missing event name for rule");
    memcpy(r->event, event, strlen(event) + 1);
    return VM_OK;
}

static int take_kind(struct vm_blk_options *o, struct rule *r)
{
    const char *text = vm__opt_str(o, "iotype");
    r->io = IO_READ | IO_WRITE | IO_ZERO | IO_DISCARD | IO_FLUSH;
    for (size_t i = 0; text != NULL && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(text, kinds[i].name) == 0) {
            r->io = kinds[i].bit;
            return VM_OK;
        }
    return text == NULL ? VM_OK : vm__fail(VM_E_INVAL, "Invalid iotype value '%.40s'", text);
}

static int add_rule(struct blkdebug *s, struct vm_blk_options *o, bool sets_state)
{
    struct rule r = { .sets_state = sets_state, .sector = UINT64_MAX };
    uint64_t state = 0, new_state = 0, error = EIO;
    bool immediately = false;
    int st = take_event(o, &r);
    if (st == VM_OK)
        st = vm__opt_u64(o, "state", &state);
    if (st == VM_OK && sets_state)
        st = vm__opt_u64(o, "new_state", &new_state);
    if (st == VM_OK && !sets_state) {
        st = vm__opt_u64(o, "errno", &error);
        if (st == VM_OK)
            st = vm__opt_u64(o, "sector", &r.sector);
        if (st == VM_OK)
            st = vm__opt_bool(o, "once", &r.once);
        if (st == VM_OK)
            st = vm__opt_bool(o, "immediately", &immediately);
        if (st == VM_OK)
            st = take_kind(o, &r);
    }
    if (st == VM_OK && vm__opt_unused(o) != NULL)
        st = vm__fail(VM_E_INVAL, "Invalid parameter '%.40s'", vm__opt_unused(o));
    if (st == VM_OK && s->n_rules == MAX_RULES)
        st = vm__fail(VM_E_INVAL, "more than %d rules", MAX_RULES);
    if (st != VM_OK)
        return st;
    r.state = (uint32_t)state;
    r.new_state = (uint32_t)new_state;
    r.os_errno = error < 4096 ? (int)error : EIO;
    r.active = !sets_state && strcmp(r.event, "none") == 0;
    s->rules[s->n_rules++] = r;
    return VM_OK;
}

static int add_listed(struct blkdebug *s, struct vm_blk_options *o, const char *name, bool sets)
{
    int st = VM_OK;
    for (unsigned i = 0; st == VM_OK; i++) {
        char key[40];
        snprintf(key, sizeof key, "%s.%u", name, i);
        struct vm_blk_options *sub = vm__opt_sub(o, key);
        if (sub == NULL)
            break;
        st = add_rule(s, sub, sets);
        vm__options_free(sub);
    }
    return st;
}

/* ---- the file of rules: "[inject-error]", then lines name = "value" --------------------- */

static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    size_t n = strlen(s);
    while (n != 0 && isspace((unsigned char)s[n - 1]))
        s[--n] = '\0';
    if (n >= 2 && s[0] == '"' && s[n - 1] == '"') {
        s[n - 1] = '\0';
        s++;
    }
    return s;
}

struct section {
    struct vm_blk_options *o;
    bool open, sets_state;
};

static int end_section(struct blkdebug *s, struct section *now)
{
    const int st = now->open ? add_rule(s, now->o, now->sets_state) : VM_OK;
    vm__options_free(now->o);
    *now = (struct section) { 0 };
    return st;
}

static int parse_line(struct blkdebug *s, struct section *now, char *line, unsigned number)
{
    line = trim(line);
    if (*line == '\0' || *line == '#')
        return VM_OK;
    if (*line == '[') {
        const int st = end_section(s, now);
        now->sets_state = strncmp(line, "[set-state", 10) == 0;
        now->open = now->sets_state || strncmp(line, "[inject-error", 13) == 0;
        now->o = vm__options_new();
        return st != VM_OK || (now->open && now->o != NULL)
                   ? st
                   : vm__fail(VM_E_INVAL, "line %u: no such group of options", number);
    }
    char *equals = strchr(line, '=');
    if (equals == NULL || !now->open)
        return vm__fail(VM_E_INVAL, "line %u: parse error", number);
    *equals = '\0';
    return vm__options_set(now->o, trim(line), trim(equals + 1));
}

static int parse_config(struct blkdebug *s, char *text)
{
    struct section now = { 0 };
    unsigned number = 1;
    int st = VM_OK;
    for (char *line = text; st == VM_OK && line != NULL; number++) {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end++ = '\0';
        st = parse_line(s, &now, line, number);
        line = end;
    }
    const int last = end_section(s, &now);
    return st == VM_OK ? last : st;
}

static int read_config(struct vm_blk *n, const char *path)
{
    char *text = calloc(1, CONFIG_BYTES + 1);
    if (text == NULL)
        return vm__fail_nomem(CONFIG_BYTES);
    const int fd = vm__env_open_file(n->env, path, vm__file_flags(0), (int)n->why);
    int st = fd < 0 ? fd : VM_OK;
    if (st == VM_OK) {
        struct vm_iov v = { text, CONFIG_BYTES };
        st = vm__file_readv(fd, 0, CONFIG_BYTES, (struct vm_sg) { &v, 0 }, false);
        vm__file_close(fd);
    }
    st = st == VM_OK ? parse_config(n->state, text)
                     : vm__fail_prefix(st, "Could not read blkdebug config file: ");
    free(text);
    return st;
}

/* ---- opening ---------------------------------------------------------------------------- */

static const struct vm_blk_option open_options[] = {
    { "config", VM_OPT_STR, "file of rules" },
    { "image", VM_OPT_STR, "what is below" },
    { 0 },
};

static uint32_t child_flags(const struct vm_blk *n)
{
    return n->flags & ~(uint32_t)VM_OPEN_PROBE;
}

static int open_image(struct vm_blk *n, struct vm_blk_options *o, const char *name)
{
    struct vm_blk_options *sub = vm__opt_sub(o, "image");
    const char *ref = vm__opt_str(o, "image");
    if (ref != NULL) {
        n->file = vm__blk_refer(n->env, (int)n->why, ref);
    } else if (sub == NULL && name == NULL) {
        vm__fail(VM_E_INVAL, "A block device must be specified for \"image\"");
    } else {
        char *filename = n->filename; /* "blkdebug:…": the image is not relative to it */
        n->filename = NULL;
        n->file = vm__blk_open_child(n, name, NULL, sub, child_flags(n), (int)n->why);
        n->filename = filename;
    }
    vm__options_free(sub);
    return n->file != NULL ? VM_OK : vm_last_error()->code;
}

/* Requests here have no sizes that would be in the way: taken, and not needed. */
static const char *const limits[] = { "max-transfer", "opt-write-zero", "max-write-zero",
                                      "opt-discard", "max-discard" };

static int blkdebug_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct blkdebug *s = n->state;
    char *image = NULL;
    const char *config = vm__opt_str(o, "config");
    uint64_t align = 0;
    bool perms = false;
    int st = vm__opt_size(o, "align", &align);
    for (size_t i = 0; st == VM_OK && i < sizeof limits / sizeof limits[0]; i++)
        st = vm__opt_size(o, limits[i], &align);
    if (st == VM_OK)
        st = vm__opt_bool(o, "take-child-perms", &perms);
    if (st != VM_OK)
        return st;
    s->rules = calloc(MAX_RULES, sizeof *s->rules);
    if (s->rules == NULL)
        return vm__fail_nomem(MAX_RULES * sizeof *s->rules);
    s->state = 1;
    char *name = n->filename != NULL ? strdup(n->filename) : NULL; /* blkdebug:CONFIG:IMAGE */
    if (name != NULL && strncmp(name, "blkdebug:", 9) == 0) {
        image = strchr(name + 9, ':');
        if (image == NULL)
            st = vm__fail(VM_E_INVAL, "blkdebug requires both config file and image path");
        else
            *image++ = '\0';
        if (st == VM_OK && name[9] != '\0' && config == NULL)
            config = name + 9;
    } else {
        image = name; /* a name beside options is that of the image */
    }
    if (st == VM_OK && config != NULL && *config != '\0')
        st = read_config(n, config);
    if (st == VM_OK)
        st = add_listed(s, o, "inject-error", false);
    if (st == VM_OK)
        st = add_listed(s, o, "set-state", true);
    if (st == VM_OK)
        st = open_image(n, o, image);
    if (st == VM_OK && image != NULL && n->file->filename != NULL) {
        free(n->filename); /* names in the image are relative to the image */
        n->filename = strdup(n->file->filename);
    }
    free(name);
    if (st != VM_OK) {
        free(s->rules);
        return st;
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (!vm__blk_writable(n->file))
        n->flags |= VM_OPEN_RO;
    atomic_store(&n->size, vm__blk_size(n->file));
    return VM_OK;
}

static void blkdebug_close(struct vm_blk *n)
{
    struct blkdebug *s = n->state;
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s->rules);
}

/* ---- events ----------------------------------------------------------------------------- */

static void hold(struct blkdebug *s, const char *event)
{
    for (int i = 0; i < MAX_BREAKS; i++) {
        struct breakpoint *b = &s->breaks[i];
        if (!b->used || strcmp(b->event, event) != 0)
            continue;
        b->held++;
        pthread_cond_broadcast(&s->changed);
        while (!b->go)
            pthread_cond_wait(&s->changed, &s->lock);
        if (--b->held == 0)
            *b = (struct breakpoint) { 0 };
        pthread_cond_broadcast(&s->changed);
    }
}

static void blkdebug_event(struct vm_blk *n, const char *event)
{
    struct blkdebug *s = n->state;
    bool injected = false;
    pthread_mutex_lock(&s->lock);
    uint32_t state = s->state;
    for (uint32_t i = 0; i < s->n_rules; i++) {
        struct rule *r = &s->rules[i];
        if (strcmp(r->event, event) != 0 || (r->state != 0 && r->state != s->state))
            continue;
        if (r->sets_state) {
            state = r->new_state;
            continue;
        }
        /* What an earlier event has set off is over when another sets something off. */
        for (uint32_t k = 0; !injected && k < s->n_rules; k++)
            s->rules[k].active = strcmp(s->rules[k].event, "none") == 0 && !s->rules[k].sets_state;
        injected = true;
        r->active = !r->spent;
    }
    s->state = state;
    hold(s, event);
    pthread_mutex_unlock(&s->lock);
}

/* The error that a request meets, or VM_OK. */
static int meet(struct vm_blk *n, uint32_t io, uint64_t off, uint64_t len)
{
    struct blkdebug *s = n->state;
    int os = 0;
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; os == 0 && i < s->n_rules; i++) {
        struct rule *r = &s->rules[i];
        const bool there =
            r->sector == UINT64_MAX || (r->sector < UINT64_MAX / 512 && len != 0 &&
                                        r->sector * 512 >= off && r->sector * 512 - off < len);
        if (!r->active || r->spent || !(r->io & io) || !there)
            continue;
        os = r->os_errno;
        if (r->once) {
            r->active = false;
            r->spent = true;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return os == 0 ? VM_OK : vm__file_fail(os);
}

/* ---- breakpoints ------------------------------------------------------------------------ */

static struct breakpoint *find_break(struct blkdebug *s, const char *tag)
{
    for (int i = 0; i < MAX_BREAKS; i++)
        if (s->breaks[i].used && strcmp(s->breaks[i].tag, tag) == 0)
            return &s->breaks[i];
    return NULL;
}

static struct blkdebug *below(struct vm_blk *n)
{
    while (n != NULL && n->drv != &vm__blkdebug_driver)
        n = n->file;
    return n != NULL ? n->state : NULL;
}

int vm__blkdebug_break(struct vm_blk *n, const char *event, const char *tag)
{
    struct blkdebug *s = below(n);
    int st = VM_E_NOSPC;
    if (s == NULL || strlen(event) >= NAME_BYTES || strlen(tag) >= NAME_BYTES)
        return vm__fail(VM_E_NOTSUP, "Could not set a breakpoint: Operation not supported");
    pthread_mutex_lock(&s->lock);
    for (int i = 0; st != VM_OK && i < MAX_BREAKS; i++)
        if (!s->breaks[i].used) {
            s->breaks[i].used = true;
            memcpy(s->breaks[i].event, event, strlen(event) + 1);
            memcpy(s->breaks[i].tag, tag, strlen(tag) + 1);
            st = VM_OK;
        }
    pthread_mutex_unlock(&s->lock);
    return st == VM_OK ? st : vm__fail(st, "there are %d breakpoints already", MAX_BREAKS);
}

int vm__blkdebug_resume(struct vm_blk *n, const char *tag)
{
    struct blkdebug *s = below(n);
    struct breakpoint *b = NULL;
    if (s != NULL) {
        pthread_mutex_lock(&s->lock);
        b = find_break(s, tag);
        if (b != NULL && b->held != 0)
            b->go = true;
        else if (b != NULL)
            *b = (struct breakpoint) { 0 };
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
    }
    return b != NULL ? VM_OK
                     : vm__fail(VM_E_NOENT, "Could not resume request: No such file or "
                                            "directory");
}

int vm__blkdebug_wait(struct vm_blk *n, const char *tag)
{
    struct blkdebug *s = below(n);
    if (s == NULL)
        return vm__fail(VM_E_NOTSUP, "no blkdebug below");
    pthread_mutex_lock(&s->lock);
    const struct breakpoint *b;
    while ((b = find_break(s, tag)) != NULL && b->held == 0)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return b != NULL ? VM_OK : vm__fail(VM_E_NOENT, "there is no breakpoint %.40s", tag);
}

/* ---- I/O -------------------------------------------------------------------------------- */

static int blkdebug_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                         uint32_t flags)
{
    const int st = meet(n, IO_READ, off, len);
    return st == VM_OK ? vm__blk_readv(n->file, off, len, sg, flags) : st;
}

static int blkdebug_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                          uint32_t flags)
{
    const int st = meet(n, IO_WRITE, off, len);
    return st == VM_OK ? vm__blk_writev(n->file, off, len, sg, flags) : st;
}

static int blkdebug_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    const int st = meet(n, IO_ZERO, off, len);
    return st == VM_OK ? vm__blk_zero(n->file, off, len, flags) : st;
}

static int blkdebug_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags)
{
    const int st = meet(n, IO_DISCARD, off, len);
    return st == VM_OK ? vm__blk_discard(n->file, off, len, flags) : st;
}

static int blkdebug_flush(struct vm_blk *n, uint32_t flags)
{
    const int st = meet(n, IO_FLUSH, 0, 0);
    return st == VM_OK ? vm__blk_flush(n->file, flags) : st;
}

static int blkdebug_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e)
{
    const int st = meet(n, IO_STATUS, off, len);
    if (st != VM_OK)
        return st;
    *e = (struct vm_extent) { .length = len,
                              .flags = VM_EXTENT_DATA | VM_EXTENT_OFFSET | VM_EXTENT_ALLOCATED,
                              .offset = off,
                              .file = n->file };
    return VM_OK;
}

static int blkdebug_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    return vm__blk_truncate(n->file, size, p, flags);
}

static const char *const prefixes[] = { "blkdebug", NULL };

const struct vm_blk_driver vm__blkdebug_driver = {
    .name = "blkdebug",
    .summary = "Injects errors at named points",
    .kind = VM_BLK_PROTOCOL,
    .can = VM_CAN_GROW | VM_CAN_OPEN_FILE,
    .state_size = sizeof(struct blkdebug),
    .prefixes = prefixes,
    .open_options = open_options,
    .open = blkdebug_open,
    .close = blkdebug_close,
    .read = blkdebug_read,
    .write = blkdebug_write,
    .zero = blkdebug_zero,
    .discard = blkdebug_discard,
    .flush = blkdebug_flush,
    .status = blkdebug_status,
    .truncate = blkdebug_truncate,
    .event = blkdebug_event,
};
