# SPDX-License-Identifier: MIT
"""Builds the bench payload and wraps it for each emulator.

One flat image per mode (32 or 64 bits). It is a Multiboot kernel for libvm and QEMU, and with a boot
sector before it a disk for Bochs: all three run the same bytes.
"""
import os
import struct
import subprocess

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "payload")
KERNELS = ["sieve", "heapsort", "hash", "strings", "recursion", "multiply", "tree", "bytecode", "bignum"]
MAGIC = b"VMBENCH1"

CFLAGS = ["-O2", "-ffreestanding", "-fno-builtin", "-fno-pic", "-fno-stack-protector", "-mgeneral-regs-only",
          "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns",
          "-Wall", "-Wextra", "-Werror"]
MODES = {
    32: {"nasm": ["-felf32"], "gcc": ["-m32", "-march=i686"], "ld": ["-m", "elf_i386"]},
    64: {"nasm": ["-felf64", "-DLONG=1"], "gcc": ["-m64", "-mno-red-zone"], "ld": ["-m", "elf_x86_64"]},
}


def run(*command):
    subprocess.run(command, check=True)


def build(place, mode):
    """The flat image for a mode, as bytes."""
    flags = MODES[mode]
    stem = os.path.join(place, "payload%d" % mode)
    run("nasm", *flags["nasm"], os.path.join(HERE, "start.asm"), "-o", stem + "-start.o")
    run("gcc", *flags["gcc"], *CFLAGS, "-c", os.path.join(HERE, "kernels.c"), "-o", stem + "-kernels.o")
    run("ld", *flags["ld"], "-z", "max-page-size=4096", "-z", "noexecstack", "--build-id=none", "-T", os.path.join(HERE, "payload.ld"),
        stem + "-start.o", stem + "-kernels.o", "-o", stem + ".elf")
    run("objcopy", "-O", "binary", stem + ".elf", stem + ".bin")
    with open(stem + ".bin", "rb") as f:
        return f.read()


def with_params(image, kernel, loops):
    """The image told to run `loops` of a kernel (by name)."""
    at = image.index(MAGIC) + len(MAGIC)
    return image[:at] + struct.pack("<II", KERNELS.index(kernel), loops) + image[at + 8:]


def disk(place, image):
    """A hard disk for a PC BIOS: boot sector, image, padding to whole cylinders."""
    sectors = -(-len(image) // 512)
    if sectors > 127:
        raise ValueError("payload of %d sectors does not fit one BIOS transfer" % sectors)
    boot = os.path.join(place, "boot.bin")
    run("nasm", "-fbin", "-DSECTORS=%d" % sectors, os.path.join(HERE, "boot.asm"), "-o", boot)
    with open(boot, "rb") as f:
        data = f.read() + image
    return data + b"\0" * (DISK_BYTES - len(data))


CYLINDERS, HEADS, SPT = 4, 16, 63
DISK_BYTES = CYLINDERS * HEADS * SPT * 512
