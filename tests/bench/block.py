#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Disk images: vmimg beside qemu-img in the same run.

A disk of 256 MiB with some 180 MB of this machine's programs is converted, compared, checked and so
on by both, in turns; medians of wall and of CPU time (user and system), and ratios to the peer's.
Lower is better but for the rows of 4 KiB writes, which are requests a second beside those of raw.
On a file system in memory (the default) flushes cost nothing; --place chooses another.
"""
import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import measure  # noqa: E402
import media  # noqa: E402

VMIMG = os.environ.get("VMIMG_BENCH", os.path.join(media.ROOT, "build/examples/vmimg/vmimg"))
MB = 1 << 20
SIZE, FILLED = 256 * MB, 180 * MB

# Row: name, must, moonshot (ratio of wall time to the peer's), what to prepare, the command.
# {o} is a file that is removed before and after.
ROWS = [
    ("raw to raw", 1.0, 0.5, "convert -f raw -O raw {raw} {o}"),
    ("raw to qcow2", 1.0, 0.5, "convert -f raw -O qcow2 {raw} {o}"),
    ("qcow2 to raw", 1.0, 0.5, "convert -f qcow2 -O raw {qcow2} {o}"),
    ("qcow2 to qcow2", 1.0, 0.5, "convert -f qcow2 -O qcow2 {qcow2} {o}"),
    ("vdi to raw", 1.0, 0.4, "convert -f vdi -O raw {vdi} {o}"),
    ("vhdx to raw", 1.0, 0.4, "convert -f vhdx -O raw {vhdx} {o}"),
    ("vpc to raw", 1.0, 0.4, "convert -f vpc -O raw {vpc} {o}"),
    ("vmdk to raw", 1.0, 0.4, "convert -f vmdk -O raw {vmdk} {o}"),
    ("qed to raw", 1.0, 0.4, "convert -f qed -O raw {qed} {o}"),
    ("parallels to raw", 1.0, 0.4, "convert -f parallels -O raw {parallels} {o}"),
    ("raw to vdi", 1.0, 0.4, "convert -f raw -O vdi {raw} {o}"),
    ("raw to vhdx", 1.0, 0.4, "convert -f raw -O vhdx {raw} {o}"),
    ("raw to vpc", 1.0, 0.4, "convert -f raw -O vpc {raw} {o}"),
    ("raw to vmdk", 1.0, 0.4, "convert -f raw -O vmdk {raw} {o}"),
    ("qcow2 zlib to raw", 0.5, 0.2, "convert -f qcow2 -O raw {zlib} {o}"),
    ("qcow2 zstd to raw", 0.5, 0.2, "convert -f qcow2 -O raw {zstd} {o}"),
    ("vmdk stream to raw", 0.5, 0.2, "convert -f vmdk -O raw {stream} {o}"),
    ("raw to qcow2 -c zlib", 0.5, 0.2, "convert -f raw -O qcow2 -c {raw} {o}"),
    ("raw to qcow2 -c zstd", 0.5, 0.2, "convert -f raw -O qcow2 -c -o compression_type=zstd {raw} {o}"),
    ("raw to vmdk stream", 0.5, 0.2, "convert -f raw -O vmdk -o subformat=streamOptimized {raw} {o}"),
    ("create 1T", 1.0, 0.5, "create -q -f qcow2 {o} 1T"),
    ("create 64G metadata", 1.0, 0.5, "create -q -f qcow2 -o preallocation=metadata {o} 64G"),
    ("info of 3 deep", 1.0, 0.5, "info --backing-chain {top}"),
    ("map", 1.0, 0.5, "map --output=json -f qcow2 {qcow2}"),
    ("measure", 1.0, 0.5, "measure -f raw -O qcow2 {raw}"),
    ("compare", 1.0, 0.5, "compare -f raw -F qcow2 {raw} {qcow2}"),
    ("check", 0.5, 0.1, "check -q -f qcow2 {large}"),
    ("rebase", 1.0, 0.5, "rebase -f qcow2 -b {raw} -F raw {c}"),
    ("commit", 1.0, 0.5, "commit -q -f qcow2 {c}"),
]


def fill(path):
    """Programs and libraries up to FILLED bytes, then a hole."""
    left = FILLED
    with open(path, "wb") as out:
        for folder in ("/usr/bin", "/usr/lib"):
            for where, _, names in sorted(os.walk(folder)):
                for name in sorted(names):
                    source = os.path.join(where, name)
                    if left <= 0 or os.path.islink(source) or not os.path.isfile(source):
                        continue
                    with open(source, "rb") as f:
                        data = f.read(left)
                    out.write(data)
                    left -= len(data)
                    out.seek((-len(data)) % 4096, os.SEEK_CUR)
        out.truncate(SIZE)


def run(argv, timeout=120):
    """Wall seconds, CPU seconds, output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout, check=False)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise measure.Stuck("%s: %s" % (" ".join(argv), done.stdout.decode(errors="replace").strip()))
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def prepare(place, peer):
    """Every source, made by the peer: both read the same."""
    files = {"raw": os.path.join(place, "disk.raw")}
    fill(files["raw"])
    for name in ("qcow2", "vdi", "vhdx", "vpc", "vmdk", "qed", "parallels"):
        files[name] = os.path.join(place, "disk." + name)
        extra = ["-o", "force_size=on"] if name == "vpc" else []
        run([peer, "convert", "-f", "raw", "-O", name, *extra, files["raw"], files[name]])
    for name, extra in (("zlib", ["-O", "qcow2", "-c"]),
                        ("zstd", ["-O", "qcow2", "-c", "-o", "compression_type=zstd"]),
                        ("stream", ["-O", "vmdk", "-o", "subformat=streamOptimized"])):
        files[name] = os.path.join(place, "disk." + name)
        run([peer, "convert", "-f", "raw", *extra, files["raw"], files[name]])
    files["large"] = os.path.join(place, "large")
    run([peer, "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", files["large"], "100G"])
    below, below_format = files["raw"], "raw"
    for name in ("one", "two", "top"):
        files[name] = os.path.join(place, name)
        run([peer, "create", "-q", "-f", "qcow2", "-b", below, "-F", below_format, files[name]])
        below, below_format = files[name], "qcow2"
    # For rebase and commit: 20 MB of changes over a copy.
    files["base"] = os.path.join(place, "base")
    files["overlay"] = os.path.join(place, "overlay")
    shutil.copy(files["raw"], files["base"])
    run([peer, "create", "-q", "-f", "qcow2", "-b", files["base"], "-F", "raw", files["overlay"]])
    run([peer, "bench", "-w", "-c", "5000", "-s", "4096", "-S", "40960", "-f", "qcow2", files["overlay"]])
    return files


