/* SPDX-License-Identifier: MIT */
/**
 * @file x87.c
 * x87 arithmetic: the host's own instructions, on the guest's registers, for x86-64 hosts.
 *
 * Spec: [SDM-1 §8], [SDM-2A]. Results, flags, stack faults, rounding and NaNs are the host's, and so
 * exact to the last bit. An instruction's two bytes select one of 512 register forms or 64 memory
 * forms; each is a case of a switch with that very instruction, the memory operand standing in
 * c->bounce. An unmasked exception stays pending in the host's unit and is never met there: every
 * waiting form asks for it first, and the unit is emptied with the non-waiting FXSAVE.
 *
 * Kept apart: FIP, FDP and FOP are the guest's (x87_track); the host's would be our own addresses.
 */
#include "cpu/interp/x87.h"

#include "core/machine.h"

enum { FSW_ES = 0x80, FSW_TOP_SHIFT = 11, FSW_TOP_AND_CONDITIONS = 0x7f00, FCW_MASKS = 0x3f };

/* FXSAVE image as far as x87 is concerned [SDM-2A FXSAVE]. */
struct fx {
    uint16_t fcw, fsw;
    uint8_t ftw, reserved;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];
    uint8_t rest[352];
} __attribute__((aligned(16)));

/* FXSAVE moves XMM and MXCSR too: fxrstor puts back what fxsave saw, so that only x87 changes. */
X86_NOINLINE void vm__x87_enter_slow(struct vcpu *c)
{
    struct fx f;
    unsigned top = c->st.fsw >> FSW_TOP_SHIFT & 7;

    __asm__ volatile("fxsave64 %0" : "=m"(f));
    c->host_fcw = f.fcw;
    f.fcw = c->st.fcw;
    f.fsw = c->st.fsw;
    f.ftw = c->st.ftw;
    f.fop = 0;
    f.fip = f.fdp = 0;
    for (unsigned k = 0; k < 8; k++)
        memcpy(f.st[k], c->st.x87[(top + k) & 7], 10);
    __asm__ volatile("fxrstor64 %0" : : "m"(f));
    c->x87_live = true;
    c->x87_unmasked = (c->st.fcw & FCW_MASKS) != FCW_MASKS;
}

X86_NOINLINE void vm__x87_leave_slow(struct vcpu *c)
{
    struct fx f;

    __asm__ volatile("fxsave64 %0\n\tfninit\n\tfldcw %1" : "=m"(f) : "m"(c->host_fcw));
    unsigned top = f.fsw >> FSW_TOP_SHIFT & 7;
    c->st.fcw = f.fcw;
    c->st.fsw = f.fsw;
    c->st.ftw = f.ftw;
    for (unsigned k = 0; k < 8; k++)
        memcpy(c->st.x87[(top + k) & 7], f.st[k], 10);
    c->x87_live = false;
}

static inline uint16_t live_fsw(void)
{
    uint16_t sw;
    __asm__ volatile("fnstsw %0" : "=a"(sw));
    return sw;
}

X86_NOINLINE void vm__x87_check_pending(struct vcpu *c, const struct x86_insn *i)
{
    uint16_t fsw = c->x87_live ? live_fsw() : c->st.fsw;

    if (!(fsw & FSW_ES))
        return;
    if (c->st.cr0 & X86_CR0_NE) {
        x87_leave(c);
        vm__x86_fault(c, i, X86_XMF, 0);
    }
    /* With CR0.NE clear the chipset is told, which interrupts: then this instruction has to wait. If
     * it does not interrupt, or asserts IGNNE#, the exception is forgotten: the host would take it
     * otherwise. */
    bool live = c->x87_live;
    const struct vm_irq_hub *hub = &c->cpus->m->irq_hub;
    x86_callout(c, i);
    if (hub->ferr != NULL && !hub->ferr(hub->ferr_dev, 1) && (c->st.rflags & X86_IF) &&
        c->st.shadow == 0 && (atomic_load(&c->req) & VM_CPU_REQ_INTR))
        vm__x86_restart(c, i);
    c->st.fsw &= FSW_TOP_AND_CONDITIONS;
    if (live)
        x87_enter(c);
}

/* Start of every waiting instruction. */
static inline void begin(struct vcpu *c, const struct x86_insn *i)
{
    x87_enter(c);
    if (x86_unlikely(c->x87_unmasked))
        vm__x87_check_pending(c, i);
}

