# SPDX-License-Identifier: MIT
"""A machine as a Python object."""
import contextlib
import ctypes as C
import json
import threading

from . import _abi
from ._lib import Error, check, check_ptr, fail, lib, listing
from .screen import Screen
from .stream import Stream

STATES = {_abi.VM_ST_BUILT: "built", _abi.VM_ST_RUNNING: "running", _abi.VM_ST_PAUSED: "paused",
          _abi.VM_ST_SHUTDOWN: "shutdown", _abi.VM_ST_CRASHED: "crashed"}
EXITS = {getattr(_abi, n): n[8:].lower() for n in dir(_abi) if n.startswith("VM_EXIT_")}


class Context:
    """The library's context: a log sink, and what machines are built from.

    log: called with (level, category, source, text) from library threads; None for silence.
    """

    def __init__(self, log=None, level=_abi.VM_LOG_WARN, categories=0):
        self._ops = _abi.vm_host_ops()
        self._ops.size = C.sizeof(self._ops)
        self._ops.log_level = level
        self._ops.log_categories = categories
        if log is not None:
            def sink(_ud, record):
                r = record.contents
                log(r.level, r.category, r.source.decode(errors="replace"),
                    r.text.decode(errors="replace"))
            self._ops.log = type(self._ops.log)(sink)
        self.handle = check_ptr(lib.vm_ctx_create(lib.vm_version(), C.byref(self._ops)))

    def close(self):
        """Drop the context; machines built from it keep what they need."""
        if self.handle:
            lib.vm_ctx_unref(self.handle)
            self.handle = None

    __del__ = close

    def list(self, what):
        """(name, summary) of "devices", "boards", "cpus", "engines" or "keys"."""
        return listing(lib.vm_list, self.handle, getattr(_abi, "VM_LIST_" + what.upper()))

    def props(self, device):
        """(name, summary) of a device class's properties."""
        return listing(lib.vm_list_props, self.handle, device.encode())


class Exit:
    """Why Machine.run() came back: .reason is a word ("budget", "shutdown", …)."""

    def __init__(self, raw):
        self.reason = EXITS.get(raw.reason, str(raw.reason))
        self.cpu, self.code, self.addr, self.icount = raw.cpu, raw.code, raw.addr, raw.icount
        self.text = raw.text.decode(errors="replace")

    def __repr__(self):
        return f"<Exit {self.reason} cpu={self.cpu} code={self.code} icount={self.icount}>"


