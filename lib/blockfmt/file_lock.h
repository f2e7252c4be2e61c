/* SPDX-License-Identifier: MIT */
/**
 * @file file_lock.h
 * Who may use an image file beside us: byte locks as QEMU takes them, so that both see each other.
 */
#ifndef LIBVM_BLOCKFMT_FILE_LOCK_H
#define LIBVM_BLOCKFMT_FILE_LOCK_H

#include <stdint.h>

/** Take the locks of a use with these enum vm_open_flags.
 *  @retval VM_E_BUSY "Failed to get "write" lock" */
int vm__file_take_locks(int fd, uint32_t flags);

#endif
