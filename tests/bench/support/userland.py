# SPDX-License-Identifier: MIT
"""A Linux userland with gcc, Python and OpenSSL as an initramfs, made of Debian packages.

Packages are unpacked once under .cache/ (tests/support/media.py); what a benchmark does not run is
left out.
"""
import os
import re
import stat

import media

PACKAGES = ["libc6", "libgcc-s1", "zlib1g", "libzstd1", "libgmp10", "libmpfr6", "libmpc3", "libisl23",
            "gcc-12", "cpp-12", "binutils", "binutils-x86-64-linux-gnu", "libbinutils", "libctf0",
            "libctf-nobfd0", "libjansson4", "libexpat1", "python3.11-minimal",
            "libpython3.11-minimal", "openssl", "libssl3"]
LEAVE_OUT = re.compile(r"^(usr/share|usr/sbin|etc|var|usr/lib/python3/|usr/lib/valgrind|usr/lib/bfd-plugins"
                       r"|.*/gconv/|.*/(lto1|lto-wrapper|collect2|g\+\+-mapper-server|liblto_plugin.so)$|.*\.a$"
                       r"|.*(ld\.gold|ld\.bfd|dwp|lto-dump-12|gp-[a-z-]*|gprof[a-z]*)$|.*/engines-3/)")


def tree():
    """The folders that hold the packages."""
    return [media.fetch_into("os-" + package, "amd64", package, ["./*"]) for package in PACKAGES]


def entries(places):
    """Everything in them that counts, for media.cpio_newc(); folders before what is in them."""
    found = {}
    for place in places:
        for folder, folders, files in os.walk(place):
            inside = os.path.relpath(folder, place)
            for name in folders + files:
                path = os.path.normpath(os.path.join(inside, name))
                if LEAVE_OUT.match(path):
                    continue
                real = os.path.join(folder, name)
                mode = os.lstat(real).st_mode
                if stat.S_ISLNK(mode):
                    found[path] = (0o120777, os.readlink(real).encode())
                elif stat.S_ISDIR(mode):
                    found[path] = (0o040755, b"")
                else:
                    with open(real, "rb") as f:
                        found[path] = (0o100755 if mode & 0o111 else 0o100644, f.read())
    return [(name, mode, data, 0, 0) for name, (mode, data) in sorted(found.items())]


def archive(more):
    """The packages and `more`, an initramfs."""
    return media.cpio_newc(entries(tree()) + more)
