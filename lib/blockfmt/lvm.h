/* SPDX-License-Identifier: MIT */
/**
 * @file lvm.h
 * LVM2: physical volumes, their metadata, and the logical volumes on them.
 */
#ifndef LIBVM_BLOCKFMT_LVM_H
#define LIBVM_BLOCKFMT_LVM_H

#include "block/node.h"

enum { VM_LVM_UUID_BYTES = 33 };

/** The disk or partition is a physical volume: its uuid, without dashes.
 *  @retval VM_E_NOENT it is none */
int vm__lvm_probe(struct vm_blk *pv, char uuid[VM_LVM_UUID_BYTES]);
/** The volume group's metadata as JSON: { "NAME": { … } }, the caller's. NULL with the error set.
 */
struct json_t *vm__lvm_metadata(struct vm_blk *pv);
/** Text of the metadata as JSON; exported for tests. */
struct json_t *vm__lvm_parse(const char *text, size_t len);
/** Each volume that people use, as "VG/LV" with its bytes; UINT64_MAX: of a kind that cannot be
 *  opened here. Non-zero from @p fn ends it. */
int vm__lvm_list(struct vm_blk *pv, int (*fn)(void *ud, const char *name, uint64_t bytes),
                 void *ud);
/** A logical volume as a node over its physical volumes. */
struct vm_blk *vm__lvm_open(struct vm_blk *const *pvs, uint32_t n_pvs, const char *name,
                            uint32_t flags);

#endif
