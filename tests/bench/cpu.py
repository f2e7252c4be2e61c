#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compute kernels in a guest under Debian's kernel: libvm's engines, QEMU TCG, and the host itself.

The kernels (payload/cpu.c) are the guest's first program and say on the serial line where each
begins and ends; what counts is the CPU time of the emulator's process in between, so a loaded host
disturbs little. Runs are interleaved; the table has medians, as multiples of the host's own time.
"""
import argparse
import math
import os
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import measure  # noqa: E402
import media  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
VMRUN = os.environ.get("VMRUN_BENCH", os.path.join(media.ROOT, "build/examples/vmrun/vmrun"))
MARK = re.compile(rb"<()(\w+)>\s|<(/)(\w+)> ([0-9a-f]+)\s")
FLOATING = ("matmul", "nbody")
STRING = ("fill",)


def cpu_seconds(pid):
    """What all threads of a process have used. The process's own CPU clock is exact; what /proc says
    is only brought up to date at the scheduler's ticks, 4 ms apart."""
    return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED, as clock_getcpuclockid() gives it


def run(argv, timeout):
    """Seconds and result by kernel."""
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
    took, result, text, began, done = {}, {}, b"", 0.0, 0
    end = time.monotonic() + timeout
    try:
        while "end" not in result:
            left = end - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                raise measure.Stuck("%s: no end; last words %r" % (argv[0], text[-200:]))
            data = os.read(child.stdout.fileno(), 65536)
            now = cpu_seconds(child.pid)
            if not data:
                raise measure.Stuck("%s ended early: %r" % (argv[0], text[-300:]))
            text += data
            for m in MARK.finditer(text):
                name = (m.group(2) or m.group(4)).decode()
                if m.group(3):
                    took[name], result[name] = now - began, m.group(5)
                elif name == "end":
                    result[name] = b""
                else:
                    began = now
                done = m.end()
            text, done = text[done:], 0
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    return took, result


def build(place, scale):
    """The program, and an initramfs whose init it is."""
    program = os.path.join(place, "cpu")
    subprocess.run(["gcc", "-O2", "-static", "-o", program, os.path.join(HERE, "payload/cpu.c")], check=True)
    with open(program, "rb") as f:
        data = f.read()
    archive = media.cpio_newc([("dev", 0o040755, b"", 0, 0), ("dev/console", 0o020600, b"", 5, 1),
                               ("init", 0o100755, data, 0, 0)])
    initrd = os.path.join(place, "initrd")
    with open(initrd, "wb") as f:
        f.write(archive)
    return program, initrd


def geomean(values):
    return math.exp(statistics.mean(math.log(v) for v in values)) if values else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=int, default=1, help="repeat every kernel so often")
    parser.add_argument("--peers", default="native,jit,tcg", help="of native, jit, interp, tcg")
    parser.add_argument("--timeout", type=float, default=300)
    options = parser.parse_args()
    peers = options.peers.split(",")
    with tempfile.TemporaryDirectory() as place:
        program, initrd = build(place, options.scale)
        kernel = media.get("cloud")[0]
        guest = ["-m", "256", "-kernel", kernel, "-initrd", initrd, "-nographic", "-no-reboot",
                 "-append", "console=ttyS0 quiet mitigations=off -- %d" % options.scale]
        argv = {"native": [program, str(options.scale)],
                "tcg": ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-vga", "none", "-net", "none", *guest],
                "jit": [VMRUN, "-accel", "jit", *guest], "interp": [VMRUN, "-accel", "interp", *guest]}
        print("host: " + measure.host())
        took, results = {p: {} for p in peers}, {}
        for _ in range(options.rounds):
            for p in peers:
                seconds, result = run(argv[p], options.timeout)
                for name, s in seconds.items():
                    took[p].setdefault(name, []).append(s)
                    if results.setdefault(name, result[name]) != result[name]:
                        sys.exit("cpu: %s computes %s wrongly" % (p, name))
    report(peers, {p: {n: statistics.median(s) for n, s in t.items()} for p, t in took.items()})


def report(peers, median):
    names = list(median[peers[0]])
    base = median.get("native") or median[peers[0]]
    print("%-8s %9s " % ("", "seconds") + " ".join("%8s" % p for p in peers))
    for n in names:
        print("%-8s %9.4f " % (n, base[n]) + " ".join("%8.2f" % (median[p][n] / base[n]) for p in peers))
    groups = {"integer": [n for n in names if n not in FLOATING + STRING],
              "floating": [n for n in names if n in FLOATING], "string": [n for n in names if n in STRING]}
    for g, members in groups.items():
        print("%-8s %9s " % (g, "geomean") + " ".join(
            "%8.2f" % geomean([median[p][n] / base[n] for n in members]) for p in peers))
        if "jit" in peers:
            for p in peers:
                if p not in ("jit", "native"):
                    print("%-8s jit is %.2f times as fast as %s" % (g, geomean(
                        [median[p][n] / median["jit"][n] for n in members]), p))


if __name__ == "__main__":
    try:
        main()
    except (measure.Stuck, media.MediaError) as e:
        sys.exit("cpu: %s" % e)
