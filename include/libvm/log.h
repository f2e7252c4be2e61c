/* SPDX-License-Identifier: MIT */
/**
 * @file log.h
 * What the library has to say while it works. Silent unless a sink is given.
 *
 * A sink is set on the context and inherited by every machine built from it.
 *
 * Threads: the sink is called from any library thread, one call at a time per machine; it must not
 * call back into the machine except for [any] functions.
 */
#ifndef LIBVM_LOG_H
#define LIBVM_LOG_H

#include <libvm/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Levels, in falling order of importance. */
enum { VM_LOG_ERROR = 0, VM_LOG_WARN = 1, VM_LOG_INFO = 2, VM_LOG_DEBUG = 3 };

/** Categories, a mask. */
enum {
    VM_LOG_GENERAL = 1 << 0,
    VM_LOG_GUEST = 1 << 1, /**< the guest did something undefined */
    VM_LOG_UNIMP = 1 << 2, /**< the guest asked for what is not modelled */
    VM_LOG_PERF = 1 << 3,
    VM_LOG_BLK = 1 << 4,
    VM_LOG_IRQ = 1 << 5,
    VM_LOG_CPU = 1 << 6,
    VM_LOG_JIT = 1 << 7,
    VM_LOG_IO = 1 << 8,    /**< register and port accesses, with names */
    VM_LOG_INT = 1 << 9,   /**< interrupts and exceptions as the processor takes them */
    VM_LOG_EXEC = 1 << 10, /**< blocks as they are run */
    VM_LOG_ASM = 1 << 11,  /**< instructions as they are decoded */
};

/** One message. */
typedef struct vm_log_record {
    uint32_t size;
    uint32_t level;    /**< VM_LOG_ERROR … */
    uint32_t category; /**< one bit of the mask */
    uint32_t reserved;
    const char *source; /**< the instance: "ns16550@3f8", "cpu0" */
    const char *text;   /**< one line, no newline */
} vm_log_record;

typedef void (*vm_log_fn)(void *ud, const vm_log_record *record);

#ifdef __cplusplus
}
#endif
#endif
