/* SPDX-License-Identifier: MIT */
/**
 * @file block_job.c
 * Exported: changing images, and work on them in the background.
 */
#include <libvm/block.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/block_impl.h"
#include "base/error.h"
#include "block/image.h"
#include "block/job.h"
#include "block/options.h"

static int no_image(void)
{
    return vm__fail(VM_E_INVAL, "no image");
}

int vm_blk_resize(vm_blk *blk, uint64_t size, const char *preallocation)
{
    static const char *const modes[] = { "off", "metadata", "falloc", "full" };
    if (blk == NULL)
        return no_image();
    if (preallocation == NULL)
        preallocation = "off";
    for (int i = 0; i < 4; i++)
        if (strcmp(preallocation, modes[i]) == 0)
            return vm__blk_resize(blk, size, (enum vm_prealloc)i, 0);
    return vm__fail(VM_E_INVAL, "Invalid preallocation mode: '%.40s'", preallocation);
}

int vm_blk_reopen(vm_blk *blk, uint32_t flags)
{
    if (blk == NULL)
        return no_image();
    if ((flags & ~(uint32_t)VM_BLK_RO) != 0)
        return vm__fail(VM_E_INVAL, "unknown flags %#x", flags);
    return vm__blk_reopen(blk, (blk->flags & ~(uint32_t)VM_OPEN_RO) | flags);
}

int vm_blk_amend(vm_blk *blk, const char *options)
{
    if (blk == NULL)
        return no_image();
    struct vm_blk_options *o = vm__api_options(options);
    const int st = o != NULL ? vm__blk_amend(blk, o, NULL) : vm_last_error()->code;
    vm__options_free(o);
    return st;
}

static int snapshot(vm_blk *blk, const char *what, const char *name)
{
    const struct vm_blk_driver *d = blk->drv;
    if (strcmp(what, "create") == 0 && d->snapshot_create != NULL) {
        struct vm_blk_snapshot s = { .disk_size = vm__blk_size(blk) };
        if (strlen(name) >= sizeof s.name)
            return vm__fail(VM_E_INVAL, "the name of a snapshot has at most %zu bytes",
                            sizeof s.name - 1);
        memcpy(s.name, name, strlen(name) + 1);
        struct timespec now;
        timespec_get(&now, TIME_UTC);
        s.date_s = (uint64_t)now.tv_sec;
        s.date_ns = (uint32_t)now.tv_nsec;
        return d->snapshot_create(blk, &s);
    }
    if (strcmp(what, "apply") == 0 && d->snapshot_goto != NULL)
        return d->snapshot_goto(blk, name);
    if (strcmp(what, "delete") == 0 && d->snapshot_delete != NULL)
        return d->snapshot_delete(blk, name);
    if (strcmp(what, "load") == 0 && d->snapshot_load != NULL)
        return d->snapshot_load(blk, name);
    return vm__fail(VM_E_NOTSUP, "%s images have no internal snapshots to %s", d->name, what);
}

int vm_blk_snapshot(vm_blk *blk, const char *what, const char *name)
{
    if (blk == NULL || what == NULL || name == NULL)
        return vm__fail(VM_E_INVAL, "no image, operation or name");
    vm__blk_drain_begin(blk);
    const int st = snapshot(blk, what, name);
    vm__blk_drain_end(blk);
    return st;
}

int vm_blk_bitmap(vm_blk *blk, const char *what, const char *name, const char *options)
{
    if (blk == NULL || what == NULL || name == NULL)
        return vm__fail(VM_E_INVAL, "no image, operation or name");
    struct vm_blk_options *o = vm__api_options(options);
    const int st = o != NULL ? vm__blk_bitmap(blk, what, name, o) : vm_last_error()->code;
    vm__options_free(o);
    return st;
}

int vm_blk_bitmap_merge(vm_blk *to, const char *name, vm_blk *from, const char *source)
{
    if (to == NULL || name == NULL || from == NULL || source == NULL)
        return vm__fail(VM_E_INVAL, "no image or name");
    return vm__blk_bitmap_merge(to, name, from, source);
}

int vm_blk_bitmap_copy(vm_blk *from, vm_blk *to, int skip_broken)
{
    return from != NULL && to != NULL ? vm__blk_bitmap_copy(from, to, skip_broken != 0)
                                      : no_image();
}

/* ---- jobs ------------------------------------------------------------------------------- */

/* One state for all: images that the job keeps, and what it was told. */
struct work {
    struct vm_blk *a, *b;
    struct vm_blk_convert convert;
    char *name, *format;
    struct vm_blk_options *options;
    uint64_t *at;
    bool flag;
    uint32_t flags;
};

