/* SPDX-License-Identifier: MIT */
/**
 * @file stubs.c
 * The code between C and translated blocks, emitted once per processor.
 *
 * In translated code the host's stack pointer is 16-byte aligned and stays where enter() left it; a
 * call into a stub and a call into C are all that ever lies below it. Stubs keep what they need
 * over a call in RBX, RBP, R12 and R13, whose guest values are in the state by then.
 */
#include "cpu/jit/jit.h"

extern x86_fn vm__h_jit_resume;

enum { FRAME = 8 }; /* below the saved registers, to align the stack */

static const uint8_t saved[] = { H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15 };

static struct emit_mem cpu_at(int base, size_t off)
{
    return emit_at(base, (int32_t)off);
}
#define CPU_AT(base, field) cpu_at(base, offsetof(struct vcpu, field))

/* T0 = what is left of the budget; the register gets no more than a chunk. Destroys flags. */
static void share_budget(struct emit *e, int base)
{
    emit_opreg(e, &(struct emit_op) { .opcode = 0xb8 }, H_LEFT);
    emit_32(e, JIT_CHUNK);
    emit_rr(e, OP_CMP, true, H_LEFT, H_T0);
    emit_insn(e, &(struct emit_op) { .map = 1, .opcode = 0x4c, .w = true }, H_LEFT, H_T0,
              NULL); /* CMOVL */
    emit_rr(e, OP_SUB, true, H_LEFT, H_T0);
    emit_store(e, true, CPU_AT(base, jit.rest), H_T0);
}

/* The budget from the state. If somebody wants this processor's attention the register gets none,
 * so that the next block is not entered. Destroys flags and T0. */
static void budget_in(struct emit *e, int base)
{
    uint8_t *quiet;

    emit_load(e, true, H_T0, CPU_AT(base, insns_left));
    share_budget(e, base);
    emit_alu_mi(e, X_CMP, false, CPU_AT(base, req), 0);
    quiet = emit_jcc(e, CC_E);
    emit_rm(e, OP_ADD, true, H_LEFT, CPU_AT(base, jit.rest));
    emit_rr(e, OP_XOR, false, H_LEFT, H_LEFT);
    emit_land(e, quiet);
}

/* The guest's registers; stored, also what is left of the budget, which destroys flags. */
static void each_gpr(struct emit *e, int base, bool store)
{
    for (unsigned g = 0; g < 16; g++) {
        struct emit_mem m = cpu_at(base, offsetof(struct vcpu, st.gpr) + 8 * g);
        if (jit_home(g) == H_NONE)
            continue;
        if (store)
            emit_store(e, true, m, jit_home(g));
        else
            emit_load(e, true, jit_home(g), m);
    }
    if (!store)
        return;
    emit_rm(e, 0x03, true, H_LEFT, CPU_AT(base, jit.rest)); /* ADD */
    emit_store(e, true, CPU_AT(base, insns_left), H_LEFT);
}

/* ---- vectors ---- */

static void each_vec(struct emit *e, int base, bool ymm, bool store)
{
    for (unsigned n = 0; n < 16; n++) {
        struct emit_mem m = cpu_at(base, offsetof(struct vcpu, st.vec) + 64 * n);
        struct emit_op o = { .map = 1, .opcode = store ? 0x29 : 0x28, .vex = ymm, .l = ymm };
        emit_insn(e, &o, (int)n, 0, &m); /* (V)MOVAPS */
    }
}

static void vzeroupper(struct emit *e)
{
    emit_bytes(e, "\xc5\xf8\x77", 3);
}

/* Write live vector registers back. Clobbers flags. */
static void spill(struct x86_jit_cache *k, struct emit *e, int base)
{
    uint8_t *done, *ymm = NULL, *end = NULL;

    emit_cmp8_mi(e, CPU_AT(base, jit.vec), JIT_VEC_XMM);
    done = emit_jcc(e, CC_B);
    if (k->avx) {
        ymm = emit_jcc(e, CC_A);
    }
    each_vec(e, base, false, true);
    if (k->avx) {
        end = emit_jmp(e);
        emit_land(e, ymm);
        each_vec(e, base, true, true);
        vzeroupper(e);
        emit_land(e, end);
    }
    emit_rm(e, 0xc6, false, 0, CPU_AT(base, jit.vec));
    emit_8(e, JIT_VEC_NONE);
    emit_land(e, done);
}

