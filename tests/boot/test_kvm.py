# SPDX-License-Identifier: MIT
"""The KVM engine, and one machine on three engines.

Where the host's KVM is software (no VMX, no SVM: real mode, flat protected mode and 64-bit code only)
the tests that need paging in 32-bit mode or a whole system skip with `software KVM`.
"""
import itertools
import os
import re
import time

import pytest

import libvm
from conftest import Firmware, Guest, medium

ENGINES = ("kvm", "jit", "interp")
LIST = ",".join(ENGINES)
END = b"No bootable device"
PATIENCE = 120


def hardware():
    with open("/proc/cpuinfo") as f:
        return re.search(r"^flags.*\b(vmx|svm)\b", f.read(), re.M) is not None


def usable():
    """Skip with the library's own reason where KVM cannot run."""
    try:
        libvm.Machine({"engine": "kvm", "firmware.bios": "none", "memory.size": "16M"}).close()
    except libvm.Error as e:
        if "kvm cannot run here" in str(e):
            pytest.skip(str(e))
        raise


@pytest.fixture(autouse=True)
def needs_kvm(request):
    if "without" not in request.node.name:
        usable()


def firmware(**options):
    return Firmware(engine=LIST, **options)


def test_seabios_reaches_its_end():
    with firmware() as f:
        assert f.machine.engine == "kvm"
        f.log.expect("No bootable device", PATIENCE)
        text = f.machine.monitor("info engine")
    assert "All threads complete" in f.log.text
    assert int(re.search(r"exits: (\d+) port", text)[1]) > 1000
    assert "libvm's own" in text


def test_seabios_finds_two_processors():
    with firmware(**{"cpu.count": "2"}) as f:
        f.log.expect("Found 2 cpu", PATIENCE)


def test_a_boot_survives_a_change_every_50_ms():
    with firmware() as f:
        names, changes, end = itertools.cycle(["jit", "interp", "kvm"]), 0, time.monotonic() + PATIENCE
        f.machine.pause()  # the fast engines would be done before the first change
        while END not in f.log.log and time.monotonic() < end:
            f.machine.resume()
            time.sleep(0.05 if f.machine.engine == "kvm" else 0.002)
            f.machine.pause()
            f.machine.engine = next(names)
            changes += 1
        assert END in f.log.log
        assert changes > 5
        assert "parse error" not in f.log.text


@pytest.mark.parametrize("first", ENGINES)
@pytest.mark.parametrize("second", ENGINES)
def test_saved_under_one_and_loaded_under_another(first, second):
    with firmware() as f:
        f.machine.engine = first
        f.log.expect("Found QEMU fw_cfg", PATIENCE)
        f.machine.pause()
        state = f.machine.save()
    f = firmware()
    try:
        f.machine.engine = second
        f.machine.load(state)
        f.machine.start()
        f.log.expect("No bootable device", PATIENCE)
        assert f.machine.engine == second
    finally:
        f.machine.close()


def test_without_kvm_there_is_one_clear_line(tmp_path):
    closed = tmp_path / "closed"
    closed.write_bytes(b"")
    for path, line in ((str(tmp_path / "none"), "there is no"), (str(closed), "does not speak")):
        with pytest.raises(libvm.Error) as e:
            libvm.Machine({"engine": "kvm", "kvm.device": path})
        assert line in str(e.value) and "\n" not in str(e.value)


def test_without_kvm_the_list_goes_on(tmp_path):
    keys = {"engine": LIST, "kvm.device": str(tmp_path / "none"), "firmware.bios": "none",
            "memory.size": "16M"}
    with libvm.Machine(keys) as m:
        assert m.engine == "jit"
        assert "kvm not used: there is no" in m.monitor("info engine")


def test_without_hardware_auto_passes_kvm_over():
    with libvm.Machine({"engine": "auto", "firmware.bios": "none", "memory.size": "16M"}) as m:
        if hardware() and os.access("/dev/kvm", os.R_OK | os.W_OK):
            assert m.engine == "kvm"
        else:
            assert m.engine != "kvm"
            assert "kvm not used" in m.monitor("info engine")


def test_hooks_see_every_instruction():
    code = bytes.fromhex("40 40 40 f4")  # inc ax three times; hlt
    with libvm.Machine({"engine": LIST, "firmware.bios": "none", "memory.size": "16M"}) as m:
        assert m.engine == "kvm"
        m.write(0x1000, code)
        cpu, seen = m.cpus[0], []
        cpu.regs["cs"], cpu.regs["cs.base"], cpu.regs["rip"] = 0, 0, 0x1000
        m.hook_add("insn", lambda cpu, e: seen.append(e.pc), 0x1000, 0x100f)
        m.run(timeout=3)
        assert len(seen) == 4


def test_counted_instructions_are_refused():
    with pytest.raises(libvm.Error, match="does not count instructions"):
        libvm.Machine({"engine": "kvm", "clock.mode": "icount"})


def test_linux_boots_to_a_shell():
    if not hardware():
        pytest.skip("software KVM: no whole system runs on it")
    kernel, initrd = medium("cloud", "initrd-amd64")
    with Guest(kernel, initrd, "quiet", engine=LIST) as g:
        g.shell()
        assert g.run("echo $((6 * 7))")[0].strip() == "42"
        for name in ("jit", "kvm", "interp", "kvm"):
            g.machine.engine = name
            assert g.run("echo $((6 * 7))")[0].strip() == "42"


def test_virtio_queues_are_rung_without_an_exit(tmp_path):
    """A boot sector on a virtio disk rings the disk's queue a thousand times and says so. SeaBIOS's own
    driver works in system management mode, which is the interpreter's, and so may be what comes
    right behind it."""
    text = b"has rung\n\0"
    ring = bytes.fromhex("66 b8 10 20 00 80  ba f8 0c  66 ef  ba fc 0c  66 ed"  # BAR 0 of 00:04.0
                         "24 fc  89 c2  83 c2 10  b9 e8 03  31 c0  ef  e2 fd")  # + 16: notify
    say = bytes.fromhex("be 00 00  ba 02 04  fc  2e ac  84 c0  74 03  ee  eb f7  f4  eb fd")
    at = 0x7C00 + len(ring) + len(say)
    code = ring + say[:1] + at.to_bytes(2, "little") + say[3:] + text
    image = tmp_path / "disk.img"
    image.write_bytes(code.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    with firmware(**{"drive.d0": "file=%s,format=raw,if=none,id=d0" % image,
                     "device.d": "virtio-blk-pci,drive=d0,disable-modern=on,addr=4"}) as f:
        f.log.expect("virtio-blk at 00:04.0", PATIENCE)
        f.log.expect("has rung", PATIENCE)
        f.machine.pause()
        text = f.machine.monitor("info engine")
    assert int(re.search(r"events without an exit: (\d+)", text)[1]) >= 800, text
