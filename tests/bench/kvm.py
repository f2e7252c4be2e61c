#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What an exit from the guest costs: a loop of port writes under KVM, libvm beside QEMU.

The guest is a firmware image of its own: a loop that writes to the first serial port's scratch
register, a register that does nothing, and then a write that ends the machine. The cost of a write is
the difference between a long loop and none, divided by its length, so that starting up does not
count. Runs interleaved, medians; wall clock, and CPU time of user and system.
"""
import argparse
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import media  # noqa: E402

VMRUN = os.environ.get("VMRUN_BENCH", os.path.join(media.ROOT, "build/examples/vmrun/vmrun"))
SCRATCH, EXIT = 0x3FF, 0xF4
SIZE = 0x10000


def image(writes):
    """Firmware of 64 KiB: 16-bit code at its start, a jump there at the reset vector."""
    code = b"\x66\xb9" + struct.pack("<I", writes)            # mov ecx, writes
    code += b"\xba" + struct.pack("<H", SCRATCH)              # mov dx, SCRATCH
    code += b"\x66\x85\xc9\x74\x05"                           # test ecx, ecx; jz end
    code += b"\xee\x66\x49\x75\xfb"                           # again: out dx, al; dec ecx; jnz again
    code += b"\xb0\x00\xe6" + bytes([EXIT]) + b"\xf4\xeb\xfd"  # end: mov al, 0; out EXIT, al; hlt
    rom = bytearray(code.ljust(SIZE, b"\xf4"))
    rom[0xFFF0:0xFFF3] = b"\xe9" + struct.pack("<H", SIZE - 0xFFF3)  # jmp to the start
    return bytes(rom)


def run(command):
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=600)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if status.returncode != 1:  # what isa-debug-exit makes of 0
        sys.exit("kvm: %s ended with %d: %s" % (command[0], status.returncode,
                                                status.stdout.decode(errors="replace")[-300:]))
    return wall, (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def peers():
    machine = ["-m", "16", "-display", "none", "-serial", "null", "-monitor", "none", "-no-reboot",
               "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]
    found = {"qemu": ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "qemu64", "-net", "none",
                      "-vga", "none", *machine]}
    if os.access(VMRUN, os.X_OK):
        found["libvm"] = [VMRUN, "-accel", "kvm", "-cpu", "qemu64", "-vga", "none", *machine]
    else:
        print("kvm: no vmrun at %s, so the peer alone" % VMRUN)
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--writes", type=int, default=200000)
    p.add_argument("--rounds", type=int, default=5)
    options = p.parse_args()
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("kvm: no /dev/kvm here, nothing to measure")
        return
    found = peers()
    took = {(n, w): [] for n in found for w in (0, options.writes)}
    with tempfile.TemporaryDirectory() as place:
        paths = {}
        for writes in (0, options.writes):
            paths[writes] = os.path.join(place, "loop-%d.bin" % writes)
            with open(paths[writes], "wb") as f:
                f.write(image(writes))
        for _ in range(options.rounds):
            for name, command in found.items():
                for writes, path in paths.items():
                    took[name, writes].append(run([*command, "-bios", path]))
    cost = {}
    for name in found:
        cost[name] = [(statistics.median(r[k] for r in took[name, options.writes]) -
                       statistics.median(r[k] for r in took[name, 0])) / options.writes * 1e6
                      for k in (0, 1)]
        print("%-6s %6.2f us a write by the clock, %6.2f us of CPU" % (name, *cost[name]))
    if len(cost) == 2:
        print("ratio  %6.2f                   %6.2f" % tuple(cost["libvm"][k] / cost["qemu"][k]
                                                             for k in (0, 1)))


if __name__ == "__main__":
    main()