static void call_c(struct emit *e, uint64_t fn)
{
    emit_const(e, H_RAX, fn);
    emit_rr(e, 0xff, false, 2, H_RAX);
}

/* Load as much of the vectors as the word in EBX asks for; jumps to one of @p refused if the
 * guest's MXCSR cannot be the host's. RBP: processor. */
static void reload(struct x86_jit_cache *k, struct emit *e, uint8_t **refused)
{
    uint8_t *live, *ymm = NULL, *end = NULL;

    emit_cmp8_mi(e, CPU_AT(H_RBP, fp_live), X86_FP_LIVE);
    live = emit_jcc(e, CC_E);
    emit_mov(e, true, H_RDI, H_RBP);
    call_c(e, (uint64_t)(uintptr_t)vm__jit_vec_enter);
    emit_rr(e, 0x84, false, H_RAX, H_RAX);
    *refused = emit_jcc(e, CC_E);
    emit_land(e, live);
    emit_mov(e, false, H_RAX, H_RBX);
    emit_rr(e, 0xc1, false, 5, H_RAX); /* SHR */
    emit_8(e, JIT_CALL_VEC_SHIFT);
    emit_rm(e, 0x88, false, H_RAX, CPU_AT(H_RBP, jit.vec));
    if (k->avx) {
        emit_alu_ri(e, X_CMP, false, H_RAX, JIT_VEC_YMM);
        ymm = emit_jcc(e, CC_E);
    }
    each_vec(e, H_RBP, false, false);
    if (k->avx) {
        end = emit_jmp(e);
        emit_land(e, ymm);
        each_vec(e, H_RBP, true, false);
        emit_land(e, end);
    }
}

/* ---- flags ---- */

/* x86_jit_cpu.flags into st.rflags; clobbers RAX and RCX. */
static void flags_out(struct emit *e, int base)
{
    emit_0f_rm(e, 0xb6, false, H_RAX, cpu_at(base, offsetof(struct vcpu, jit.flags) + 1));
    emit_load(e, false, H_RCX, CPU_AT(base, st.rflags));
    emit_alu_ri(e, X_AND, false, H_RCX, (int32_t) ~(uint32_t)X86_ARITH);
    emit_alu_ri(e, X_AND, false, H_RAX, X86_ARITH & 0xff);
    emit_rr(e, OP_OR, false, H_RAX, H_RCX);
    emit_0f_rm(e, 0xb6, false, H_RAX, CPU_AT(base, jit.flags));
    emit_rr(e, 0xc1, false, 4, H_RAX); /* SHL */
    emit_8(e, 11);
    emit_rr(e, OP_OR, false, H_RAX, H_RCX);
    emit_store(e, false, CPU_AT(base, st.rflags), H_RCX);
    emit_store_imm(e, false, CPU_AT(base, cc_w), 0);
}

/* And back; lazy flags have been resolved. */
static void flags_in(struct emit *e, int base)
{
    emit_load(e, false, H_RAX, CPU_AT(base, st.rflags));
    emit_mov(e, false, H_RCX, H_RAX);
    emit_rr(e, 0xc1, false, 5, H_RCX);
    emit_8(e, 11);
    emit_alu_ri(e, X_AND, false, H_RCX, 1);
    emit_rm(e, 0x88, false, H_RCX, CPU_AT(base, jit.flags));
    emit_rm(e, 0x88, false, H_RAX, cpu_at(base, offsetof(struct vcpu, jit.flags) + 1));
}

/* x86_jit_cpu.flags into the host's; clobbers RAX. */
static void flags_load(struct emit *e, int base)
{
    emit_0f_rm(e, 0xb7, false, H_RAX, CPU_AT(base, jit.flags));
    emit_rr(e, 0x80, false, X_ADD, H_RAX);
    emit_8(e, 0x7f);
    emit_8(e, 0x9e); /* SAHF */
}

/* ---- in and out ---- */

