# SPDX-License-Identifier: MIT
"""Images as files in a folder."""
import contextlib
import errno
import os
import signal
import subprocess
import time

import pytest

from conftest import VMIMG, fuse, lvm_disk, mounted, need, run


@pytest.fixture(autouse=True)
def has_fuse():
    fuse()
    need("qemu-img", "sfdisk")


def divided(tmp_path, format, script="label: dos\nstart=2048,size=8192\nstart=12288,size=20000,type=5\n"
                                      "start=14336,size=8192\n"):
    raw, image = tmp_path / "raw", tmp_path / ("disk." + format)
    raw.write_bytes(b"")
    os.truncate(raw, 32 << 20)
    run("sfdisk", "-q", raw, input=script.encode())
    run("qemu-img", "convert", "-f", "raw", "-O", format, raw, image)
    return image


@pytest.mark.parametrize("format", ["raw", "qcow2", "vdi", "vhdx", "vmdk"])
def test_partitions_are_files(tmp_path, format):
    image = divided(tmp_path, format)
    with mounted(image, tmp_path / "m", "--rw") as m:
        assert sorted(os.listdir(m)) == ["disk", "p1", "p5"]
        assert os.path.getsize(m / "disk") == 32 << 20
        assert os.path.getsize(m / "p1") == os.path.getsize(m / "p5") == 8192 * 512
        with open(m / "p5", "r+b") as f:
            f.seek(5000)
            f.write(b"in the logical one")
            f.flush()
            os.fsync(f.fileno())
        with open(m / "disk", "rb") as f:  # the same bytes, at once
            f.seek(14336 * 512 + 5000)
            assert f.read(18) == b"in the logical one"
    run("qemu-img", "convert", "-f", format, "-O", "raw", image, tmp_path / "after")
    after = (tmp_path / "after").read_bytes()
    assert after[14336 * 512 + 5000:][:18] == b"in the logical one"


def test_gpt_partitions(tmp_path):
    image = divided(tmp_path, "qcow2", "label: gpt\nstart=2048,size=8192\nstart=12288,size=4096\n")
    with mounted(image, tmp_path / "m") as m:
        assert sorted(os.listdir(m)) == ["disk", "p1", "p2"]


def test_logical_volumes_are_files(tmp_path):
    disk = lvm_disk()
    start = 8192 * 512 + (2 << 20)  # extents begin 1 MiB into it, the volume at the second
    disk[start:start + 5] = b"hello"
    (tmp_path / "raw").write_bytes(disk)
    image = tmp_path / "disk.vdi"
    run("qemu-img", "convert", "-f", "raw", "-O", "vdi", tmp_path / "raw", image)
    with mounted(image, tmp_path / "m") as m:
        assert sorted(os.listdir(m)) == ["disk", "p1", "p2", "vg"]
        assert os.listdir(m / "vg") == ["root"]
        assert os.path.getsize(m / "vg" / "root") == 6 << 20
        assert (m / "vg" / "root").read_bytes()[:5] == b"hello"


def test_read_only_unless_asked(tmp_path):
    image = divided(tmp_path, "qcow2")
    before = image.read_bytes()
    with mounted(image, tmp_path / "m") as m:
        with pytest.raises(OSError) as e:
            open(m / "p1", "r+b")
        assert e.value.errno == errno.EROFS
        assert (m / "disk").read_bytes()[510:512] == b"\x55\xaa"
    assert image.read_bytes() == before


def test_a_file_system_is_made_in_a_partition(tmp_path):
    need("mkfs.ext4", "e2fsck", "debugfs")
    image = divided(tmp_path, "qcow2")
    with mounted(image, tmp_path / "m", "--rw") as m:
        run("mkfs.ext4", "-q", "-F", m / "p1")
        run("debugfs", "-w", "-R", "mkdir somewhere", m / "p1")
        run("e2fsck", "-f", "-n", m / "p1")
    run("qemu-img", "check", image)
    with mounted(image, tmp_path / "m") as m:
        run("e2fsck", "-f", "-n", m / "p1")
        assert "somewhere" in run("debugfs", "-R", "ls", m / "p1").text


