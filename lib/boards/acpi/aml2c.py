#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compile ASL with iasl and write the table as a C array: aml2c.py IASL IN.asl NAME OUT.c"""
import pathlib
import subprocess
import sys
import tempfile

iasl, source, name, output = sys.argv[1:]
with tempfile.TemporaryDirectory() as tmp:
    prefix = str(pathlib.Path(tmp, "table"))
    done = subprocess.run([iasl, "-we", "-p", prefix, source], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    aml = pathlib.Path(prefix + ".aml").read_bytes()
rows = [", ".join(f"0x{b:02x}" for b in aml[i:i + 12]) for i in range(0, len(aml), 12)]
pathlib.Path(output).write_text(
    f'/* Made from {pathlib.Path(source).name} by iasl. */\n'
    '#include "boards/acpi/dsdt.h"\n\n'
    f'const unsigned char {name}[] = {{\n    ' + ",\n    ".join(rows) + ",\n};\n"
    f'const size_t {name}_size = sizeof {name};\n')
