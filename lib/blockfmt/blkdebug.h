/* SPDX-License-Identifier: MIT */
/**
 * @file blkdebug.h
 * Breakpoints at the named points of drivers: for the io shell.
 *
 * All find the blkdebug filter below @p n. The thread that passes @p event stops there.
 */
#ifndef LIBVM_BLOCKFMT_BLKDEBUG_H
#define LIBVM_BLOCKFMT_BLKDEBUG_H

#include "block/node.h"

extern const struct vm_blk_driver vm__blkdebug_driver;

int vm__blkdebug_break(struct vm_blk *n, const char *event, const char *tag);
/** Let go what is held there, or take the breakpoint away. @retval VM_E_NOENT no such one */
int vm__blkdebug_resume(struct vm_blk *n, const char *tag);
/** Wait until something is held there. */
int vm__blkdebug_wait(struct vm_blk *n, const char *tag);

#endif
