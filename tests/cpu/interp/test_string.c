/* SPDX-License-Identifier: MIT */
/**
 * @file test_string.c
 * Repeated string instructions where the native oracle does not look: 16-bit wrap, devices, code
 * that overwrites itself, being left and entered again, single-stepping.
 *
 * Real mode, all segments at 0, code at 0x1000, a machine that has RAM and one device window.
 */
#include <criterion/criterion.h>
#include <libvm/libvm.h>
#include <string.h>

#include "core/machine.h"
#include "core/region.h"
#include "cpu/x86/exception.h"

enum { CODE = 0x1000, HANDLER = 0x1800, STACK = 0x7000, RAM = 0x40000, WINDOW = 0x80000 };

static struct {
    struct vm_machine *m;
    struct vm_region *ram;
    struct vcpu *c;
    uint8_t *mem;
    unsigned reads, writes;
    unsigned kick_at; /* this read of the window asks the processor to come back */
    uint8_t written[16];
} F;

static uint64_t window_read(void *opaque, uint64_t off, unsigned size)
{
    (void)opaque;
    (void)size;
    if (++F.reads == F.kick_at)
        F.m->cpu_class->request(F.m->cpus[0], VM_CPU_REQ_YIELD);
    return 0x40 + off;
}

static void window_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
    (void)opaque;
    (void)size;
    F.written[off & 15] = (uint8_t)v;
    F.writes++;
}

static const struct vm_window_ops window_ops = { .read = window_read,
                                                 .write = window_write,
                                                 .max_access = 1 };

static struct x86_seg flat_real(uint64_t base)
{
    return (struct x86_seg) { .base = base,
                              .limit = 0xffff,
                              .sel = (uint16_t)(base >> 4),
                              .attr = X86_ATTR_P | X86_ATTR_S | 3 };
}

static void setup(void)
{
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    vm_config *cfg = vm_config_new(ctx, NULL);

    cr_assert_eq(vm_config_set_str(cfg, "cpu.model", "max"), VM_OK);
    F.m = vm__machine_new(cfg);
    cr_assert_not_null(F.m, "%s", vm_last_error()->message);
    vm_config_free(cfg);
    vm_ctx_unref(ctx);
    vm__lock(F.m);
    F.ram = vm__ram_new(F.m, "ram", RAM);
    cr_assert_eq(vm__region_place(F.ram, 0, VM_PRIO_RAM), VM_OK);
    struct vm_region *w = vm__window_new(F.m, "window", VM_SPACE_MEM, 0x1000, &window_ops, NULL);
    cr_assert_eq(vm__region_place(w, WINDOW, VM_PRIO_DEVICE), VM_OK);
    cr_assert_eq(vm__machine_add_cpus(F.m, 1), VM_OK);
    vm__unlock(F.m);
    F.mem = vm__region_host(F.ram);
    F.c = vm__vcpu(F.m->cpus[0]);
    F.m->cpu_class->reset(F.m->cpus[0]);
    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        F.c->st.seg[k] = flat_real(0);
    F.c->st.gpr[X86_RSP] = STACK;
    F.c->st.rip = CODE;
}

static void teardown(void)
{
    vm__machine_destroy(F.m);
}

TestSuite(string, .init = setup, .fini = teardown);

static void code(uint32_t at, const char *bytes, size_t n)
{
    memcpy(F.mem + at, bytes, n);
}
#define CODE_AT(at, s) code(at, s, sizeof(s) - 1)

static enum vm_cpu_stop run(void)
{
    struct vm_exit exit;
    F.c->cpus->engine->load(F.c);
    vm__x86_sync_mode(F.c);
    return F.m->cpu_class->run(F.m->cpus[0], 100000, &exit);
}

static void regs(uint64_t ax, uint64_t cx, uint64_t si, uint64_t di)
{
    F.c->st.gpr[X86_RAX] = ax;
    F.c->st.gpr[X86_RCX] = cx;
    F.c->st.gpr[X86_RSI] = si;
    F.c->st.gpr[X86_RDI] = di;
}

#define AX (F.c->st.gpr[X86_RAX])
#define CX (F.c->st.gpr[X86_RCX])
#define SI (F.c->st.gpr[X86_RSI])
#define DI (F.c->st.gpr[X86_RDI])

Test(string, indexes_wrap_at_64_kib_with_16_bit_addresses)
{
    CODE_AT(CODE, "\xf3\xa4\xf4"); /* rep movsb; hlt */
    memcpy(F.mem + 0xfffe, "ab", 2);
    memcpy(F.mem, "cd", 2);
    regs(0, 0x770004, 0x11fffe, 0x2000);
    cr_assert_eq(run(), VM_CPU_HALTED);
    cr_assert_arr_eq(F.mem + 0x2000, "abcd", 4);
    cr_assert_eq(SI, 0x110002, "only SI moves");
    cr_assert_eq(CX, 0x770000);
}

