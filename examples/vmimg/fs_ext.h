/* SPDX-License-Identifier: MIT */
/**
 * @file fs_ext.h
 * libext2fs's way to its disk.
 */
#ifndef VMIMG_FS_EXT_H
#define VMIMG_FS_EXT_H

#include <ext2fs/ext2fs.h>

#include <libvm/block.h>

/** The disk that the manager opens, whatever name it is given: the interface has no place for it.
 */
extern vm_blk *ext_io_disk;
extern io_manager const ext_io_manager;

#endif
