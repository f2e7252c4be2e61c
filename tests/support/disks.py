#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Disks and CDs for boot tests, made from Debian packages, without loop devices or root.

    disks.py ide                prints the paths of a kernel and an initramfs that drives IDE
    disks.py small              prints the path of a disk: MBR, GRUB, that kernel and initramfs
    disks.py --list

A disk's file system is made by mke2fs from a folder, at the partition's place in the image; GRUB's
boot sector and core image are put before it here, as grub-install would.
"""
import glob
import os
import shutil
import struct
import subprocess
import sys

import media

SECTOR = 512
PARTITION = 2048  # first sector of it
MODULES = ["drivers/scsi/scsi_common", "drivers/scsi/scsi_mod", "drivers/ata/libata",
           "drivers/ata/ata_piix", "drivers/scsi/sd_mod", "drivers/cdrom/cdrom",
           "drivers/scsi/sr_mod", "fs/isofs/isofs"]

VIRTIO_MODULES = ["drivers/virtio/virtio_ring", "drivers/virtio/virtio",
                  "drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci_legacy_dev",
                  "drivers/virtio/virtio_pci", "drivers/block/virtio_blk",
                  "drivers/char/hw_random/virtio-rng"]

# hello=TEXT on the kernel's command line comes out again: who started this kernel, and with what.
IDE_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /mnt /root /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=${TERM:-linux} PS1='/ # '
for m in %s; do insmod /modules/$m.ko; done
for i in 1 2 3 4 5 6 7 8 9 10; do
    grep -q 'sd\\|sr' /proc/partitions && break
    [ -e /sys/block/sr0 ] && break
    usleep 200000
done
echo "libvm guest: $(uname -srm), hello=$hello, disks: $(cd /sys/block; echo sd* sr*)"
if [ -n "$run" ]; then
    sh -c "$run"
    echo "guest exit status $?"
else
    setsid cttyhack sh
fi
sync
poweroff -f
"""


VIRTIO_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /mnt /root /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=${TERM:-linux} PS1='/ # '
for m in %s; do insmod /modules/$m.ko; done
echo "libvm guest: $(uname -srm), virtio: $(cd /sys/bus/virtio/devices; echo *)"
setsid cttyhack sh
sync
poweroff -f
"""


def tool(name, package):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise media.MediaError("this host has no %s (package %s)" % (name, package))
    return path


def call(*argv, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, **options)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise media.MediaError("%s: %s" % (os.path.basename(argv[0]), last[-1]))
    return done.stdout


def place(name):
    """.cache/media/NAME; made by whoever needs it."""
    return os.path.join(media.CACHE, "media", name)


def finish(path):
    """What was made as PATH.new is there now."""
    os.rename(path + ".new", path)
    return path


# ---- kernel and initramfs --------------------------------------------------------------------

def modular(name, wanted, init):
    """Debian's cloud kernel, and an initramfs with these of its modules; %s in INIT is their names."""
    folder = media.fetch_into(name + "-cloud", "amd64", "linux-image-cloud-amd64",
                              ["./boot/vmlinuz-*"]
                              + ["./lib/modules/*/kernel/%s.ko" % m for m in wanted])
    kernel = media.only(os.path.join(folder, "boot", "vmlinuz-*"))
    modules = media.only(os.path.join(folder, "lib/modules/*/kernel"))
    with open(media.busybox("amd64"), "rb") as f:
        program = f.read()
    init = init % " ".join(os.path.basename(m) for m in wanted)
    entries = [("bin", 0o040755, b"", 0, 0), ("dev", 0o040755, b"", 0, 0),
               ("dev/console", 0o020600, b"", 5, 1), ("modules", 0o040755, b"", 0, 0),
               ("bin/busybox", 0o100755, program, 0, 0), ("init", 0o100755, init.encode(), 0, 0)]
    for m in wanted:
        with open(os.path.join(modules, m + ".ko"), "rb") as f:
            entries.append(("modules/%s.ko" % os.path.basename(m), 0o100644, f.read(), 0, 0))
    archive = media.cpio_newc(entries)
    path = place("initrd-%s.cpio" % name)
    if not os.path.exists(path) or open(path, "rb").read() != archive:
        with open(path + ".new", "wb") as f:
            f.write(archive)
        finish(path)
    return [kernel, path]


def ide():
    """With its modules for IDE disks and CDs."""
    return modular("ide", MODULES, IDE_INIT)


def virtio():
    """With its modules for virtio devices."""
    return modular("virtio", VIRTIO_MODULES, VIRTIO_INIT)


