#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An image read through vmnbd beside qemu-nbd, by fio over a unix socket.

The image lies in the host's page cache, so what is measured is the servers. Runs interleaved,
medians; ratios are libvm to QEMU: rates above 1 and processor time below 1 are ahead.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import measure  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VMNBD = os.environ.get("VMNBD_BENCH", os.path.join(ROOT, "build/examples/vmnbd/vmnbd"))
CASES = {
    "4k random read, depth 16": ["--rw=randread", "--bs=4k", "--iodepth=16"],
    "4k random read, depth 1": ["--rw=randread", "--bs=4k", "--iodepth=1"],
    "4k random write, depth 16": ["--rw=randwrite", "--bs=4k", "--iodepth=16"],
    "1M sequential read, depth 8": ["--rw=read", "--bs=1m", "--iodepth=8"],
}


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def once(program, image, place, case, seconds):
    """(KiB/s, operations, the server's CPU seconds) of one run."""
    socket = os.path.join(place, "socket")
    server = subprocess.Popen([program, "-t", "-e", "4", "-f", image[1], "-k", socket, image[0]],
                              stdin=subprocess.DEVNULL)
    try:
        while not os.path.exists(socket):
            if server.poll() is not None:
                raise measure.Stuck("%s ended" % program)
            time.sleep(0.01)
        done = subprocess.run(
            ["fio", "--name=x", "--ioengine=nbd", "--uri=nbd+unix:///?socket=" + socket, "--time_based",
             "--runtime=%d" % seconds, "--output-format=terse", "--terse-version=3", *case],
            capture_output=True, text=True, timeout=60 + seconds, check=True)
        cpu = cpu_seconds(server.pid)
    finally:
        server.terminate()
        server.wait()
        if os.path.exists(socket):
            os.unlink(socket)
    line = next(x for x in done.stdout.splitlines() if x.startswith("3;")).split(";")
    at = 5 if int(line[5]) else 46  # totals of reads, or of writes: KiB, KiB/s, IOPS
    return float(line[at + 1]), float(line[at + 2]) * seconds, cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    parser.add_argument("--mb", type=int, default=256, help="MiB of the image")
    parser.add_argument("--format", default="raw")
    options = parser.parse_args()
    for name in ("fio", "qemu-nbd", "qemu-img"):
        if shutil.which(name) is None:
            sys.exit("nbd: %s is not installed" % name)
    print("host: " + measure.host())
    programs = {"libvm": VMNBD, "qemu": "qemu-nbd"}
    with tempfile.TemporaryDirectory() as place:
        raw, image = os.path.join(place, "raw"), os.path.join(place, "image")
        with open(raw, "wb") as f:
            block = os.urandom(1 << 20)
            for _ in range(options.mb):
                f.write(block)
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", options.format, raw, image], check=True)
        os.unlink(raw)
        for what, case in CASES.items():
            runs = {name: [] for name in programs}
            for _ in range(options.rounds):
                for name, program in programs.items():
                    runs[name].append(once(program, (image, options.format), place, case, options.seconds))
            rate = {n: statistics.median(r[0] for r in v) for n, v in runs.items()}
            cpu = {n: statistics.median(r[2] * 1e6 / r[1] for r in v) for n, v in runs.items()}
            for name in programs:
                print("%-28s %-5s %8.0f MiB/s  %6.1f us of CPU an operation" % (
                    what, name, rate[name] / 1024, cpu[name]))
            print("%-28s ratio: rate %.2f, CPU an operation %.2f" % (
                what, rate["libvm"] / rate["qemu"], cpu["libvm"] / cpu["qemu"]))


if __name__ == "__main__":
    try:
        main()
    except measure.Stuck as e:
        sys.exit("nbd: %s" % e)