/* Last non-control instruction and its operand [SDM-1 §8.1.8, §8.1.9]. */
static inline void track(struct vcpu *c, const struct x86_insn *i)
{
    c->st.fip = x86_rip(c, i);
    c->st.fop = (uint16_t)((vm__x86_rows[i->row].opcode & 7) << 8 | i->modrm);
    c->st.fcs = x86_is64(c) ? 0 : c->st.seg[X86_CS].sel;
}
static inline void track_mem(struct vcpu *c, const struct x86_insn *i)
{
    track(c, i);
    c->st.fdp = x86_ea(c, i);
    c->st.fds = x86_is64(c) ? 0 : c->st.seg[i->seg].sel;
}

/* ---- the instructions themselves ---- */

#define STR_(x) #x
#define STR(x)  STR_(x)
/* One register form: bytes D8+esc, C0+n. */
#define REG1(esc, n)                                                                               \
    case (esc) * 64 + (n):                                                                         \
        __asm__ volatile(".byte 0xd8 + " STR(esc) ", 0xc0 + " STR(n));                             \
        break;
#define REG8(esc, n)                                                                               \
    REG1(esc, n) REG1(esc, n + 1) REG1(esc, n + 2) REG1(esc, n + 3) REG1(esc, n + 4)               \
    REG1(esc, n + 5) REG1(esc, n + 6) REG1(esc, n + 7)
#define REG64(esc)                                                                                 \
    REG8(esc, 0) REG8(esc, 8) REG8(esc, 16) REG8(esc, 24) REG8(esc, 32) REG8(esc, 40)              \
    REG8(esc, 48) REG8(esc, 56)

static void run_reg(unsigned esc, unsigned modrm)
{
    switch (esc * 64 + (modrm & 63)) {
        REG64(0) REG64(1) REG64(2) REG64(3) REG64(4) REG64(5) REG64(6) REG64(7)
    }
}

/* One memory form with (%rdi): ModRM is reg << 3 | 7. */
#define MEM1(esc, r)                                                                               \
    case (esc) * 8 + (r):                                                                          \
        __asm__ volatile(".byte 0xd8 + " STR(esc) ", " STR(r) " * 8 + 7" : : "D"(p) : "memory");   \
        break;
#define MEM8(esc)                                                                                  \
    MEM1(esc, 0) MEM1(esc, 1) MEM1(esc, 2) MEM1(esc, 3) MEM1(esc, 4) MEM1(esc, 5) MEM1(esc, 6)     \
    MEM1(esc, 7)

static void run_mem(unsigned esc, unsigned reg, void *p)
{
    switch (esc * 8 + reg) {
        MEM8(0) MEM8(1) MEM8(2) MEM8(3) MEM8(4) MEM8(5) MEM8(6) MEM8(7)
    }
}

static inline unsigned escape(const struct x86_insn *i)
{
    return vm__x86_rows[i->row].opcode & 7;
}

X86_H(x87_reg)
{
    begin(c, i);
    run_reg(escape(i), i->modrm);
    track(c, i);
    X86_NEXT(c, i);
}

