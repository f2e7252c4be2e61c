/* SPDX-License-Identifier: MIT */
/**
 * @file node.h
 * The block node: the one interface of everything that looks like a disk.
 *
 * Nodes stand on nodes. A *protocol* (file, host device, memory, nbd, http) is a bottom; a *format*
 * (raw, qcow2, vdi, …) interprets its child `file` and may read through its child `backing`; a
 * *filter* (overlay, copy-on-read, throttle, fault injection, trace) passes its child on, changed.
 * What a driver is, is data and a few calls: struct vm_blk_driver.
 *
 * Addresses are bytes, lengths are bytes, and nothing needs to be aligned: a driver that must align
 * (O_DIRECT, encryption sectors) does so itself. The calls are synchronous; concurrency comes from
 * many threads calling at once: requests of devices and jobs run on the environment's worker pool
 * (block/request.h).
 *
 * Threads, for driver writers:
 *   - I/O calls (read, write, zero, discard, flush, status) come from any number of threads at
 * once. A driver locks what is its own, never across a call to a child that may block for long
 * unless the order of its own metadata needs it.
 *   - all other calls (truncate, check, amend, snapshots, bitmaps, reopen, close) come alone: the
 * layer holds the node's gate (vm__blk_drain_begin()) and no I/O call is in progress or will start.
 *   - with VM_IO_NOWAIT an I/O call must not sleep: it returns VM_E_AGAIN, having done nothing,
 * where it would have to wait for the host's disk or for a lock. The layer then repeats it on a
 * worker.
 *
 * Ranges are checked before a driver sees them: len > 0, off + len <= size, read-only nodes get no
 * writes. Sizes may not be multiples of 512.
 *
 * Failures are negative VM_E_* with one line set by vm__fail() that says what is wrong with the
 * image; the layer puts "Could not open 'NAME': " and the like before it. Image bytes are hostile:
 * sums and products of them go through base/checked.h, tables are bounded by the size of the file
 * that holds them, loops by something real.
 */
#ifndef LIBVM_BLOCK_NODE_H
#define LIBVM_BLOCK_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sg.h"

struct json_t;
struct vm_blk;
struct vm_blk_env;
struct vm_blk_options;
struct vm_blk_create;
struct vm_buf;

enum {
    VM_BLK_MAX_CHILDREN = 640, /**< besides file and backing: VMDK extents of 2 GiB each */
    VM_BLK_MAX_CHAIN = 200,    /**< nodes on the longest way down; a longer one is refused */
    VM_BLK_NAME_BYTES = 32,    /**< of a node name, with its NUL */
    VM_BLK_PROBE_BYTES = 4096, /**< of the image that probe() sees, fewer if it is shorter */
};
/** No image is larger: file offsets are signed 64-bit. */
#define VM_BLK_MAX_SIZE ((uint64_t)INT64_MAX - 65535)

/* ---- flags ------------------------------------------------------------------------------ */

/** Of one I/O call. */
enum vm_io_flags {
    VM_IO_NOWAIT = 1 << 0,      /**< do not sleep: VM_E_AGAIN instead */
    VM_IO_FUA = 1 << 1,         /**< write, zero: on stable storage when it returns */
    VM_IO_UNMAP = 1 << 2,       /**< zero: space may be given back */
    VM_IO_NO_FALLBACK = 1 << 3, /**< zero: VM_E_NOTSUP rather than writing zeros byte by byte */
    VM_IO_COMPRESSED = 1 << 4,  /**< write: store compressed; whole clusters only */
    VM_IO_PREFETCH = 1 << 5, /**< read: the data is wanted in this layer, not here (copy-on-read) */
};

