# SPDX-License-Identifier: MIT
"""Kernels that are not Linux, started with boot.kernel: memtest86+ and iPXE."""
import pytest

import libvm

from conftest import PATIENCE, Firmware, Guest, medium

# A percentage of the whole pass, at its place on the screen.
PERCENT = r"\[2;35H\x1b\[0m +([1-9]\d*)%"


def memtest(width, cpus, memory):
    (kernel,) = medium("memtest-%d" % width)
    return Guest(kernel, cmdline="nosmp" if cpus == 1 else "", **{
        "memory.size": memory, "cpu.count": cpus})


@pytest.mark.parametrize("width,cpus", [(64, 2), (32, 1)])
def test_memtest_gets_going(width, cpus):
    with memtest(width, cpus, "16M") as g:
        g.expect(PERCENT)
        g.expect(r"Errors: 0")
        text = g.serial.text
    assert ("%d Cores" % cpus if cpus == 1 else "(SMP: ") in text or "2 Threads" in text
    assert "Errors: 1" not in text


@pytest.mark.long
@pytest.mark.parametrize("width", [64, 32])
@pytest.mark.parametrize("cpus", [1, 2])
def test_memtest_completes_a_pass(width, cpus):
    with memtest(width, cpus, "8M") as g:
        g.expect(r"Pass:  1 +Errors: 0", timeout=40 * 60)


def test_ipxe_reaches_its_prompt_and_obeys():
    (kernel,) = medium("ipxe-lkrn")
    with Firmware(**{"boot.kernel": kernel, "boot.cmdline": "shell"}) as f:
        f.serial.expect("Booting from ROM")
        f.serial.expect("iPXE> ", PATIENCE)
        f.type("echo platform is ${platform}")
        f.serial.expect("platform is pcbios", PATIENCE)


def test_any_linux_kernel_can_go_through_firmware():
    kernel, initrd = medium("cloud", "initrd-amd64")
    keys = {"memory.size": "256M", "boot.kernel": kernel, "boot.initrd": initrd,
            "boot.method": "firmware", "boot.cmdline": "console=ttyS0 quiet"}
    with Firmware(**keys) as f:
        f.serial.expect("libvm guest: Linux", PATIENCE)
        f.serial.expect("/ # ", PATIENCE)
        f.serial.send_line("cat /sys/class/dmi/id/sys_vendor; ls /sys/firmware/acpi/tables")
        f.serial.expect(r"libvm\s+APIC\s+DSDT\s+FACP\s+FACS\s+HPET\s+SSDT", PATIENCE)


def test_without_firmware_such_a_kernel_is_refused():
    (kernel,) = medium("ipxe-lkrn")
    with pytest.raises(libvm.Error, match="needs firmware"):
        libvm.Machine({"boot.kernel": kernel, "firmware.bios": "none"})
