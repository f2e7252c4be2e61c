/* SPDX-License-Identifier: MIT */
/* The KVM engine over a KVM that the test makes up: old kernels, calls that fail, exits. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/endian.h"
#include "core/address_space.h"
#include "core/dirty.h"
#include "core/doorbell.h"
#include "core/region.h"
#include "cpu/kvm/kvm.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/reset.h"
#include "fake_kvm.h"
#include "processors.h"

enum { CODE = 0x1000, PORT = 0x80 };

struct world {
    struct processors p;
    struct fake_kvm k;
    struct vm_region *port, *mmio;
    uint32_t written[16]; /* to the port, and to memory */
    unsigned n_written;
    uint64_t clock;
};

static uint64_t dev_read(void *opaque, uint64_t off, unsigned size)
{
    (void)opaque;
    (void)size;
    return 0x5a + off;
}

static void dev_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
    struct world *w = opaque;
    (void)off;
    (void)size;
    if (w->n_written < 16)
        w->written[w->n_written++] = (uint32_t)value;
}

static const struct vm_window_ops plain = { .read = dev_read, .write = dev_write };
static const struct vm_window_ops late = { .read = dev_read, .write = dev_write, .late = true };

/* A machine whose processor the interpreter would run; the test then hands it to its KVM. */
static void init(struct world *w)
{
    memset(w, 0, sizeof *w);
    fake_kvm_init(&w->k);
    fake_init(&w->p.f);
    cr_assert_eq(vm__config_set(w->p.f.m->config, "engine", "interp"), VM_OK);
    cr_assert_eq(vm__x86_cpu_class.create(w->p.f.m, 0, &w->p.cpu[0]), VM_OK);
    w->p.n = 1;
    w->port = vm__window_new(w->p.f.m, "port", VM_SPACE_PORT, 8, &plain, w);
    w->mmio = vm__window_new(w->p.f.m, "late", VM_SPACE_MEM, 0x1000, &late, w);
    cr_assert_eq(vm__region_place(w->port, PORT, VM_PRIO_DEVICE), VM_OK);
    cr_assert_eq(vm__region_place(w->mmio, 0x400000, VM_PRIO_DEVICE), VM_OK);
    set_reg(&w->p, 0, VM_X86_CS, 0);
    set_reg(&w->p, 0, VM_X86_SEG_BASE + 1, 0);
    set_reg(&w->p, 0, VM_X86_RIP, CODE);
}

static int hand_over(struct world *w)
{
    struct vcpu *c = at(&w->p, 0);
    struct x86_cpus *s = c->cpus;

    s->engine->store(c);
    s->engine->vcpu_fini(c);
    s->engine->destroy(s);
    s->engine = &vm__kvm_engine;
    int st = vm__kvm_create_on(s, &w->k.sys);
    if (st == VM_OK) {
        st = vm__kvm_engine.vcpu_init(c);
        if (st != VM_OK)
            vm__kvm_engine.destroy(s);
    }
    if (st == VM_OK) {
        vm__kvm_engine.load(c);
        return VM_OK;
    }
    s->engine = &vm__interp_engine;
    cr_assert_eq(s->engine->vcpu_init(c), VM_OK);
    s->engine->load(c);
    return st;
}

static void start(struct world *w)
{
    cr_assert_eq(hand_over(w), VM_OK, "%s", vm_last_error()->message);
}

/* Everything that was opened and mapped is given back. */
static void fini(struct world *w)
{
    processors_fini(&w->p);
    cr_expect_eq(w->k.opened, 0);
    cr_expect_eq(w->k.maps, 0);
}

static enum vm_cpu_stop run_kvm(struct world *w, vm_exit *exit)
{
    *exit = (vm_exit) { .size = sizeof *exit };
    return vm__x86_cpu_class.run(w->p.cpu[0], 1000000, exit);
}

/* ---- what there is ---- */

static void refused(struct fake_kvm *f, int status, const char *text)
{
    struct kvm v = { .sys = &f->sys, .fd = -1 };
    char why[200] = "";
    cr_expect_eq(vm__kvm_open(&v, "/dev/kvm", why, sizeof why), status);
    cr_expect_not_null(strstr(why, text), "'%s' is not in '%s'", text, why);
    cr_expect_null(strchr(why, '\n'));
    cr_expect_eq(f->opened, 0);
}

