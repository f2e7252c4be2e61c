#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libvm's speed beside Debian's bochs, on the same guest code in the same run.

One payload of ordinary integer loops, 32-bit protected mode and 64-bit, both with paging: a boot
sector for Bochs, a Multiboot kernel for libvm (and for QEMU, if asked). Host CPU seconds
(user + system), the cost of starting up taken off (same payload, no loops), runs interleaved,
medians. Instructions are as Bochs's clock counts them.
"""
import argparse
import json
import math
import os
import re
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import measure  # noqa: E402
import payload  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VMRUN = os.environ.get("VMRUN_BENCH", os.path.join(ROOT, "build/examples/vmrun/vmrun"))
BOCHSRC = """megs: 64
cpu: model=corei7_haswell_4770, count=1, ips=50000000
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
display_library: term
ata0-master: type=disk, mode=flat, path=disk.img, cylinders=%d, heads=%d, spt=%d
boot: disk
clock: sync=none, time0=1000000000
log: log.txt
debugger_log: /dev/null
com1: enabled=1, mode=file, dev=serial.txt
sound: driver=dummy
speaker: enabled=0
panic: action=fatal
error: action=report
info: action=report
"""


def checksum(text):
    found = re.search(rb"sum ([0-9a-f]{8})", text)
    if not found:
        raise measure.Stuck("no checksum in %r" % text[-200:])
    return found.group(1).decode()


class Bochs:
    name = "bochs"

    def __init__(self, place):
        self.place = os.path.join(place, "bochs")
        os.mkdir(self.place)
        self.file("bochsrc", (BOCHSRC % (payload.CYLINDERS, payload.HEADS, payload.SPT)).encode())
        self.file("go", b"c\n")  # Debian's build starts in its debugger
        self.ticks = 0

    def file(self, name, data=None):
        path = os.path.join(self.place, name)
        if data is None:
            with open(path, "rb") as f:
                return f.read()
        with open(path, "wb") as f:
            return f.write(data)

    def run(self, image):
        self.file("serial.txt", b"")
        self.file("disk.img", payload.disk(self.place, image))
        done = measure.run(["bochs", "-q", "-f", "bochsrc", "-rc", "go"], cwd=self.place, terminal=True)
        self.ticks = int(self.file("log.txt").strip().split(b"\n")[-1][:11])
        return done.cpu, checksum(self.file("serial.txt"))


class Multiboot:
    def __init__(self, place, name, argv):
        self.name, self.argv = name, argv
        self.kernel = os.path.join(place, name + "-kernel.bin")

    def run(self, image):
        with open(self.kernel, "wb") as f:
            f.write(image)
        done = measure.run([*self.argv, "-m", "64", "-kernel", self.kernel, "-no-reboot",
                            "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
        return done.cpu, checksum(done.output)


def peers(place, options):
    found = [Bochs(place)]
    if os.access(VMRUN, os.X_OK):
        accel = ["-accel", options.accel] if options.accel else []
        found.append(Multiboot(place, "libvm", [VMRUN, *accel, "-nographic"]))
    else:
        print("interp: no vmrun at %s, so the peers alone" % VMRUN)
    if options.qemu:
        found.append(Multiboot(place, "qemu", ["qemu-system-x86_64", "-accel", "tcg", "-display", "none",
                                               "-vga", "none", "-net", "none", "-serial", "stdio"]))
    return found


def calibrate(bochs, image, kernel, instructions):
    """(loops, instructions in them) for about that many instructions."""
    def ticks(loops):
        bochs.run(payload.with_params(image, kernel, loops))
        return bochs.ticks
    ten = ticks(20) - ticks(10)  # what a kernel prepares before its first loop drops out
    loops = max(1, round(instructions / (ten / 10)))
    return loops, loops * ten / 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mode", type=int, choices=(32, 64), help="one mode alone")
    parser.add_argument("--kernel", choices=payload.KERNELS, action="append", help="these alone")
    parser.add_argument("--minsns", type=float, default=100, help="million instructions a run (100)")
    parser.add_argument("--qemu", action="store_true",
                        help="QEMU TCG too; give it --minsns 2000 or start-up drowns it")
    parser.add_argument("--accel", help="libvm's engine, as for vmrun -accel")
    parser.add_argument("--json", help="write the figures there too")
    options = parser.parse_args()
    modes = [options.mode] if options.mode else [32, 64]
    kernels = options.kernel or payload.KERNELS
    with tempfile.TemporaryDirectory() as place:
        run_all(place, options, modes, kernels)


def run_all(place, options, modes, kernels):
    who = peers(place, options)
    images = {mode: payload.build(place, mode) for mode in modes}
    print("host: " + measure.host())
    work = {(m, k): calibrate(who[0], images[m], k, options.minsns * 1e6) for m in modes for k in kernels}
    idle, cost, sums = {}, {}, {}
    for _ in range(options.rounds):
        for mode in modes:
            for peer in who:
                cpu, _ = peer.run(payload.with_params(images[mode], kernels[0], 0))
                idle.setdefault((peer.name, mode), []).append(cpu)
            for kernel in kernels:
                image = payload.with_params(images[mode], kernel, work[mode, kernel][0])
                for peer in who:
                    cpu, result = peer.run(image)
                    cost.setdefault((peer.name, mode, kernel), []).append(cpu)
                    sums.setdefault((mode, kernel), {}).setdefault(result, set()).add(peer.name)
    wrong = {k: v for k, v in sums.items() if len(v) != 1}
    report(who, work, idle, cost, options)
    if wrong:
        sys.exit("interp: results differ: %s" % wrong)


def report(who, work, idle, cost, options):
    names = [p.name for p in who]
    print("start-up, CPU s: " + ", ".join(
        "%s %.2f" % (n, statistics.median([c for (p, _), cs in idle.items() if p == n for c in cs])) for n in names))
    print("%-5s %-10s %7s" % ("mode", "kernel", "M insns") + "".join(" %9s s %6s" % (n, "MIPS") for n in names) +
          ("  libvm/bochs" if "libvm" in names else ""))
    speed, rows = {}, []
    for (mode, kernel), (loops, instructions) in work.items():
        line = "%-5d %-10s %7.0f" % (mode, kernel, instructions / 1e6)
        row = {"mode": mode, "kernel": kernel, "instructions": instructions}
        for name in names:
            net = statistics.median(cost[name, mode, kernel]) - statistics.median(idle[name, mode])
            net = max(net, 0.001)
            mips = instructions / net / 1e6
            speed.setdefault(name, []).append(mips)
            row[name] = {"seconds": net, "mips": mips}
            line += " %11.3f %6.0f" % (net, mips)
        if "libvm" in names:
            line += "  %10.2fx" % (row["libvm"]["mips"] / row["bochs"]["mips"])
        print(line)
        rows.append(row)
    mean = {n: math.exp(statistics.fmean(map(math.log, speed[n]))) for n in names}
    line = "%-5s %-10s %7s" % ("", "geomean", "")
    line += "".join(" %11s %6.0f" % ("", mean[n]) for n in names)
    if "libvm" in names:
        line += "  %10.2fx" % (mean["libvm"] / mean["bochs"])
    print(line)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump({"host": measure.host(), "rows": rows, "geomean": mean}, f, indent=1)


if __name__ == "__main__":
    try:
        main()
    except measure.Stuck as e:
        sys.exit("interp: %s" % e)
