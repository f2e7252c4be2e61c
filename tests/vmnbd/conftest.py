# SPDX-License-Identifier: MIT
"""vmnbd from outside, with the clients people have."""
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

VMNBD = os.environ["VMNBD"]


def need(*programs):
    for name in programs:
        if shutil.which(name) is None:
            pytest.skip("%s is not installed" % name)


def run(*args, check=True, **kw):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, **kw)
    assert not check or done.returncode == 0, (args, done.stdout, done.stderr)
    return done


def listens(path):
    """Between bind() and listen() there is a moment."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
            return True
        except OSError:
            return False


class Server:
    """vmnbd at a unix socket, until it is left."""

    def __init__(self, folder, *args):
        self.socket = str(folder / "nbd.sock")
        self.uri = "nbd+unix:///?socket=" + self.socket
        self.args = [str(a) for a in args]

    def __enter__(self):
        self.process = subprocess.Popen([VMNBD, "-k", self.socket, *self.args],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2000):
            if listens(self.socket):
                return self
            if self.process.poll() is not None:
                raise AssertionError(self.process.stderr.read())
            time.sleep(0.005)
        raise AssertionError("vmnbd does not listen")

    def named(self, name):
        return "nbd+unix:///%s?socket=%s" % (name, self.socket)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.unlink(self.socket)

    def __exit__(self, kind, *rest):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(timeout=30)
        self.process.stderr.close()


@pytest.fixture
def server(tmp_path):
    return lambda *args: Server(tmp_path, *args)


@pytest.fixture
def disk(tmp_path):
    """64 MiB of which some is data, and what they are."""
    data = bytearray(64 << 20)
    for at in (0, 1 << 20, 30 << 20, (64 << 20) - 4096):
        data[at:at + 4096] = os.urandom(4096)
    path = tmp_path / "disk.raw"
    with open(path, "wb") as f:
        f.truncate(len(data))
        for at in (0, 1 << 20, 30 << 20, (64 << 20) - 4096):
            f.seek(at)
            f.write(data[at:at + 4096])
    return path
