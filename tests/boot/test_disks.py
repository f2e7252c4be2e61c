# SPDX-License-Identifier: MIT
"""Disks and CDs through SeaBIOS and through Linux's own driver: what boots from them, what is
written to them, what happens when they change."""
import hashlib
import os
import re
import shutil
import subprocess

import pytest

import disks
import libvm
import media

from conftest import PATIENCE, Firmware, Guest


def made(name):
    """Paths of what tests/support/disks.py makes, or a skip that says what is missing."""
    try:
        return disks.get(name)
    except media.MediaError as e:
        pytest.skip(str(e))


def cd(path, index=2):
    return "file=%s,format=raw,if=ide,index=%d,media=cdrom" % (path, index)


def hd(path, index=0, more=""):
    return "file=%s,format=raw,if=ide,index=%d,media=disk%s" % (path, index, more)


class IdeGuest(Guest):
    """Linux started directly, with the modules for IDE in its initramfs."""

    def __init__(self, cmdline="quiet", **options):
        kernel, initrd = made("ide")
        super().__init__(kernel, initrd, cmdline, **options)

    def shell(self):
        super().shell()
        self.run("stty cols 300")


def linux_shell(serial):
    """The busybox guest's prompt, and a way to run commands there."""
    serial.expect(r"/ # ", PATIENCE)

    def run(command, timeout=PATIENCE):
        serial.send_line(command + "; echo st'at'us=$?=")
        m = serial.expect(rb"(?s)(.*?)status=(\d+)=\r*\n", timeout)
        serial.expect(r"/ # ", timeout)
        return m.group(1).decode(errors="replace").replace("\r", ""), int(m.group(2))

    run("stty cols 300")
    return run


def split(text):
    """A pattern for text that GRUB prints; it may move the cursor in the middle of a word."""
    return r"(?:\r?\x1b\[[\d;]*H)?".join(re.escape(c) for c in text)


# ---- CDs through the BIOS --------------------------------------------------------------------

def test_grub_rescue_cd_obeys_what_is_typed():
    with Firmware(**{"drive.0": cd(made("grub-cd")[0]), "memory.size": "128M"}) as f:
        f.serial.expect("Welcome to GRUB", PATIENCE)
        f.serial.expect("highlighted entry", PATIENCE)
        f.serial.write(b"c")
        f.serial.expect("grub>", PATIENCE)
        f.type("ls (cd)/boot/grub/i386-pc/normal.mod")
        f.serial.expect(split("normal.mod") + r" *\r*\n", PATIENCE)
        f.serial.expect("grub>", PATIENCE)
        f.type("echo A${grub_platform}Z")
        f.serial.expect(split("ApcZ"), PATIENCE)


def test_isolinux_boots_a_kernel_that_reads_the_cd_again():
    iso = made("isolinux-cd")[0]
    with Firmware(**{"drive.0": cd(iso), "memory.size": "256M", "firmware.console": "off"}) as f:
        f.serial.expect("boot:", PATIENCE)
        f.serial.send_line("libvm said=typed")
        f.serial.expect(r"libvm guest: Linux.*hello=isolinux, disks: .*sr0", PATIENCE)
        run = linux_shell(f.serial)
        assert "said=typed" in run("cat /proc/cmdline")[0]
        out, status = run("mount -t iso9660 /dev/sr0 /mnt && md5sum /mnt/linux")
        assert status == 0
        assert hashlib.md5(open(made("ide")[0], "rb").read()).hexdigest() in out
        f.serial.send_line("exit")
        assert f.machine.wait(timeout=PATIENCE) == "shutdown"


def test_ipxe_cd_reaches_its_command_line():
    with Firmware(**{"drive.0": cd(made("ipxe-cd")[0]), "memory.size": "128M"}) as f:
        f.serial.expect("Press Ctrl-B for the iPXE command line", PATIENCE)
        f.serial.write(b"\x02")
        f.serial.expect("iPXE>", PATIENCE)
        f.type("echo libvm ${buildarch}")
        f.serial.expect("libvm i386", PATIENCE)


def test_a_drive_without_a_disc_is_passed_over():
    with Firmware(**{"drive.0": "if=ide,index=2,media=cdrom"}) as f:
        f.serial.expect("No bootable device", PATIENCE)
        assert re.search(r"LIBVM CD-ROM.*DVD/CD", f.log.text)


# ---- a disk: MBR, GRUB, ext4 -----------------------------------------------------------------

@pytest.fixture
def small(tmp_path):
    """A copy of the small disk to write to."""
    path = str(tmp_path / "small.img")
    subprocess.run(["cp", "--sparse=always", made("small")[0], path], check=True)
    return path


