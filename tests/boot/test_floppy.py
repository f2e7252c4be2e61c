# SPDX-License-Identifier: MIT
"""Floppy disks: real boot loaders through SeaBIOS, and Linux's driver for the controller."""
import hashlib
import os
import random
import re
import shutil
import subprocess
import time

import pytest

import libvm
from conftest import PATIENCE, medium
from isa_guest import FORMAT_PROGRAM, compiled, isa_guest, load

DISK = 1474560


def floppy(path, index=0, **settings):
    """The configuration key of a drive with a raw image in it."""
    text = "file=%s,format=raw,if=floppy,index=%d" % (path, index)
    text += "".join(",%s=%s" % item for item in settings.items())
    return {"drive.%d" % index: text}


def make_disk(path, size=DISK, seed=1):
    data = random.Random(seed).randbytes(size)
    with open(path, "wb") as f:
        f.write(data)
    return data


def contents(path):
    with open(path, "rb") as f:
        return f.read()


# ---- boot loaders ------------------------------------------------------------------------------

class Booted:
    """A machine that starts through SeaBIOS, with a screen and a keyboard."""

    def __init__(self, **options):
        keys = {"memory.size": "128M", "boot.order": "a"}
        keys.update(options)
        try:
            self.machine = libvm.Machine(keys)
        except libvm.Error as e:
            if "install the package" in str(e):
                pytest.skip(str(e))
            raise
        self.serial = self.machine.serial()

    def __enter__(self):
        self.machine.start()
        return self

    def __exit__(self, *unused):
        self.machine.close()

    def see(self, pattern, timeout=PATIENCE):
        """Wait until a text screen shows something."""
        end = time.monotonic() + timeout
        text = ""
        while time.monotonic() < end:
            text = self.machine.screen_text() or text
            if re.search(pattern, text):
                return text
            time.sleep(0.1)
        raise AssertionError("%r is not on the screen:\n%s" % (pattern, text))

    def type(self, text):
        self.machine.type_text(text)


def test_grub_takes_commands_from_the_keyboard():
    (image,) = medium("grub-floppy")
    with Booted(**floppy(image)) as m:
        m.see("GNU GRUB +version")
        m.machine.send_key("c")
        m.see("grub>")
        m.type("ls\n")
        m.see(r"ls *\n.*\(fd0\)")
        m.type("set colour=blue\n")
        m.type("echo sky is $colour\n")
        m.see(r"(?m)^sky is blue")


def test_grub_reads_the_disk_it_came_from_to_its_end(tmp_path):
    """A whole 1.44 MB disk of the test's own, read sector by sector through INT 13h."""
    (image,) = medium("grub-floppy")
    disk = str(tmp_path / "disk.img")
    with open(disk, "wb") as f:
        f.write(contents(image))
        f.write(b"\0" * (DISK - f.tell() - 512))
        f.write(b"the very last sector".ljust(512, b"."))
    with Booted(**floppy(disk)) as m:
        m.see("GNU GRUB +version")
        m.machine.send_key("c")
        m.see("grub>")
        m.type("cat (fd0)2879+1\n")
        m.see("the very last sector")


@pytest.fixture
def syslinux_disk(tmp_path):
    """A FAT floppy with syslinux on it that starts a kernel on it."""
    for name in ("mformat", "mcopy", "syslinux"):
        if shutil.which(name) is None:
            pytest.skip("%s is not installed" % name)
    path = str(tmp_path / "syslinux.img")
    tool(["mformat", "-C", "-i", path, "-f", "1440", "::"])
    return path


def test_syslinux_asks_and_starts_a_kernel(syslinux_disk, tmp_path):
    (kernel,) = medium("memtest-64")
    config = tmp_path / "syslinux.cfg"
    config.write_text("PROMPT 1\nSAY what shall it be\nDEFAULT none\n"
                      "LABEL memory\n  LINUX memtest\n")
    tool(["mcopy", "-i", syslinux_disk, str(config), "::syslinux.cfg"])
    tool(["mcopy", "-i", syslinux_disk, kernel, "::memtest"])
    tool(["syslinux", "--install", syslinux_disk])
    with Booted(**floppy(syslinux_disk)) as m:
        m.see("SYSLINUX 6")
        m.see("what shall it be")
        m.see("boot:")
        m.type("memory\n")
        m.see(r"Memtest86\+")


# ---- Linux ------------------------------------------------------------------------------------

def floppy_guest(tmp_path, options, programs=()):
    return isa_guest(tmp_path, ["drivers/block/floppy", "fs/fat/fat", "fs/fat/vfat",
                                "fs/nls/nls_cp437", "fs/nls/nls_ascii"], programs, **options)


def md5(data):
    return hashlib.md5(data).hexdigest()


def test_linux_reads_and_writes(tmp_path):
    disk = str(tmp_path / "disk.img")
    data = make_disk(disk)
    with floppy_guest(tmp_path, floppy(disk)) as g:
        g.shell()
        load(g, "floppy")
        out, _ = g.run("dmesg | grep -iE 'floppy|fdc'")
        assert "fd0 is 1.44M" in out
        assert "FDC 0 is a post-1991 82077" in out
        out, status = g.run("cat /dev/fd0 | md5sum")
        assert status == 0 and out.split()[0] == md5(data)
        # A stretch in the middle that starts and ends within a track.
        out, status = g.run("seq 1 30000 | head -c 150000 > /tmp/t; "
                            "dd if=/tmp/t of=/dev/fd0 bs=500 seek=1021 2>&1")
        assert status == 0, out
        out, status = g.run("echo 3 > /proc/sys/vm/drop_caches; cat /dev/fd0 | md5sum")
        new = bytearray(data)
        text = "".join("%d\n" % i for i in range(1, 30001)).encode()[:150000]
        new[500 * 1021:500 * 1021 + len(text)] = text
        assert status == 0 and out.split()[0] == md5(new)
        g.run("sync")
    assert contents(disk) == new


