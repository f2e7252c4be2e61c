/* SPDX-License-Identifier: MIT */
/**
 * @file disasm_zydis.c
 * Instructions as text, by Zydis.
 */
#include <Zydis/Zydis.h>
#include <stdio.h>

#include "monitor/monitor.h"

uint32_t vm__mon_disassemble(unsigned bits, uint64_t address, const uint8_t *bytes, size_t len,
                             char *text, size_t size)
{
    ZydisDecoder decoder;
    ZydisFormatter formatter;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    const bool wide = bits == 64, narrow = bits == 16;
    (void)ZydisDecoderInit(&decoder,
                           wide     ? ZYDIS_MACHINE_MODE_LONG_64
                           : narrow ? ZYDIS_MACHINE_MODE_LEGACY_16
                                    : ZYDIS_MACHINE_MODE_LEGACY_32,
                           wide     ? ZYDIS_STACK_WIDTH_64
                           : narrow ? ZYDIS_STACK_WIDTH_16
                                    : ZYDIS_STACK_WIDTH_32);
    (void)ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, len, &insn, operands)) &&
        ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
            &formatter, &insn, operands, insn.operand_count_visible, text, size, address, NULL)))
        return insn.length;
    (void)snprintf(text, size, "(bad)");
    return 1;
}
