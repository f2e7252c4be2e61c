/* SPDX-License-Identifier: MIT */
/**
 * @file os.c
 * What an operating system does all day, as the first program of a guest: processes, calls, page
 * faults, pipes, and real programs (a compiler, Python, OpenSSL) that lie beside it.
 *
 * Each work says <name> and </name SECONDS> on the console, SECONDS by the guest's clock. Alone on
 * a host (argument "native") it does those that need nothing beside it.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *self;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0)
        _exit(3);
}

/* Run a program to its end; its output goes nowhere. 0: well. */
static int spawn(char *const argv[])
{
    int status = -1;
    const pid_t pid = vfork();

    if (pid == 0) {
        execv(argv[0], argv);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return status;
}

/* ---- works ---- */

static int fork_exec(void)
{
    char *const argv[] = { (char *)self, (char *)"true", NULL };
    int bad = 0;

    for (int k = 0; k < 1000; k++) {
        const pid_t pid = fork();
        int status = -1;
        if (pid == 0) {
            execv(self, argv);
            _exit(127);
        }
        waitpid(pid, &status, 0);
        bad |= status;
    }
    return bad;
}

static int syscalls(void)
{
    for (int k = 0; k < 100000; k++)
        syscall(SYS_getppid);
    return 0;
}

static int page_faults(void)
{
    const size_t size = 16 << 20;

    for (int k = 0; k < 10; k++) {
        volatile char *p =
            mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return 1;
        for (size_t at = 0; at < size; at += 4096)
            p[at] = 1;
        munmap((void *)p, size);
    }
    return 0;
}

static int ping_pong(void)
{
    int there[2], back[2];
    char c = 'x';

    if (pipe(there) != 0 || pipe(back) != 0)
        return 1;
    const pid_t pid = fork();
    if (pid == 0) {
        close(there[1]);
        while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
            ;
        _exit(0);
    }
    for (int k = 0; k < 20000; k++)
        if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
            return 1;
    close(there[1]);
    waitpid(pid, NULL, 0);
    return 0;
}

static int files(void)
{
    static char buf[4096];
    char name[32];

    for (int k = 0; k < 1000; k++) {
        (void)snprintf(name, sizeof name, "/tmp/f%d", k);
        const int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);
        struct stat st;
        if (fd < 0)
            return 1;
        for (int n = 0; n < 8; n++)
            if (write(fd, buf, sizeof buf) != sizeof buf)
                return 1;
        close(fd);
        if (stat(name, &st) != 0 || unlink(name) != 0)
            return 1;
    }
    return 0;
}

static int compile(void)
{
    char *const argv[] = { (char *)"/usr/bin/gcc-12", (char *)"-O2",  (char *)"-c", (char *)"-o",
                           (char *)"/tmp/x.o",        (char *)"/x.i", NULL };
    return spawn(argv);
}

static int python(void)
{
    static char program[] = "d = {}\n"
                            "for i in range(60000):\n"
                            "    d[str(i)] = d.get(str(i // 2), 0) + i % 7\n"
                            "s = sorted(d, key=lambda k: d[k])\n"
                            "print(len(s), sum(d.values()))\n";
    char *const argv[] = { (char *)"/usr/bin/python3.11", (char *)"-S", (char *)"-c", program,
                           NULL };
    return spawn(argv);
}

static int digest(void)
{
    char *const argv[] = { (char *)"/usr/bin/openssl", (char *)"dgst", (char *)"-sha256",
                           (char *)"/usr/bin/python3.11", NULL };
    for (int k = 0; k < 3; k++)
        if (spawn(argv) != 0)
            return 1;
    return 0;
}

static int rsa(void)
{
    char *const key[] = {
        (char *)"/usr/bin/openssl", (char *)"pkey",   (char *)"-in", (char *)"/key.pem",
        (char *)"-check",           (char *)"-noout", NULL
    };
    return spawn(key);
}

/* Two at once, one of which computes: what a second processor is for. */
static int two_at_once(void)
{
    const pid_t pid = fork();
    int status = -1;

    if (pid == 0)
        _exit(python() != 0);
    const int mine = python();
    waitpid(pid, &status, 0);
    return mine | status;
}

static const struct {
    const char *name;
    int (*fn)(void);
    const char *needs; /* a file */
} works[] = {
    { "fork", fork_exec, NULL },    { "syscall", syscalls, NULL }, { "fault", page_faults, NULL },
    { "pipe", ping_pong, NULL },    { "files", files, NULL },      { "gcc", compile, "/x.i" },
    { "python", python, "/x.i" },   { "sha256", digest, "/x.i" },  { "rsa", rsa, "/key.pem" },
    { "two", two_at_once, "/x.i" },
};

int main(int argc, char **argv)
{
    char text[80];

    if (argc > 1 && strcmp(argv[1], "true") == 0)
        return 0;
    const int native = argc > 1 && strcmp(argv[1], "native") == 0;
    self = native ? "/proc/self/exe" : "/init";
    if (!native) {
        (void)mkdir("/proc", 0755);
        (void)mkdir("/tmp", 0755);
        (void)mount("proc", "/proc", "proc", 0, NULL);
        (void)mount("dev", "/dev", "devtmpfs", 0, NULL);
        (void)setenv("PATH", "/usr/bin:/bin", 1);
        (void)setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    }
    for (size_t k = 0; k < sizeof works / sizeof works[0]; k++) {
        if (works[k].needs != NULL && (native || access(works[k].needs, R_OK) != 0))
            continue;
        (void)snprintf(text, sizeof text, "<%s>\n", works[k].name);
        say(text);
        const double begin = now();
        const int bad = works[k].fn();
        (void)snprintf(text, sizeof text, "</%s %.4f %d>\n", works[k].name, now() - begin, bad);
        say(text);
    }
    say("<end>\n");
    if (!native) {
        sync();
        (void)reboot(RB_POWER_OFF);
    }
    return 0;
}