/** Of an open node. The first ones are the public VM_BLK_* of <libvm/block.h>. */
enum vm_open_flags {
    VM_OPEN_RO = 1 << 0,           /**< no writes */
    VM_OPEN_PROBE = 1 << 1,        /**< no format given: look at the bytes */
    VM_OPEN_NO_BACKING = 1 << 2,   /**< do not open the backing file */
    VM_OPEN_UNSAFE = 1 << 3,       /**< flush does nothing (cache=unsafe) */
    VM_OPEN_DIRECT = 1 << 4,       /**< past the page cache (cache=none, directsync) */
    VM_OPEN_SHARE = 1 << 5,        /**< take no lock against writers (-U) */
    VM_OPEN_CHECK = 1 << 6,        /**< for check: do not refuse what check can repair */
    VM_OPEN_WRITETHROUGH = 1 << 7, /**< every write is FUA */
    VM_OPEN_UNMAP = 1 << 8,        /**< discard=unmap */
    VM_OPEN_NO_IO = 1 << 9,        /**< info only: guest data will not be read (no keys needed) */
    VM_OPEN_AUTO_RO = 1 << 10,     /**< fall back to read-only if writing is not allowed */
    VM_OPEN_INACTIVE = 1 << 11,    /**< another process may still be writing (migration target) */
    VM_OPEN_SHARE_RW = 1 << 12,    /**< raw: others may write, too (what image tools take) */
};

/** Of an extent. */
enum vm_extent_flags {
    VM_EXTENT_DATA = 1 << 0,      /**< bytes are stored */
    VM_EXTENT_ZERO = 1 << 1,      /**< reads as zeros */
    VM_EXTENT_ALLOCATED = 1 << 2, /**< this node decides; without it, the backing node does */
    VM_EXTENT_OFFSET = 1 << 3,    /**< .offset in .file holds the bytes as they are */
    VM_EXTENT_COMPRESSED = 1 << 4,
    VM_EXTENT_EOF = 1 << 5, /**< ends at the end of the node */
};

/** What lies at some place: vm__blk_status(). */
struct vm_extent {
    uint64_t length; /**< bytes, from the place asked for */
    uint32_t flags;  /**< enum vm_extent_flags */
    uint64_t offset; /**< with VM_EXTENT_OFFSET */
    struct vm_blk *file;
};

/* ---- drivers ---------------------------------------------------------------------------- */

enum vm_blk_kind { VM_BLK_PROTOCOL = 1, VM_BLK_FORMAT, VM_BLK_FILTER };

/** What a driver can, for lists and for refusing politely. */
enum vm_blk_can {
    VM_CAN_BACKING = 1 << 0,   /**< images may have a backing file */
    VM_CAN_COMPRESS = 1 << 1,  /**< VM_IO_COMPRESSED */
    VM_CAN_GROW = 1 << 2,      /**< a write past the end extends it (files) */
    VM_CAN_ZERO_INIT = 1 << 3, /**< a new image reads as zeros */
    VM_CAN_SNAPSHOT = 1 << 4,
    VM_CAN_BITMAP = 1 << 5,
    VM_CAN_NOWAIT = 1 << 6,    /**< keeps VM_IO_NOWAIT; others are always called from a worker */
    VM_CAN_ROOTLESS = 1 << 7,  /**< a protocol without a file name (null, memory) */
    VM_CAN_FUA = 1 << 8,       /**< write and zero keep VM_IO_FUA; for others the layer flushes */
    VM_CAN_OPEN_FILE = 1 << 9, /**< opens its child itself: the layer opens no node->file */
};

enum vm_opt_type { VM_OPT_STR = 1, VM_OPT_BOOL, VM_OPT_U64, VM_OPT_SIZE, VM_OPT_ENUM };

/** An option of opening, creating or amending. A table ends with { 0 }. */
struct vm_blk_option {
    const char *name;           /**< as the user writes it, dots and dashes as they are */
    uint32_t type;              /**< enum vm_opt_type */
    const char *help;           /**< one line */
    const char *value;          /**< default as text; NULL: none */
    const char *const *choices; /**< enum: NULL-ended */
};

enum vm_prealloc {
    VM_PREALLOC_OFF = 0,
    VM_PREALLOC_METADATA,
    VM_PREALLOC_FALLOC,
    VM_PREALLOC_FULL
};

/** Result of check; the names are those of `qemu-img check --output=json`. */
struct vm_blk_check {
    uint64_t corruptions, leaks, check_errors;
    uint64_t corruptions_fixed, leaks_fixed;
    uint64_t image_end_offset;
    uint64_t total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
    /** A problem, as a line without its end. May be NULL. */
    void (*problem)(void *ud, const char *line);
    void *ud;
};
enum { VM_FIX_LEAKS = 1, VM_FIX_ERRORS = 2 };