#define LOAD(n)                                                                                    \
    X86_H(x87_ld##n)                                                                               \
    {                                                                                              \
        begin(c, i);                                                                               \
        vm__x86_ld_block(c, i, x86_lin(c, i, n, X86_ACCESS_R), c->bounce, n);                      \
        x87_enter(c); /* the access may have called out */                                         \
        run_mem(escape(i), i->modrm >> 3 & 7, c->bounce);                                          \
        track_mem(c, i);                                                                           \
        X86_NEXT(c, i);                                                                            \
    }
LOAD(2)
LOAD(4)
LOAD(8)
LOAD(10)

/* A store: the address is probed first, since the instruction may pop. Nothing is stored when an
 * exception that prevents it is unmasked [SDM-1 §8.5]. */
static X86_NOINLINE void store(struct vcpu *c, const struct x86_insn *i, unsigned size)
{
    enum { NO_STORE = 0x1f }; /* IE DE ZE OE UE; PE stores */
    uint64_t lin = x86_lin(c, i, size, X86_ACCESS_W);
    uint16_t before = 0;

    begin(c, i);
    vm__x86_probe_w(c, i, lin, size, i->seg);
    x87_enter(c);
    if (x86_unlikely(c->x87_unmasked))
        before = live_fsw();
    run_mem(escape(i), i->modrm >> 3 & 7, c->bounce);
    track_mem(c, i);
    if (x86_unlikely(c->x87_unmasked)) {
        uint16_t after = live_fsw(), fcw;
        __asm__ volatile("fnstcw %0" : "=m"(fcw));
        if (!(before & FSW_ES) && (after & FSW_ES) && (after & ~fcw & NO_STORE))
            return;
    }
    vm__x86_st_block(c, i, lin, c->bounce, size);
}
#define STORE(n)                                                                                   \
    X86_H(x87_st##n)                                                                               \
    {                                                                                              \
        store(c, i, n);                                                                            \
        X86_NEXT(c, i);                                                                            \
    }
STORE(2)
STORE(4)
STORE(8)
STORE(10)

/* FCMOVcc reads the guest's flags: put them into the host's for the instruction. */
X86_H(x87_fcmov)
{
    uint64_t flags = (x86_flags(c) & X86_ARITH) | 2;

    begin(c, i);
    __asm__ volatile("" ::: "memory");
    switch ((escape(i) & 1) * 64 + (i->modrm & 63)) {
#define CMOV1(esc, n)                                                                              \
    case ((esc) & 1) * 64 + (n):                                                                   \
        __asm__ volatile("push %0\n\tpopfq\n\t.byte 0xd8 + " STR(esc) ", 0xc0 + " STR(n)           \
                         : : "r"(flags) : "cc", "memory");                                         \
        break;
#define CMOV8(esc, n)                                                                              \
    CMOV1(esc, n) CMOV1(esc, n + 1) CMOV1(esc, n + 2) CMOV1(esc, n + 3) CMOV1(esc, n + 4)          \
    CMOV1(esc, n + 5) CMOV1(esc, n + 6) CMOV1(esc, n + 7)
        CMOV8(2, 0) CMOV8(2, 8) CMOV8(2, 16) CMOV8(2, 24)
        CMOV8(3, 0) CMOV8(3, 8) CMOV8(3, 16) CMOV8(3, 24)
    }
    track(c, i);
    X86_NEXT(c, i);
}

/* FCOMI and relatives write ZF, PF, CF and clear the rest [SDM-2A FCOMI]. */
X86_H(x87_fcomi)
{
    uint64_t flags = 0;

    begin(c, i);
    switch ((escape(i) == 7) * 64 + (i->modrm & 63)) {
#define COMI1(esc, n)                                                                              \
    case ((esc) == 7) * 64 + (n):                                                                  \
        __asm__ volatile("push $0\n\tpopfq\n\t.byte 0xd8 + " STR(esc) ", 0xc0 + " STR(n)           \
                         "\n\tpushfq\n\tpop %0" : "=r"(flags) : : "cc", "memory");                 \
        break;
#define COMI8(esc, n)                                                                              \
    COMI1(esc, n) COMI1(esc, n + 1) COMI1(esc, n + 2) COMI1(esc, n + 3) COMI1(esc, n + 4)          \
    COMI1(esc, n + 5) COMI1(esc, n + 6) COMI1(esc, n + 7)
        COMI8(3, 40) COMI8(3, 48) COMI8(7, 40) COMI8(7, 48)
    }
    track(c, i);
    x86_set_arith(c, flags);
    X86_NEXT(c, i);
}

/* ---- control ---- */

X86_H(x87_fnstsw_ax)
{
    *x86_r16(c, 0) = c->x87_live ? live_fsw() : c->st.fsw;
    X86_NEXT(c, i);
}

X86_H(x87_fnstsw)
{
    uint16_t sw = c->x87_live ? live_fsw() : c->st.fsw;
    x86_st16(c, i, x86_lin(c, i, 2, X86_ACCESS_W), sw);
    X86_NEXT(c, i);
}

X86_H_CALLS(x87_fnstcw)
{
    uint16_t cw = c->st.fcw;
    if (c->x87_live)
        __asm__ volatile("fnstcw %0" : "=m"(cw));
    x86_st16(c, i, x86_lin(c, i, 2, X86_ACCESS_W), cw);
}

/* What changes masks or pending bits is done in memory; the unit is loaded again when needed, and
 * works ES and B out by itself. */
static void set_fcw(struct vcpu *c, uint16_t cw)
{
    enum { FSW_B = 0x8000 };
    c->st.fcw = (uint16_t)((cw & 0x1f3f) | 0x40); /* reserved bits as silicon keeps them */
    if (c->st.fsw & ~c->st.fcw & FCW_MASKS)
        c->st.fsw |= FSW_ES | FSW_B;
    else
        c->st.fsw &= (uint16_t)~(FSW_ES | FSW_B);
}

X86_H_CALLS(x87_fldcw)
{
    begin(c, i);
    uint16_t cw = x86_ld16(c, i, x86_lin(c, i, 2, X86_ACCESS_R));
    if (c->x87_live && !c->x87_unmasked && (cw & FCW_MASKS) == FCW_MASKS) {
        __asm__ volatile("fldcw %0" : : "m"(cw));
    } else {
        x87_leave(c);
        set_fcw(c, cw);
    }
}

/** An exception was waiting when this instruction cleared it. */
static X86_NOINLINE void drop_ferr(struct vcpu *c, const struct x86_insn *i)
{
    const struct vm_irq_hub *hub = &c->cpus->m->irq_hub;
    x86_callout(c, i);
    if (hub->ferr != NULL)
        (void)hub->ferr(hub->ferr_dev, 0);
}

static inline bool asserts_ferr(const struct vcpu *c)
{
    return (c->st.fsw & FSW_ES) && !(c->st.cr0 & X86_CR0_NE);
}

X86_H(x87_fnclex)
{
    x87_leave(c);
    if (x86_unlikely(asserts_ferr(c)))
        drop_ferr(c, i);
    c->st.fsw &= 0x7f00;
    X86_NEXT(c, i);
}

static void init(struct vcpu *c)
{
    c->st.fcw = 0x37f;
    c->st.fsw = 0;
    c->st.ftw = 0;
    c->st.fop = c->st.fcs = c->st.fds = 0;
    c->st.fip = c->st.fdp = 0;
}

X86_H(x87_fninit)
{
    x87_leave(c);
    if (x86_unlikely(asserts_ferr(c)))
        drop_ferr(c, i);
    init(c);
    X86_NEXT(c, i);
}

/** FNENI, FNDISI, FNSETPM: of the 8087 and 287, do nothing since the 387. */
X86_H(x87_nop)
{
    (void)c;
    X86_NEXT(c, i);
}

X86_H(fwait)
{
    if ((c->st.cr0 & (X86_CR0_MP | X86_CR0_TS)) == (X86_CR0_MP | X86_CR0_TS))
        x86_nm(c, i);
    vm__x87_check_pending(c, i);
    X86_NEXT(c, i);
}

/* ---- environment: 14 or 28 bytes, real or protected layout [SDM-1 §8.1.10] ---- */

/* Tag of one register: 0 valid, 1 zero, 2 special, 3 empty. */
static unsigned tag_of(const struct vcpu *c, unsigned r)
{
    uint64_t m;
    uint16_t e;

    if (!(c->st.ftw >> r & 1))
        return 3;
    memcpy(&m, c->st.x87[r], 8);
    memcpy(&e, c->st.x87[r] + 8, 2);
    e &= 0x7fff;
    if (e == 0x7fff)
        return 2;
    if (e == 0)
        return m == 0 ? 1 : 2;
    return m >> 63 ? 0 : 2;
}

static uint16_t full_tags(const struct vcpu *c)
{
    unsigned v = 0;
    for (unsigned r = 0; r < 8; r++)
        v |= tag_of(c, r) << (2 * r);
    return (uint16_t)v;
}

static unsigned env_size(const struct x86_insn *i)
{
    return i->osz == 1 ? 14 : 28;
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void build_env(const struct vcpu *c, const struct x86_insn *i, uint8_t *p)
{
    uint32_t ip = (uint32_t)c->st.fip, dp = (uint32_t)c->st.fdp;
    bool real = x86_is_real(c);

    if (i->osz == 1) {
        if (real) {
            ip = (uint32_t)(c->st.fip + (c->st.fcs << 4));
            dp = (uint32_t)(c->st.fdp + (c->st.fds << 4));
        }
        put16(p, c->st.fcw);
        put16(p + 2, c->st.fsw);
        put16(p + 4, full_tags(c));
        put16(p + 6, ip);
        put16(p + 8, real ? (ip >> 4 & 0xf000) | (c->st.fop & 0x7ff) : c->st.fcs);
        put16(p + 10, dp);
        put16(p + 12, real ? dp >> 4 & 0xf000 : c->st.fds);
        return;
    }
    memset(p, 0, 28);
    for (unsigned k = 2; k < 12; k += 4)
        put16(p + k, 0xffff); /* reserved halves read as ones */
    put16(p, c->st.fcw);
    put16(p + 4, c->st.fsw);
    put16(p + 8, full_tags(c));
    if (real) {
        ip = (uint32_t)(c->st.fip + (c->st.fcs << 4));
        dp = (uint32_t)(c->st.fdp + (c->st.fds << 4));
        put16(p + 12, ip);
        put16(p + 16, (ip >> 4 & 0xf000) | (c->st.fop & 0x7ff));
        put16(p + 18, ip >> 20 & 0xfff);
        put16(p + 20, dp);
        put16(p + 24, dp >> 4 & 0xf000);
        put16(p + 26, dp >> 20 & 0xfff);
        put16(p + 22, 0xffff);
    } else {
        put16(p + 12, ip);
        put16(p + 14, ip >> 16);
        put16(p + 16, c->st.fcs);
        put16(p + 18, c->st.fop & 0x7ff);
        put16(p + 20, dp);
        put16(p + 22, dp >> 16);
        put16(p + 24, c->st.fds);
        put16(p + 26, 0xffff);
    }
}

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

/* Protected mode [SDM-1 figures 8-9 and 8-11]; the 16-bit format has no opcode, which reads as 0. */
static void take_pointers(struct vcpu *c, const struct x86_insn *i, const uint8_t *p)
{
    if (i->osz == 1) {
        c->st.fip = get16(p + 6);
        c->st.fcs = (uint16_t)get16(p + 8);
        c->st.fop = 0;
        c->st.fdp = get16(p + 10);
        c->st.fds = (uint16_t)get16(p + 12);
    } else {
        c->st.fip = get16(p + 12) | get16(p + 14) << 16;
        c->st.fcs = (uint16_t)get16(p + 16);
        c->st.fop = get16(p + 18) & 0x7ff;
        c->st.fdp = get16(p + 20) | get16(p + 22) << 16;
        c->st.fds = (uint16_t)get16(p + 24);
    }
}

/* Real mode: linear addresses, of 20 or 32 bits [SDM-1 figures 8-10 and 8-12]. */
static void take_pointers_real(struct vcpu *c, const struct x86_insn *i, const uint8_t *p)
{
    if (i->osz == 1) {
        c->st.fip = get16(p + 6) | (get16(p + 8) & 0xf000) << 4;
        c->st.fop = get16(p + 8) & 0x7ff;
        c->st.fdp = get16(p + 10) | (get16(p + 12) & 0xf000) << 4;
    } else {
        c->st.fip = get16(p + 12) | (get16(p + 16) & 0xf000) << 4 | (get16(p + 18) & 0xfff) << 20;
        c->st.fop = get16(p + 16) & 0x7ff;
        c->st.fdp = get16(p + 20) | (get16(p + 24) & 0xf000) << 4 | (get16(p + 26) & 0xfff) << 20;
    }
    c->st.fcs = c->st.fds = 0;
}

static void take_env(struct vcpu *c, const struct x86_insn *i, const uint8_t *p)
{
    unsigned step = i->osz == 1 ? 2 : 4, tags = get16(p + 2 * step);

    c->st.fsw = (uint16_t)get16(p + step);
    c->st.ftw = 0;
    for (unsigned r = 0; r < 8; r++)
        if ((tags >> (2 * r) & 3) != 3)
            c->st.ftw |= (uint8_t)(1u << r);
    if (x86_is_real(c))
        take_pointers_real(c, i, p);
    else
        take_pointers(c, i, p);
    set_fcw(c, (uint16_t)get16(p));
}

X86_H_CALLS(x87_fnstenv)
{
    uint8_t env[28];
    x87_leave(c);
    build_env(c, i, env);
    vm__x86_st_block(c, i, x86_lin(c, i, env_size(i), X86_ACCESS_W), env, env_size(i));
    c->st.fcw |= FCW_MASKS; /* masks everything after storing [SDM-2A FSTENV] */
    c->st.fsw &= 0x7f7f;
}

X86_H_CALLS(x87_fldenv)
{
    uint8_t env[28];
    begin(c, i);
    vm__x86_ld_block(c, i, x86_lin(c, i, env_size(i), X86_ACCESS_R), env, env_size(i));
    x87_leave(c);
    take_env(c, i, env);
}

X86_H_CALLS(x87_fnsave)
{
    uint8_t buf[28 + 80];
    unsigned n = env_size(i);
    x87_leave(c);
    build_env(c, i, buf);
    for (unsigned k = 0; k < 8; k++)
        memcpy(buf + n + 10 * k, c->st.x87[((c->st.fsw >> FSW_TOP_SHIFT) + k) & 7], 10);
    vm__x86_st_block(c, i, x86_lin(c, i, n + 80, X86_ACCESS_W), buf, n + 80);
    init(c);
}

X86_H_CALLS(x87_frstor)
{
    uint8_t buf[28 + 80];
    unsigned n = env_size(i);
    begin(c, i);
    vm__x86_ld_block(c, i, x86_lin(c, i, n + 80, X86_ACCESS_R), buf, n + 80);
    x87_leave(c);
    take_env(c, i, buf);
    for (unsigned k = 0; k < 8; k++)
        memcpy(c->st.x87[((c->st.fsw >> FSW_TOP_SHIFT) + k) & 7], buf + n + 10 * k, 10);
}
