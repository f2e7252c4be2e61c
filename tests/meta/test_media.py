#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `./dev run` leans on: the boot timer tells up from not up, the initramfs is well formed."""
import os
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
sys.path.insert(0, os.path.join(ROOT, "tests/support"))
import media  # noqa: E402


def timer(script):
    return subprocess.run([sys.executable, os.path.join(ROOT, "tools/boot_timer.py"), "sh", "-c", script],
                          capture_output=True, text=True)


def unpack_newc(archive):
    """{name: (mode, data)}, read field by field as the kernel does."""
    at, found = 0, {}
    while True:
        assert archive[at:at + 6] == b"070701", "no magic at %d" % at
        fields = [int(archive[at + 6 + 8 * n:at + 14 + 8 * n], 16) for n in range(13)]
        name_len, data_len = fields[11], fields[6]
        name = archive[at + 110:at + 110 + name_len - 1].decode()
        at = (at + 110 + name_len + 3) & ~3
        if name == "TRAILER!!!":
            assert at <= len(archive)
            return found
        found[name] = (fields[1], archive[at:at + data_len])
        at = (at + data_len + 3) & ~3


up = timer("echo early; printf 'x %s Linux\\nlast words' '%s'; exit 0" % ("%s", media.BANNER))
assert up.returncode == 0 and "booted Linux in" in up.stdout and up.stdout.startswith("early\n"), up
down = timer("echo nothing; exit 0")
assert down.returncode == 1 and "did not come up" in down.stderr, down
assert timer("echo '%s'; exit 3" % media.BANNER).returncode == 3

entries = [("a", 0o040755, b"", 0, 0), ("a/five", 0o100644, b"12345", 0, 0), ("c", 0o020600, b"", 5, 1)]
assert unpack_newc(media.cpio_newc(entries)) == {n: (m, d) for n, m, d, _, _ in entries}
assert media.BANNER in media.INIT
