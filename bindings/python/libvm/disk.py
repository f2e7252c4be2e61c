# SPDX-License-Identifier: MIT
"""Disk images as Python objects, with or without a machine."""
import ctypes as C
import json

from . import _abi
from ._lib import check, check_ptr, lib, listing

FLAGS = {"read_only": _abi.VM_BLK_RO, "probe": _abi.VM_BLK_PROBE, "no_backing": _abi.VM_BLK_NOBACKING,
         "unsafe": _abi.VM_BLK_UNSAFE, "direct": _abi.VM_BLK_DIRECT, "share": _abi.VM_BLK_SHARE,
         "check": _abi.VM_BLK_CHECK, "unmap": _abi.VM_BLK_UNMAP, "share_rw": _abi.VM_BLK_SHARE_RW}


def _options(options):
    """A dict as the JSON the library takes; text as it is."""
    if options is None:
        return None
    return (options if isinstance(options, str) else json.dumps(options)).encode()


class Job:
    """Work in the background. Use wait(); a job that is dropped goes on."""

    def __init__(self, handle):
        self.handle = check_ptr(handle)

    def wait(self, timeout=None):
        """Wait for its end; raises what it failed with. False: still at work after timeout seconds."""
        st = lib.vm_job_wait(self.handle, -1 if timeout is None else int(timeout * 1e9))
        if st == _abi.VM_E_TIMEOUT:
            return False
        check(st)
        return True

    def progress(self):
        """(done, total) in bytes."""
        done, total = C.c_uint64(), C.c_uint64()
        check(lib.vm_job_progress(self.handle, C.byref(done), C.byref(total)))
        return done.value, total.value

    def cancel(self):
        """Ask it to end early; wait() then raises."""
        check(lib.vm_job_cancel(self.handle))

    def __del__(self):
        if getattr(self, "handle", None):
            lib.vm_job_unref(self.handle)
            self.handle = None