static void clean(struct vm_job *job, void *state, int status)
{
    struct work *w = state;
    (void)job;
    (void)status;
    vm__blk_unref(w->a);
    vm__blk_unref(w->b);
    free(w->name);
    free(w->format);
    vm__options_free(w->options);
}

static int run_convert(struct vm_job *job, void *state)
{
    struct work *w = state;
    const int st = vm__blk_convert(&w->convert, job);
    return st == VM_OK ? vm__blk_flush(w->b, 0) : st;
}

static int run_commit(struct vm_job *job, void *state)
{
    struct work *w = state;
    struct vm_blk *base = NULL;
    if (w->name != NULL && (base = vm__blk_find_base(w->a, w->name)) == NULL)
        return vm_last_error()->code;
    return vm__blk_commit(w->a, base, !w->flag, job);
}

static int run_compare(struct vm_job *job, void *state)
{
    struct work *w = state;
    uint64_t at = 0;
    const int st = vm__blk_compare(w->a, w->b, w->flag, job, &at);
    if (w->at != NULL)
        *w->at = at;
    return st;
}

static int run_rebase(struct vm_job *job, void *state)
{
    struct work *w = state;
    return vm__blk_rebase(w->a, w->name, w->format, w->flag, job);
}

static int run_stream(struct vm_job *job, void *state)
{
    struct work *w = state;
    return vm__blk_stream(w->a, job);
}

static int run_amend(struct vm_job *job, void *state)
{
    struct work *w = state;
    return vm__blk_amend(w->a, w->options, job);
}

static const struct vm_job_class amend_class = { "amend", sizeof(struct work), run_amend, clean };
static const struct vm_job_class convert_class = { "convert", sizeof(struct work), run_convert,
                                                   clean };
static const struct vm_job_class compare_class = { "compare", sizeof(struct work), run_compare,
                                                   clean };
static const struct vm_job_class commit_class = { "commit", sizeof(struct work), run_commit,
                                                  clean };
static const struct vm_job_class rebase_class = { "rebase", sizeof(struct work), run_rebase,
                                                  clean };
static const struct vm_job_class stream_class = { "stream", sizeof(struct work), run_stream,
                                                  clean };

static struct vm_job *new_job(vm_blk *blk, const struct vm_job_class *cls, struct work **w)
{
    void *state = NULL;
    if (blk == NULL) {
        no_image();
        return NULL;
    }
    struct vm_job *job = vm__job_new(blk->env, cls, &state);
    if (job == NULL)
        return NULL;
    *w = state;
    (*w)->a = vm__blk_ref(blk);
    return job;
}

static vm_job *start(struct vm_job *job)
{
    if (vm__job_start(job) == VM_OK)
        return job;
    vm__job_unref(job);
    return NULL;
}

/* A new image: does it read as zeros where nobody has written? */
static bool begins_with_zeros(const struct vm_blk *n)
{
    if (n->backing != NULL || n->backing_name != NULL || !(n->drv->can & VM_CAN_ZERO_INIT))
        return false;
    return strcmp(n->drv->name, "raw") != 0 || begins_with_zeros(n->file);
}

vm_job *vm_blk_convert(vm_blk *from, vm_blk *to, const vm_convert_options *options)
{
    vm_convert_options o = { 0 };
    struct work *w = NULL;
    if (from == NULL || to == NULL) {
        no_image();
        return NULL;
    }
    if (options != NULL)
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    const uint64_t size = vm__blk_size(from);
    if (o.from_off > size || o.len > size - o.from_off) {
        vm__fail(VM_E_RANGE, "the source ends at %llu", (unsigned long long)size);
        return NULL;
    }
    struct vm_job *job = new_job(from, &convert_class, &w);
    if (job == NULL)
        return NULL;
    w->b = vm__blk_ref(to);
    w->convert = (struct vm_blk_convert) {
        .from = from,
        .to = to,
        .from_off = o.from_off,
        .to_off = o.to_off,
        .len = o.len != 0 ? o.len : size - o.from_off,
        .sparse_bytes = (o.flags & VM_CONVERT_FULL) ? 0
                        : o.sparse_bytes != 0       ? o.sparse_bytes
                                                    : 4096,
        .to_is_zero = (o.flags & VM_CONVERT_TARGET_IS_ZERO) ||
                      ((o.flags & VM_CONVERT_NEW) && begins_with_zeros(to)),
        .backing = o.flags & VM_CONVERT_OWN ? from->backing : NULL,
        .compressed = o.flags & VM_CONVERT_COMPRESS,
        .copy_range = o.flags & VM_CONVERT_COPY_RANGE,
        .salvage = o.flags & VM_CONVERT_SALVAGE,
        .in_order = o.flags & VM_CONVERT_IN_ORDER,
        .width = o.width,
    };
    return start(job);
}

