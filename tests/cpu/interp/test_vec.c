/* SPDX-License-Identifier: MIT */
/**
 * @file test_vec.c
 * Vector instructions where the native oracle does not look: devices, implied operands, MXCSR
 * between guest and host, unmasked exceptions without CR4.OSXMMEXCPT.
 *
 * Real mode, all segments at 0, code at 0x1000; the interrupt table leads to a row of HLTs.
 */
#include <criterion/criterion.h>
#include <libvm/libvm.h>
#include <string.h>
#include <xmmintrin.h>

#include "core/machine.h"
#include "core/region.h"
#include "cpu/x86/exception.h"

enum { CODE = 0x1000, HANDLERS = 0x1800, STACK = 0x7000, DATA = 0x2000, RAM = 0x40000 };
enum { WINDOW = 0x80000, NO_FAULT = -1, MASKED = 0x1f80 };

static struct {
    struct vm_machine *m;
    struct vcpu *c;
    uint8_t *mem;
    unsigned reads, writes;
    uint8_t written[64];
} F;

static uint64_t window_read(void *opaque, uint64_t off, unsigned size)
{
    (void)opaque;
    (void)size;
    F.reads++;
    return 0x40 + off;
}

static void window_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
    (void)opaque;
    (void)size;
    F.written[off & 63] = (uint8_t)v;
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

static void build_machine(void)
{
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    vm_config *cfg = vm_config_new(ctx, NULL);

    cr_assert_eq(vm_config_set_str(cfg, "cpu.model", "max"), VM_OK);
    F.m = vm__machine_new(cfg);
    cr_assert_not_null(F.m, "%s", vm_last_error()->message);
    vm_config_free(cfg);
    vm_ctx_unref(ctx);
    vm__lock(F.m);
    struct vm_region *ram = vm__ram_new(F.m, "ram", RAM);
    cr_assert_eq(vm__region_place(ram, 0, VM_PRIO_RAM), VM_OK);
    struct vm_region *w = vm__window_new(F.m, "window", VM_SPACE_MEM, 0x1000, &window_ops, NULL);
    cr_assert_eq(vm__region_place(w, WINDOW, VM_PRIO_DEVICE), VM_OK);
    cr_assert_eq(vm__machine_add_cpus(F.m, 1), VM_OK);
    vm__unlock(F.m);
    F.mem = vm__region_host(ram);
    F.c = vm__vcpu(F.m->cpus[0]);
}

static void setup(void)
{
    build_machine();
    F.m->cpu_class->reset(F.m->cpus[0]);
    struct x86_state *s = &F.c->st;
    for (unsigned k = 0; k < X86_SEG_COUNT; k++)
        s->seg[k] = flat_real(0);
    s->gpr[X86_RSP] = STACK;
    s->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
    for (unsigned v = 0; v < 32; v++) {
        F.mem[HANDLERS + v] = 0xf4;
        memcpy(F.mem + v * 4, (uint16_t[]) { (uint16_t)(HANDLERS + v), 0 }, 4);
    }
}

static void teardown(void)
{
    vm__machine_destroy(F.m);
}

TestSuite(vec, .init = setup, .fini = teardown);

/* Run the code, a HLT behind it; the exception that came, or NO_FAULT. */
static int run(const char *bytes, size_t n)
{
    struct vm_exit exit;

    memcpy(F.mem + CODE, bytes, n);
    F.mem[CODE + n] = 0xf4;
    F.c->st.rip = CODE;
    F.c->st.activity = X86_ACTIVE;
    F.c->cpus->engine->load(F.c);
    vm__x86_sync_mode(F.c);
    cr_assert_eq(F.m->cpu_class->run(F.m->cpus[0], 1000, &exit), VM_CPU_HALTED);
    if (F.c->st.rip == CODE + n + 1)
        return NO_FAULT;
    return (int)(F.c->st.rip - 1 - HANDLERS);
}
#define RUN(s) run(s, sizeof(s) - 1)

static void set_floats(unsigned reg, float v)
{
    for (unsigned k = 0; k < 4; k++)
        memcpy(F.c->st.vec[reg] + 4 * k, &v, 4);
}

