/* SPDX-License-Identifier: MIT */
/**
 * @file time.h
 * The host's clocks. Only core/clock.c, core/run.c and back ends ask; devices never do.
 */
#ifndef LIBVM_HOST_TIME_H
#define LIBVM_HOST_TIME_H

#include <stdint.h>

/** Monotonic nanoseconds. */
uint64_t vm__host_ns(void);
/** Seconds since 1970, UTC. */
uint64_t vm__host_epoch(void);
/** Seconds to add to UTC for the host's local time, at @p epoch. */
int64_t vm__host_utc_offset(uint64_t epoch);

#endif
