#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run a machine, pass its output on, and say how long the guest took to come up.

    boot_timer.py COMMAND [ARGUMENT...]

Standard input stays the machine's own (a terminal keeps its raw mode). Ends with the machine's exit
status, or 1 when the guest was never up.
"""
import os
import subprocess
import sys
import time

BANNER = b"libvm guest:"  # tests/support/media.py's init prints it


def main(argv):
    if len(argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    start = time.monotonic()
    try:
        machine = subprocess.Popen(argv[1:], stdout=subprocess.PIPE)
    except OSError as e:
        print("boot_timer: %s: %s" % (argv[1], e.strerror), file=sys.stderr)
        return 1
    took, line = None, b""
    while True:
        try:
            data = os.read(machine.stdout.fileno(), 65536)
        except KeyboardInterrupt:  # not in raw mode: the machine got it too and ends
            continue
        if not data:
            break
        if took is None:
            for piece in data.splitlines(keepends=True):
                line += piece
                os.write(1, piece)
                if not piece.endswith(b"\n"):
                    continue
                if BANNER in line and took is None:
                    took = time.monotonic() - start
                    os.write(1, b"booted Linux in %.2f s\r\n" % took)
                line = b""
        else:
            os.write(1, data)
    status = machine.wait()
    if took is None:
        print("boot_timer: the guest did not come up", file=sys.stderr)
        return status or 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
