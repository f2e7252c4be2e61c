/* SPDX-License-Identifier: MIT */
/**
 * @file live.c
 * Which arithmetic flags somebody will still look at.
 *
 * Backward over a block; behind it, the first instructions of direct successors on the same page
 * are looked at too (their bytes are marked as code first: a change of them makes this block stale
 * as well). Everything else that is unknown wants all flags.
 *
 * Flags that are dead may be seen all the same, in the image an exception or interrupt pushes
 * between their producer and the instruction that replaces them. With `exact` set that cannot
 * happen: flags are alive wherever control may leave.
 */
#include "cpu/hook.h"
#include "cpu/interp/quiet.h"
#include "cpu/jit/jit.h"
#include "cpu/x86/code_page.h"

enum { ALL = X86_FL_C | X86_FL_P | X86_FL_A | X86_FL_Z | X86_FL_S | X86_FL_O, AHEAD = 8 };

static bool may_leave(const struct x86_insn *i, const struct x86_row *r)
{
    return (i->flags & X86_I_MEM) || r->jit != X86_JIT_NATIVE ||
           (r->attr & (X86_A_D64 | X86_A_SSE | X86_A_AVX | X86_A_MMX | X86_A_X87));
}

/* Live before @p i, given what is live after it. */
static unsigned wanted(const struct x86_insn *i, unsigned after)
{
    const struct x86_row *r = &vm__x86_rows[i->row];

    return (after & ~vm__interp_kills(i, r)) | r->f_read;
}

static bool is_jcc(const struct x86_row *r)
{
    return r->enc == X86_ENC_LEGACY &&
           (r->map == 0 ? (r->opcode & 0xf0) == 0x70 : r->map == 1 && (r->opcode & 0xf0) == 0x80);
}

/* CALL or JMP to a known place. */
static bool is_direct(const struct x86_row *r)
{
    return r->enc == X86_ENC_LEGACY && r->map == 0 &&
           (r->opcode == 0xe8 || r->opcode == 0xe9 || r->opcode == 0xeb);
}

/* The page of code at @p lin if that is known without a walk, which might fault. */
static bool known_page(const struct vcpu *c, uint64_t lin, struct x86_xtlbe *out)
{
    const struct x86_xtlbe *x = &c->xtlb[lin >> VM_PAGE_SHIFT & (X86_XTLB_SIZE - 1)];

    *out = *x;
    return x->tag == ((lin & ~(uint64_t)(VM_PAGE_SIZE - 1)) | (c->cpl == 3));
}

/* Flags that code at @p rip, on the block's page, looks at before it replaces them; @p depth: jumps
 * that may be followed. */
static unsigned ahead(struct vcpu *c, const struct x86_block *b, uint64_t rip, unsigned depth)
{
    struct x86_decode_ctx ctx = { .code = c->mode & X86_MODE_CODE,
                                  .real = x86_is_real(c),
                                  .have = c->cpus->have };
    struct x86_insn insn[AHEAD];
    struct x86_xtlbe at;
    uint64_t lin = x86_is64(c) ? rip : (uint32_t)(rip + b->cs_base),
             page = ~(uint64_t)(VM_PAGE_SIZE - 1);
    uint64_t own = x86_is64(c) ? b->rip : (uint32_t)(b->rip + b->cs_base);
    uint32_t pos = lin & ~page, n = 0, room;
    unsigned live = ALL, dead = 0;

    if (vm__hook_wants(&c->cpus->m->hooks, VM_HOOK_CODE, lin & page, lin | ~page))
        return ALL; /* hooks look at them */
    if ((lin & page) != (own & page) || !known_page(c, lin, &at) || at.page != b->page)
        return ALL;
    room = pos + AHEAD * 8 < VM_PAGE_SIZE ? AHEAD * 8 : VM_PAGE_SIZE - pos;
    vm__x86_mark_code(c, at.page, pos, room);
    for (uint32_t off = 0; n < AHEAD && dead != ALL; n++) {
        const struct x86_insn *i = &insn[n];
        if (vm__x86_decode(&ctx, at.host + pos + off, room - off, rip + off, &insn[n]) !=
            X86_DECODE_OK)
            break;
        const struct x86_row *r = &vm__x86_rows[i->row];
        off += i->len;
        if (r->attr & (X86_A_BRANCH | X86_A_END | X86_A_IO)) {
            if (depth > 0 && is_direct(r))
                live = ahead(c, b, i->imm, depth - 1);
            else if (depth > 0 && is_jcc(r))
                live =
                    r->f_read | ahead(c, b, i->imm, depth - 1) | ahead(c, b, rip + off, depth - 1);
            break;
        }
        dead |= vm__interp_kills(i, r);
    }
    while (n-- > 0)
        live = wanted(&insn[n], live);
    return live;
}

static unsigned behind(struct vcpu *c, const struct x86_block *b, uint8_t edge[2])
{
    enum { DEPTH = 2 };
    const struct x86_insn *i = &b->insns[b->n - 1];
    const struct x86_row *r = &vm__x86_rows[i->row];
    uint64_t next = b->rip + b->bytes;

    if (jit_cache(c)->exact)
        return ALL;
    if (r->jit == X86_JIT_BRANCH) {
        if (is_jcc(r)) {
            edge[0] = (uint8_t)ahead(c, b, next, DEPTH);
            edge[1] = (uint8_t)ahead(c, b, i->imm, DEPTH);
            return edge[0] | edge[1];
        }
        return is_direct(r) ? ahead(c, b, i->imm, DEPTH) : ALL;
    }
    return r->attr & (X86_A_BRANCH | X86_A_END | X86_A_IO) ? ALL : ahead(c, b, next, DEPTH);
}

void vm__jit_live(struct vcpu *c, const struct x86_block *b, uint8_t before[], uint8_t after[],
                  uint8_t edge[2])
{
    bool exact = jit_cache(c)->exact;

    edge[0] = edge[1] = ALL;
    unsigned now = behind(c, b, edge);

    for (uint32_t k = b->n; k-- > 0;) {
        const struct x86_insn *i = &b->insns[k];

        after[k] = (uint8_t)now;
        now = exact && may_leave(i, &vm__x86_rows[i->row]) ? ALL : wanted(i, now);
        before[k] = (uint8_t)now;
    }
}
