#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small things about files: SPDX line, length, absolute paths of somebody's machine, white space."""
import re

import common

MAX_LINES = 1200
CODE = (".c", ".h", ".inc", ".py", ".sh", ".build", ".asm", ".S", ".asl")  # tables (.def) are data
MACHINE_PATH = re.compile(r"(?<![\w.$}~])/(?:home/[a-z]|Users/[A-Za-z]|work/[a-z])")


def check_file(name, text):
    lines = text.split("\n")
    code = name.endswith(CODE) or name in ("dev", ".ci/run")
    if code and not any("SPDX-License-Identifier: MIT" in line for line in lines[:3]):
        yield "%s:1: no SPDX-License-Identifier in the first lines" % name
    if name.endswith((".c", ".h", ".inc", ".py")) and len(lines) > MAX_LINES:
        yield "%s:%d: %d lines: is it two ideas?" % (name, len(lines), len(lines))
    for number, line in enumerate(lines, 1):
        if MACHINE_PATH.search(line):
            yield "%s:%d: absolute path of one machine" % (name, number)
        if code and line != line.rstrip():
            yield "%s:%d: white space at the end of the line" % (name, number)
        if code and "\t" in line and not name.endswith((".S", "dev")):
            yield "%s:%d: tab" % (name, number)


def check(root):
    found = []
    for name in common.files(root):
        if name.startswith("tests/data/"):
            continue
        text = common.read(root, name)
        if "\0" not in text:
            found += check_file(name, text)
    return found


OK = "/* SPDX-License-Identifier: MIT */\n"
PLANTS = [
    ({"lib/a.c": OK + "int a;\n"}, 0),
    ({"lib/a.c": "int a;\n"}, 1),
    ({"lib/a.c": OK + "\n" * MAX_LINES}, 1),
    ({"README.md": "see /ho" "me/joe/x\n"}, 1),
    ({"lib/a.c": OK + "int a; \n\tint b;\n"}, 2),
]

if __name__ == "__main__":
    common.main(check, PLANTS, "")
