/* SPDX-License-Identifier: MIT */
/**
 * @file dsdt.h
 * The DSDTs that iasl compiled at build time.
 */
#ifndef LIBVM_BOARDS_ACPI_DSDT_H
#define LIBVM_BOARDS_ACPI_DSDT_H

#include <stddef.h>

extern const unsigned char vm__acpi_dsdt_pc[];
extern const size_t vm__acpi_dsdt_pc_size;

#endif
