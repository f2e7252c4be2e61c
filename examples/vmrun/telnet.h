/* SPDX-License-Identifier: MIT */
/**
 * @file telnet.h
 * As much of telnet as a serial line needs [RFC854].
 */
#ifndef VMRUN_TELNET_H
#define VMRUN_TELNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct telnet {
    uint8_t state; /**< where in a command the stream is */
    bool after_cr; /**< CR NUL and CR LF are one key */
};

/** A new peer: ask it for single characters, and to leave echoing to the guest. */
void telnet_begin(struct telnet *t, int fd);
/** Take the commands out of @p buf. @return bytes left; *brk is set if there was a BREAK. */
size_t telnet_decode(struct telnet *t, uint8_t *buf, size_t len, bool *brk);

#endif
