#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turn lib/cpu/x86/insn/*.def into C tables.

usage: gen_insn.py table OUT.c  FILE.def...     rows and decoder look-up tables
       gen_insn.py bind  OUT.inc FILE.def...    interpreter binding: row -> handler functions
       gen_insn.py list  OUT.txt FILE.def...    one line a row, for people

The grammar is described in lib/cpu/x86/insn/README.md. Every mistake is reported with file and
line, and ends the build.
"""
import re
import sys

PP = {"NP": 0, "66": 1, "F3": 2, "F2": 3}
MAPS = {"": 0, "0F": 1, "0F38": 2, "0F3A": 3}
SIZES = {"": "NONE", "b": "B", "w": "W", "d": "D", "q": "Q", "v": "V", "z": "Z", "y": "Y", "o": "O",
         "x": "X", "qq": "QQ", "t": "T", "p": "P", "s": "S", "h": "H", "f": "F", "e": "E", "a": "A",
         "n": "N"}
# letter -> (class, where)
KINDS = {"E": ("GPR", "RM"), "G": ("GPR", "REG"), "M": ("MEM", "RM"), "R": ("GPR", "RM"),
         "Z": ("GPR", "OPCODE"), "B": ("GPR", "VVVV"), "I": ("IMM", "IMM"), "J": ("REL", "IMM"),
         "A": ("FAR", "IMM"), "O": ("GPR", "MOFFS"), "S": ("SEG", "REG"), "C": ("CR", "REG"),
         "D": ("DR", "REG"), "X": ("MEM", "SI"), "Y": ("MEM", "DI"), "P": ("MMX", "REG"),
         "Q": ("MMX", "RM"), "N": ("MMX", "RM"), "V": ("VEC", "REG"), "W": ("VEC", "RM"),
         "U": ("VEC", "RM"), "H": ("VEC", "VVVV"), "L": ("VEC", "IS4"), "T": ("ST", "RM")}
FIXED = {"AL": (0, "B"), "CL": (1, "B"), "AH": (4, "B"), "AX": (0, "W"), "DX": (2, "W"),
         "EAX": (0, "D"), "ECX": (1, "D"), "rAX": (0, "V"), "rCX": (1, "V"), "rDX": (2, "V"),
         "rBX": (3, "V"), "yAX": (0, "Y"), "yDX": (2, "Y")}
FSEG = {"ES": 0, "CS": 1, "SS": 2, "DS": 3, "FS": 4, "GS": 5}
FLAG = {"c": 1, "p": 2, "a": 4, "z": 8, "s": 16, "o": 32}
ATTRS = ("lock no64 only64 d64 f64 branch end rep cpl0 io align varies x87 nowait mmx sse avx prot "
         "vsib fp fallnp nouser byte w64").split()
JITS = {"call": 0, "native": 1, "jbranch": 2, "special": 3}


class Bad(Exception):
    pass


class Row:
    pass


def parse_encoding(text):
    r = Row()
    r.enc, r.pp, r.mod, r.ext, r.rm, r.w, r.l, r.plus, r.rexb = 0, 4, 0, -1, -1, -1, -1, False, -1
    r.mod_ignored = False
    body, *cons = text.split(":")
    for c in cons:
        if c == "m":
            r.mod = 2
        elif c in ("r", "i"):
            r.mod, r.mod_ignored = 3, c == "i"
        elif c in ("w0", "w1"):
            r.w = int(c[1])
        elif c in ("b0", "b1"):
            r.rexb = int(c[1])
        else:
            raise Bad(f"unknown constraint ':{c}'")
    m = re.fullmatch(r"(.*?)(/r|/[0-7]|=[0-9A-F]{2}|\+r|)", body)
    body, tail = m.group(1), m.group(2)
    if tail.startswith("/"):
        r.mod = r.mod or 1
        if tail != "/r":
            r.ext = int(tail[1])
    elif tail.startswith("="):
        b = int(tail[1:], 16)
        if b < 0xC0:
            raise Bad("an exact ModRM byte has mod 3")
        r.mod, r.ext, r.rm = 3, (b >> 3) & 7, b & 7
    elif tail == "+r":
        r.plus = True
    parts = body.split(".")
    if parts[0] == "VEX":
        r.enc, r.pp = 1, 0
        parts.pop(0)
        if parts[0] in ("128", "256", "LIG", "LZ", "L0", "L1"):
            r.l = {"128": 0, "256": 1, "LIG": -1, "LZ": 0, "L0": 0, "L1": 1}[parts.pop(0)]
    if parts[0] in PP and len(parts) > 1:
        r.pp = PP[parts.pop(0)]
    mp = ""
    if parts[0] in ("0F", "0F38", "0F3A") and len(parts) > 1:
        mp = parts.pop(0)
    r.map = MAPS[mp]
    if parts[0] in ("W0", "W1", "WIG"):
        r.w = {"W0": 0, "W1": 1, "WIG": -1}[parts.pop(0)]
    if len(parts) != 1 or not re.fullmatch(r"[0-9A-F]{2}", parts[0]):
        raise Bad(f"cannot read the opcode in '{text}'")
    r.opcode = int(parts[0], 16)
    return r


def parse_operand(text):
    acc = "R"
    if text[-1] in "+=~":
        acc = {"+": "R|W", "=": "W", "~": "0"}[text[-1]]
        text = text[:-1]
    accs = "|".join("X86_ACC_" + a for a in acc.split("|")) if acc != "0" else "0"
    if text in FIXED:
        n, sz = FIXED[text]
        return dict(cls="GPR", at="FIXED", size=sz, acc=accs, fixed=n, letter="r")
    if text in FSEG:
        return dict(cls="SEG", at="FIXED", size="W", acc=accs, fixed=FSEG[text], letter="s")
    if re.fullmatch(r"\d+", text):
        return dict(cls="IMM", at="FIXED", size="B", acc=accs, fixed=int(text), letter="i")
    if re.fullmatch(r"ST\d", text):
        return dict(cls="ST", at="FIXED", size="T", acc=accs, fixed=int(text[2]), letter="r")
    if re.fullmatch(r"XMM\d", text):
        return dict(cls="VEC", at="FIXED", size="O", acc=accs, fixed=int(text[3]), letter="r")
    k, sz = text[0], text[1:]
    if k not in KINDS or sz not in SIZES:
        raise Bad(f"unknown operand '{text}'")
    cls, at = KINDS[k]
    letter = {"E": "E", "W": "E", "Q": "E", "M": "E", "I": "i", "J": "i", "A": "i", "O": "o"}.get(k, "r")
    return dict(cls=cls, at=at, size=SIZES[sz], acc=accs, fixed=0, letter=letter, kind=k)


def imm_kind(r):
    kinds = []
    for o in r.ops:
        if o["at"] == "IMM" or o["at"] == "IS4":
            if o["cls"] == "FAR":
                kinds.append("FAR")
            elif o["at"] == "IS4":
                kinds.append("8")
            else:
                kinds.append({"B": "8", "W": "16", "Z": "Z", "V": "V", "D": "Z"}[o["size"]])
        elif o["at"] == "MOFFS":
            kinds.append("MOFFS")
    if not kinds:
        return "NONE"
    if kinds == ["16", "8"]:
        return "16_8"
    if len(kinds) == 2 and kinds == ["8", "8"]:
        return "8"
    if len(kinds) != 1:
        raise Bad("unsupported combination of immediates")
    return kinds[0]


def parse_flags(text):
    read = write = undef = 0
    if text != "-":
        for part in text.split(";"):
            k, v = part.split(":")
            mask = 0
            for ch in v:
                mask |= FLAG[ch]
            if k == "r":
                read |= mask
            elif k == "w":
                write |= mask
            elif k == "u":
                undef |= mask
                write |= mask
            else:
                raise Bad(f"unknown flag set '{k}'")
    return read, write, undef


def parse_line(line):
    f = line.split(None, 7)
    if len(f) < 7:
        raise Bad("a row has name, encoding, operands, flags, feature, attributes, handler, manual")
    name, enc, ops, flags, feat, attrs, handler = f[:7]
    r = parse_encoding(enc)
    r.name, r.form = name, enc
    r.manual = f[7].strip() if len(f) > 7 else ""
    r.ops = [] if ops == "-" else [parse_operand(o) for o in ops.split(",")]
    if len(r.ops) > 4:
        raise Bad("at most four operands")
    if r.mod == 0 and any(o["at"] in ("RM", "REG") for o in r.ops):
        raise Bad("an operand needs ModRM but the encoding has none")
    for o in r.ops:
        if o.get("kind") == "M" and r.mod == 1:
            r.mod = 2
        if o.get("kind") in ("R", "N", "U") and r.mod == 1:
            r.mod = 3
    r.f_read, r.f_write, r.f_undef = parse_flags(flags)
    r.feature = 0 if feat == "-" else "X86_FEAT_" + feat.upper()
    r.jit = "call"
    r.attrs = []
    for a in [] if attrs == "-" else attrs.split(","):
        if a in JITS:
            r.jit = a
        elif a in ATTRS:
            r.attrs.append(a)
        else:
            raise Bad(f"unknown attribute '{a}'")
    sizes = [o["size"] for o in r.ops if o["cls"] in ("GPR", "MEM") and o["at"] != "FIXED"
             or o["cls"] == "GPR"]
    r.byte = bool(r.ops) and r.ops[0]["cls"] in ("GPR", "MEM") and r.ops[0]["size"] == "B" \
        and not any(s in ("V", "Z", "Y") for s in sizes)
    if "byte" in r.attrs:
        r.byte = True
    if r.byte and "byte" not in r.attrs:
        r.attrs.append("byte")
    r.imm = imm_kind(r)
    h, _, shape = handler.partition(":")
    r.handler, r.shape = h, shape
    if set(shape) - set("wosl"):
        raise Bad(f"unknown handler shape '{shape}'")
    return r


def load(files):
    rows = []
    bad = False
    for fn in files:
        for n, line in enumerate(open(fn), 1):
            line = line.split("#", 1)[0].strip()
            if not line:
                continue
            try:
                r = parse_line(line)
                r.where = f"{fn}:{n}"
                r.theme = re.sub(r".*/|\.def$", "", fn)
                rows.append(r)
            except (Bad, KeyError, IndexError) as e:
                print(f"{fn}:{n}: {e!r}", file=sys.stderr)
                bad = True
    if bad:
        sys.exit(1)
    return rows


# Dimensions of a decoder cell, in the order of the index computation in decode.c.
DIMS = [("pp", 4), ("mod3", 2), ("reg", 8), ("rm", 8), ("w", 2), ("l", 2), ("m64", 2), ("rexb", 2)]


def row_constraints(r):
    c = {}
    if r.pp != 4:
        c["pp"] = [r.pp]
    if r.mod == 2:
        c["mod3"] = [0]
    if r.mod == 3 and not r.mod_ignored:
        c["mod3"] = [1]
    if r.ext >= 0:
        c["reg"] = [r.ext]
    if r.rm >= 0:
        c["rm"] = [r.rm]
    if r.w >= 0:
        c["w"] = [r.w]
    if r.l >= 0:
        c["l"] = [r.l]
    if "no64" in r.attrs:
        c["m64"] = [0]
    if "only64" in r.attrs:
        c["m64"] = [1]
    if r.rexb >= 0:
        c["rexb"] = [r.rexb]
    return c


def build_tables(rows):
    """-> (cells, {(enc, map): [(base, dims)] * 256})"""
    import itertools
    cells = [0xFFFF]
    tables = {}
    seen = {}
    by = {}
    for n, r in enumerate(rows):
        for op in range(r.opcode, r.opcode + (8 if r.plus else 1)):
            by.setdefault((r.enc, r.map, op), []).append(n)
    for key, ids in sorted(by.items()):
        enc, mp, op = key
        cons = {n: row_constraints(rows[n]) for n in ids}
        used = [d for d, _ in DIMS if any(d in cons[n] for n in ids)]
        sizes = dict(DIMS)
        cell = []
        for combo in itertools.product(*[range(sizes[d]) for d in used]):
            at = dict(zip(used, combo))
            best = []
            for n in ids:
                if all(at[d] in vals for d, vals in cons[n].items()):
                    best.append((len(cons[n]), n))
            best.sort(reverse=True)
            if len(best) > 1 and best[0][0] == best[1][0]:
                a, b = rows[best[0][1]], rows[best[1][1]]
                sys.exit(f"{a.where} and {b.where}: {a.form} and {b.form} overlap at {at}")
            cell.append(best[0][1] if best else 0xFFFF)
        mask = sum(1 << i for i, (d, _) in enumerate(DIMS) if d in used)
        has_modrm = any(rows[n].mod for n in ids)
        if has_modrm:
            mask |= 0x100
        t = tuple(cell)
        if t not in seen:
            seen[t] = len(cells)
            cells.extend(cell)
        tables.setdefault((enc, mp), {})[op] = (seen[t], mask)
    return cells, tables


def emit_table(rows, out):
    p = lambda *a: print(*a, file=out)
    p("/* Generated by tools/gen_insn.py from lib/cpu/x86/insn/. Do not edit. */")
    p('#include "cpu/x86/insn_table.h"\n')
    p(f"const uint16_t vm__x86_row_count = {len(rows)};")
    p("const struct x86_row vm__x86_rows[] = {")
    for r in rows:
        ops = ", ".join("{ X86_C_%s, X86_AT_%s, X86_SZ_%s, %s, %d }" %
                        (o["cls"], o["at"], o["size"], o["acc"], o["fixed"]) for o in r.ops)
        attr = " | ".join("X86_A_" + a.upper() for a in r.attrs) or "0"
        p('    { "%s", "%s", "%s", %d, %d, 0x%02x, %d, %d, %d, %d, %d, %d, X86_IMM_%s, %d, %d, { %s },'
          % (r.name, r.form, r.manual, r.enc, r.map, r.opcode, r.pp, r.mod, r.ext, r.rm, r.w, r.l,
             r.imm, len(r.ops), JITS[r.jit], ops or "{ 0, 0, 0, 0, 0 }"))
        p("      %d, %d, %d, %s, %s }," % (r.f_read, r.f_write, r.f_undef, r.feature, attr))
    p("};\n")
    cells, tables = build_tables(rows)
    p("const uint16_t vm__x86_cells[] = {")
    for i in range(0, len(cells), 16):
        p("    " + ", ".join(str(c) for c in cells[i:i + 16]) + ",")
    p("};\n")
    p("const struct x86_opcode vm__x86_opcodes[2][4][256] = {")
    for (enc, mp), t in sorted(tables.items()):
        p(f"    [{enc}][{mp}] = {{")
        for op, (base, mask) in sorted(t.items()):
            p(f"        [0x{op:02x}] = {{ {base}, 0x{mask:x} }},")
        p("    },")
    p("};")


def op_form(r, mem):
    s = ""
    for o in r.ops:
        s += ("m" if mem else "r") if o["letter"] == "E" else o["letter"]
    return s


def widths(r):
    """Suffix for each osz index 0..3 under shape 'w'."""
    if r.byte:
        return ["8"] * 4
    sz = {o["size"] for o in r.ops}
    if sz & {"V", "Z"}:
        return [None, "16", "32", "64"]
    if "Y" in sz:
        return [None, "32", "32", "64"]
    for s, w in (("W", "16"), ("D", "32"), ("Q", "64")):
        if r.ops and r.ops[0]["size"] == s:
            return [w] * 4
    return [None, "16", "32", "64"]


def names(r):
    """-> 4 x 4 function names: [osz or L][variant]; variants: register, memory flat, memory
    general, lock."""
    res = []
    has_mem = any(o["letter"] == "E" for o in r.ops) or any(o["letter"] == "o" for o in r.ops)
    for k in range(4):
        base = r.handler
        if "w" in r.shape:
            w = widths(r)[k]
            if w is None:
                res.append([None] * 4)
                continue
            base += w
        if "l" in r.shape:
            if k > 1:
                res.append([None] * 4)
                continue
            base += ["128", "256"][k]
        reg = mem = gen = base
        if "o" in r.shape:
            reg = base + "_" + op_form(r, False)
            mem = gen = base + "_" + op_form(r, True)
        if "s" in r.shape:
            gen = mem + "_g"
        lock = base + "_lk" if "lock" in r.attrs else None
        if r.mod == 3 or not has_mem and "s" not in r.shape:
            mem = gen = None if r.mod == 3 else reg
            gen = mem
        if r.mod == 2:
            reg = None
        if "s" in r.shape and not has_mem:
            reg = None  # a stack operation: only the flat and general forms
        res.append([reg, mem, gen, lock])
    return res


def emit_bind(rows, out):
    p = lambda *a: print(*a, file=out)
    p("/* Generated by tools/gen_insn.py from lib/cpu/x86/insn/. Do not edit. */")
    table = [names(r) for r in rows]
    fns = sorted({f for t in table for v in t for f in v if f})
    for f in fns:
        p(f"extern x86_fn vm__h_{f};")
    p("const struct x86_bind vm__interp_bind[] = {")
    for r, t in zip(rows, table):
        body = ", ".join("{ " + ", ".join("vm__h_" + f if f else "NULL" for f in v) + " }" for v in t)
        p(f"    {{ {{ {body} }}, {int('l' in r.shape)}, {int('s' in r.shape)} }}, /* {r.name} {r.form} */")
    p("};")


def emit_list(rows, out):
    for n, r in enumerate(rows):
        print(n, r.name, r.form, ",".join(o["cls"] + "@" + o["at"] for o in r.ops), r.handler,
              r.manual, sep="\t", file=out)


def main():
    if len(sys.argv) < 4 or sys.argv[1] not in ("table", "bind", "list"):
        sys.exit(__doc__)
    rows = load(sys.argv[3:])
    with open(sys.argv[2], "w") as out:
        {"table": emit_table, "bind": emit_bind, "list": emit_list}[sys.argv[1]](rows, out)


main()
