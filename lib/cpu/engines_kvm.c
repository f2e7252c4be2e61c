/* SPDX-License-Identifier: MIT */
/**
 * @file engines_kvm.c
 * The engines of a Linux host with an x86-64 processor.
 */
#include "cpu/jit/jit.h"
#include "cpu/kvm/engine.h"

const struct vm_engine *const vm__engines[] = { &vm__kvm_engine, &vm__interp_engine,
                                                &vm__jit_engine, NULL };
