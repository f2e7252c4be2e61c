/* SPDX-License-Identifier: MIT */
/**
 * @file far.c
 * Far CALL, JMP, RET, IRET and software interrupts.
 *
 * The work is in x86/far.c, return.c and deliver.c; handlers leave the block first, so that a fault
 * or a task switch in the middle sees an exact st.rip.
 */
#include "cpu/x86/far.h"

#include "cpu/interp/interp.h"
#include "cpu/x86/v86.h"

/* Leave the block with st.rip at the instruction; returns the address after it. */
static uint64_t begin(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t next = x86_next_rip(c, i);
    vm__x86_stop_at(c, i);
    return next;
}

/* Go on at st.rip. */
#define FINISH(c)                                                                                  \
    do {                                                                                           \
        vm__x86_task_trap(c);                                                                      \
        if (x86_unlikely((c)->st.event.kind != X86_EVENT_NONE))                                    \
            X86_LEAVE(c);                                                                          \
        X86_JUMP(c, (c)->st.rip);                                                                  \
    } while (0)

/* A far pointer in memory: selector, and the offset in *off. */
static uint16_t far_pointer(struct vcpu *c, const struct x86_insn *i, uint64_t *off)
{
    unsigned size = 1u << i->osz;
    uint64_t lin = x86_lin(c, i, size + 2, X86_ACCESS_R);

    *off = x86_ld(c, i, lin, i->osz); /* first: a page fault tells */
    return x86_ld16(c, i, lin + size);
}

X86_H(far_jump_imm)
{
    uint16_t sel = (uint16_t)(i->imm >> 32);
    uint32_t off = (uint32_t)i->imm;
    vm__x86_far_jump(c, sel, off, begin(c, i));
    FINISH(c);
}

static X86_NOINLINE void jump_mem(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t off;
    uint16_t sel = far_pointer(c, i, &off);
    vm__x86_far_jump(c, sel, off, begin(c, i));
}

X86_H(far_jump_mem)
{
    jump_mem(c, i);
    FINISH(c);
}

X86_H(far_call_imm)
{
    uint16_t sel = (uint16_t)(i->imm >> 32);
    uint32_t off = (uint32_t)i->imm;
    unsigned size = 1u << i->osz;
    vm__x86_far_call(c, sel, off, size, begin(c, i));
    FINISH(c);
}

static X86_NOINLINE void call_mem(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t off;
    unsigned size = 1u << i->osz;
    uint16_t sel = far_pointer(c, i, &off);
    vm__x86_far_call(c, sel, off, size, begin(c, i));
}

X86_H(far_call_mem)
{
    call_mem(c, i);
    FINISH(c);
}

X86_H(far_ret)
{
    unsigned size = 1u << i->osz, release = (unsigned)i->imm;
    (void)begin(c, i);
    vm__x86_far_ret(c, size, release);
    FINISH(c);
}

X86_H(iret)
{
    unsigned size = 1u << i->osz;
    vm__x86_iret(c, size, begin(c, i));
    FINISH(c);
}

/* ---- software interrupts ---- */

X86_H(int_n)
{
    uint8_t vector = (uint8_t)i->imm;
    uint64_t next = begin(c, i);
    if (x86_unlikely(x86_is_v86(c)))
        vm__x86_v86_int(c, vector, next);
    else
        vm__x86_soft_int(c, X86_EVENT_SOFT, vector, next);
    FINISH(c);
}

X86_H(int3)
{
    vm__x86_soft_int(c, X86_EVENT_SOFT, X86_XBP, begin(c, i));
    FINISH(c);
}

X86_H(int1)
{
    vm__x86_soft_int(c, X86_EVENT_ICEBP, X86_XDB, begin(c, i));
    FINISH(c);
}

X86_H(into)
{
    if (!x86_of(c))
        X86_FALL(c, i);
    vm__x86_soft_int(c, X86_EVENT_SOFT, X86_XOF, begin(c, i));
    FINISH(c);
}

static int64_t signed_at(uint64_t v, unsigned osz)
{
    return osz == 1 ? (int16_t)v : (int32_t)v;
}

X86_H(bound)
{
    unsigned size = 1u << i->osz;
    uint64_t lin = x86_lin(c, i, 2 * size, X86_ACCESS_R);
    int64_t v = signed_at(x86_get(c, i->dst, i->osz), i->osz);

    /* Below the lower bound, the upper one is not looked at. */
    if (v < signed_at(x86_ld(c, i, lin, i->osz), i->osz) ||
        v > signed_at(x86_ld(c, i, lin + size, i->osz), i->osz))
        vm__x86_fault(c, i, X86_XBR, 0);
    X86_NEXT(c, i);
}

X86_H(ud)
{
    x86_ud(c, i);
}
