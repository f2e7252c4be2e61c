# SPDX-License-Identifier: MIT
"""SeaBIOS from Debian's package: what it finds, what it says, what it does without a disk."""
import re

import pytest

import libvm


class Firmware:
    """A machine that starts through SeaBIOS: its screen on the serial line, its log beside it."""

    def __init__(self, **options):
        keys = {"memory.size": "64M", "firmware.console": "on",
                "device.firmware-log": "debugcon,iobase=0x402,chardev=firmware-log"}
        keys.update({k.replace("__", "."): v for k, v in options.items()})
        try:
            self.machine = libvm.Machine(keys)
        except libvm.Error as e:
            if "install the package" in str(e):
                pytest.skip(str(e))
            raise
        self.serial = self.machine.serial()
        self.log = self.machine.serial("firmware-log")

    def __enter__(self):
        self.machine.start()
        return self

    def __exit__(self, *unused):
        self.machine.close()


def test_without_a_disk_it_says_so():
    with Firmware() as f:
        f.serial.expect(r"SeaBIOS \(version")
        f.serial.expect("No bootable device")
        log = f.log.text
    assert "Found QEMU fw_cfg" in log
    assert re.search(r"ACPI: parse DSDT at 0x\w+", log)
    assert "parse error" not in log
    assert "PS2 keyboard initialized" in log


def test_it_finds_every_processor_and_all_memory():
    with Firmware(cpu__count="4", memory__size="5G") as f:
        f.serial.expect("No bootable device")
        log = f.log.text
    assert "Found 4 cpu(s) max supported 4 cpu(s)" in log
    # 3 GiB below the PCI hole, but for what it keeps for itself, and 2 GiB above 4 GiB.
    assert re.search(r"0000000000100000 - 00000000bff\w{5} = 1 RAM", log)
    assert "0000000100000000 - 0000000180000000 = 1 RAM" in log


def test_what_is_missing_or_wrong_is_one_line():
    for options, line in (
            ({"firmware__path": "/nowhere"}, "install the package seabios"),
            ({"firmware__bios": "/etc/passwd"}, "not a multiple of 64 KiB"),
            ({"firmware__bios": "/tmp"}, "Is a directory"),
            ({"boot__order": "cx"}, "x: there are a (floppy)"),
            ({"pc__uuid": "12"}, "12 is not a UUID")):
        keys = {k.replace("__", "."): v for k, v in options.items()}
        with pytest.raises(libvm.Error) as e:
            libvm.Machine(keys)
        assert line in str(e.value)
        assert "\n" not in str(e.value)