/** An internal snapshot. */
struct vm_blk_snapshot {
    char id[128], name[256];
    uint64_t vm_state_size, date_s, vm_clock_ns;
    uint32_t date_ns;
    uint64_t icount; /**< UINT64_MAX: not recorded */
    uint64_t disk_size;
};

/** A persistent dirty bitmap. */
struct vm_blk_bitmap {
    char name[1024];
    uint64_t granularity; /**< bytes that a bit stands for */
    bool in_use;          /**< was not put away: its contents cannot be trusted */
    bool enabled;         /**< writes are recorded */
};

/** The contents of one: bit i, lowest of a byte first, is the i-th stretch of the disk. */
struct vm_blk_bits {
    uint64_t granularity, n_bits;
    uint8_t *bits; /**< malloc'd */
};

/** What an image of some content would need: measure. */
struct vm_blk_measure {
    uint64_t required, fully_allocated;
    uint64_t bitmaps; /**< with has_bitmaps */
    bool has_bitmaps;
};

/** What is known of an image beside its size: info. */
struct vm_blk_info {
    uint64_t cluster_size; /**< 0: none to tell */
    uint64_t allocated;    /**< protocols: bytes of storage taken on the host */
    uint64_t vm_state_offset;
    bool dirty, encrypted, has_compressed_clusters, corrupt;
    bool unallocated_zero;   /**< what is not allocated reads as zeros, backing or not */
    struct json_t *specific; /**< "format-specific" data as QAPI has it, or NULL; caller's */
};

struct vm_blk_driver {
    const char *name;    /**< as the user writes it: "qcow2" */
    const char *summary; /**< one line */
    const char *spec;    /**< the document it follows */
    enum vm_blk_kind kind;
    uint32_t can;                /**< enum vm_blk_can */
    size_t state_size;           /**< bytes of node->state, allocated zeroed */
    const char *const *prefixes; /**< protocols: "nbd", "http", …: NULL-ended; NULL: none */

    const struct vm_blk_option *open_options;
    const struct vm_blk_option *create_options; /**< in the order `create` prints them */
    const struct vm_blk_option *amend_options;

    /**
     * How likely these first bytes are this format's: 0 (no) … 100 (sure).
     * @param name the file's name, for formats known by extension alone
     */
    int (*probe)(const uint8_t *head, size_t len, uint64_t size, const char *name);

    /**
     * Read headers and tables; set node->size. Formats find node->file open; a format with a
     * backing file sets node->backing_name and node->backing_format, and the layer opens it after.
     * On failure it frees what it has made itself; close() is not called then.
     */
    int (*open)(struct vm_blk *n, struct vm_blk_options *o);
    /** The backing node has been opened, or changed: does it belong here (UUIDs, content ids)? */
    int (*attach_backing)(struct vm_blk *n);
    /** Write back and free. Errors have been seen by flush() before; what is left is logged. */
    void (*close)(struct vm_blk *n);

    /* I/O: see the head of this file. */
    int (*read)(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags);
    int (*write)(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags);
    int (*zero)(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags);
    int (*discard)(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags);
    /** Everything written before is on stable storage, this node's file included. */
    int (*flush)(struct vm_blk *n, uint32_t flags);
    /** What lies at @p off: fills @p e with 0 < length <= @p len. NULL: all data, allocated. */
    int (*status)(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e);
    /** Server-side copy to @p to; VM_E_NOTSUP: the layer reads and writes. Files: reflink, splice.
     */
    int (*copy_to)(struct vm_blk *n, uint64_t off, struct vm_blk *to, uint64_t to_off, uint64_t len,
                   uint32_t flags);

    /** Debug filters: the driver above passes a named point; see vm__blk_event(). May wait. */
    void (*event)(struct vm_blk *n, const char *event);

    /* Alone. */
    int (*truncate)(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags);
    int (*info)(struct vm_blk *n, struct vm_blk_info *out);
    int (*check)(struct vm_blk *n, struct vm_blk_check *out, uint32_t fix);
    int (*reopen)(struct vm_blk *n, uint32_t flags); /**< read-only to writing and back */
    int (*set_backing)(struct vm_blk *n, const char *name,
                       const char *format); /**< in the header */
    int (*make_empty)(struct vm_blk *n);    /**< after a commit: all from the backing node again */
    int (*amend)(struct vm_blk *n, struct vm_blk_options *o,
                 void (*progress)(void *ud, uint64_t done, uint64_t total), void *ud);

