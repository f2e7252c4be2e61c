/* SPDX-License-Identifier: MIT */
/**
 * @file futex.h
 * Sleep on a word, wake from any thread or signal handler.
 */
#ifndef LIBVM_HOST_FUTEX_H
#define LIBVM_HOST_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/** Sleep while *word == value. May return early. */
void vm__futex_wait(_Atomic uint32_t *word, uint32_t value);
/** Wake every sleeper on the word. Async-signal-safe. */
void vm__futex_wake(_Atomic uint32_t *word);

#endif
