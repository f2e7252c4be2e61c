/* SPDX-License-Identifier: MIT */
/**
 * @file embedding.c
 * A program that has signal handlers, a profiling timer, thread-local variables, its own rounding
 * modes and a garbage collector's use of SIGSEGV embeds two machines under the JIT: nothing of it
 * may be disturbed, and the guests compute what they should. Public headers only.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <libvm/libvm.h>

enum { SECONDS = 2, PAGE = 4096, MXCSR_UP = 0x1f80 | 2 << 13, CW_SINGLE = 0x0c7f, PORT = 0x510 };

static _Atomic long profiled, faults, events, wrong;
static _Atomic int over;
static uint8_t *guarded;
static _Thread_local uint64_t mine;

#define FAIL(...)                                                                                  \
    do {                                                                                           \
        (void)fprintf(stderr, "embedding: " __VA_ARGS__);                                          \
        (void)fputc('\n', stderr);                                                                 \
        wrong++;                                                                                   \
    } while (0)

/* ---- the guest: Multiboot, 32 bits; x87 and SSE with modes of its own, and a port ---- */

extern const char guest[], guest_end[];
/* clang-format off */
__asm__(".pushsection .rodata\n.code32\n"
        ".globl guest, guest_end\n"
        "guest: .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)\n"
        "  .long 0x100000, 0x100000, 0, 0, 0x100020\n"
        "  mov %cr0, %eax\n and $~4, %eax\n or $2, %eax\n mov %eax, %cr0\n"
        "  mov %cr4, %eax\n or $0x600, %eax\n mov %eax, %cr4\n"
        "  fninit\n"
        "  mov $0x110000, %esp\n"
        "  movl $0x7f80, (%esp)\n ldmxcsr (%esp)\n" /* towards zero */
        "  mov $0x510, %edx\n"
        "  xor %ebx, %ebx\n"
        "0: fld1\n fadd %st(0), %st\n fistpl 8(%esp)\n" /* 2 */
        "  add 8(%esp), %ebx\n"
        "  movl $10, 16(%esp)\n cvtsi2ss 16(%esp), %xmm0\n movl $3, 16(%esp)\n"
        "  cvtsi2ss 16(%esp), %xmm1\n divss %xmm1, %xmm0\n cvtss2si %xmm0, %eax\n" /* 3 */
        "  add %eax, %ebx\n"
        "  cmp $5000000, %ebx\n jb 0b\n"
        "  mov %ebx, %eax\n out %eax, (%dx)\n"
        "  xor %ebx, %ebx\n jmp 0b\n"
        "guest_end:\n.code64\n.popsection\n");
/* clang-format on */

/* ---- what the program is about ---- */

static uint32_t get_mxcsr(void)
{
    uint32_t v;
    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v & 0xffc0;
}

static uint16_t get_cw(void)
{
    uint16_t v;
    __asm__ volatile("fnstcw %0" : "=m"(v));
    return v;
}

static void set_modes(uint32_t mxcsr, uint16_t cw)
{
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(cw));
}

static void on_profile(int sig)
{
    (void)sig;
    profiled++;
}

/* As a collector does: the page is opened and the access made again. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    if ((uint8_t *)info->si_addr < guarded || (uint8_t *)info->si_addr >= guarded + PAGE)
        _exit(9); /* somebody else's */
    faults++;
    (void)mprotect(guarded, PAGE, PROT_READ | PROT_WRITE);
}

static void *worker(void *arg)
{
    const uint64_t tag = (uintptr_t)arg * UINT64_C(0x0101010101010101);
    const uint32_t mxcsr = arg == NULL ? MXCSR_UP : 0x1f80;
    const uint16_t cw = arg == NULL ? CW_SINGLE : 0x37f;
    volatile float ten = 10, three = 3;

    mine = tag;
    set_modes(mxcsr, cw);
    const float expect = ten / three;
    while (!over) {
        if (arg == NULL) {
            (void)mprotect(guarded, PAGE, PROT_NONE);
            guarded[17]++;
        }
        if (mine != tag || get_mxcsr() != mxcsr || get_cw() != cw || ten / three != expect)
            FAIL("a worker's state changed: %llx, MXCSR %x, CW %x", (unsigned long long)mine,
                 get_mxcsr(), get_cw());
    }
    return NULL;
}

/* ---- machines ---- */

