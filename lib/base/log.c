/* SPDX-License-Identifier: MIT */
/**
 * @file log.c
 * One line to the caller's sink, one call at a time.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { LOG_LINE_BYTES = 512 };

void vm__log_init(struct vm_logger *log, vm_log_fn fn, void *ud, uint32_t level,
                  uint32_t categories)
{
    log->fn = fn;
    log->ud = ud;
    log->level = level;
    log->categories = categories;
    pthread_mutex_init(&log->lock, NULL);
}

void vm__log_fini(struct vm_logger *log)
{
    pthread_mutex_destroy(&log->lock);
}

void vm__logf(struct vm_logger *log, uint32_t level, uint32_t category, const char *source,
              const char *fmt, ...)
{
    if (!vm__log_on(log, level, category))
        return;

    char line[LOG_LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);

    const vm_log_record record = {
        .size = sizeof record,
        .level = level,
        .category = category,
        .source = source,
        .text = line,
    };
    pthread_mutex_lock(&log->lock);
    log->fn(log->ud, &record);
    pthread_mutex_unlock(&log->lock);
}