def one(tool, command, files, place):
    out, copy = os.path.join(place, "out"), os.path.join(place, "changed")
    for path in (out, copy):
        if os.path.exists(path):
            os.unlink(path)
    if "{c}" in command:
        shutil.copy(files["overlay"], copy)
    argv = [tool] + [word.format(o=out, c=copy, **files) for word in command.split()]
    took = run(argv)
    for path in (out, copy):
        if os.path.exists(path):
            os.unlink(path)
    return took[:2]


def rows(options, tools, files, place):
    print("%-22s %9s %9s %9s %9s %7s %7s  %s" % (
        "", "vmimg", "cpu", "qemu-img", "cpu", "ratio", "cpu", "must, moonshot"))
    missed = []
    for name, must, moonshot, command in ROWS:
        if options.only and options.only not in name:
            continue
        took = {t: [] for t in tools}
        for _ in range(options.rounds):
            for t in tools:
                took[t].append(one(tools[t], command, files, place))
        m = {t: [statistics.median(x[k] for x in took[t]) for k in (0, 1)] for t in tools}
        ratio = [m["vmimg"][k] / max(m["qemu-img"][k], 1e-4) for k in (0, 1)]
        verdict = "moonshot" if ratio[0] <= moonshot else "must" if ratio[0] <= must else "MISSED"
        if verdict == "MISSED":
            missed.append(name)
        print("%-22s %9.3f %9.3f %9.3f %9.3f %7.2f %7.2f  %.1f, %.1f: %s" % (
            name, *m["vmimg"], *m["qemu-img"], *ratio, must, moonshot, verdict), flush=True)
    return missed


