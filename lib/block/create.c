/* SPDX-License-Identifier: MIT */
/**
 * @file create.c
 * Making images.
 *
 * Options are looked at first, by the tables of the format and of the protocol below; then the
 * format's create() looks at what its table cannot say, and only then asks for its file.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/env_impl.h"

static const struct vm_blk_option *row_of(const struct vm_blk_option *table, const char *name)
{
    for (; table != NULL && table->name != NULL; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

struct split {
    const struct vm_blk_driver *format, *protocol;
    struct vm_blk_options *own, *file;
};

static int split_one(void *ud, const char *name, const char *value)
{
    struct split *s = ud;
    if (row_of(s->format->create_options, name) != NULL)
        return vm__options_set(s->own, name, value);
    if (s->protocol != NULL && row_of(s->protocol->create_options, name) != NULL)
        return vm__options_set(s->file, name, value);
    return vm__fail(VM_E_INVAL, "Invalid parameter '%.80s'", name);
}

static int set_defaults(struct vm_blk_options *o, const struct vm_blk_option *table)
{
    int st = VM_OK;
    for (; st == VM_OK && table != NULL && table->name != NULL; table++)
        if (table->value != NULL && !vm__opt_has(o, table->name))
            st = vm__options_set(o, table->name, table->value);
    return st;
}

static const struct vm_blk_driver *protocol_for(struct vm_blk_env *env, const char *name)
{
    bool bad;
    const struct vm_blk_driver *d = vm__blk_protocol(env, name, &bad);
    return d == NULL && !bad ? vm__blk_driver(env, "file") : d;
}

static int check_options(struct split *s, struct vm_blk_options *o)
{
    int st = o != NULL ? vm__opt_each(o, split_one, s) : VM_OK;
    if (st == VM_OK)
        st = vm__opt_check(s->own, s->format->create_options);
    if (st == VM_OK && s->protocol != NULL)
        st = vm__opt_check(s->file, s->protocol->create_options);
    if (st == VM_OK)
        st = set_defaults(s->own, s->format->create_options);
    return st;
}

static int run_create(const struct vm_blk_driver *drv, struct vm_blk_create *c)
{
    int st = drv->create(c->env, c);
    if (st == VM_OK && c->file != NULL)
        st = vm__blk_flush(c->file, 0);
    vm__blk_unref(c->file);
    if (st != VM_OK && c->made) {
        char why[256];
        const int os = vm_last_error()->os_errno;
        vm__error_keep(why, sizeof why);
        const struct vm_blk_driver *p =
            drv->kind == VM_BLK_PROTOCOL ? drv : protocol_for(c->env, c->name);
        if (p != NULL && p->remove != NULL)
            (void)p->remove(c->env, c->name);
        vm__fail(st, "%s", why);
        (void)os;
    }
    return st;
}

int vm__blk_create(struct vm_blk_env *env, const char *format, const char *name, uint64_t size,
                   struct vm_blk_options *o)
{
    const struct vm_blk_driver *drv = vm__blk_driver(env, format);
    if (drv == NULL)
        return vm__fail(VM_E_NOENT, "Unknown file format '%.60s'", format);
    if (drv->create == NULL)
        return vm__fail(VM_E_NOTSUP, "Format driver '%s' does not support image creation", format);
    struct split s = { .format = drv, .own = vm__options_new(), .file = vm__options_new() };
    int st = s.own != NULL && s.file != NULL ? VM_OK : VM_E_NOMEM;
    if (st == VM_OK && drv->kind != VM_BLK_PROTOCOL &&
        (s.protocol = protocol_for(env, name)) == NULL)
        st = vm_last_error()->code;
    if (st == VM_OK)
        st = check_options(&s, o);
    if (st == VM_OK && size > VM_BLK_MAX_SIZE)
        st = vm__fail(VM_E_RANGE, "Image size must be less than 8 EiB!");
    if (st == VM_OK) {
        struct vm_blk_create c = { .name = name,
                                   .size = size,
                                   .backing_name = vm__opt_str(s.own, "backing_file"),
                                   .backing_format = vm__opt_str(s.own, "backing_fmt"),
                                   .options = s.own,
                                   .env = env,
                                   .file_options = s.file };
        st = run_create(drv, &c);
    }
    vm__options_free(s.own);
    vm__options_free(s.file);
    return st;
}

/* ---- for drivers ------------------------------------------------------------------------ */

static struct vm_blk *make(struct vm_blk_env *env, const char *name, struct vm_blk_options *o,
                           bool *made)
{
    const struct vm_blk_driver *p = protocol_for(env, name);
    if (p == NULL)
        return NULL;
    if (p->create == NULL) {
        vm__fail(VM_E_NOTSUP, "Protocol driver '%s' does not support image creation", p->name);
        return NULL;
    }
    struct vm_blk_create c = { .name = name, .options = o, .env = env };
    if (p->create(env, &c) != VM_OK)
        return NULL;
    *made = c.made;
    struct vm_blk *file = vm__blk_open(env, name, p->name, NULL, VM_OPEN_UNMAP);
    if (file == NULL && c.made && p->remove != NULL)
        (void)p->remove(env, name);
    return file;
}

int vm__create_file(struct vm_blk_create *c)
{
    c->file = make(c->env, c->name, c->file_options, &c->made);
    return c->file != NULL ? VM_OK : vm_last_error()->code;
}

struct vm_blk *vm__create_extra(struct vm_blk_create *c, const char *name)
{
    bool made = false;
    struct vm_blk *file = NULL;
    struct vm_blk_options *none = vm__options_new();
    char *full = none != NULL ? vm__blk_relative(c->name, name) : NULL;
    if (full != NULL)
        file = make(c->env, full, none, &made);
    free(full);
    vm__options_free(none);
    return file;
}
