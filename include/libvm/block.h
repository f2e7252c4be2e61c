/* SPDX-License-Identifier: MIT */
/**
 * @file block.h
 * Disk images, with or without a machine: open, read, write, inspect, convert.
 *
 * An image is opened by file name and format; "json:{…}" names describe any stack of drivers.
 * Guessing the format is the caller's choice (#VM_BLK_PROBE), since a guest can write another
 * format's mark into a raw disk. What an image names further (backing files, extents) is opened by
 * the policy of vm_host_ops.open, if there is one.
 *
 * Lifetime: an image keeps its context alive; jobs keep their images. Threads: an image may be used
 * from any number of threads at once; calls marked [alone] wait until no read or write is in
 * progress, and hold back further ones meanwhile.
 *
 *     vm_blk *disk = vm_blk_open(ctx, "debian.vdi", "vdi", VM_BLK_RO);
 *     char sector[512];
 *     vm_blk_read(disk, 0, sector, sizeof sector);
 *     vm_blk_close(disk);
 */
#ifndef LIBVM_BLOCK_H
#define LIBVM_BLOCK_H

#include <libvm/config.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vm_blk vm_blk;
typedef struct vm_job vm_job;

/** How to open. */
enum {
    VM_BLK_RO = 1,             /**< no writes */
    VM_BLK_PROBE = 2,          /**< guess formats that are not given */
    VM_BLK_NOBACKING = 4,      /**< do not open the backing file */
    VM_BLK_UNSAFE = 8,         /**< flush does nothing */
    VM_BLK_DIRECT = 16,        /**< past the host's page cache */
    VM_BLK_SHARE = 32,         /**< read although another program may be writing */
    VM_BLK_CHECK = 64,         /**< for vm_blk_check(): open what it can repair */
    VM_BLK_WRITETHROUGH = 128, /**< every write is on stable storage when it returns */
    VM_BLK_UNMAP = 256,        /**< discards give space back */
    VM_BLK_NO_IO = 512,        /**< for information only: keys are not needed */
    VM_BLK_AUTO_RO = 1024,     /**< read-only if writing is not allowed */
    VM_BLK_SHARE_RW = 4096,    /**< raw: other programs may write, too */
};

/** Of one request. */
enum {
    VM_BLK_FUA = 2,         /**< on stable storage when it returns */
    VM_BLK_MAY_UNMAP = 4,   /**< zeros: space may be given back */
    VM_BLK_NO_FALLBACK = 8, /**< zeros: fail rather than write them byte by byte */
    VM_BLK_COMPRESSED = 16, /**< store compressed; whole clusters only */
};

/** Open an image. [any] @param format NULL with VM_BLK_PROBE. @return NULL with the reason as
 *  error. @since 0.1 */
VM_API vm_blk *vm_blk_open(vm_ctx *ctx, const char *name, const char *format, uint32_t flags);
/**
 * Make an image; an existing file is overwritten, but only when everything has been checked. [any]
 * @param options "cluster_size=64k,…" or a JSON object; NULL for none. vm_blk_list_options()
 * @since 0.1
 */
VM_API int vm_blk_create(vm_ctx *ctx, const char *name, const char *format, uint64_t size,
                         const char *options);
/** Flush and close; NULL is fine. [any] @since 0.1 */
VM_API void vm_blk_close(vm_blk *blk);
/** Name, summary and nothing more of every driver. [any] @since 0.1 */
VM_API int vm_blk_list_drivers(vm_ctx *ctx, vm_list_fn fn, void *ud);
/** What a driver can do. */
enum {
    VM_CAN_PROTOCOL = 1, /**< it is a bottom: a file, a server */
    VM_CAN_FILTER = 2,   /**< it stands on another image and is none itself */
    VM_CAN_WRITE = 4,
    VM_CAN_CREATE = 8,
    VM_CAN_RESIZE = 16,
    VM_CAN_BACKING_FILE = 32,
    VM_CAN_COMPRESSED = 64,
    VM_CAN_CHECK = 128,
    VM_CAN_MEASURE = 256,
    VM_CAN_SNAPSHOTS = 512,
    VM_CAN_BITMAPS = 1024,
    VM_CAN_AMEND = 2048,
    VM_CAN_REBASE = 4096,
};
/** [any] @param can VM_CAN_* of a driver. @retval VM_E_NOENT no such format. @since 0.1 */
VM_API int vm_blk_driver_can(vm_ctx *ctx, const char *format, uint32_t *can);
/** Options of creating (@p what 0), opening (1) or amending (2) images of a format. [any]
 *  @retval VM_E_NOENT no such format. @since 0.1 */