def test_disk_boots_by_mbr_and_grub_and_keeps_what_is_written(small):
    with Firmware(**{"drive.0": hd(small), "memory.size": "256M", "firmware.console": "off"}) as f:
        f.serial.expect("GRUB is here", PATIENCE)
        f.serial.expect(r"libvm guest: Linux.*hello=grub, disks: sda", PATIENCE)
        run = linux_shell(f.serial)
        assert run("mount -t ext4 /dev/sda1 /mnt && cp /bin/busybox /mnt/copy")[1] == 0
        run("echo it stays > /mnt/note; umount /mnt")
        f.serial.send_line("reboot -f")
        assert f.machine.wait_event("reset", PATIENCE)
        f.serial.expect("GRUB is here", PATIENCE)
        run = linux_shell(f.serial)
        out, status = run("mount -t ext4 /dev/sda1 /mnt && cat /mnt/note && cmp /bin/busybox /mnt/copy")
        assert status == 0 and "it stays" in out
        run("umount /mnt")
        f.serial.send_line("exit")
        assert f.machine.wait(timeout=PATIENCE) == "shutdown"
    if shutil.which("e2fsck", path="/usr/sbin:/sbin"):
        offset = disks.PARTITION * disks.SECTOR
        subprocess.run(["/usr/sbin/e2fsck", "-fn", "%s?offset=%d" % (small, offset)], check=True,
                       capture_output=True)


def test_snapshot_leaves_the_image_alone(small):
    before = hashlib.sha256(open(small, "rb").read()).digest()
    with IdeGuest(**{"drive.0": hd(small, more=",snapshot=on")}) as g:
        g.shell()
        assert g.run("mount -t ext4 /dev/sda1 /mnt; echo x > /mnt/x; umount /mnt; mount -t ext4 "
                     "/dev/sda1 /mnt && cat /mnt/x")[0].strip().endswith("x")
    assert hashlib.sha256(open(small, "rb").read()).digest() == before


def test_once_from_the_cd_then_from_the_disk(small):
    options = {"drive.0": hd(small), "drive.1": cd(made("isolinux-cd")[0]), "memory.size": "256M",
               "firmware.console": "off", "boot.order": "c", "boot.once": "d"}
    with Firmware(**options) as f:
        f.serial.expect("boot:", PATIENCE)
        f.serial.send_line("")
        f.serial.expect("hello=isolinux, disks: sda sr0", PATIENCE)
        f.serial.expect("/ # ", PATIENCE)
        f.serial.send_line("reboot -f")
        f.serial.expect("GRUB is here", PATIENCE)
        f.serial.expect("hello=grub, disks: sda sr0", PATIENCE)


# ---- Linux's driver --------------------------------------------------------------------------

def test_linux_moves_200_mb_each_way_by_dma(tmp_path):
    size = 200 << 20
    source, target = str(tmp_path / "a.img"), str(tmp_path / "b.img")
    block = os.urandom(1 << 20)
    with open(source, "wb") as f:
        for i in range(200):
            f.write(block[i * 5003:] + block[:i * 5003])
    with open(target, "wb") as f:
        f.truncate(size)
    with IdeGuest(**{"drive.0": hd(source), "drive.1": hd(target, 1)}) as g:
        g.shell()
        assert "MWDMA2" in g.run("dmesg | grep 'ata1: PATA'")[0]
        assert "DMA" in g.run("cat /sys/class/ata_device/dev1.0/xfer_mode")[0]
        # Linux looks at disks in parallel: which of them is sda is chance, where they sit is not.
        a, b = (g.run("ls /sys/bus/scsi/devices/0:0:%d:0/block" % unit)[0].split()[-1]
                for unit in (0, 1))
        assert {a, b} == {"sda", "sdb"}
        out, status = g.run("md5sum /dev/" + a)
        assert hashlib.md5(open(source, "rb").read()).hexdigest() in out
        assert g.run("dd if=/dev/%s of=/dev/%s bs=1M 2>/dev/null && sync" % (a, b))[1] == 0
        assert g.run("dmesg | grep -iE 'ata.*(error|exception|timeout|reset)'")[1] == 1
        g.serial.send_line("exit")
        g.machine.wait(timeout=PATIENCE)
    with open(source, "rb") as a, open(target, "rb") as b:
        while True:
            x, y = a.read(1 << 22), b.read(1 << 22)
            assert x == y
            if not x:
                break


def test_linux_sees_the_disc_change():
    one = disks.data_cd("one", {"which": b"the first\n"})
    two = disks.data_cd("two", {"which": b"the second\n"})
    with IdeGuest(**{"drive.0": cd(one) + ",id=cd0"}) as g:
        g.shell()
        assert "the first" in g.run("mount -t iso9660 /dev/sr0 /mnt && cat /mnt/which")[0]
        with pytest.raises(libvm.Error):  # mounted: Linux has locked the tray
            g.machine.monitor("eject cd0")
        assert g.run("umount /mnt")[1] == 0
        g.machine.monitor("change cd0 " + two)
        assert "the second" in g.run("mount -t iso9660 /dev/sr0 /mnt && cat /mnt/which")[0]
        g.run("umount /mnt")
        g.machine.monitor("eject cd0")
        assert g.run("head -c 4096 /dev/sr0 > /dev/null")[1] != 0, "no medium"
        g.machine.monitor("change cd0 " + one)
        assert "the first" in g.run("mount -t iso9660 /dev/sr0 /mnt && cat /mnt/which")[0]


