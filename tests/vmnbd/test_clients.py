# SPDX-License-Identifier: MIT
"""vmnbd with libnbd's and QEMU's clients."""
import filecmp
import json
import os
import socket
import subprocess
import sys
import time

import pytest

from conftest import VMNBD, need, run


def info(uri, *more):
    return json.loads(run("nbdinfo", "--json", *more, uri).stdout)


def test_what_nbdinfo_sees(server, disk):
    need("nbdinfo")
    with server("-t", "-e", "0", "-f", "raw", "-x", "foo", "-D", "some words", disk) as s:
        e = info(s.named("foo"))["exports"][0]
        assert e["export-name"] == "foo" and e["description"] == "some words"
        assert e["export-size"] == 64 << 20 and e["contexts"] == ["base:allocation"]
        for can in ("flush", "fua", "trim", "zero", "df", "multi_conn", "cache", "fast_zero"):
            assert e["can_" + can], can
        assert (e["block_size_minimum"], e["block_size_preferred"]) == (1, 4096)
        extents = json.loads(run("nbdinfo", "--map", "--json", s.named("foo")).stdout)
        assert sum(x["length"] for x in extents) == 64 << 20
        assert sum(x["length"] for x in extents if x["type"] == 3) > 32 << 20


def test_listing_looks_as_with_the_peer(server, disk):
    need("qemu-nbd")
    with server("-t", "-f", "raw", "-x", "foo", "-D", "desc", disk) as s:
        theirs = run("qemu-nbd", "-L", "-k", s.socket).stdout
        ours = run(VMNBD, "-L", "-k", s.socket, check=False)
        if "without libnbd" not in ours.stderr:
            assert ours.stdout == theirs
        assert "flags: 0xced ( flush fua trim zeroes df cache fast-zero )" in theirs


@pytest.mark.parametrize("format", ["raw", "qcow2", "vdi", "vhdx"])
def test_copies_in_and_out(server, disk, tmp_path, format):
    need("nbdcopy", "qemu-img")
    image, back = tmp_path / "image", tmp_path / "back.raw"
    run("qemu-img", "create", "-q", "-f", format, image, "64M")
    with server("-t", "-e", "8", "-f", format, image) as s:
        run("nbdcopy", disk, s.uri)
        run("nbdcopy", s.uri, back)
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", disk, s.uri)
    assert filecmp.cmp(disk, back, shallow=False)
    run("qemu-img", "compare", "-f", "raw", "-F", format, disk, image)
    if format != "raw":
        assert run("qemu-img", "check", "-f", format, image, check=False).returncode in (0, 63)


def test_reads_writes_zeroes_and_trims(server, tmp_path):
    nbd = pytest.importorskip("nbd")
    image = tmp_path / "image.raw"
    with open(image, "wb") as f:
        f.write(os.urandom(8 << 20))
    with server("-t", "-f", "raw", "--discard=unmap", image) as s:
        h = nbd.NBD()
        h.add_meta_context("base:allocation")
        h.connect_uri(s.uri)
        assert h.get_structured_replies_negotiated()
        h.pwrite(b"abc", 12345, nbd.CMD_FLAG_FUA)
        assert h.pread(5, 12344)[1:4] == b"abc"
        h.zero(1 << 20, 1 << 20)
        h.trim(1 << 20, 4 << 20)
        h.cache(1 << 20, 0)
        h.flush()
        assert h.pread(1 << 20, 1 << 20) == bytearray(1 << 20)
        holes = []
        h.block_status(8 << 20, 0, lambda context, off, entries, err: holes.append(entries))
        assert sum(holes[0][0::2]) == 8 << 20 and any(v & 1 for v in holes[0][1::2])
        h.set_strict_mode(0)
        for bad in (lambda: h.pread(1, 8 << 20), lambda: h.pwrite(b"x", 8 << 20)):
            with pytest.raises(nbd.Error):
                bad()
        h.shutdown()
    assert open(image, "rb").read()[12345:12348] == b"abc"


def test_many_requests_on_many_connections(server, tmp_path):
    nbd = pytest.importorskip("nbd")
    image = tmp_path / "image.raw"
    image.write_bytes(b"")
    os.truncate(image, 4 << 20)
    with server("-t", "-e", "0", "-f", "raw", image) as s:
        handles = [nbd.NBD() for _ in range(4)]
        for h in handles:
            h.connect_uri(s.uri)
            assert h.can_multi_conn()
        cookies = []
        for i in range(1024):
            block = nbd.Buffer.from_bytearray(bytearray([i % 251] * 4096))
            cookies.append((handles[i % 4], block, handles[i % 4].aio_pwrite(block, i * 4096)))
        for h, _, cookie in cookies:
            while not h.aio_command_completed(cookie):
                h.poll(-1)
        handles[0].flush()  # what all have written
        data = handles[3].pread(4 << 20, 0)
        assert all(data[i * 4096] == i % 251 == data[i * 4096 + 4095] for i in range(1024))
        for h in handles:
            h.shutdown()


