/* SPDX-License-Identifier: MIT */
/**
 * @file file_lock.c
 * Byte locks on image files.
 *
 * Each way of using a file has a number. Who uses it in that way holds a shared lock on byte
 * 100 + number; who does not bear that others do, holds one on byte 200 + number. After taking its
 * own, everyone looks whether somebody holds the counterpart. Nobody ever takes an exclusive lock,
 * so the order of two openers does not matter: at least one of them sees the other. ([qemu-block]
 * names the bytes; what qemu-img 7.2 takes can be seen in /proc/locks.)
 */
#include "blockfmt/file_lock.h"

#include <stddef.h>

#include "base/error.h"
#include "block/node.h"
#include "host/file.h"

enum { USES_BASE = 100, REFUSES_BASE = 200 };

static const struct {
    const char *name;
    uint32_t n;
} uses[] = { { "consistent read", 0 }, { "write", 1 }, { "resize", 3 } };

enum { N_USES = sizeof uses / sizeof uses[0], READ = 1 << 0, WRITE = 1 << 1, RESIZE = 1 << 2 };

static int take(int fd, uint32_t mask, uint64_t base)
{
    for (uint32_t i = 0; i < N_USES; i++)
        if (mask >> i & 1) {
            const int st = vm__file_lock(fd, base + uses[i].n, 1);
            if (st != VM_OK)
                return st;
        }
    return VM_OK;
}

static int meet(int fd, uint32_t mask, uint64_t base, const char *what)
{
    for (uint32_t i = 0; i < N_USES; i++)
        if ((mask >> i & 1) && vm__file_locked(fd, base + uses[i].n, 1))
            return vm__fail(VM_E_BUSY, "Failed to get %s\"%s\" lock", what, uses[i].name);
    return VM_OK;
}

int vm__file_take_locks(int fd, uint32_t flags)
{
    const bool writes = !(flags & VM_OPEN_RO);
    const bool shares = flags & (VM_OPEN_SHARE | VM_OPEN_SHARE_RW | VM_OPEN_INACTIVE);
    const uint32_t mine =
        READ | (writes ? WRITE : 0) | (writes && !(flags & VM_OPEN_SHARE_RW) ? RESIZE : 0);
    const uint32_t refused = shares ? 0 : WRITE | RESIZE;

    int st = take(fd, mine, USES_BASE);
    if (st == VM_OK)
        st = take(fd, refused, REFUSES_BASE);
    if (st == VM_E_NOTSUP) /* a file system without locks: nobody else can have any */
        return VM_OK;
    if (st != VM_OK)
        return vm__fail(VM_E_BUSY, "Failed to get \"%s\" lock", writes ? "write" : "read");
    st = flags & VM_OPEN_SHARE ? VM_OK : meet(fd, mine, REFUSES_BASE, "");
    return st == VM_OK ? meet(fd, refused, USES_BASE, "shared ") : st;
}
