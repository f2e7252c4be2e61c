/* SPDX-License-Identifier: MIT */
/**
 * @file part.h
 * What a disk is divided into: MBR partitions with logical ones, GPT.
 */
#ifndef LIBVM_BLOCK_PART_H
#define LIBVM_BLOCK_PART_H

#include "block/node.h"

enum { VM_PART_MAX = 256 };

struct vm_part {
    uint32_t index;    /**< as systems number them: from 1; logical ones of an MBR from 5 */
    bool bootable;     /**< MBR: the mark; GPT: legacy BIOS bootable */
    uint64_t off, len; /**< bytes */
    char type[40];     /**< MBR: "0x83"; GPT: the type's GUID in lower case */
    char label[112];   /**< GPT: UTF-8 */
    char uuid[40];     /**< GPT */
};

struct vm_part_table {
    const char *scheme; /**< "mbr", "gpt"; NULL: none found */
    uint32_t n;
    struct vm_part parts[VM_PART_MAX];
};

/** Read the table. A disk without one is no failure: n is 0.
 *  @retval VM_E_CORRUPT there is one, and it cannot be trusted */
int vm__part_read(struct vm_blk *disk, struct vm_part_table *t);
/** A partition as a node over @p disk. @retval VM_E_NOENT no such one */
struct vm_blk *vm__part_open(struct vm_blk *disk, uint32_t index, uint32_t flags);

#endif