static float get_float(unsigned reg)
{
    float v;
    memcpy(&v, F.c->st.vec[reg], 4);
    return v;
}

Test(vec, a_load_from_a_device_reads_every_byte_once)
{
    F.c->st.seg[X86_DS] = flat_real(WINDOW);
    F.c->st.gpr[X86_RBX] = 3;
    cr_assert_eq(RUN("\x0f\x10\x07"), NO_FAULT); /* movups xmm0, [bx] */
    cr_assert_eq(F.reads, 16);
    for (unsigned k = 0; k < 16; k++)
        cr_assert_eq(F.c->st.vec[0][k], 0x43 + k);
}

Test(vec, arithmetic_with_a_device_operand_reads_it_once)
{
    F.c->st.seg[X86_DS] = flat_real(WINDOW);
    F.c->st.gpr[X86_RBX] = 0;
    F.c->st.vec[0][0] = 1;
    cr_assert_eq(RUN("\x66\x0f\xfc\x07"), NO_FAULT); /* paddb xmm0, [bx] */
    cr_assert_eq(F.reads, 16);
    cr_assert_eq(F.c->st.vec[0][0], 0x41);
    cr_assert_eq(F.c->st.vec[0][15], 0x4f);
}

Test(vec, a_store_to_a_device_writes_every_byte_once)
{
    F.c->st.seg[X86_DS] = flat_real(WINDOW);
    F.c->st.gpr[X86_RBX] = 0;
    memcpy(F.c->st.vec[0], "0123456789abcdef", 16);
    cr_assert_eq(RUN("\x0f\x29\x07"), NO_FAULT); /* movaps [bx], xmm0 */
    cr_assert_eq(F.writes, 16);
    cr_assert_arr_eq(F.written, "0123456789abcdef", 16);
}

Test(vec, maskmovdqu_writes_the_chosen_bytes_at_ds_di)
{
    F.c->st.gpr[X86_RDI] = DATA + 1;
    memset(F.mem + DATA, '.', 18);
    memcpy(F.c->st.vec[1], "0123456789abcdef", 16);
    memset(F.c->st.vec[2], 0x7f, 16);
    F.c->st.vec[2][0] = F.c->st.vec[2][5] = F.c->st.vec[2][15] = 0x80;
    cr_assert_eq(RUN("\x66\x0f\xf7\xca"), NO_FAULT); /* maskmovdqu xmm1, xmm2 */
    cr_assert_arr_eq(F.mem + DATA, ".0....5.........f.", 18);
}

Test(vec, maskmovdqu_obeys_a_segment_override)
{
    F.c->st.seg[X86_ES] = flat_real(WINDOW);
    F.c->st.gpr[X86_RDI] = 8;
    F.c->st.vec[1][2] = 0x77;
    F.c->st.vec[2][2] = 0xff;
    cr_assert_eq(RUN("\x26\x66\x0f\xf7\xca"), NO_FAULT);
    cr_assert_eq(F.writes, 1);
    cr_assert_eq(F.written[10], 0x77);
}

Test(vec, a_misaligned_operand_is_a_general_protection_fault)
{
    F.c->st.gpr[X86_RBX] = DATA + 8;
    cr_assert_eq(RUN("\x66\x0f\xfe\x07"), X86_XGP); /* paddd xmm0, [bx] */
    cr_assert_eq(RUN("\x0f\x28\x07"), X86_XGP);     /* movaps xmm0, [bx] */
}

Test(vec, the_guests_rounding_is_its_own)
{
    uint32_t before = _mm_getcsr();

    F.c->st.mxcsr = MASKED | 0x4000; /* up */
    set_floats(0, 1.0f);
    set_floats(1, 0x1p-30f);
    cr_assert_eq(RUN("\x0f\x58\xc1"), NO_FAULT); /* addps xmm0, xmm1 */
    cr_assert_eq(get_float(0), 0x1.000002p0f);
    cr_assert_eq(F.c->st.mxcsr, MASKED | 0x4000 | 0x20, "inexact is sticky");
    cr_assert_eq(_mm_getcsr(), before, "the host has its own back");
}

