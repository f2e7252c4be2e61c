# SPDX-License-Identifier: MIT
"""Looking at a machine's screen, and its keyboard."""
import ctypes as C
import struct
import zlib

from . import _abi
from ._lib import Error, check, lib

# Key names as QEMU's sendkey spells them -> USB HID usages of page 7.
KEYS = {c: 0x04 + n for n, c in enumerate("abcdefghijklmnopqrstuvwxyz")}
KEYS.update({c: 0x1E + n for n, c in enumerate("1234567890")})
KEYS.update({f"f{n}": 0x39 + n for n in range(1, 13)})
KEYS.update({
    "ret": 0x28, "esc": 0x29, "backspace": 0x2A, "tab": 0x2B, "spc": 0x2C, "minus": 0x2D,
    "equal": 0x2E, "bracket_left": 0x2F, "bracket_right": 0x30, "backslash": 0x31,
    "semicolon": 0x33, "apostrophe": 0x34, "grave_accent": 0x35, "comma": 0x36, "dot": 0x37,
    "slash": 0x38, "caps_lock": 0x39, "print": 0x46, "sysrq": 0x46, "scroll_lock": 0x47,
    "pause": 0x48, "insert": 0x49, "home": 0x4A, "pgup": 0x4B, "delete": 0x4C, "end": 0x4D,
    "pgdn": 0x4E, "right": 0x4F, "left": 0x50, "down": 0x51, "up": 0x52, "num_lock": 0x53,
    "less": 0x64, "menu": 0x65, "ctrl": 0xE0, "shift": 0xE1, "alt": 0xE2, "meta_l": 0xE3,
    "ctrl_r": 0xE4, "shift_r": 0xE5, "altgr": 0xE6, "alt_r": 0xE6, "meta_r": 0xE7,
})


class Screenshot:
    """A picture: .width, .height, and .pixels, four bytes each: blue, green, red, 0."""

    def __init__(self, width, height, pixels):
        self.width, self.height, self.pixels = width, height, pixels

    def pixel(self, x, y):
        """(red, green, blue) at a place."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise IndexError(f"{x},{y} is outside of {self.width}x{self.height}")
        b, g, r = self.pixels[4 * (y * self.width + x):][:3]
        return r, g, b

    def rgb(self):
        """The pixels as red, green, blue, three bytes each."""
        out = bytearray(3 * self.width * self.height)
        for channel in range(3):
            out[channel::3] = self.pixels[2 - channel::4]
        return bytes(out)

    def png(self):
        """The picture as a PNG file."""
        rgb, row = self.rgb(), 3 * self.width
        lines = b"".join(b"\0" + rgb[y * row:(y + 1) * row] for y in range(self.height))
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        out = b"\x89PNG\r\n\x1a\n"
        for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")):
            out += struct.pack(">I", len(data)) + kind + data
            out += struct.pack(">I", zlib.crc32(kind + data))
        return out

    def save(self, path):
        """Write a PNG file."""
        with open(path, "wb") as f:
            f.write(self.png())


class Screen:
    """A machine's share of display and keyboard; Machine inherits it."""

    def screenshot(self, head=0):
        """The screen as a Screenshot. Error when there is none, or it is switched off."""
        n, width, height = C.c_size_t(), C.c_uint32(), C.c_uint32()
        with self.guard() as h:
            check(lib.vm_display_grab(h, head, None, C.byref(n), C.byref(width), C.byref(height)))
            while True:  # it may change its size in between
                buf = C.create_string_buffer(n.value)
                st = lib.vm_display_grab(h, head, buf, C.byref(n), C.byref(width), C.byref(height))
                if st != _abi.VM_E_RANGE:
                    break
        check(st)
        return Screenshot(width.value, height.value, buf.raw[:n.value])

    def screen_text(self, head=0):
        """What a text screen shows, a line a row; None when it shows graphics."""
        n = C.c_size_t()
        with self.guard() as h:
            st = lib.vm_display_text(h, head, None, C.byref(n))
            while st >= 0:
                buf = C.create_string_buffer(n.value)
                st = lib.vm_display_text(h, head, buf, C.byref(n))
                if st >= 0:
                    return buf.value.decode()
                if st == _abi.VM_E_RANGE:
                    st = 0
        if st == _abi.VM_E_STATE:
            return None
        return check(st)

    def type_text(self, text):
        """Type on a US keyboard, while the machine runs; returns at once."""
        with self.guard() as h:
            check(lib.vm_input_text(h, text.encode()))

    def send_key(self, keys):
        """Press keys together and release them: "a", "ret", "ctrl-alt-delete"."""
        names = keys.split("-")
        unknown = [k for k in names if k not in KEYS]
        if unknown:
            raise Error(f"no key is called '{unknown[0]}'")
        with self.guard() as h:
            for k in names:
                check(lib.vm_input_key(h, KEYS[k], 1))
            for k in reversed(names):
                check(lib.vm_input_key(h, KEYS[k], 0))
