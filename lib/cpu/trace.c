/* SPDX-License-Identifier: MIT */
/**
 * @file trace.c
 * Log lines of a processor. See trace.h.
 */
#include "cpu/trace.h"

#include <inttypes.h>
#include <stdio.h>

static void say(struct vcpu *c, uint32_t category, const char *text)
{
    char source[16];
    (void)snprintf(source, sizeof source, "cpu%u", c->cpu.index);
    vm__logf(&c->cpus->m->log, VM_LOG_DEBUG, category, source, "%s", text);
}

void vm__x86_trace_insn(struct vcpu *c, uint64_t rip, const uint8_t *bytes, unsigned len)
{
    char text[96];
    unsigned bits = 8u << (c->mode & X86_MODE_CODE);
    int n = snprintf(text, sizeof text, "%u 0x%" PRIx64, bits, rip);
    for (unsigned i = 0; i < len && n < (int)sizeof text - 4; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %02x", bytes[i]);
    say(c, VM_LOG_ASM, text);
}

void vm__x86_trace_block(struct vcpu *c, uint64_t rip, unsigned insns)
{
    char text[96];
    (void)snprintf(text, sizeof text, "exec 0x%" PRIx64 " cpl %u insns %u", rip, c->cpl, insns);
    say(c, VM_LOG_EXEC, text);
}

void vm__x86_trace_event(struct vcpu *c)
{
    static const char *const kinds[] = { "none", "exception", "int", "icebp", "interrupt", "nmi" };
    const struct x86_event *e = &c->st.event;
    char text[160];
    (void)snprintf(text, sizeof text,
                   "%s 0x%02x error 0x%x payload 0x%" PRIx64 " at 0x%x:0x%" PRIx64 " cpl %u",
                   e->kind < sizeof kinds / sizeof kinds[0] ? kinds[e->kind] : "event", e->vector,
                   e->error, e->payload, c->st.seg[X86_CS].sel, c->st.rip, c->cpl);
    say(c, VM_LOG_INT, text);
}
