/* SPDX-License-Identifier: MIT */
/**
 * @file open.c
 * Opening: a name or options become a node, with the nodes it stands on.
 *
 * The order is: which driver; its file, by the same rules; the driver itself; its backing file.
 * What a node asks to be opened is opened on its behalf: `opener` chains lead from the node at work
 * up to the one the caller wanted, so a chain that comes back to itself, or has no end, is found
 * before it takes more than one descriptor too many.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env_impl.h"

/* What is to be opened, for whom. */
struct want {
    struct vm_blk_env *env;
    struct vm_blk *opener; /* NULL: the caller of the layer */
    int why;
    const char *name, *format; /* may be NULL */
    struct vm_blk_options *o;  /* never NULL */
    uint32_t flags;
    bool is_file; /* the bytes below a format: a protocol unless it says otherwise */
};

/* Flags that concern the node asked for alone. */
enum { OWN_FLAGS = VM_OPEN_NO_BACKING | VM_OPEN_CHECK | VM_OPEN_NO_IO };

static struct vm_blk *open_node(struct want *w);

/* ---- options that every node has -------------------------------------------------------- */

static int take_flag(struct vm_blk_options *o, const char *name, uint32_t bit, uint32_t *flags)
{
    bool on = *flags & bit;
    const int st = vm__opt_bool(o, name, &on);
    *flags = on ? *flags | bit : *flags & ~bit;
    return st;
}

static int take_discard(struct vm_blk_options *o, uint32_t *flags)
{
    const char *text = vm__opt_str(o, "discard");
    if (text == NULL)
        return VM_OK;
    if (strcmp(text, "unmap") == 0 || strcmp(text, "on") == 0)
        *flags |= VM_OPEN_UNMAP;
    else if (strcmp(text, "ignore") == 0 || strcmp(text, "off") == 0)
        *flags &= ~(uint32_t)VM_OPEN_UNMAP;
    else
        return vm__fail(VM_E_INVAL, "Invalid discard option");
    return VM_OK;
}

static int take_flags(struct want *w)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } rows[] = {
        { "read-only", VM_OPEN_RO },        { "auto-read-only", VM_OPEN_AUTO_RO },
        { "cache.direct", VM_OPEN_DIRECT }, { "cache.no-flush", VM_OPEN_UNSAFE },
        { "force-share", VM_OPEN_SHARE },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int st = take_flag(w->o, rows[i].name, rows[i].bit, &w->flags);
        if (st != VM_OK)
            return st;
    }
    if ((w->flags & VM_OPEN_SHARE) && !(w->flags & VM_OPEN_RO))
        return vm__fail(VM_E_INVAL, "force-share=on can only be used with read-only images");
    return take_discard(w->o, &w->flags);
}

/* ---- which driver ----------------------------------------------------------------------- */

static int add_json_name(struct want *w)
{
    if (w->name == NULL || strncmp(w->name, "json:", 5) != 0)
        return VM_OK;
    const int st = vm__options_json_text(w->o, w->name + 5);
    w->name = NULL;
    return st;
}

static const struct vm_blk_driver *protocol_of(struct want *w, bool *bad)
{
    *bad = false;
    const struct vm_blk_driver *d = w->name != NULL ? vm__blk_protocol(w->env, w->name, bad) : NULL;
    if (d == NULL && !*bad && (w->name != NULL || vm__opt_has(w->o, "filename")))
        d = vm__blk_driver(w->env, "file");
    return d;
}

/* The driver that is asked for by name, or by being a plain file; NULL: probe, or *@p st. */
static const struct vm_blk_driver *choose(struct want *w, int *st)
{
    const char *named = vm__opt_str(w->o, "driver");
    bool bad = false;
    *st = VM_OK;
    if (named != NULL && w->format != NULL && strcmp(named, w->format) != 0) {
        *st = vm__fail(VM_E_INVAL, "Driver specified twice");
        return NULL;
    }
    if (named == NULL)
        named = w->format;
    if (named == NULL && w->is_file) {
        const struct vm_blk_driver *d = protocol_of(w, &bad);
        if (d == NULL)
            *st = bad ? VM_E_NOENT : vm__fail(VM_E_INVAL, "Must specify either driver or file");
        return d;
    }
    if (named == NULL)
        return NULL;
    const struct vm_blk_driver *d = vm__blk_driver(w->env, named);
    if (d == NULL)
        *st = vm__fail(VM_E_NOENT, "Unknown driver '%.60s'", named);
    return d;
}

