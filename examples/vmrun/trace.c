/* SPDX-License-Identifier: MIT */
/**
 * @file trace.c
 * -d and -D: the library's log as text, instructions disassembled by Zydis.
 *
 * An instruction arrives as "MODE ADDRESS BYTES" (mode 16, 32 or 64; the rest hexadecimal): the
 * library itself knows no mnemonics.
 */
#include <Zydis/Zydis.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmrun.h"

struct trace {
    FILE *f;
    bool owns;
    ZydisDecoder decoder[3]; /**< 16, 32, 64 bits */
    ZydisFormatter formatter;
};

static const struct {
    const char *name;
    uint32_t mask;
    const char *help;
} items[] = {
    { "in_asm", VM_LOG_ASM, "instructions as they are decoded" },
    { "exec", VM_LOG_EXEC, "blocks as they are run" },
    { "int", VM_LOG_INT, "interrupts and exceptions" },
    { "io", VM_LOG_IO, "device registers and ports" },
    { "irq", VM_LOG_IRQ, "interrupt controllers" },
    { "guest_errors", VM_LOG_GUEST, "what the guest does wrong" },
    { "unimp", VM_LOG_UNIMP, "what the guest asks for and is not there" },
    { "cpu", VM_LOG_CPU, "processor state changes" },
    { "perf", VM_LOG_PERF, "what makes the machine slow" },
};

enum { N_ITEMS = sizeof items / sizeof items[0] };

static bool add_item(const char *word, uint32_t *mask)
{
    const char *names[N_ITEMS];
    for (size_t i = 0; i < N_ITEMS; i++) {
        names[i] = items[i].name;
        if (strcmp(word, names[i]) == 0) {
            *mask |= items[i].mask;
            return true;
        }
    }
    const char *near = nearest(word, names, N_ITEMS);
    say("-d %s: no such item%s%s; -d help lists them", word, near != NULL ? ", did you mean " : "",
        near != NULL ? near : "");
    return false;
}

bool trace_mask(const char *list, uint32_t *mask)
{
    if (strcmp(list, "help") == 0) {
        for (size_t i = 0; i < N_ITEMS; i++)
            printf("  %-14s %s\n", items[i].name, items[i].help);
        return true;
    }
    char *copy = strdup(list), *rest = copy, *word;
    bool ok = copy != NULL;
    while (ok && (word = strsep(&rest, ",")) != NULL)
        ok = add_item(word, mask);
    free(copy);
    return ok;
}

struct trace *trace_open(const char *path)
{
    struct trace *t = calloc(1, sizeof *t);
    if (t == NULL) {
        say("out of memory");
        return NULL;
    }
    t->f = stderr;
    if (path != NULL) {
        t->f = fopen(path, "we");
        t->owns = true;
        if (t->f == NULL) {
            say("-D %s: %s", path, strerror(errno));
            free(t);
            return NULL;
        }
    }
    ZydisDecoderInit(&t->decoder[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    ZydisDecoderInit(&t->decoder[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&t->decoder[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&t->formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    return t;
}

void trace_close(struct trace *t)
{
    if (t == NULL)
        return;
    if (t->owns)
        (void)fclose(t->f);
    free(t);
}

static size_t hex_bytes(const char *text, uint8_t *out, size_t max)
{
    size_t n = 0;
    unsigned byte;
    int used;
    while (n < max && sscanf(text, " %2x%n", &byte, &used) == 1) {
        out[n++] = (uint8_t)byte;
        text += used;
    }
    return n;
}

/** "0xADDRESS: BYTES  MNEMONIC", or false if the text is not of that form. */
static bool put_asm(struct trace *t, const char *text)
{
    unsigned mode;
    uint64_t address;
    int used;
    uint8_t bytes[ZYDIS_MAX_INSTRUCTION_LENGTH];
    if (sscanf(text, "%u %" SCNx64 "%n", &mode, &address, &used) != 2)
        return false;
    size_t n = hex_bytes(text + used, bytes, sizeof bytes);
    const ZydisDecoder *d = &t->decoder[mode == 16 ? 0 : mode == 32 ? 1 : 2];
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    char line[128] = "(bad)";
    if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(d, bytes, n, &insn, operands)))
        (void)ZydisFormatterFormatInstruction(&t->formatter, &insn, operands,
                                              insn.operand_count_visible, line, sizeof line,
                                              address, NULL);
    (void)fprintf(t->f, "0x%08" PRIx64 ":  ", address);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(t->f, "%02x ", bytes[i]);
    (void)fprintf(t->f, "%*s%s\n", n < 10 ? (int)(3 * (10 - n)) : 1, "", line);
    return true;
}

void trace_log(void *ud, const vm_log_record *r)
{
    struct trace *t = ud;
    if (r->level <= VM_LOG_WARN) {
        say("%s: %s", r->source, r->text);
        return;
    }
    if (r->category == VM_LOG_ASM && put_asm(t, r->text))
        return;
    (void)fprintf(t->f, "%s: %s\n", r->source, r->text);
}