    int (*snapshot_list)(struct vm_blk *n, struct vm_blk_snapshot **list,
                         size_t *count); /**< malloc'd */
    int (*snapshot_create)(struct vm_blk *n, struct vm_blk_snapshot *s);
    int (*snapshot_goto)(struct vm_blk *n, const char *id_or_name);
    int (*snapshot_delete)(struct vm_blk *n, const char *id_or_name);
    int (*snapshot_load)(struct vm_blk *n, const char *id_or_name); /**< read-only view of it */
    int (*state_read)(struct vm_blk *n, uint64_t off, void *buf, size_t len); /**< VM state */
    int (*state_write)(struct vm_blk *n, uint64_t off, const void *buf, size_t len);

    /** Persistent dirty bitmaps: "add" (options granularity, disabled), "remove", "clear",
     *  "enable", "disable", "merge" (option source: a bitmap of the same image). */
    int (*bitmap)(struct vm_blk *n, const char *what, const char *name, struct vm_blk_options *o);
    int (*bitmap_list)(struct vm_blk *n, struct vm_blk_bitmap **list, size_t *count);
    int (*bitmap_read)(struct vm_blk *n, const char *name, struct vm_blk_bits *out);
    /** Set in @p name what is set in @p bits. */
    int (*bitmap_merge)(struct vm_blk *n, const char *name, const struct vm_blk_bits *bits);

    /* Without a node. */
    int (*create)(struct vm_blk_env *env, struct vm_blk_create *c);
    /** Protocols: take away a file that create() has made. */
    int (*remove)(struct vm_blk_env *env, const char *name);
    int (*measure)(struct vm_blk_env *env, struct vm_blk_create *c, struct vm_blk *source,
                   struct vm_blk_measure *out);
};

/* ---- nodes ------------------------------------------------------------------------------ */

enum vm_detect_zeroes { VM_DETECT_OFF = 0, VM_DETECT_ON, VM_DETECT_UNMAP };

/**
 * Somebody who must know of every change of a node: a job that mirrors it, or backs it up. Set and
 * taken away while the node is drained; before() and after() are called on whoever's thread writes.
 */
struct vm_blk_watch {
    /** A range is about to change. It may wait, but with VM_IO_NOWAIT: VM_E_AGAIN. May be NULL.
     *  A failure is the writer's. */
    int (*before)(struct vm_blk_watch *w, uint64_t off, uint64_t len, uint32_t flags);
    /** It may have changed. May be NULL. */
    void (*after)(struct vm_blk_watch *w, uint64_t off, uint64_t len);
};

struct vm_blk {
    const struct vm_blk_driver *drv;
    struct vm_blk_env *env;
    void *state;                       /**< the driver's */
    char *name;                        /**< as the user would write it again, json: if need be */
    char *filename;                    /**< of the file at the bottom; NULL: it has no plain name */
    char node_name[VM_BLK_NAME_BYTES]; /**< for the monitor and for references */
    uint32_t flags;                    /**< enum vm_open_flags */
    uint32_t why;                      /**< VM_WHY_*: who named its file */
    uint64_t id[2];                    /**< protocols: the same for the same file; 0: unknown */
    _Atomic uint64_t size;             /**< bytes */
    _Atomic uint32_t refs;
    uint32_t depth; /**< nodes on the longest way down, this one included */
    enum vm_detect_zeroes detect_zeroes;

    struct vm_blk *file;                          /**< formats and filters: what the bytes are in */
    struct vm_blk *backing;                       /**< where unallocated ranges are read, or NULL */
    struct vm_blk *children[VM_BLK_MAX_CHILDREN]; /**< others: extents, data files */
    uint32_t n_children;
    char *backing_name, *backing_format; /**< as the image says; NULL: none */
    bool backing_overridden;             /**< the options named another */
    bool probed;                         /**< the format was guessed */
    struct vm_blk_watch *watch;          /**< or NULL; changes while drained */
    struct vm_blk *successor; /**< or NULL: I/O goes there since a switch-over, while drained */

