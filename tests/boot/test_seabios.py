# SPDX-License-Identifier: MIT
"""SeaBIOS from Debian's package: what it finds, what it says, what it does without a disk."""
import re

import pytest

import libvm

from conftest import Firmware


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
    with Firmware(**{"cpu.count": "4", "memory.size": "5G"}) as f:
        f.serial.expect("No bootable device")
        log = f.log.text
    assert "Found 4 cpu(s) max supported 4 cpu(s)" in log
    # 3 GiB below the PCI hole, but for what it keeps for itself, and 2 GiB above 4 GiB.
    assert re.search(r"0000000000100000 - 00000000bff\w{5} = 1 RAM", log)
    assert "0000000100000000 - 0000000180000000 = 1 RAM" in log


def test_what_is_missing_or_wrong_is_one_line():
    for options, line in (
            ({"firmware.path": "/nowhere"}, "install the package seabios"),
            ({"firmware.bios": "/etc/passwd"}, "not a multiple of 64 KiB"),
            ({"firmware.bios": "/tmp"}, "Is a directory"),
            ({"boot.order": "cx"}, "x: there are a (floppy)"),
            ({"pc.uuid": "12"}, "12 is not a UUID")):
        with pytest.raises(libvm.Error) as e:
            libvm.Machine(options)
        assert line in str(e.value)
        assert "\n" not in str(e.value)