static const struct vm_blk_driver *probe(struct want *w, struct vm_blk *file)
{
    uint8_t head[VM_BLK_PROBE_BYTES];
    const uint64_t size = vm__blk_size(file);
    const size_t len = size < sizeof head ? (size_t)size : sizeof head;
    if (len != 0 && vm__blk_read(file, 0, head, len) != VM_OK) {
        vm__fail_prefix(vm_last_error()->code, "Could not read image for determining its format: ");
        return NULL;
    }
    return vm__blk_probe(w->env, head, len, size, file->filename != NULL ? file->filename : "");
}

/* ---- chains ----------------------------------------------------------------------------- */

static bool same_file(const struct vm_blk *a, const struct vm_blk *b)
{
    while (a != NULL && a->file != NULL)
        a = a->file;
    while (b != NULL && b->file != NULL)
        b = b->file;
    return a != NULL && b != NULL && (a->id[0] | a->id[1]) != 0 && a->id[0] == b->id[0] &&
           a->id[1] == b->id[1];
}

/* @p file is what a further image, named by an image, is in. */
static int check_loop(const struct want *w, const struct vm_blk *file)
{
    for (const struct vm_blk *up = w->opener; up != NULL; up = up->opener)
        if (same_file(up, file))
            return w->why == VM_WHY_BACKING
                       ? vm__fail(VM_E_CORRUPT, "Backing file '%.200s' creates an infinite loop.",
                                  w->name != NULL ? w->name : file->name)
                       : vm__fail(VM_E_CORRUPT, "'%.200s' is the image itself, or one above it",
                                  w->name != NULL ? w->name : file->name);
    return VM_OK;
}

static int check_depth(const struct want *w)
{
    uint32_t depth = 1;
    for (const struct vm_blk *up = w->opener; up != NULL; up = up->opener)
        depth++;
    return depth <= VM_BLK_MAX_CHAIN
               ? VM_OK
               : vm__fail(VM_E_RANGE, "the chain of images is longer than %d", VM_BLK_MAX_CHAIN);
}

/* ---- children --------------------------------------------------------------------------- */

struct vm_blk *vm__blk_refer(struct vm_blk_env *env, int why, const char *node_name)
{
    if (why != VM_WHY_USER) {
        vm__fail(VM_E_PERM, "an image may not refer to node '%.60s'", node_name);
        return NULL;
    }
    struct vm_blk *n = vm__blk_find(env, node_name);
    if (n == NULL)
        vm__fail(VM_E_NOENT, "Cannot find device='%.60s' nor node-name='%.60s'", node_name,
                 node_name);
    return n;
}

/* The file below a format: named by a reference, by options, or by the name as a whole. */
static struct vm_blk *open_file(struct want *w, struct vm_blk *n, uint32_t flags)
{
    const char *ref = vm__opt_str(w->o, "file");
    if (ref != NULL)
        return vm__blk_refer(w->env, w->why, ref);
    struct vm_blk_options *sub = vm__opt_sub(w->o, "file");
    if (sub == NULL && w->name == NULL && !vm__opt_has(w->o, "filename")) {
        vm__fail(VM_E_INVAL, n != NULL ? "A block device must be specified for \"file\""
                                       : "Must specify either driver or file");
        return NULL;
    }
    if (sub == NULL && (sub = vm__options_new()) == NULL)
        return NULL;
    const char *filename = w->name == NULL ? vm__opt_str(w->o, "filename") : w->name;
    struct want f = {
        .env = w->env,
        .opener = n != NULL ? n : w->opener,
        .why = w->why,
        .name = filename,
        .o = sub,
        .flags = flags & ~(uint32_t)(OWN_FLAGS | VM_OPEN_PROBE),
        .is_file = true,
    };
    struct vm_blk *file = open_node(&f);
    vm__options_free(sub);
    return file;
}

static char *backing_file_name(struct vm_blk *n)
{
    return vm__blk_relative(n->filename, n->backing_name);
}

