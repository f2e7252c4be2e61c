/* SPDX-License-Identifier: MIT */
/**
 * @file engines.c
 * The engines of a host that has no translator.
 */
#include "cpu/engine.h"

const struct vm_engine *const vm__engines[] = { &vm__interp_engine, NULL };
