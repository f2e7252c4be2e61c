/* SPDX-License-Identifier: MIT */
/**
 * @file dmg.h
 * Between the files of the DMG driver: chunks of the disk, in order.
 */
#ifndef LIBVM_BLOCKFMT_DMG_H
#define LIBVM_BLOCKFMT_DMG_H

#include "block/node.h"

/** [UDIF "Block chunks"] */
enum dmg_kind {
    DMG_ZERO = 0,
    DMG_RAW = 1,
    DMG_IGNORE = 2, /**< reads as zeros */
    DMG_COMMENT = 0x7ffffffe,
};
#define DMG_ADC   UINT32_C(0x80000004)
#define DMG_ZLIB  UINT32_C(0x80000005)
#define DMG_BZIP2 UINT32_C(0x80000006)
#define DMG_LZFSE UINT32_C(0x80000007)
#define DMG_LZMA  UINT32_C(0x80000008)
#define DMG_END   UINT32_C(0xffffffff)

enum { DMG_SECTOR = 512, DMG_MAX_CHUNK = 32 << 20 /* bytes, of one that is compressed */ };

struct dmg_chunk {
    uint64_t start, end; /**< bytes of the disk */
    uint64_t off, len;   /**< in the file */
    uint32_t kind;
};

struct dmg_list {
    struct dmg_chunk *chunks;
    size_t n, room;
    uint64_t data_off; /**< of the data fork */
};

/** Read the trailer and what it names: chunks sorted by start, none on another. On failure, too,
 *  @p list->chunks is the caller's to free. @p size: bytes of the disk. */
int dmg_parse(struct vm_blk *file, struct dmg_list *list, uint64_t *size);

#endif
