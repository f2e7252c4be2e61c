# SPDX-License-Identifier: MIT
"""Files inside images without a mount: vmimg ls, cat, cp."""
import os
import random
import struct
import time

import pytest

from conftest import VMIMG, lvm_disk, need, run

DATA = bytes(random.Random(1).randrange(256) for _ in range(300000))


@pytest.fixture(autouse=True)
def tools():
    need("qemu-img")


def partitioned(tmp_path, fs, format, bits=0x83):
    """A disk whose first partition is the file system in the file `fs`."""
    content = fs.read_bytes()
    disk = bytearray(2048 * 512)
    disk[446:462] = struct.pack("<BBBBBBBBII", 0, 0, 0, 0, bits, 0, 0, 0, 2048, len(content) // 512)
    disk[510:512] = b"\x55\xaa"
    (tmp_path / "raw").write_bytes(disk + content)
    image = tmp_path / ("image." + format)
    run("qemu-img", "convert", "-f", "raw", "-O", format, tmp_path / "raw", image)
    return image


def ext(tmp_path, kind="ext4", size="24M", options=()):
    need("mkfs.ext4", "debugfs")
    fs, data = tmp_path / "fs", tmp_path / "data"
    data.write_bytes(DATA)
    run("mkfs.ext4", "-q", "-F", "-t", kind, *options, fs, size)
    script = "mkdir etc\nmkdir etc/deep\nwrite %s etc/deep/data\nsymlink etc/link deep/data\n" % data
    run("debugfs", "-w", "-f", "-", fs, input=script.encode())
    return fs


def fat(tmp_path, bits, size):
    need("mkfs.vfat", "mcopy", "mmd")
    fs, data = tmp_path / "fs", tmp_path / "data"
    data.write_bytes(DATA)
    fs.write_bytes(b"")
    os.truncate(fs, size)
    run("mkfs.vfat", "-F", str(bits), fs)
    run("mmd", "-i", fs, "::/etc", "::/etc/A folder with a long name")
    run("mcopy", "-i", fs, data, "::/etc/A folder with a long name/Größe of the data.bin")
    run("mcopy", "-i", fs, data, "::/SHORT.TXT")
    return fs


def check_fs(fs):
    need("e2fsck")
    run("e2fsck", "-f", "-n", fs)


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
@pytest.mark.parametrize("format", ["raw", "qcow2", "vdi"])
def test_reading_ext(tmp_path, kind, format):
    image = partitioned(tmp_path, ext(tmp_path, kind), format)
    assert "ext2/3/4" in run(VMIMG, "ls", image).text
    assert "etc/" in run(VMIMG, "ls", "%s:1:/" % image).text.split()
    assert run(VMIMG, "ls", "%s:p1:/etc/deep" % image).text == "data\n"
    assert run(VMIMG, "cat", "%s:1:/etc/deep/data" % image).stdout == DATA
    assert run(VMIMG, "cat", "%s:1:etc/link" % image, check=False).returncode == 1  # no slash: no path
    assert run(VMIMG, "cat", "%s:1:/etc/link" % image).stdout == DATA
    assert "link -> deep/data" in run(VMIMG, "ls", "-l", "%s:1:/etc" % image).text
    run(VMIMG, "cp", "%s:1:/etc/deep/data" % image, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA


@pytest.mark.parametrize("kind", ["ext2", "ext4"])
def test_writing_ext(tmp_path, kind):
    image = partitioned(tmp_path, ext(tmp_path, kind), "qcow2")
    new = tmp_path / "new"
    new.write_bytes(DATA[::-1])
    os.chmod(new, 0o750)
    run(VMIMG, "cp", new, "%s:1:/etc/fresh" % image)
    run(VMIMG, "cp", new, "%s:1:/etc/deep" % image)  # into a folder
    run(VMIMG, "cp", new, "%s:1:/etc/deep/data" % image)  # over a file
    for i in range(60):  # more names than a block of a folder has room for
        (tmp_path / ("a rather long name to fill the folder with, number %d" % i)).write_bytes(b"%d" % i)
    many = sorted(tmp_path.glob("a rather*"))
    run(VMIMG, "cp", *many, "%s:1:/etc/" % image)
    for path in ("/etc/fresh", "/etc/deep/new", "/etc/deep/data"):
        assert run(VMIMG, "cat", "%s:1:%s" % (image, path)).stdout == DATA[::-1]
    assert "-rwxr-x---" in run(VMIMG, "ls", "-l", "%s:1:/etc/fresh" % image).text
    assert len(run(VMIMG, "ls", "%s:1:/etc" % image).text.splitlines()) == 63
    run("qemu-img", "check", "-q", image)
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, tmp_path / "after")
    (tmp_path / "fs2").write_bytes((tmp_path / "after").read_bytes()[2048 * 512:])
    check_fs(tmp_path / "fs2")


def test_a_full_file_system_is_said(tmp_path):
    image = partitioned(tmp_path, ext(tmp_path, size="2M"), "raw")
    (tmp_path / "big").write_bytes(bytes(range(256)) * 16384)
    done = run(VMIMG, "cp", "-F", "raw", tmp_path / "big", "%s:1:/big" % image, check=False)
    assert done.returncode == 1 and "allocate block" in done.words


@pytest.mark.parametrize("bits, size", [(12, 4 << 20), (16, 16 << 20), (32, 40 << 20)])
def test_reading_fat(tmp_path, bits, size):
    image = partitioned(tmp_path, fat(tmp_path, bits, size), "vdi", 0x0c)
    assert "FAT" in run(VMIMG, "ls", image).text
    assert run(VMIMG, "ls", "%s:1:/" % image).text.splitlines() == ["etc/", "SHORT.TXT"]
    path = "%s:1:/etc/a FOLDER with a long name" % image
    assert run(VMIMG, "ls", path).text == "Größe of the data.bin\n"
    assert run(VMIMG, "cat", path + "/Größe of the data.bin").stdout == DATA
    assert run(VMIMG, "cat", "%s:1:/short.txt" % image).stdout == DATA
    done = run(VMIMG, "cp", "/etc/hostname", "%s:1:/x" % image, check=False)
    assert done.returncode == 1 and "can only be read" in done.words


def test_reading_an_iso(tmp_path):
    need("xorriso")
    tree = tmp_path / "tree"
    (tree / "sub" / "deeper").mkdir(parents=True)
    (tree / "sub" / "deeper" / "data").write_bytes(DATA)
    (tree / "link").symlink_to("sub/deeper/data")
    iso = tmp_path / "cd.iso"
    run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-o", iso, tree)
    assert "ISO 9660" in run(VMIMG, "ls", iso).text
    assert run(VMIMG, "ls", "%s::/" % iso).text.split() == ["sub/", "link"]
    assert run(VMIMG, "cat", "%s::/sub/deeper/data" % iso).stdout == DATA
    assert run(VMIMG, "cat", "%s::/link" % iso).stdout == DATA
    assert run(VMIMG, "ls", "%s::/sub/../sub/./deeper/" % iso).text == "data\n"


def test_volumes_are_named(tmp_path):
    disk = lvm_disk()
    fs = ext(tmp_path, size="4M").read_bytes()
    start = 8192 * 512 + (2 << 20)
    disk[start:start + len(fs)] = fs
    image = tmp_path / "disk.raw"
    image.write_bytes(disk)
    listed = run(VMIMG, "ls", "-F", "raw", image).text.splitlines()
    assert [line.split()[0] for line in listed] == ["p1", "p2", "vg/root"]
    assert run(VMIMG, "cat", "-F", "raw", "%s:vg/root:/etc/deep/data" % image).stdout == DATA


def test_clear_words(tmp_path):
    image = partitioned(tmp_path, ext(tmp_path), "qcow2")
    for args, words in (
            (["cat", "%s:1:/nope" % image], "/nope: No such file"),
            (["cat", "%s:1:/etc" % image], "is not a file"),
            (["cat", "%s:2:/etc" % image], "no partition or volume '2'"),
            (["cat", "%s" % image], "is not IMAGE:PARTITION:/PATH"),
            (["ls", "%s:1:/etc/deep/data/x" % image], ""),
            (["ls", "%s::/" % image], "no file system that is known"),
            (["ls", "/nonexistent"], "No such file"),
            (["cp", "/etc/hostname", "/tmp/x"], "one side of a copy"),
            (["cp", "/nonexistent/x", "%s:1:/x" % image], "No such file"),
            (["cp", "/etc/hostname", "%s:1:/no/such/folder" % image], "No such file")):
        done = run(VMIMG, *args, check=False)
        assert done.returncode == 1 and words in done.words, (args, done.words)
        assert done.words.startswith("vmimg: ")
    other = tmp_path / "other"
    other.write_bytes(b"XFSB" + bytes(1 << 20))
    done = run(VMIMG, "ls", "-F", "raw", "%s::/" % other, check=False)
    assert done.returncode == 1 and "XFS, which cannot be looked into" in done.words


def damage(rng, data, spots):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 40)):
        at = rng.choice(spots) + rng.randrange(2048)
        if at < len(data):
            data[at] = rng.choice((0, 1, 0xff, rng.randrange(256)))
    return data


