/* SPDX-License-Identifier: MIT */
/**
 * @file image.h
 * What one does with images as a whole: info, map, check, measure, compare, convert, commit,
 * rebase, stream, snapshots. Each is a library call; the tools only print.
 *
 * Results for machines are JSON with the names of `qemu-img --output=json`.
 */
#ifndef LIBVM_BLOCK_IMAGE_H
#define LIBVM_BLOCK_IMAGE_H

#include "block/job.h"
#include "block/node.h"

/** The driver's info; zeros where it has none to tell. @p out->specific is the caller's. */
int vm__blk_get_info(struct vm_blk *n, struct vm_blk_info *out);
/** Free what it holds. */
void vm__blk_info_clear(struct vm_blk_info *info);
/** Bytes of storage that the image takes on the host, all its files but the backing ones;
 * UINT64_MAX: unknown. */
uint64_t vm__blk_allocated(struct vm_blk *n);
/** `info --output=json` of one node: an object, the caller's. NULL with the error set. */
struct json_t *vm__blk_info_json(struct vm_blk *n);

/** One row of `map`: a stretch of the same kind. */
struct vm_blk_row {
    uint64_t start, length;
    uint32_t depth;
    uint32_t flags;          /**< enum vm_extent_flags */
    uint64_t offset;         /**< with VM_EXTENT_OFFSET: in the file below, whose name is… */
    const struct vm_blk *in; /**< …of this node */
};
/** The rows of [off, off + len), through backing files. Non-zero from @p fn ends it. */
int vm__blk_map(struct vm_blk *n, uint64_t off, uint64_t len,
                int (*fn)(void *ud, const struct vm_blk_row *row), void *ud);

/** @retval VM_E_NOTSUP "This image format does not support checks" */
int vm__blk_check(struct vm_blk *n, struct vm_blk_check *out, uint32_t fix);
/** @p source may be NULL (then @p size counts); @p o: create options of @p format, may be NULL. */
int vm__blk_measure(struct vm_blk_env *env, const char *format, uint64_t size,
                    struct vm_blk *source, struct vm_blk_options *o, struct vm_blk_measure *out);

/** Compare contents; the shorter one ends in zeros, unless @p strict (then also what is allocated
 *  must be the same). @p job may be NULL.
 *  @return 0 equal, 1 different at *@p at, 2 sizes differ, 3 allocated differently at *@p at (both
 *  strict), or negative */
int vm__blk_compare(struct vm_blk *a, struct vm_blk *b, bool strict, struct vm_job *job,
                    uint64_t *at);

/** How to copy. */
struct vm_blk_convert {
    struct vm_blk *from, *to;
    uint64_t from_off, to_off, len;
    uint32_t sparse_bytes;  /**< runs of zeros this long are not stored; 0: everything is written */
    bool to_is_zero;        /**< the target reads as zeros already */
    bool compressed;        /**< VM_IO_COMPRESSED, a cluster at a time */
    bool copy_range;        /**< let the host copy where it can */
    bool salvage;           /**< what cannot be read becomes zeros */
    bool in_order;          /**< writes go from front to back (stream formats) */
    struct vm_blk *backing; /**< what is not allocated above this node of @p from is left out */
    uint32_t width;         /**< pieces at a time; 0: as many as useful */
};
/** Copy; @p job may be NULL. */
int vm__blk_convert(const struct vm_blk_convert *c, struct vm_job *job);

/** Write what @p n has into its backing file, or into the @p base further down (NULL: the backing
 *  file), which becomes writable for it, and empty @p n if it can be and @p empty says so. */
int vm__blk_commit(struct vm_blk *n, struct vm_blk *base, bool empty, struct vm_job *job);
/** The node below @p n that info calls @p name; NULL with the error set. */
struct vm_blk *vm__blk_find_base(struct vm_blk *n, const char *name);
/** Give @p n another backing file (@p name NULL: none). Unless @p only_name, what differs is copied
 *  up first. */
int vm__blk_rebase(struct vm_blk *n, const char *name, const char *format, bool only_name,
                   struct vm_job *job);
/** Change properties: options of the driver's amend_options. @p job may be NULL. */
int vm__blk_amend(struct vm_blk *n, struct vm_blk_options *o, struct vm_job *job);

/* Dirty bitmaps (bitmap.c). */
/** The bitmaps of an image, malloc'd; none where the format has none. */
int vm__blk_bitmap_list(struct vm_blk *n, struct vm_blk_bitmap **list, size_t *count);
/** What @p what says, as in the driver's bitmap(). */
int vm__blk_bitmap(struct vm_blk *n, const char *what, const char *name, struct vm_blk_options *o);
/** Set in bitmap @p name of @p to what is set in @p source of @p from. */
int vm__blk_bitmap_merge(struct vm_blk *to, const char *name, struct vm_blk *from,
                         const char *source);
/** Make in @p to what bitmaps @p from has. @p skip_broken: leave out those that are in use. */
int vm__blk_bitmap_copy(struct vm_blk *from, struct vm_blk *to, bool skip_broken);

/** Copy up all that @p n reads from backing files, and drop them. Users of @p n may go on. */
int vm__blk_stream(struct vm_blk *n, struct vm_job *job);

/** How a mirror goes on. */
enum {
    VM__MIRROR_SWITCH = 1, /**< in the end all I/O of the source goes to the target */
    VM__MIRROR_TOP = 2,    /**< only what the source has itself: the target has the same below */
};
/**
 * Copy @p n to @p target, which must be as large, while users write to @p n. When the two are the
 * same, users are held for a moment: what changed last is copied, the target flushed, and, with
 * VM__MIRROR_SWITCH, from then on the target serves what is asked of @p n.
 */
int vm__blk_mirror(struct vm_blk *n, struct vm_blk *target, uint32_t flags, struct vm_job *job);

enum vm_backup_mode { VM__BACKUP_FULL = 0, VM__BACKUP_TOP, VM__BACKUP_NONE };
/**
 * Keep @p n as it is now in @p target while users go on writing: what they change is copied before.
 * FULL: all of it; TOP: what @p n has itself; NONE: only what is changed, until the job is called
 * off, which is its good end.
 */
int vm__blk_backup(struct vm_blk *n, struct vm_blk *target, enum vm_backup_mode mode,
                   struct vm_job *job);

#endif
