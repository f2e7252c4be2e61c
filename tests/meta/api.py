#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The public headers are the manual, and the version script lists what they declare.

Every VM_API function has a comment that says since when it is there; lib/libvm.map names exactly the
functions that are declared.
"""
import re

import common

DECLARED = re.compile(r"(/\*\*(?:[^*]|\*(?!/))*\*/\s*)?^VM_API\s[^;]*?\b(vm_\w+)\s*\(", re.M)
MAPPED = re.compile(r"^\s*(vm_\w+);", re.M)


def check(root):
    found, declared = [], {}
    for name in common.files(root, ".h", under=("include/libvm/",)):
        text = common.read(root, name)
        for match in DECLARED.finditer(text):
            comment, function = match.groups()
            declared[function] = name
            if not comment or "@since" not in comment:
                found.append("%s:%d: %s has no comment with @since" % (
                    name, text.count("\n", 0, match.start(2)) + 1, function))
    mapped = set(MAPPED.findall(common.read(root, "lib/libvm.map")))
    found += ["lib/libvm.map: %s is declared in no public header" % f for f in sorted(mapped - set(declared))]
    found += ["%s: %s is not in lib/libvm.map" % (declared[f], f) for f in sorted(set(declared) - mapped)]
    return found


MAP = "LIBVM_1.0 {\n  global:\n    vm_x;\n  local:\n    *;\n};\n"
DOC = "/** Does x. @since 0.1 */\n"
PLANTS = [
    ({"lib/libvm.map": MAP, "include/libvm/a.h": DOC + "VM_API int vm_x(int a,\n    int b);\n"}, 0),
    ({"lib/libvm.map": MAP, "include/libvm/a.h": "VM_API int vm_x(int a);\n"}, 1),
    ({"lib/libvm.map": MAP, "include/libvm/a.h": "/** Does x. */\nVM_API const char *vm_x(int a);\n"}, 1),
    ({"lib/libvm.map": MAP, "include/libvm/a.h": DOC + "VM_API int vm_x(int);\n" + DOC + "VM_API int vm_y(int);\n"}, 1),
    ({"lib/libvm.map": MAP, "include/libvm/a.h": "int a;\n"}, 1),
]

if __name__ == "__main__":
    common.main(check, PLANTS, "")