static struct vm_blk *open_backing(struct want *w, struct vm_blk *n)
{
    const char *ref = vm__opt_str(w->o, "backing");
    if (ref != NULL)
        return vm__blk_refer(w->env, w->why, ref);
    struct vm_blk_options *sub = vm__opt_sub(w->o, "backing");
    n->backing_overridden = sub != NULL;
    const bool named = sub == NULL || !vm__opt_has(sub, "file");
    if (sub == NULL && (sub = vm__options_new()) == NULL)
        return NULL;
    char *name = named && n->backing_name != NULL ? backing_file_name(n) : NULL;
    struct want b = {
        .env = w->env,
        .opener = n,
        .why = named ? VM_WHY_BACKING : w->why,
        .name = name,
        .format = vm__opt_has(sub, "driver") ? NULL : n->backing_format,
        .o = sub,
        .flags = (w->flags & ~(uint32_t)OWN_FLAGS & ~(uint32_t)VM_OPEN_WRITETHROUGH) | VM_OPEN_RO,
    };
    struct vm_blk *backing = NULL;
    if (!named || n->backing_name == NULL || name != NULL)
        backing = open_node(&b);
    if (backing == NULL)
        vm__fail_prefix(vm_last_error()->code, "Could not open backing file: ");
    free(name);
    vm__options_free(sub);
    return backing;
}

static int add_backing(struct want *w, struct vm_blk *n)
{
    const bool can = n->drv->can & VM_CAN_BACKING;
    const char *none = vm__opt_has(w->o, "backing") ? vm__opt_str(w->o, "backing") : NULL;
    if (!can || (w->flags & VM_OPEN_NO_BACKING) || (none != NULL && *none == '\0')) {
        vm__options_free(can ? vm__opt_sub(w->o, "backing") : NULL);
        n->backing_overridden = none != NULL;
        return VM_OK;
    }
    if (n->backing_name == NULL && !vm__opt_has(w->o, "backing"))
        return VM_OK;
    n->backing = open_backing(w, n);
    if (n->backing == NULL)
        return vm_last_error()->code;
    return n->drv->attach_backing != NULL ? n->drv->attach_backing(n) : VM_OK;
}

/* ---- the node --------------------------------------------------------------------------- */

static int add_json(void *ud, const char *name, const char *value)
{
    /* "a.b.c" = value, as nested objects. */
    json_t *at = ud;
    const char *dot;
    while ((dot = strchr(name, '.')) != NULL && strncmp(name, "cache.", 6) != 0) {
        char part[256];
        snprintf(part, sizeof part, "%.*s", (int)(dot - name), name);
        json_t *next = json_object_get(at, part);
        if (!json_is_object(next)) {
            next = json_object();
            json_object_set_new(at, part, next);
        }
        at = next;
        name = dot + 1;
    }
    json_object_set_new(at, name, json_string(value));
    return 0;
}

/* A name says it all, together with a format. */
static int says_more(void *ud, const char *name, const char *value)
{
    static const char *const plain[] = { "driver",      "file.driver", "file.filename",
                                         "filename",    "node-name",   "read-only",
                                         "force-share", "discard",     "detect-zeroes" };
    (void)ud;
    (void)value;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (strcmp(name, plain[i]) == 0)
            return 0;
    return strncmp(name, "cache.", 6) != 0;
}

/* As the user would write it again. */
static char *make_name(const struct want *w, const struct vm_blk *n)
{
    const bool plain = vm__opt_each(w->o, says_more, NULL) == 0;
    const struct vm_blk *file = n->file != NULL ? n->file : n;
    const bool prefixed = w->name != NULL && strncmp(w->name, "file:", 5) == 0;
    if (w->name != NULL && plain && !(prefixed && n->filename != NULL))
        return strdup(w->name);
    if (n->filename != NULL && plain && strcmp(file->drv->name, "file") == 0)
        return strdup(n->filename);
    json_t *root = json_object();
    json_object_set_new(root, "driver", json_string(n->drv->name));
    if (w->name != NULL)
        (void)add_json(root, "file.filename", w->name);
    (void)vm__opt_each(w->o, add_json, root);
    char *text = json_dumps(root, 0), *name = NULL;
    json_decref(root);
    if (text != NULL) {
        const size_t len = strlen(text) + 6;
        name = malloc(len);
        if (name != NULL)
            snprintf(name, len, "json:%s", text);
        free(text);
    }
    return name;
}

static int take_common(struct want *w, struct vm_blk *n)
{
    static const char *const detect[] = { "off", "on", "unmap", NULL };
    uint32_t d = VM_DETECT_OFF;
    const int st = vm__opt_enum(w->o, "detect-zeroes", detect, &d);
    n->detect_zeroes = (enum vm_detect_zeroes)d;
    if (st == VM_OK && d == VM_DETECT_UNMAP && !(w->flags & VM_OPEN_UNMAP))
        return vm__fail(VM_E_INVAL, "setting detect-zeroes to unmap is not allowed without setting "
                                    "discard operation to unmap");
    return st == VM_OK ? vm__blk_set_node_name(n, vm__opt_str(w->o, "node-name")) : st;
}