def test_holes_are_punched_and_found(tmp_path):
    need("fallocate")
    image = divided(tmp_path, "qcow2")
    with mounted(image, tmp_path / "m", "--rw") as m:
        with open(m / "p1", "r+b") as f:
            f.write(b"\1" * (2 << 20))
        run("fallocate", "-p", "-o", str(1 << 20), "-l", str(512 << 10), m / "p1")
        run("fallocate", "-z", "-o", "0", "-l", "65536", m / "p1")
        fd = os.open(m / "p1", os.O_RDONLY)
        try:
            assert os.lseek(fd, 1 << 20, os.SEEK_DATA) == (1 << 20) + (512 << 10)
            assert os.lseek(fd, 65536, os.SEEK_HOLE) == 1 << 20
            assert os.lseek(fd, 0, os.SEEK_DATA) == 65536
            with pytest.raises(OSError):
                os.lseek(fd, 8192 * 512, os.SEEK_DATA)
            assert os.pread(fd, 65537, 0) == bytes(65536) + b"\1"
        finally:
            os.close(fd)
        assert 0 < os.stat(m / "p1").st_blocks * 512 < os.path.getsize(m / "p1")
        space = os.statvfs(m)
        assert space.f_blocks * space.f_bsize == 32 << 20 and space.f_bavail == 0


def test_nothing_is_written_past_the_end(tmp_path):
    image = divided(tmp_path, "raw")
    with mounted(image, tmp_path / "m", "--rw", "-F", "raw") as m:
        fd = os.open(m / "p1", os.O_RDWR)
        try:
            with pytest.raises(OSError) as e:
                os.pwrite(fd, b"x", 8192 * 512)
            assert e.value.errno == errno.ENOSPC
            assert os.pwrite(fd, b"xyz", 8192 * 512 - 2) == 2
            with pytest.raises(OSError):
                os.ftruncate(fd, 100)
        finally:
            os.close(fd)
        assert os.path.getsize(m / "p1") == 8192 * 512


def test_the_image_is_locked_meanwhile(tmp_path):
    image = divided(tmp_path, "qcow2")
    with mounted(image, tmp_path / "m", "--rw"):
        done = run("qemu-img", "info", image, check=False)
        assert done.returncode == 1 and "lock" in done.words
    run("qemu-img", "info", image)


def test_killed_it_loses_nothing_that_was_synced(tmp_path):
    image = divided(tmp_path, "qcow2")
    folder = tmp_path / "m"
    folder.mkdir()
    daemon = subprocess.Popen([VMIMG, "mount", "-f", "--rw", str(image), str(folder)],
                              stdin=subprocess.DEVNULL)
    try:
        for _ in range(2000):
            if (folder / "p1").exists():
                break
            assert daemon.poll() is None
            time.sleep(0.005)
        fd = os.open(folder / "p1", os.O_RDWR)
        for i in range(64):
            os.pwrite(fd, bytes([i + 1]) * 4096, i * 65536)
        os.fsync(fd)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        with contextlib.suppress(OSError):  # nobody is there to hear of it
            os.close(fd)
    finally:
        if daemon.poll() is None:
            daemon.kill()
        run("fusermount3", "-u", folder)
    run("qemu-img", "check", "-q", "-r", "all", image)
    with mounted(image, folder) as m:
        with open(m / "p1", "rb") as f:
            for i in range(64):
                f.seek(i * 65536)
                assert f.read(4096) == bytes([i + 1]) * 4096


@pytest.mark.parametrize("args, words", [
    (["/nonexistent", "{0}"], "No such file"),
    (["{1}", "/nonexistent"], "/nonexistent"),
    (["{1}", "{1}"], "not a folder"),
    (["{1}"], "Expecting an image and a folder"),
])
def test_what_makes_no_sense_is_said(tmp_path, args, words):
    image = divided(tmp_path, "qcow2")
    done = run(VMIMG, "mount", *[a.format(tmp_path, image) for a in args], check=False)
    assert done.returncode == 1 and words in done.words and done.words.startswith("vmimg: ")
    done = run(VMIMG, "umount", tmp_path, check=False)
    assert done.returncode == 1 and "no folder that vmimg mount has filled" in done.words
