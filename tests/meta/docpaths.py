#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Files that the documentation points at are there: `lib/…` in backquotes, and relative links."""
import glob
import os
import re

import common

QUOTED = re.compile(r"`((?:lib|include|examples|tests|tools|doc|bindings)/[\w./*-]+)`")
LINKED = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
INVENTED = re.compile(r"mychip|mytimer|NAME|FOLDER")  # names that how-tos make up


def check(root):
    found = []
    for name in common.files(root, ".md"):
        for number, line in enumerate(common.read(root, name).split("\n"), 1):
            wanted = [os.path.join(root, p) for p in QUOTED.findall(line)]
            wanted += [os.path.join(root, os.path.dirname(name), p) for p in LINKED.findall(line)]
            found += ["%s:%d: there is no %s" % (name, number, os.path.relpath(p, root))
                      for p in wanted if not glob.glob(p) and not INVENTED.search(p)]
    return found


PLANTS = [
    ({"doc/a.md": "see `lib/core/x.c`, `lib/core/*.c` and [b](b.md#part)\n", "doc/b.md": "", "lib/core/x.c": ""}, 0),
    ({"doc/a.md": "see `lib/core/x.c`\n"}, 1),
    ({"doc/a.md": "see [b](../b.md)\n"}, 1),
]

if __name__ == "__main__":
    common.main(check, PLANTS, "")