Test(kvm, a_device_that_cannot_be_used_is_one_clear_line)
{
    static const struct {
        int error, status;
        const char *text;
    } cases[] = {
        { ENOENT, VM_E_NOENT, "there is no /dev/kvm" },
        { EACCES, VM_E_PERM, "no permission" },
        { EBUSY, VM_E_BUSY, "is busy" },
        { EIO, VM_E_IO, "cannot open" },
    };
    struct fake_kvm f;
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        fake_kvm_init(&f);
        f.open_error = cases[n].error;
        refused(&f, cases[n].status, cases[n].text);
    }
    fake_kvm_init(&f);
    f.api = 11;
    refused(&f, VM_E_NOTSUP, "interface version 12");
    static const struct {
        int cap;
        const char *text;
    } needed[] = {
        { KVM_CAP_USER_MEMORY, "user memory" },
        { KVM_CAP_EXT_CPUID, "CPUID" },
        { KVM_CAP_VCPU_EVENTS, "pending events" },
        { KVM_CAP_IMMEDIATE_EXIT, "kvm.signal" },
    };
    for (size_t n = 0; n < sizeof needed / sizeof needed[0]; n++) {
        fake_kvm_init(&f);
        f.caps[needed[n].cap] = 0;
        refused(&f, VM_E_NOTSUP, needed[n].text);
    }
}

Test(kvm, no_interrupt_controller_of_the_kernels_is_used)
{
    struct world w;
    vm_exit exit;
    init(&w);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(fake_kvm_calls(&w.k, KVM_CREATE_IRQCHIP), 0);
    cr_expect_eq(fake_kvm_calls(&w.k, KVM_CREATE_PIT2), 0);
    fini(&w);
}

/* ---- the state ---- */

static void set_marks(struct world *w)
{
    struct vcpu *c = at(&w->p, 0);
    c->st.gpr[X86_RBX] = 0x1122334455667788;
    c->st.fcw = 0x37f;
    c->st.fsw = 3 << 11; /* TOP is 3 */
    c->st.ftw = 8;
    memcpy(c->st.x87[3], "0123456789", 10);
    memset(c->st.vec[5], 0x77, 32);
    c->st.mxcsr = 0x1fa0;
}

static void expect_marks(struct world *w, bool avx)
{
    const struct vcpu *c = at(&w->p, 0);
    static const uint8_t upper[16] = { 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77,
                                       0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77 };
    cr_expect_eq(c->st.gpr[X86_RBX], 0x1122334455667788);
    cr_expect_eq(c->st.fsw >> 11 & 7, 3);
    cr_expect_eq(c->st.ftw, 8);
    cr_expect_arr_eq(c->st.x87[3], "0123456789", 10);
    cr_expect_arr_eq(c->st.vec[5], upper, 16);
    if (avx)
        cr_expect_arr_eq(c->st.vec[5] + 16, upper, 16);
    cr_expect_eq(c->st.mxcsr, 0x1fa0);
}

Test(kvm, registers_go_in_and_come_back)
{
    struct world w;
    vm_exit exit;
    init(&w);
    set_marks(&w);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(w.k.regs.rbx, 0x1122334455667788);
    cr_expect_eq(w.k.xsave[32], '0'); /* ST(0) is R3 */
    cr_expect_eq(fake_kvm_calls(&w.k, KVM_SET_FPU), 0);
    expect_marks(&w, true);
    fini(&w);
}

Test(kvm, before_xsave_there_was_another_call)
{
    struct world w;
    vm_exit exit;
    init(&w);
    w.k.caps[KVM_CAP_XSAVE] = w.k.caps[KVM_CAP_XCRS] = 0;
    set_marks(&w);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(fake_kvm_calls(&w.k, KVM_SET_XSAVE), 0);
    cr_expect_eq(w.k.fpu.fpr[0][0], '0');
    expect_marks(&w, true); /* KVM_GET_FPU leaves the upper halves alone */
    fini(&w);
}

