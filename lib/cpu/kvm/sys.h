/* SPDX-License-Identifier: MIT */
/**
 * @file sys.h
 * The system calls of the KVM engine, behind pointers: a test puts its own KVM there.
 *
 * Every call answers a result or a negative errno value, so that nobody has to look at errno.
 */
#ifndef LIBVM_CPU_KVM_SYS_H
#define LIBVM_CPU_KVM_SYS_H

#include <stddef.h>
#include <stdint.h>

struct kvm_sys {
    int (*open)(void *ud, const char *path);
    void (*close)(void *ud, int fd);
    /** @p arg is a number or an address, as the request wants it. */
    int (*ioctl)(void *ud, int fd, unsigned long request, uintptr_t arg);
    /** Map the file's first @p size bytes, shared. NULL on failure. */
    void *(*map)(void *ud, int fd, size_t size);
    void (*unmap)(void *ud, void *at, size_t size);
    void *ud;
};

/** The host's. */
extern const struct kvm_sys vm__kvm_host;

#endif
