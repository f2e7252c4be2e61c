/* SPDX-License-Identifier: MIT */
/**
 * @file guard.c
 * Images come from strangers, and other people's libraries look into their file systems: that
 * happens in a child process with limits, so that the answer is a sentence whatever it meets.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs.h"

enum { STUCK_S = 20 };
#define MAX_MEMORY ((rlim_t)4 << 30)

void still_alive(void)
{
    const struct itimerval t = { .it_value.tv_sec = STUCK_S };
    (void)setitimer(ITIMER_PROF, &t, NULL); /* of processor time, so a slow disk is no matter */
}

static int explain(int signal)
{
    if (signal == SIGPROF || signal == SIGXCPU)
        return say("the file system makes no sense: nothing came of %d seconds of work", STUCK_S);
    if (signal == SIGINT || signal == SIGTERM || signal == SIGPIPE)
        return 128 + signal;
    return say("the file system makes no sense: looking into it ended with signal %d (%s)", signal,
               strsignal(signal));
}

int guarded(int (*work)(void *ud), void *ud)
{
    int status = 0;
    fflush(stdout);
    const pid_t pid = fork();
    if (pid < 0)
        return say("fork: %m");
    if (pid == 0) {
        const struct rlimit memory = { MAX_MEMORY, MAX_MEMORY }, none = { 0, 0 };
#ifndef __SANITIZE_ADDRESS__
        (void)setrlimit(RLIMIT_AS, &memory);
#else
        (void)memory;
#endif
        (void)setrlimit(RLIMIT_CORE, &none);
        still_alive();
        const int st = work(ud);
        exit(fflush(stdout) == 0 ? st : 1);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : explain(WTERMSIG(status));
}
