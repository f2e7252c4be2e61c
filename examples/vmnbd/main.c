/* SPDX-License-Identifier: MIT */
/**
 * @file main.c
 * vmnbd: disk images of any format offered by NBD, with the words of qemu-nbd.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmnbd.h"

static const char *self = "vmnbd";

int say(const char *fmt, ...)
{
    va_list args;
    fprintf(stderr, "%s: ", self);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return 1;
}

const char *last(void)
{
    return vm_last_error()->message;
}

int main(int argc, char **argv)
{
    struct wish w;
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    if (argc > 0)
        self = slash != NULL ? slash + 1 : argv[0];
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    if (ctx == NULL)
        return say("%s", last());
    int st = read_command_line(&w, ctx, argc, argv);
    if (st < 0)
        st = w.list ? list_exports(&w) : serve(ctx, &w);
    vm_ctx_unref(ctx);
    return st;
}
