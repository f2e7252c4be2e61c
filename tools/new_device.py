#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A new device from the template: its file, its test, and its line in both lists.

    new_device.py FOLDER/NAME       (./dev new device FOLDER/NAME)
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEVICE_LIST = "lib/devices/meson.build"
TEST_LIST = "tests/devices/meson.build"


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


def write(name, text):
    path = os.path.join(ROOT, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    print(name)


def with_entry(text, start, entry):
    """`text` with an entry added at the end of the list that opens with `start`."""
    opened = text.index(start) + len(start)
    closed = text.index("]", opened)
    before, after = text[:closed].rstrip(), text[closed:]
    if before.endswith(","):  # an entry a line
        return "%s\n  '%s',\n%s" % (before, entry, after)
    return "%s, '%s'%s" % (before, entry, after)


def main(argv):
    if len(argv) != 1 or not re.fullmatch(r"[a-z]+/[a-z][a-z0-9_]*", argv[0]):
        print("new_device: a folder of lib/devices and a name of letters, digits and _: misc/mychip", file=sys.stderr)
        return 2
    name = os.path.basename(argv[0])
    source, test = "lib/devices/%s.c" % argv[0], "tests/devices/test_%s.c" % name
    for path in (source, test):
        if os.path.exists(os.path.join(ROOT, path)):
            print("new_device: %s is there already" % path, file=sys.stderr)
            return 1
    try:
        lists = {DEVICE_LIST: with_entry(read(DEVICE_LIST), "device_names += [", argv[0]),
                 TEST_LIST: with_entry(read(TEST_LIST), "foreach name : [", name)}
    except (OSError, ValueError) as e:
        print("new_device: the lists are not as expected (%s)" % e, file=sys.stderr)
        return 1
    write(source, read("tools/templates/device.c.in").replace("@name@", name))
    write(test, read("tools/templates/test_device.c.in").replace("@name@", name))
    for path, text in lists.items():
        write(path, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
