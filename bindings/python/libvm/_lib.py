# SPDX-License-Identifier: MIT
"""Finding and loading the shared library, and turning its errors into exceptions."""
import ctypes as C
import os

from . import _abi


class Error(Exception):
    """A call into the library failed.

    code: the VM_E_* status; os_errno: errno of the host call behind it, or 0;
    guest_addr: the guest address concerned, or 0.
    """

    def __init__(self, message, code=_abi.VM_E_INVAL, os_errno=0, guest_addr=0):
        super().__init__(message)
        self.code = code
        self.os_errno = os_errno
        self.guest_addr = guest_addr


def _load():
    """The library named by LIBVM_LIBRARY, else the system's libvm.so.1."""
    lib = C.CDLL(os.environ.get("LIBVM_LIBRARY", "libvm.so.1"))
    for name, (restype, argtypes) in _abi.FUNCTIONS.items():
        fn = getattr(lib, name)
        fn.restype = restype
        fn.argtypes = argtypes
    have = lib.vm_version()
    if have >> 16 != 0 and have >> 16 != 1:
        raise Error(f"libvm has interface {have >> 16}, this package knows 1", _abi.VM_E_VERSION)
    return lib


lib = _load()


def fail(code=None):
    """Raise the calling thread's last error."""
    e = lib.vm_last_error().contents
    raise Error(e.message.decode(errors="replace"), e.code if code is None else code, e.os_errno,
                e.guest_addr)


def check(status):
    """Pass a status or count through; raise if it is negative."""
    if status < 0:
        fail(status)
    return status


def check_ptr(pointer):
    """Pass a handle through; raise if it is NULL."""
    if not pointer:
        fail()
    return pointer


def listing(call, *args):
    """Names and summaries from one of the vm_list functions."""
    rows = []

    def row(_ud, name, summary):
        rows.append((name.decode(), (summary or b"").decode(errors="replace")))
        return 0

    check(call(*args, _abi.vm_list_fn(row), None))
    return rows
