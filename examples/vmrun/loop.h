/* SPDX-License-Identifier: MIT */
/**
 * @file loop.h
 * vmrun's main thread: descriptors, periods of time, and what other threads ask of it.
 *
 * Everything here belongs to the main thread but loop_wake() and loop_quit().
 */
#ifndef VMRUN_LOOP_H
#define VMRUN_LOOP_H

#include <stdbool.h>

struct loop;
struct watch;

struct loop *loop_new(void); /* NULL after a line */
void loop_free(struct loop *l);

/** Call @p ready with what poll() found on @p fd, for as long as it is watched. NULL: no memory. */
struct watch *loop_watch(struct loop *l, int fd, short events,
                         void (*ready)(void *ud, short revents), void *ud);
/** The same, where @p want says before every wait which events are of interest now (0: none). */
struct watch *loop_watch_if(struct loop *l, int fd, short (*want)(void *ud),
                            void (*ready)(void *ud, short revents), void *ud);
/** Call @p tick about every @p ms milliseconds. */
struct watch *loop_every(struct loop *l, unsigned ms, void (*tick)(void *ud), void *ud);
/** Also from inside a callback, its own too. NULL is fine. */
void loop_unwatch(struct watch *w);

/** Look at everything again soon. Any thread, and signal handlers. */
void loop_wake(struct loop *l);
/** Make loop_run() come back with this status; the first word counts. Any thread. */
void loop_quit(struct loop *l, int status);
bool loop_is_over(const struct loop *l);
/** Wait once, at most @p ms milliseconds (-1: no limit), and call what is ready. */
void loop_turn(struct loop *l, int ms);
/** Turn until loop_quit(). @return its status */
int loop_run(struct loop *l);

#endif
