# SPDX-License-Identifier: MIT
"""The JIT and the interpreter side by side: two machines with the same instruction-counted clock.

vm_lockstep() compares processors, devices and memory after every step. On a difference it names the
instruction after which it shows, with both states and the code there.
"""
import os
import re

import pytest

import libvm
from conftest import medium

MEMORY = 80 << 20


def lockstep(options, total, step, memory=MEMORY):
    keys = {"memory.size": str(memory), "clock.mode": "icount", "rng.seed": "1", "jit.exact": "on",
            "jit.threshold": os.environ.get("LIBVM_JIT_THRESHOLD", "4"), **options}
    with libvm.Machine({**keys, "engine": "interp"}) as a, libvm.Machine({**keys, "engine": "jit"}) as b:
        a.lockstep(b, total, step)


def test_kernel_start():
    kernel, = medium("cloud")
    lockstep({"boot.kernel": kernel, "boot.cmdline": "console=ttyS0"}, 400_000_000, 50_000_000)


@pytest.mark.long
@pytest.mark.parametrize("kernel,initrd", [("cloud", "initrd-amd64"), ("amd64", "initrd-amd64"),
                                           ("686", "initrd-i386"), ("686-pae", "initrd-i386")])
def test_boot_to_a_shell(kernel, initrd):
    kernel, initrd = medium(kernel, initrd)
    lockstep({"boot.kernel": kernel, "boot.initrd": initrd, "boot.cmdline": "console=ttyS0"},
             2_500_000_000, 100_000_000, 128 << 20)


def test_two_processors():
    kernel, = medium("cloud")
    lockstep({"boot.kernel": kernel, "boot.cmdline": "console=ttyS0", "cpu.count": "2"}, 300_000_000, 50_000_000)


@pytest.mark.long
@pytest.mark.parametrize("medium_name", ["grub-floppy", "memtest-64", "memtest-32"])
def test_firmware_and_what_it_starts(medium_name):
    path, = medium(medium_name)
    options = ({"drive.0": "file=%s,format=raw,if=floppy,readonly=on" % path, "boot.order": "a"}
               if medium_name == "grub-floppy" else {"boot.kernel": path})
    lockstep(options, 1_500_000_000, 100_000_000)


@pytest.mark.long
@pytest.mark.parametrize("cpus", [2, 4])
def test_several_processors_to_a_shell(cpus):
    kernel, initrd = medium("cloud", "initrd-amd64")
    lockstep({"boot.kernel": kernel, "boot.initrd": initrd, "boot.cmdline": "console=ttyS0", "cpu.count": str(cpus)},
             2_500_000_000, 100_000_000, 128 << 20)


def test_a_difference_is_found_and_told():
    """One register of one machine is changed while it runs."""
    kernel, = medium("cloud")
    keys = {"memory.size": str(MEMORY), "clock.mode": "icount", "rng.seed": "1", "jit.exact": "on",
            "boot.kernel": kernel, "boot.cmdline": "console=ttyS0"}
    with libvm.Machine({**keys, "engine": "interp"}) as a, \
            libvm.Machine({**keys, "engine": "jit", "boot.cmdline": "console=ttyS1"}) as b:
        with pytest.raises(libvm.Error, match="differ before they run"):
            a.lockstep(b, 1000)
    with libvm.Machine({**keys, "engine": "interp"}) as a, libvm.Machine({**keys, "engine": "jit"}) as b:
        def spoil(cpu, event):
            cpu.regs["cr2"] = 0x1234567
        at = a.cpus[0].regs["rip"] + a.cpus[0].regs["cs.base"]
        number = b.hook_add("insn", spoil, at, at)
        with pytest.raises(libvm.Error, match="differ after instruction 1") as told:
            a.lockstep(b, 1000, 100)
        b.hook_del(number)
        report = str(told.value)
        assert "interp and jit differ after instruction 1\n" in report
        assert "the code there" in report and "before it:" in report and "memory is the same" in report
        assert re.search(r"^! .*CR2=0*1234567.*<- jit", report, re.M | re.I), report
        assert report.count("<- jit") == 1


def test_firmware():
    try:
        libvm.Machine({}).close()
    except libvm.Error as e:
        pytest.skip(str(e))
    lockstep({}, 100_000_000, 20_000_000)