Test(kvm, a_kvm_that_takes_no_avx_state_gets_the_rest)
{
    struct world w;
    vm_exit exit;
    init(&w);
    w.k.no_avx = true;
    set_marks(&w);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    expect_marks(&w, false);
    fini(&w);
}

Test(kvm, an_msr_that_kvm_does_not_take_is_left_out)
{
    struct world w;
    vm_exit exit;
    init(&w);
    w.k.msr_refused = 0x277;
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_geq(fake_kvm_calls(&w.k, KVM_SET_MSRS), 2);
    fini(&w);
}

Test(kvm, what_has_not_changed_does_not_move)
{
    struct world w;
    vm_exit exit;
    init(&w);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    at(&w.p, 0)->st.activity = X86_ACTIVE;
    w.k.n_log = 0;
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(fake_kvm_calls(&w.k, KVM_SET_SREGS), 0);
    cr_expect_eq(fake_kvm_calls(&w.k, KVM_SET_REGS), 0);
    cr_expect_eq(fake_kvm_calls(&w.k, KVM_SET_XSAVE), 0);
    set_reg(&w.p, 0, VM_X86_RAX, 7);
    at(&w.p, 0)->st.activity = X86_ACTIVE;
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(fake_kvm_calls(&w.k, KVM_SET_REGS), 1);
    cr_expect_eq(fake_kvm_calls(&w.k, KVM_SET_SREGS), 0);
    cr_expect_eq(w.k.regs.rax, 7);
    fini(&w);
}

/* ---- calls that fail ---- */

Test(kvm, every_call_may_fail_and_the_machine_survives)
{
    static const unsigned long create[] = { KVM_CREATE_VM, KVM_GET_VCPU_MMAP_SIZE,
                                            KVM_SET_USER_MEMORY_REGION, KVM_CREATE_VCPU,
                                            KVM_X86_SET_MSR_FILTER };
    static const unsigned long run[] = { KVM_SET_CPUID2,      KVM_SET_SREGS,    KVM_SET_REGS,
                                         KVM_SET_XSAVE,       KVM_SET_MSRS,     KVM_SET_DEBUGREGS,
                                         KVM_SET_VCPU_EVENTS, KVM_RUN,          KVM_GET_REGS,
                                         KVM_GET_SREGS,       KVM_GET_XSAVE,    KVM_GET_MSRS,
                                         KVM_GET_VCPU_EVENTS, KVM_GET_DEBUGREGS };
    struct world w;
    vm_exit exit;

    for (size_t n = 0; n < sizeof create / sizeof create[0]; n++) {
        init(&w);
        w.k.fails = create[n];
        w.k.error = EMFILE;
        cr_expect_neq(hand_over(&w), VM_OK, "call %zu", n);
        cr_expect_not_null(strstr(vm_last_error()->message, "KVM"));
        fini(&w);
    }
    for (size_t n = 0; n < sizeof run / sizeof run[0]; n++) {
        init(&w);
        w.k.fails = run[n];
        w.k.error = EFAULT;
        start(&w);
        cr_expect_eq(run_kvm(&w, &exit), VM_CPU_ERROR, "call %zu", n);
        cr_expect_not_null(strstr(exit.text, "KVM: KVM_"), "%s", exit.text);
        fini(&w);
    }
}

Test(kvm, an_interrupted_run_goes_on)
{
    struct world w;
    vm_exit exit;
    init(&w);
    fake_kvm_run_error(&w.k, EINTR);
    fake_kvm_run_error(&w.k, EAGAIN);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(w.k.runs, 3);
    fini(&w);
}

Test(kvm, without_immediate_exit_a_signal_does_and_nobody_sees_it)
{
    struct world w;
    vm_exit exit;
    sigset_t before, after, pending;

    pthread_sigmask(SIG_SETMASK, NULL, &before);
    init(&w);
    w.k.caps[KVM_CAP_IMMEDIATE_EXIT] = 0;
    cr_assert_eq(vm__config_set(w.p.f.m->config, "kvm.signal", "12"), VM_OK); /* SIGUSR2 */
    fake_kvm_run_error(&w.k, EINTR);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_geq(fake_kvm_calls(&w.k, KVM_SET_SIGNAL_MASK), 1);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    sigpending(&pending);
    cr_expect_eq(sigismember(&after, SIGUSR2), sigismember(&before, SIGUSR2));
    cr_expect_eq(sigismember(&pending, SIGUSR2), 0);
    fini(&w);
}

