/* SPDX-License-Identifier: MIT */
/**
 * @file compare.c
 * What differs between the host processor and an engine, and how to see it again.
 */
#include <Zydis/Zydis.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "oracle.h"

enum {
    D_VECTOR = 1,
    D_ERROR = 2,
    D_CR2 = 4,
    D_RIP = 8,
    D_FLAGS = 16,
    D_GPR = 32,
    D_SEL = 64,
    D_BASE = 128,
    D_VEC = 256,
    D_X87 = 512,
    D_FSW = 1024,
    D_FPTR = 2048,
    D_MXCSR = 4096,
    D_MEM = 8192,
};

static const char *const names[] = { "vector", "error", "cr2", "rip", "flags", "gpr",   "sel",
                                     "base",   "vec",   "x87", "fsw", "fptr",  "mxcsr", "mem" };
static const char *const regs[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
static const char *const segs[] = { "es", "cs", "ss", "ds", "fs", "gs" };

const char *orc_diff_names(uint32_t diff, char *buf, unsigned size)
{
    buf[0] = 0;
    for (unsigned k = 0; k < sizeof names / sizeof *names; k++)
        if (diff >> k & 1)
            snprintf(buf + strlen(buf), size - strlen(buf), "%s%s", buf[0] ? " " : "", names[k]);
    return buf;
}

static uint64_t flags_mask(const struct x86_row *row)
{
    uint64_t m = X86_ARITH | X86_DF | X86_TF | X86_AC | X86_RF | X86_NT | X86_ID;

    if (row->attr & X86_A_VARIES) {
        static const uint32_t bit[] = { X86_CF, X86_PF, X86_AF, X86_ZF, X86_SF, X86_OF };
        for (unsigned k = 0; k < 6; k++)
            if (row->f_undef >> k & 1)
                m &= ~(uint64_t)bit[k];
    }
    return m;
}

/* Of addresses it keeps for itself the host kernel always says "present" (it does not tell user
 * programs what it has mapped there). */
static uint32_t error_mask(const struct orc_result *n)
{
    return n->vector == X86_XPF && n->cr2 >= 0x7ffffffff000 ? ~1u : ~0u;
}

/* Processors may update FOP and FDP only with an unmasked exception [SDM-1 §8.1.8, §8.1.9]; a host
 * that left them alone does not say what they would have been. FIP always counts. */
static bool pointers_differ(const struct orc_case *c, const struct orc_state *n,
                            const struct orc_state *g)
{
    if (n->fip != g->fip)
        return true;
    if (n->fop == c->in.fop && n->fdp == c->in.fdp && !(n->fsw & 0x80))
        return false;
    return n->fop != g->fop || n->fdp != g->fdp;
}

/* Operands that the processor accesses piece by piece, in an order of its own: a fault names one of
 * the pieces, and FBSTP, FSTP and the save instructions may have stored those before it. */
static bool by_pieces(const struct orc_case *c)
{
    const struct x86_row *row = &vm__x86_rows[c->row];
    if (strstr(row->name, "maskmovdqu"))
        return true;
    return (c->dec.flags & X86_I_MEM) &&
           (orc_mem_size(row, &c->dec, c->mode) > 32 || strstr(row->name, "maskmov") ||
            row->op[0].size == X86_SZ_T || strcmp(row->name, "fnstenv") == 0 ||
            strcmp(row->name, "fldenv") == 0);
}

/* A restore that ends in #GP may have loaded some registers before it came to what is wrong. */
static bool half_restored(const struct x86_row *row, const struct orc_result *n)
{
    return n->vector == X86_XGP && strstr(row->name, "rstor") != NULL;
}

/* An unmasked numeric exception keeps FST and kin from storing, and so from page faulting; the
 * engines look at the page first, and raise the numeric exception when the page is there. */
static bool store_suppressed(const struct x86_row *row, const struct orc_result *n,
                             const struct orc_result *g)
{
    return (row->attr & X86_A_X87) && n->vector == X86_XBP && (n->s.fsw & 0x80) &&
           (g->vector == X86_XPF || g->vector == X86_XGP || g->vector == X86_XSS ||
            g->vector == X86_XAC);
}

/* With underflow unmasked, the processor calls a result inexact only if it were with an unbounded
 * exponent [SDM-1 §4.9.1.5]; the engines cannot see that from the masked operation. */
static uint32_t mxcsr_mask(const struct orc_result *n)
{
    bool underflow = n->vector == X86_XXM && (n->s.mxcsr & 0x10) && !(n->s.mxcsr & 0x800);
    return underflow ? ~UINT32_C(0x20) : ~UINT32_C(0);
}

/* Compatibility mode leaves upper halves undefined [SDM-1 §3.4.1.1]. */
static uint64_t gpr_mask(const struct orc_case *c, const struct orc_result *n)
{
    return c->mode == ORC_64 && n->s.sel[X86_CS] == ORC_CS64 ? ~UINT64_C(0) : 0xffffffff;
}

/* The kernel's return to user mode turns null selectors 1, 2 and 3 into 0 [SDM-2A IRET]. */
static bool selectors_differ(const struct orc_state *a, const struct orc_state *b)
{
    for (unsigned k = 0; k < 6; k++)
        if (a->sel[k] != b->sel[k] && (a->sel[k] > 3 || b->sel[k] > 3))
            return true;
    return false;
}

/* A near call to a non-canonical address has stored the return address when it faults. */
static bool call_stored(const struct x86_row *row, const struct orc_result *n)
{
    return n->vector == X86_XGP && strcmp(row->name, "call") == 0;
}

uint32_t orc_compare(const struct orc_case *c, const struct orc_result *n,
                     const struct orc_result *g, const uint8_t *native_mem,
                     const uint8_t *guest_mem)
{
    const struct x86_row *row = &vm__x86_rows[c->row];
    const struct orc_state *a = &n->s, *b = &g->s;
    uint32_t d = 0;
    bool pieces = n->vector == X86_XPF && g->vector == X86_XPF && by_pieces(c);

    if (store_suppressed(row, n, g))
        return 0;
    if (n->vector != g->vector)
        d |= D_VECTOR;
    if (n->vector == g->vector && !pieces && ((n->error ^ g->error) & error_mask(n)))
        d |= D_ERROR;
    if (n->vector == X86_XPF && g->vector == X86_XPF && !pieces && n->cr2 != g->cr2)
        d |= D_CR2;
    if (a->rip != b->rip)
        d |= D_RIP;
    if ((a->rflags ^ b->rflags) & flags_mask(row))
        d |= D_FLAGS;
    for (unsigned k = 0; k < (c->mode == ORC_64 ? 16 : 8); k++)
        if ((a->gpr[k] ^ b->gpr[k]) & gpr_mask(c, n))
            d |= D_GPR;
    if (selectors_differ(a, b))
        d |= D_SEL;
    if (c->mode == ORC_64 && (a->gs_base != b->gs_base || a->fs_base != b->fs_base))
        d |= D_BASE;
    if (memcmp(a->vec, b->vec, sizeof a->vec) != 0 && !half_restored(row, n))
        d |= D_VEC;
    if (memcmp(a->st, b->st, sizeof a->st) != 0 && !half_restored(row, n))
        d |= D_X87;
    if ((a->fcw != b->fcw || a->fsw != b->fsw || a->ftw != b->ftw) && !half_restored(row, n))
        d |= D_FSW;
    if (pointers_differ(c, a, b) && !half_restored(row, n))
        d |= D_FPTR;
    if ((a->mxcsr ^ b->mxcsr) & mxcsr_mask(n))
        d |= D_MXCSR;
    if (!pieces && !call_stored(row, n) && memcmp(native_mem, guest_mem, ORC_DATA_SIZE) != 0)
        d |= D_MEM;
    return d;
}

/* ---- report ---- */

static void hex(const uint8_t *p, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        printf("%02x", p[k]);
}

static void hex_reversed(const uint8_t *p, unsigned n)
{
    for (unsigned k = n; k-- > 0;)
        printf("%02x%s", p[k], k && k % 8 == 0 ? "_" : "");
}

void orc_print_case(const struct orc_case *c)
{
    const struct x86_row *row = &vm__x86_rows[c->row];
    ZydisDisassembledInstruction z;
    ZydisMachineMode m =
        c->mode == ORC_64 ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LONG_COMPAT_32;

    printf("%s %s, %d-bit, --seed %" PRIu64 " --number %" PRIu64 "\n  %" PRIx64 ": ", row->name,
           row->form, c->mode == ORC_64 ? 64 : 32, c->seed, c->number, c->in.rip);
    hex(c->bytes, c->len);
    if (ZYAN_SUCCESS(ZydisDisassembleIntel(m, c->in.rip, c->bytes, c->len, &z)))
        printf("  %s", z.text);
    printf("\n");
}

static void row64(const char *name, uint64_t in, uint64_t n, uint64_t g, bool always)
{
    if (always || n != g)
        printf("  %-7s %16" PRIx64 "  native %16" PRIx64 "  guest %16" PRIx64 "%s\n", name, in, n,
               g, n != g ? "  <--" : "");
}

static void row_bytes(const char *name, unsigned index, const uint8_t *in, const uint8_t *n,
                      const uint8_t *g, unsigned len, bool always)
{
    bool differ = memcmp(n, g, len) != 0;
    if (!differ && !always)
        return;
    printf("  %s%u in ", name, index);
    hex_reversed(in, len);
    if (differ || memcmp(in, n, len) != 0) {
        printf("\n       native ");
        hex_reversed(n, len);
        printf("\n       guest  ");
        hex_reversed(g, len);
        printf("%s", differ ? "  <--" : "");
    }
    printf("\n");
}

static void report_memory(const struct orc_case *c, const uint8_t *n, const uint8_t *g)
{
    for (unsigned k = 0; k < c->n_patches; k++) {
        const struct orc_patch *p = &c->patch[k];
        printf("  memory [%x] in ", ORC_DATA + p->off);
        hex(p->bytes, p->len > 64 ? 64 : p->len);
        printf("%s\n", p->len > 64 ? "…" : "");
    }
    unsigned shown = 0;
    for (unsigned k = 0; k < ORC_DATA_SIZE && shown < 4; k++)
        if (n[k] != g[k]) {
            unsigned len = ORC_DATA_SIZE - k < 32 ? ORC_DATA_SIZE - k : 32;
            printf("  memory [%x] native ", ORC_DATA + k);
            hex(n + k, len);
            printf("\n                    guest  ");
            hex(g + k, len);
            printf("  <--\n");
            k += 31;
            shown++;
        }
}

void orc_report(const struct orc_case *c, const struct orc_result *n, const struct orc_result *g,
                const uint8_t *native_mem, const uint8_t *guest_mem, uint32_t diff)
{
    const struct x86_row *row = &vm__x86_rows[c->row];
    const struct orc_state *i = &c->in, *a = &n->s, *b = &g->s;
    bool vec = row->attr & (X86_A_SSE | X86_A_AVX);
    bool x87 = row->attr & (X86_A_X87 | X86_A_MMX);
    char text[128];

    printf("DIFFERENCE in %s: ", orc_diff_names(diff, text, sizeof text));
    orc_print_case(c);
    row64("vector", 0, n->vector, g->vector, true);
    row64("error", 0, n->error, g->error, false);
    row64("cr2", 0, n->cr2, n->vector == X86_XPF ? g->cr2 : n->cr2, false);
    row64("rip", i->rip, a->rip, b->rip, true);
    row64("rflags", i->rflags, a->rflags, b->rflags, true);
    for (unsigned k = 0; k < (c->mode == ORC_64 ? 16 : 8); k++)
        row64(regs[k], i->gpr[k], a->gpr[k] & gpr_mask(c, n), b->gpr[k] & gpr_mask(c, n), true);
    for (unsigned k = 0; k < 6; k++)
        row64(segs[k], i->sel[k], a->sel[k], b->sel[k], false);
    if (c->mode == ORC_64) {
        row64("fs_base", i->fs_base, a->fs_base, b->fs_base, false);
        row64("gs_base", i->gs_base, a->gs_base, b->gs_base, false);
    }
    for (unsigned k = 0; k < 16; k++)
        row_bytes("vec", k, i->vec[k], a->vec[k], b->vec[k], 32, vec);
    row64("mxcsr", i->mxcsr, a->mxcsr, b->mxcsr, row->attr & X86_A_FP);
    row64("fcw", i->fcw, a->fcw, b->fcw, x87);
    row64("fsw", i->fsw, a->fsw, b->fsw, x87);
    row64("ftw", i->ftw, a->ftw, b->ftw, x87);
    row64("fop", i->fop, a->fop, b->fop, false);
    row64("fip", i->fip, a->fip, b->fip, false);
    row64("fdp", i->fdp, a->fdp, b->fdp, false);
    for (unsigned k = 0; k < 8; k++)
        row_bytes("st", k, i->st[k], a->st[k], b->st[k], 10, x87);
    report_memory(c, native_mem, guest_mem);
}
