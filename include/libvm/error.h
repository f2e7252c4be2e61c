/* SPDX-License-Identifier: MIT */
/**
 * @file error.h
 * What a call answers, and the sentence that goes with it.
 *
 * A function returns VM_OK (0) or a negative VM_E_*; one that returns a pointer answers NULL on
 * error. The detail is one line, kept per thread until that thread's next failing call.
 *
 * Threads: the last error belongs to the calling thread; read it before the next call.
 *
 *     if (vm_machine_start(m) != VM_OK)
 *         fprintf(stderr, "%s\n", vm_last_error()->message);
 */
#ifndef LIBVM_ERROR_H
#define LIBVM_ERROR_H

#include <libvm/version.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    VM_OK = 0,
    VM_E_INVAL = -1,  /**< an argument or a setting makes no sense */
    VM_E_NOMEM = -2,  /**< the host has no memory for this */
    VM_E_STATE = -3,  /**< not now: the object is in the wrong state */
    VM_E_NOTSUP = -4, /**< not in this build, or not on this host */
    VM_E_NOENT = -5,  /**< no such file, device, key or name */
    VM_E_BUSY = -6,   /**< in use by someone else */
    VM_E_IO = -7,     /**< the host's input or output */
    VM_E_RANGE = -8,  /**< outside of what is there; a buffer too small */
    VM_E_PERM = -9,   /**< the host does not allow it */
    VM_E_GUEST = -10, /**< the guest did what no machine survives */
    VM_E_CANCELED = -11,
    VM_E_CORRUPT = -12,  /**< a file or a stream is malformed */
    VM_E_CALLBACK = -13, /**< a callback of the caller's answered an error */
    VM_E_TIMEOUT = -14,
    VM_E_VERSION = -15, /**< made by a version that this one cannot read */
    VM_E_AGAIN = -16,   /**< it would have to wait, and was told not to */
    VM_E_NOSPC = -17,   /**< the host's disk, or the image, is full */
};

/** The last error of a thread. */
typedef struct vm_error {
    uint32_t size;    /**< bytes filled in by the library */
    int32_t code;     /**< VM_E_* */
    int32_t os_errno; /**< errno of the host call behind it, or 0 */
    uint32_t reserved;
    uint64_t guest_addr; /**< guest address concerned, or 0 */
    const char *message; /**< one line, UTF-8, no full stop */
} vm_error;

/** [any] The calling thread's last error; never NULL. Valid until this thread's next call. @since
 * 0.1 */
VM_API const vm_error *vm_last_error(void);

/** [any] A few words for a status. Static storage. @since 0.1 */
VM_API const char *vm_strerror(int code);

#ifdef __cplusplus
}
#endif
#endif
