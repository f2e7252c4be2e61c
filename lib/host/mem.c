/* SPDX-License-Identifier: MIT */
/**
 * @file mem.c
 * Memory files and anonymous pages.
 */
#include "host/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

int vm__memfd_map(struct vm_memfd *f, const char *name, uint64_t size)
{
    f->host = NULL;
    f->size = size;
    f->fd = memfd_create(name, MFD_CLOEXEC);
    if (f->fd < 0)
        return vm__fail_os(VM_E_NOMEM, errno, "memory file for %s", name);
    if (size > INT64_MAX || ftruncate(f->fd, (off_t)size) != 0)
        goto fail;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, f->fd, 0);
    if (p == MAP_FAILED)
        goto fail;
    f->host = p;
    return VM_OK;
fail:;
    const int os = errno;
    close(f->fd);
    f->fd = -1;
    return vm__fail_os(VM_E_NOMEM, os, "%llu MiB for %s", (unsigned long long)(size >> 20), name);
}

void vm__memfd_unmap(struct vm_memfd *f)
{
    if (f->host != NULL)
        munmap(f->host, f->size);
    if (f->fd >= 0)
        close(f->fd);
    *f = (struct vm_memfd) { .fd = -1 };
}

int vm__memfd_clear(struct vm_memfd *f)
{
    if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)f->size) != 0)
        return vm__fail_os(VM_E_IO, errno, "clear %llu MiB of guest memory",
                           (unsigned long long)(f->size >> 20));
    return VM_OK;
}

int vm__memfd_next_data(const struct vm_memfd *f, uint64_t from, uint64_t *start, uint64_t *end)
{
    if (from >= f->size)
        return 0;
    off_t data = lseek(f->fd, (off_t)from, SEEK_DATA);
    if (data < 0)
        return 0; /* ENXIO: holes up to the end */
    off_t hole = lseek(f->fd, data, SEEK_HOLE);
    *start = (uint64_t)data;
    *end = hole < 0 ? f->size : (uint64_t)hole;
    return 1;
}

void *vm__host_map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) {
        vm__fail_os(VM_E_NOMEM, errno, "map %zu bytes", size);
        return NULL;
    }
    return p;
}

void vm__host_unmap(void *p, size_t size)
{
    if (p != NULL)
        munmap(p, size);
}

int vm__code_map(uint8_t **rw, uint8_t **rx, size_t size)
{
    struct vm_memfd f;
    int st = vm__memfd_map(&f, "libvm code", size);

    *rw = *rx = NULL;
    if (st != VM_OK)
        return st;
    void *p = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, f.fd, 0);
    if (p == MAP_FAILED) {
        const int os = errno;
        vm__memfd_unmap(&f);
        return vm__fail_os(VM_E_NOMEM, os, "memory for generated code cannot be executed");
    }
    *rw = f.host;
    *rx = p;
    close(f.fd); /* the mappings keep the file */
    return VM_OK;
}

void vm__code_unmap(uint8_t *rw, uint8_t *rx, size_t size)
{
    munmap(rw, size);
    munmap(rx, size);
}