VM_API int vm_blk_list_options(vm_ctx *ctx, const char *format, int what, vm_list_fn fn, void *ud);
/** Types of options. */
enum { VM_OPTION_TEXT, VM_OPTION_BOOL, VM_OPTION_NUMBER, VM_OPTION_SIZE, VM_OPTION_CHOICE };
/** An option; the texts hold for ever. */
typedef struct vm_blk_option_row {
    uint32_t size; /**< sizeof(vm_blk_option_row) */
    uint32_t type; /**< VM_OPTION_* */
    const char *name, *help;
    const char *value;          /**< default; NULL: none */
    const char *const *choices; /**< of VM_OPTION_CHOICE, NULL-ended */
} vm_blk_option_row;
typedef int (*vm_blk_option_fn)(void *ud, const vm_blk_option_row *row);
/** vm_blk_list_options() with types and defaults, in the order in which tools print them. [any]
 *  @retval VM_E_NOENT no such format. @retval VM_E_NOTSUP it cannot be made, or amended.
 *  @since 0.1 */
VM_API int vm_blk_each_option(vm_ctx *ctx, const char *format, int what, vm_blk_option_fn fn,
                              void *ud);
/** Keep a key or password under a name that options refer to. Copied. [any] @since 0.1 */
VM_API int vm_secret_add(vm_ctx *ctx, const char *id, const void *data, size_t len);

/** Bytes. [any] @since 0.1 */
VM_API int64_t vm_blk_size(vm_blk *blk);
/** [any] @retval VM_E_RANGE beyond the end. @since 0.1 */
VM_API int vm_blk_read(vm_blk *blk, uint64_t off, void *buf, size_t len);
/** [any] @param flags VM_BLK_FUA, VM_BLK_COMPRESSED. @retval VM_E_PERM opened read-only. @since 0.1
 */
VM_API int vm_blk_write(vm_blk *blk, uint64_t off, const void *buf, size_t len, uint32_t flags);
/** [any] Make a range read as zeros. @since 0.1 */
VM_API int vm_blk_zero(vm_blk *blk, uint64_t off, uint64_t len, uint32_t flags);
/** [any] The range is not needed any more; what it reads as is not defined. @since 0.1 */
VM_API int vm_blk_discard(vm_blk *blk, uint64_t off, uint64_t len);
/** [any] What was written before is on stable storage when it returns. @since 0.1 */
VM_API int vm_blk_flush(vm_blk *blk);

/** The state of a machine, kept beside the disk by formats with snapshots. [any] @retval
 *  VM_E_NOTSUP the format has no place for it. @since 0.1 */
VM_API int vm_blk_state_read(vm_blk *blk, uint64_t off, void *buf, size_t len);
/** [any] @since 0.1 */
VM_API int vm_blk_state_write(vm_blk *blk, uint64_t off, const void *buf, size_t len);

/** Breakpoints of a blkdebug filter, at the events that drivers pass: @p what "break" (then @p
 * event counts), "resume", "remove", "wait". [any] @since 0.1 */
VM_API int vm_blk_breakpoint(vm_blk *blk, const char *what, const char *event, const char *tag);

/** Kinds of requests. */
enum { VM_BLK_READ = 0, VM_BLK_WRITE = 1, VM_BLK_FLUSH = 2, VM_BLK_DISCARD = 3, VM_BLK_ZERO = 4 };
/** A request is done: 0 or VM_E_*. On any thread, also before vm_blk_submit() has returned. */
typedef void (*vm_blk_done)(void *ud, int status);
/** Start a request; @p buf stays the library's until @p done. [any] @since 0.1 */
VM_API int vm_blk_submit(vm_blk *blk, int op, uint64_t off, void *buf, size_t len, uint32_t flags,
                         vm_blk_done done, void *ud);