# ---- CDs -------------------------------------------------------------------------------------

def grub_cd():
    path = "usr/lib/grub-rescue/grub-rescue-cdrom.iso"
    return [os.path.join(media.fetch_into("grub-cd", "amd64", "grub-rescue-pc", ["./" + path]), path)]


def ipxe_cd():
    path = "usr/lib/ipxe/ipxe.iso"
    return [os.path.join(media.fetch_into("ipxe-cd", "amd64", "ipxe", ["./" + path]), path)]


def isolinux_cd():
    """A CD that isolinux boots: a menu on the serial line, kernel and initramfs as above."""
    path = place("isolinux.iso")
    kernel, initrd = ide()
    if os.path.exists(path) and os.path.getmtime(path) > os.path.getmtime(initrd):
        return [path]
    loader = media.fetch_into("isolinux", "amd64", "isolinux", ["./usr/lib/ISOLINUX/isolinux.bin"])
    lib = media.fetch_into("syslinux-modules", "amd64", "syslinux-common",
                           ["./usr/lib/syslinux/modules/bios/*.c32"])
    root = place("isolinux.root")
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(os.path.join(root, "isolinux"))
    for source in (os.path.join(loader, "usr/lib/ISOLINUX/isolinux.bin"),
                   os.path.join(lib, "usr/lib/syslinux/modules/bios/ldlinux.c32")):
        shutil.copy(source, os.path.join(root, "isolinux"))
    shutil.copy(kernel, os.path.join(root, "linux"))
    shutil.copy(initrd, os.path.join(root, "initrd"))
    with open(os.path.join(root, "isolinux", "isolinux.cfg"), "w") as f:
        f.write("serial 0 115200\nprompt 1\ntimeout 0\ndefault libvm\n"
                "label libvm\n  kernel /linux\n"
                "  append initrd=/initrd console=ttyS0 quiet hello=isolinux\n")
    call(tool("xorriso", "xorriso"), "-as", "mkisofs", "-quiet", "-o", path + ".new", "-V", "LIBVM",
         "-J", "-R", "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot",
         "-boot-load-size", "4", "-boot-info-table", root)
    shutil.rmtree(root)
    return [finish(path)]


def data_cd(name, files):
    """A CD with files (name: bytes) and no boot record."""
    path = place(name + ".iso")
    root = place(name + ".root")
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    for file, data in files.items():
        with open(os.path.join(root, file), "wb") as f:
            f.write(data)
    call(tool("xorriso", "xorriso"), "-as", "mkisofs", "-quiet", "-o", path + ".new", "-V",
         name.upper(), "-R", root)
    shutil.rmtree(root)
    return finish(path)


# ---- disks -----------------------------------------------------------------------------------

def grub():
    """GRUB's folder for BIOS machines, and its tool that makes core images."""
    folder = media.fetch_into("grub-pc-bin", "amd64", "grub-pc-bin", ["./usr/lib/grub/i386-pc/*"])
    tools = media.fetch_into("grub-common", "amd64", "grub-common", ["./usr/bin/grub-mkimage"])
    return os.path.join(folder, "usr/lib/grub/i386-pc"), os.path.join(tools, "usr/bin/grub-mkimage")


def put_grub(image, config):
    """Boot sector and core image before the first partition (GRUB manual, "BIOS installation").

    The boot sector loads the core image's first sector from the sector number at 0x5c; that first
    sector loads the rest as a list of blocks that ends at its offset 0x200: start (8 bytes),
    sectors (2), segment (2)."""
    modules, mkimage = grub()
    core_path, config_path = image + ".core", image + ".cfg"
    with open(config_path, "w") as f:
        f.write(config)
    call(mkimage, "-O", "i386-pc", "-d", modules, "-o", core_path, "-c", config_path,
         "-p", "(hd0,msdos1)/boot/grub", "biosdisk", "part_msdos", "ext2", "linux", "normal",
         "serial", "terminal", "echo", "reboot", "halt", "ls", "cat", "test", "configfile", "sleep")
    with open(core_path, "rb") as f:
        core = bytearray(f.read())
    with open(os.path.join(modules, "boot.img"), "rb") as f:
        boot = bytearray(f.read(SECTOR))
    core += b"\0" * (-len(core) % SECTOR)
    sectors = len(core) // SECTOR
    if sectors >= PARTITION:
        raise media.MediaError("GRUB's core image has %d sectors" % sectors)
    struct.pack_into("<QHH", core, SECTOR - 12, 2, sectors - 1, 0x820)
    struct.pack_into("<Q", boot, 0x5c, 1)
    boot[0x66:0x68] = b"\x90\x90"  # keep the drive number the firmware gives
    with open(image, "r+b") as f:
        old = f.read(SECTOR)
        f.seek(0)
        f.write(boot[:440] + old[440:])
        f.write(core)
    os.unlink(core_path)
    os.unlink(config_path)


