# SPDX-License-Identifier: MIT
"""A Linux guest with drivers for ISA devices in its initramfs."""
import os
import subprocess

import pytest

import media
from conftest import Guest, medium

# fdformat's way with the driver: begin, every track, end. <linux/fd.h>
FORMAT_PROGRAM = r"""
#include <fcntl.h>
#include <linux/fd.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
    struct floppy_struct geometry;
    int fd = open(argv[argc - 1], O_RDWR | O_NDELAY);
    if (fd < 0 || ioctl(fd, FDGETPRM, &geometry) != 0 || ioctl(fd, FDFMTBEG, 0) != 0) {
        perror("begin");
        return 1;
    }
    for (unsigned track = 0; track < geometry.track; track++) {
        for (unsigned head = 0; head < geometry.head; head++) {
            struct format_descr d = { 0, head, track };
            if (ioctl(fd, FDFMTTRK, &d) != 0) {
                printf("track %u head %u: ", track, head);
                fflush(stdout);
                perror("format");
                return 1;
            }
        }
    }
    if (ioctl(fd, FDFMTEND, 0) != 0) {
        perror("end");
        return 1;
    }
    printf("formatted %u tracks of %u sectors\n", geometry.track, geometry.sect);
    return 0;
}
"""


def compiled(source, path):
    """A static program for the guest, or a skip."""
    with open(path + ".c", "w") as f:
        f.write(source)
    try:
        subprocess.run(["cc", "-static", "-O1", "-o", path, path + ".c"], check=True,
                       capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as e:
        pytest.skip("no static programs can be made here: %s" % e)
    with open(path, "rb") as f:
        return f.read()


def isa_guest(tmp_path, modules, programs=(), **options):
    """A guest whose shell finds /MODULE.ko and the given (name, bytes) programs."""
    kernel, folder = medium("modular-amd64")
    (initrd,) = medium("initrd-amd64")
    entries = []
    for name in modules:
        with open(os.path.join(folder, name + ".ko"), "rb") as f:
            entries.append((os.path.basename(name) + ".ko", 0o100644, f.read(), 0, 0))
    for name, data in programs:
        entries.append((name, 0o100755, data, 0, 0))
    whole = str(tmp_path / "initrd")
    with open(initrd, "rb") as base, open(whole, "wb") as f:
        f.write(base.read() + media.cpio_newc(entries))
    return Guest(kernel, whole, "quiet", **options)


def load(guest, *modules):
    for name in modules:
        out, status = guest.run("insmod /%s.ko" % name)
        assert status == 0, out
