#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What operating systems do all day: libvm's engines beside QEMU TCG under Debian's kernel.

Boots to the "no root file system" panic and to a shell; then processes, system calls, page faults, a
pipe, files, and gcc, Python and OpenSSL from Debian packages, as the guest's first program
(payload/os.c). CPU time of the emulator's process and wall time between the marks that the guest
writes; runs are interleaved, the table has medians and how many times as fast libvm is.
"""
import argparse
import glob
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
import userland  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
VMRUN = os.environ.get("VMRUN_BENCH", os.path.join(media.ROOT, "build/examples/vmrun/vmrun"))
MARK = re.compile(rb"<()(\w+)>\s|<(/)(\w+) ([0-9.]+) (-?\d+)>\s")
SOURCE = "lib/blockfmt/qcow2.c"  # 2,400 lines once preprocessed


def cpu_seconds(pid):
    """What all threads of a process have used, from the scheduler's own count."""
    total = 0
    for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
        try:
            with open(path, encoding="ascii") as f:
                total += int(f.read().split()[0])
        except OSError:
            pass  # a thread that has just ended
    return total / 1e9


class Bad(Exception):
    """A guest did its work wrongly."""


def works(argv, timeout):
    """(CPU, wall) seconds by work."""
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
    took, text, began = {}, b"", (0.0, 0.0)
    end = time.monotonic() + timeout
    try:
        while "end" not in took:
            left = end - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                raise measure.Stuck("%s: no end; last words %r" % (argv[0], text[-300:]))
            data = os.read(child.stdout.fileno(), 65536)
            now = cpu_seconds(child.pid), time.monotonic()
            if not data:
                raise measure.Stuck("%s ended early: %r" % (argv[0], text[-300:]))
            text += data
            done = 0
            for m in MARK.finditer(text):
                name = (m.group(2) or m.group(4)).decode()
                if m.group(3):
                    if m.group(6) != b"0":
                        raise Bad("%s failed under %s: %r" % (name, argv[0], text[-400:]))
                    took[name] = now[0] - began[0], now[1] - began[1]
                elif name == "end":
                    took[name] = 0, 0
                else:
                    began = now
                done = m.end()
            text = text[done:] if done else text[-4096:]
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    del took["end"]
    return took


def build(place):
    """The initramfs: packages, the program that drives them, what they work on."""
    program = os.path.join(place, "os")
    subprocess.run(["gcc", "-O2", "-static", "-o", program, os.path.join(HERE, "payload/os.c")], check=True)
    source = subprocess.run(["gcc", "-E", "-P", "-D_GNU_SOURCE", "-Iinclude", "-Ilib", SOURCE], check=True,
                            cwd=media.ROOT, capture_output=True).stdout
    key = subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
                         check=True, capture_output=True).stdout
    with open(program, "rb") as f:
        data = f.read()
    more = [("dev", 0o040755, b"", 0, 0), ("dev/console", 0o020600, b"", 5, 1), ("init", 0o100755, data, 0, 0),
            ("x.i", 0o100644, source, 0, 0), ("key.pem", 0o100644, key, 0, 0)]
    path = os.path.join(place, "initrd")
    with open(path, "wb") as f:
        f.write(userland.archive(more))
    return path


def emulator(peer, cpus):
    """The command line of a peer, without its guest."""
    if peer == "tcg":
        return ["qemu-system-x86_64", "-accel", "tcg,thread=%s" % ("multi" if cpus > 1 else "single"),
                "-cpu", "max", "-vga", "none", "-net", "none"]
    return [VMRUN, "-accel", peer]


def one_round(peer, options, initrd):
    """(CPU, wall) seconds by row."""
    base = [*emulator(peer, options.smp), "-smp", str(options.smp), "-nographic", "-no-reboot"]
    kernel, plain = media.get("cloud")[0], media.get("initrd-amd64")[0]
    took = {}
    if "boot" not in options.skip:
        quiet = ["-append", "console=ttyS0"]
        done = measure.run([*base, "-m", "512", "-kernel", kernel, *quiet], until=b"Kernel panic - not syncing",
                           timeout=options.timeout)
        took["to panic"] = done.cpu, done.wall
        done = measure.run([*base, "-m", "512", "-kernel", kernel, "-initrd", plain, *quiet],
                           until=b"/ # ", timeout=options.timeout)
        took["to shell"] = done.cpu, done.wall
    if "works" not in options.skip:
        took.update(works([*base, "-m", "1024", "-kernel", kernel, "-initrd", initrd, "-append",
                           "console=ttyS0 quiet mitigations=off"], options.timeout))
    return took


def geomean(values):
    return math.exp(statistics.mean(math.log(max(v, 1e-6)) for v in values)) if values else float("nan")


def report(peers, runs):
    """A row each: medians, and ratios to the first libvm engine."""
    median = {p: {n: [statistics.median(t[k] for t in times) for k in (0, 1)] for n, times in rows.items()}
              for p, rows in runs.items()}
    mine = next((p for p in peers if p != "tcg"), None)
    print("%-10s" % "" + "".join("%10s %9s" % (p + " cpu", "wall") for p in peers) +
          ("%12s %8s" % ("tcg/%s cpu" % mine, "wall") if mine and "tcg" in peers else ""))
    ratios = []
    for n in median[peers[0]]:
        line = "%-10s" % n + "".join("%10.2f %9.2f" % tuple(median[p][n]) for p in peers)
        if mine and "tcg" in peers:
            ratio = [median["tcg"][n][k] / max(median[mine][n][k], 1e-6) for k in (0, 1)]
            ratios.append(ratio)
            line += "%12.2f %8.2f" % tuple(ratio)
        print(line)
    if ratios:
        print("%s is %.2f times as fast as tcg by CPU time, %.2f by wall time (geometric means)" % (
            mine, geomean([r[0] for r in ratios]), geomean([r[1] for r in ratios])))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smp", type=int, default=1)
    parser.add_argument("--peers", default="jit,tcg", help="of jit, interp, tcg")
    parser.add_argument("--skip", default="", help="boot or works")
    parser.add_argument("--timeout", type=float, default=300)
    options = parser.parse_args()
    peers = options.peers.split(",")
    print("host: " + measure.host())
    with tempfile.TemporaryDirectory() as place:
        initrd = build(place)
        runs = {p: {} for p in peers}
        for _ in range(options.rounds):
            for p in peers:
                for name, took in one_round(p, options, initrd).items():
                    runs[p].setdefault(name, []).append(took)
    report(peers, runs)


if __name__ == "__main__":
    try:
        main()
    except (measure.Stuck, media.MediaError, Bad) as e:
        sys.exit("os: %s" % e)
