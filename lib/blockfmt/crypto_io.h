/* SPDX-License-Identifier: MIT */
/**
 * @file crypto_io.h
 * Encrypted bytes of a node: read and decrypted, encrypted and written, and the sectors at the ends
 * of a request that is not made of whole ones.
 */
#ifndef LIBVM_BLOCKFMT_CRYPTO_IO_H
#define LIBVM_BLOCKFMT_CRYPTO_IO_H

#include "block/node.h"
#include "block/ranges.h"
#include "blockfmt/crypto.h"

/**
 * @param at    place in @p file
 * @param named the same place as the cipher counts it, a whole number of sectors away from @p at
 */
int vm__crypt_read(const struct vm_cipher *c, struct vm_blk *file, uint64_t at, uint64_t named,
                   size_t len, struct vm_sg sg, uint32_t flags);
/** @p at at a sector boundary; what is missing of the last sector is zeros. */
int vm__crypt_write(const struct vm_cipher *c, struct vm_blk *file, uint64_t at, uint64_t named,
                    size_t len, struct vm_sg sg, uint32_t flags);

typedef int (*vm_crypt_io)(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                           uint32_t flags);
/** A write of any bytes as one of whole sectors, alone on these. */
int vm__crypt_write_any(struct vm_blk *n, struct vm_ranges *ranges, uint64_t off, size_t len,
                        struct vm_sg sg, uint32_t flags, vm_crypt_io read, vm_crypt_io write);

/** The password kept as @p id. Wipe and free it. */
int vm__crypt_password(struct vm_blk_env *env, const char *id, uint8_t **data, size_t *len);

#endif