Test(vec, flags_reach_memory_with_stmxcsr)
{
    F.c->st.mxcsr = MASKED;
    F.c->st.gpr[X86_RBX] = DATA;
    set_floats(0, 1.0f);
    set_floats(1, 0.0f);
    /* divps xmm0, xmm1; stmxcsr [bx] */
    cr_assert_eq(RUN("\x0f\x5e\xc1\x0f\xae\x1f"), NO_FAULT);
    cr_assert_eq(F.mem[DATA] & 0x3f, 4, "divide by zero");
}

Test(vec, an_unmasked_exception_leaves_the_destination)
{
    F.c->st.mxcsr = MASKED & ~0x200; /* divide by zero unmasked */
    set_floats(0, 3.0f);
    set_floats(1, 0.0f);
    cr_assert_eq(RUN("\x0f\x5e\xc1"), X86_XXM);
    cr_assert_eq(get_float(0), 3.0f);
    cr_assert_eq(F.c->st.mxcsr, (MASKED & ~0x200) | 4);
}

Test(vec, without_osxmmexcpt_it_is_an_undefined_opcode)
{
    F.c->st.cr4 = X86_CR4_OSFXSR;
    F.c->st.mxcsr = MASKED & ~0x200;
    set_floats(0, 3.0f);
    set_floats(1, 0.0f);
    cr_assert_eq(RUN("\x0f\x5e\xc1"), X86_XUD);
}

Test(vec, a_tiny_result_raises_unmasked_underflow_though_it_is_exact)
{
    F.c->st.mxcsr = MASKED & ~0x800;
    set_floats(0, 0x1p-126f);
    set_floats(1, 0.5f);
    cr_assert_eq(RUN("\x0f\x59\xc1"), X86_XXM); /* mulps xmm0, xmm1 */
    cr_assert_eq(F.c->st.mxcsr & 0x10, 0x10);
    cr_assert_eq(get_float(0), 0x1p-126f);
}

Test(vec, other_exceptions_stay_silent_while_one_is_unmasked)
{
    F.c->st.mxcsr = MASKED & ~0x200;
    set_floats(0, 1.0f);
    set_floats(1, 3.0f);
    cr_assert_eq(RUN("\x0f\x5e\xc1"), NO_FAULT);
    cr_assert_eq(get_float(0), 1.0f / 3.0f);
    cr_assert_eq(F.c->st.mxcsr, (MASKED & ~0x200) | 0x20);
}

Test(vec, ldmxcsr_refuses_reserved_bits)
{
    F.c->st.mxcsr = MASKED;
    F.c->st.gpr[X86_RBX] = DATA;
    memcpy(F.mem + DATA, (uint32_t[]) { 0x11f80 }, 4);
    cr_assert_eq(RUN("\x0f\xae\x17"), X86_XGP);
    cr_assert_eq(F.c->st.mxcsr, MASKED);
}

Test(vec, an_impossible_mxcsr_from_outside_does_no_harm)
{
    F.c->st.mxcsr = UINT32_MAX; /* a damaged snapshot */
    set_floats(0, 1.0f);
    set_floats(1, 2.0f);
    cr_assert_eq(RUN("\x0f\x58\xc1"), NO_FAULT);
    cr_assert_eq(get_float(0), 3.0f);
}

Test(vec, without_osfxsr_or_with_em_there_is_no_sse)
{
    F.c->st.cr4 = 0;
    cr_assert_eq(RUN("\x0f\x58\xc1"), X86_XUD);
    F.c->st.cr4 = X86_CR4_OSFXSR;
    F.c->st.cr0 |= X86_CR0_EM;
    cr_assert_eq(RUN("\x0f\x58\xc1"), X86_XUD);
}

Test(vec, with_ts_the_device_is_not_available)
{
    F.c->st.cr0 |= X86_CR0_TS;
    cr_assert_eq(RUN("\x0f\x58\xc1"), X86_XNM);
}
