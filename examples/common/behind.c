/* SPDX-License-Identifier: MIT */
/**
 * @file behind.c
 * Going into the background.
 */
#include "behind.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int behind_go(void)
{
    int ends[2];
    char word = 0;
    if (pipe(ends) != 0)
        return -1;
    const pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0) {
        close(ends[0]);
        (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
        setsid();
        return ends[1];
    }
    close(ends[1]);
    ssize_t n;
    while ((n = read(ends[0], &word, 1)) < 0 && errno == EINTR) {
    }
    _exit(n == 1 ? 0 : 1);
}

void behind_ready(int word, bool keep_stderr)
{
    const int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3 && null >= 0; i++)
        if (i != 2 || !keep_stderr)
            dup2(null, i);
    if (null > 2)
        close(null);
    const ssize_t n = write(word, "1", 1);
    (void)n;
    close(word);
}

int behind_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}
