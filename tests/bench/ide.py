#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Disk throughput by IDE DMA inside a Linux guest, and the way from power-on to GRUB's menu on a CD:
libvm beside QEMU TCG.

Disk: Debian's cloud kernel and a busybox initramfs, started directly; dd moves data in requests of
1 MiB, past the guest's page cache, from and to an image that the host has in its own. MB/s is by the
guest's clock; CPU seconds are the emulator's for the whole run less those of one that moves nothing. GRUB: the
rescue CD through SeaBIOS. Runs interleaved, medians.
"""
import argparse
import os
import re
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import disks  # noqa: E402
import measure  # noqa: E402
import media  # noqa: E402

VMRUN = os.environ.get("VMRUN_BENCH", os.path.join(media.ROOT, "build/examples/vmrun/vmrun"))
DONE = b"guest exit status 0"
REAL = re.compile(rb"real\s+(\d+)m\s*([0-9.]+)s")


def peers(accel):
    found = {"qemu": ["qemu-system-x86_64", "-accel", "tcg", "-net", "none"]}
    if os.access(VMRUN, os.X_OK):
        found["libvm"] = [VMRUN, *(["-accel", accel] if accel else [])]
    else:
        print("ide: no vmrun at %s, so the peer alone" % VMRUN)
    return found


def guest(script, image):
    kernel, initrd = disks.get("ide")
    return ["-m", "256", "-kernel", kernel, "-initrd", initrd, "-nographic", "-no-reboot",
            "-append", 'console=ttyS0 quiet run="%s"' % script,
            "-drive", "file=%s,format=raw,if=ide,index=0" % image]


def median(runs):
    return statistics.median(runs) if runs else float("nan")


def bench_disk(options, found):
    size = options.mb << 20
    scripts = {
        "nothing": "true",
        "read": "time dd if=/dev/sda of=/dev/null bs=1M count=%d iflag=direct" % options.mb,
        "write": "time dd if=/dev/zero of=/dev/sda bs=1M count=%d oflag=direct" % options.mb,
    }
    cpu = {(n, s): [] for n in found for s in scripts}
    rate = {(n, s): [] for n in found for s in scripts}
    with tempfile.TemporaryDirectory() as place:
        image = os.path.join(place, "disk.img")
        with open(image, "wb") as f:
            block = os.urandom(1 << 20)
            for _ in range(options.mb):
                f.write(block)
        for _ in range(options.rounds):
            for what, script in scripts.items():
                for name, argv in found.items():
                    r = measure.run([*argv, *guest(script, image)], until=DONE, timeout=300)
                    cpu[name, what].append(r.cpu)
                    took = REAL.search(r.output)
                    if took:
                        seconds = 60 * int(took.group(1)) + float(took.group(2))
                        rate[name, what].append(size / 1e6 / max(seconds, 0.01))
    for what in ("read", "write"):
        for name in found:
            print("%-5s %-5s %8.0f MB/s  CPU %5.2f s for %d MiB (start-up %.2f s taken off)" % (
                name, what, median(rate[name, what]),
                median(cpu[name, what]) - median(cpu[name, "nothing"]), options.mb,
                median(cpu[name, "nothing"])))
        if "libvm" in found:
            print("libvm/qemu %s: %.2fx" % (what, median(rate["libvm", what]) / median(rate["qemu", what])))


def bench_grub(options, found):
    iso = disks.get("grub-cd")[0]
    runs = {name: [] for name in found}
    for _ in range(options.rounds):
        for name, argv in found.items():
            argv = [*argv, "-m", "128", "-nographic", "-cdrom", iso, "-boot", "d"]
            runs[name].append(measure.run(argv, until=b"highlighted entry", timeout=300))
    for name, done in runs.items():
        print("%-5s GRUB's menu: CPU %5.2f s, wall %5.2f s (%d runs)" % (
            name, median([r.cpu for r in done]), median([r.wall for r in done]), len(done)))
    if "libvm" in runs:
        print("libvm/qemu GRUB: CPU %.2fx" % (median([r.cpu for r in runs["libvm"]])
                                              / median([r.cpu for r in runs["qemu"]])))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mb", type=int, default=256, help="MiB to move each way")
    parser.add_argument("--accel", help="libvm's engine, as for vmrun -accel")
    options = parser.parse_args()
    found = peers(options.accel)
    print("host: " + measure.host())
    bench_disk(options, found)
    bench_grub(options, found)


if __name__ == "__main__":
    try:
        main()
    except (measure.Stuck, media.MediaError) as e:
        sys.exit("ide: %s" % e)
