/* SPDX-License-Identifier: MIT */
/**
 * @file match.c
 * One instruction, decoded by both, and compared field by field.
 *
 * Zydis knows more instructions than the table has rows for (EVEX, XOP, VMX…): what our decoder
 * calls undefined and Zydis names with a mnemonic that the table does not have is "not ours". A
 * mnemonic of ours must be defined for both, or for neither.
 */
#include <stdio.h>
#include <string.h>

#include "agree.h"

static bool known[ZYDIS_MNEMONIC_MAX_VALUE + 1];
static uint64_t everything[X86_FEAT_WORDS];

/* Same instruction, other name. */
static const struct {
    const char *ours, *theirs;
} alias[] = {
    { "xlat", "xlatb" },
    { "retf", "ret" },
    { "callf", "call" },
    { "jmpf", "jmp" },
    { "callfar", "call" },
    { "jmpfar", "jmp" },
    { "fwait", "fwait" },
    { "wait", "fwait" },
    { "int1", "int1" },
    { "icebp", "int1" },
    { "sal", "shl" },
    { "hint_nop", "nop" },
    { "nopw", "nop" },
    { "cbw", "cwde" },
    { "cbw", "cdqe" },
    { "cwd", "cdq" },
    { "cwd", "cqo" },
    { "jrcxz", "jecxz" },
    { "jrcxz", "jcxz" },
    { "jcxz", "jecxz" },
    { "jcxz", "jrcxz" },
    { "movd", "movq" },
    { "vmovd", "vmovq" },
    { "pinsrd", "pinsrq" },
    { "vpinsrd", "vpinsrq" },
    { "pextrd", "pextrq" },
    { "vpextrd", "vpextrq" },
    { "fneni", "feni8087_nop" },
    { "fneni", "fdisi8087_nop" },
    { "fneni", "fsetpm287_nop" },
    { "fstp", "fstpnce" },
};

