#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The table of options in doc/how-to/vmrun.md, from what `vmrun -help` says.

    gen_vmrun_doc.py VMRUN doc/how-to/vmrun.md          write it
    gen_vmrun_doc.py --check VMRUN doc/how-to/vmrun.md  fail if it is not what would be written
"""
import re
import subprocess
import sys

BEGIN, END = "<!-- options: made by tools/gen_vmrun_doc.py -->", "<!-- end of options -->"
ROW = re.compile(r"^  (-\S+(?: \S+)?) +(\S.*)$")


def table(vmrun):
    text = subprocess.run([vmrun, "-help"], capture_output=True, text=True, check=True).stdout
    out, group = [], None
    for line in text.split("\n"):
        row = ROW.match(line)
        if row:
            if group:
                out += ["", "**%s**" % group, "", "| option | |", "|---|---|"]
                group = None
            out.append("| `%s` | %s |" % (row[1], row[2].replace("|", "\\|")))
        elif re.match(r"^[A-Z][\w ]+$", line):
            group = line
    return "\n".join(out).strip("\n")


def main():
    args = sys.argv[1:]
    check = args[0] == "--check"
    vmrun, path = args[check:]
    text = open(path).read()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    wanted = head + BEGIN + "\n" + table(vmrun) + "\n" + END + tail
    if not check:
        open(path, "w").write(wanted)
    elif wanted != text:
        sys.exit("%s: its options are not those of vmrun -help; run tools/gen_vmrun_doc.py" % path)


if __name__ == "__main__":
    main()
