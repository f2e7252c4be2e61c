/* SPDX-License-Identifier: MIT */
/**
 * @file native.c
 * Runs an instance on the host processor.
 *
 * Into the instance and out of it through signal frames: INT3 raises SIGTRAP, the handler swaps the
 * whole user state in the frame (registers, flags, CS, the XSAVE area) for the instance's, and
 * returns into it; the instance's first exception raises the next signal, whose frame is the
 * result. A code segment of 0x23 in the frame gives 32-bit mode.
 *
 * Spec: [SDM-1 §13.4] (XSAVE area).
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "oracle.h"

enum {
    XS_FCW = 0,
    XS_FSW = 2,
    XS_FTW = 4,
    XS_FOP = 6,
    XS_FIP = 8,
    XS_FDP = 16,
    XS_MXCSR = 24,
    XS_ST = 32,
    XS_XMM = 160,
    XS_SW = 464,
    XS_HEADER = 512,
    XS_YMM = 576,
    XS_END = 832,
};

enum phase { IDLE, ENTER, RUNNING };

static struct {
    volatile enum phase phase;
    const struct orc_case *c;
    struct orc_result *out;
    gregset_t host_regs;
    uint8_t host_fp[XS_END];
    uint64_t host_fs;
    bool fsgs;
    uint8_t *altstack;
    uint8_t *code; /**< the code region, writable */
} N;

static const int reg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15 };

/* What the kernel takes from a frame; the rest (IF, NT, IOPL) is its own. ID stays as it is here.
 */
static const uint64_t settable = X86_ARITH | X86_DF | X86_AC;

#define BARE __attribute__((no_sanitize("address", "undefined"), optimize("no-stack-protector")))

static inline uint64_t read_fs_base(void)
{
    uint64_t v;
    __asm__ volatile("rdfsbase %0" : "=r"(v));
    return v;
}
static inline uint64_t read_gs_base(void)
{
    uint64_t v;
    __asm__ volatile("rdgsbase %0" : "=r"(v));
    return v;
}
static inline void write_fs_base(uint64_t v)
{
    __asm__ volatile("wrfsbase %0" ::"r"(v));
}
static inline void write_gs_base(uint64_t v)
{
    __asm__ volatile("wrgsbase %0" ::"r"(v));
}

static void fp_to_frame(const struct orc_state *s, uint8_t *x)
{
    memcpy(x + XS_FCW, &s->fcw, 2);
    memcpy(x + XS_FSW, &s->fsw, 2);
    x[XS_FTW] = s->ftw;
    x[XS_FTW + 1] = 0;
    memcpy(x + XS_FOP, &s->fop, 2);
    memcpy(x + XS_FIP, &s->fip, 8);
    memcpy(x + XS_FDP, &s->fdp, 8);
    memcpy(x + XS_MXCSR, &s->mxcsr, 4);
    for (unsigned k = 0; k < 8; k++) {
        memset(x + XS_ST + 16 * k, 0, 16);
        memcpy(x + XS_ST + 16 * k, s->st[k], 10);
    }
    for (unsigned k = 0; k < 16; k++) {
        memcpy(x + XS_XMM + 16 * k, s->vec[k], 16);
        memcpy(x + XS_YMM + 16 * k, s->vec[k] + 16, 16);
    }
    uint64_t bv = 7; /* everything else starts out initial */
    memcpy(x + XS_HEADER, &bv, 8);
}

static void fp_from_frame(struct orc_state *s, const uint8_t *x)
{
    uint64_t bv;

    memcpy(&bv, x + XS_HEADER, 8);
    memset(s->st, 0, sizeof s->st);
    memset(s->vec, 0, sizeof s->vec);
    s->fcw = 0x37f;
    s->fsw = s->fop = s->ftw = 0;
    s->fip = s->fdp = 0;
    if (bv & 1) {
        memcpy(&s->fcw, x + XS_FCW, 2);
        memcpy(&s->fsw, x + XS_FSW, 2);
        s->ftw = x[XS_FTW];
        memcpy(&s->fop, x + XS_FOP, 2);
        memcpy(&s->fip, x + XS_FIP, 8);
        memcpy(&s->fdp, x + XS_FDP, 8);
        for (unsigned k = 0; k < 8; k++)
            memcpy(s->st[k], x + XS_ST + 16 * k, 10);
    }
    memcpy(&s->mxcsr, x + XS_MXCSR, 4);
    for (unsigned k = 0; k < 16; k++) {
        if (bv & 2)
            memcpy(s->vec[k], x + XS_XMM + 16 * k, 16);
        if (bv & 4)
            memcpy(s->vec[k] + 16, x + XS_YMM + 16 * k, 16);
    }
}