static bool starts(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* The other spelling of a condition: jz and je, setnb and setae. */
static bool same_condition(const char *ours, const char *theirs)
{
    static const char *const stems[] = { "set", "cmov", "j" };
    static const char *const twins[][2] = { { "e", "z" },   { "ne", "nz" }, { "ae", "nb" },
                                            { "a", "nbe" }, { "ge", "nl" }, { "g", "nle" },
                                            { "c", "b" },   { "nc", "nb" }, { "po", "np" },
                                            { "pe", "p" },  { "na", "be" }, { "ng", "le" } };
    for (unsigned k = 0; k < 3; k++) {
        size_t n = strlen(stems[k]);
        if (!starts(ours, stems[k]) || !starts(theirs, stems[k]))
            continue;
        for (unsigned t = 0; t < sizeof twins / sizeof *twins; t++)
            if (strcmp(ours + n, twins[t][0]) == 0 && strcmp(theirs + n, twins[t][1]) == 0)
                return true;
    }
    return false;
}

/* Families that the table names by their stem and Zydis by operand size, or the other way round. */
static bool same_name(const char *ours, const char *theirs)
{
    static const char *const stems[] = { "movs",    "cmps",   "stos",    "lods",    "scas",
                                         "ins",     "outs",   "pusha",   "popa",    "pushf",
                                         "popf",    "iret",   "xsave",   "xrstor",  "fxsave",
                                         "fxrstor", "sysret", "sysexit", "cmpxchg", "prefetch",
                                         NULL };
    if (strcmp(ours, theirs) == 0 || same_condition(ours, theirs))
        return true;
    for (unsigned k = 0; k < sizeof alias / sizeof *alias; k++)
        if (strcmp(alias[k].ours, ours) == 0 && strcmp(alias[k].theirs, theirs) == 0)
            return true;
    for (unsigned k = 0; stems[k]; k++)
        if (starts(ours, stems[k]) && starts(theirs, stems[k]) && strcmp(theirs, "insertq") != 0)
            return true;
    return false;
}

void agree_init(void)
{
    memset(everything, 0xff, sizeof everything);
    for (int m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
        const char *z = ZydisMnemonicGetString((ZydisMnemonic)m);
        for (unsigned k = 0; z && k < vm__x86_row_count && !known[m]; k++)
            known[m] = same_name(vm__x86_rows[k].name, z);
    }
}

void agree_context(struct agree_ctx *a, const struct agree_mode *mode)
{
    static const ZydisDecoderMode off[] = { ZYDIS_DECODER_MODE_KNC, ZYDIS_DECODER_MODE_MPX,
                                            ZYDIS_DECODER_MODE_CET, ZYDIS_DECODER_MODE_CLDEMOTE };
    a->mode = mode;
    a->ours =
        (struct x86_decode_ctx) { .code = mode->code, .real = mode->real, .have = everything };
    ZydisDecoderInit(&a->zydis, mode->machine, mode->stack);
    for (unsigned k = 0; k < sizeof off / sizeof *off; k++)
        ZydisDecoderEnableMode(&a->zydis, off[k], ZYAN_FALSE);
}

/* ---- operands ---- */

struct pair {
    const struct agree_ctx *a;
    const struct x86_insn *o;
    const struct x86_row *row;
    const ZydisDecodedInstruction *z;
    const ZydisDecodedOperand *zop;
    uint64_t rip;
};

static unsigned our_bytes(const struct pair *p, const struct x86_operand *op)
{
    unsigned v = 1u << p->o->osz, x = p->o->flags & X86_I_L ? 32 : 16;

    switch (op->size) {
    case X86_SZ_B:
        return 1;
    case X86_SZ_W:
        return 2;
    case X86_SZ_D:
        return 4;
    case X86_SZ_Q:
        return 8;
    case X86_SZ_V:
        return v;
    case X86_SZ_Z:
        return v == 8 ? 4 : v;
    case X86_SZ_Y:
        return (p->o->flags & X86_I_W) && p->a->mode->code == 3 ? 8 : 4;
    case X86_SZ_O:
        return 16;
    case X86_SZ_X:
        return x;
    case X86_SZ_QQ:
        return 32;
    case X86_SZ_T:
        return 10;
    case X86_SZ_P:
        return v + 2;
    case X86_SZ_S:
        return p->a->mode->code == 3 ? 10 : 6;
    case X86_SZ_H:
        return x / 2;
    case X86_SZ_F:
        return x / 4;
    case X86_SZ_E:
        return x / 8;
    case X86_SZ_A:
        return v * 2;
    default:
        return 0;
    }
}

/* A Zydis register as we write it: byte offset for general ones, number for others. */
static int their_reg(ZydisRegister reg)
{
    int id = ZydisRegisterGetId(reg);

    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8:
        return id < 4 ? id * 8 : id < 8 ? (id - 4) * 8 + 1 : (id - 4) * 8;
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        return id * 8;
    default:
        return id;
    }
}

static bool class_fits(unsigned cls, ZydisRegister reg)
{
    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8:
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        return cls == X86_C_GPR;
    case ZYDIS_REGCLASS_X87:
        return cls == X86_C_ST;
    case ZYDIS_REGCLASS_MMX:
        return cls == X86_C_MMX;
    case ZYDIS_REGCLASS_XMM:
    case ZYDIS_REGCLASS_YMM:
        return cls == X86_C_VEC;
    case ZYDIS_REGCLASS_SEGMENT:
        return cls == X86_C_SEG;
    case ZYDIS_REGCLASS_CONTROL:
        return cls == X86_C_CR;
    case ZYDIS_REGCLASS_DEBUG:
        return cls == X86_C_DR;
    default:
        return false;
    }
}

static uint64_t mask_bits(unsigned bits)
{
    return bits >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << bits) - 1;
}

