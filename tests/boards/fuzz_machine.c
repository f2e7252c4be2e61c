/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_machine.c
 * libFuzzer target: port and memory accesses to a whole pc machine, as a guest could make them.
 *
 * Eight bytes of input are one access: kind and size, three bytes of address, four of value.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/endian.h"
#include "fake_cpu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void access_one(struct vm_machine *m, const uint8_t *a)
{
    unsigned size = 1u << (a[0] & 3);
    uint32_t where = vm_le32(a) >> 8, value = vm_le32(a + 4);
    unsigned port_size = size == 8 ? 4 : size;
    switch (a[0] >> 2 & 3) {
    case 0:
        (void)vm__port_read(m, (uint16_t)where, port_size);
        break;
    case 1:
        vm__port_write(m, (uint16_t)where, port_size, value);
        break;
    case 2: /* the top 16 MiB below 4 GiB, where the fixed windows are */
        (void)vm__mmio_read(m, VM_VIEW_NORMAL, 0xff000000u - 0x1000000u + where, size);
        break;
    default:
        vm__mmio_write(m, VM_VIEW_NORMAL, (a[0] & 0x10) ? where : 0xfe000000u + where, size, value);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const settings[] = { "memory.size", "8M", "clock.mode", "icount", NULL };
    struct vm_machine *m = fake_pc(settings);
    if (m == NULL)
        abort();
    for (size_t i = 0; i + 8 <= len; i += 8) {
        vm__lock(m);
        access_one(m, data + i);
        vm__unlock(m);
    }
    fake_pc_free(m);
    return 0;
}