BARE static void load_selectors(const uint16_t *sel)
{
    __asm__ volatile("mov %0, %%ds; mov %1, %%es" ::"r"(sel[X86_DS]), "r"(sel[X86_ES]));
    __asm__ volatile("mov %0, %%fs; mov %1, %%gs" ::"r"(sel[X86_FS]), "r"(sel[X86_GS]));
}

BARE static void read_selectors(uint16_t *sel)
{
    __asm__ volatile("mov %%ds, %0; mov %%es, %1" : "=r"(sel[X86_DS]), "=r"(sel[X86_ES]));
    __asm__ volatile("mov %%fs, %0; mov %%gs, %1" : "=r"(sel[X86_FS]), "=r"(sel[X86_GS]));
}

BARE static void set_id(uint64_t flags)
{
    uint64_t f;

    __asm__ volatile("pushfq; popq %0" : "=r"(f));
    f = (f & ~(uint64_t)X86_ID) | (flags & X86_ID);
    __asm__ volatile("pushq %0; popfq" ::"r"(f) : "cc", "memory");
}

BARE static void enter(ucontext_t *uc)
{
    const struct orc_state *s = &N.c->in;
    greg_t *g = uc->uc_mcontext.gregs;
    uint8_t *x = (uint8_t *)uc->uc_mcontext.fpregs;

    memcpy(N.host_regs, g, sizeof N.host_regs);
    memcpy(N.host_fp, x, sizeof N.host_fp);
    for (unsigned k = 0; k < 16; k++)
        g[reg_of[k]] = (greg_t)s->gpr[k];
    g[REG_RIP] = (greg_t)s->rip;
    g[REG_EFL] = (greg_t)(((uint64_t)g[REG_EFL] & ~settable) | (s->rflags & settable));
    g[REG_CSGSFS] = (greg_t)((uint64_t)s->sel[X86_CS] | (uint64_t)s->sel[X86_SS] << 48);
    fp_to_frame(s, x);
    N.phase = RUNNING;
    set_id(s->rflags);
    load_selectors(s->sel);
    if (N.fsgs) {
        /* Loading a selector has cleared or set the base. */
        if (s->sel[X86_GS] == 0)
            write_gs_base(s->gs_base);
        if (s->sel[X86_FS] == 0)
            write_fs_base(s->fs_base);
    }
}

BARE static void leave(ucontext_t *uc, uint64_t fs, uint64_t gs, const uint16_t *sel, int sig)
{
    struct orc_result *o = N.out;
    struct orc_state *s = &o->s;
    greg_t *g = uc->uc_mcontext.gregs;
    uint8_t *x = (uint8_t *)uc->uc_mcontext.fpregs;

    for (unsigned k = 0; k < 16; k++)
        s->gpr[k] = (uint64_t)g[reg_of[k]];
    s->rip = (uint64_t)g[REG_RIP];
    s->rflags = (uint64_t)g[REG_EFL];
    s->fs_base = fs;
    s->gs_base = gs;
    memcpy(s->sel, sel, sizeof s->sel);
    s->sel[X86_CS] = (uint16_t)g[REG_CSGSFS];
    s->sel[X86_SS] = (uint16_t)((uint64_t)g[REG_CSGSFS] >> 48);
    fp_from_frame(s, x);
    o->vector = (uint8_t)g[REG_TRAPNO];
    o->error = (uint32_t)g[REG_ERR];
    o->cr2 = (uint64_t)g[REG_CR2];
    if (sig == SIGALRM)
        o->vector = ORC_HANG;
    memcpy(g, N.host_regs, sizeof N.host_regs);
    memcpy(x, N.host_fp, sizeof N.host_fp);
    N.phase = IDLE;
}

/* Anything that happens outside an instance is a fault of this program or of the engine. */
static void crash(int sig)
{
    signal(sig, SIG_DFL);
    raise(sig);
}