/* ---- exits ---- */

static void out_3(struct fake_kvm *f, struct kvm_run *run)
{
    (void)f;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.port = PORT;
    run->io.size = 2;
    run->io.count = 3;
    run->io.data_offset = 4096;
    memcpy((uint8_t *)run + 4096, "\1\0\2\0\3\0", 6);
}

static void in_1(struct fake_kvm *f, struct kvm_run *run)
{
    (void)f;
    run->io.direction = KVM_EXIT_IO_IN;
    run->io.port = PORT + 1;
    run->io.size = 1;
    run->io.count = 1;
    run->io.data_offset = 4096;
}

static void in_beyond(struct fake_kvm *f, struct kvm_run *run)
{
    in_1(f, run);
    run->io.count = 100000;
}

Test(kvm, port_accesses_reach_their_window_in_order)
{
    struct world w;
    vm_exit exit;
    init(&w);
    fake_kvm_exit(&w.k, KVM_EXIT_IO, out_3);
    fake_kvm_exit(&w.k, KVM_EXIT_IO, in_1);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(w.n_written, 3);
    cr_expect_eq(w.written[0], 1);
    cr_expect_eq(w.written[2], 3);
    cr_expect_eq(((uint8_t *)w.k.run)[4096], 0x5b);
    fini(&w);
}

Test(kvm, data_beyond_the_shared_area_is_not_touched)
{
    struct world w;
    vm_exit exit;
    init(&w);
    fake_kvm_exit(&w.k, KVM_EXIT_IO, in_beyond);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    fini(&w);
}

static void apic_write(struct fake_kvm *f, struct kvm_run *run)
{
    (void)f;
    run->mmio.phys_addr = 0xfee000f0;
    run->mmio.len = 4;
    run->mmio.is_write = 1;
    memcpy(run->mmio.data, "\xff\1\0\0", 4);
}

static void apic_read(struct fake_kvm *f, struct kvm_run *run)
{
    (void)f;
    run->mmio.phys_addr = 0xfee000f0;
    run->mmio.len = 4;
    run->mmio.is_write = 0;
}

Test(kvm, the_local_apic_is_the_projects_own)
{
    struct world w;
    vm_exit exit;
    init(&w);
    fake_kvm_exit(&w.k, KVM_EXIT_MMIO, apic_write);
    fake_kvm_exit(&w.k, KVM_EXIT_MMIO, apic_read);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(at(&w.p, 0)->st.lapic.svr, 0x1ff);
    cr_expect_eq(vm_le32(w.k.run->mmio.data), 0x1ff);
    fini(&w);
}

static void open_window(struct fake_kvm *f, struct kvm_run *run)
{
    cr_expect_eq(run->request_interrupt_window, 1);
    f->regs.rflags |= X86_IF;
    run->if_flag = 1;
    run->ready_for_interrupt_injection = 1;
}

Test(kvm, an_interrupt_waits_for_its_window)
{
    struct world w;
    vm_exit exit;
    init(&w);
    struct vcpu *c = at(&w.p, 0);
    c->st.lapic.svr = 0x1ff;
    fake_kvm_exit(&w.k, KVM_EXIT_IRQ_WINDOW_OPEN, open_window);
    start(&w);
    cr_expect(vm__x86_lapic_post(c, 0x41, false));
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(w.k.interrupts, 1);
    cr_expect_eq(w.k.vector, 0x41);
    cr_expect_eq(c->st.lapic.irr[2], 0);
    cr_expect_eq(c->st.lapic.isr[2], 2);
    fini(&w);
}

static void msr_write(struct fake_kvm *f, struct kvm_run *run)
{
    (void)f;
    run->msr.reason = KVM_MSR_EXIT_REASON_FILTER;
    run->msr.index = 0x2ff; /* MTRR_DEF_TYPE */
    run->msr.data = 0xc06;
}