@pytest.mark.parametrize("sizes", [(737280, 368640),
                                   pytest.param((2949120, 1228800), marks=pytest.mark.long)])
def test_linux_recognises_other_disks(tmp_path, sizes):
    disks = [str(tmp_path / name) for name in ("a.img", "b.img")]
    data = [make_disk(path, size) for path, size in zip(disks, sizes)]
    with floppy_guest(tmp_path, {**floppy(disks[0]), **floppy(disks[1], 1)}) as g:
        g.shell()
        load(g, "floppy")
        for unit in (0, 1):
            out, status = g.run("cat /dev/fd%d | md5sum" % unit)
            assert out.split()[0] == md5(data[unit]), out


def test_linux_formats_and_respects_write_protection(tmp_path):
    disks = [str(tmp_path / name) for name in ("a.img", "b.img")]
    data = [make_disk(path, DISK, seed) for seed, path in enumerate(disks)]
    program = compiled(FORMAT_PROGRAM, str(tmp_path / "fdformat"))
    with floppy_guest(tmp_path, {**floppy(disks[0]), **floppy(disks[1], 1, readonly="on")},
                      [("fdformat", program)]) as g:
        g.shell()
        load(g, "floppy")
        g.run("head -c 512 /dev/fd0 > /dev/null")  # lets the driver find the format
        out, status = g.run("/fdformat /dev/fd0")
        assert status == 0, out
        assert "formatted 80 tracks of 18 sectors" in out
        out, status = g.run("echo hello > /dev/fd1")
        assert status != 0 and "Read-only" in out
        out, status = g.run("cat /dev/fd1 | md5sum")
        assert out.split()[0] == md5(data[1])
    assert set(contents(disks[0])) == {0xf6}
    assert contents(disks[1]) == data[1]


def test_a_fat_disk_of_mtools_and_back(tmp_path):
    if shutil.which("mformat") is None:
        pytest.skip("mtools is not installed")
    disk = str(tmp_path / "disk.img")
    note = tmp_path / "note.txt"
    note.write_text("from the host\n")
    tool(["mformat", "-C", "-i", disk, "-f", "1440", "::"])
    tool(["mcopy", "-i", disk, str(note), "::note.txt"])
    with floppy_guest(tmp_path, floppy(disk)) as g:
        g.shell()
        load(g, "floppy", "fat", "nls_cp437", "nls_ascii", "vfat")
        out, status = g.run("mkdir /d; mount -t vfat /dev/fd0 /d && cat /d/note.txt")
        assert status == 0 and "from the host" in out
        out, status = g.run("echo from the guest > /d/answer.txt; umount /d")
        assert status == 0, out
    assert tool(["mtype", "-i", disk, "::answer.txt"]) == "from the guest\n"


def test_saving_and_loading_in_the_middle_of_a_transfer(tmp_path):
    disk = str(tmp_path / "disk.img")
    data = make_disk(disk)
    with floppy_guest(tmp_path, floppy(disk)) as g:
        g.shell()
        load(g, "floppy")
        g.run("head -c 512 /dev/fd0 > /dev/null")
        g.serial.send_line("md5sum /dev/fd0; echo do''ne")
        for _ in range(5):
            time.sleep(0.05)
            g.machine.pause()
            g.machine.load(g.machine.save())
            g.machine.resume()
        m = g.expect(r"([0-9a-f]{32})  /dev/fd0\r*\ndone")
        assert m.group(1).decode() == md5(data)


def test_linux_sees_a_change_of_disk(tmp_path):
    disks = [str(tmp_path / name) for name in ("a.img", "b.img")]
    data = [make_disk(path, DISK, seed) for seed, path in enumerate(disks)]
    with floppy_guest(tmp_path, floppy(disks[0])) as g:
        g.shell()
        load(g, "floppy")
        out, _ = g.run("head -c 65536 /dev/fd0 | md5sum")
        assert out.split()[0] == md5(data[0][:65536])
        g.machine.monitor("change floppy0 %s raw" % disks[1])
        out, _ = g.run("head -c 65536 /dev/fd0 | md5sum")
        assert out.split()[0] == md5(data[1][:65536])
        g.machine.monitor("eject floppy0")
        out, status = g.run("head -c 512 /dev/fd0 | wc -c")
        assert out.split()[-1] == "0", out
        g.machine.monitor("change floppy0 %s raw" % disks[0])
        out, _ = g.run("head -c 65536 /dev/fd0 | md5sum")
        assert out.split()[0] == md5(data[0][:65536])


# ---- mistakes ---------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 1, 512, 1048576, 1474559, 1474561, 10 << 20])
def test_odd_sizes_are_refused_in_a_line_that_names_them(tmp_path, size):
    disk = str(tmp_path / "odd.img")
    make_disk(disk, size)
    with pytest.raises(libvm.Error) as e:
        libvm.Machine({"memory.size": "16M", **floppy(disk)})
    assert "%d bytes" % size in str(e.value) and "\n" not in str(e.value)


def test_a_directory_and_nothing_are_refused(tmp_path):
    for path, words in ((str(tmp_path), "directory"), (str(tmp_path / "no.img"), "No such file")):
        with pytest.raises(libvm.Error) as e:
            libvm.Machine({"memory.size": "16M", **floppy(path)})
        assert words in str(e.value).replace("is a ", "") and path in str(e.value)
        assert "\n" not in str(e.value)


def tool(words):
    return subprocess.run(words, check=True, capture_output=True, text=True,
                          env={**os.environ, "MTOOLS_SKIP_CHECK": "1"}).stdout
