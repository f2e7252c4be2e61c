/* SPDX-License-Identifier: MIT */
/**
 * @file thread.h
 * Threads of the library's own, random bytes, and descriptors to poll on.
 */
#ifndef LIBVM_HOST_THREAD_H
#define LIBVM_HOST_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Start a thread with every signal blocked: signals are for the embedder's own threads. */
int vm__thread_start(pthread_t *thread, void *(*fn)(void *), void *arg, const char *name);

/** Somebody else's turn on this host processor. */
void vm__thread_yield(void);

/** Processors this process may use; at least 1. */
uint32_t vm__host_cpus(void);

/** Bytes from the host's generator. False: it has none to give. */
bool vm__host_random(void *buf, size_t len);

/** A descriptor that can be made readable. Negative VM_E_* on failure. */
int vm__notify_new(void);
void vm__notify_set(int fd);
void vm__notify_clear(int fd);
void vm__notify_free(int fd);

#endif
