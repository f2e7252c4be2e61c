/* SPDX-License-Identifier: MIT */
/**
 * @file atomic.c
 * XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B [SDM-2].
 *
 * Without LOCK they are read-modify-writes like any other; with it the host's own atomics act on
 * guest memory.
 */
#include "cpu/interp/arith.h"

#define FLAT   x86_lin_flat(c, i)
#define GEN(W) x86_lin(c, i, W / 8, X86_ACCESS_W)

/* ---- XADD ---- */

#define XADD_M(W, form, LIN)                                                                       \
    X86_H(xadd##W##_##form)                                                                        \
    {                                                                                              \
        uint64_t lin = LIN;                                                                        \
        uint8_t *p = x86_rmw(c, i, lin, W / 8);                                                    \
        X86_U##W a = X86_PEEK(W, p), b = x86_get_##W(c, i->src);                                   \
        X86_POKE(W, p, a + b);                                                                     \
        x86_rmw_end(c, i, lin, W / 8, p);                                                          \
        (void)x86_op_add(c, W, a, b);                                                              \
        x86_set_##W(c, i->src, a);                                                                 \
        X86_NEXT(c, i);                                                                            \
    }
#define XADD(W)                                                                                    \
    X86_H(xadd##W##_rr)                                                                            \
    {                                                                                              \
        X86_U##W a = x86_get_##W(c, i->dst);                                                       \
        X86_U##W r = (X86_U##W)x86_op_add(c, W, a, x86_get_##W(c, i->src));                        \
        x86_set_##W(c, i->src, a);                                                                 \
        x86_set_##W(c, i->dst, r);                                                                 \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    XADD_M(W, mr, FLAT)                                                                            \
    XADD_M(W, mr_g, GEN(W))                                                                        \
    X86_H(xadd##W##_lk)                                                                            \
    {                                                                                              \
        uint64_t lin = GEN(W);                                                                     \
        X86_U##W b = x86_get_##W(c, i->src), a;                                                    \
        uint8_t *p = vm__x86_lock_begin(c, i, lin, W / 8);                                         \
        a = __atomic_fetch_add((X86_U##W *)(void *)p, b, __ATOMIC_SEQ_CST);                        \
        vm__x86_lock_end(c, i, lin, W / 8, p);                                                     \
        (void)x86_op_add(c, W, a, b);                                                              \
        x86_set_##W(c, i->src, a);                                                                 \
        X86_NEXT(c, i);                                                                            \
    }
XADD(8)
XADD(16)
XADD(32)
XADD(64)

/* ---- CMPXCHG: the destination is written in either case [SDM-2A CMPXCHG] ---- */

#define CMPXCHG_M(W, form, LIN)                                                                    \
    X86_H(cmpxchg##W##_##form)                                                                     \
    {                                                                                              \
        uint64_t lin = LIN;                                                                        \
        uint8_t *p = x86_rmw(c, i, lin, W / 8);                                                    \
        X86_U##W old = X86_PEEK(W, p), acc = x86_get_##W(c, X86_RAX * 8);                          \
        X86_POKE(W, p, old == acc ? x86_get_##W(c, i->src) : old);                                 \
        x86_rmw_end(c, i, lin, W / 8, p);                                                          \
        (void)x86_op_cmp(c, W, acc, old);                                                          \
        if (old != acc)                                                                            \
            x86_set_##W(c, X86_RAX * 8, old);                                                      \
        X86_NEXT(c, i);                                                                            \
    }
#define CMPXCHG(W)                                                                                 \
    X86_H(cmpxchg##W##_rr)                                                                         \
    {                                                                                              \
        X86_U##W old = x86_get_##W(c, i->dst), acc = x86_get_##W(c, X86_RAX * 8);                  \
        (void)x86_op_cmp(c, W, acc, old);                                                          \
        if (old == acc)                                                                            \
            x86_set_##W(c, i->dst, x86_get_##W(c, i->src));                                        \
        else                                                                                       \
            x86_set_##W(c, X86_RAX * 8, old);                                                      \
        X86_NEXT(c, i);                                                                            \
    }                                                                                              \
    CMPXCHG_M(W, mr, FLAT)                                                                         \
    CMPXCHG_M(W, mr_g, GEN(W))                                                                     \
    X86_H(cmpxchg##W##_lk)                                                                         \
    {                                                                                              \
        uint64_t lin = GEN(W);                                                                     \
        X86_U##W acc = x86_get_##W(c, X86_RAX * 8), old = acc;                                     \
        uint8_t *p = vm__x86_lock_begin(c, i, lin, W / 8);                                         \
        (void)__atomic_compare_exchange_n((X86_U##W *)(void *)p, &old, x86_get_##W(c, i->src),     \
                                          false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);              \
        vm__x86_lock_end(c, i, lin, W / 8, p);                                                     \
        (void)x86_op_cmp(c, W, acc, old);                                                          \
        if (old != acc)                                                                            \
            x86_set_##W(c, X86_RAX * 8, old);                                                      \
        X86_NEXT(c, i);                                                                            \
    }
CMPXCHG(8)
CMPXCHG(16)
CMPXCHG(32)
CMPXCHG(64)

/* ---- CMPXCHG8B and CMPXCHG16B change ZF and nothing else ---- */

static void set_zf(struct vcpu *c, bool zf)
{
    x86_set_arith(c, (x86_flags(c) & ~(uint64_t)X86_ZF) | (zf ? X86_ZF : 0));
}

static uint64_t pair32(struct vcpu *c, unsigned low, unsigned high)
{
    return (uint32_t)c->st.gpr[low] | c->st.gpr[high] << 32;
}

static void finish8b(struct vcpu *c, uint64_t expected, uint64_t old)
{
    set_zf(c, old == expected);
    if (old != expected) {
        x86_set32(c, X86_RAX * 8, (uint32_t)old);
        x86_set32(c, X86_RDX * 8, (uint32_t)(old >> 32));
    }
}

X86_H(cmpxchg8b)
{
    uint64_t lin = GEN(64), expected = pair32(c, X86_RAX, X86_RDX);
    uint8_t *p = x86_rmw(c, i, lin, 8);
    uint64_t old = X86_PEEK(64, p);

    X86_POKE(64, p, old == expected ? pair32(c, X86_RBX, X86_RCX) : old);
    x86_rmw_end(c, i, lin, 8, p);
    finish8b(c, expected, old);
    X86_NEXT(c, i);
}

X86_H(cmpxchg8b_lk)
{
    uint64_t lin = GEN(64), expected = pair32(c, X86_RAX, X86_RDX), old = expected;
    uint8_t *p = vm__x86_lock_begin(c, i, lin, 8);

    (void)__atomic_compare_exchange_n((uint64_t *)(void *)p, &old, pair32(c, X86_RBX, X86_RCX),
                                      false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    vm__x86_lock_end(c, i, lin, 8, p);
    finish8b(c, expected, old);
    X86_NEXT(c, i);
}

typedef unsigned __int128 u128;

static u128 pair64(const struct vcpu *c, unsigned low, unsigned high)
{
    return c->st.gpr[low] | (u128)c->st.gpr[high] << 64;
}

static void finish16b(struct vcpu *c, u128 expected, u128 old)
{
    set_zf(c, old == expected);
    if (old != expected) {
        c->st.gpr[X86_RAX] = (uint64_t)old;
        c->st.gpr[X86_RDX] = (uint64_t)(old >> 64);
    }
}

static uint64_t lin16b(struct vcpu *c, const struct x86_insn *i)
{
    uint64_t lin = x86_lin(c, i, 16, X86_ACCESS_W);
    if (lin & 15)
        x86_gp(c, i, 0);
    return lin;
}

X86_H(cmpxchg16b)
{
    uint64_t lin = lin16b(c, i);
    u128 expected = pair64(c, X86_RAX, X86_RDX), old, now;
    uint8_t *p = x86_rmw(c, i, lin, 16);

    memcpy(&old, p, 16);
    now = old == expected ? pair64(c, X86_RBX, X86_RCX) : old;
    memcpy(p, &now, 16);
    x86_rmw_end(c, i, lin, 16, p);
    finish16b(c, expected, old);
    X86_NEXT(c, i);
}

/* The host's 16-byte compare and swap; on x86 it is an option of the instruction set that the
 * compiler does not assume. */
#if defined(__x86_64__)
__attribute__((target("cx16")))
#endif
static u128
swap16(u128 *p, u128 expected, u128 desired)
{
    return __sync_val_compare_and_swap(p, expected, desired);
}

X86_H(cmpxchg16b_lk)
{
    uint64_t lin = lin16b(c, i);
    u128 expected = pair64(c, X86_RAX, X86_RDX), old;
    uint8_t *p = vm__x86_lock_begin(c, i, lin, 16);

    old = swap16((u128 *)(void *)p, expected, pair64(c, X86_RBX, X86_RCX));
    vm__x86_lock_end(c, i, lin, 16, p);
    finish16b(c, expected, old);
    X86_NEXT(c, i);
}
