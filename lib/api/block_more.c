/* SPDX-License-Identifier: MIT */
/**
 * @file block_more.c
 * Exported: what drivers can do, their options, machine state beside a disk, breakpoints.
 */
#include <libvm/block.h>

#include <string.h>

#include "base/error.h"
#include "block/env.h"
#include "block/node.h"
#include "blockfmt/blkdebug.h"

_Static_assert((int)VM_OPTION_BOOL + 1 == (int)VM_OPT_BOOL &&
                   (int)VM_OPTION_CHOICE + 1 == (int)VM_OPT_ENUM,
               "types of options");

static const struct vm_blk_driver *driver(vm_ctx *ctx, const char *format)
{
    struct vm_blk_env *env = vm__ctx_block(ctx);
    const struct vm_blk_driver *d = env != NULL ? vm__blk_driver(env, format) : NULL;
    if (env != NULL && d == NULL)
        vm__fail(VM_E_NOENT, "Unknown file format '%.60s'", format);
    return d;
}

int vm_blk_driver_can(vm_ctx *ctx, const char *format, uint32_t *can)
{
    if (ctx == NULL || format == NULL || can == NULL)
        return vm__fail(VM_E_INVAL, "no context, format or place for the result");
    const struct vm_blk_driver *d = driver(ctx, format);
    if (d == NULL)
        return vm_last_error()->code;
    const struct {
        bool is;
        uint32_t bit;
    } rows[] = {
        { d->kind == VM_BLK_PROTOCOL, VM_CAN_PROTOCOL },
        { d->kind == VM_BLK_FILTER, VM_CAN_FILTER },
        { d->write != NULL, VM_CAN_WRITE },
        { d->create != NULL, VM_CAN_CREATE },
        { d->truncate != NULL, VM_CAN_RESIZE },
        { d->can & VM_CAN_BACKING, VM_CAN_BACKING_FILE },
        { d->can & VM_CAN_COMPRESS, VM_CAN_COMPRESSED },
        { d->check != NULL, VM_CAN_CHECK },
        { d->measure != NULL, VM_CAN_MEASURE },
        { d->snapshot_create != NULL, VM_CAN_SNAPSHOTS },
        { d->bitmap != NULL, VM_CAN_BITMAPS },
        { d->amend != NULL, VM_CAN_AMEND },
        { d->set_backing != NULL, VM_CAN_REBASE },
    };
    *can = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        *can |= rows[i].is ? rows[i].bit : 0;
    return VM_OK;
}

int vm_blk_each_option(vm_ctx *ctx, const char *format, int what, vm_blk_option_fn fn, void *ud)
{
    if (ctx == NULL || format == NULL || fn == NULL || what < 0 || what > 2)
        return vm__fail(VM_E_INVAL, "no context, format or function, or no such kind of options");
    const struct vm_blk_driver *d = driver(ctx, format);
    if (d == NULL)
        return vm_last_error()->code;
    if (what == 0 && d->create == NULL)
        return vm__fail(VM_E_NOTSUP, "Format driver '%s' does not support image creation", d->name);
    if (what == 2 && d->amend == NULL)
        return vm__fail(VM_E_NOTSUP, "Format driver '%s' does not support option amendment",
                        d->name);
    const struct vm_blk_option *const tables[] = { d->create_options, d->open_options,
                                                   d->amend_options };
    for (const struct vm_blk_option *o = tables[what]; o != NULL && o->name != NULL; o++) {
        const vm_blk_option_row row = { .size = sizeof row,
                                        .type = o->type - VM_OPT_STR,
                                        .name = o->name,
                                        .help = o->help != NULL ? o->help : "",
                                        .value = o->value,
                                        .choices = o->choices };
        const int st = fn(ud, &row);
        if (st != 0)
            return st;
    }
    return VM_OK;
}

/* ---- machine state ---------------------------------------------------------------------- */

int vm_blk_state_read(vm_blk *blk, uint64_t off, void *buf, size_t len)
{
    if (blk == NULL || (buf == NULL && len != 0))
        return vm__fail(VM_E_INVAL, "no image or no memory");
    if (blk->drv->state_read == NULL)
        return vm__fail(VM_E_NOTSUP, "%s images keep no machine state", blk->drv->name);
    vm__blk_drain_begin(blk);
    const int st = blk->drv->state_read(blk, off, buf, len);
    vm__blk_drain_end(blk);
    return st;
}

int vm_blk_state_write(vm_blk *blk, uint64_t off, const void *buf, size_t len)
{
    if (blk == NULL || (buf == NULL && len != 0))
        return vm__fail(VM_E_INVAL, "no image or no memory");
    if (blk->drv->state_write == NULL)
        return vm__fail(VM_E_NOTSUP, "%s images keep no machine state", blk->drv->name);
    if (!vm__blk_writable(blk))
        return vm__fail(VM_E_PERM, "Block node is read-only");
    vm__blk_drain_begin(blk);
    const int st = blk->drv->state_write(blk, off, buf, len);
    vm__blk_drain_end(blk);
    return st;
}

/* ---- breakpoints ------------------------------------------------------------------------ */

int vm_blk_breakpoint(vm_blk *blk, const char *what, const char *event, const char *tag)
{
    if (blk == NULL || what == NULL || tag == NULL)
        return vm__fail(VM_E_INVAL, "no image, operation or tag");
    if (strcmp(what, "break") == 0)
        return event != NULL ? vm__blkdebug_break(blk, event, tag)
                             : vm__fail(VM_E_INVAL, "no event");
    if (strcmp(what, "resume") == 0 || strcmp(what, "remove") == 0)
        return vm__blkdebug_resume(blk, tag);
    if (strcmp(what, "wait") == 0)
        return vm__blkdebug_wait(blk, tag);
    return vm__fail(VM_E_INVAL, "no operation '%.40s' on breakpoints", what);
}
