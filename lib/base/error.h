/* SPDX-License-Identifier: MIT */
/**
 * @file error.h
 * Failing in one statement: `return vm__fail(VM_E_RANGE, "…", …);`
 *
 * The line has no full stop and no "failed to"; numbers carry units, addresses are hexadecimal.
 */
#ifndef LIBVM_BASE_ERROR_H
#define LIBVM_BASE_ERROR_H

#include <stddef.h>
#include <stdint.h>

#include <libvm/error.h>

/** Store the calling thread's last error. @return @p code */
int vm__fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** The same with the reason of a host call: ": No such file or directory" is appended; without
 *  words of the caller's, it is the line. */
int vm__fail_os(int code, int os_errno, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** The same with the guest address concerned. */
int vm__fail_at(int code, uint64_t guest_addr, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** Put context ("ide0: ") before the last error's line. @return @p code */
int vm__fail_prefix(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Copy the calling thread's line, to repeat it on another thread. */
void vm__error_keep(char *line, size_t size);
/** VM_E_NOMEM with the size asked for. */
int vm__fail_nomem(uint64_t bytes);

#endif