static const char *memory(const struct pair *p, const ZydisDecodedOperand *z, unsigned bytes)
{
    const struct x86_insn *o = p->o;
    bool rip_base = z->mem.base == ZYDIS_REGISTER_RIP || z->mem.base == ZYDIS_REGISTER_EIP;
    bool no_base = z->mem.base == ZYDIS_REGISTER_NONE || rip_base;
    uint64_t disp = (uint64_t)z->mem.disp.value + (rip_base ? p->rip + p->z->length : 0);

    if (!(o->flags & X86_I_MEM))
        return "register, theirs memory";
    if (p->z->address_width != 8u << o->asz)
        return "address size";
    if (o->base != (no_base ? X86_NONE * 8 : their_reg(z->mem.base)))
        return "base";
    int index = z->mem.index == ZYDIS_REGISTER_NONE ? X86_NONE * 8 : their_reg(z->mem.index);
    if (o->index != index)
        return "index";
    if (z->mem.index != ZYDIS_REGISTER_NONE && 1u << o->scale != z->mem.scale)
        return "scale";
    if (((uint64_t)o->disp ^ disp) & mask_bits(8u << o->asz))
        return "displacement";
    if (z->mem.segment != ZYDIS_REGISTER_NONE && o->seg != ZydisRegisterGetId(z->mem.segment))
        return "segment";
    if (bytes && z->size && z->mem.type != ZYDIS_MEMOP_TYPE_AGEN && z->size != bytes * 8)
        return "memory size";
    return NULL;
}

static const char *string_operand(const struct pair *p, const struct x86_operand *op)
{
    unsigned want = op->at == X86_AT_SI ? X86_RSI : X86_RDI;

    for (unsigned k = 0; k < p->z->operand_count; k++) {
        const ZydisDecodedOperand *z = &p->zop[k];
        if (z->type != ZYDIS_OPERAND_TYPE_MEMORY || z->mem.base == ZYDIS_REGISTER_NONE ||
            their_reg(z->mem.base) != (int)want * 8)
            continue;
        if (p->z->address_width != 8u << p->o->asz)
            return "address size";
        if (op->at == X86_AT_SI && p->o->seg != ZydisRegisterGetId(z->mem.segment))
            return "segment of rSI";
        if (our_bytes(p, op) && z->size != our_bytes(p, op) * 8)
            return "element size";
        return NULL;
    }
    return "string operand";
}

static const ZydisDecodedOperand *operand_at(const struct pair *p, ZydisOperandEncoding from,
                                             ZydisOperandEncoding to, unsigned nth)
{
    for (unsigned k = 0; k < p->z->operand_count; k++)
        if (p->zop[k].encoding >= from && p->zop[k].encoding <= to && nth-- == 0)
            return &p->zop[k];
    return NULL;
}