Test(string, a_move_onto_its_own_source_repeats_the_pattern)
{
    CODE_AT(CODE, "\xf3\xa4\xf4");
    memcpy(F.mem + 0x2ff8, "xyz", 3);
    regs(0, 5000, 0x2ff8, 0x2ffb);
    cr_assert_eq(run(), VM_CPU_HALTED);
    for (unsigned k = 0; k < 5003; k++)
        cr_assert_eq(F.mem[0x2ff8 + k], "xyz"[k % 3], "byte %u", k);
}

Test(string, wide_elements_are_read_before_they_are_overwritten)
{
    CODE_AT(CODE, "\xf3\xa5\xf4"); /* rep movsw */
    memcpy(F.mem + 0x2000, "abcdefgh", 8);
    regs(0, 3, 0x2000, 0x2001);
    cr_assert_eq(run(), VM_CPU_HALTED);
    uint8_t want[16] = "abcdefgh";
    for (unsigned k = 0; k < 3; k++) {
        uint8_t e[2] = { want[2 * k], want[2 * k + 1] };
        memcpy(want + 1 + 2 * k, e, 2);
    }
    cr_assert_arr_eq(F.mem + 0x2000, want, 8);
}

Test(string, a_move_goes_down_across_pages)
{
    CODE_AT(CODE, "\xfd\xf3\xa5\xf4"); /* std; rep movsw */
    for (unsigned k = 0; k < 0x1800; k++)
        F.mem[0x3000 + k] = (uint8_t)(k * 7 + (k >> 8));
    regs(0, 0xc00, 0x47fe, 0x97ff);
    cr_assert_eq(run(), VM_CPU_HALTED);
    cr_assert_arr_eq(F.mem + 0x8001, F.mem + 0x3000, 0x1800);
    cr_assert_eq(SI, 0x2ffe);
    cr_assert_eq(DI, 0x7fff);
    cr_assert_eq(F.mem[0x8000], 0);
    cr_assert_eq(F.mem[0x9801], 0);
}

Test(string, a_fault_keeps_what_was_done)
{
    CODE_AT(CODE, "\x67\xf3\xaa\xf4"); /* addr32 rep stosb: past the limit at 0x10000 */
    CODE_AT(HANDLER, "\xf4");
    memcpy(F.mem + X86_XGP * 4, "\x00\x18\x00\x00", 4);
    regs(0x5a, 0x30, 0, 0xfff0);
    cr_assert_eq(run(), VM_CPU_HALTED);
    cr_assert_eq(F.c->st.rip, HANDLER + 1);
    cr_assert_eq(CX, 0x20);
    cr_assert_eq(DI, 0x10000);
    cr_assert_eq(F.mem[0xffff], 0x5a);
    cr_assert_eq(F.mem[0x10000], 0);
    cr_assert_eq(F.mem[STACK - 6] | F.mem[STACK - 5] << 8, CODE, "the instruction itself");
}

Test(string, a_device_sees_every_element_once_though_the_instruction_is_left)
{
    CODE_AT(CODE, "\xf3\xa4\xf4");
    F.c->st.seg[X86_DS] = flat_real(WINDOW);
    F.kick_at = 3;
    regs(0, 10, 0, 0x2000);
    cr_assert_eq(run(), VM_CPU_BUDGET);
    cr_assert_eq(F.c->st.rip, CODE, "to be entered again");
    cr_assert_eq(CX, 7);
    cr_assert_eq(F.reads, 3);
    cr_assert_eq(run(), VM_CPU_HALTED);
    cr_assert_eq(F.reads, 10);
    cr_assert_arr_eq(F.mem + 0x2000, "@ABCDEFGHI", 10);
}

Test(string, a_device_is_filled_element_by_element)
{
    CODE_AT(CODE, "\xf3\xaa\xf4");
    F.c->st.seg[X86_ES] = flat_real(WINDOW);
    regs(0x33, 5, 0, 2);
    cr_assert_eq(run(), VM_CPU_HALTED);
    cr_assert_eq(F.writes, 5);
    cr_assert_arr_eq(F.written, "\0\0\x33\x33\x33\x33\x33\0", 8);
}

