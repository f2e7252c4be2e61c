/* SPDX-License-Identifier: MIT */
/**
 * @file expr.c
 * Expressions: what may stand where an address or a number is wanted.
 *
 *     sum     = product { ("+" | "-") product }     as in C, but & | ^ bind like * /
 *     product = unary { ("*" | "/" | "%" | "&" | "|" | "^") unary }
 *     unary   = ("+" | "-" | "~") unary | "(" sum ")" | 'c' | $register | number
 *
 * A command may take several expressions, with blanks between them: see next_operator().
 */
#include <libvm/cpu.h>

#include <string.h>

#include "base/error.h"
#include "base/endian.h"
#include "cpu/vcpu.h"
#include "monitor/monitor.h"

enum { MAX_DEPTH = 64 };

struct reader {
    struct mon *mon;
    const char *p;
    uint32_t depth; /**< of recursion: input is anybody's */
};

static int sum(struct reader *r, uint64_t *v);

static void skip(struct reader *r)
{
    while (*r->p == ' ' || *r->p == '\t')
        r->p++;
}

static unsigned digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 99;
}

/** Decimal, 0x hexadecimal, 0 octal. */
static int number(struct reader *r, uint64_t *v)
{
    unsigned base = 10;
    uint64_t n = 0;
    if (r->p[0] == '0' && (r->p[1] == 'x' || r->p[1] == 'X')) {
        base = 16;
        r->p += 2;
    } else if (r->p[0] == '0' && digit(r->p[1]) < 10) {
        base = 8;
    }
    const char *first = r->p;
    for (; digit(*r->p) < base; r->p++) {
        if (n > (UINT64_MAX - digit(*r->p)) / base)
            return vm__fail(VM_E_RANGE, "a number beyond 64 bits: %.24s", first);
        n = n * base + digit(*r->p);
    }
    if (r->p == first || digit(*r->p) < 16)
        return vm__fail(VM_E_INVAL, "a number is expected: %.24s", first);
    *v = n;
    return VM_OK;
}

/** Parts of registers by their old names: $eax is the low half of $rax. */
static bool alias(const char *name, char *full, uint64_t *mask)
{
    static const char *const words[] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "ip" };
    const bool wide = name[0] == 'e';
    *mask = wide ? UINT32_MAX : 0xffff;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(name + wide, words[i]) == 0) {
            full[0] = 'r';
            memcpy(full + 1, words[i], 3);
            return true;
        }
    }
    if (strcmp(name, "eflags") != 0)
        return false;
    memcpy(full, "rflags", 7);
    return true;
}

static int reg(struct reader *r, uint64_t *v)
{
    char name[32], full[8];
    size_t n = 0;
    for (r->p++; n < sizeof name - 1 && ((*r->p >= 'a' && *r->p <= 'z') || digit(*r->p) < 10 ||
                                         *r->p == '.' || *r->p == '_' || *r->p == ':');
         r->p++)
        name[n++] = *r->p;
    name[n] = '\0';
    uint64_t mask = UINT64_MAX;
    const struct vcpu *c = vm__mon_cpu(r->mon);
    if (c == NULL)
        return vm_last_error()->code;
    if (strcmp(name, "pc") == 0) { /* where it executes: outside 64-bit mode CS has a base */
        *v = (x86_is64(c) ? 0 : c->st.seg[X86_CS].base) + c->st.rip;
        return VM_OK;
    }
    const char *known = name;
    if (alias(name, full, &mask))
        known = full;
    else
        mask = UINT64_MAX;
    struct vm_cpu *cpu = r->mon->m->cpus[r->mon->cpu];
    const int64_t id = cpu->cls->reg_id(known);
    uint8_t bytes[8];
    if (id < 0)
        return (int)id;
    const int st = cpu->cls->reg_read(cpu, (uint32_t)id, bytes, sizeof bytes);
    if (st == VM_OK)
        *v = vm_le64(bytes) & mask;
    return st;
}

static int unary(struct reader *r, uint64_t *v)
{
    int st;
    if (++r->depth > MAX_DEPTH)
        return vm__fail(VM_E_RANGE, "an expression nested deeper than %d", MAX_DEPTH);
    skip(r);
    const char c = *r->p;
    if (c == '+' || c == '-' || c == '~') {
        r->p++;
        st = unary(r, v);
        if (st == VM_OK)
            *v = c == '-' ? UINT64_C(0) - *v : c == '~' ? ~*v : *v;
    } else if (c == '(') {
        r->p++;
        st = sum(r, v);
        skip(r);
        if (st == VM_OK && *r->p != ')')
            st = vm__fail(VM_E_INVAL, "')' is missing");
        else if (st == VM_OK)
            r->p++;
    } else if (c == '\'' && r->p[1] != '\0' && r->p[2] == '\'') {
        *v = (uint8_t)r->p[1];
        r->p += 3;
        st = VM_OK;
    } else if (c == '$') {
        st = reg(r, v);
    } else {
        st = number(r, v);
    }
    r->depth--;
    return st;
}

/** The operator that goes on with the expression, or 0. One with a blank before and none behind
 *  begins the next argument: "mouse_move 5 -7", "memsave 0 4 /tmp/x". */
static char next_operator(struct reader *r, const char *which)
{
    const char *before = r->p;
    skip(r);
    const bool apart = r->p != before && r->p[0] != '\0' && r->p[1] != ' ' && r->p[1] != '\t';
    if (*r->p != '\0' && strchr(which, *r->p) != NULL && !apart)
        return *r->p++;
    r->p = before;
    return 0;
}

static int product(struct reader *r, uint64_t *v)
{
    int st = unary(r, v);
    char op;
    while (st == VM_OK && (op = next_operator(r, "*/%&|^")) != 0) {
        uint64_t w;
        st = unary(r, &w);
        if (st != VM_OK)
            break;
        if ((op == '/' || op == '%') && w == 0)
            return vm__fail(VM_E_INVAL, "division by zero");
        switch (op) {
        case '*':
            *v *= w;
            break;
        case '/':
            *v /= w;
            break;
        case '%':
            *v %= w;
            break;
        case '&':
            *v &= w;
            break;
        case '|':
            *v |= w;
            break;
        default:
            *v ^= w;
            break;
        }
    }
    return st;
}

static int sum(struct reader *r, uint64_t *v)
{
    int st = product(r, v);
    char op;
    while (st == VM_OK && (op = next_operator(r, "+-")) != 0) {
        uint64_t w;
        st = product(r, &w);
        if (st == VM_OK)
            *v = op == '+' ? *v + w : *v - w;
    }
    return st;
}

int vm__mon_expr(struct mon *mon, char **args, uint64_t *value)
{
    struct reader r = { .mon = mon, .p = *args };
    uint64_t v = 0;
    const int st = sum(&r, &v);
    if (st != VM_OK)
        return st;
    *args += r.p - *args;
    if (**args != '\0' && **args != ' ' && **args != '\t')
        return vm__fail(VM_E_INVAL, "not understood: %.40s", *args);
    *value = v;
    return VM_OK;
}