def test_a_machine_saved_in_the_middle_of_writing_goes_on(tmp_path):
    """DMA is drained when the machine pauses; what waits is issued again after loading."""
    path = str(tmp_path / "d.img")
    with open(path, "wb") as f:
        f.truncate(64 << 20)
    with IdeGuest(**{"drive.0": hd(path)}) as g:
        g.shell()
        g.serial.send_line("while :; do dd if=/dev/urandom of=/dev/sda bs=64k count=20 conv=fsync "
                           "2>/dev/null; md5sum < /dev/sda > /dev/null; echo ro'un'd; done")
        for _ in range(3):
            g.expect("round")
            g.machine.pause()
            state = g.machine.save()
            g.machine.load(state)
            g.machine.resume()
        g.expect("round")
        g.expect("round")
        g.serial.write(b"\x03")
        g.shell()
        assert g.run("dmesg | grep -iE 'ata.*(error|exception|timeout)'")[1] == 1


# ---- bad input -------------------------------------------------------------------------------

def refused(**options):
    with pytest.raises(libvm.Error) as e:
        libvm.Machine(options)
    line = str(e.value)
    assert "\n" not in line
    return line


def test_bad_disks_are_one_line(tmp_path):
    good = str(tmp_path / "good.img")
    with open(good, "wb") as f:
        f.truncate(1 << 20)
    empty = str(tmp_path / "empty.img")
    open(empty, "wb").close()
    assert "directory" in refused(**{"drive.0": hd(str(tmp_path))}).lower()
    assert "nowhere" in refused(**{"drive.0": hd(str(tmp_path / "nowhere"))})
    assert "two drives at unit 0" in refused(**{"drive.0": hd(good, more=",snapshot=on"),
                                   "drive.1": hd(good, more=",snapshot=on")})
    assert "sector" in refused(**{"drive.0": hd(empty)})
    line = refused(**{"drive.0": "file=%s,format=raw,if=none,id=x" % good,
                      "device.0": "ide-hd,drive=y"})
    assert "there is no drive y" in line
    line = refused(**{"drive.0": hd(good), "drive.1": "if=none,id=x,media=cdrom",
                      "device.0": "ide-cd,drive=x,bus=ide.0,unit=0"})
    assert "unit 0 of ide.0 is taken" in line


# ---- the long suite: a whole Debian ----------------------------------------------------------

@pytest.mark.long
def test_debian_disk_boots_logs_in_keeps_files_and_powers_off(tmp_path):
    """MBR, GRUB, ext4, systemd: to the login prompt, twice, and off by the power button."""
    image = str(tmp_path / "debian.img")
    subprocess.run(["cp", "--sparse=always", made("debian")[0], image], check=True)
    patience = 4 * PATIENCE

    def login(serial):
        serial.expect("libvm login:", patience)
        serial.send_line("root")
        serial.expect(r"root@libvm:~# ", patience)

        def run(command):
            serial.send_line(command + "; echo st'at'us=$?=")
            m = serial.expect(rb"(?s)(.*?)status=(\d+)=\r*\n", patience)
            serial.expect(r"root@libvm:~# ", patience)
            return m.group(1).decode(errors="replace"), int(m.group(2))

        run("stty cols 300")
        return run

    disc = disks.data_cd("one", {"which": b"the first\n"})
    with Firmware(**{"drive.0": hd(image), "drive.1": cd(disc) + ",id=cd0", "memory.size": "512M",
                     "firmware.console": "off"}) as f:
        f.serial.expect("GRUB is here", patience)
        run = login(f.serial)
        assert "running" in run("systemctl is-system-running --wait")[0]
        assert "the first" in run("mount /dev/sr0 /mnt && cat /mnt/which && umount /mnt")[0]
        assert run("eject /dev/sr0")[1] == 0
        assert "tray open" in f.machine.monitor("info block").lower()
        assert run("dd if=/dev/urandom of=/root/data bs=1M count=20 && md5sum /root/data > /root/sum")[1] == 0
        f.serial.send_line("systemctl reboot")
        f.machine.wait_event("reset", patience)
        f.serial.expect("GRUB is here", patience)
        run = login(f.serial)
        out, status = run("md5sum -c /root/sum")
        assert status == 0 and "OK" in out
        f.machine.power_button()
        assert f.machine.wait(timeout=patience) == "shutdown"