static void emit_enter(struct x86_jit_cache *k, struct emit *e)
{
    const uint8_t *at = emit_here(e);

    memcpy(&k->stubs.enter, &at, sizeof at);
    for (unsigned n = 0; n < sizeof saved; n++)
        emit_opreg(e, &(struct emit_op) { .opcode = 0x50 }, saved[n]);
    emit_alu_ri(e, X_SUB, true, H_RSP, FRAME);
    emit_mov(e, true, H_CPU, H_RDI);
    budget_in(e, H_CPU);
    emit_mov(e, true, H_T0, H_RSI);
    each_gpr(e, H_CPU, false);
    emit_rr(e, 0xff, false, 4, H_T0);
}

/* Back to C with RAX; everything is in the state. */
static void epilogue(struct emit *e)
{
    emit_alu_ri(e, X_ADD, true, H_RSP, FRAME);
    for (unsigned n = sizeof saved; n-- > 0;)
        emit_opreg(e, &(struct emit_op) { .opcode = 0x58 }, saved[n]);
    emit_8(e, 0xc3);
}

static void exit_kind(struct emit *e, enum jit_exit kind)
{
    emit_rm(e, 0xc6, false, 0, CPU_AT(H_CPU, jit.exit));
    emit_8(e, kind);
}

static void leave(struct x86_jit_cache *k, struct emit *e)
{
    each_gpr(e, H_CPU, true);
    spill(k, e, H_CPU);
    flags_out(e, H_CPU);
}

static struct emit_mem code_at(int base, size_t off)
{
    return emit_at(base, (int32_t)off);
}

/* RSI = instruction ECX of the block in RAX. */
static void insn_address(struct emit *e)
{
    emit_rr(e, 0x6b, true, H_RSI, H_RCX); /* IMUL */
    emit_8(e, sizeof(struct x86_insn));
    emit_lea(e, true, H_RSI,
             (struct emit_mem) {
                 .base = H_RAX, .index = H_RSI, .disp = offsetof(struct x86_block, insns) });
}

static void emit_dispatch(struct x86_jit_cache *k, struct emit *e)
{
    k->stubs.dispatch = emit_here(e);
    leave(k, e);
    exit_kind(e, JIT_EXIT_DISPATCH);
    emit_insn(e, &(struct emit_op) { .map = 1, .opcode = 0xb6 }, H_RCX, H_T0, NULL); /* MOVZX */
    emit_load(e, true, H_RAX, code_at(H_T1, offsetof(struct jit_code, blk)));
    emit_store(e, true, CPU_AT(H_CPU, blk), H_RAX);
    insn_address(e);
    emit_load(
        e, true, H_RDX,
        (struct emit_mem) {
            .base = H_T1, .index = H_RCX, .scale = 3, .disp = offsetof(struct jit_code, fn) });
    emit_store(e, true, CPU_AT(H_CPU, jit.fn), H_RDX);
    emit_mov(e, true, H_RAX, H_RSI);
    epilogue(e);
}

static void emit_link(struct x86_jit_cache *k, struct emit *e)
{
    k->stubs.link = emit_here(e);
    leave(k, e);
    exit_kind(e, JIT_EXIT_LINK);
    emit_store(e, false, CPU_AT(H_CPU, jit.site), H_T0);
    emit_store(e, true, CPU_AT(H_CPU, jit.code), H_T1);
    emit_rr(e, OP_XOR, false, H_RAX, H_RAX);
    epilogue(e);
}

static void emit_stale(struct x86_jit_cache *k, struct emit *e)
{
    k->stubs.stale = emit_here(e);
    leave(k, e);
    exit_kind(e, JIT_EXIT_STALE);
    emit_store(e, true, CPU_AT(H_CPU, jit.code), H_T1);
    emit_rr(e, OP_XOR, false, H_RAX, H_RAX);
    epilogue(e);
}

/* The next chunk of the budget, and back to the block; or to C if it is used up or somebody wants
 * attention. Flags that are wanted are in memory at a block's entries. */