Test(string, a_repeat_may_overwrite_the_code_behind_it)
{
    CODE_AT(CODE, "\xf3\xaa\x43\x43\x43\xf4"); /* rep stosb; inc bx, three times; hlt */
    F.c->st.gpr[X86_RBX] = 0;
    regs(0x90, 2, 0, CODE + 2);
    cr_assert_eq(run(), VM_CPU_HALTED);
    cr_assert_eq(F.c->st.gpr[X86_RBX], 1);
}

Test(string, each_element_is_a_single_step)
{
    CODE_AT(CODE, "\xf3\xaa\x90\xf4");
    /* inc bx; cmp bx, 5; jne 1f; hlt; 1: iret */
    CODE_AT(HANDLER, "\x43\x83\xfb\x05\x75\x01\xf4\xcf");
    memcpy(F.mem + X86_XDB * 4, "\x00\x18\x00\x00", 4);
    F.c->st.rflags |= X86_TF;
    F.c->st.gpr[X86_RBX] = 0;
    regs(0x11, 4, 0, 0x2000);
    cr_assert_eq(run(), VM_CPU_HALTED);
    /* four elements, and the NOP */
    cr_assert_eq(F.c->st.gpr[X86_RBX], 5);
    cr_assert_eq(F.mem[STACK - 6] | F.mem[STACK - 5] << 8, CODE + 3);
    cr_assert_eq(CX, 0);
    cr_assert_arr_eq(F.mem + 0x2000, "\x11\x11\x11\x11\0", 5);
}

Test(string, a_search_ends_behind_the_match_on_another_page)
{
    CODE_AT(CODE, "\xf2\xae\xf4"); /* repne scasb */
    memset(F.mem + 0x2000, 'a', 0x3000);
    F.mem[0x4123] = 'q';
    regs('q', 0x3000, 0, 0x2000);
    cr_assert_eq(run(), VM_CPU_HALTED);
    cr_assert_eq(DI, 0x4124);
    cr_assert_eq(CX, 0x3000 - 0x2124);
    cr_assert(F.c->st.rflags & X86_ZF);
}

Test(string, a_search_without_a_match_uses_up_the_count)
{
    CODE_AT(CODE, "\xf2\xae\xf4");
    memset(F.mem + 0x2000, 'a', 0x2000);
    regs('b', 0x1800, 0, 0x2000);
    cr_assert_eq(run(), VM_CPU_HALTED);
    cr_assert_eq(DI, 0x3800);
    cr_assert_eq(CX, 0);
    cr_assert(!(F.c->st.rflags & X86_ZF));
    cr_assert(!(F.c->st.rflags & X86_CF), "'b' is above 'a'");
}

Test(string, a_comparison_stops_at_the_first_difference)
{
    CODE_AT(CODE, "\x26\xf3\xa6\xf4"); /* es: repe cmpsb */
    F.c->st.seg[X86_DS] = flat_real(0x30000);
    for (unsigned k = 0; k < 0x2000; k++)
        F.mem[0x2000 + k] = F.mem[0x5003 + k] = (uint8_t)(k * 13);
    F.mem[0x5003 + 0x1235] ^= 0x80;
    regs(0, 0x2000, 0x2000, 0x5003);
    cr_assert_eq(run(), VM_CPU_HALTED);
    cr_assert_eq(SI, 0x2000 + 0x1236);
    cr_assert_eq(DI, 0x5003 + 0x1236);
    cr_assert_eq(CX, 0x2000 - 0x1236);
    cr_assert(!(F.c->st.rflags & X86_ZF));
}

Test(string, a_count_of_0_does_nothing)
{
    CODE_AT(CODE, "\xf3\xa6\xf2\xaf\xf3\xaa\xf4");
    F.c->st.rflags |= X86_ZF | X86_CF;
    regs(1, 0x10000, 5, 6);
    cr_assert_eq(run(), VM_CPU_HALTED);
    cr_assert_eq(F.c->st.rflags & X86_ARITH, X86_ZF | X86_CF);
    cr_assert_eq(SI, 5);
    cr_assert_eq(DI, 6);
    cr_assert_eq(CX, 0x10000);
}

Test(string, a_repeated_load_keeps_the_last_element)
{
    CODE_AT(CODE, "\xf3\xad\xf4"); /* rep lodsw */
    for (unsigned k = 0; k < 0x2000; k++)
        F.mem[0x2000 + k] = (uint8_t)(k >> 4);
    F.mem[0x2000 + 0x1800 - 2] = 0xcd, F.mem[0x2000 + 0x1800 - 1] = 0xab;
    regs(0, 0xc00, 0x2000, 0);
    cr_assert_eq(run(), VM_CPU_HALTED);
    cr_assert_eq(AX, 0xabcd);
    cr_assert_eq(SI, 0x3800);
}
