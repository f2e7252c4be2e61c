#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Disk images through the Python package, with no machine."""
import os
import tempfile

import libvm

ctx = libvm.Context()
MIB = 1 << 20

with tempfile.TemporaryDirectory() as folder:
    a, b = os.path.join(folder, "a.vdi"), os.path.join(folder, "b.vmdk")
    libvm.Disk.create(ctx, a, "vdi", 8 * MIB)
    libvm.Disk.create(ctx, b, "vmdk", 8 * MIB, {"subformat": "monolithicSparse"})
    with libvm.Disk(ctx, a, "vdi") as x, libvm.Disk(ctx, b, probe=True) as y:
        assert len(x) == len(y) == 8 * MIB
        x.write(1000, b"hello" * 1000)
        assert x.compare(y) == 1000
        job = x.convert_to(y, target_is_zero=True)
        assert job.wait() and job.progress() == (8 * MIB, 8 * MIB)
        assert x.compare(y) is None and y.read(1000, 5) == b"hello"
        info = x.info()
        assert info["format"] == "vdi" and info["virtual-size"] == 8 * MIB and info["cluster-size"] == MIB
        rows = x.map()
        assert sum(r["length"] for r in rows) == 8 * MIB and rows[0]["data"] and not rows[0]["zero"]
        assert rows[-1]["start"] == MIB and not rows[-1]["data"] and rows[-1]["zero"]
        assert x.check()["allocated_clusters"] == 1 and x.check()["problems"] == []
    with libvm.Disk(ctx, a, "vdi") as x:
        assert x.partitions() == []
        x.write(446, bytes([0x80, 0, 0, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") +
                (100).to_bytes(4, "little"))
        x.write(510, b"\x55\xaa")
        row = x.partitions()[0]
        assert row["index"] == 1 and row["bootable"] and row["off"] == MIB and row["type"] == "0x83", row
        with x.partition(1) as part:
            assert len(part) == 51200
            part.write(0, b"here")
        assert x.read(MIB, 4) == b"here"
        try:
            x.volumes()
            raise SystemExit("a disk without LVM has volumes")
        except libvm.Error as e:
            assert "no LVM2 physical volume" in str(e), e
    try:
        libvm.Disk(ctx, os.path.join(folder, "none"), "raw")
        raise SystemExit("what is not there was opened")
    except libvm.Error as e:
        assert "No such file or directory" in str(e), e
assert {"raw", "vdi", "vmdk"} <= {name for name, _ in libvm.Disk.drivers(ctx)}