static void msr_wrong(struct fake_kvm *f, struct kvm_run *run)
{
    cr_expect_eq(run->msr.error, 0);
    (void)f;
    run->msr.reason = KVM_MSR_EXIT_REASON_INVAL;
    run->msr.index = 0xc0000082; /* LSTAR: KVM says that the value is wrong */
    run->msr.data = 0x8000000000000000;
}

Test(kvm, msrs_that_are_ours_are_kept_here_and_the_others_judged_by_kvm)
{
    struct world w;
    vm_exit exit;
    init(&w);
    fake_kvm_exit(&w.k, KVM_EXIT_X86_WRMSR, msr_write);
    fake_kvm_exit(&w.k, KVM_EXIT_X86_WRMSR, msr_wrong);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(at(&w.p, 0)->st.msr.mtrr_def, 0xc06);
    cr_expect_eq(w.k.run->msr.error, 1);
    fini(&w);
}

static void gave_up(struct fake_kvm *f, struct kvm_run *run)
{
    (void)f;
    run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    run->internal.ndata = 0;
}

Test(kvm, what_kvm_gives_up_on_is_interpreted)
{
    static const uint8_t code[] = { 0xb8, 0x34, 0x12, 0xf4 }; /* MOV AX, 1234h; HLT */
    struct world w;
    vm_exit exit;
    init(&w);
    poke(&w.p, CODE, code, sizeof code);
    fake_kvm_exit(&w.k, KVM_EXIT_INTERNAL_ERROR, gave_up);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(w.k.regs.rax, 0x1234);
    cr_expect_eq(w.k.regs.rip, CODE + 3);
    cr_expect_eq(vm__kvm_cpu(at(&w.p, 0))->n.emulated, 1);
    fini(&w);
}

/* Code that changed while the guest ran natively, where nobody watched, is decoded again. */
static void gave_up_on_new_code(struct fake_kvm *f, struct kvm_run *run)
{
    gave_up(f, run);
    ((uint8_t *)(uintptr_t)f->slot[0].userspace_addr)[CODE + 1] = 0x99;
    f->regs.rip = CODE;
}

Test(kvm, decoded_code_is_not_trusted_after_the_guest_ran)
{
    static const uint8_t code[] = { 0xb8, 0x34, 0x12, 0xf4 };
    struct world w;
    vm_exit exit;
    init(&w);
    poke(&w.p, CODE, code, sizeof code);
    fake_kvm_exit(&w.k, KVM_EXIT_INTERNAL_ERROR, gave_up);
    fake_kvm_exit(&w.k, KVM_EXIT_INTERNAL_ERROR, gave_up_on_new_code);
    start(&w);
    cr_assert_eq(w.k.slot[0].guest_phys_addr, 0);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(reg(&w.p, 0, VM_X86_RAX), 0x1299);
    fini(&w);
}

Test(kvm, shutdown_and_refused_states_are_told)
{
    struct world w;
    vm_exit exit;
    init(&w);
    fake_kvm_exit(&w.k, KVM_EXIT_SHUTDOWN, NULL);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_SHUTDOWN);
    cr_expect_eq(at(&w.p, 0)->st.activity, X86_STOPPED);
    fini(&w);

    init(&w);
    fake_kvm_exit(&w.k, KVM_EXIT_FAIL_ENTRY, NULL);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_ERROR);
    cr_expect_not_null(strstr(exit.text, "refuses the guest's state"));
    fini(&w);

    init(&w);
    fake_kvm_exit(&w.k, 4711, NULL);
    start(&w);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_ERROR);
    cr_expect_not_null(strstr(exit.text, "exit 4711"));
    fini(&w);
}

/* ---- memory ---- */

static const struct kvm_userspace_memory_region *slot_at(const struct fake_kvm *f, uint64_t gpa)
{
    for (unsigned n = 0; n < FAKE_SLOTS; n++)
        if (f->slot[n].memory_size != 0 && f->slot[n].guest_phys_addr == gpa)
            return &f->slot[n];
    return NULL;
}

