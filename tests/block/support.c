/* SPDX-License-Identifier: MIT */
/**
 * @file support.c
 * Block tests: a context, a folder, patterns.
 */
#include "support.h"

#undef NDEBUG
#include <assert.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void blk_init(struct blk_place *p)
{
    p->ctx = vm__ctx_new(&vm__registry, NULL);
    assert(p->ctx != NULL);
    p->env = vm__ctx_block(p->ctx);
    assert(p->env != NULL);
    snprintf(p->folder, sizeof p->folder, "/tmp/libvm-block-XXXXXX");
    assert(mkdtemp(p->folder) != NULL);
}

void blk_fini(struct blk_place *p)
{
    DIR *d = opendir(p->folder);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d != NULL)
        closedir(d);
    rmdir(p->folder);
    vm__ctx_unref(p->ctx);
}

const char *blk_path(const struct blk_place *p, const char *name)
{
    static _Thread_local char paths[8][512];
    static _Thread_local unsigned at;
    char *path = paths[at++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", p->folder, name);
    return path;
}

static struct vm_blk_options *parse(const char *options)
{
    struct vm_blk_options *o = vm__options_new();
    assert(o != NULL);
    if (options != NULL && vm__options_parse(o, options, NULL) != VM_OK) {
        vm__options_free(o);
        return NULL;
    }
    return o;
}

struct vm_blk *blk_open(const struct blk_place *p, const char *name, const char *format,
                        const char *options, uint32_t flags)
{
    struct vm_blk_options *o = parse(options);
    struct vm_blk *n = o != NULL ? vm__blk_open(p->env, name, format, o, flags) : NULL;
    vm__options_free(o);
    return n;
}

int blk_create(const struct blk_place *p, const char *name, const char *format, uint64_t size,
               const char *options)
{
    struct vm_blk_options *o = parse(options);
    const int st = o != NULL ? vm__blk_create(p->env, format, name, size, o) : VM_E_INVAL;
    vm__options_free(o);
    return st;
}

struct vm_blk *blk_memory(const struct blk_place *p, uint64_t size, const char *node_name)
{
    char options[128];
    snprintf(options, sizeof options, "driver=memory,size=%llu%s%s", (unsigned long long)size,
             node_name != NULL ? ",node-name=" : "", node_name != NULL ? node_name : "");
    return blk_open(p, NULL, NULL, options, VM_OPEN_UNMAP);
}

bool blk_is(struct vm_blk *n, uint64_t off, uint64_t len, uint8_t v)
{
    uint8_t buf[65536];
    while (len != 0) {
        const size_t part = len < sizeof buf ? (size_t)len : sizeof buf;
        memset(buf, v + 1, part);
        if (vm__blk_read(n, off, buf, part) != VM_OK)
            return false;
        for (size_t i = 0; i < part; i++)
            if (buf[i] != v)
                return false;
        off += part;
        len -= part;
    }
    return true;
}

int blk_fill(struct vm_blk *n, uint64_t off, uint64_t len, uint8_t v)
{
    uint8_t buf[65536];
    int st = VM_OK;
    memset(buf, v, sizeof buf);
    for (size_t part; st == VM_OK && len != 0; off += part, len -= part) {
        part = len < sizeof buf ? (size_t)len : sizeof buf;
        st = vm__blk_write(n, off, buf, part);
    }
    return st;
}

int blk_shell(const struct blk_place *p, char **out, const char *fmt, ...)
{
    char command[4096];
    va_list args;
    const int n = snprintf(command, sizeof command, "cd %s && { ", p->folder);
    va_start(args, fmt);
    vsnprintf(command + n, sizeof command - (size_t)n - 16, fmt, args);
    va_end(args);
    strcat(command, "; } 2>&1");
    FILE *f = popen(command, "r");
    if (f == NULL)
        return -1;
    char *text = calloc(1, 65537);
    assert(text != NULL);
    size_t got = fread(text, 1, 65536, f);
    text[got] = '\0';
    const int status = pclose(f);
    if (out != NULL)
        *out = text;
    else
        free(text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool blk_have(const char *program)
{
    char command[256];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}
