/* SPDX-License-Identifier: MIT */
/**
 * @file time.c
 * The host's clocks.
 */
#include "host/time.h"

#include <time.h>

uint64_t vm__host_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t vm__host_epoch(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec;
}

int64_t vm__host_utc_offset(uint64_t epoch)
{
    const time_t t = (time_t)epoch;
    struct tm local;
    return localtime_r(&t, &local) != NULL ? (int64_t)local.tm_gmtoff : 0;
}
