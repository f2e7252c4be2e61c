/* SPDX-License-Identifier: MIT */
/**
 * @file file.h
 * Files and block devices of the host.
 *
 * A file is its descriptor. Functions return VM_OK or a negative VM_E_* with the error set, except
 * where they say otherwise.
 */
#ifndef LIBVM_HOST_FILE_H
#define LIBVM_HOST_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sg.h"

/** How to open. */
enum {
    VM_FILE_WRITE = 1 << 0,
    VM_FILE_DIRECT = 1 << 1, /**< past the page cache: aligned offsets, lengths and memory */
    VM_FILE_CREATE = 1 << 2, /**< make it if it is not there, readable by others */
    VM_FILE_NEW = 1 << 3,    /**< with CREATE: it must not be there: VM_E_BUSY */
};

/** The host's own flags for @p how, as an open policy gets them: those of open(2). */
int vm__file_flags(unsigned how);
/** Open with the host's flags. @return a descriptor, or negative: what is wrong is vm_last_error(),
 *  whose line is the host's reason alone ("No such file or directory"). */
int vm__file_open(const char *path, int host_flags);
/** Set the error for a failure @p os_errno of a host call on a file. @return VM_E_* */
int vm__file_fail(int os_errno);
/** A file without a name in @p folder; NULL: where the host keeps large temporary files. */
int vm__file_temp(const char *folder);
void vm__file_close(int fd);
int vm__file_remove(const char *path);

enum vm_file_kind {
    VM_FILE_REGULAR = 1,
    VM_FILE_BLOCK,
    VM_FILE_CHAR,
    VM_FILE_FOLDER,
    VM_FILE_OTHER
};

struct vm_file_info {
    enum vm_file_kind kind;
    uint64_t size;        /**< bytes; of a block device, too */
    uint64_t allocated;   /**< bytes of storage taken */
    uint64_t id[2];       /**< the same for two names of one file, and for nothing else */
    uint32_t align;       /**< VM_FILE_DIRECT wants offsets and lengths in multiples of this… */
    uint32_t align_mem;   /**< …and memory of this */
    bool read_only_media; /**< a block device that takes no writes */
};
int vm__file_info(int fd, struct vm_file_info *info);

/** Read; zeros past the end of the file. With @p nowait: VM_E_AGAIN (no message) if it would have
 *  to wait for the disk. */
int vm__file_readv(int fd, uint64_t off, size_t len, struct vm_sg sg, bool nowait);
int vm__file_writev(int fd, uint64_t off, size_t len, struct vm_sg sg, bool nowait, bool sync);
/** What is written is on stable storage. */
int vm__file_sync(int fd);
int vm__file_truncate(int fd, uint64_t size);

/* file_space.c */
/** Storage for the range; @p zero: it also reads as zeros. VM_E_NOTSUP: write zeros instead. */
int vm__file_allocate(int fd, uint64_t off, uint64_t len, bool zero);
/** Give storage back; it reads as zeros. VM_E_NOTSUP where the host cannot. */
int vm__file_punch(int fd, uint64_t off, uint64_t len);
/** The same of a block device, which need not read as zeros then. */
int vm__file_trim(int fd, uint64_t off, uint64_t len);
/** The run of data or hole that @p off lies in, which ends at @p end.
 *  VM_E_NOTSUP: the host cannot tell. */
int vm__file_extent(int fd, uint64_t off, uint64_t size, bool *data, uint64_t *end);
/** Copy within the host, sharing storage where it can. @p done: bytes copied, also on failure.
 *  VM_E_NOTSUP: not between these. */
int vm__file_copy(int from, uint64_t from_off, int to, uint64_t to_off, uint64_t len,
                  uint64_t *done);

/* file_lock.c: locks on single bytes, which belong to the open file (not the process): two opens
 * conflict, in one process or in two. */
/** Shared lock on bytes [@p first, @p first + @p n). VM_E_BUSY, VM_E_NOTSUP. No message. */
int vm__file_lock(int fd, uint64_t first, uint64_t n);
void vm__file_unlock(int fd, uint64_t first, uint64_t n);
/** Another open file holds a lock on one of them. */
bool vm__file_locked(int fd, uint64_t first, uint64_t n);

#endif
