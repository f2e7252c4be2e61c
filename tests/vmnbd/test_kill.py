# SPDX-License-Identifier: MIT
"""Killed at any moment, the server loses nothing that a client was told is flushed.

LIBVM_KILLS says how often (default 12; the long form is 200).
"""
import os
import random
import threading
import time

import pytest

from conftest import need, run

BLOCK, BLOCKS = 4096, 2048
KILLS = int(os.environ.get("LIBVM_KILLS", "12"))


class Client(threading.Thread):
    """Writes blocks that say which round they are of, and flushes; remembers what was promised."""

    def __init__(self, nbd, uri, rng, safe, maybe):
        super().__init__()
        self.nbd, self.uri, self.rng = nbd, uri, rng
        self.safe, self.maybe = safe, maybe  # block -> its value; block -> values it may have, too

    def run(self):
        h = self.nbd.NBD()
        try:
            h.connect_uri(self.uri)
            while True:
                fresh = {}
                for _ in range(self.rng.randrange(1, 24)):
                    block, value = self.rng.randrange(BLOCKS), self.rng.randrange(1, 1 << 30)
                    self.maybe.setdefault(block, set()).add(value)
                    fresh[block] = value
                    h.pwrite(value.to_bytes(4, "big") * (BLOCK // 4), block * BLOCK)
                h.flush()
                for block, value in fresh.items():
                    self.safe[block] = value
                    self.maybe[block] = {value}
        except self.nbd.Error:
            pass  # killed


def check(h, safe, maybe):
    for block in sorted(set(safe) | set(maybe)):
        data = bytes(h.pread(BLOCK, block * BLOCK))
        allowed = {safe.get(block, 0)} | maybe.get(block, set())
        value = int.from_bytes(data[:4], "big")
        assert value in allowed, "block %d: %d is none of %s" % (block, value, allowed)
        if value == safe.get(block, 0) and len(allowed) == 1:
            assert data == value.to_bytes(4, "big") * (BLOCK // 4), "block %d is torn" % block


@pytest.mark.parametrize("format", ["raw", "qcow2", "vdi", "vmdk", "vhdx", "vpc"])
def test_nothing_flushed_is_lost(server, tmp_path, format):
    nbd = pytest.importorskip("nbd")
    need("qemu-img")
    image = tmp_path / "image"
    rng = random.Random(format)
    run("qemu-img", "create", "-q", "-f", format, image, str(BLOCK * BLOCKS))
    safe, maybe = {}, {}
    for round_ in range(max(1, KILLS // 6)):
        with server("-t", "-e", "2", "-f", format, image) as s:
            client = Client(nbd, s.uri, random.Random(round_), safe, maybe)
            client.start()
            time.sleep(rng.uniform(0.01, 0.25))
            s.kill()
            client.join()
        if format != "raw" and format != "vpc":
            done = run("qemu-img", "check", "-f", format, "-r", "all", image, check=False)
            assert done.returncode in (0, 1, 3, 63), (done.stdout, done.stderr)
        with server("-t", "-f", format, image) as s:
            h = nbd.NBD()
            h.connect_uri(s.uri)
            check(h, safe, maybe)
            h.shutdown()
    assert safe, "nothing was ever flushed"
