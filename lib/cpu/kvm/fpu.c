/* SPDX-License-Identifier: MIT */
/**
 * @file fpu.c
 * x87, MMX, SSE and AVX registers, by KVM_GET_XSAVE, or by KVM_GET_FPU where there is no such.
 *
 * Spec: [KVM KVM_GET_XSAVE], [KVM KVM_GET_FPU], [SDM-1 §13.4] (layout). The x87
 * code and data selectors have no place in the 64-bit form that KVM uses.
 */
#include <errno.h>
#include <string.h>

#include "base/endian.h"
#include "cpu/kvm/kvm.h"

enum {
    FCW = 0,
    FSW = 2,
    FTW = 4,
    FOP = 6,
    FIP = 8,
    FDP = 16,
    MXCSR = 24,
    MXCSR_MASK = 28,
    ST0 = 32,
    XMM0 = 160,
    XSTATE_BV = 512,
    YMMH0 = 576,
    X_X87 = 1,
    X_SSE = 2,
    X_AVX = 4,
    MXCSR_VALID = 0xffff,
};

bool vm__kvm_fpu_differs(const struct x86_state *a, const struct x86_state *b)
{
    return a->fcw != b->fcw || a->fsw != b->fsw || a->ftw != b->ftw || a->fop != b->fop ||
           a->fip != b->fip || a->fdp != b->fdp || a->mxcsr != b->mxcsr ||
           memcmp(a->x87, b->x87, sizeof a->x87) != 0 || memcmp(a->vec, b->vec, 16 * 64) != 0;
}

/* ---- XSAVE ---- */

static bool upper_halves(const struct x86_state *st)
{
    static const uint8_t zero[16];

    for (unsigned n = 0; n < 16; n++)
        if (memcmp(st->vec[n] + 16, zero, sizeof zero) != 0)
            return true;
    return false;
}

static void put_area(const struct x86_state *st, uint8_t *p, bool avx)
{
    const unsigned top = st->fsw >> 11 & 7;

    vm_put_le16(p + FCW, st->fcw);
    vm_put_le16(p + FSW, st->fsw);
    vm_put_le16(p + FTW, st->ftw);
    vm_put_le16(p + FOP, st->fop);
    vm_put_le64(p + FIP, st->fip);
    vm_put_le64(p + FDP, st->fdp);
    vm_put_le32(p + MXCSR, st->mxcsr);
    vm_put_le32(p + MXCSR_MASK, MXCSR_VALID);
    for (unsigned n = 0; n < 8; n++)
        memcpy(p + ST0 + 16 * n, st->x87[(top + n) & 7], 10);
    for (unsigned n = 0; n < 16; n++) {
        memcpy(p + XMM0 + 16 * n, st->vec[n], 16);
        if (avx)
            memcpy(p + YMMH0 + 16 * n, st->vec[n] + 16, 16);
    }
    vm_put_le64(p + XSTATE_BV, X_X87 | X_SSE | (avx ? X_AVX : 0u));
}

static void take_area(struct x86_state *st, const uint8_t *p)
{
    const bool avx = vm_le64(p + XSTATE_BV) & X_AVX;

    st->fcw = vm_le16(p + FCW);
    st->fsw = vm_le16(p + FSW);
    st->ftw = p[FTW];
    st->fop = vm_le16(p + FOP) & 0x7ff;
    st->fip = vm_le64(p + FIP);
    st->fdp = vm_le64(p + FDP);
    st->mxcsr = vm_le32(p + MXCSR) & MXCSR_VALID;
    const unsigned top = st->fsw >> 11 & 7;
    for (unsigned n = 0; n < 8; n++)
        memcpy(st->x87[(top + n) & 7], p + ST0 + 16 * n, 10);
    for (unsigned n = 0; n < 16; n++) {
        memcpy(st->vec[n], p + XMM0 + 16 * n, 16);
        if (avx)
            memcpy(st->vec[n] + 16, p + YMMH0 + 16 * n, 16);
        else
            memset(st->vec[n] + 16, 0, 16);
    }
}

static int put_xsave(struct vcpu *c)
{
    struct kvm_cpu *k = vm__kvm_cpu(c);
    struct kvm_xsave x;
    const bool avx = !k->kvm->no_avx_state && upper_halves(&c->st);

    memset(&x, 0, sizeof x);
    put_area(&c->st, (uint8_t *)x.region, avx);
    int err = vm__kvm_ioctl(k, KVM_SET_XSAVE, &x);
    if (err == -EINVAL && avx) {
        k->kvm->no_avx_state = true;
        memset(&x, 0, sizeof x);
        put_area(&c->st, (uint8_t *)x.region, false);
        err = vm__kvm_ioctl(k, KVM_SET_XSAVE, &x);
    }
    return err;
}

static int get_xsave(struct vcpu *c)
{
    struct kvm_xsave x;
    const int err = vm__kvm_ioctl(vm__kvm_cpu(c), KVM_GET_XSAVE, &x);

    if (err >= 0)
        take_area(&c->st, (const uint8_t *)x.region);
    return err;
}

/* ---- before XSAVE ---- */

static int put_old(struct vcpu *c)
{
    const struct x86_state *st = &c->st;
    struct kvm_fpu f = {
        .fcw = st->fcw,
        .fsw = st->fsw,
        .ftwx = st->ftw,
        .last_opcode = st->fop,
        .last_ip = st->fip,
        .last_dp = st->fdp,
        .mxcsr = st->mxcsr,
    };
    const unsigned top = st->fsw >> 11 & 7;

    for (unsigned n = 0; n < 8; n++)
        memcpy(f.fpr[n], st->x87[(top + n) & 7], 10);
    for (unsigned n = 0; n < 16; n++)
        memcpy(f.xmm[n], st->vec[n], 16);
    return vm__kvm_ioctl(vm__kvm_cpu(c), KVM_SET_FPU, &f);
}

static int get_old(struct vcpu *c)
{
    struct x86_state *st = &c->st;
    struct kvm_fpu f;
    const int err = vm__kvm_ioctl(vm__kvm_cpu(c), KVM_GET_FPU, &f);

    if (err < 0)
        return err;
    st->fcw = f.fcw;
    st->fsw = f.fsw;
    st->ftw = f.ftwx;
    st->fop = f.last_opcode & 0x7ff;
    st->fip = f.last_ip;
    st->fdp = f.last_dp;
    st->mxcsr = f.mxcsr & MXCSR_VALID;
    const unsigned top = st->fsw >> 11 & 7;
    for (unsigned n = 0; n < 8; n++)
        memcpy(st->x87[(top + n) & 7], f.fpr[n], 10);
    for (unsigned n = 0; n < 16; n++)
        memcpy(st->vec[n], f.xmm[n], 16);
    return 0;
}

int vm__kvm_put_fpu(struct vcpu *c)
{
    return vm__kvm_of(c)->caps.xsave ? put_xsave(c) : put_old(c);
}

int vm__kvm_get_fpu(struct vcpu *c)
{
    return vm__kvm_of(c)->caps.xsave ? get_xsave(c) : get_old(c);
}
