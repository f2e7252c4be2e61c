#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Add up JUnit reports: what was skipped and why, what failed, then one line of counts.

    test_summary.py REPORT.xml...

Exits with 1 when anything failed, when a report cannot be read, or when nothing ran at all.
"""
import collections
import sys
import xml.etree.ElementTree as ET


def verdict(case):
    """('passed' | 'failed' | 'skipped', reason) of one testcase element."""
    for tag in ("failure", "error"):
        bad = case.find(tag)
        if bad is not None:
            return "failed", (bad.get("message") or bad.text or "").strip().split("\n")[0]
    skip = case.find("skipped")
    if skip is not None:
        return "skipped", (skip.get("message") or skip.text or "no reason given").strip()
    return "passed", ""


def main(paths):
    counts, skips, failures = collections.Counter(), collections.defaultdict(list), []
    for path in paths:
        try:
            cases = list(ET.parse(path).getroot().iter("testcase"))
        except (OSError, ET.ParseError) as e:
            counts["failed"] += 1
            failures.append("%s: %s" % (path, e))
            continue
        for case in cases:
            what, reason = verdict(case)
            name = case.get("name", "?").removeprefix("- ").split("  (")[0]
            counts[what] += 1
            if what == "skipped":
                skips[reason].append(name)
            elif what == "failed":
                failures.append("%s: %s" % (name, reason))
    for reason, who in sorted(skips.items()):
        print("skipped %d: %s: %s%s" % (len(who), reason, ", ".join(who[:4]), " …" * (len(who) > 4)))
    for line in failures:
        print("FAILED " + line)
    print("%d passed, %d failed, %d skipped" % tuple(counts[k] for k in ("passed", "failed", "skipped")))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
