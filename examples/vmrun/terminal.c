/* SPDX-License-Identifier: MIT */
/**
 * @file terminal.c
 * Raw terminal input that never outlives the program.
 *
 * Output processing stays on: our own lines need it, and a guest's "\r\n" looks the same with it.
 * What a signal handler reads is written once, before the handlers are installed.
 */
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "vmrun.h"

static struct termios saved, raw;
static volatile sig_atomic_t is_raw;

void terminal_restore(void)
{
    if (is_raw) {
        is_raw = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    }
}

/** A signal that ends the program: give the terminal back, then die of it as usual. */
static void on_fatal(int sig)
{
    terminal_restore();
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

/** Stop like any program; take the terminal again when continued. */
static void on_suspend(int sig)
{
    int was_raw = is_raw;
    (void)sig;
    terminal_restore();
    (void)raise(SIGSTOP);
    if (was_raw && tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0)
        is_raw = 1;
}

void terminal_raw(bool signals)
{
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT };
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved) != 0)
        return;
    raw = saved;
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
    if (!signals)
        raw.c_lflag &= ~(tcflag_t)ISIG;
    raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    (void)atexit(terminal_restore);
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        (void)signal(fatal[i], on_fatal);
    (void)signal(SIGTSTP, on_suspend);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0)
        is_raw = 1;
}
