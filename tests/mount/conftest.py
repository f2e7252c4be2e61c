# SPDX-License-Identifier: MIT
"""Reaching what lies inside images: `vmimg mount` by FUSE, `vmimg ls`, `cat` and `cp`."""
import contextlib
import os
import shutil
import struct
import subprocess

import pytest

VMIMG = os.environ["VMIMG"]
SBIN = {**os.environ, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"}


def need(*programs):
    for name in programs:
        if shutil.which(name, path=SBIN["PATH"]) is None:
            pytest.skip("%s is not installed" % name)


def run(*args, check=True, **kw):
    done = subprocess.run([str(a) for a in args], capture_output=True, timeout=120, env=SBIN,
                          stdin=None if "input" in kw else subprocess.DEVNULL, **kw)
    done.text = done.stdout.decode(errors="replace")
    done.words = done.stderr.decode(errors="replace")
    assert not check or done.returncode == 0, (args, done.text, done.words)
    return done


def fuse():
    if not os.path.exists("/dev/fuse"):
        pytest.skip("this host has no /dev/fuse")
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("/dev/fuse is not for this user")
    if shutil.which("fusermount3") is None:
        pytest.skip("fusermount3 is not installed")


@contextlib.contextmanager
def mounted(image, folder, *options):
    folder.mkdir(exist_ok=True)
    done = run(VMIMG, "mount", *options, image, folder, check=False)
    if "without libfuse" in done.words:
        pytest.skip("built without libfuse")
    if done.returncode != 0 and "ermitted" in done.words:
        pytest.skip("this host does not allow mounts: " + done.words)
    assert done.returncode == 0, done.words
    try:
        yield folder
    finally:
        run(VMIMG, "umount", folder)


def physical_volume(data_sectors, metadata, letter):
    """An LVM2 physical volume: label, one metadata area, data from 1 MiB on."""
    area, start, size = 4096, 1 << 20, (1 << 20) + data_sectors * 512
    disk = bytearray(size)
    text = metadata.encode()
    label = struct.pack("<8sQII8s", b"LABELONE", 1, 0, 32, b"LVM2 001") + letter.encode() * 32
    label += struct.pack("<QQQQQQQQQ", size, start, 0, 0, 0, area, start - area, 0, 0)
    disk[512:512 + len(label)] = label
    head = struct.pack("<I16sIQQ", 0, b" LVM2 x[5A%r0N*>", 1, area, start - area)
    head += struct.pack("<QQII", 512, len(text), 0, 0)
    disk[area:area + len(head)] = head
    disk[area + 512:area + 512 + len(text)] = text
    return disk


GROUP = """vg {
id = "vgvgvg"
seqno = 1
extent_size = 2048
physical_volumes { pv0 { id = "%s" pe_start = 2048 pe_count = 8 } }
logical_volumes { root { id = "lv" status = ["READ", "WRITE", "VISIBLE"] segment_count = 1
segment1 { start_extent = 0 extent_count = 6 type = "striped" stripe_count = 1 stripes = ["pv0", 1] } } }
}
"""


def lvm_disk():
    """16 MiB of disk: an MBR whose second partition is a physical volume with vg/root."""
    pv = physical_volume(8 * 2048, GROUP % ("a" * 32), "a")
    disk = bytearray(24 << 20)
    disk[446:462] = struct.pack("<BBBBBBBBII", 0, 0, 0, 0, 0x83, 0, 0, 0, 2048, 2048)
    disk[462:478] = struct.pack("<BBBBBBBBII", 0, 0, 0, 0, 0x8e, 0, 0, 0, 8192, len(pv) // 512)
    disk[510:512] = b"\x55\xaa"
    disk[8192 * 512:8192 * 512 + len(pv)] = pv
    return disk
