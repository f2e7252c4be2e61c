# SPDX-License-Identifier: MIT
"""virtio devices under Debian's drivers: modern and legacy, split and packed rings, hot-plug."""
import hashlib
import random

import disks
import media
import pytest

import libvm
from conftest import PATIENCE, Guest

SIZE = 16 << 20


@pytest.fixture
def image(tmp_path):
    data = random.Random(1).randbytes(1 << 20) * (SIZE >> 20)
    path = tmp_path / "disk.raw"
    path.write_bytes(data)
    return path


def guest(**options):
    try:
        kernel, initrd = disks.get("virtio")
    except media.MediaError as e:
        pytest.skip(str(e))
    return Guest(kernel, initrd, "quiet", **options)


def digest(data):
    return hashlib.md5(data).hexdigest()


KINDS = {
    "transitional": "",
    "modern": ",disable-legacy=on",
    "legacy": ",disable-modern=on",
    "packed": ",disable-legacy=on,packed=on",
    "plain": ",no-event-idx=on,no-indirect=on",
    "no-msix": ",vectors=0",
    "packed-plain": ",packed=on,no-event-idx=on,no-indirect=on",
    "queues": ",num-queues=2,queue-size=64",
}


@pytest.mark.parametrize("kind", KINDS)
def test_disk(image, kind):
    """Read all of it, write in the middle, flush, and look at the file."""
    before = image.read_bytes()
    spec = "virtio-blk-pci,drive=d0,serial=S123456789,id=vd" + KINDS[kind]
    with guest(**{"drive.0": "file=%s,format=raw,if=none,id=d0" % image, "device.0": spec,
                  "cpu.count": 2 if kind == "queues" else 1}) as g:
        g.shell()
        out, _ = g.run("cat /sys/block/vda/size /sys/block/vda/serial; grep virtio /proc/interrupts")
        assert out.split()[:2] == [str(SIZE // 512), "S123456789"]
        assert ("MSI" in out) == (kind != "no-msix"), out
        out, _ = g.run("md5sum /dev/vda")
        assert digest(before) in out
        g.run("dd if=/dev/vda of=/tmp/a bs=64k count=16; "
              "dd if=/tmp/a of=/dev/vda bs=4k seek=1025 conv=fsync; cat /tmp/a > /tmp/b")
        g.run("for i in 1 2 3 4; do dd if=/dev/vda of=/dev/null bs=4k skip=$((i*512)) count=512 & done; wait")
        out, _ = g.run("echo 3 > /proc/sys/vm/drop_caches; md5sum /dev/vda")
        want = bytearray(before)
        want[1025 * 4096:1025 * 4096 + (1 << 20)] = before[:1 << 20]
        assert digest(want) in out
        g.serial.send_line("exit")
        assert g.machine.wait(timeout=PATIENCE) == "shutdown"
    assert image.read_bytes() == want


def test_discard_and_write_zeroes(image):
    with guest(**{"drive.0": "file=%s,format=raw,if=virtio,discard=unmap" % image}) as g:
        g.shell()
        _, status = g.run("blkdiscard -o 1048576 -l 2097152 /dev/vda")
        assert status == 0
        _, status = g.run("blkdiscard -z -o 8388608 -l 1048576 /dev/vda && sync")
        if status != 0:  # busybox without -z
            g.run("dd if=/dev/zero of=/dev/vda bs=1M seek=8 count=1 conv=fsync")
        g.serial.send_line("exit")
        assert g.machine.wait(timeout=PATIENCE) == "shutdown"
    data = image.read_bytes()
    assert not any(data[1 << 20:3 << 20]) and any(data[:4096]) and not any(data[8 << 20:9 << 20])
    assert image.stat().st_blocks * 512 < SIZE


def test_read_only_and_hot_plug(image):
    """A drive's function comes while the guest runs, is read, and goes; the drive is free again."""
    drive = "file=%s,format=raw,if=none,id=d0,readonly=on" % image
    with guest(**{"drive.0": drive}) as g:
        g.shell()
        for turn in range(2):
            g.machine.plug("virtio-blk-pci,drive=d0,id=v%d" % turn)
            _, status = g.run("i=0; until [ -b /dev/vda ] || [ $i = 50 ]; do sleep 0.1; i=$((i+1)); done; [ -b /dev/vda ]")
            assert status == 0
            out, _ = g.run("cat /sys/block/vda/ro; md5sum /dev/vda")
            assert out.split()[0] == "1" and digest(image.read_bytes()) in out
            g.machine.unplug("v%d" % turn)
            assert g.machine.wait_event("unplugged", PATIENCE)[3] == "v%d" % turn
            g.machine.events.clear()
            _, status = g.run("i=0; while [ -b /dev/vda ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; [ -b /dev/vda ]")
            assert status != 0


def test_resize_is_seen(image):
    with guest(**{"drive.0": "file=%s,format=raw,if=virtio,id=d0" % image}) as g:
        g.shell()
        g.machine.monitor("block_resize d0 32M")
        out, _ = g.run("sleep 0.5; cat /sys/block/vda/size")
        assert out.split() == [str(2 * SIZE // 512)]


@pytest.mark.parametrize("more", ["", ",packed=on,disable-legacy=on", ",max-bytes=4096,period=100"])
def test_rng(more):
    with guest(**{"device.0": "virtio-rng-pci" + more}) as g:
        g.shell()
        out, _ = g.run("cat /sys/class/misc/hw_random/rng_current; "
                       "dd if=/dev/hwrng of=/tmp/r bs=1k count=16; md5sum /tmp/r; gzip /tmp/r; wc -c < /tmp/r.gz")
        assert out.startswith("virtio_rng")
        assert int(out.split()[-1]) > 16384, "random bytes do not compress"


def test_saved_in_mid_traffic(image):
    """Save while the disk is busy, load into another machine: it goes on where it was."""
    options = {"drive.0": "file=%s,format=raw,if=virtio,snapshot=on" % image, "memory.size": "128M"}
    with guest(**options) as g:
        g.shell()
        g.serial.send_line("while true; do md5sum /dev/vda; echo 3 > /proc/sys/vm/drop_caches; done")
        g.expect(digest(image.read_bytes()))
        g.machine.pause()
        state = g.machine.save()
    with guest(**options) as h:
        h.machine.pause()
        h.machine.load(state)
        h.machine.resume()
        for _ in range(3):
            h.expect(digest(image.read_bytes()))


@pytest.mark.parametrize("spec, words", [
    ("virtio-blk-pci", "drive= is missing"),
    ("virtio-blk-pci,drive=nosuch", "no drive nosuch"),
    ("virtio-blk-pci,drive=d0,num-queues=33", "0x20"),
    ("virtio-blk-pci,drive=d0,queue-size=100", "power of two"),
    ("virtio-blk-pci,drive=d0,disable-legacy=on,disable-modern=on", "no interface"),
    ("virtio-blk-pci,drive=d0,vectors=300", "128"),
    ("virtio-blk-pci,drive=d0,logical_block_size=1000", "logical_block_size"),
    ("virtio-rng-pci,max-bytes=1,period=0", "period"),
])
def test_bad_options(image, spec, words):
    with pytest.raises(libvm.Error, match=words):
        libvm.Machine({"memory.size": "32M", "drive.0": "file=%s,format=raw,if=none,id=d0" % image,
                       "device.0": spec})
