# SPDX-License-Identifier: MIT
"""A guest's serial line (or any other character channel) as a Python stream."""
import ctypes as C
import re
import threading
import time

from . import _abi
from ._lib import check, lib


class Timeout(Exception):
    """expect() gave up; .tail is the end of what the guest had sent."""

    def __init__(self, pattern, tail):
        super().__init__(f"{pattern!r} did not come; last: {tail[-400:]!r}")
        self.tail = tail


class Stream:
    """Bytes from and to a channel. Made by Machine.serial(); any thread may use it.

    Everything the guest sends is kept in .log until clear(), for transcripts in test failures.
    """

    def __init__(self, machine, channel):
        self._machine = machine
        self._id = channel.encode()
        self._cond = threading.Condition()
        self.log = bytearray()
        self._at = 0  # what expect() and read() have consumed
        self._ops = _abi.vm_chr_ops()
        self._ops.size = C.sizeof(self._ops)
        # The struct's members keep the callbacks alive as long as the stream.
        self._ops.write = type(self._ops.write)(self._from_guest)
        self._ops.room = type(self._ops.room)(self._room)
        check(lib.vm_chr_attach(machine.handle, self._id, C.byref(self._ops), None,
                                _abi.vm_free_fn()))

    def _from_guest(self, _ud, buf, n):
        data = C.string_at(buf, n)
        with self._cond:
            self.log += data
            self._cond.notify_all()
        return n

    def _room(self, _ud):
        with self._cond:
            self._cond.notify_all()

    def write(self, data, timeout=30.0):
        """Send bytes (or text, as UTF-8), waiting while the guest's buffer is full."""
        if isinstance(data, str):
            data = data.encode()
        end = time.monotonic() + timeout
        while data:
            with self._machine.guard():
                n = check(lib.vm_chr_feed(self._machine.handle, self._id, data, len(data)))
            data = data[n:]
            if data and n == 0:
                if time.monotonic() > end:
                    raise Timeout("room for input", bytes(self.log))
                with self._cond:
                    self._cond.wait(0.02)

    def send_line(self, text):
        """Send text and a carriage return, as a terminal's Enter key does."""
        self.write(text + "\r")

    def read(self):
        """What has arrived and was not consumed yet; may be empty."""
        with self._cond:
            data = bytes(self.log[self._at:])
            self._at = len(self.log)
            return data

    def expect(self, pattern, timeout=60.0):
        """Wait until a regular expression (str or bytes) matches what was not consumed yet.

        Consumes up to the end of the match and returns the match object (of bytes).
        Raises Timeout, at once when the machine has stopped without sending it.
        """
        if isinstance(pattern, str):
            pattern = pattern.encode()
        regex = re.compile(pattern)
        end = time.monotonic() + timeout
        stopped = False  # seen once: what it sent before may still be on its way here
        with self._cond:
            while True:
                m = regex.search(bytes(self.log[self._at:]))
                if m:
                    self._at += m.end()
                    return m
                left = end - time.monotonic()
                if self._machine.stopped():
                    left = min(left, 0 if stopped else 0.25)
                    stopped = True
                if left <= 0:
                    raise Timeout(pattern.decode(errors="replace"), self.text[-2000:])
                self._cond.wait(min(left, 0.25))

    @property
    def text(self):
        """The whole transcript as text."""
        return bytes(self.log).decode(errors="replace")

    def clear(self):
        """Forget everything received."""
        with self._cond:
            self.log.clear()
            self._at = 0
