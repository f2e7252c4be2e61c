#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write bindings/python/libvm/_abi.py from the public headers.

usage: gen_ctypes.py OUT.py HEADER...          write
       gen_ctypes.py --check OUT.py HEADER...  fail if OUT.py is not what would be written

The headers keep to a form that makes this simple: no varargs, no structs by value, one VM_API per
function, enums and structs without macros (see doc/internals). Anything else is an error.
"""
import re
import sys

SCALARS = {"void": "None", "int": "C.c_int", "int32_t": "C.c_int32", "uint32_t": "C.c_uint32",
           "int64_t": "C.c_int64", "uint64_t": "C.c_uint64", "uint16_t": "C.c_uint16",
           "uint8_t": "C.c_uint8", "size_t": "C.c_size_t", "char": "C.c_char"}


class Bad(Exception):
    pass


def strip(text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"//[^\n]*", " ", text)
    text = re.sub(r"^\s*#[^\n]*(\\\n[^\n]*)*$", " ", text, flags=re.M)
    return re.sub(r'extern "C" \{', " ", text)


def split_args(text):
    depth, part, parts = 0, "", []
    for ch in text:
        depth += (ch in "([") - (ch in ")]")
        if ch == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += ch
    parts.append(part)
    return [p.strip() for p in parts if p.strip()]


class Reader:
    def __init__(self):
        self.consts, self.structs, self.callbacks, self.functions = [], [], [], []
        self.names = set()

    def ctype(self, text):
        """C type without a name -> ctypes expression."""
        text = re.sub(r"\b(const|struct)\b", " ", text)
        stars = text.count("*")
        base = text.replace("*", " ").split()
        if len(base) != 1:
            raise Bad(f"cannot read the type '{text}'")
        base = base[0]
        if stars == 0:
            if base in SCALARS:
                return SCALARS[base]
            if base in self.names:
                return base
            raise Bad(f"unknown type '{base}'")
        if base == "char" and stars == 1:
            return "C.c_char_p"
        inner = "C.c_void_p"
        if base in SCALARS and base not in ("void", "char"):
            inner = f"C.POINTER({SCALARS[base]})"
        elif any(base == s[0] for s in self.structs):
            inner = f"C.POINTER({base})"
        for _ in range(stars - 1):
            inner = f"C.POINTER({inner})"
        return inner

    def param(self, text):
        m = re.fullmatch(r"(.*?)\(\s*\*\s*\w*\s*\)\s*\((.*)\)", text, flags=re.S)
        if m:
            return self.callback(m.group(1), m.group(2))
        m = re.fullmatch(r"(.*?[\s*])(\w+)?", text, flags=re.S)
        words = re.sub(r"\b(const|struct)\b", " ", text).replace("*", " ").split()
        if len(words) == 1:
            return self.ctype(text)
        return self.ctype(m.group(1))

    def callback(self, ret, args):
        a = [] if args.strip() == "void" else [self.param(p) for p in split_args(args)]
        # Pointers reach a Python callback as plain addresses; text too, since it may not be text.
        return "C.CFUNCTYPE(" + ", ".join([self.ctype(ret)] + a) + ")"

    def read(self, text):
        text = strip(text)
        for m in re.finditer(r"enum\s*\w*\s*\{(.*?)\}\s*;", text, flags=re.S):
            self.enum(m.group(1))
        text = re.sub(r"enum\s*\w*\s*\{.*?\}\s*;", " ", text, flags=re.S)
        pos = 0
        pattern = re.compile(
            r"typedef\s+struct\s+(?P<s>\w+)\s*\{(?P<body>.*?)\}\s*\w+\s*;"
            r"|typedef\s+struct\s+\w+\s+(?P<opaque>\w+)\s*;"
            r"|typedef\s+(?P<cret>[\w\s*]+?)\(\s*\*\s*(?P<cname>\w+)\s*\)\s*\((?P<cargs>.*?)\)\s*;"
            r"|VM_API\s+(?P<fret>[\w\s*]+?[\s*])(?P<fname>vm_\w+)\s*\((?P<fargs>[^;]*)\)\s*;",
            flags=re.S)
        for m in pattern.finditer(text, pos):
            if m.group("s"):
                self.struct(m.group("s"), m.group("body"))
            elif m.group("cname"):
                self.callbacks.append((m.group("cname"), self.callback(m.group("cret"),
                                                                       m.group("cargs"))))
                self.names.add(m.group("cname"))
                self.order.append(("callback", self.callbacks[-1]))
            elif m.group("fname"):
                args = m.group("fargs").strip()
                a = [] if args == "void" else [self.param(p) for p in split_args(args)]
                self.functions.append((m.group("fname"), self.ctype(m.group("fret")), a))

    order = None

    def enum(self, body):
        value = -1
        for item in body.split(","):
            item = item.strip()
            if not item:
                continue
            name, _, expr = item.partition("=")
            value = eval(expr, {}, dict(self.consts)) if expr.strip() else value + 1
            self.consts.append((name.strip(), value))

    def struct(self, name, body):
        fields = []
        for line in body.split(";"):
            line = line.strip()
            if not line:
                continue
            m = re.fullmatch(r"(.*?)\(\s*\*\s*(\w+)\s*\)\s*\((.*)\)", line, flags=re.S)
            if m:
                fields.append((m.group(2), self.callback(m.group(1), m.group(3))))
                continue
            m = re.fullmatch(r"(.*?)(\w+)\[(\d+)\]", line, flags=re.S)
            if m:
                fields.append((m.group(2), f"{self.ctype(m.group(1))} * {m.group(3)}"))
                continue
            first, *rest = split_args(line)
            m = re.fullmatch(r"(.*?[\s*])(\w+)", first, flags=re.S)
            t = self.ctype(m.group(1))
            for n in [m.group(2)] + rest:
                fields.append((n, t))
        self.structs.append((name, fields))
        self.names.add(name)
        self.order.append(("struct", self.structs[-1]))

    def write(self):
        out = ['"""The C interface, as ctypes sees it. Written by tools/gen_ctypes.py; do not edit."""',
               "# SPDX-License-Identifier: MIT", "import ctypes as C", ""]
        for n, v in self.consts:
            out.append(f"{n} = {v:#x}" if v > 9 else f"{n} = {v}")
        for kind, item in self.order:
            if kind == "callback":
                out.append(f"\n{item[0]} = {item[1]}")
                continue
            out += ["", "", f"class {item[0]}(C.Structure):", "    _fields_ = ["]
            out += [f'        ("{n}", {t}),' for n, t in item[1]]
            out.append("    ]")
        out += ["", "", "FUNCTIONS = {"]
        for n, r, a in sorted(self.functions):
            out.append(f'    "{n}": ({r}, [{", ".join(a)}]),')
        out += ["}", ""]
        return "\n".join(out)


def main():
    args = sys.argv[1:]
    check = args[:1] == ["--check"]
    args = args[check:]
    if len(args) < 2:
        sys.exit(__doc__)
    r = Reader()
    r.order = []
    # Basic headers first: others use their types.
    first = ["version.h", "error.h", "log.h", "config.h", "machine.h"]
    headers = sorted(args[1:], key=lambda p: (first + [p.split("/")[-1]]).index(p.split("/")[-1]))
    for h in headers:
        try:
            r.read(open(h).read())
        except Bad as e:
            sys.exit(f"{h}: {e}")
    text = r.write()
    if check:
        if open(args[0]).read() != text:
            sys.exit(f"{args[0]} is stale: run tools/gen_ctypes.py {args[0]} include/libvm/*.h")
    else:
        open(args[0], "w").write(text)


main()