static int complain_unused(const struct want *w, const struct vm_blk_driver *drv)
{
    const char *left = vm__opt_unused(w->o);
    if (left == NULL)
        return VM_OK;
    return drv->kind == VM_BLK_PROTOCOL
               ? vm__fail(VM_E_INVAL, "Block protocol '%s' doesn't support the option '%.80s'",
                          drv->name, left)
               : vm__fail(VM_E_INVAL, "Block format '%s' does not support the option '%.80s'",
                          drv->name, left);
}

/* Edges of all children, and how deep it goes. */
static int connect(struct vm_blk *n)
{
    struct vm_blk *all[VM_BLK_MAX_CHILDREN + 2] = { n->file, n->backing };
    memcpy(all + 2, n->children, n->n_children * sizeof(struct vm_blk *));
    for (uint32_t i = 0; i < n->n_children + 2; i++) {
        if (all[i] == NULL)
            continue;
        const int st = vm__blk_attach(n, all[i]);
        if (st != VM_OK)
            return st;
        if (all[i]->depth >= n->depth)
            n->depth = all[i]->depth + 1;
    }
    return n->depth <= VM_BLK_MAX_CHAIN
               ? VM_OK
               : vm__fail(VM_E_RANGE, "the chain of images is longer than %d", VM_BLK_MAX_CHAIN);
}

static int set_filename(struct want *w, struct vm_blk *n)
{
    if (n->drv->kind != VM_BLK_PROTOCOL) {
        if (n->file != NULL && n->file->filename != NULL && n->filename == NULL)
            n->filename = strdup(n->file->filename);
        return VM_OK;
    }
    const char *name = vm__opt_has(w->o, "filename") ? vm__opt_str(w->o, "filename") : w->name;
    if (name != NULL && (n->filename = strdup(name)) == NULL)
        return vm__fail_nomem(strlen(name));
    return VM_OK;
}

static int open_driver(struct want *w, struct vm_blk *n)
{
    if (n->drv->open == NULL)
        return vm__fail(VM_E_NOTSUP, "%s images cannot be opened", n->drv->name);
    if (!(w->flags & VM_OPEN_RO) && n->drv->write == NULL) {
        if (!(w->flags & VM_OPEN_AUTO_RO))
            return vm__fail(VM_E_NOTSUP, "Driver '%s' can only be used for read-only devices",
                            n->drv->name);
        n->flags |= VM_OPEN_RO;
    }
    int st = n->drv->open(n, w->o);
    if (st != VM_OK)
        return st;
    n->opened = true;
    if (vm__blk_size(n) > VM_BLK_MAX_SIZE)
        return vm__fail(VM_E_CORRUPT, "%s image is larger than any disk", n->drv->name);
    return VM_OK;
}

/* @p file (may be NULL) becomes the node's, also on failure. */
static struct vm_blk *build(struct want *w, const struct vm_blk_driver *drv, struct vm_blk *file,
                            bool probed)
{
    struct vm_blk *n = vm__blk_new(w->env, drv);
    int st;
    if (n == NULL) {
        vm__blk_unref(file);
        return NULL;
    }
    n->flags = w->flags;
    n->why = (uint32_t)w->why;
    n->opener = w->opener;
    n->probed = probed;
    n->file = file;
    const bool own_file = drv->kind == VM_BLK_PROTOCOL || (drv->can & VM_CAN_OPEN_FILE);
    if (file == NULL && !own_file) {
        /* What a format says of itself does not change under it; raw is what its users make it. */
        const bool raw = strcmp(drv->name, "raw") == 0 || drv->kind == VM_BLK_FILTER;
        n->file = open_file(w, n, raw ? w->flags : w->flags & ~(uint32_t)VM_OPEN_SHARE_RW);
        if (n->file == NULL)
            goto fail;
    }
    if (n->file != NULL && !vm__blk_writable(n->file))
        n->flags |= VM_OPEN_RO; /* it may have fallen back */
    st = take_common(w, n);
    if (st == VM_OK)
        st = set_filename(w, n);
    if (st == VM_OK && n->file != NULL && w->why != VM_WHY_USER)
        st = check_loop(w, n->file);
    if (st == VM_OK)
        st = open_driver(w, n);
    if (st == VM_OK)
        st = add_backing(w, n);
    if (st == VM_OK)
        st = connect(n);
    if (st == VM_OK)
        st = complain_unused(w, drv);
    if (st == VM_OK && (n->name = make_name(w, n)) == NULL)
        st = vm__fail_nomem(64);
    if (st != VM_OK)
        goto fail;
    n->opener = NULL;
    return n;
fail:
    n->flags |= VM_OPEN_RO; /* nothing was written: nothing to flush */
    vm__blk_unref(n);
    return NULL;
}