static int on_out(void *ud, vm_cpu *cpu, vm_hook_event *e)
{
    (void)ud;
    (void)cpu;
    /* The thread that called vm_run() has modes of its own; the library's threads the usual ones.
     */
    const int caller = mine == 77;
    if (get_mxcsr() != (caller ? MXCSR_UP : 0x1f80) || get_cw() != (caller ? CW_SINGLE : 0x37f))
        FAIL("a callback sees MXCSR %x, CW %x", get_mxcsr(), get_cw());
    if (e->value != 5000000)
        FAIL("the guest computed %llu", (unsigned long long)e->value);
    events++;
    return VM_HOOK_HANDLED;
}

static vm_machine *build(vm_ctx *ctx, const char *path)
{
    vm_config *cfg = vm_config_new(ctx, "pc");
    vm_machine *m = NULL;
    if (cfg != NULL && vm_config_set_str(cfg, "memory.size", "16M") == VM_OK &&
        vm_config_set_str(cfg, "engine", "jit") == VM_OK &&
        vm_config_set_str(cfg, "boot.kernel", path) == VM_OK)
        m = vm_machine_build(cfg);
    vm_config_free(cfg);
    if (m == NULL || vm_hook_add(m, VM_HOOK_PORT_WRITE, PORT, PORT, on_out, NULL, NULL) < 0) {
        (void)fprintf(stderr, "embedding: %s\n", vm_last_error()->message);
        exit(1);
    }
    return m;
}

static void write_guest(char *path)
{
    const int fd = mkstemp(path);
    const size_t len = (size_t)(guest_end - guest);
    if (fd < 0 || write(fd, guest, len) != (ssize_t)len)
        exit(1);
    (void)close(fd);
}

static void compare_handlers(const struct sigaction *before)
{
    for (int sig = 1; sig < NSIG; sig++) {
        struct sigaction now;
        memset(&now, 0, sizeof now);
        if (sigaction(sig, NULL, &now) == 0 && now.sa_handler != before[sig].sa_handler)
            FAIL("the handler of signal %d has changed", sig);
    }
}

int main(void)
{
    static struct sigaction before[NSIG];
    char path[] = "/tmp/libvm-embedding-XXXXXX";
    pthread_t thread[3];
    sigset_t mask, after;

    (void)sigemptyset(&mask);
    (void)sigemptyset(&after);
    guarded = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    struct sigaction profile = { .sa_handler = on_profile, .sa_flags = SA_RESTART };
    (void)sigaction(SIGSEGV, &fault, NULL);
    (void)sigaction(SIGPROF, &profile, NULL);
    (void)sigaction(SIGUSR1, &profile, NULL);
    for (int sig = 1; sig < NSIG; sig++)
        (void)sigaction(sig, NULL, &before[sig]);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    const struct itimerval every = { { 0, 1000 }, { 0, 1000 } };
    (void)setitimer(ITIMER_PROF, &every, NULL);
    for (uintptr_t k = 0; k < 3; k++)
        (void)pthread_create(&thread[k], NULL, worker, (void *)k);

    write_guest(path);
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    vm_machine *on_threads = build(ctx, path), *here = build(ctx, path);
    (void)unlink(path);
    if (vm_machine_start(on_threads) != VM_OK) /* its threads inherit the modes of this one */
        FAIL("%s", vm_last_error()->message);
    mine = 77;
    set_modes(MXCSR_UP, CW_SINGLE);
    for (int k = 0; k < SECONDS * 20; k++) {
        if (vm_run(here, 0, 50000000, NULL) != VM_OK)
            FAIL("%s", vm_last_error()->message);
        if (get_mxcsr() != MXCSR_UP || get_cw() != CW_SINGLE || mine != 77)
            FAIL("the caller's state changed: MXCSR %x, CW %x", get_mxcsr(), get_cw());
    }
    over = 1;
    for (int k = 0; k < 3; k++)
        (void)pthread_join(thread[k], NULL);
    vm_machine_destroy(on_threads);
    vm_machine_destroy(here);
    vm_ctx_unref(ctx);
    compare_handlers(before);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int sig = 1; sig < NSIG; sig++)
        if (sigismember(&mask, sig) != sigismember(&after, sig))
            FAIL("signal %d is masked now, or not any more", sig);
    printf("%ld profiler ticks, %ld faults of the collector's, %ld words from guests\n", profiled,
           faults, events);
    return wrong != 0 || profiled < 10 || faults < 10 || events < 2;
}
