/* SPDX-License-Identifier: MIT */
/**
 * @file firmware.c
 * Reading files whole, and finding firmware. See firmware.h.
 */
#include "core/firmware.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/config.h"
#include "core/machine.h"

enum { READ_STEP = 1 << 18 };

void vm__file_free(struct vm_file *f)
{
    free(f->data);
    *f = (struct vm_file) { 0 };
}

static int grow(struct vm_file *f, size_t *room)
{
    size_t more = *room * 2 + READ_STEP;
    uint8_t *data = realloc(f->data, more);
    if (data == NULL)
        return vm__fail_nomem(more);
    f->data = data;
    *room = more;
    return VM_OK;
}

/** Up to the end, or to the first piece that goes beyond @p max: more is never kept. */
static int read_stream(FILE *in, const char *path, uint64_t max, struct vm_file *f)
{
    size_t room = 0;
    do {
        int st = f->len == room ? grow(f, &room) : VM_OK;
        if (st != VM_OK)
            return st;
        f->len += fread(f->data + f->len, 1, room - f->len, in);
    } while (f->len == room && f->len <= max);
    if (ferror(in))
        return vm__fail_os(VM_E_IO, errno, "%s", path);
    if (f->len > max)
        return vm__fail(VM_E_RANGE, "%s: larger than %" PRIu64 " KiB", path, max >> 10);
    return VM_OK;
}

int vm__file_read(const char *path, uint64_t max, struct vm_file *out)
{
    struct vm_file f = { 0 };
    FILE *in = fopen(path, "rbe");
    if (in == NULL)
        return vm__fail_os(errno == ENOENT ? VM_E_NOENT : VM_E_IO, errno, "%s", path);
    int st = read_stream(in, path, max, &f);
    (void)fclose(in);
    if (st != VM_OK) {
        vm__file_free(&f);
        return st;
    }
    *out = f;
    return VM_OK;
}

/** DIR/NAME of the folder @p dir_len bytes long; NULL: out of memory. */
static char *join(const char *dir, size_t dir_len, const char *name)
{
    size_t size = dir_len + 1 + strlen(name) + 1;
    char *path = malloc(size);
    if (path == NULL)
        (void)vm__fail_nomem(size);
    else
        (void)snprintf(path, size, "%.*s/%s", (int)dir_len, dir, name);
    return path;
}

static int search(const char *folders, const char *name, size_t max, struct vm_file *out)
{
    int st = VM_E_NOENT;
    while (*folders != '\0' && st == VM_E_NOENT) {
        size_t n = strcspn(folders, ":");
        char *path = n != 0 ? join(folders, n, name) : NULL;
        if (path != NULL)
            st = vm__file_read(path, max, out);
        else if (n != 0)
            st = VM_E_NOMEM;
        free(path);
        folders += n + (folders[n] == ':');
    }
    return st;
}

int vm__firmware_find(struct vm_machine *m, const char *name, const char *package, size_t max,
                      struct vm_file *out)
{
    const char *folders = vm__config_str(m->config, "firmware.path");
    struct vm_file f = { 0 };
    int st = VM_OK;

    if (folders == NULL)
        folders = "";
    if (strchr(name, '/') != NULL)
        st = vm__file_read(name, max, &f);
    else if ((st = search(folders, name, max, &f)) == VM_E_NOENT)
        return vm__fail(VM_E_NOENT, "%s not found in %s%s%s", name,
                        *folders != '\0' ? folders : "an empty firmware.path",
                        package != NULL ? ": install the package " : "",
                        package != NULL ? package : "");
    if (st == VM_OK && f.len == 0) {
        vm__file_free(&f);
        return vm__fail(VM_E_RANGE, "%s: the file is empty", name);
    }
    if (st == VM_OK)
        *out = f;
    return st;
}
