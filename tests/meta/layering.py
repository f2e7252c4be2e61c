#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may include whom: the floors of doc/tour.md.

A file below lib/ includes its own folder and floors below; siblings on one floor do not see each
other. Includes are written from lib/. What is outside lib/ sees only <libvm/…>, but for tests of
internals. Headers of the host system are for lib/host, the backends and the engines that need them.
"""
import os
import re

import common

FLOOR = {
    "base": 0, "host": 0, "core": 1, "block": 2,
    "cpu": 3, "devices": 3, "blockfmt": 3, "backends": 3, "boards": 4, "debug": 4, "monitor": 4, "api": 5,
}
# C11's own headers, and <threads.h>-like ones that every 64-bit host's C library has.
C_HEADERS = set("""assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp
    stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads
    time uchar wchar wctype""".split())
HOST_SPECIFIC = ("lib/host/", "lib/backends/", "lib/cpu/jit/", "lib/cpu/kvm/")
# Libraries and compiler headers that any floor may use, and the reason.
ALLOWED = {
    "jansson.h",      # JSON, on every host
    "libdeflate.h", "zstd.h", "bzlib.h", "lzma.h", "lzfse.h", # compression, on every host
    "libnbd.h",       # the NBD client, where that library is
    "nettle/cbc.h", "nettle/hmac.h", "nettle/nettle-meta.h", "nettle/pbkdf2.h", # encryption
    "Zydis/Zydis.h",  # disassembly, on every host, in files of its own
    "pthread.h",      # locks inside the machine; threads are made by lib/host
    "immintrin.h",    # host SIMD in interpreter handlers, in files of their own
    "x86intrin.h", "cpuid.h",
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def folder(name):
    """'core' for lib/core/x.c."""
    return name.split("/")[1]


def quoted(root, name, target):
    """A violation of an #include "target" in file `name`, or None."""
    if not name.startswith("lib/"):
        outside = name.startswith(("examples/", "bindings/", "tests/api/"))
        if outside and os.path.exists(os.path.join(root, "lib", target)):
            return 'includes "%s": only <libvm/…> is for it' % target
        return None
    if "/" not in target:
        # A file that the build makes has no folder; one that stands beside the includer has.
        beside = os.path.exists(os.path.join(root, os.path.dirname(name), target))
        return 'includes "%s": write it from lib/' % target if beside else None
    other = target.split("/")[0]
    if other not in FLOOR:
        return 'includes "%s": no such floor' % target
    mine = folder(name)
    if other == mine or FLOOR[other] < FLOOR[mine] or FLOOR[other] == FLOOR[mine] == 0:
        return None
    return 'includes "%s": %s (floor %d) may not know %s (floor %d)' % (
        target, mine, FLOOR[mine], other, FLOOR[other])


def angled(name, target):
    if not name.startswith("lib/") or name.startswith(HOST_SPECIFIC):
        return None
    if target.startswith(("libvm/", "simde/")) or target in ALLOWED or target.removesuffix(".h") in C_HEADERS:
        return None
    return "includes <%s>: host-specific code belongs in lib/host or a backend" % target


def check(root):
    found = []
    for name in common.files(root, ".c", ".h", ".inc", ".def",
                             under=("lib/", "examples/", "bindings/", "tests/api/", "include/")):
        for number, line in enumerate(common.read(root, name).split("\n"), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            kind, target = match.groups()
            if name.startswith("include/") and kind == '"':
                wrong = 'public headers include <libvm/…>, not "%s"' % target
            else:
                wrong = quoted(root, name, target) if kind == '"' else angled(name, target)
            if wrong:
                found.append("%s:%d: %s" % (name, number, wrong))
    return found


PLANTS = [
    ({"lib/core/a.c": '#include "core/b.h"\n#include "base/c.h"\n#include <stdint.h>\n#include <libvm/error.h>\n'}, 0),
    ({"lib/base/a.c": '#include "core/b.h"\n'}, 1),
    ({"lib/devices/a.c": '#include "cpu/x86/state.h"\n#include "core/irq.h"\n'}, 1),
    ({"lib/cpu/a.c": '#  include "boards/pc.h"\n'}, 1),
    ({"lib/core/a.c": '#include "b.h"\n#include "made_by_the_build.inc"\n', "lib/core/b.h": ""}, 1),
    ({"lib/core/a.c": "#include <unistd.h>\n"}, 1),
    ({"lib/host/a.c": "#include <unistd.h>\n"}, 0),
    ({"examples/x/a.c": '#include "core/b.h"\n', "lib/core/b.h": ""}, 1),
    ({"examples/x/a.c": '#include "local.h"\n'}, 0),
    ({"include/libvm/a.h": '#include "error.h"\n'}, 1),
]

if __name__ == "__main__":
    common.main(check, PLANTS, "See the floors in doc/tour.md.")
