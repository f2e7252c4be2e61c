/* SPDX-License-Identifier: MIT */
/**
 * @file agree.h
 * Does our decoder agree with Zydis?
 *
 *   agree.c    sources of bytes, counting and grouping of differences
 *   match.c    one instruction: what both say of it
 *   sources.c  random bytes, bytes shaped by table rows, real code
 */
#ifndef LIBVM_TESTS_ZYDIS_AGREE_H
#define LIBVM_TESTS_ZYDIS_AGREE_H

#include <Zydis/Zydis.h>

#include "cpu/x86/feature.h"
#include "cpu/x86/insn.h"
#include "rng.h"

enum { AG_MAX = 15 };

/** The five ways to read code. */
struct agree_mode {
    const char *name;
    uint8_t code; /**< struct x86_decode_ctx */
    bool real;
    ZydisMachineMode machine;
    ZydisStackWidth stack;
};

struct agree_ctx {
    const struct agree_mode *mode;
    struct x86_decode_ctx ours;
    ZydisDecoder zydis;
};

enum verdict {
    AG_SAME,     /**< same instruction, or undefined for both */
    AG_NOT_OURS, /**< an instruction that our table has no rows for */
    AG_DIFFERENT,
};

/** @p detail says what differs, in words that group equal differences. */
enum verdict agree_match(const struct agree_ctx *a, const uint8_t *bytes, unsigned avail,
                         uint64_t rip, char *detail, unsigned size, unsigned *len);
void agree_init(void);
void agree_context(struct agree_ctx *a, const struct agree_mode *mode);

/** Shape @p out (AG_MAX bytes) by a random row. */
void agree_structured(struct rng *r, const struct agree_mode *mode, uint8_t *out);
/** Code sections of an ELF file, or the whole of any other; NULL if it cannot be read. */
uint8_t *agree_code(const char *path, size_t *len);

#endif