def make_disk(path, root, size, config, label="root"):
    """A disk of `size` bytes: MBR, GRUB with this configuration, an ext4 partition made of `root`."""
    new = path + ".new"
    with open(new, "wb") as f:
        f.truncate(size)
        count = size // SECTOR - PARTITION
        f.seek(440)
        f.write(b"LIBV\0\0" + bytes([0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff])
                + struct.pack("<II", PARTITION, count))
        f.seek(510)
        f.write(b"\x55\xaa")
    call(tool("mke2fs", "e2fsprogs"), "-q", "-F", "-t", "ext4", "-L", label,
         "-O", "^64bit", "-d", root,
         "-E", "offset=%d" % (PARTITION * SECTOR), new, "%dk" % (count // 2))
    put_grub(new, config)
    return finish(path)


SMALL_CONFIG = """serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
echo GRUB is here
set root=(hd0,msdos1)
linux /linux console=ttyS0 quiet hello=grub
initrd /initrd
boot
"""


def small():
    """A disk of 96 MB: GRUB boots the kernel and initramfs above."""
    path = place("small.img")
    kernel, initrd = ide()
    if os.path.exists(path) and os.path.getmtime(path) > max(os.path.getmtime(initrd),
                                                             os.path.getmtime(__file__)):
        return [path]
    root = place("small.root")
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(os.path.join(root, "boot/grub"))
    shutil.copy(kernel, os.path.join(root, "linux"))
    shutil.copy(initrd, os.path.join(root, "initrd"))
    make_disk(path, root, 96 << 20, SMALL_CONFIG)
    shutil.rmtree(root)
    return [path]


DEBIAN_CONFIG = """serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
echo GRUB is here
set root=(hd0,msdos1)
linux /vmlinuz root=/dev/sda1 rw console=ttyS0 net.ifnames=0 quiet
initrd /initrd.img
boot
"""
DEBIAN_PACKAGES = "linux-image-cloud-amd64,systemd-sysv,udev,kmod,dbus,initramfs-tools,eject"


def debian():
    """A disk of 2 GB with Debian: systemd, root without a password on the serial line."""
    path = place("debian.img")
    if os.path.exists(path):
        return [path]
    if os.geteuid() != 0:
        raise media.MediaError("debootstrap needs root")
    root = place("debian.root")
    shutil.rmtree(root, ignore_errors=True)
    media.say("debootstrap: this takes minutes")
    call(tool("debootstrap", "debootstrap"), "--variant=minbase", "--include=" + DEBIAN_PACKAGES,
         "bookworm", root, env=dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive"))
    with open(os.path.join(root, "etc/fstab"), "w") as f:
        f.write("/dev/sda1 / ext4 errors=remount-ro 0 1\n")
    with open(os.path.join(root, "etc/hostname"), "w") as f:
        f.write("libvm\n")
    call("chroot", root, "passwd", "-d", "root")
    for unit in ("e2scrub_reap.service", "e2scrub_all.timer", "apt-daily.timer",
                 "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer"):
        os.symlink("/dev/null", os.path.join(root, "etc/systemd/system", unit))
    shutil.rmtree(os.path.join(root, "var/cache/apt"), ignore_errors=True)
    shutil.rmtree(os.path.join(root, "var/lib/apt/lists"), ignore_errors=True)
    make_disk(path, root, 2 << 30, DEBIAN_CONFIG)
    shutil.rmtree(root)
    return [path]


MADE = {"ide": ide, "virtio": virtio, "grub-cd": grub_cd, "ipxe-cd": ipxe_cd, "isolinux-cd": isolinux_cd,
        "small": small, "debian": debian}


def get(name):
    import fcntl
    os.makedirs(os.path.join(media.CACHE, "media"), exist_ok=True)
    with open(os.path.join(media.CACHE, "media", ".lock-disks"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return MADE[name]()


def main(argv):
    if argv == ["--list"]:
        print("\n".join(MADE))
        return 0
    if not argv or any(a not in MADE for a in argv):
        media.say(__doc__.strip())
        return 2
    try:
        for name in argv:
            print("\n".join(get(name)))
    except media.MediaError as e:
        media.say("disks: %s" % e)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
