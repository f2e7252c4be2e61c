/* SPDX-License-Identifier: MIT */
/**
 * @file luks_impl.h
 * Between luks_header.c and luks_slots.c.
 */
#ifndef LIBVM_BLOCKFMT_LUKS_IMPL_H
#define LIBVM_BLOCKFMT_LUKS_IMPL_H

#include "blockfmt/luks.h"

/** The header without key material, and a flush. */
int vm__luks_write(const struct vm_luks *l, const struct vm_luks_place *p);
/** Put the master key into a slot, under a password. */
int vm__luks_set_slot(struct vm_luks *l, const struct vm_luks_place *p, int slot,
                      const uint8_t *password, size_t len, uint64_t iter_ms);
/** The slot that a password opens, and the key in it (room for VM_CRYPT_MAX_KEY). */
int vm__luks_find_slot(const struct vm_luks *l, const struct vm_luks_place *p,
                       const uint8_t *password, size_t len, uint8_t *key, int *slot);

#endif