def rate(tool, args, path, make):
    """Requests a second of a first write of 4 KiB into each cluster."""
    make()
    out = run([tool, "bench", "-w", "-d", "1", "-s", "4096", "-S", "65536", *args, path])[2]
    seconds = float(re.search(rb"completed in ([0-9.]+) sec", out).group(1))
    return int(args[args.index("-c") + 1]) / max(seconds, 1e-6)


def writes(options, tools, files, place):
    """4 KiB writes, one after the other, each into a cluster that nobody wrote to: beside raw."""
    target = os.path.join(place, "target")

    def raw():
        shutil.copy(files["base"], target)

    def overlay():
        if os.path.exists(target):
            os.unlink(target)
        run([tools["qemu-img"], "create", "-q", "-f", "qcow2", "-b", files["raw"], "-F", "raw", target])

    print("\n4 KiB first writes, 1/s %13s %12s %8s   (goal)" % ("raw", "over raw", "ratio"))
    for name, extra, goal in (("rarely flushed", [], 0.9), ("flush every 32", ["--flush-interval=32"], 0.5)):
        for t in tools:
            got = {"raw": [], "qcow2": []}
            for _ in range(options.rounds):
                for fmt, make in (("raw", raw), ("qcow2", overlay)):
                    got[fmt].append(rate(tools[t], ["-c", "4000", "-f", fmt, *extra], target, make))
            m = {k: statistics.median(v) for k, v in got.items()}
            print("%-15s %-9s %12.0f %12.0f %8.2f   (%.1f)" % (
                name, t, m["raw"], m["qcow2"], m["qcow2"] / m["raw"], goal), flush=True)
    os.unlink(target)


def empty(tools, place):
    """3 TiB that hold nothing: by us alone, the peer reads every byte of some."""
    print("\n3 TiB, empty, to raw")
    for fmt in ("vhdx", "vmdk", "vdi", "qcow2"):
        source, out = os.path.join(place, "empty"), os.path.join(place, "out")
        run([tools["vmimg"], "create", "-q", "-f", fmt, source, "3T"])
        wall, cpu, _ = run([tools["vmimg"], "convert", "-f", fmt, "-O", "raw", source, out])
        print("%-22s %9.3f %9.3f   (1.0)" % (fmt, wall, cpu), flush=True)
        os.unlink(source)
        os.unlink(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="rows with this in their name")
    parser.add_argument("--place", help="folder to work in; by default in memory")
    options = parser.parse_args()
    tools = {"vmimg": VMIMG, "qemu-img": shutil.which("qemu-img") or ""}
    for name, path in tools.items():
        if not os.access(path, os.X_OK):
            sys.exit("block: no %s at %r" % (name, path))
    place = options.place or ("/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    print("host: " + measure.host())
    with tempfile.TemporaryDirectory(dir=place) as folder:
        files = prepare(folder, tools["qemu-img"])
        missed = rows(options, tools, files, folder)
        if not options.only or options.only in "writes":
            writes(options, tools, files, folder)
        if not options.only or options.only in "empty":
            empty(tools, folder)
    if missed:
        print("\nslower than they must be: " + ", ".join(missed))


if __name__ == "__main__":
    try:
        main()
    except (measure.Stuck, media.MediaError) as e:
        sys.exit("block: %s" % e)
