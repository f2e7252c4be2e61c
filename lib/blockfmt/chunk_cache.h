/* SPDX-License-Identifier: MIT */
/**
 * @file chunk_cache.h
 * Decompressed chunks, kept while they are likely to be wanted again.
 *
 * Compressed formats inflate whole chunks; a guest reads a few sectors at a time. The cache holds
 * the last few chunks of an image. Chunks are made outside of its lock: many threads inflate at
 * once, and who wants a chunk that another thread is making waits for that one.
 *
 * Threads: any.
 */
#ifndef LIBVM_BLOCKFMT_CHUNK_CACHE_H
#define LIBVM_BLOCKFMT_CHUNK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm_chunk_cache;

/** @param slots chunks kept; @param bytes of the largest chunk. NULL without memory. */
struct vm_chunk_cache *vm__chunk_cache_new(unsigned slots, size_t bytes);
void vm__chunk_cache_free(struct vm_chunk_cache *c);

/** Make chunk @p key in @p buf. @return VM_OK or a failure, which is not remembered */
typedef int (*vm_chunk_fn)(void *ud, uint64_t key, uint8_t *buf);
/**
 * The chunk, made with @p make if it is not there; stays until vm__chunk_put().
 * @return VM_OK, what @p make failed with, or VM_E_AGAIN where @p nowait and it is not there
 */
int vm__chunk_get(struct vm_chunk_cache *c, uint64_t key, bool nowait, vm_chunk_fn make, void *ud,
                  const uint8_t **out);
void vm__chunk_put(struct vm_chunk_cache *c, const uint8_t *chunk);
/** The chunk has changed in the file; readers that hold it keep what they have. */
void vm__chunk_forget(struct vm_chunk_cache *c, uint64_t key);

#endif
