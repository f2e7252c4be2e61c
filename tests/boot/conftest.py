# SPDX-License-Identifier: MIT
"""Boot tests: real guests, driven in-process through the Python binding.

The library is the one in the build directory named by LIBVM_BUILD (default: build-test). A test
that needs what the host lacks skips and says why.
"""
import os
import re
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("LIBVM_BUILD", os.path.join(ROOT, "build-test"))
os.environ.setdefault("LIBVM_LIBRARY", os.path.join(BUILD, "lib", "libvm.so.1"))
sys.path[:0] = [os.path.join(ROOT, "bindings", "python"), os.path.join(ROOT, "tests", "support")]

import libvm  # noqa: E402
import media  # noqa: E402

# Seconds a step of a boot may take; a loaded two-core machine is allowed for.
PATIENCE = float(os.environ.get("LIBVM_PATIENCE", "240"))


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; not part of ./dev test")


def medium(*names):
    """Paths of guest media, or a skip that says what could not be had."""
    try:
        return [path for name in names for path in media.get(name)]
    except media.MediaError as e:
        pytest.skip(str(e))


class Guest:
    """A Linux guest on the serial line: its machine, and a shell to talk to."""

    def __init__(self, kernel, initrd=None, cmdline="", **options):
        keys = {"memory.size": "256M", "boot.kernel": kernel,
                "boot.cmdline": "console=ttyS0 " + cmdline}
        if os.environ.get("LIBVM_ENGINE"):
            keys["engine"] = os.environ["LIBVM_ENGINE"]
        if initrd:
            keys["boot.initrd"] = initrd
        keys.update(options)
        self.machine = libvm.Machine(keys)
        self.serial = self.machine.serial()
        self.prompt = r"/ # "

    def __enter__(self):
        self.machine.start()
        return self

    def __exit__(self, kind, *rest):
        if kind is not None:
            sys.stderr.write(self.serial.text[-6000:])
        self.machine.close()

    def expect(self, pattern, timeout=PATIENCE):
        return self.serial.expect(pattern, timeout)

    def shell(self):
        """Wait for the first prompt."""
        self.expect(self.prompt)

    def run(self, command, timeout=PATIENCE):
        """A command's output, without its echo; the prompt has been read."""
        self.serial.send_line(command + "; echo status=$?=")
        m = self.expect(rb"(?s)echo status=\$\?=\r*\n(.*?)status=(\d+)=\r*\n", timeout)
        self.expect(self.prompt, timeout)
        return m.group(1).decode(errors="replace").replace("\r", ""), int(m.group(2))


class Firmware:
    """A machine that starts through SeaBIOS: its screen on the serial line, its log beside it."""

    def __init__(self, **options):
        keys = {"memory.size": "64M", "firmware.console": "on",
                "device.firmware-log": "debugcon,iobase=0x402,chardev=firmware-log"}
        if os.environ.get("LIBVM_ENGINE"):
            keys["engine"] = os.environ["LIBVM_ENGINE"]
        keys.update(options)
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

    def type(self, text):
        """Type on the BIOS's keyboard through the serial line, each key when the last was echoed:
        the BIOS forgets what goes beyond its buffer of 16 keys."""
        for c in text:
            self.serial.write(c.encode())
            self.serial.expect(re.escape(c), PATIENCE)
        self.serial.write(b"\r")

    def __exit__(self, kind, *rest):
        if kind is not None:
            sys.stderr.write(self.log.text[-6000:] + self.serial.text[-6000:])
        self.machine.close()


@pytest.fixture
def busybox_guest():
    """Make a guest of a kernel flavour with the busybox initramfs."""
    made = []

    def make(flavour="cloud", arch="amd64", cmdline="quiet", **options):
        kernel, initrd = medium(flavour, "initrd-" + arch)
        g = Guest(kernel, initrd, cmdline, **options)
        made.append(g)
        return g

    yield make
    for g in made:
        g.machine.close()
