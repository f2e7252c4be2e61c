#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every header compiles alone: the public ones as C99, C11 and C++17, the internal ones as C.

    headers.py ROOT CC CXX|- [GENERATED_INCLUDE_DIR...]
"""
import concurrent.futures
import os
import subprocess
import sys

import common

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]


def jobs(root, cc, cxx, extra):
    include = ["-I" + os.path.join(root, "include")]
    for name in common.files(root, ".h", under=("include/libvm/",)):
        header = "libvm/" + os.path.basename(name)
        for std in ("c99", "c11"):
            yield name, header, [*cc, "-x", "c", "-std=" + std, *STRICT, *include]
        if cxx:
            yield name, header, [*cxx, "-x", "c++", "-std=c++17", *STRICT, *include]
    include += ["-I" + os.path.join(root, "lib"), *("-I" + d for d in extra)]
    for name in common.files(root, ".h", under=("lib/",)):
        yield name, name.removeprefix("lib/"), [
            *cc, "-x", "c", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-missing-field-initializers",
            "-Wno-unused-function", "-Werror", "-fsyntax-only", *include]


def compile_one(job):
    name, header, command = job
    # Twice: the guard must hold too.
    text = '#include <%s>\n#include <%s>\nextern int only_a_header;\n' % (header, header)
    done = subprocess.run([*command, "-"], input=text, text=True, capture_output=True)
    if done.returncode == 0:
        return None
    std = next(a for a in command if a.startswith("-std="))
    first = next((l for l in done.stderr.split("\n") if "error" in l), done.stderr.strip())
    return "%s: not alone as %s: %s" % (name, std, first)


def check(root, cc=("cc",), cxx=("c++",), extra=()):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [r for r in pool.map(compile_one, jobs(root, cc, cxx, extra)) if r]


GUARD = "#ifndef A_H\n#define A_H\n%s\n#endif\n"
PLANTS = [
    ({"include/libvm/a.h": GUARD % "#include <stdint.h>\nextern uint32_t a;"}, 0),
    ({"include/libvm/a.h": GUARD % "extern uint32_t a;"}, 3),
    ({"include/libvm/a.h": GUARD % "extern int class;"}, 1),
    ({"lib/core/a.h": GUARD % "extern size_t a;"}, 1),
    ({"lib/core/a.h": "struct twice { int a; };"}, 1),
]

if __name__ == "__main__":
    if sys.argv[1:2] == ["--self-test"]:
        sys.exit(common.self_test(check, PLANTS))
    root, cc, cxx, *extra = sys.argv[1:]
    violations = check(root, cc.split(), [] if cxx == "-" else cxx.split(), extra)
    print("\n".join(violations))
    sys.exit(1 if violations else 0)
