/* SPDX-License-Identifier: MIT */
/**
 * @file bind.c
 * Row -> handler functions, as the generator wrote it from the handler column.
 */
#include "cpu/interp/interp.h"

#include "interp_bind.inc"