    _Atomic uint32_t in_flight; /**< I/O of users; see vm__blk_io_begin() */
    _Atomic uint32_t drained;
    _Atomic uint64_t ops[5], bytes[5], errors[5]; /**< by enum vm_io_op: users' requests */

    /* The layer's own: under the lock of the environment. */
    struct vm_blk **parents; /**< the nodes that stand on this one, once for each edge */
    uint32_t n_parents, parents_room;
    struct vm_blk_req *parked; /**< came while drained; newest first */
    struct vm_blk *next;       /**< of the environment */
    struct vm_blk *opener;     /**< while opening: the node that asked for it */
    bool opened;               /**< the driver's open() went well: close() is due */
};

static inline uint64_t vm__blk_size(const struct vm_blk *n)
{
    return atomic_load_explicit(&n->size, memory_order_relaxed);
}
static inline bool vm__blk_writable(const struct vm_blk *n)
{
    return !(n->flags & VM_OPEN_RO);
}

/* I/O on a node: from users between io_begin/io_end, and from the drivers above it. Checked. */
int vm__blk_readv(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags);
int vm__blk_writev(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags);
int vm__blk_zero(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags);
int vm__blk_discard(struct vm_blk *n, uint64_t off, uint64_t len, uint32_t flags);
int vm__blk_flush(struct vm_blk *n, uint32_t flags);
int vm__blk_status(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e);
/** The same through backing nodes: flags of who decides, *depth counts the steps down (0: @p n). */
int vm__blk_status_chain(struct vm_blk *n, uint64_t off, uint64_t len, struct vm_extent *e,
                         uint32_t *depth);
int vm__blk_copy(struct vm_blk *n, uint64_t off, struct vm_blk *to, uint64_t to_off, uint64_t len,
                 uint32_t flags);

/** A format passes a point of its work that fault injection below it knows by @p event
 *  ("l1_update", "read_aio", …). Not within VM_IO_NOWAIT: it may wait. */
static inline void vm__blk_event(struct vm_blk *file, const char *event)
{
    if (file != NULL && file->drv->event != NULL)
        file->drv->event(file, event);
}

/** One piece of memory. */
static inline int vm__blk_read(struct vm_blk *n, uint64_t off, void *buf, size_t len)
{
    struct vm_iov v = { buf, len };
    return vm__blk_readv(n, off, len, (struct vm_sg) { &v, 0 }, 0);
}
static inline int vm__blk_write(struct vm_blk *n, uint64_t off, const void *buf, size_t len)
{
    struct vm_iov v = { (void *)(uintptr_t)buf, len };
    return vm__blk_writev(n, off, len, (struct vm_sg) { &v, 0 }, 0);
}
/** Read what this node does not have: the backing node, zeros past its end or without one. */
int vm__blk_read_backing(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                         uint32_t flags);

/** Users announce their I/O, so that drain can wait for it; begin waits while drained. */
void vm__blk_io_begin(struct vm_blk *n);
bool vm__blk_io_try(struct vm_blk *n); /**< false: drained; nothing begun */
void vm__blk_io_end(struct vm_blk *n);
/** No user's I/O is in progress on @p n from here to drain_end(). Nests; not from within I/O. */
void vm__blk_drain_begin(struct vm_blk *n);
void vm__blk_drain_end(struct vm_blk *n);

/* Alone (these drain). VM_E_NOTSUP with a sentence where the driver cannot. */
int vm__blk_resize(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags);
/** Become read-only or writable (VM_OPEN_RO in @p flags), the files below first, resp. after. */
int vm__blk_reopen(struct vm_blk *n, uint32_t flags);
/** Another backing node, or none, in place of the one there is; takes over the reference. */
int vm__blk_put_backing(struct vm_blk *n, struct vm_blk *backing);

/** The driver's truncate, for the driver above: within I/O, so nothing is drained. */
int vm__blk_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags);
/** A driver got another child after open(): tell the layer, which drains along these edges. The
 *  children that open() leaves in the node are found by the layer itself. */
int vm__blk_attach(struct vm_blk *parent, struct vm_blk *child);
void vm__blk_detach(struct vm_blk *parent, struct vm_blk *child);

struct vm_blk *vm__blk_ref(struct vm_blk *n);
/** The last one flushes, closes and frees. NULL is fine. */
void vm__blk_unref(struct vm_blk *n);

#endif