Test(kvm, slots_follow_the_address_space)
{
    struct world w;
    init(&w);
    start(&w);
    struct vm_machine *m = w.p.f.m;
    struct vm_region *rom = vm__rom_new(m, "rom", "x", 1, 0x2000);
    cr_assert_eq(vm__region_place(rom, 0x800000, VM_PRIO_ROM), VM_OK);
    const struct kvm_userspace_memory_region *s = slot_at(&w.k, 0x800000);
    cr_assert_not_null(s);
    cr_expect_eq(s->memory_size, 0x2000);
    cr_expect_eq(s->flags, KVM_MEM_READONLY);
    struct vm_region *alias = vm__alias_new(m, "alias", w.p.f.ram, 0x4000, 0x1000);
    cr_assert_eq(vm__region_place(alias, 0x900000, VM_PRIO_RAM), VM_OK);
    s = slot_at(&w.k, 0x900000);
    cr_assert_not_null(s);
    cr_expect_eq(s->userspace_addr, (uintptr_t)vm__region_host(w.p.f.ram) + 0x4000);
    cr_assert_eq(vm__region_place(rom, 0xa00000, VM_PRIO_ROM), VM_OK);
    cr_expect_null(slot_at(&w.k, 0x800000));
    cr_expect_not_null(slot_at(&w.k, 0xa00000));
    vm__region_free(rom);
    cr_expect_null(slot_at(&w.k, 0xa00000));
    vm__region_enable(alias, false);
    cr_expect_null(slot_at(&w.k, 0x900000));
    fini(&w);
}

Test(kvm, without_read_only_slots_rom_is_reached_by_exits)
{
    struct world w;
    init(&w);
    w.k.caps[KVM_CAP_READONLY_MEM] = 0;
    start(&w);
    struct vm_region *rom = vm__rom_new(w.p.f.m, "rom", "x", 1, 0x2000);
    cr_assert_eq(vm__region_place(rom, 0x800000, VM_PRIO_ROM), VM_OK);
    cr_expect_null(slot_at(&w.k, 0x800000));
    fini(&w);
}

Test(kvm, a_refused_slot_is_no_disaster)
{
    struct world w;
    init(&w);
    start(&w);
    w.k.no_slot_at = 0x800000;
    struct vm_region *ram = vm__ram_new(w.p.f.m, "more", 0x1000);
    cr_assert_eq(vm__region_place(ram, 0x800000, VM_PRIO_RAM), VM_OK);
    cr_expect_null(slot_at(&w.k, 0x800000));
    cr_expect_eq(vm__kvm_of(at(&w.p, 0))->slot_refused, 1);
    fini(&w);
}

Test(kvm, the_dirty_log_is_kvms_too)
{
    struct world w;
    struct vm_dirty d;
    init(&w);
    struct vm_region *ram = vm__ram_new(w.p.f.m, "screen", 0x10000);
    cr_assert_eq(vm__region_place(ram, 0x800000, VM_PRIO_RAM), VM_OK);
    start(&w);
    cr_expect_eq(slot_at(&w.k, 0x800000)->flags, 0);
    vm__lock(w.p.f.m);
    cr_assert_eq(vm__dirty_init(&d, ram), VM_OK);
    for (int n = 0; n < 3; n++) /* all pages at first, and while permissions settle */
        (void)vm__dirty_take(&d, 0, 0x10000);
    cr_expect_eq(slot_at(&w.k, 0x800000)->flags, KVM_MEM_LOG_DIRTY_PAGES);
    cr_expect_not(vm__dirty_take(&d, 0, 0x10000));
    w.k.dirty = 1u << 5;
    cr_expect(vm__dirty_take(&d, 0, 0x10000));
    cr_expect(vm__dirty_in(&d, 0x5000, 0x5fff));
    cr_expect_not(vm__dirty_in(&d, 0x4000, 0x4fff));
    vm__dirty_fini(&d);
    vm__unlock(w.p.f.m);
    fini(&w);
}

/* ---- late writes and doorbells ---- */

static void late_writes(struct fake_kvm *f, struct kvm_run *run)
{
    struct kvm_coalesced_mmio_ring *r = (void *)((uint8_t *)run + 2 * 4096);
    for (unsigned n = 0; n < 3; n++) {
        r->coalesced_mmio[n].phys_addr = 0x400000 + 4 * n;
        r->coalesced_mmio[n].len = 4;
        r->coalesced_mmio[n].pio = 0;
        memcpy(r->coalesced_mmio[n].data, (uint8_t[]) { (uint8_t)(n + 10), 0, 0, 0 }, 4);
    }
    r->first = 0;
    r->last = 3;
    out_3(f, run);
}

