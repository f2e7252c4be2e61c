/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_kernel.c
 * libFuzzer target: a file given as kernel. The plan must stay within memory.
 */
#include <stdlib.h>

#include "base/error.h"
#include "boards/boot/load.h"
#include "boards/boot/setup16.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct boot_request *r, struct boot_plan *p)
{
    for (size_t i = 0; i < p->n_segs; i++)
        if (!vm__boot_in_ram(r, p->segs[i].gpa, p->segs[i].len + p->segs[i].zeros))
            abort();
    vm__boot_plan_fini(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct boot_range ranges[] = {
        { 0, 0x9fc00, BOOT_RAM_USABLE },
        { 0x100000, 0x3f00000, BOOT_RAM_USABLE },
        { UINT64_C(1) << 32, UINT64_C(1) << 30, BOOT_RAM_USABLE },
    };
    const struct boot_module mod = { .file = { data, len, "initrd" }, .args = "initrd" };
    const struct boot_request r = {
        .kernel = { .data = data, .len = len, .name = "kernel" },
        .modules = &mod,
        .n_modules = 1,
        .cmdline = "quiet",
        .ranges = ranges,
        .n_ranges = sizeof ranges / sizeof ranges[0],
    };
    struct boot_plan p;
    struct boot_setup16 s;
    if (vm__boot_load(&r, &p) == VM_OK)
        check(&r, &p);
    if (vm__boot_setup16(&r, &p, &s) == VM_OK)
        check(&r, &p);
    return 0;
}
