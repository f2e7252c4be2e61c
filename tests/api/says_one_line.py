#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A command that must fail: exit status 1 and one line on standard error that matches.

    says_one_line.py PATTERN COMMAND [ARGUMENT...]
"""
import re
import subprocess
import sys

done = subprocess.run(sys.argv[2:], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
lines = done.stderr.splitlines()
if done.returncode != 1 or len(lines) != 1 or not re.search(sys.argv[1], lines[0]):
    sys.exit("status %d, standard error:\n%s" % (done.returncode, done.stderr))
