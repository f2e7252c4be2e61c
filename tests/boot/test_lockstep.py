# SPDX-License-Identifier: MIT
"""The JIT and the interpreter side by side: two machines with the same instruction-counted clock.

After every step both must have the same registers and the same memory. On a difference the test
narrows it to the instruction after which it shows, and prints both states and the code there.
"""
import os

import pytest

import libvm
from conftest import medium

NAMES = ("rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rip rflags cr0 cr2 cr3 cr4 "
         "mxcsr xmm0 xmm1 xmm7 xmm15").split()
MEMORY = 80 << 20


class Pair:
    def __init__(self, options):
        keys = {"memory.size": str(MEMORY), "clock.mode": "icount", "rng.seed": "1", "jit.exact": "on",
                "jit.threshold": os.environ.get("LIBVM_JIT_THRESHOLD", "4"), **options}
        self.machines = [libvm.Machine({**keys, "engine": e}) for e in ("interp", "jit")]

    def close(self):
        for m in self.machines:
            m.close()

    def run(self, n):
        for m in self.machines:
            if n:
                m.run(max_insns=n, timeout=300)

    def registers(self):
        out = []
        for m in self.machines:
            r = m.cpus[0].regs
            out.append({n: r[n] for n in NAMES})
        return out

    def difference(self, memory):
        a, b = self.registers()
        found = {n: (hex(a[n]), hex(b[n])) for n in NAMES if a[n] != b[n]}
        if not memory or found:
            return found
        for at in [*range(0, 0xa0000, 0x20000), *range(1 << 20, MEMORY, 1 << 20)]:
            size = 0x20000 if at < 1 << 20 else 1 << 20
            p, q = (m.read(at, size) for m in self.machines)
            if p != q:
                k = next(k for k in range(size) if p[k] != q[k])
                return {"memory at %#x" % (at + k): (p[k:k + 16].hex(), q[k:k + 16].hex())}
        return {}


def narrow(options, good, bad):
    """The instruction count in (good, bad] after which the two differ, and what differs."""
    start = good
    while bad - good > 1:
        middle = (good + bad) // 2
        pair = Pair(options)
        pair.run(start)
        pair.run(middle - start)
        if pair.difference(True):
            bad = middle
        else:
            good = middle
        pair.close()
    pair = Pair(options)
    pair.run(start)
    pair.run(good - start)
    before = pair.registers()[0]
    try:
        code = pair.machines[0].cpus[0].read(before["rip"], 15).hex()
    except libvm.Error:
        code = "unreadable"
    pair.close()
    pair = Pair(options)
    pair.run(start)
    pair.run(bad - start)
    found = pair.difference(True)
    pair.close()
    return "after instruction %d (interpreter before it: %s; code %s) interp and jit have %s" % (
        bad, {n: hex(v) for n, v in before.items()}, code, found)


def lockstep(options, total, step):
    pair, at = Pair(options), 0
    try:
        while at < total:
            pair.run(step)
            if pair.difference(True):
                pytest.fail(narrow(options, at, at + step))
            at += step
    finally:
        pair.close()


def test_kernel_start():
    kernel, = medium("cloud")
    lockstep({"boot.kernel": kernel, "boot.cmdline": "console=ttyS0"}, 400_000_000, 50_000_000)


@pytest.mark.long
@pytest.mark.parametrize("kernel,initrd", [("cloud", "initrd-amd64"), ("amd64", "initrd-amd64"),
                                           ("686", "initrd-i386"), ("686-pae", "initrd-i386")])
def test_boot_to_a_shell(kernel, initrd):
    kernel, initrd = medium(kernel, initrd)
    lockstep({"boot.kernel": kernel, "boot.initrd": initrd, "boot.cmdline": "console=ttyS0"},
             2_500_000_000, 100_000_000)


def test_firmware():
    try:
        libvm.Machine({}).close()
    except libvm.Error as e:
        pytest.skip(str(e))
    lockstep({}, 100_000_000, 20_000_000)