static void emit_budget(struct x86_jit_cache *k, struct emit *e)
{
    k->stubs.budget = emit_here(e);
    emit_alu_mi(e, X_CMP, false, CPU_AT(H_CPU, req), 0);
    emit_jcc_to(e, CC_NE, k->stubs.stale);
    emit_alu_mi(e, X_CMP, true, CPU_AT(H_CPU, jit.scattered), 0);
    emit_jcc_to(e, CC_NE, k->stubs.stale);
    emit_alu_mi(e, X_CMP, true, CPU_AT(H_CPU, jit.rest), 0);
    emit_jcc_to(e, CC_LE, k->stubs.stale);
    emit_load(e, true, H_T0, CPU_AT(H_CPU, jit.rest));
    emit_rr(e, OP_ADD, true, H_LEFT, H_T0);
    share_budget(e, H_CPU);
    emit_rm(e, 0xff, false, 4,
            code_at(H_T1, offsetof(struct jit_code, entry) + JIT_NEAR * sizeof(uint8_t *)));
}

/* A window missed: RAX is its struct jit_meter. Nothing but flags is changed. */
static void emit_meter(struct x86_jit_cache *k, struct emit *e)
{
    uint8_t *rare, *more;
    struct emit_mem at = emit_at(H_RAX, offsetof(struct jit_meter, at)),
                    left = emit_at(H_RAX, offsetof(struct jit_meter, left));

    k->stubs.meter = emit_here(e);
    emit_opreg(e, &(struct emit_op) { .opcode = 0x50 }, H_RCX);
    emit_load(e, true, H_RCX, at);
    emit_store(e, true, at, H_LEFT);
    emit_rr(e, OP_SUB, true, H_LEFT, H_RCX);
    emit_rm(e, 0x3b, true, H_RCX, emit_at(H_RAX, offsetof(struct jit_meter, near))); /* CMP */
    rare = emit_jcc(e, CC_A);
    emit_alu_mi(e, X_SUB, false, left, 1);
    more = emit_jcc(e, CC_NS);
    emit_store(e, true, CPU_AT(H_CPU, jit.scattered), H_RAX);
    uint8_t *out = emit_jmp(e);
    emit_land(e, rare);
    emit_store_imm(e, false, left, JIT_METER_MISSES);
    emit_land(e, more);
    emit_land(e, out);
    emit_opreg(e, &(struct emit_op) { .opcode = 0x58 }, H_RCX);
    emit_8(e, 0xc3);
}

/* ---- calls from a block ---- */

/* Save the guest; RBP: processor, R12: struct jit_code, EBX: word, ECX: instruction, RSI: its
 * address. The stack is aligned for calls. */
static void begin_call(struct x86_jit_cache *k, struct emit *e)
{
    each_gpr(e, H_CPU, true);
    emit_mov(e, true, H_RBP, H_CPU);
    emit_mov(e, true, H_R12, H_T1);
    emit_mov(e, false, H_RBX, H_T0);
    spill(k, e, H_RBP);
    flags_out(e, H_RBP);
    emit_load(e, true, H_RAX, code_at(H_R12, offsetof(struct jit_code, blk)));
    emit_store(e, true, CPU_AT(H_RBP, blk), H_RAX);
    emit_insn(e, &(struct emit_op) { .map = 1, .opcode = 0xb6 }, H_RCX, H_RBX, NULL);
    insn_address(e);
    emit_alu_ri(e, X_SUB, true, H_RSP, 8);
}

/* Give the guest its registers back and return; host flags too if the word says so. */
static void end_call(struct emit *e)
{
    emit_alu_ri(e, X_ADD, true, H_RSP, 8);
    emit_mov(e, true, H_CPU, H_RBP);
    budget_in(e, H_CPU);
    emit_rr(e, 0xf7, false, 0, H_RBX); /* TEST */
    emit_32(e, JIT_CALL_FLAGS);
    uint8_t *plain = emit_jcc(e, CC_E);
    flags_load(e, H_CPU);
    emit_land(e, plain);
    each_gpr(e, H_CPU, false);
    emit_8(e, 0xc3);
}

/* Leave from inside a call, with RAX as result. */
static void abandon(struct emit *e)
{
    emit_alu_ri(e, X_ADD, true, H_RSP, 16);
    emit_rm(e, 0xc6, false, 0, CPU_AT(H_RBP, jit.exit));
    emit_8(e, JIT_EXIT_LEAVE);
    epilogue(e);
}