Test(kvm, late_writes_come_before_the_exit_that_brings_them)
{
    struct world w;
    vm_exit exit;
    init(&w);
    fake_kvm_exit(&w.k, KVM_EXIT_IO, late_writes);
    start(&w);
    cr_expect_eq(w.k.n_zones, 1);
    cr_expect_eq(w.k.zone[0].addr, 0x400000);
    cr_expect_eq(w.k.zone[0].size, 0x1000);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(w.n_written, 6);
    cr_expect_eq(w.written[0], 10);
    cr_expect_eq(w.written[2], 12);
    cr_expect_eq(w.written[3], 1);
    vm__region_enable(w.mmio, false);
    cr_expect_eq(w.k.n_zones, 0);
    fini(&w);
}

static unsigned rings;
static void on_ring(void *opaque)
{
    (void)opaque;
    rings++;
}

Test(kvm, doorbells_are_event_descriptors_where_their_window_is)
{
    struct world w;
    init(&w);
    struct vm_doorbell bell = { .window = w.port, .off = 4, .size = 2, .ring = on_ring };
    vm__doorbell_add(w.p.f.m, &bell);
    rings = 0;
    start(&w);
    cr_assert_eq(w.k.n_bells, 1);
    cr_expect_eq(w.k.bell[0].addr, PORT + 4);
    cr_expect_eq(w.k.bell[0].len, 2);
    cr_expect_eq(w.k.bell[0].flags, KVM_IOEVENTFD_FLAG_PIO);
    const uint64_t one = 1;
    cr_assert_eq(write(w.k.bell[0].fd, &one, 8), 8); /* the kernel does, when the guest writes */
    vm__lock(w.p.f.m);
    w.p.f.m->mem->mirror->settle(w.p.f.m->mem->mirror->ud);
    vm__unlock(w.p.f.m);
    cr_expect_eq(rings, 1);
    cr_assert_eq(vm__region_place(w.port, 0x100, VM_PRIO_DEVICE), VM_OK);
    cr_assert_eq(w.k.n_bells, 1);
    cr_expect_eq(w.k.bell[0].addr, 0x104);
    vm__region_enable(w.port, false);
    cr_expect_eq(w.k.n_bells, 0);
    vm__region_enable(w.port, true);
    cr_expect_eq(w.k.n_bells, 1);
    vm__doorbell_remove(w.p.f.m, &bell);
    cr_expect_eq(w.k.n_bells, 0);
    fini(&w);
}

/* ---- a debugger ---- */

Test(kvm, four_breakpoints_are_kvms_and_more_are_interpreted)
{
    static const uint8_t code[] = { 0x90, 0x90, 0xf4 };
    struct world w;
    vm_exit exit;
    init(&w);
    poke(&w.p, CODE, code, sizeof code);
    start(&w);
    vm__lock(w.p.f.m);
    for (uint64_t n = 0; n < 4; n++)
        cr_assert_eq(vm__debug_break_add(w.p.f.m, 0x5000 + n), VM_OK);
    vm__unlock(w.p.f.m);
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_HALTED);
    cr_expect_eq(w.k.guest_debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP);
    cr_expect_eq(w.k.guest_debug.arch.debugreg[3], 0x5003);
    cr_expect_eq(w.k.guest_debug.arch.debugreg[7], 0x4aa);
    vm__lock(w.p.f.m);
    cr_assert_eq(vm__debug_break_add(w.p.f.m, CODE + 2), VM_OK);
    vm__unlock(w.p.f.m);
    at(&w.p, 0)->st.activity = X86_ACTIVE;
    const unsigned runs = w.k.runs;
    cr_expect_eq(run_kvm(&w, &exit), VM_CPU_DEBUG);
    cr_expect_eq(w.k.runs, runs);
    cr_expect_eq(exit.addr, CODE + 2);
    fini(&w);
}
