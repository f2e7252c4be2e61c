#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every manual cited in a comment, as [TAG §section] or [TAG "Heading"], is in doc/references.md."""
import re

import common

CITED = re.compile(r'\[([A-Z0-9][A-Za-z0-9]+(?:[-.][A-Za-z0-9.-]+)?)(?: (?:§|"|table |figure |chapter |appendix )[^\]]*)\]')
LISTED = re.compile(r"^\| \[([^\]]+)\] \|", re.M)


def check(root):
    listed = set()
    for name in common.files(root, "doc/references.md"):
        listed |= set(LISTED.findall(common.read(root, name)))
    found = []
    for name in common.files(root, ".c", ".h", ".inc", ".def", ".py", ".asl", ".md",
                             under=("lib/", "include/", "examples/", "tests/", "tools/", "doc/")):
        if name.startswith("tests/meta/") or name == "doc/references.md":
            continue
        for number, line in enumerate(common.read(root, name).split("\n"), 1):
            found += ["%s:%d: [%s] is not in doc/references.md" % (name, number, tag)
                      for tag in CITED.findall(line) if tag not in listed | {"TAG"}]
    return found


LIST = "| [SDM-3A] | title |\n"
PLANTS = [
    ({"doc/references.md": LIST, "lib/a.c": "/* [SDM-3A §6.14] and array[N] */\n"}, 0),
    ({"doc/references.md": LIST, "lib/a.c": "/* [SDM-9Z §6.14] */\n"}, 1),
    ({"doc/references.md": LIST, "lib/a.c": '/* [VHD "Footer"] */\n'}, 1),
]

if __name__ == "__main__":
    common.main(check, PLANTS, "Add title, revision and publisher there.")
