# SPDX-License-Identifier: MIT
"""Running one emulator to its end and knowing what it cost."""
import collections
import os
import platform
import pty
import select
import signal
import time

Run = collections.namedtuple("Run", "cpu wall output status")


class Stuck(Exception):
    """The child neither ended nor said what was waited for."""


def run(argv, until=None, timeout=300, cwd=None, terminal=False):
    """Run argv; CPU seconds (user + system of the child), wall seconds, output, exit status.

    until: end the child once this byte string was seen. terminal: give it one (Bochs wants it).
    """
    start = time.monotonic()
    if terminal:
        pid, fd = pty.fork()
    else:
        fd, theirs = os.pipe()
        pid = os.fork()
    if pid == 0:
        try:
            if not terminal:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(theirs, 1)
                os.dup2(theirs, 2)
            os.environ["TERM"] = "vt100"
            if cwd:
                os.chdir(cwd)
            os.execvp(argv[0], argv)
        finally:
            os._exit(127)
    if not terminal:
        os.close(theirs)
    output, stuck = b"", False
    while True:
        left = start + timeout - time.monotonic()
        stuck = left <= 0 or not select.select([fd], [], [], left)[0]
        if stuck:
            break
        try:
            data = os.read(fd, 65536)
        except OSError:  # the pty of a child that ended
            data = b""
        output += data
        if not data or (until and until in output[-len(data) - len(until):]):
            break
    wall = time.monotonic() - start
    if stuck or until:
        os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    os.close(fd)
    if stuck or (until and until not in output):
        raise Stuck("%s: %s after %.0f s; last words: %r" % (
            argv[0], "still running" if stuck else "ended without the expected line", wall, output[-200:]))
    return Run(usage.ru_utime + usage.ru_stime, wall, output, status)


def host():
    """One line about this machine."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return "%s, %d CPUs, load %.1f, Linux %s" % (model, os.cpu_count(), os.getloadavg()[0], platform.release())