/* R13: the instruction that cannot be translated code just now. */
static void refuse(struct emit *e, uint8_t *site)
{
    emit_land(e, site);
    emit_mov(e, true, H_RDI, H_RBP);
    emit_mov(e, true, H_RSI, H_R13);
    call_c(e, (uint64_t)(uintptr_t)vm__jit_refuse);
    emit_rr(e, OP_XOR, false, H_RAX, H_RAX);
    abandon(e);
}

/* One more call for the row of the instruction in RSI. Clobbers RAX and RDX. */
static void count_call(const struct x86_jit_cache *k, struct emit *e)
{
    emit_0f_rm(e, 0xb7, false, H_RAX, emit_at(H_RSI, offsetof(struct x86_insn, row)));
    emit_const(e, H_RDX, (uint64_t)(uintptr_t)k->count.calls);
    emit_rm(e, 0xff, true, 0, (struct emit_mem) { .base = H_RDX, .index = H_RAX, .scale = 3 });
}

static void emit_call(struct x86_jit_cache *k, struct emit *e)
{
    uint8_t *refused, *left, *cut, *resolved, *no_vec;

    k->stubs.call = emit_here(e);
    begin_call(k, e);
    count_call(k, e);
    emit_mov(e, true, H_RDI, H_RBP);
    emit_lea(e, true, H_R13, emit_at(H_RSI, sizeof(struct x86_insn)));
    struct emit_mem fn = {
        .base = H_R12, .index = H_RCX, .scale = 3, .disp = offsetof(struct jit_code, fn)
    };
    emit_rm(e, 0xff, false, 2, fn);
    emit_rr(e, OP_CMP, true, H_R13, H_RAX);
    left = emit_jcc(e, CC_NE);
    /* The handler may have overwritten the block: vm__interp_cut(). */
    emit_const(e, H_RCX, (uint64_t)(uintptr_t)vm__h_jit_resume);
    emit_rm(e, OP_CMP, true, H_RCX, emit_at(H_RAX, offsetof(struct x86_insn, fn)));
    cut = emit_jcc(e, CC_NE);
    emit_alu_mi(e, X_CMP, false, CPU_AT(H_RBP, cc_w), 0);
    resolved = emit_jcc(e, CC_E);
    emit_mov(e, true, H_RDI, H_RBP);
    call_c(e, (uint64_t)(uintptr_t)vm__jit_flags_in);
    emit_land(e, resolved);
    flags_in(e, H_RBP);
    emit_rr(e, 0xf7, false, 0, H_RBX);
    emit_32(e, 3u << JIT_CALL_VEC_SHIFT);
    no_vec = emit_jcc(e, CC_E);
    reload(k, e, &refused);
    emit_land(e, no_vec);
    end_call(e);
    emit_land(e, left);
    emit_land(e, cut);
    abandon(e);
    refuse(e, refused);
}

/* The word's instruction needs vectors: R13 is that instruction, where the guest goes on if they
 * cannot be had. */
static void emit_vec(struct x86_jit_cache *k, struct emit *e)
{
    uint8_t *refused;

    k->stubs.vec = emit_here(e);
    begin_call(k, e);
    emit_mov(e, true, H_R13, H_RSI);
    reload(k, e, &refused);
    end_call(e);
    refuse(e, refused);
}

static void emit_leave(struct x86_jit_cache *k, struct emit *e)
{
    k->stubs.leave = emit_here(e);
    begin_call(k, e);
    emit_mov(e, true, H_RDI, H_RBP);
    call_c(e, (uint64_t)(uintptr_t)vm__jit_leave);
    emit_rr(e, OP_XOR, false, H_RAX, H_RAX);
    abandon(e);
}

void vm__jit_stubs(struct x86_jit_cache *k)
{
    emit_enter(k, &k->hot);
    emit_dispatch(k, &k->hot);
    emit_link(k, &k->hot);
    emit_stale(k, &k->hot);
    emit_budget(k, &k->hot);
    emit_meter(k, &k->hot);
    emit_call(k, &k->hot);
    emit_vec(k, &k->hot);
    emit_leave(k, &k->hot);
}
