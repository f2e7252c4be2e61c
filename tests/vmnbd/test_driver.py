# SPDX-License-Identifier: MIT
"""The NBD client: images that lie with another server (QEMU's, nbdkit), served on by vmnbd."""
import contextlib
import os
import socket
import subprocess
import threading
import time

import pytest

from conftest import VMNBD, listens, need, run
from test_tls import psk

nbd = pytest.importorskip("nbd")


@pytest.fixture(autouse=True)
def built_with_libnbd(tmp_path):
    done = run(VMNBD, "-f", "raw", "-k", tmp_path / "s", "nbd+unix:///?socket=/nonexistent", check=False)
    if "Unknown protocol" in done.stderr:
        pytest.skip("built without libnbd")


class Peer:
    """A server of somebody else at a unix socket."""

    def __init__(self, argv, path):
        self.path, self.argv = str(path), [str(a) for a in argv]
        self.uri = "nbd+unix:///?socket=" + self.path

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL)
        for _ in range(2000):
            if listens(self.path):
                return self
            assert self.process.poll() is None, self.argv
            time.sleep(0.005)
        raise AssertionError("no server")

    def __exit__(self, *rest):
        self.process.kill()
        self.process.wait()
        if os.path.exists(self.path):
            os.unlink(self.path)


def qemu_nbd(path, image, *more):
    need("qemu-nbd")
    return Peer(["qemu-nbd", "-k", path, "-f", "raw", "-e", "8", "-t", *more, image], path)


def nbdkit(path, *args):
    need("nbdkit")
    return Peer(["nbdkit", "-f", "-U", path, *args], path)


def connect(s):
    h = nbd.NBD()
    h.add_meta_context("base:allocation")
    h.connect_uri(s.uri)
    return h