class Disk:
    """An open image.

        with libvm.Disk(ctx, "debian.vdi", "vdi", read_only=True) as d:
            boot_sector = d.read(0, 512)

    format: None with probe=True to guess. Other keywords: no_backing, unsafe, direct, share, check,
    unmap, share_rw. Addresses and lengths are bytes.
    """

    def __init__(self, ctx, name, format=None, **flags):
        self.handle = check_ptr(lib.vm_blk_open(ctx.handle, str(name).encode(),
                                                format.encode() if format else None,
                                                self._bits(flags)))

    @staticmethod
    def _bits(flags):
        bits = 0
        for word, on in flags.items():
            if word not in FLAGS:
                raise TypeError(f"no flag {word}")
            bits |= FLAGS[word] if on else 0
        return bits

    @classmethod
    def _of(cls, handle):
        disk = cls.__new__(cls)
        disk.handle = check_ptr(handle)
        return disk

    @staticmethod
    def create(ctx, name, format, size, options=None):
        """Make an image. options: a dict or "a=b,…"."""
        check(lib.vm_blk_create(ctx.handle, str(name).encode(), format.encode(), size, _options(options)))

    @staticmethod
    def drivers(ctx):
        """(name, summary) of every format and protocol."""
        return listing(lib.vm_blk_list_drivers, ctx.handle)

    def close(self):
        """Flush and close."""
        if getattr(self, "handle", None):
            lib.vm_blk_close(self.handle)
            self.handle = None

    __del__ = close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __len__(self):
        return check(lib.vm_blk_size(self.handle))

    def read(self, offset, length):
        """Bytes at offset."""
        buf = C.create_string_buffer(length)
        check(lib.vm_blk_read(self.handle, offset, buf, length))
        return buf.raw

    def write(self, offset, data, fua=False):
        """Write bytes; with fua they are on stable storage when it returns."""
        check(lib.vm_blk_write(self.handle, offset, bytes(data), len(data), _abi.VM_BLK_FUA if fua else 0))

    def zero(self, offset, length, unmap=False):
        """Make a range read as zeros."""
        check(lib.vm_blk_zero(self.handle, offset, length, _abi.VM_BLK_MAY_UNMAP if unmap else 0))

    def discard(self, offset, length):
        """Give a range up."""
        check(lib.vm_blk_discard(self.handle, offset, length))

    def flush(self):
        """What was written is on stable storage."""
        check(lib.vm_blk_flush(self.handle))

    def resize(self, size, preallocation="off"):
        """Change the size."""
        check(lib.vm_blk_resize(self.handle, size, preallocation.encode()))

    def info(self):
        """A dict as `qemu-img info --output=json` prints it."""
        room = C.c_size_t(4096)
        while True:
            buf = C.create_string_buffer(room.value)
            st = lib.vm_blk_info(self.handle, buf, C.byref(room))
            if st != _abi.VM_E_RANGE:
                check(st)
                return json.loads(buf.value)

    def map(self, offset=0, length=(1 << 63) - 1):
        """Rows as dicts: start, length, depth, data, zero, present, and offset and file where bytes
        lie as they are."""
        rows = []

        def row(_ud, raw):
            r = raw.contents
            d = {"start": r.start, "length": r.length, "depth": r.depth,
                 "data": bool(r.flags & _abi.VM_MAP_DATA), "zero": bool(r.flags & _abi.VM_MAP_ZERO),
                 "present": bool(r.flags & _abi.VM_MAP_ALLOCATED)}
            if r.flags & _abi.VM_MAP_OFFSET:
                d["offset"], d["file"] = r.host_offset, (r.file or b"").decode(errors="replace")
            rows.append(d)
            return 0

        check(lib.vm_blk_map(self.handle, offset, length, _abi.vm_blk_map_fn(row), None))
        return rows

    def check(self, fix=0):
        """Look for damage. A dict of counts, and "problems": lines."""
        lines = []
        result = _abi.vm_blk_check_result(size=C.sizeof(_abi.vm_blk_check_result))
        problem = _abi.vm_blk_problem_fn(
            lambda _ud, line: lines.append(line.decode(errors="replace")))
        check(lib.vm_blk_check(self.handle, fix, C.byref(result), problem, None))
        found = {n: getattr(result, n) for n, _ in result._fields_ if n not in ("size", "reserved")}
        found["problems"] = lines
        return found

    def partitions(self):
        """Rows as dicts: index, off, len, bootable, scheme, type, label, uuid."""
        rows = []

        def row(_ud, raw):
            r = raw.contents
            rows.append({"index": r.index, "off": r.off, "len": r.len, "bootable": bool(r.bootable),
                         "scheme": r.scheme.decode(), "type": r.type.decode(),
                         "label": r.label.decode(errors="replace"), "uuid": r.uuid.decode()})
            return 0

        check(lib.vm_part_list(self.handle, _abi.vm_part_fn(row), None))
        return rows

    def partition(self, index, **flags):
        """A partition as a Disk of its own."""
        return self._of(lib.vm_part_open(self.handle, index, self._bits(flags)))

    def volumes(self):
        """LVM2: (name, bytes) of what the group of this physical volume has; bytes None: of a kind
        that cannot be opened."""
        rows = []

        def row(_ud, name, size):
            rows.append((name.decode(errors="replace"), None if size == (1 << 64) - 1 else size))
            return 0

        check(lib.vm_volume_list(self.handle, _abi.vm_volume_fn(row), None))
        return rows

    @classmethod
    def volume(cls, disks, name, **flags):
        """LVM2: a logical volume over its physical volumes."""
        handles = (C.c_void_p * len(disks))(*(d.handle for d in disks))
        return cls._of(lib.vm_volume_open(handles, len(disks), name.encode(), cls._bits(flags)))

    def compare(self, other):
        """None if the contents are equal, else the first offset that differs."""
        at = C.c_uint64()
        return at.value if check(lib.vm_blk_compare(self.handle, other.handle, C.byref(at))) == 1 else None

    def convert_to(self, other, compress=False, target_is_zero=False, width=0):
        """Copy into another image, which must be large enough. @return a Job"""
        o = _abi.vm_convert_options(size=C.sizeof(_abi.vm_convert_options), width=width)
        o.flags = ((_abi.VM_CONVERT_COMPRESS if compress else 0) |
                   (_abi.VM_CONVERT_TARGET_IS_ZERO if target_is_zero else 0))
        return Job(lib.vm_blk_convert(self.handle, other.handle, C.byref(o)))

    def commit(self, keep=False):
        """Write down into the backing file. @return a Job"""
        return Job(lib.vm_blk_commit(self.handle, int(keep)))

    def rebase(self, name, format=None, only_name=False):
        """Another backing file; None for none. @return a Job"""
        return Job(lib.vm_blk_rebase(self.handle, str(name).encode() if name is not None else None,
                                     format.encode() if format else None, int(only_name)))

    def stream(self):
        """Copy up all that comes from backing files, and drop them. @return a Job"""
        return Job(lib.vm_blk_stream(self.handle))

    def snapshot(self, what, name):
        """ "create", "apply", "delete" or "load" an internal snapshot."""
        check(lib.vm_blk_snapshot(self.handle, what.encode(), name.encode()))
