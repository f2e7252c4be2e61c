# SPDX-License-Identifier: MIT
"""vmimg under its own name: round trips, progress, being interrupted."""
import json
import os
import pty
import signal
import subprocess
import time

import pytest

from conftest import VMIMG, run, vmimg


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk.raw"
    with open(path, "wb") as f:
        f.truncate(16 << 20)
        for at in (0, 5 << 20, (16 << 20) - 512):
            f.seek(at)
            f.write(os.urandom(512))
    return path


@pytest.mark.parametrize("fmt,options", [
    ("qcow2", ""), ("qcow2", "cluster_size=4k"), ("qcow2", "compat=0.10"), ("qcow", ""), ("qed", ""),
    ("vdi", ""), ("vmdk", ""), ("vmdk", "subformat=monolithicFlat"),
    ("vmdk", "subformat=streamOptimized"), ("vpc", "force_size=on"), ("vhdx", ""), ("parallels", "")])
def test_there_and_back(tmp_path, disk, fmt, options):
    with_options = ("-o", options) if options else ()
    packed = ("-c",) if "stream" in options else ()
    vmimg("convert", "-f", "raw", "-O", fmt, *with_options, *packed, disk, tmp_path / "a")
    vmimg("convert", "-f", fmt, "-O", "raw", tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == disk.read_bytes()
    assert vmimg("check", "-f", fmt, tmp_path / "a", check=False).returncode in (0, 63)


def test_copies_keep_what_comes_from_below(tmp_path, disk):
    vmimg("create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", tmp_path / "top")
    vmimg("io", "-c", "write -P 7 1M 4k", tmp_path / "top")
    vmimg("convert", "-O", "qcow2", "-B", disk, "-F", "raw", tmp_path / "top", tmp_path / "copy")
    assert vmimg("compare", tmp_path / "top", tmp_path / "copy").stdout == "Images are identical.\n"
    assert json.loads(vmimg("info", "--output=json", tmp_path / "copy").stdout)["backing-filename"]


def test_a_second_base_is_committed_to(tmp_path):
    names = [tmp_path / n for n in ("base", "mid", "top")]
    vmimg("create", "-q", "-f", "qcow2", names[0], "4M")
    for below, name in zip(names, names[1:]):
        vmimg("create", "-q", "-f", "qcow2", "-b", below, "-F", "qcow2", name)
    vmimg("io", "-c", "write -P 1 0 64k", names[1])
    vmimg("io", "-c", "write -P 2 64k 64k", names[2])
    vmimg("commit", "-b", names[0], names[2])
    vmimg("io", "-c", "read -P 1 0 64k", "-c", "read -P 2 64k 64k", names[0])


def test_every_command_has_help():
    listed = [line.split()[0] for line in vmimg("--help").stdout.split("Commands")[1].splitlines()
              if line.startswith("  ")]
    assert {"create", "convert", "io", "bitmap"} <= set(listed)
    for command in listed:
        assert command in vmimg(command, "--help").stdout


def test_a_bar_on_a_terminal(tmp_path, disk):
    master, slave = pty.openpty()
    subprocess.run([VMIMG, "convert", "-p", "-f", "raw", "-O", "qcow2", disk, tmp_path / "a"],
                   stdout=slave, timeout=60, check=True)
    os.close(slave)
    said = os.read(master, 65536).decode()
    os.close(master)
    assert "100.0% [" in said and " of 16 MiB" in said
    assert "(100.00/100%)" in vmimg("convert", "-p", "-f", "raw", disk, tmp_path / "b").stdout


@pytest.mark.parametrize("fmt,options", [("qcow2", ""), ("vmdk", "subformat=monolithicFlat")])
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_copy_leaves_nothing(tmp_path, fmt, options, sig):
    source = tmp_path / "source"
    with open(source, "wb") as f:
        for _ in range(192):
            f.write(os.urandom(1 << 20))
    target = tmp_path / "out" / "target"
    target.parent.mkdir()
    args = ("-o", options) if options else ()
    copy = subprocess.Popen([VMIMG, "convert", "-f", "raw", "-O", fmt, *args, "-m", "1", source, target])
    while not target.exists() and copy.poll() is None:
        time.sleep(0.0005)
    time.sleep(0.01)
    copy.send_signal(sig)
    code = copy.wait(timeout=30)
    if code == 0:
        pytest.skip("this host has copied it all before it could be interrupted")
    assert code == 128 + sig
    assert os.listdir(target.parent) == []


def test_what_was_there_stays_when_options_are_wrong(tmp_path, disk):
    before = disk.read_bytes()
    assert vmimg("create", "-f", "qcow2", "-o", "cluster_size=3", disk, "1M", check=False).returncode
    assert disk.read_bytes() == before


def test_dd_counts_what_it_copies(tmp_path, disk):
    vmimg("dd", "bs=1M", "count=2", "skip=5", "if=%s" % disk, "of=%s" % (tmp_path / "part"))
    assert (tmp_path / "part").read_bytes() == disk.read_bytes()[5 << 20:7 << 20]


def test_unsafe_is_the_hosts_part_alone(tmp_path):
    """What a format keeps in memory is in its file when it is closed, whatever the cache mode."""
    vmimg("create", "-q", "-f", "qcow2", tmp_path / "a", "6G")
    vmimg("io", "-t", "unsafe", "-c", "aio_write -P 3 0 64M", tmp_path / "a")
    vmimg("io", "-c", "read -P 3 0 64M", tmp_path / "a")


def test_single_quotes_in_json_names(tmp_path):
    vmimg("create", "-q", "-f", "qcow2", tmp_path / "it's", "1M")
    name = "json:{'driver': 'qcow2', 'file': {'filename': \"%s\"}}" % (tmp_path / "it's")
    assert json.loads(vmimg("info", "--output=json", name).stdout)["virtual-size"] == 1 << 20
    assert run(VMIMG, "info", "json:{'driver': }", check=False).returncode == 1
