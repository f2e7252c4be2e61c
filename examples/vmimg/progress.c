/* SPDX-License-Identifier: MIT */
/**
 * @file progress.c
 * How far long work is; and what happens when it is interrupted.
 */
#include "vmimg.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FILES = 64, NAME_BYTES = 4096 };

static struct {
    bool shown, live;
    const char *unit;
    double last; /* percents */
    struct timespec start;
    uint64_t base, whole; /* of work in parts: what is behind, and all of it */
} bar;

static volatile sig_atomic_t ended_by, asked, held;
static char files[MAX_FILES][NAME_BYTES];
static volatile sig_atomic_t n_files;

/* ---- showing ---------------------------------------------------------------------------- */

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void show_live(double percent, uint64_t done, uint64_t total)
{
    enum { WIDTH = 28 };
    char cells[WIDTH + 1], a[32], b[32], rate[32];
    const double s = seconds_since(&bar.start);
    const double speed = s > 0 ? (double)done / s : 0;
    const int full = (int)(percent / 100 * WIDTH);
    memset(cells, ' ', WIDTH);
    memset(cells, '=', (size_t)full);
    if (full > 0 && full < WIDTH)
        cells[full - 1] = '>';
    cells[WIDTH] = '\0';
    printf("\r%5.1f%% [%s] %s of %s", percent, cells, human(done, a), human(total, b));
    if (speed > 0) {
        const double left = (double)(total - done) / speed;
        printf(", %s/s, %d:%02d left", human((uint64_t)speed, rate), (int)(left / 60),
               (int)left % 60);
    }
    printf("\033[K");
    fflush(stdout);
}

static void show_plain(double percent)
{
    printf("    (%3.2f/100%%)\r", percent);
    fflush(stdout);
}

void progress_begin(bool wanted, const char *unit)
{
    bar.shown = wanted;
    bar.live = wanted && isatty(STDOUT_FILENO) && !compatible();
    bar.unit = unit;
    bar.last = 0;
    bar.base = bar.whole = 0;
    clock_gettime(CLOCK_MONOTONIC, &bar.start);
    if (wanted && !bar.live)
        show_plain(0);
}

void progress_part(uint64_t base, uint64_t whole)
{
    bar.base = base;
    bar.whole = whole;
}

void progress_at(uint64_t done, uint64_t total)
{
    if (bar.whole != 0) {
        done += bar.base;
        total = bar.whole;
    }
    const double percent = total != 0 ? 100.0 * (double)done / (double)total : 0;
    if (asked) {
        asked = 0;
        printf("    (%3.2f/100%%)%s", percent, bar.shown ? "\r" : "\n");
        fflush(stdout);
    }
    if (!bar.shown)
        return;
    if (bar.live) {
        show_live(percent, done, total);
    } else if (percent >= bar.last + 1 || (percent >= 100 && bar.last < 100)) {
        bar.last = percent;
        show_plain(percent);
    }
}

void progress_end(void)
{
    if (bar.shown && !bar.live)
        show_plain(100);
    if (bar.shown)
        printf("\n");
    bar.shown = false;
}

/* ---- being interrupted ------------------------------------------------------------------ */

/* What is being made goes away at once, whatever the program waits for. Work on images that were
 * there before is ended in order, by whoever looks at interrupted(). */
static void on_end(int sig)
{
    if (n_files != 0 && held && !ended_by) {
        ended_by = sig;
        return;
    }
    if (n_files != 0) {
        for (int i = 0; i < n_files; i++)
            (void)unlink(files[i]);
        _exit(128 + sig);
    }
    if (ended_by)
        _exit(128 + sig);
    ended_by = sig;
}

static void on_ask(int sig)
{
    (void)sig;
    asked = 1;
}

void catch_signals(void)
{
    static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction end = { .sa_handler = on_end, .sa_flags = SA_RESTART };
    struct sigaction ask = { .sa_handler = on_ask, .sa_flags = SA_RESTART };
    sigemptyset(&end.sa_mask);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct sigaction old;
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ends[i], &end, NULL);
        sigaddset(&end.sa_mask, ends[i]);
    }
    sigaction(SIGUSR1, &ask, NULL);
}

bool interrupted(void)
{
    return ended_by != 0;
}

void hold_signals(bool hold)
{
    held = hold;
    if (!hold && ended_by && n_files != 0)
        on_end(ended_by);
}

void half_made(const char *name)
{
    if (name == NULL) {
        n_files = 0;
    } else if (n_files < MAX_FILES && strlen(name) < NAME_BYTES) {
        memcpy(files[n_files], name, strlen(name) + 1);
        n_files = n_files + 1;
    }
}

void give_up(void)
{
    if (bar.shown)
        printf("\n");
    fflush(stdout);
    exit(128 + (ended_by != 0 ? ended_by : SIGINT));
}

int wait_job(vm_job *job)
{
    const int64_t look = 50 * 1000 * 1000;
    uint64_t done = 0, total = 0;
    int st;
    while ((st = vm_job_wait(job, look)) == VM_E_TIMEOUT) {
        if (interrupted())
            vm_job_cancel(job);
        if (vm_job_progress(job, &done, &total) == VM_OK)
            progress_at(done, total);
    }
    if (st >= VM_OK && vm_job_progress(job, &done, &total) == VM_OK)
        progress_at(total, total);
    vm_job_unref(job);
    return st;
}