/** What `qemu-img info --output=json` prints, as JSON. [alone] @param len in: room; out: needed,
 * with NUL. @retval VM_E_RANGE too small. @since 0.1 */
VM_API int vm_blk_info(vm_blk *blk, char *json, size_t *len);

/** Of a stretch of an image. */
enum {
    VM_MAP_DATA = 1,      /**< bytes are stored */
    VM_MAP_ZERO = 2,      /**< it reads as zeros */
    VM_MAP_ALLOCATED = 4, /**< some image of the chain has it */
    VM_MAP_OFFSET = 8,    /**< host_offset holds */
    VM_MAP_COMPRESSED = 16,
};
typedef struct vm_blk_map_row {
    uint32_t size; /**< sizeof(vm_blk_map_row) */
    uint32_t flags;
    uint64_t start, length, host_offset;
    uint32_t depth; /**< 0: this image, 1: its backing file, … */
    uint32_t reserved;
    const char *file; /**< with VM_MAP_OFFSET; during the call */
} vm_blk_map_row;
typedef int (*vm_blk_map_fn)(void *ud, const vm_blk_map_row *row);
/** The stretches of a range, in order. Non-zero from @p fn ends it and is returned. [any]
 *  @since 0.1 */
VM_API int vm_blk_map(vm_blk *blk, uint64_t off, uint64_t len, vm_blk_map_fn fn, void *ud);

typedef struct vm_blk_check_result {
    uint32_t size;
    uint32_t reserved;
    uint64_t corruptions, leaks, errors, corruptions_fixed, leaks_fixed;
    uint64_t total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
    uint64_t image_end_offset;
} vm_blk_check_result;
/** What to repair. */
enum { VM_BLK_FIX_LEAKS = 1, VM_BLK_FIX_ERRORS = 2 };
typedef void (*vm_blk_problem_fn)(void *ud, const char *line);
/** Look for damage, and repair it. [alone] @retval VM_E_NOTSUP the format has no check. @since 0.1
 */
VM_API int vm_blk_check(vm_blk *blk, uint32_t fix, vm_blk_check_result *result,
                        vm_blk_problem_fn problem, void *ud);
/** Compare contents; @p at: the first difference. [any] @return 0 equal, 1 different, or negative.
 *  @since 0.1 */
VM_API int vm_blk_compare(vm_blk *a, vm_blk *b, uint64_t *at);
/** Results of vm_job_wait() beside errors. */
enum { VM_COMPARE_EQUAL = 0, VM_COMPARE_DATA = 1, VM_COMPARE_SIZE = 2, VM_COMPARE_STATUS = 3 };
/** Compare in the background. [any] @param strict: sizes, and what is allocated, are to be the
 * same, too. @param at the first difference; yours until the job has ended. @since 0.1 */
VM_API vm_job *vm_blk_compare_start(vm_blk *a, vm_blk *b, int strict, uint64_t *at);
/** Bytes an image of this content would take at least, and at most. @p source may be NULL. [any]
 *  @since 0.1 */
VM_API int vm_blk_measure(vm_ctx *ctx, const char *format, uint64_t size, vm_blk *source,
                          const char *options, uint64_t *required, uint64_t *fully_allocated);

/** What vm_blk_measure_detail() finds, in bytes. */
typedef struct vm_blk_measured {
    uint32_t size;        /**< sizeof(vm_blk_measured) */
    uint32_t has_bitmaps; /**< bitmaps holds: source and target can have dirty bitmaps */
    uint64_t required, fully_allocated;
    uint64_t bitmaps; /**< for a copy of the source's bitmaps, in addition */
} vm_blk_measured;
/** vm_blk_measure() with all that there is to tell. [any] @since 0.1 */
VM_API int vm_blk_measure_detail(vm_ctx *ctx, const char *format, uint64_t size, vm_blk *source,
                                 const char *options, vm_blk_measured *out);

