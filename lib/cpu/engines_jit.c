/* SPDX-License-Identifier: MIT */
/**
 * @file engines_jit.c
 * The engines of an x86-64 host.
 */
#include "cpu/jit/jit.h"

const struct vm_engine *const vm__engines[] = { &vm__interp_engine, &vm__jit_engine, NULL };
