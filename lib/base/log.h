/* SPDX-License-Identifier: MIT */
/**
 * @file log.h
 * Messages to the caller's sink. On a hot path ask vm__log_on() first: one predictable branch.
 */
#ifndef LIBVM_BASE_LOG_H
#define LIBVM_BASE_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <libvm/log.h>

/** Where messages go; one per machine. */
struct vm_logger {
    vm_log_fn fn; /**< NULL: silent */
    void *ud;
    uint32_t level;      /**< most talkative level wanted */
    uint32_t categories; /**< for info and debug; errors and warnings pass in any case */
    pthread_mutex_t lock;
};

/** A place that speaks at most so often; static storage is not for this: put it in the state. */
struct vm_log_once {
    uint32_t count;
};

static inline bool vm__log_on(const struct vm_logger *log, uint32_t level, uint32_t category)
{
    return __builtin_expect(log->fn != NULL, 0) && level <= log->level &&
           (level <= VM_LOG_WARN || (log->categories & category) != 0);
}

void vm__log_init(struct vm_logger *log, vm_log_fn fn, void *ud, uint32_t level,
                  uint32_t categories);
void vm__log_fini(struct vm_logger *log);
/** One line; @p source is the instance. */
void vm__logf(struct vm_logger *log, uint32_t level, uint32_t category, const char *source,
              const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** True for the first @p limit calls on this site. */
static inline bool vm__log_first(struct vm_log_once *site, uint32_t limit)
{
    return site->count < limit && ++site->count != 0;
}

#endif
