#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the built library shows and holds.

    symbols.py LIBRARY.so

* exports are vm_* alone (and the version node);
* no writable variable: a hundred machines in one process behave like a hundred processes. Sections
  are read, not nm's letters: const tables of pointers lie in .data.rel.ro and show as D;
* nothing that takes the process away or talks behind the caller's back.
"""
import os
import re
import subprocess
import sys
import tempfile

# Put there by the linker and the C runtime, in every shared library.
RUNTIME = {"__bss_start", "_edata", "_end", "__dso_handle", "__TMC_END__", "completed.0",
           "_GLOBAL_OFFSET_TABLE_", "_DYNAMIC"}
WRITABLE = (".data", ".bss", ".tdata", ".tbss", "COMMON")
# Per thread, and about the thread alone: the last error (<libvm/error.h>), whose address marks the
# thread as owner of a lock, which machine a library thread works for.
THREAD_LOCAL = re.compile(r"^(last|mark|working_for)(\.\d+)?$")
FORBIDDEN = set("""exit _exit _Exit quick_exit abort atexit on_exit system popen
    printf vprintf __printf_chk __vprintf_chk puts putchar perror stdout stderr stdin
    getenv secure_getenv setenv putenv unsetenv
    signal sigaction sigprocmask __sysv_signal bsd_signal raise alarm setitimer
    chdir fchdir umask chroot setlocale tcsetattr fork vfork daemon setrlimit setuid
    rand srand random srandom strtok localtime gmtime""".split())


def nm(library, *options):
    done = subprocess.run(["nm", *options, library], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")


def exports(library):
    for line in nm(library, "-D", "--defined-only"):
        fields = line.split()
        if len(fields) != 3:
            continue
        name = fields[2].split("@")[0]
        if fields[1] == "A":  # the version node itself
            continue
        if not name.startswith("vm_") or name.startswith("vm__"):
            yield "exports %s" % name


def globals_of(library):
    for line in nm(library, "-f", "sysv"):
        fields = [f.strip() for f in line.split("|")]
        if len(fields) != 7 or fields[3] not in ("OBJECT", "TLS"):
            continue
        name, section = fields[0].split("@")[0], fields[6]
        if name in RUNTIME or section not in WRITABLE:
            continue
        if fields[3] == "TLS" and THREAD_LOCAL.match(name):
            continue
        yield "writable variable %s in %s" % (name, section)


def calls(library):
    for line in nm(library, "-D", "--undefined-only"):
        name = line.split()[-1].split("@")[0] if line.split() else ""
        if name in FORBIDDEN:
            yield "calls %s" % name


def check(library):
    return [*exports(library), *globals_of(library), *calls(library)]


PLANTS = [
    ("int vm_x(int a);\nint vm_x(int a) { return a; }", 0),
    ("static const char *const names[] = { \"a\", \"b\" };\nconst char *vm_x(int a) { return names[a]; }", 0),
    ("static _Thread_local char last[9];\nchar *vm_x(void) { return last; }", 0),
    ("static _Thread_local char other[9];\nchar *vm_x(void) { return other; }", 1),
    ("static int count;\nint vm_x(void) { return ++count; }", 1),
    ("static int count = 7;\nint vm_x(void) { return ++count; }", 1),
    ("int vm_x(void) { static int n; return ++n; }", 1),
    ("int helper(void) { return 1; }\nint vm__y(void) { return 1; }", 2),
    ("#include <stdlib.h>\nvoid vm_x(void) { exit(1); }", 1),
    ("#include <stdio.h>\nvoid vm_x(void) { printf(\"hello\\n\"); }", 1),
    ("#include <stdlib.h>\nchar *vm_x(void) { return getenv(\"HOME\"); }", 1),
]


def self_test(cc):
    bad = 0
    for text, want in PLANTS:
        with tempfile.TemporaryDirectory() as place:
            library = os.path.join(place, "x.so")
            subprocess.run([*cc, "-x", "c", "-", "-O1", "-fPIC", "-shared", "-o", library], input=text,
                           text=True, check=True)
            got = check(library)
            if len(got) != want:
                bad += 1
                print("plant %r: %d violations wanted, found: %s" % (text, want, got))
    print("%d plants, %d not judged as they should be" % (len(PLANTS), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    if sys.argv[1] == "--self-test":
        sys.exit(self_test(sys.argv[2:] or ["cc"]))
    violations = check(sys.argv[1])
    print("\n".join(violations))
    sys.exit(1 if violations else 0)