/** A partition. */
typedef struct vm_part_row {
    uint32_t size;     /**< sizeof(vm_part_row) */
    uint32_t index;    /**< as systems number them: from 1; logical ones of an MBR from 5 */
    uint64_t off, len; /**< bytes */
    uint32_t bootable;
    uint32_t reserved;
    const char *scheme; /**< "mbr" or "gpt"; the texts hold during the call */
    const char *type;   /**< "0x83", or a GUID */
    const char *label;  /**< GPT; else empty */
    const char *uuid;   /**< GPT; else empty */
} vm_part_row;
typedef int (*vm_part_fn)(void *ud, const vm_part_row *row);
/** The partitions of a disk; none is no failure. Non-zero from @p fn ends it and is returned. [any]
 *  @retval VM_E_CORRUPT a table that cannot be trusted. @since 0.1 */
VM_API int vm_part_list(vm_blk *disk, vm_part_fn fn, void *ud);
/** A partition as an image of its own, over @p disk, which it keeps. [any]
 *  @return NULL with VM_E_NOENT: no such one. @since 0.1 */
VM_API vm_blk *vm_part_open(vm_blk *disk, uint32_t index, uint32_t flags);
typedef int (*vm_volume_fn)(void *ud, const char *name, uint64_t bytes);
/** LVM2: the volumes that the group of a physical volume has, as "VG/LV"; bytes UINT64_MAX: of a
 * kind that cannot be opened. [any] @retval VM_E_NOENT not a physical volume. @since 0.1 */
VM_API int vm_volume_list(vm_blk *pv, vm_volume_fn fn, void *ud);
/** A logical volume over all its physical volumes. [any] @since 0.1 */
VM_API vm_blk *vm_volume_open(vm_blk **pvs, uint32_t n_pvs, const char *name, uint32_t flags);

/** Make a read-only image writable, or the other way round. [alone] @param flags VM_BLK_RO or 0.
 *  @since 0.1 */
VM_API int vm_blk_reopen(vm_blk *blk, uint32_t flags);
/** Change the size. [alone] @param preallocation "off", "metadata", "falloc", "full"; NULL: off.
 *  @since 0.1 */
VM_API int vm_blk_resize(vm_blk *blk, uint64_t size, const char *preallocation);
/** Change properties; options as of vm_blk_create(), named by vm_blk_list_options() with 2. [alone]
 *  @retval VM_E_NOTSUP the format has none. @since 0.1 */
VM_API int vm_blk_amend(vm_blk *blk, const char *options);
/** The same in the background, with progress. [any]
 *  @return a job, to be ended with vm_job_unref(); NULL with the error. @since 0.1 */
VM_API vm_job *vm_blk_amend_start(vm_blk *blk, const char *options);
/** Work on internal snapshots: "create", "apply", "delete", "load" (a read-only view) with a name
 * or id. Their list is in vm_blk_info(). [alone] @since 0.1 */
VM_API int vm_blk_snapshot(vm_blk *blk, const char *what, const char *name);
/**
 * Work on dirty bitmaps, which say what was written since they were cleared. [alone]
 * @param what    "add" (options granularity=SIZE, disabled=on), "remove", "clear", "enable",
 *                "disable", "merge" (option source=NAME: sets in @p name what is set there)
 * @param options "a=b,…", a JSON object, or NULL
 * @retval VM_E_NOTSUP the format has no bitmaps.
 * @retval VM_E_NOENT  no such bitmap.
 * @since 0.1
 */
VM_API int vm_blk_bitmap(vm_blk *blk, const char *what, const char *name, const char *options);
/** "merge" from an image into another. [alone] @since 0.1 */
VM_API int vm_blk_bitmap_merge(vm_blk *to, const char *name, vm_blk *from, const char *source);
/** Make in @p to the bitmaps that @p from has. [alone] @param skip_broken leave out those that were
 *  not put away in order, rather than fail. @since 0.1 */
VM_API int vm_blk_bitmap_copy(vm_blk *from, vm_blk *to, int skip_broken);

