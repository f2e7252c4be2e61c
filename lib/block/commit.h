/* SPDX-License-Identifier: MIT */
/**
 * @file commit.h
 * Writing an upper layer into the one below.
 */
#ifndef LIBVM_BLOCK_COMMIT_H
#define LIBVM_BLOCK_COMMIT_H

#include "block/node.h"

struct vm_job;

/** Copy what @p n itself has (not its file, for a filter) into @p below, which is writable, flush,
 *  and empty @p n if @p empty. @p job may be NULL. Nobody else uses them: the caller has drained.
 */
int vm__blk_push_down(struct vm_blk *n, struct vm_blk *below, bool empty, struct vm_job *job);

#endif
