/* SPDX-License-Identifier: MIT */
/**
 * @file bcd.c
 * DAA, DAS, AAA, AAS, AAM, AAD [SDM-2A].
 *
 * Flags the manual leaves undefined, as Intel hardware has them: OF is 0 but for AAD; AAA and AAS
 * take SF, ZF and PF from the resulting AL; AAM clears CF and AF; AAD's are those of its 8-bit
 * addition.
 */
#include "cpu/interp/arith.h"

#define AX (*x86_r16(c, 0))
#define AL (*x86_r8(c, 0))

/* Flags from a result in AL. */
static void set_flags(struct vcpu *c, bool cf, bool af)
{
    x86_cc(c, 8, (int8_t)AL, (uint64_t)cf << 63 | (uint64_t)cf << 62 | (uint64_t)af << (67 - 8));
}

X86_H(daa)
{
    uint8_t al = AL;
    bool af = (al & 15) > 9 || x86_af(c), cf = al > 0x99 || x86_cf(c);

    AL = (uint8_t)(al + (af ? 0x06 : 0) + (cf ? 0x60 : 0));
    set_flags(c, cf, af);
    X86_NEXT(c, i);
}

X86_H(das)
{
    uint8_t al = AL;
    bool af = (al & 15) > 9 || x86_af(c), cf = al > 0x99 || x86_cf(c);

    AL = (uint8_t)(al - (af ? 0x06 : 0) - (cf ? 0x60 : 0));
    set_flags(c, cf || (af && al < 6), af);
    X86_NEXT(c, i);
}

X86_H(aaa)
{
    bool adjust = (AL & 15) > 9 || x86_af(c);

    AX = (uint16_t)(AX + (adjust ? 0x106 : 0)) & 0xff0f;
    set_flags(c, adjust, adjust);
    X86_NEXT(c, i);
}

X86_H(aas)
{
    bool adjust = (AL & 15) > 9 || x86_af(c);

    AX = (uint16_t)(AX - (adjust ? 0x106 : 0)) & 0xff0f;
    set_flags(c, adjust, adjust);
    X86_NEXT(c, i);
}

X86_H(aam)
{
    uint8_t al = AL, base = (uint8_t)i->imm;

    if (base == 0)
        vm__x86_fault(c, i, X86_XDE, 0);
    AX = (uint16_t)(al / base << 8 | al % base);
    set_flags(c, false, false);
    X86_NEXT(c, i);
}

X86_H(aad)
{
    uint8_t high = (uint8_t)((AX >> 8) * (uint8_t)i->imm);

    AX = (uint8_t)x86_op_add(c, 8, AL, high);
    X86_NEXT(c, i);
}
