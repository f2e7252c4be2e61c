/* SPDX-License-Identifier: MIT */
/**
 * @file thread.c
 * Threads, random bytes, event descriptors.
 */
#include "host/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/error.h"

int vm__thread_start(pthread_t *thread, void *(*fn)(void *), void *arg, const char *name)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const int os = pthread_create(thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (os != 0)
        return vm__fail_os(VM_E_NOMEM, os, "start thread %s", name);
    pthread_setname_np(*thread, name);
    return VM_OK;
}

void vm__thread_yield(void)
{
    (void)sched_yield();
}

uint32_t vm__host_cpus(void)
{
    cpu_set_t set;
    const int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? (uint32_t)n : 1;
}

bool vm__host_random(void *buf, size_t len)
{
    return getrandom(buf, len, 0) == (ssize_t)len;
}

int vm__notify_new(void)
{
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd >= 0 ? fd : vm__fail_os(VM_E_IO, errno, "make an event descriptor");
}

void vm__notify_set(int fd)
{
    const int saved = errno; /* called from signal handlers too */
    const uint64_t one = 1;
    const ssize_t n = write(fd, &one, sizeof one); /* full: it is readable in any case */
    (void)n;
    errno = saved;
}

void vm__notify_clear(int fd)
{
    uint64_t count;
    const ssize_t n = read(fd, &count, sizeof count);
    (void)n;
}

void vm__notify_free(int fd)
{
    if (fd >= 0)
        close(fd);
}
