#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Guest media for boot tests, benchmarks and `./dev run`, made from Debian packages.

Nothing is installed on the host: packages are fetched with apt into a state directory of its own
under .cache/ (so an i386 package needs no foreign architecture, and no root), unpacked there, and
kept. The busybox initramfs is packed here, byte for byte the same on every run.

    media.py cloud              prints the path of a kernel
    media.py installer-amd64    prints the paths of a kernel and an initrd, a line each
    media.py --list
"""
import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get("LIBVM_CACHE", os.path.join(ROOT, ".cache"))

# name: (package, architecture). A meta-package stands for the kernel image it depends on.
KERNELS = {
    "cloud": ("linux-image-cloud-amd64", "amd64"),
    "amd64": ("linux-image-amd64", "amd64"),
    "686": ("linux-image-686", "i386"),
    "686-pae": ("linux-image-686-pae", "i386"),
}
# name: (package, architecture, front end)
INSTALLERS = {
    "installer-amd64": ("debian-installer-12-netboot-amd64", "amd64", "text"),
    "installer-i386": ("debian-installer-12-netboot-i386", "i386", "text"),
    "installer-gtk-amd64": ("debian-installer-12-netboot-amd64", "amd64", "gtk"),
}
# A kernel with the modules that some tests load: the kernel's path and the modules' folder.
MODULAR = {"modular-amd64": ("linux-image-amd64", "amd64"), "net-amd64": ("linux-image-amd64", "amd64")}
MODULES = ["drivers/block/floppy.ko", "drivers/parport/parport.ko", "drivers/parport/parport_pc.ko",
           "drivers/char/lp.ko", "drivers/char/ppdev.ko", "fs/fat/fat.ko", "fs/fat/vfat.ko",
           "fs/nls/nls_cp437.ko", "fs/nls/nls_ascii.ko"]
NET_MODULES = ["drivers/net/mii.ko", "drivers/net/ethernet/realtek/8139cp.ko",
               "drivers/net/ethernet/realtek/8139too.ko", "drivers/net/ethernet/intel/e1000/e1000.ko",
               "net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko",
               "drivers/virtio/*.ko", "drivers/char/hw_random/*.ko"]
# Files of packages, by their path there.
FILES = {
    "grub-floppy": ("grub-rescue-pc", "usr/lib/grub-rescue/grub-rescue-floppy.img"),
    "memtest-64": ("memtest86+", "boot/memtest86+x64.bin"),
    "memtest-32": ("memtest86+", "boot/memtest86+ia32.bin"),
    "ipxe-lkrn": ("ipxe", "boot/ipxe.lkrn"),
}
INITRDS = {"initrd-amd64": "amd64", "initrd-i386": "i386"}

# What the guest prints when it is up; `./dev run` and the tests look for it.
BANNER = "libvm guest:"

# The kernel hands unknown name=value words of its command line to init as environment:
#   run="commands"   run them and power off, instead of a shell on the console
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /root /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=${TERM:-linux} PS1='/ # '
cpus=$(grep -c ^processor /proc/cpuinfo)
mem=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
echo "libvm guest: $(uname -srm), $cpus CPU, $mem MiB, up $(cut -d' ' -f1 /proc/uptime) s"
if [ -n "$run" ]; then
    sh -c "$run"
    echo "guest exit status $?"
else
    setsid cttyhack sh
fi
sync
poweroff -f
"""


class MediaError(Exception):
    """A package could not be had; the text is one line for people."""


def say(text):
    print(text, file=sys.stderr, flush=True)


class Apt:
    """apt with a state directory of its own, reading the host's sources and keys."""

    def __init__(self, arch):
        self.arch = arch
        self.dir = os.path.join(CACHE, "apt-" + arch)
        for sub in ("lists/partial", "cache/archives/partial", "deb"):
            os.makedirs(os.path.join(self.dir, sub), exist_ok=True)
        open(os.path.join(self.dir, "status"), "a").close()
        self.options = [
            "-qq",
            "-o", "Dir::State=" + self.dir,
            "-o", "Dir::State::lists=" + os.path.join(self.dir, "lists"),
            "-o", "Dir::State::status=" + os.path.join(self.dir, "status"),
            "-o", "Dir::Cache=" + os.path.join(self.dir, "cache"),
            "-o", "APT::Architecture=" + arch,
            "-o", "APT::Architectures::=" + arch,
            "-o", "Acquire::Languages=none",
        ]
        if os.geteuid() == 0:
            self.options += ["-o", "APT::Sandbox::User=root"]

    def call(self, tool, *args, cwd=None):
        if shutil.which(tool) is None:
            raise MediaError("guest media come from Debian packages, and this host has no %s" % tool)
        return subprocess.run([tool, *self.options, *args], cwd=cwd or self.dir, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)

    def fetch(self, package):
        """The path of the package's .deb, newest the sources know of."""
        out = os.path.join(self.dir, "deb")
        done = self.call("apt-get", "download", package, cwd=out)
        if done.returncode != 0:
            # Lists missing or stale. One broken third-party source must not matter, so the
            # update's own status is not asked: the download says whether it was enough.
            update = self.call("apt-get", "update")
            done = self.call("apt-get", "download", package, cwd=out)
            if done.returncode != 0:
                reason = (done.stderr + update.stderr).strip().splitlines() or ["no reason given"]
                raise MediaError("cannot download %s (%s): %s" % (package, self.arch, reason[0]))
        debs = glob.glob(os.path.join(out, package + "_*.deb"))
        return max(debs, key=os.path.getmtime)

    def image_behind(self, meta):
        """The versioned kernel package that a linux-image meta-package depends on."""
        for attempt in (1, 2):
            text = self.call("apt-cache", "depends", meta).stdout
            found = re.search(r"Depends: (linux-image-\S+)", text)
            if found:
                return found.group(1)
            if attempt == 1:
                self.call("apt-get", "update")
        raise MediaError("apt knows no package %s for %s (is the network there?)" % (meta, self.arch))


