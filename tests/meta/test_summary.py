#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/test_summary.py counts what it is given, and does not call silence success."""
import os
import subprocess
import sys
import tempfile

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/test_summary.py")
SUITE = "<testsuites><testsuite>%s</testsuite></testsuites>"
PASS = '<testcase name="a"/>'
FAIL = '<testcase name="b"><failure message="2 is not 3"/></testcase>'
SKIP = '<testcase name="c"><skipped message="no /dev/kvm"/></testcase>'

# (reports, last line, exit status, text that must be there)
CASES = [
    ([PASS + SKIP, PASS], "2 passed, 0 failed, 1 skipped", 0, "skipped 1: no /dev/kvm: c"),
    ([PASS + FAIL], "1 passed, 1 failed, 0 skipped", 1, "FAILED b: 2 is not 3"),
    ([""], "0 passed, 0 failed, 0 skipped", 1, ""),
    ([PASS, None], "1 passed, 1 failed, 0 skipped", 1, "FAILED"),
]

failed = 0
for reports, last, status, text in CASES:
    with tempfile.TemporaryDirectory() as place:
        paths = []
        for n, report in enumerate(reports):
            paths.append(os.path.join(place, "%d.xml" % n))
            if report is not None:
                with open(paths[-1], "w") as f:
                    f.write(SUITE % report)
        done = subprocess.run([sys.executable, TOOL, *paths], capture_output=True, text=True)
        good = done.stdout.strip().split("\n")[-1] == last and done.returncode == status and text in done.stdout
        if not good:
            failed += 1
            print("wanted %r and status %d, got %d:\n%s" % (last, status, done.returncode, done.stdout))
sys.exit(1 if failed else 0)
