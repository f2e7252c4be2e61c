/* SPDX-License-Identifier: MIT */
/**
 * @file futex.c
 * The futex system call; glibc has no wrapper.
 */
#include "host/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

void vm__futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void vm__futex_wake(_Atomic uint32_t *word)
{
    const int saved = errno; /* may interrupt anything */
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}