static struct vm_blk *open_probed(struct want *w)
{
    const struct vm_blk_driver *drv;
    if (!(w->flags & VM_OPEN_PROBE)) {
        vm__fail(VM_E_INVAL, "no format given, and guessing it was not asked for");
        return NULL;
    }
    /* Whether others may write is known when the format is. */
    struct vm_blk *file = open_file(w, NULL, w->flags);
    if (file == NULL)
        return NULL;
    drv = probe(w, file);
    if (drv == NULL) {
        vm__blk_unref(file);
        return NULL;
    }
    return build(w, drv, file, true);
}

static struct vm_blk *open_node(struct want *w)
{
    int st = add_json_name(w);
    if (st == VM_OK)
        st = check_depth(w);
    if (st == VM_OK)
        st = take_flags(w);
    const struct vm_blk_driver *drv = st == VM_OK ? choose(w, &st) : NULL;
    if (st != VM_OK)
        return NULL;
    return drv != NULL ? build(w, drv, NULL, false) : open_probed(w);
}

/* ---- the ways in ------------------------------------------------------------------------ */

struct vm_blk *vm__blk_open(struct vm_blk_env *env, const char *name, const char *format,
                            struct vm_blk_options *o, uint32_t flags)
{
    struct vm_blk_options *own = o == NULL ? vm__options_new() : NULL;
    struct want w = { .env = env,
                      .why = VM_WHY_USER,
                      .name = name,
                      .format = format,
                      .o = o != NULL ? o : own,
                      .flags = flags };
    if (w.o == NULL)
        return NULL;
    struct vm_blk *n = open_node(&w);
    if (n == NULL)
        vm__fail_prefix(vm_last_error()->code,
                        "Could not open '%.200s': ", name != NULL ? name : "");
    vm__options_free(own);
    return n;
}

struct vm_blk *vm__blk_open_child(struct vm_blk *n, const char *name, const char *format,
                                  struct vm_blk_options *o, uint32_t flags, int why)
{
    struct vm_blk_options *own = o == NULL ? vm__options_new() : NULL;
    char *full = name != NULL ? vm__blk_relative(n->filename, name) : NULL;
    struct want w = { .env = n->env,
                      .opener = n,
                      .why = why,
                      .name = full,
                      .format = format,
                      .o = o != NULL ? o : own,
                      .flags = flags,
                      .is_file = format == NULL && !(flags & VM_OPEN_PROBE) };
    struct vm_blk *child = NULL;
    if (w.o != NULL && (name == NULL || full != NULL))
        child = open_node(&w);
    if (child != NULL && why != VM_WHY_USER && check_loop(&w, child) != VM_OK) {
        vm__blk_unref(child);
        child = NULL;
    }
    free(full);
    vm__options_free(own);
    return child;
}

/* ---- reopening -------------------------------------------------------------------------- */

static int reopen_node(struct vm_blk *n, uint32_t flags)
{
    const uint32_t ro = flags & VM_OPEN_RO;
    if ((n->flags & VM_OPEN_RO) == ro)
        return VM_OK;
    if (!ro && n->drv->write == NULL)
        return vm__fail(VM_E_NOTSUP, "%s images cannot be written", n->drv->name);
    int st = VM_OK;
    if (ro)
        st = vm__blk_flush(n, 0);
    else if (n->file != NULL)
        st = reopen_node(n->file, flags);
    for (uint32_t i = 0; !ro && st == VM_OK && i < n->n_children; i++)
        st = reopen_node(n->children[i], flags);
    if (st == VM_OK && n->drv->reopen != NULL)
        st = n->drv->reopen(n, (n->flags & ~(uint32_t)VM_OPEN_RO) | ro);
    if (st != VM_OK)
        return st;
    n->flags = (n->flags & ~(uint32_t)VM_OPEN_RO) | ro;
    if (ro && n->file != NULL)
        st = reopen_node(n->file, flags);
    for (uint32_t i = 0; ro && st == VM_OK && i < n->n_children; i++)
        st = reopen_node(n->children[i], flags);
    return st;
}

int vm__blk_reopen(struct vm_blk *n, uint32_t flags)
{
    vm__blk_drain_begin(n);
    const int st = reopen_node(n, flags);
    vm__blk_drain_end(n);
    return st;
}
