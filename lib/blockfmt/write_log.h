/* SPDX-License-Identifier: MIT */
/**
 * @file write_log.h
 * The log of the filter "write-log": what was written, in order, with what was flushed.
 *
 * A sequence of records, each a head of 40 bytes, little-endian, and the bytes of a write:
 *   0 magic u64 · 8 kind u32 · 12 flags u32 (1: forced) · 16 offset u64 · 24 length u64 · 32 number
 * u64
 */
#ifndef LIBVM_BLOCKFMT_WRITE_LOG_H
#define LIBVM_BLOCKFMT_WRITE_LOG_H

enum { VM_LOG_HEAD_BYTES = 40 };
#define VM_LOG_MAGIC UINT64_C(0x474f4c4d56424956)

enum vm_log_kind {
    VM_LOG_WRITE = 1,
    VM_LOG_ZERO,     /**< reads as zeros */
    VM_LOG_DISCARD,  /**< no bytes; may read as anything */
    VM_LOG_FLUSH,    /**< what stands before it is on stable storage */
    VM_LOG_TRUNCATE, /**< offset is the new size */
};

#endif
