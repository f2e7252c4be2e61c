# SPDX-License-Identifier: MIT
"""libvm: a whole x86-64 PC as an object in this process.

    import libvm

    with libvm.Machine({"memory.size": "512M", "boot.kernel": "vmlinuz",
                        "boot.cmdline": "console=ttyS0"}) as m:
        serial = m.serial()
        m.start()
        serial.expect("Linux version")

The shared library is found as libvm.so.1, or where LIBVM_LIBRARY says. No compiler is needed.
"""
from ._lib import Error, lib
from .disk import Disk, Job
from .machine import Context, Cpu, Exit, Machine
from .screen import Screenshot
from .stream import Stream, Timeout

__all__ = ["Context", "Cpu", "Disk", "Error", "Exit", "Job", "Machine", "Screenshot", "Stream", "Timeout", "version"]


def version():
    """The library's release, as text."""
    return lib.vm_version_string().decode()