class Registers:
    """A processor's registers by name: cpu.regs["rip"]. Integers; stopped machine only."""

    def __init__(self, cpu):
        self._cpu = cpu
        self._size = {}

    def _id(self, name):
        return check(lib.vm_cpu_reg_id(self._cpu.machine.handle, name.encode()))

    def __getitem__(self, name):
        buf = C.create_string_buffer(64)
        check(lib.vm_cpu_reg_read(self._cpu.handle, self._id(name), buf, 64))
        return int.from_bytes(buf.raw, "little")

    def __setitem__(self, name, value):
        n = max(8, (value.bit_length() + 7) // 8)
        check(lib.vm_cpu_reg_write(self._cpu.handle, self._id(name), value.to_bytes(n, "little"), n))


class Cpu:
    """One processor of a machine."""

    def __init__(self, machine, index):
        self.machine, self.index = machine, index
        self.handle = check_ptr(lib.vm_cpu_get(machine.handle, index))
        self.regs = Registers(self)

    @property
    def insns(self):
        """Instructions executed so far."""
        return lib.vm_cpu_insns(self.handle)

    def read(self, gva, size):
        """Bytes at a guest-linear address, through the processor's page tables."""
        buf = C.create_string_buffer(size)
        check(lib.vm_vmem_read(self.handle, gva, buf, size))
        return buf.raw

    def translate(self, gva):
        """Guest-physical address of a guest-linear one."""
        gpa = C.c_uint64()
        check(lib.vm_cpu_translate(self.handle, gva, _abi.VM_ACCESS_READ, C.byref(gpa)))
        return gpa.value


class Machine(Screen):
    """A machine, built from configuration keys.

        with libvm.Machine({"memory.size": "256M", "boot.kernel": "bzImage"}) as m:
            serial = m.serial()
            m.start()
            serial.expect("login:")

    Nested dictionaries and dotted keys mean the same. Bad configuration raises Error here.
    """

    def __init__(self, options=None, board="pc", context=None, **more):
        self._context = context or Context()
        self.handle = None
        self._streams = {}
        self._commands = []  # callbacks that the library holds
        self._hooks = {}  # by number; kept after hook_del(): a processor may be inside
        self._hook_error = None
        self._listener = None
        self.events = []
        self._event_cond = threading.Condition()
        self._users = 0
        cfg = check_ptr(lib.vm_config_new(self._context.handle, board.encode()))
        try:
            for key, value in {**(options or {}), **more}.items():
                self._set(cfg, key, value)
            self.handle = check_ptr(lib.vm_machine_build(cfg))
        finally:
            lib.vm_config_free(cfg)
        self._listen()

    @staticmethod
    def _set(cfg, key, value):
        if isinstance(value, dict):
            check(lib.vm_config_set_json(cfg, json.dumps({key: value}).encode()))
        elif isinstance(value, bool):
            check(lib.vm_config_set_str(cfg, key.encode(), b"on" if value else b"off"))
        elif isinstance(value, int):
            check(lib.vm_config_set_u64(cfg, key.encode(), value))
        else:
            check(lib.vm_config_set_str(cfg, key.encode(), str(value).encode()))

    def _listen(self):
        kinds = {getattr(_abi, n): n[9:].lower() for n in dir(_abi) if n.startswith("VM_EVENT_")}

        def on_event(_ud, event):
            e = event.contents
            with self._event_cond:
                self.events.append((kinds.get(e.kind, e.kind), e.a, e.b,
                                    (e.text or b"").decode(errors="replace")))
                self._event_cond.notify_all()

        proto = _abi.FUNCTIONS["vm_machine_on_event"][1][2]
        self._listener = proto(on_event)
        check(lib.vm_machine_on_event(self.handle, 0xFFFFFFFF, self._listener, None,
                                      _abi.vm_free_fn()))

    @contextlib.contextmanager
    def guard(self):
        """Use of the handle; an error once the machine is closed."""
        if not self.handle:
            raise Error("the machine is closed", _abi.VM_E_STATE)
        yield self.handle

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """Stop and destroy; the object is of no more use except for its logs."""
        if self.handle:
            handle, self.handle = self.handle, None
            lib.vm_machine_destroy(handle)

    def __del__(self):
        self.close()

    def start(self):
        """Run on library threads."""
        with self.guard() as h:
            check(lib.vm_machine_start(h))

    def pause(self):
        """Stop running; when it returns no processor moves."""
        with self.guard() as h:
            check(lib.vm_machine_pause(h))

    def resume(self):
        """Go on after pause()."""
        with self.guard() as h:
            check(lib.vm_machine_resume(h))

    def reset(self, warm=False):
        """Press the reset button."""
        with self.guard() as h:
            check(lib.vm_machine_reset(h, _abi.VM_RESET_WARM if warm else _abi.VM_RESET_COLD))

    def power_button(self):
        """Ask the guest to power off."""
        with self.guard() as h:
            check(lib.vm_machine_power_button(h))

    @property
    def engine(self):
        """What runs guest code: "jit", "interp". Setting it changes it, also while it runs."""
        with self.guard() as h:
            return (lib.vm_machine_engine(h) or b"").decode()

    @engine.setter
    def engine(self, name):
        with self.guard() as h:
            check(lib.vm_machine_set_engine(h, name.encode()))

    @property
    def state(self):
        """ "built", "running", "paused", "shutdown" or "crashed". """
        with self.guard() as h:
            return STATES[lib.vm_machine_state(h)]

    def stopped(self):
        """It has shut down, crashed or been closed."""
        return not self.handle or lib.vm_machine_state(self.handle) & (
            _abi.VM_ST_SHUTDOWN | _abi.VM_ST_CRASHED) != 0

    def wait(self, states=("shutdown", "crashed"), timeout=60.0):
        """Wait until the machine is in one of the states; returns it. Error on timeout."""
        mask = sum(bit for bit, name in STATES.items() if name in states)
        out = C.c_int()
        with self.guard() as h:
            check(lib.vm_machine_wait(h, mask, int(timeout * 1e9), C.byref(out)))
        return STATES[out.value]

    def wait_event(self, kind, timeout=60.0):
        """Wait for an event of a kind ("reset", "shutdown", …) and take it off the list."""
        with self._event_cond:
            if not self._event_cond.wait_for(lambda: any(e[0] == kind for e in self.events),
                                             timeout):
                raise Error(f"no '{kind}' event within {timeout} s", _abi.VM_E_TIMEOUT)
            k = next(n for n, e in enumerate(self.events) if e[0] == kind)
            return self.events.pop(k)

    def run(self, max_insns=0, timeout=-1.0):
        """Run on this thread: until so many instructions, so many seconds, or an exit."""
        out = _abi.vm_exit()
        out.size = C.sizeof(out)
        ns = -1 if timeout < 0 else int(timeout * 1e9)
        with self.guard() as h:
            status = lib.vm_run(h, max_insns, ns, C.byref(out))
        if status == _abi.VM_E_CALLBACK and self._hook_error is not None:
            error, self._hook_error = self._hook_error, None
            raise error
        check(status)
        return Exit(out)

    def serial(self, channel="serial0"):
        """The channel's stream; attached at the first call."""
        if channel not in self._streams:
            with self.guard():
                self._streams[channel] = Stream(self, channel)
        return self._streams[channel]

    @property
    def cpus(self):
        """The processors."""
        with self.guard() as h:
            return [Cpu(self, k) for k in range(lib.vm_cpu_count(h))]

    def read(self, gpa, size):
        """Bytes of guest-physical memory."""
        buf = C.create_string_buffer(size)
        with self.guard() as h:
            check(lib.vm_mem_read(h, gpa, buf, size))
        return buf.raw

    def write(self, gpa, data):
        """Write guest-physical RAM."""
        with self.guard() as h:
            check(lib.vm_mem_write(h, gpa, bytes(data), len(data)))

    def save(self):
        """The whole state, as bytes; built, paused or shut down machines only."""
        data, n = C.c_void_p(), C.c_size_t()
        with self.guard() as h:
            check(lib.vm_machine_save(h, C.byref(data), C.byref(n)))
        try:
            return C.string_at(data, n.value)
        finally:
            lib.vm_buffer_free(data)

    def load(self, data):
        """Load what save() gave, here or in a machine of the same configuration."""
        with self.guard() as h:
            check(lib.vm_machine_load(h, bytes(data), len(data)))

    def monitor(self, line):
        """What the monitor answers to a command, as text: monitor("info registers").

        Error if it does not know the command or cannot do it. See vm_monitor() of libvm/monitor.h.
        """
        text = bytearray()
        out = _abi.vm_text_fn(lambda _ud, data, n: text.extend(data[:n]))
        with self.guard() as h:
            check(lib.vm_monitor(h, line.encode(), out, None))
        return text.decode(errors="replace")

    def monitor_add(self, name, call, args=None, help=""):
        """Add a command to the monitor: call(arguments) gives its text, or raises what failed."""
        def run(_ud, arguments, out, out_ud):
            status = _abi.VM_OK
            try:
                data = (call(arguments.decode(errors="replace")) or "").encode()
            except Exception as e:  # whatever it is, it must not pass through C
                data, status = str(e).encode(), getattr(e, "code", _abi.VM_E_CALLBACK)
            out(out_ud, data, len(data))
            return status

        fn = _abi.vm_monitor_fn(run)
        self._commands.append(fn)
        with self.guard() as h:
            check(lib.vm_monitor_add(h, name.encode(), args.encode() if args else None,
                                     help.encode(), fn, None, _abi.vm_free_fn()))

    def monitor_complete(self, line):
        """What the last word of a line could be."""
        with self.guard() as h:
            return [name for name, _ in listing(lib.vm_monitor_complete, h, line.encode())]

    def hook_add(self, kinds, call, first=0, last=2**64 - 1):
        """Call call(cpu, event) for events of kinds ("insn", "block", "mem_read", "mem_write",
        "port_read", "port_write", "port_value", "intr") whose address lies from first to last.
        Returns the hook's number, for hook_del().

        The event has kind, pc, addr, width, value and aux; value may be set. call returns None or
        "go", "handled" or "stop" (see libvm/hook.h). What it raises pauses the machine with an error;
        run() then raises it.
        """
        mask = 0
        for kind in kinds.split() if isinstance(kinds, str) else kinds:
            mask |= getattr(_abi, "VM_HOOK_" + kind.upper())
        cpus = self.cpus

        def on_event(_ud, _cpu, event):
            e = event.contents
            try:
                answer = call(cpus[e.cpu], e)
                return _abi.VM_HOOK_GO if answer is None else getattr(_abi, "VM_HOOK_" + answer.upper())
            except BaseException as error:  # whatever it is, it must not pass through C
                self._hook_error = error
                return _abi.VM_E_CALLBACK

        fn = _abi.vm_hook_fn(on_event)
        with self.guard() as h:
            number = check(lib.vm_hook_add(h, mask, first, last, fn, None, _abi.vm_free_fn()))
        self._hooks[number] = fn
        return number

    def lockstep(self, other, insns=0, step=0):
        """Run this machine and another of the same configuration but for "engine" side by side until
        they differ (raises Error, with the report as its text), end, or have run insns instructions.
        See libvm/lockstep.h for what they need."""
        report = []

        def progress(_ud, _insns, text):
            if text is not None:
                report.append(text.decode(errors="replace"))
            return 0

        fn = _abi.vm_lockstep_fn(progress)
        with self.guard() as h, other.guard() as o:
            status = lib.vm_lockstep(h, o, insns, step, fn, None)
        if report:
            raise Error(report[0], status)
        check(status)

    def hook_del(self, number):
        """Remove a hook; it may be inside itself, or run on other processors a moment longer."""
        with self.guard() as h:
            check(lib.vm_hook_del(h, number))

    def devices(self):
        """(id, class) of every device."""
        with self.guard() as h:
            return listing(lib.vm_dev_list, h)

    def plug(self, device):
        """Plug a PCI device, like "pci-testdev,id=t0", into the machine, running or not."""
        with self.guard() as h:
            check(lib.vm_dev_add(h, device.encode()))

    def unplug(self, device):
        """Ask the guest to let go of a device; the event "unplugged" says when it is gone."""
        with self.guard() as h:
            check(lib.vm_dev_del(h, device.encode()))

    def device_fields(self, device):
        """(field, value as text) of a device's guest-visible state."""
        with self.guard() as h:
            dev = lib.vm_dev_find(h, device.encode())
            if not dev:
                fail()
            return listing(lib.vm_dev_fields, dev)

    @property
    def clock_ns(self):
        """The machine's clock in nanoseconds."""
        with self.guard() as h:
            return lib.vm_clock_ns(h)