/** How to copy. Zero is a good value of everything but size. */
typedef struct vm_convert_options {
    uint32_t size; /**< sizeof(vm_convert_options) */
    uint32_t flags;
    uint64_t from_off, to_off, len; /**< len 0: all of the source from from_off on */
    uint32_t sparse_bytes;          /**< runs of zeros this long are not stored; 0: 4 KiB */
    uint32_t width;                 /**< pieces at a time; 0: as many as useful */
} vm_convert_options;
/** Of vm_convert_options. */
enum {
    VM_CONVERT_COMPRESS = 1,
    VM_CONVERT_TARGET_IS_ZERO = 2, /**< a new image of a format that begins with zeros */
    VM_CONVERT_COPY_RANGE = 4,     /**< let the host copy or share storage where it can */
    VM_CONVERT_SALVAGE = 8,        /**< what cannot be read becomes zeros */
    VM_CONVERT_IN_ORDER = 16,      /**< write from front to back */
    VM_CONVERT_FULL = 32,          /**< store zeros, too */
    VM_CONVERT_NEW = 128,          /**< the target was just made and holds nothing */
    VM_CONVERT_OWN = 64,           /**< what the source has of backing files is left out */
};
/** Copy an image into another, in the background. The target must be large enough. [any]
 *  @return a job, to be ended with vm_job_unref(); NULL with the error. @since 0.1 */
VM_API vm_job *vm_blk_convert(vm_blk *from, vm_blk *to, const vm_convert_options *options);
/** Write an image down into its backing file, in the background. [any] @since 0.1 */
VM_API vm_job *vm_blk_commit(vm_blk *blk, int keep);
/** The same into a base further down, named as vm_blk_info() names it; what is between is not
 * looked at any more. NULL: the backing file. [any] @since 0.1 */
VM_API vm_job *vm_blk_commit_to(vm_blk *blk, const char *base, int keep);
/** Give it another backing file, in the background. @p name NULL: none. @p only_name: contents are
 *  the caller's business. [any] @since 0.1 */
VM_API vm_job *vm_blk_rebase(vm_blk *blk, const char *name, const char *format, int only_name);
/** Copy up all that comes from backing files, and drop them, in the background; the image may be
 *  in use. [any] @since 0.1 */
VM_API vm_job *vm_blk_stream(vm_blk *blk);
/** Of vm_blk_mirror(). */
enum {
    VM_MIRROR_SWITCH = 1, /**< then all I/O of the image goes to the target */
    VM_MIRROR_TOP = 2,    /**< only what the image has itself: the target has the same below */
};
/** Copy an image that is in use (a running machine's disk) to a new one of the same size, in the
 *  background. When both are the same, users are held for a moment while what changed last follows;
 *  then the job ends. With VM_MIRROR_SWITCH they go on with the target, through the handle and the
 *  drives they have; the old file holds the state of that moment. The target must read as zeros at
 *  first. [any] @retval VM_E_STATE (of the job) another such job is at work. @since 0.1 */
VM_API vm_job *vm_blk_mirror(vm_blk *blk, vm_blk *target, uint32_t flags);
/** Of vm_blk_backup(). */
enum {
    VM_BACKUP_FULL = 0, /**< everything */
    VM_BACKUP_TOP = 1,  /**< what the image has itself */
    VM_BACKUP_NONE = 2, /**< only what is about to change, until vm_job_cancel() ends it */
};
/** Keep an image as it is when the job begins in a new one, in the background, while users go on
 *  writing: what they change is copied before. A target that cannot be written fails the job, not
 *  the users. [any] @retval VM_E_STATE (of the job) another such job is at work. @since 0.1 */
VM_API vm_job *vm_blk_backup(vm_blk *blk, vm_blk *target, uint32_t mode);

/** [any] @since 0.1 */
VM_API int vm_job_progress(vm_job *job, uint64_t *done, uint64_t *total);
/** Ask it to end early; vm_job_wait() tells when it has. [any] @since 0.1 */
VM_API int vm_job_cancel(vm_job *job);
/** Wait for the end. @param timeout_ns negative: for ever. @return the job's status.
 *  @retval VM_E_TIMEOUT still at work. [any] @since 0.1 */
VM_API int vm_job_wait(vm_job *job, int64_t timeout_ns);
/** Drop the caller's reference; a job that runs goes on. NULL is fine. [any] @since 0.1 */
VM_API void vm_job_unref(vm_job *job);

#ifdef __cplusplus
}
#endif
#endif