def test_several_exports(server, disk, tmp_path):
    need("nbdinfo")
    other = tmp_path / "other.raw"
    other.write_bytes(b"x" * 512)
    with server("-t", "-e", "0", "-f", "raw", "-x", "a", "--add", "b=%s" % other, disk) as s:
        listed = info("nbd+unix:///?socket=" + s.socket, "--list")["exports"]
        assert [(e["export-name"], e["export-size"]) for e in listed] == [("a", 64 << 20), ("b", 512)]


def test_read_only_and_snapshot(server, disk):
    nbd = pytest.importorskip("nbd")
    before = disk.read_bytes()
    with server("-t", "-f", "raw", "-r", disk) as s:
        h = nbd.NBD()
        h.connect_uri(s.uri)
        assert h.is_read_only()
        h.set_strict_mode(0)
        with pytest.raises(nbd.Error):
            h.pwrite(b"x", 0)
        h.shutdown()
    with server("-t", "-f", "raw", "-s", disk) as s:
        h = nbd.NBD()
        h.connect_uri(s.uri)
        h.pwrite(b"gone tomorrow", 100)
        assert h.pread(13, 100) == b"gone tomorrow"
        h.shutdown()
    assert disk.read_bytes() == before


def test_offset_and_partition(server, tmp_path):
    need("nbdcopy", "sfdisk")
    image, part = tmp_path / "image.raw", tmp_path / "part.raw"
    image.write_bytes(b"")
    os.truncate(image, 8 << 20)
    subprocess.run(["sfdisk", "-q", str(image)], input="start=2048,size=4096\nstart=8192,size=2048\n",
                   text=True, check=True, env={**os.environ, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"})
    with open(image, "r+b") as f:
        f.seek(8192 * 512)
        f.write(b"second" * 100)
    with server("-t", "-f", "raw", "-P", "2", image) as s:
        run("nbdcopy", s.uri, part)
        assert part.stat().st_size == 2048 * 512 and part.read_bytes().startswith(b"secondsecond")
    with server("-t", "-f", "raw", "-o", str(8192 * 512), image) as s:
        run("nbdcopy", s.uri, part)
        assert part.stat().st_size == (8 << 20) - 8192 * 512
        assert part.read_bytes().startswith(b"secondsecond")
    done = run(VMNBD, "-f", "raw", "-P", "7", "-k", tmp_path / "s", image, check=False)
    assert done.returncode == 1 and "no partition 7" in done.stderr


def test_ends_with_the_last_client(server, disk):
    need("nbdinfo")
    with server("-f", "raw", disk) as s:
        run("nbdinfo", s.uri)
        assert s.process.wait(timeout=30) == 0
        assert not os.path.exists(s.socket)


def test_fork_pid_file_and_tcp(disk, tmp_path):
    need("nbdinfo")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pid = tmp_path / "pid"
    run(VMNBD, "--fork", "--pid-file", pid, "-b", "127.0.0.1", "-p", port, "-f", "raw", "-t", disk)
    try:
        assert run("nbdinfo", "--size", "nbd://127.0.0.1:%d" % port).stdout.strip() == str(64 << 20)
        busy = run(VMNBD, "-b", "127.0.0.1", "-p", port, "-f", "raw", "-r", disk, check=False)
        assert busy.returncode == 1 and busy.stderr.startswith("vmnbd: ")
    finally:
        os.kill(int(pid.read_text()), 15)
    for _ in range(2000):
        if not pid.exists():
            break
        time.sleep(0.005)
    assert not pid.exists()


def test_a_socket_handed_over(disk):
    """As systemd and libnbd do it: nbd_connect_systemd_socket_activation()."""
    nbd = pytest.importorskip("nbd")
    h = nbd.NBD()
    h.connect_systemd_socket_activation([VMNBD, "-f", "raw", str(disk)])
    assert h.get_size() == 64 << 20
    h.shutdown()


@pytest.mark.parametrize("args, words", [
    ([], "Invalid number of arguments"),
    (["-f", "nope", "x"], "nope"),
    (["-f", "raw", "/nonexistent/x"], "No such file"),
    (["--cache=sometimes", "x"], "Invalid cache mode"),
    (["--discard=maybe", "x"], "Invalid discard mode"),
    (["-e", "many", "x"], "Invalid shared device number"),
    (["--object", "tls-creds-x509,id=t,dir=/nonexistent,endpoint=server", "--tls-creds", "t", "x"],
     "Unable to access credentials"),
    (["--tls-creds", "nope", "x"], "No TLS credentials with id 'nope'"),
    (["-d", "/dev/nbd99"], "/dev/nbd99"),
])
def test_what_makes_no_sense_is_said(args, words):
    done = run(VMNBD, *args, check=False)
    assert done.returncode == 1 and words in done.stderr
    assert done.stderr.startswith("vmnbd: ")


def test_called_as_the_peer_it_speaks_as_the_peer(tmp_path):
    link = tmp_path / "qemu-nbd"
    link.symlink_to(VMNBD)
    done = run(link, "-f", "raw", "/nonexistent/x", check=False)
    assert done.returncode == 1 and done.stderr.startswith("qemu-nbd: Failed to blk_new_open '/nonexistent/x'")