vm_job *vm_blk_amend_start(vm_blk *blk, const char *options)
{
    struct work *w = NULL;
    struct vm_job *job = new_job(blk, &amend_class, &w);
    if (job == NULL)
        return NULL;
    w->options = vm__api_options(options);
    if (w->options == NULL) {
        vm__job_unref(job);
        return NULL;
    }
    return start(job);
}

vm_job *vm_blk_commit_to(vm_blk *blk, const char *base, int keep)
{
    struct work *w = NULL;
    struct vm_job *job = new_job(blk, &commit_class, &w);
    if (job == NULL)
        return NULL;
    w->flag = keep != 0;
    if (base != NULL && (w->name = strdup(base)) == NULL) {
        vm__fail_nomem(strlen(base));
        vm__job_unref(job);
        return NULL;
    }
    return start(job);
}

vm_job *vm_blk_commit(vm_blk *blk, int keep)
{
    return vm_blk_commit_to(blk, NULL, keep);
}

vm_job *vm_blk_compare_start(vm_blk *a, vm_blk *b, int strict, uint64_t *at)
{
    struct work *w = NULL;
    if (b == NULL) {
        no_image();
        return NULL;
    }
    struct vm_job *job = new_job(a, &compare_class, &w);
    if (job == NULL)
        return NULL;
    w->b = vm__blk_ref(b);
    w->flag = strict != 0;
    w->at = at;
    return start(job);
}

vm_job *vm_blk_rebase(vm_blk *blk, const char *name, const char *format, int only_name)
{
    struct work *w = NULL;
    struct vm_job *job = new_job(blk, &rebase_class, &w);
    if (job == NULL)
        return NULL;
    w->flag = only_name != 0;
    w->name = name != NULL ? strdup(name) : NULL;
    w->format = format != NULL ? strdup(format) : NULL;
    if ((name != NULL && w->name == NULL) || (format != NULL && w->format == NULL)) {
        vm__fail_nomem(64);
        vm__job_unref(job);
        return NULL;
    }
    return start(job);
}

static int run_mirror(struct vm_job *job, void *state)
{
    struct work *w = state;
    return vm__blk_mirror(w->a, w->b, w->flags, job);
}

static int run_backup(struct vm_job *job, void *state)
{
    struct work *w = state;
    return vm__blk_backup(w->a, w->b, (enum vm_backup_mode)w->flags, job);
}

static const struct vm_job_class mirror_class = { "mirror", sizeof(struct work), run_mirror,
                                                  clean };
static const struct vm_job_class backup_class = { "backup", sizeof(struct work), run_backup,
                                                  clean };

static vm_job *copy_live(const struct vm_job_class *cls, vm_blk *blk, vm_blk *target,
                         uint32_t flags)
{
    struct work *w = NULL;
    if (target == NULL) {
        no_image();
        return NULL;
    }
    struct vm_job *job = new_job(blk, cls, &w);
    if (job == NULL)
        return NULL;
    w->b = vm__blk_ref(target);
    w->flags = flags;
    return start(job);
}

vm_job *vm_blk_mirror(vm_blk *blk, vm_blk *target, uint32_t flags)
{
    if ((flags & ~(uint32_t)(VM_MIRROR_SWITCH | VM_MIRROR_TOP)) == 0)
        return copy_live(&mirror_class, blk, target, flags);
    vm__fail(VM_E_INVAL, "unknown flags %#x", flags);
    return NULL;
}

vm_job *vm_blk_backup(vm_blk *blk, vm_blk *target, uint32_t mode)
{
    if (mode <= VM_BACKUP_NONE)
        return copy_live(&backup_class, blk, target, mode);
    vm__fail(VM_E_INVAL, "unknown mode %u", mode);
    return NULL;
}

vm_job *vm_blk_stream(vm_blk *blk)
{
    struct work *w = NULL;
    struct vm_job *job = new_job(blk, &stream_class, &w);
    return job != NULL ? start(job) : NULL;
}

int vm_job_progress(vm_job *job, uint64_t *done, uint64_t *total)
{
    if (job == NULL || done == NULL || total == NULL)
        return vm__fail(VM_E_INVAL, "no job or no place for the numbers");
    vm__job_progress(job, done, total);
    return VM_OK;
}

int vm_job_cancel(vm_job *job)
{
    if (job == NULL)
        return vm__fail(VM_E_INVAL, "no job");
    vm__job_cancel(job);
    return VM_OK;
}

int vm_job_wait(vm_job *job, int64_t timeout_ns)
{
    return job != NULL ? vm__job_wait(job, timeout_ns) : vm__fail(VM_E_INVAL, "no job");
}

void vm_job_unref(vm_job *job)
{
    vm__job_unref(job);
}