static const char *immediate(const struct pair *p, const struct x86_operand *op, unsigned nth)
{
    uint64_t want = p->o->imm, width = mask_bits(8u << p->o->osz);
    const ZydisDecodedOperand *z =
        operand_at(p, ZYDIS_OPERAND_ENCODING_UIMM8, ZYDIS_OPERAND_ENCODING_JIMM16_32_32, nth);

    if (op->cls == X86_C_FAR) {
        z = &p->zop[0];
        if (z->type != ZYDIS_OPERAND_TYPE_POINTER)
            return "far pointer";
        return want == ((uint64_t)z->ptr.segment << 32 | z->ptr.offset) ? NULL
                                                                        : "far pointer value";
    }
    if (!z || z->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return "no immediate in theirs";
    if (op->cls == X86_C_REL) {
        ZyanU64 target;
        if (ZYAN_FAILED(ZydisCalcAbsoluteAddress(p->z, z, p->rip, &target)))
            return "branch target unknown to them";
        if (p->z->operand_width != 8u << p->o->osz)
            return "branch operand size";
        return want == (target & width) ? NULL : "branch target";
    }
    if (p->row->imm == X86_IMM_16_8)
        want = nth ? want >> 16 & 0xff : want & 0xffff;
    unsigned bytes = our_bytes(p, op);
    uint64_t m = bytes == 1 && !z->imm.is_signed ? 0xff : mask_bits(bytes ? bytes * 8 : 64);
    return ((want ^ z->imm.value.u) & m) == 0 ? NULL : "immediate";
}

static const char *encoded(const struct pair *p, const struct x86_operand *op, uint8_t ours)
{
    static const ZydisOperandEncoding enc[] = {
        [X86_AT_RM] = ZYDIS_OPERAND_ENCODING_MODRM_RM,
        [X86_AT_REG] = ZYDIS_OPERAND_ENCODING_MODRM_REG,
        [X86_AT_OPCODE] = ZYDIS_OPERAND_ENCODING_OPCODE,
        [X86_AT_VVVV] = ZYDIS_OPERAND_ENCODING_NDSNDD,
        [X86_AT_IS4] = ZYDIS_OPERAND_ENCODING_IS4,
    };
    static const char *const gone[] = {
        [X86_AT_RM] = "rm operand unknown to them",
        [X86_AT_REG] = "reg operand unknown to them",
        [X86_AT_OPCODE] = "opcode operand unknown to them",
        [X86_AT_VVVV] = "vvvv operand unknown to them",
        [X86_AT_IS4] = "is4 operand unknown to them",
    };
    const ZydisDecodedOperand *z = operand_at(p, enc[op->at], enc[op->at], 0);
    unsigned bytes = our_bytes(p, op);

    if (!z)
        return gone[op->at];
    if (z->type == ZYDIS_OPERAND_TYPE_MEMORY)
        return memory(p, z, op->acc ? bytes : 0);
    if (op->at == X86_AT_RM && (p->o->flags & X86_I_MEM))
        return "memory, theirs register";
    if (!class_fits(op->cls, z->reg.value))
        return "register class";
    int want = their_reg(z->reg.value), have = ours;
    if (op->at == X86_AT_IS4)
        have = (int)(p->o->imm >> 4 & (p->a->mode->code == 3 ? 15 : 7));
    if (want != have)
        return "register";
    if (op->cls == X86_C_GPR && bytes && z->size != bytes * 8)
        return "register size";
    return NULL;
}

static const char *operands(const struct pair *p)
{
    const uint8_t reg[4] = { p->o->dst, p->o->src, p->o->src2, 0 };
    unsigned imms = 0;

    for (unsigned k = 0; k < p->row->n_ops; k++) {
        const struct x86_operand *op = &p->row->op[k];
        const char *bad = NULL;
        const ZydisDecodedOperand *z;
        switch ((enum x86_where)op->at) {
        case X86_AT_NONE:
        case X86_AT_FIXED:
            break;
        case X86_AT_IMM:
            bad = immediate(p, op, imms++);
            break;
        case X86_AT_MOFFS:
            z = operand_at(p, ZYDIS_OPERAND_ENCODING_DISP8, ZYDIS_OPERAND_ENCODING_DISP16_32_32, 0);
            bad = z ? memory(p, z, our_bytes(p, op)) : "moffs";
            break;
        case X86_AT_SI:
        case X86_AT_DI:
            bad = string_operand(p, op);
            break;
        case X86_AT_RM:
        case X86_AT_REG:
        case X86_AT_OPCODE:
        case X86_AT_VVVV:
        case X86_AT_IS4:
            bad = encoded(p, op, reg[k]);
            break;
        }
        if (bad)
            return bad;
    }
    return NULL;
}

/* ---- known differences ---- */

/* Where the two are allowed to differ, and why. "*" ends a prefix match. */
static const struct {
    const char *name, *what, *why;
} allowed[] = {
    { "mov", "theirs: bad register", "the handler raises #UD for CS, CR1 and segment 6 or 7" },
    { "mov", "memory size",
      "8C: the row is of operand size, its handler stores 16 bits in memory" },
    { "sldt", "memory size", "as above" },
    { "str", "memory size", "as above" },
    { "smsw", "memory size", "as above" },
    { "movsxd", "memory size", "66: two bytes, as the oracle sees at the end of a page" },
    { "lar", "register size", "Zydis shows the 32-bit register of which 16 bits are read" },
    { "lsl", "register size", "as above" },
    { "movmsk*", "register size", "the result fits into either size" },
    { "vmovmsk*", "register size", "as above" },
    { "pmovmskb", "register size", "as above" },
    { "pextrw", "register size", "as above" },
    { "vpextrw", "register size", "as above" },
    { "mov", "register size", "control and debug registers: the handler takes the mode's size" },
    { "rdpid", "register size", "as above" },
    { "invpcid", "register size", "as above" },
    { "ud0", "*", "#UD whatever the operands" },
    { "ud1", "*", "as above" },
    { "prefetch*", "name", "reserved hints are NOPs" },
    { "nop", "*", "operands of a NOP" },
    { "lea", "segment", "LEA does not use it" },
    { "vgather*", "theirs: bad register", "the handler raises #UD for registers used twice" },
    { "vpgather*", "theirs: bad register", "as above" },
    { "sysret", "theirs: undefined", "#UD outside long mode is the handler's" },
    { "sysenter", "theirs: undefined", "real mode: #GP in the handler" },
    { "sysexit", "theirs: undefined", "as above" },
};

static bool fits(const char *pattern, const char *s)
{
    size_t n = strlen(pattern);
    return n && pattern[n - 1] == '*' ? strncmp(pattern, s, n - 1) == 0 : strcmp(pattern, s) == 0;
}

static bool is_allowed(const struct x86_row *row, const char *what)
{
    for (unsigned k = 0; k < sizeof allowed / sizeof *allowed; k++)
        if (fits(allowed[k].name, row->name) && fits(allowed[k].what, what))
            return true;
    return false;
}

/* Zydis 4.0.0 takes R13D for the base of mod 0, SIB base 101b with REX.B and 32-bit addressing;
 * it is a displacement alone, as the processor agrees [SDM-2A table 2-5]. */
static bool zydis_r13(const struct x86_insn *o, const ZydisDecodedInstruction *z)
{
    return o->asz == 2 && (o->modrm & 0xc7) == 4 && z->raw.sib.base == 5 &&
           (z->raw.rex.B || z->raw.vex.B == 0);
}

/* ---- the whole ---- */

static bool undefined_on_purpose(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_UD0 || m == ZYDIS_MNEMONIC_UD1 || m == ZYDIS_MNEMONIC_UD2;
}

static enum verdict ours_undefined(const struct agree_ctx *a, int st, ZyanStatus zs,
                                   const ZydisDecodedInstruction *z, char *detail, unsigned size)
{
    if (ZYAN_FAILED(zs))
        return AG_SAME;
    if (undefined_on_purpose(z->mnemonic))
        return AG_SAME;
    if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
        z->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
        return AG_NOT_OURS;
    /* VEX does not exist in real mode; Zydis does not know which 16-bit mode it reads. */
    if (a->mode->real && z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
        return AG_SAME;
    bool not_ours = st == X86_DECODE_UD && !known[z->mnemonic];
    snprintf(detail, size, "%s, theirs %s %s", st == X86_DECODE_UD ? "undefined" : "cut short",
             ZydisMnemonicGetString(z->mnemonic), ZydisISASetGetString(z->meta.isa_set));
    return not_ours ? AG_NOT_OURS : AG_DIFFERENT;
}

enum verdict agree_match(const struct agree_ctx *a, const uint8_t *bytes, unsigned avail,
                         uint64_t rip, char *detail, unsigned size, unsigned *len)
{
    ZydisDecodedInstruction z;
    ZydisDecodedOperand zop[ZYDIS_MAX_OPERAND_COUNT];
    struct x86_insn o;
    int st = vm__x86_decode(&a->ours, bytes, avail, rip, &o);
    ZyanStatus zs = ZydisDecoderDecodeFull(&a->zydis, bytes, avail, &z, zop);

    *len = 1;
    if (st != X86_DECODE_OK)
        return ours_undefined(a, st, zs, &z, detail, size);
    *len = o.len;
    const struct x86_row *row = &vm__x86_rows[o.row];
    if (ZYAN_FAILED(zs)) {
        const char *what =
            zs == ZYDIS_STATUS_BAD_REGISTER ? "theirs: bad register" : "theirs: undefined";
        snprintf(detail, size, "%s %s: %s", row->name, row->form, what);
        return is_allowed(row, what) ? AG_SAME : AG_DIFFERENT;
    }
    const char *name = ZydisMnemonicGetString(z.mnemonic), *bad = NULL;
    struct pair p = { .a = a, .o = &o, .row = row, .z = &z, .zop = zop, .rip = rip };
    if (o.len != z.length)
        bad = "length";
    else if (!same_name(row->name, name))
        bad = "name";
    else
        bad = operands(&p);
    if (!bad || is_allowed(row, bad) || (strcmp(bad, "base") == 0 && zydis_r13(&o, &z)))
        return AG_SAME;
    snprintf(detail, size, "%s %s: %s (theirs %s)", row->name, row->form, bad, name);
    return AG_DIFFERENT;
}
