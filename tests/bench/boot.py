#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Boot of the Debian installer's kernel to its "no root file system" panic: libvm beside QEMU TCG.

No initrd, so the kernel runs its whole start-up and then gives up: the same work for both. Same -m,
same command line, runs interleaved, medians of CPU seconds and wall seconds up to the panic.
"""
import argparse
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import measure  # noqa: E402
import media  # noqa: E402

VMRUN = os.environ.get("VMRUN_BENCH", os.path.join(media.ROOT, "build/examples/vmrun/vmrun"))
PANIC = b"Kernel panic - not syncing"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kernel", default="installer-amd64", help="a medium of tests/support/media.py")
    parser.add_argument("--append", default="console=ttyS0")
    parser.add_argument("--accel", help="libvm's engine, as for vmrun -accel")
    options = parser.parse_args()
    kernel = media.get(options.kernel)[0]
    guest = ["-m", "512", "-kernel", kernel, "-append", options.append, "-nographic", "-no-reboot"]
    peers = {"qemu": ["qemu-system-x86_64", "-accel", "tcg", "-vga", "none", "-net", "none", *guest]}
    if os.access(VMRUN, os.X_OK):
        accel = ["-accel", options.accel] if options.accel else []
        peers["libvm"] = [VMRUN, *accel, *guest]
    else:
        print("boot: no vmrun at %s, so the peer alone" % VMRUN)
    print("host: " + measure.host())
    runs = {name: [] for name in peers}
    for _ in range(options.rounds):
        for name, argv in peers.items():
            runs[name].append(measure.run(argv, until=PANIC, timeout=300))
    median = {}
    for name, done in runs.items():
        median[name] = [statistics.median(getattr(r, what) for r in done) for what in ("cpu", "wall")]
        print("%-6s CPU %6.2f s  wall %6.2f s  (%d runs, CPU %s)" % (
            name, *median[name], len(done), " ".join("%.2f" % r.cpu for r in done)))
    if "libvm" in median:
        print("libvm/qemu: CPU %.2fx, wall %.2fx" % tuple(a / b for a, b in zip(median["libvm"], median["qemu"])))


if __name__ == "__main__":
    try:
        main()
    except (measure.Stuck, media.MediaError) as e:
        sys.exit("boot: %s" % e)
