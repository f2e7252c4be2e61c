/* SPDX-License-Identifier: MIT */
/**
 * @file disasm_none.c
 * In a build without Zydis there is no disassembler.
 */
#include "monitor/monitor.h"

uint32_t vm__mon_disassemble(unsigned bits, uint64_t address, const uint8_t *bytes, size_t len,
                             char *text, size_t size)
{
    (void)bits;
    (void)address;
    (void)bytes;
    (void)len;
    if (size != 0)
        text[0] = '\0';
    return 0;
}
