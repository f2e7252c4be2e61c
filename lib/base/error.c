/* SPDX-License-Identifier: MIT */
/**
 * @file error.c
 * The calling thread's last error. Thread-local, so it is no shared state.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 512 };

struct last_error {
    vm_error error;
    char line[LINE_MAX_BYTES];
};

static _Thread_local struct last_error last;

#define X(name, code, words) _Static_assert(name == (code), "status.def and error.h disagree");
#include "base/status.def"
#undef X

/* A message that does not fit ends in an ellipsis: it is for people. */
static void clip(char *line, int n)
{
    if (n >= LINE_MAX_BYTES)
        memcpy(line + LINE_MAX_BYTES - 4, "...", 4);
}

static void set(int code, int os_errno, uint64_t guest_addr, const char *fmt, va_list args)
{
    char line[LINE_MAX_BYTES]; /* the arguments may be the old line */
    int n = vsnprintf(line, sizeof line, fmt, args);

    if (n < 0)
        n = snprintf(line, sizeof line, "%s", vm_strerror(code));
    if (os_errno != 0 && n < LINE_MAX_BYTES) {
        char reason[96];
        /* The GNU form: the text may be elsewhere than in the buffer. */
        const char *text = strerror_r(os_errno, reason, sizeof reason);
        n += snprintf(line + n, sizeof line - (size_t)n, "%s%s", n != 0 ? ": " : "", text);
    }
    clip(line, n);
    memcpy(last.line, line, sizeof line);
    last.error = (vm_error) {
        .size = sizeof last.error,
        .code = code,
        .os_errno = os_errno,
        .guest_addr = guest_addr,
        .message = last.line,
    };
}

int vm__fail(int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set(code, 0, 0, fmt, args);
    va_end(args);
    return code;
}

int vm__fail_os(int code, int os_errno, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set(code, os_errno, 0, fmt, args);
    va_end(args);
    return code;
}

int vm__fail_at(int code, uint64_t guest_addr, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set(code, 0, guest_addr, fmt, args);
    va_end(args);
    return code;
}

int vm__fail_nomem(uint64_t bytes)
{
    return vm__fail(VM_E_NOMEM, "no memory for %llu bytes", (unsigned long long)bytes);
}

int vm__fail_prefix(int code, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n < 0 || n >= LINE_MAX_BYTES)
        return code;
    const char *rest = last.error.message != NULL ? last.error.message : vm_strerror(code);
    n += snprintf(line + n, sizeof line - (size_t)n, "%s", rest);
    clip(line, n);
    memcpy(last.line, line, sizeof line);
    last.error.size = sizeof last.error;
    last.error.code = code;
    last.error.message = last.line;
    return code;
}

void vm__error_keep(char *line, size_t size)
{
    snprintf(line, size, "%s", vm_last_error()->message);
}

const vm_error *vm_last_error(void)
{
    if (last.error.message == NULL)
        last.error = (vm_error) { .size = sizeof last.error, .message = "" };
    return &last.error;
}

const char *vm_strerror(int code)
{
    switch (code) {
#define X(name, number, words)                                                                     \
    case number:                                                                                   \
        return words;
#include "base/status.def"
#undef X
    default:
        return "unknown status";
    }
}