@pytest.mark.parametrize("kind", ["ext", "fat12", "fat32", "iso"])
def test_damaged_file_systems_neither_crash_nor_hang(tmp_path, kind):
    if kind == "ext":
        fs, path = ext(tmp_path, size="4M"), "/etc/deep/data"
        spots = [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144]
    elif kind == "iso":
        need("xorriso")
        (tmp_path / "tree" / "etc").mkdir(parents=True)
        (tmp_path / "tree" / "etc" / "data").write_bytes(DATA)
        fs, path = tmp_path / "fs", "/etc/data"
        run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-o", fs, tmp_path / "tree")
        spots = [0x8000 + 2048 * i for i in range(12)]
    else:
        fs, path = fat(tmp_path, int(kind[3:]), 4 << 20 if kind == "fat12" else 40 << 20), "/SHORT.TXT"
        spots = [0, 0, 512, 16384, 2048, 4096, 8192]
    good = fs.read_bytes()[:6 << 20]
    for seed in range(int(os.environ.get("LIBVM_DAMAGE", "6"))):
        fs.write_bytes(damage(random.Random(seed), good, spots))
        for args in (["ls", "-l", "-F", "raw", "%s::/" % fs], ["cat", "-F", "raw", "%s::%s" % (fs, path)]):
            before = time.monotonic()
            done = run(VMIMG, *args, check=False)
            assert done.returncode in (0, 1) and time.monotonic() - before < 60, (seed, done.words)
            assert done.returncode == 0 or done.words.startswith("vmimg: "), (seed, done.words)
            assert "signal" not in done.words, (seed, args, done.words)
