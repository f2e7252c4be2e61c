/* SPDX-License-Identifier: MIT */
/**
 * @file version.c
 * Which library this is.
 */
#include <libvm/version.h>

uint32_t vm_version(void)
{
    return VM_API_VERSION;
}

const char *vm_version_string(void)
{
    return "0.1.0";
}
