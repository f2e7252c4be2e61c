/* SPDX-License-Identifier: MIT */
/**
 * @file part_gpt.h
 * GUID partition tables. For lib/block.
 */
#ifndef LIBVM_BLOCK_PART_GPT_H
#define LIBVM_BLOCK_PART_GPT_H

#include "block/part.h"

/** The disk says it has one: read the first copy, or the second if the first is damaged. */
int vm__part_read_gpt(struct vm_blk *disk, struct vm_part_table *t);

#endif