BARE static void handler(int sig, siginfo_t *si, void *context)
{
    uint64_t fs = 0, gs = 0;
    uint16_t sel[6];

    (void)si;
    if (N.phase == RUNNING) {
        /* AC would make this code fault too; the frame keeps the instance's. */
        __asm__ volatile("pushfq; andl $~0x40000, (%%rsp); popfq" ::: "memory", "cc");
        read_selectors(sel);
        if (N.fsgs) {
            fs = read_fs_base();
            gs = read_gs_base();
        }
        uint16_t flat[6] = { [X86_DS] = ORC_DS, [X86_ES] = ORC_DS };
        load_selectors(flat);
        if (N.fsgs)
            write_fs_base(N.host_fs);
        else
            syscall(SYS_arch_prctl, 0x1002 /* ARCH_SET_FS */, N.host_fs);
        leave(context, fs, gs, sel, sig);
    } else if (N.phase == ENTER && sig == SIGTRAP) {
        enter(context);
    } else {
        crash(sig);
    }
}

bool orc_native_has_fsgs(void)
{
    return getauxval(AT_HWCAP2) & 2; /* HWCAP2_FSGSBASE */
}

/* Memory that shows at @p at with its protections, and elsewhere without, for the test itself. */
static uint8_t *map_twice(uintptr_t at, size_t size, int prot)
{
    const int hole = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    uint8_t *p = (uint8_t *)at;
    int fd = memfd_create("oracle", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
        return NULL;
    uint8_t *alias = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (alias == MAP_FAILED || mmap(p, size, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) != p ||
        mmap(p - ORC_PAGE, ORC_PAGE, PROT_NONE, hole, -1, 0) == MAP_FAILED ||
        mmap(p + size, ORC_PAGE, PROT_NONE, hole, -1, 0) == MAP_FAILED)
        return NULL;
    close(fd);
    return alias;
}

static uint8_t *map_regions(void)
{
    uint8_t *data = (uint8_t *)(uintptr_t)ORC_DATA;
    uint8_t *alias = map_twice(ORC_DATA, ORC_DATA_SIZE, PROT_READ | PROT_WRITE);

    N.code = map_twice(ORC_CODE, ORC_CODE_SIZE, PROT_READ | PROT_EXEC);
    if (!alias || !N.code || mprotect(data + ORC_RW, ORC_RO - ORC_RW, PROT_READ) != 0 ||
        mprotect(data + ORC_RO, ORC_RW2 - ORC_RO, PROT_NONE) != 0)
        return NULL;
    memset(N.code, 0xcc, ORC_CODE_SIZE);
    /* Present from the start, so that a fault on them says so in its error code. */
    for (uint32_t off = 0; off < ORC_DATA_SIZE; off += ORC_PAGE)
        if (off < ORC_RO || off >= ORC_RW2)
            (void)*(volatile uint8_t *)(data + off);
    for (uint32_t off = 0; off < ORC_CODE_SIZE; off += ORC_PAGE)
        (void)*(volatile uint8_t *)(uintptr_t)(ORC_CODE + off);
    return alias;
}

uint8_t *orc_native_init(void)
{
    static const int signals[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM };
    const size_t stack_size = 256 << 10;

    uint8_t *alias = map_regions();

    if (!alias)
        return NULL;
    N.fsgs = orc_native_has_fsgs();
    N.altstack = malloc(stack_size);
    if (!N.altstack)
        return NULL;
    stack_t ss = { .ss_sp = N.altstack, .ss_size = stack_size };
    if (sigaltstack(&ss, NULL) != 0 ||
        syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &N.host_fs))
        return NULL;
    struct sigaction sa = { .sa_sigaction = handler,
                            .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    for (unsigned k = 0; k < sizeof signals / sizeof *signals; k++)
        if (sigaction(signals[k], &sa, NULL) != 0)
            return NULL;
    return alias;
}

void orc_native_run(const struct orc_case *c, struct orc_result *out)
{
    uint8_t *code = N.code + (c->in.rip - ORC_CODE);

    uint64_t room = ORC_CODE + ORC_CODE_SIZE - c->in.rip;
    size_t n = c->len < room ? c->len : room;

    memcpy(code, c->bytes, n);
    N.c = c;
    N.out = out;
    N.phase = ENTER;
    __asm__ volatile("int3" ::: "memory");
    memset(code, 0xcc, n);
}
