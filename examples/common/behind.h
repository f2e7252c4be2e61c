/* SPDX-License-Identifier: MIT */
/**
 * @file behind.h
 * Programs that go into the background once they are ready.
 */
#ifndef COMMON_BEHIND_H
#define COMMON_BEHIND_H

#include <stdbool.h>

/** Go on in a child; the parent stays until the child says that it is ready, or has ended, and ends
 *  with 0 or 1. Before there are threads. @return in the child: for behind_ready(); -1: errno */
int behind_go(void);
/** Let the parent end; stdin and stdout are no more, nor is stderr unless it is to be kept. */
void behind_ready(int word, bool keep_stderr);
/** Block the signals that end a program. @return a descriptor that is readable when one has come */
int behind_signals(void);

#endif
