# SPDX-License-Identifier: MIT
"""A guest's time and what it costs the host. Ratios between clocks, never speeds."""
import os
import re
import time

from conftest import PATIENCE


def cpu_seconds():
    t = os.times()
    return t.user + t.system


def test_idle_guest_leaves_the_host_alone(busybox_guest):
    with busybox_guest() as g:
        g.shell()
        time.sleep(2)  # let the kernel finish its start-up work
        start, busy = time.monotonic(), cpu_seconds()
        time.sleep(5)
        share = (cpu_seconds() - busy) / (time.monotonic() - start)
        assert share < 0.10, f"idle guest takes {share:.1%} of a host CPU"


def test_busy_guest_keeps_time_within_one_percent(busybox_guest):
    with busybox_guest() as g:
        g.shell()
        g.run("(while :; do :; done) & echo started")
        # The guest reads its clock at two moments that the host sees too.
        stamps = []
        for _ in range(2):
            out, _ = g.run("cat /proc/uptime", PATIENCE)
            stamps.append((g.machine.clock_ns / 1e9, float(re.search(r"[\d.]+", out).group())))
            time.sleep(8)
        host, guest = (stamps[1][k] - stamps[0][k] for k in (0, 1))
        assert abs(guest / host - 1) < 0.01 + 0.1 / host, f"{guest:.2f} s in {host:.2f} s"


def test_sleep_takes_as_long_as_it_says(busybox_guest):
    with busybox_guest() as g:
        g.shell()
        before = g.machine.clock_ns
        g.run("sleep 4")
        took = (g.machine.clock_ns - before) / 1e9
        assert 3.99 < took < 4.6