def unpack(deb, want, into):
    """Extract the members of a .deb that match the tar patterns in `want`."""
    shutil.rmtree(into, ignore_errors=True)
    os.makedirs(into)
    stream = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    tar = subprocess.run(["tar", "-x", "-C", into, "--wildcards", *want], stdin=stream.stdout,
                         capture_output=True, text=True)
    stream.stdout.close()
    stream.wait()
    if tar.returncode != 0:
        raise MediaError("%s holds no %s: %s" % (os.path.basename(deb), want[0], tar.stderr.strip()))


def fetch_into(name, arch, package, want):
    """.cache/media/NAME holding the wanted members of a package; fetched once."""
    place = os.path.join(CACHE, "media", name)
    if not os.path.isdir(place):
        apt = Apt(arch)
        if package.startswith("linux-image-"):
            package = apt.image_behind(package)
        say("fetching %s (%s)" % (package, arch))
        deb = apt.fetch(package)
        fresh = place + ".new"
        unpack(deb, want, fresh)
        os.unlink(deb)
        os.rename(fresh, place)
    return place


def only(pattern):
    found = sorted(glob.glob(pattern))
    if not found:
        raise MediaError("nothing at %s; remove that directory to fetch it again" % pattern)
    return found[-1]


def cpio_newc(entries):
    """Pack (name, mode, data, rdev_major, rdev_minor) as an initramfs [INITRAMFS "newc"]."""
    out = bytearray()
    for ino, (name, mode, data, major, minor) in enumerate([*entries, ("TRAILER!!!", 0, b"", 0, 0)]):
        raw = name.encode() + b"\0"
        fields = (ino, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(raw), 0)
        out += b"070701" + b"".join(b"%08X" % f for f in fields) + raw
        out += b"\0" * (-len(out) % 4)
        out += data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def busybox(arch):
    place = fetch_into("busybox-" + arch, arch, "busybox-static", ["*/busybox"])
    for path in ("bin/busybox", "usr/bin/busybox"):
        if os.path.exists(os.path.join(place, path)):
            return os.path.join(place, path)
    raise MediaError("busybox-static holds no busybox")


def make_initrd(arch):
    with open(busybox(arch), "rb") as f:
        program = f.read()
    archive = cpio_newc([
        ("bin", 0o040755, b"", 0, 0),
        ("dev", 0o040755, b"", 0, 0),
        ("dev/console", 0o020600, b"", 5, 1),  # init's stdin, stdout and stderr
        ("bin/busybox", 0o100755, program, 0, 0),
        ("init", 0o100755, INIT.encode(), 0, 0),
    ])
    digest = hashlib.sha256(archive).hexdigest()[:12]
    path = os.path.join(CACHE, "media", "initrd-%s-%s.cpio" % (arch, digest))
    if not os.path.exists(path):
        with open(path + ".new", "wb") as f:
            f.write(archive)
        os.rename(path + ".new", path)
    return path


def get(name):
    """The list of paths that stand for `name`: [kernel], [kernel, initrd] or [initrd]."""
    os.makedirs(os.path.join(CACHE, "media"), exist_ok=True)
    with open(os.path.join(CACHE, "media", ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests ask in parallel
        if name in KERNELS:
            package, arch = KERNELS[name]
            place = fetch_into(name, arch, package, ["./boot/vmlinuz-*"])
            return [only(os.path.join(place, "boot", "vmlinuz-*"))]
        if name in INSTALLERS:
            package, arch, front = INSTALLERS[name]
            part = "*/%s/debian-installer/*/" % front
            place = fetch_into(name, arch, package, [part + "linux", part + "initrd.gz"])
            images = os.path.join(place, "usr/lib/debian-installer/images/*", part)
            return [only(os.path.join(images, "linux")), only(os.path.join(images, "initrd.gz"))]
        if name in INITRDS:
            return [make_initrd(INITRDS[name])]
        if name in MODULAR:
            package, arch = MODULAR[name]
            place = fetch_into(name, arch, package,
                               ["./boot/vmlinuz-*"] + ["./lib/modules/*/kernel/" + m
                                                        for m in (NET_MODULES if name.startswith("net") else MODULES)])
            return [only(os.path.join(place, "boot", "vmlinuz-*")),
                    only(os.path.join(place, "lib/modules/*/kernel"))]
        if name in FILES:
            package, path = FILES[name]
            return [only(os.path.join(fetch_into(name, "amd64", package, ["./" + path]), path))]
    raise MediaError("no medium %s; there are %s" % (name, ", ".join(names())))


def names():
    return [*KERNELS, *INSTALLERS, *INITRDS, *MODULAR, *FILES]


def main(argv):
    if argv == ["--list"]:
        print("\n".join(names()))
        return 0
    if not argv or argv[0].startswith("-"):
        say(__doc__.strip())
        return 2
    try:
        for name in argv:
            print("\n".join(get(name)))
    except MediaError as e:
        say("media: %s" % e)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
