/* SPDX-License-Identifier: MIT */
/**
 * @file process.c
 * The program as a process: into the background, and a file that says who it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmrun.h"

static int ready_fd = -1; /* the parent waits for a byte */
static char pid_path[4096];

bool daemon_begin(void)
{
    int fds[2];
    char word;
    pid_t child = -1;
    if (pipe2(fds, O_CLOEXEC) != 0 || (child = fork()) < 0) {
        say("-daemonize: %s", strerror(errno));
        return false;
    }
    if (child == 0) {
        (void)close(fds[0]);
        (void)setsid();
        ready_fd = fds[1];
        return true;
    }
    (void)close(fds[1]);
    int status = 0;
    if (read(fds[0], &word, 1) == 1)
        _exit(0); /* it runs; what it complained about was said already if not */
    (void)waitpid(child, &status, 0);
    _exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1);
}

void daemon_ready(void)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (ready_fd < 0)
        return;
    for (int fd = 0; fd <= 2 && null >= 0; fd++)
        (void)dup2(null, fd);
    if (null > 2)
        (void)close(null);
    (void)!write(ready_fd, "", 1);
    (void)close(ready_fd);
    ready_fd = -1;
}

bool pid_file_make(const char *path)
{
    char text[32];
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    const int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fd >= 0 && fcntl(fd, F_SETLK, &lock) != 0) {
        say("-pidfile %s: another vmrun holds it", path);
        (void)close(fd);
        return false;
    }
    if (fd < 0 || ftruncate(fd, 0) != 0 || write(fd, text, (size_t)n) != n) {
        say("-pidfile %s: %s", path, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    /* Left open: the lock lasts as long as the process. */
    if (realpath(path, pid_path) == NULL)
        pid_path[0] = '\0';
    return true;
}

void pid_file_remove(void)
{
    if (pid_path[0] != '\0')
        (void)unlink(pid_path);
    pid_path[0] = '\0';
}
