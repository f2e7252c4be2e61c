/* SPDX-License-Identifier: MIT */
/**
 * @file say.c
 * Words on stderr, with the program's name before them.
 */
#include "vmimg.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static void line(const char *kind, const char *fmt, va_list args)
{
    if (!compatible())
        fflush(stdout);
    fprintf(stderr, "%s: %s", program(), kind);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

int say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    line("", fmt, args);
    va_end(args);
    return 1;
}

void warn(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    line("warning: ", fmt, args);
    va_end(args);
}

int usage(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    line("", fmt, args);
    va_end(args);
    fprintf(stderr, "Try '%s --help' for more information\n", program());
    return 1;
}

const char *last(void)
{
    return vm_last_error()->message;
}

int say_last(const char *fmt, ...)
{
    char why[512], before[512];
    va_list args;
    snprintf(why, sizeof why, "%s", last());
    va_start(args, fmt);
    vsnprintf(before, sizeof before, fmt, args);
    va_end(args);
    return say("%s%s", before, why);
}

int status_errno(int status)
{
    const int os = vm_last_error()->os_errno;
    if (os != 0 && vm_last_error()->code == status)
        return os;
    switch (status) {
    case VM_E_INVAL:
        return EINVAL;
    case VM_E_NOMEM:
        return ENOMEM;
    case VM_E_NOTSUP:
        return ENOTSUP;
    case VM_E_NOENT:
        return ENOENT;
    case VM_E_BUSY:
        return EBUSY;
    case VM_E_PERM:
        return EPERM;
    case VM_E_CANCELED:
        return ECANCELED;
    case VM_E_NOSPC:
        return ENOSPC;
    default: /* also past the end, and what is malformed */
        return EIO;
    }
}

const char *status_text(int status)
{
    return strerror(status_errno(status));
}