@pytest.mark.parametrize("spelling", [
    "nbd+unix:///?socket={0}",
    "nbd:unix:{0}",
    'json:{{"driver":"raw","file":{{"driver":"nbd","server":{{"type":"unix","path":"{0}"}}}}}}',
    'json:{{"driver":"raw","file":{{"driver":"nbd","path":"{0}","export":""}}}}',
])
def test_ways_to_name_a_server(server, disk, tmp_path, spelling):
    with qemu_nbd(tmp_path / "peer", disk) as peer:
        with server("-t", *(["-f", "raw"] if not spelling.startswith("json") else []),
                    spelling.format(peer.path)) as s:
            run("nbdcopy", s.uri, tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == disk.read_bytes()


def test_tcp_and_export_names(server, disk, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = tmp_path / "here"
    here.mkdir()
    pid = tmp_path / "pid"
    run(VMNBD, "--fork", "--pid-file", pid, "-t", "-e", "4", "-b", "127.0.0.1", "-p", port, "-x", "a name",
        "-f", "raw", disk)
    try:
        for name in ("nbd://127.0.0.1:%d/a%%20name" % port, "nbd:127.0.0.1:%d:exportname=a name" % port):
            with server("-t", "-f", "raw", name) as s:
                assert connect(s).get_size() == 64 << 20
        done = run(VMNBD, "-f", "raw", "-k", here / "s", "nbd://127.0.0.1:%d/b" % port, check=False)
        assert done.returncode == 1 and "vmnbd: Failed to blk_new_open" in done.stderr
    finally:
        os.kill(int(pid.read_text()), 15)


def test_extents_zeroes_and_trims_go_through(server, disk, tmp_path):
    with qemu_nbd(tmp_path / "peer", disk, "--discard=unmap") as peer:
        with server("-t", "-f", "raw", "--discard=unmap", peer.uri) as s:
            h = connect(s)
            extents = []
            h.block_status(64 << 20, 0, lambda c, off, e, err: extents.extend(e))
            lengths, kinds = extents[0::2], extents[1::2]
            assert sum(lengths) == 64 << 20 and {0, 3} == set(kinds)
            h.pwrite(b"\1" * (1 << 20), 8 << 20, nbd.CMD_FLAG_FUA)
            h.zero(65536, 8 << 20)
            h.trim(65536, (8 << 20) + 131072)
            h.flush()
            h.shutdown()
    with open(disk, "rb") as f:
        f.seek(8 << 20)
        data = f.read(1 << 20)
    assert data[:65536] == bytes(65536) and data[65536:131072] == b"\1" * 65536
    assert data[131072:196608] == bytes(65536) and data[196608:] == b"\1" * ((1 << 20) - 196608)


def test_a_format_over_a_server(server, disk, tmp_path):
    image = tmp_path / "image"
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, image)
    with qemu_nbd(tmp_path / "peer", image) as peer:
        with server("-t", "-f", "qcow2", peer.uri) as s:
            run("nbdcopy", s.uri, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()


def test_many_requests_are_in_flight(server, tmp_path):
    """Each takes 100 ms there; one after the other they would take six seconds."""
    with nbdkit(tmp_path / "peer", "--filter=delay", "memory", "1M", "rdelay=100ms") as peer:
        with server("-t", "-f", "raw", peer.uri) as s:
            h = connect(s)
            start = time.monotonic()
            cookies = [h.aio_pread(nbd.Buffer(4096), i * 4096) for i in range(60)]
            for cookie in cookies:
                while not h.aio_command_completed(cookie):
                    h.poll(-1)
            assert time.monotonic() - start < 3
            h.shutdown()


def test_a_server_with_large_blocks(server, tmp_path):
    with nbdkit(tmp_path / "peer", "--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=4096",
                "blocksize-error-policy=error") as peer:
        with server("-t", "-f", "raw", peer.uri) as s:
            h = connect(s)
            h.pwrite(b"a" * 10000, 1000)
            h.pwrite(b"b" * 3, 4095)
            h.zero(100, 5000)
            got = h.pread(12000, 0)
            want = bytearray(12000)
            want[1000:11000] = b"a" * 10000
            want[4095:4098] = b"bbb"
            want[5000:5100] = bytes(100)
            assert got == want
            h.shutdown()


def test_errors_come_through(server, tmp_path):
    with nbdkit(tmp_path / "peer", "--filter=error", "memory", "1M", "error-pread=EIO",
                "error-pwrite=ENOSPC", "error-pread-rate=100%", "error-pwrite-rate=100%") as peer:
        with server("-t", "-f", "raw", peer.uri) as s:
            h = connect(s)
            for call, errno in ((lambda: h.pread(512, 0), "EIO"), (lambda: h.pwrite(b"x", 0), "ENOSPC")):
                with pytest.raises(nbd.Error) as e:
                    call()
                assert e.value.errno == errno
            h.shutdown()


def test_a_read_only_server(server, tmp_path):
    with nbdkit(tmp_path / "peer", "-r", "memory", "1M") as peer:
        with server("-t", "-f", "raw", "-r", peer.uri) as s:
            assert connect(s).is_read_only()
        done = run(VMNBD, "-f", "raw", "-k", tmp_path / "s", peer.uri, check=False)
        assert done.returncode == 1 and "read-only" in done.stderr


def test_a_connection_that_is_lost_comes_back(server, disk, tmp_path):
    name = 'json:{"driver":"raw","file":{"driver":"nbd","path":"%s","reconnect-delay":"30"}}' % (
        tmp_path / "peer")
    with contextlib.ExitStack() as peers:
        peers.enter_context(qemu_nbd(tmp_path / "peer", disk))
        with server("-t", name) as s:
            h = connect(s)
            first = h.pread(4096, 0)
            peers.close()
            got = []
            waiting = threading.Thread(target=lambda: got.append(h.pread(4096, 0)))
            waiting.start()
            time.sleep(0.2)
            assert not got
            with qemu_nbd(tmp_path / "peer", disk):
                waiting.join(timeout=30)
                assert got == [first]


def test_a_connection_that_is_lost_for_good(server, disk, tmp_path):
    with contextlib.ExitStack() as peers:
        peer = peers.enter_context(qemu_nbd(tmp_path / "peer", disk))
        with server("-t", "-f", "raw", peer.uri) as s:
            h = connect(s)
            h.pread(4096, 0)
            peers.close()
            with pytest.raises(nbd.Error):
                h.pread(4096, 0)
            h.shutdown()
            assert connect(s).get_size() == 64 << 20


def test_keys(server, disk, tmp_path):
    need("psktool")
    keys = psk(tmp_path / "keys")
    theirs = ("--object", "tls-creds-psk,id=t,dir=%s,endpoint=server" % keys.parent, "--tls-creds", "t")
    with qemu_nbd(tmp_path / "peer", disk, *theirs) as peer:
        with server("-t", "--object", "tls-creds-psk,id=t,dir=%s,endpoint=client,username=alice" % keys.parent,
                    'json:{"driver":"raw","file":{"driver":"nbd","path":"%s","tls-creds":"t"}}' % peer.path) as s:
            run("nbdcopy", s.uri, tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == disk.read_bytes()
        done = run(VMNBD, "-f", "raw", "-k", tmp_path / "s", peer.uri, check=False)
        assert done.returncode == 1
