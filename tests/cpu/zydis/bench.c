/* SPDX-License-Identifier: MIT */
/**
 * @file bench.c
 * What an instruction costs to decode, beside Zydis: real code, straight through, best of several
 * interleaved rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "agree.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double ours(const struct agree_ctx *a, const uint8_t *code, size_t len, size_t *count)
{
    double t = now();
    size_t n = 0, sum = 0;

    for (size_t at = 0; at + AG_MAX < len; n++) {
        struct x86_insn o;
        int st = vm__x86_decode(&a->ours, code + at, AG_MAX, at, &o);
        at += st == X86_DECODE_OK ? o.len : 1;
        sum += o.row;
    }
    *count = n;
    t = now() - t;
    return sum ? t / (double)n : 0;
}

static double theirs(const struct agree_ctx *a, const uint8_t *code, size_t len)
{
    double t = now();
    size_t n = 0, sum = 0;

    for (size_t at = 0; at + AG_MAX < len; n++) {
        ZydisDecodedInstruction z;
        ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
        ZyanStatus st = ZydisDecoderDecodeFull(&a->zydis, code + at, AG_MAX, &z, op);
        at += ZYAN_SUCCESS(st) ? z.length : 1;
        sum += (size_t)z.mnemonic;
    }
    t = now() - t;
    return sum ? t / (double)n : 0;
}

int main(int argc, char **argv)
{
    static const struct agree_mode mode = { "64", 3, false, ZYDIS_MACHINE_MODE_LONG_64,
                                            ZYDIS_STACK_WIDTH_64 };
    const char *path = argc > 1 ? argv[1] : "/usr/lib/x86_64-linux-gnu/libc.so.6";
    struct agree_ctx a;
    size_t len, n = 0;
    double best[2] = { 1e9, 1e9 };
    uint8_t *code = agree_code(path, &len);

    if (!code) {
        fprintf(stderr, "decode: cannot read %s\n", path);
        return 77;
    }
    if (len > 1 << 20)
        len = 1 << 20;
    agree_init();
    agree_context(&a, &mode);
    for (unsigned round = 0; round < 7; round++) {
        double t = ours(&a, code, len, &n), z = theirs(&a, code, len);
        best[0] = t < best[0] ? t : best[0];
        best[1] = z < best[1] ? z : best[1];
    }
    printf("decode: %zu instructions of %s: libvm %.1f ns, Zydis %.1f ns each (%.1f times)\n", n,
           path, best[0], best[1], best[1] / best[0]);
    free(code);
    return 0;
}
