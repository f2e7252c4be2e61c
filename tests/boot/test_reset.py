# SPDX-License-Identifier: MIT
"""Every way to reset and to switch off, through SeaBIOS, and a machine that starts over as new."""
import shutil
import subprocess

import pytest

from conftest import ROOT, Firmware, medium

WAYS = {"port 92h": "1", "CF9h hard": "2", "keyboard controller": "3", "triple fault": "4",
        "ACPI reset register": "5", "jump to FFFF:0": "6", "CF9h soft": "7"}


@pytest.fixture(scope="module")
def payload(tmp_path_factory):
    if shutil.which("nasm") is None:
        pytest.skip("nasm is not installed")
    path = tmp_path_factory.mktemp("payload") / "reset.bin"
    subprocess.run(["nasm", "-f", "bin", "-o", path, ROOT + "/tests/boot/guests/reset.asm"],
                   check=True)
    return str(path)


def boot(f):
    """The sums that the payload makes of what firmware left."""
    return f.serial.expect(rb"\[boot ([^]]*) ready\]", 60).group(1)


def machine(payload, **options):
    options["boot.kernel"] = payload
    return Firmware(**options)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_reset_leaves_a_machine_as_new(payload, way):
    with machine(payload) as f:
        first = boot(f)
        f.serial.write(WAYS[way].encode())
        assert boot(f) == first


@pytest.mark.parametrize("cpus", ["1", "2"])
def test_fifty_resets_in_a_row(payload, cpus):
    with machine(payload, **{"cpu.count": cpus}) as f:
        first = boot(f)
        for n in range(50):
            f.serial.write(list(WAYS.values())[n % len(WAYS)].encode())
            assert boot(f) == first, "reset %d" % n


def test_a_program_returns_to_real_mode_through_a_processor_reset(payload):
    with machine(payload) as f:
        boot(f)
        f.serial.write(b"r")
        f.serial.expect(r"\[back\]", 30)
        f.serial.write(b"2")
        boot(f)


def test_firmware_handles_an_smi_and_resumes(payload):
    with machine(payload) as f:
        boot(f)
        for _ in range(3):
            f.serial.write(b"s")
            f.serial.expect(r"\[resumed\]", 30)


def test_a_coprocessor_error_is_irq_13(payload):
    with machine(payload) as f:
        boot(f)
        for _ in range(2):
            f.serial.write(b"f")
            f.serial.expect(r"\[irq 13\]", 30)


def test_apm_switches_the_machine_off(payload):
    with machine(payload) as f:
        boot(f)
        f.serial.write(b"o")
        assert f.machine.wait(timeout=30) == "shutdown"


def test_no_reboot_stops_at_the_first_reset(payload):
    with machine(payload, **{"reset.action": "stop"}) as f:
        boot(f)
        f.serial.write(b"3")
        assert f.machine.wait(timeout=30) == "shutdown"


def test_linux_suspends_to_ram_and_the_clock_wakes_it():
    kernel, initrd = medium("cloud", "initrd-amd64")
    keys = {"memory.size": "256M", "boot.kernel": kernel, "boot.initrd": initrd,
            "boot.method": "firmware", "firmware.console": "off",
            "boot.cmdline": "console=ttyS0 no_console_suspend"}
    with Firmware(**keys) as f:
        f.serial.expect("/ # ", 120)
        f.serial.send_line("cat /sys/power/mem_sleep; ls /sys/class/rtc; echo kept > /tmp/mark")
        f.serial.expect("deep", 30)
        f.serial.expect("rtc0", 30)
        f.serial.send_line("echo 0 > /sys/class/rtc/rtc0/wakealarm; "
                           "echo +2 > /sys/class/rtc/rtc0/wakealarm; echo mem > /sys/power/state; "
                           "cat /tmp/mark; echo woke=$?")
        f.serial.expect("PM: suspend entry", 60)
        f.serial.expect("ACPI: PM: Waking up from system sleep state S3", 90)
        f.serial.expect(r"kept\s+woke=0", 90)
        f.serial.send_line("poweroff -f")
        assert f.machine.wait(timeout=60) == "shutdown"
