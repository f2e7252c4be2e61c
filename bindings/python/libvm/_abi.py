"""The C interface, as ctypes sees it. Written by tools/gen_ctypes.py; do not edit."""
# SPDX-License-Identifier: MIT
import ctypes as C

VM_OK = 0
VM_E_INVAL = -1
VM_E_NOMEM = -2
VM_E_STATE = -3
VM_E_NOTSUP = -4
VM_E_NOENT = -5
VM_E_BUSY = -6
VM_E_IO = -7
VM_E_RANGE = -8
VM_E_PERM = -9
VM_E_GUEST = -10
VM_E_CANCELED = -11
VM_E_CORRUPT = -12
VM_E_CALLBACK = -13
VM_E_TIMEOUT = -14
VM_E_VERSION = -15
VM_E_AGAIN = -16
VM_E_NOSPC = -17
VM_LOG_ERROR = 0
VM_LOG_WARN = 1
VM_LOG_INFO = 2
VM_LOG_DEBUG = 3
VM_LOG_GENERAL = 1
VM_LOG_GUEST = 2
VM_LOG_UNIMP = 4
VM_LOG_PERF = 8
VM_LOG_BLK = 0x10
VM_LOG_IRQ = 0x20
VM_LOG_CPU = 0x40
VM_LOG_JIT = 0x80
VM_LOG_IO = 0x100
VM_LOG_INT = 0x200
VM_LOG_EXEC = 0x400
VM_LOG_ASM = 0x800
VM_WHY_USER = 0
VM_WHY_BACKING = 1
VM_WHY_EXTENT = 2
VM_WHY_CREATE = 3
VM_LIST_DEVICES = 0
VM_LIST_BOARDS = 1
VM_LIST_CPUS = 2
VM_LIST_ENGINES = 3
VM_LIST_KEYS = 4
VM_LIST_NETS = 5
VM_ST_BUILT = 1
VM_ST_RUNNING = 2
VM_ST_PAUSED = 4
VM_ST_SHUTDOWN = 8
VM_ST_CRASHED = 0x10
VM_RESET_COLD = 0
VM_RESET_WARM = 1
VM_EVENT_STARTED = 1
VM_EVENT_PAUSED = 2
VM_EVENT_RESET = 4
VM_EVENT_SHUTDOWN = 8
VM_EVENT_CRASHED = 0x10
VM_EVENT_GUEST = 0x20
VM_EVENT_DEBUG = 0x40
VM_EVENT_DISK = 0x100
VM_EVENT_UNPLUGGED = 0x200
VM_EXIT_NONE = 0
VM_EXIT_BUDGET = 1
VM_EXIT_TIMEOUT = 2
VM_EXIT_STOPPED = 3
VM_EXIT_HALTED = 4
VM_EXIT_SHUTDOWN = 5
VM_EXIT_DEBUG = 6
VM_EXIT_ERROR = 7
VM_EXIT_KICKED = 8
VM_BLK_RO = 1
VM_BLK_PROBE = 2
VM_BLK_NOBACKING = 4
VM_BLK_UNSAFE = 8
VM_BLK_DIRECT = 0x10
VM_BLK_SHARE = 0x20
VM_BLK_CHECK = 0x40
VM_BLK_WRITETHROUGH = 0x80
VM_BLK_UNMAP = 0x100
VM_BLK_NO_IO = 0x200
VM_BLK_AUTO_RO = 0x400
VM_BLK_SHARE_RW = 0x1000
VM_BLK_FUA = 2
VM_BLK_MAY_UNMAP = 4
VM_BLK_NO_FALLBACK = 8
VM_BLK_COMPRESSED = 0x10
VM_CAN_PROTOCOL = 1
VM_CAN_FILTER = 2
VM_CAN_WRITE = 4
VM_CAN_CREATE = 8
VM_CAN_RESIZE = 0x10
VM_CAN_BACKING_FILE = 0x20
VM_CAN_COMPRESSED = 0x40
VM_CAN_CHECK = 0x80
VM_CAN_MEASURE = 0x100
VM_CAN_SNAPSHOTS = 0x200
VM_CAN_BITMAPS = 0x400
VM_CAN_AMEND = 0x800
VM_CAN_REBASE = 0x1000
VM_OPTION_TEXT = 0
VM_OPTION_BOOL = 1
VM_OPTION_NUMBER = 2
VM_OPTION_SIZE = 3
VM_OPTION_CHOICE = 4
VM_BLK_READ = 0
VM_BLK_WRITE = 1
VM_BLK_FLUSH = 2
VM_BLK_DISCARD = 3
VM_BLK_ZERO = 4
VM_MAP_DATA = 1
VM_MAP_ZERO = 2
VM_MAP_ALLOCATED = 4
VM_MAP_OFFSET = 8
VM_MAP_COMPRESSED = 0x10
VM_BLK_FIX_LEAKS = 1
VM_BLK_FIX_ERRORS = 2
VM_COMPARE_EQUAL = 0
VM_COMPARE_DATA = 1
VM_COMPARE_SIZE = 2
VM_COMPARE_STATUS = 3
VM_CONVERT_COMPRESS = 1
VM_CONVERT_TARGET_IS_ZERO = 2
VM_CONVERT_COPY_RANGE = 4
VM_CONVERT_SALVAGE = 8
VM_CONVERT_IN_ORDER = 0x10
VM_CONVERT_FULL = 0x20
VM_CONVERT_NEW = 0x80
VM_CONVERT_OWN = 0x40
VM_MIRROR_SWITCH = 1
VM_MIRROR_TOP = 2
VM_BACKUP_FULL = 0
VM_BACKUP_TOP = 1
VM_BACKUP_NONE = 2
VM_X86_RAX = 0
VM_X86_RCX = 1
VM_X86_RDX = 2
VM_X86_RBX = 3
VM_X86_RSP = 4
VM_X86_RBP = 5
VM_X86_RSI = 6
VM_X86_RDI = 7
VM_X86_R8 = 8
VM_X86_R9 = 9
VM_X86_R10 = 0xa
VM_X86_R11 = 0xb
VM_X86_R12 = 0xc
VM_X86_R13 = 0xd
VM_X86_R14 = 0xe
VM_X86_R15 = 0xf
VM_X86_RIP = 0x10
VM_X86_RFLAGS = 0x11
VM_X86_CPL = 0x12
VM_X86_ES = 0x20
VM_X86_CS = 0x21
VM_X86_SS = 0x22
VM_X86_DS = 0x23
VM_X86_FS = 0x24
VM_X86_GS = 0x25
VM_X86_LDTR = 0x26
VM_X86_TR = 0x27
VM_X86_SEG_BASE = 0x28
VM_X86_SEG_LIMIT = 0x30
VM_X86_SEG_ACCESS = 0x38
VM_X86_GDTR_BASE = 0x40
VM_X86_GDTR_LIMIT = 0x41
VM_X86_IDTR_BASE = 0x42
VM_X86_IDTR_LIMIT = 0x43
VM_X86_CR0 = 0x50
VM_X86_CR2 = 0x52
VM_X86_CR3 = 0x53
VM_X86_CR4 = 0x54
VM_X86_CR8 = 0x58
VM_X86_DR0 = 0x60
VM_X86_XCR0 = 0x70
VM_X86_ST0 = 0x80
VM_X86_FCW = 0x90
VM_X86_FSW = 0x91
VM_X86_FTW = 0x92
VM_X86_FOP = 0x93
VM_X86_FIP = 0x94
VM_X86_FDP = 0x95
VM_X86_FCS = 0x96
VM_X86_FDS = 0x97
VM_X86_MXCSR = 0x98
VM_X86_XMM0 = 0x100
VM_X86_YMM0 = 0x120
VM_X86_ZMM0 = 0x140
VM_X86_K0 = 0x160
VM_ACCESS_READ = 0
VM_ACCESS_WRITE = 1
VM_ACCESS_EXEC = 2
VM_DEBUG_NONE = 0
VM_DEBUG_BREAK = 1
VM_DEBUG_WATCH = 2
VM_DEBUG_STEP = 3
VM_WATCH_READ = 1
VM_WATCH_WRITE = 2
VM_WATCH_ACCESS = 3
VM_GDB_AUTO = 0
VM_GDB_AMD64 = 1
VM_GDB_I386 = 2
VM_GDB_I8086 = 3
VM_GDB_DETACHED = 1
VM_GDB_KILLED = 2
VM_CELL_CURSOR = 1
VM_CELL_BLINK = 2
VM_EXPORT_RO = 1
VM_EXPORT_DEPTH = 2
VM_HOOK_INSN = 1
VM_HOOK_BLOCK = 2
VM_HOOK_MEM_READ = 4
VM_HOOK_MEM_WRITE = 8
VM_HOOK_PORT_READ = 0x10
VM_HOOK_PORT_WRITE = 0x20
VM_HOOK_PORT_VALUE = 0x40
VM_HOOK_INTR = 0x80
VM_HOOK_IS_EXCEPTION = 1
VM_HOOK_IS_SOFTWARE = 2
VM_HOOK_IS_INTERRUPT = 3
VM_HOOK_IS_NMI = 4
VM_HOOK_GO = 0
VM_HOOK_HANDLED = 1
VM_HOOK_STOP = 2

vm_free_fn = C.CFUNCTYPE(None, C.c_void_p)


class vm_error(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("code", C.c_int32),
        ("os_errno", C.c_int32),
        ("reserved", C.c_uint32),
        ("guest_addr", C.c_uint64),
        ("message", C.c_char_p),
    ]


class vm_log_record(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("level", C.c_uint32),
        ("category", C.c_uint32),
        ("reserved", C.c_uint32),
        ("source", C.c_char_p),
        ("text", C.c_char_p),
    ]

vm_log_fn = C.CFUNCTYPE(None, C.c_void_p, C.POINTER(vm_log_record))


class vm_host_ops(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("log_level", C.c_uint32),
        ("log_categories", C.c_uint32),
        ("reserved", C.c_uint32),
        ("log", vm_log_fn),
        ("ud", C.c_void_p),
        ("free", vm_free_fn),
        ("open", C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_char_p, C.c_int, C.c_int)),
    ]

vm_list_fn = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_char_p, C.c_char_p)


class vm_event(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("kind", C.c_uint32),
        ("t_ns", C.c_uint64),
        ("a", C.c_uint64),
        ("b", C.c_uint64),
        ("text", C.c_char_p),
    ]


class vm_exit(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("reason", C.c_uint32),
        ("cpu", C.c_uint32),
        ("code", C.c_int32),
        ("addr", C.c_uint64),
        ("data", C.c_uint64),
        ("icount", C.c_uint64),
        ("len", C.c_uint32),
        ("is_write", C.c_uint32),
        ("text", C.c_char * 128),
    ]


class vm_blk_option_row(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("type", C.c_uint32),
        ("name", C.c_char_p),
        ("*help", C.c_char_p),
        ("value", C.c_char_p),
        ("choices", C.POINTER(C.c_void_p)),
    ]

vm_blk_option_fn = C.CFUNCTYPE(C.c_int, C.c_void_p, C.POINTER(vm_blk_option_row))

vm_blk_done = C.CFUNCTYPE(None, C.c_void_p, C.c_int)


class vm_blk_map_row(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("flags", C.c_uint32),
        ("start", C.c_uint64),
        ("length", C.c_uint64),
        ("host_offset", C.c_uint64),
        ("depth", C.c_uint32),
        ("reserved", C.c_uint32),
        ("file", C.c_char_p),
    ]

vm_blk_map_fn = C.CFUNCTYPE(C.c_int, C.c_void_p, C.POINTER(vm_blk_map_row))


class vm_blk_check_result(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("reserved", C.c_uint32),
        ("corruptions", C.c_uint64),
        ("leaks", C.c_uint64),
        ("errors", C.c_uint64),
        ("corruptions_fixed", C.c_uint64),
        ("leaks_fixed", C.c_uint64),
        ("total_clusters", C.c_uint64),
        ("allocated_clusters", C.c_uint64),
        ("fragmented_clusters", C.c_uint64),
        ("compressed_clusters", C.c_uint64),
        ("image_end_offset", C.c_uint64),
    ]

vm_blk_problem_fn = C.CFUNCTYPE(None, C.c_void_p, C.c_char_p)


class vm_blk_measured(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("has_bitmaps", C.c_uint32),
        ("required", C.c_uint64),
        ("fully_allocated", C.c_uint64),
        ("bitmaps", C.c_uint64),
    ]


class vm_part_row(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("index", C.c_uint32),
        ("off", C.c_uint64),
        ("len", C.c_uint64),
        ("bootable", C.c_uint32),
        ("reserved", C.c_uint32),
        ("scheme", C.c_char_p),
        ("type", C.c_char_p),
        ("label", C.c_char_p),
        ("uuid", C.c_char_p),
    ]

vm_part_fn = C.CFUNCTYPE(C.c_int, C.c_void_p, C.POINTER(vm_part_row))

vm_volume_fn = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_char_p, C.c_uint64)


class vm_convert_options(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("flags", C.c_uint32),
        ("from_off", C.c_uint64),
        ("to_off", C.c_uint64),
        ("len", C.c_uint64),
        ("sparse_bytes", C.c_uint32),
        ("width", C.c_uint32),
    ]


class vm_debug_stop(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("kind", C.c_uint32),
        ("cpu", C.c_uint32),
        ("is_write", C.c_uint32),
        ("pc", C.c_uint64),
        ("addr", C.c_uint64),
        ("len", C.c_uint32),
        ("reserved", C.c_uint32),
    ]


class vm_gdb_ops(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("arch", C.c_uint32),
        ("out", C.CFUNCTYPE(None, C.c_void_p, C.c_void_p, C.c_size_t)),
        ("command", C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_void_p, C.c_char_p)),
        ("closed", C.CFUNCTYPE(None, C.c_void_p, C.c_int)),
    ]


class vm_display_surface(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("width", C.c_uint32),
        ("height", C.c_uint32),
        ("stride", C.c_uint32),
        ("pixels", C.POINTER(C.c_uint32)),
    ]


class vm_display_ops(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("flags", C.c_uint32),
        ("mode", C.CFUNCTYPE(None, C.c_void_p, C.POINTER(vm_display_surface))),
        ("damage", C.CFUNCTYPE(None, C.c_void_p, C.POINTER(vm_display_surface), C.c_uint32, C.c_uint32, C.c_uint32, C.c_uint32)),
    ]


class vm_text_cell(C.Structure):
    _fields_ = [
        ("code", C.c_uint32),
        ("foreground", C.c_uint8),
        ("background", C.c_uint8),
        ("flags", C.c_uint16),
    ]


class vm_hook_event(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("kind", C.c_uint32),
        ("cpu", C.c_uint32),
        ("width", C.c_uint32),
        ("pc", C.c_uint64),
        ("addr", C.c_uint64),
        ("value", C.c_uint64),
        ("aux", C.c_uint64),
    ]

vm_hook_fn = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_void_p, C.POINTER(vm_hook_event))


class vm_chr_ops(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("flags", C.c_uint32),
        ("write", C.CFUNCTYPE(C.c_int64, C.c_void_p, C.c_void_p, C.c_size_t)),
        ("room", C.CFUNCTYPE(None, C.c_void_p)),
    ]

vm_lockstep_fn = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_uint64, C.c_char_p)


class vm_io_ops(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("min_access", C.c_uint32),
        ("max_access", C.c_uint32),
        ("flags", C.c_uint32),
        ("read", C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_uint64, C.c_uint32, C.POINTER(C.c_uint64))),
        ("write", C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_uint64, C.c_uint32, C.c_uint64)),
    ]

vm_text_fn = C.CFUNCTYPE(None, C.c_void_p, C.c_char_p, C.c_size_t)

vm_monitor_fn = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_char_p, vm_text_fn, C.c_void_p)


class vm_net_ops(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("flags", C.c_uint32),
        ("send", C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_void_p, C.c_size_t)),
        ("room", C.CFUNCTYPE(None, C.c_void_p)),
        ("link", C.CFUNCTYPE(None, C.c_void_p, C.c_int)),
    ]


FUNCTIONS = {
    "vm_blk_amend": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_blk_amend_start": (C.c_void_p, [C.c_void_p, C.c_char_p]),
    "vm_blk_backup": (C.c_void_p, [C.c_void_p, C.c_void_p, C.c_uint32]),
    "vm_blk_bitmap": (C.c_int, [C.c_void_p, C.c_char_p, C.c_char_p, C.c_char_p]),
    "vm_blk_bitmap_copy": (C.c_int, [C.c_void_p, C.c_void_p, C.c_int]),
    "vm_blk_bitmap_merge": (C.c_int, [C.c_void_p, C.c_char_p, C.c_void_p, C.c_char_p]),
    "vm_blk_breakpoint": (C.c_int, [C.c_void_p, C.c_char_p, C.c_char_p, C.c_char_p]),
    "vm_blk_check": (C.c_int, [C.c_void_p, C.c_uint32, C.POINTER(vm_blk_check_result), vm_blk_problem_fn, C.c_void_p]),
    "vm_blk_close": (None, [C.c_void_p]),
    "vm_blk_commit": (C.c_void_p, [C.c_void_p, C.c_int]),
    "vm_blk_commit_to": (C.c_void_p, [C.c_void_p, C.c_char_p, C.c_int]),
    "vm_blk_compare": (C.c_int, [C.c_void_p, C.c_void_p, C.POINTER(C.c_uint64)]),
    "vm_blk_compare_start": (C.c_void_p, [C.c_void_p, C.c_void_p, C.c_int, C.POINTER(C.c_uint64)]),
    "vm_blk_convert": (C.c_void_p, [C.c_void_p, C.c_void_p, C.POINTER(vm_convert_options)]),
    "vm_blk_create": (C.c_int, [C.c_void_p, C.c_char_p, C.c_char_p, C.c_uint64, C.c_char_p]),
    "vm_blk_discard": (C.c_int, [C.c_void_p, C.c_uint64, C.c_uint64]),
    "vm_blk_driver_can": (C.c_int, [C.c_void_p, C.c_char_p, C.POINTER(C.c_uint32)]),
    "vm_blk_each_option": (C.c_int, [C.c_void_p, C.c_char_p, C.c_int, vm_blk_option_fn, C.c_void_p]),
    "vm_blk_flush": (C.c_int, [C.c_void_p]),
    "vm_blk_info": (C.c_int, [C.c_void_p, C.c_char_p, C.POINTER(C.c_size_t)]),
    "vm_blk_list_drivers": (C.c_int, [C.c_void_p, vm_list_fn, C.c_void_p]),
    "vm_blk_list_options": (C.c_int, [C.c_void_p, C.c_char_p, C.c_int, vm_list_fn, C.c_void_p]),
    "vm_blk_map": (C.c_int, [C.c_void_p, C.c_uint64, C.c_uint64, vm_blk_map_fn, C.c_void_p]),
    "vm_blk_measure": (C.c_int, [C.c_void_p, C.c_char_p, C.c_uint64, C.c_void_p, C.c_char_p, C.POINTER(C.c_uint64), C.POINTER(C.c_uint64)]),
    "vm_blk_measure_detail": (C.c_int, [C.c_void_p, C.c_char_p, C.c_uint64, C.c_void_p, C.c_char_p, C.POINTER(vm_blk_measured)]),
    "vm_blk_mirror": (C.c_void_p, [C.c_void_p, C.c_void_p, C.c_uint32]),
    "vm_blk_open": (C.c_void_p, [C.c_void_p, C.c_char_p, C.c_char_p, C.c_uint32]),
    "vm_blk_read": (C.c_int, [C.c_void_p, C.c_uint64, C.c_void_p, C.c_size_t]),
    "vm_blk_rebase": (C.c_void_p, [C.c_void_p, C.c_char_p, C.c_char_p, C.c_int]),
    "vm_blk_reopen": (C.c_int, [C.c_void_p, C.c_uint32]),
    "vm_blk_resize": (C.c_int, [C.c_void_p, C.c_uint64, C.c_char_p]),
    "vm_blk_size": (C.c_int64, [C.c_void_p]),
    "vm_blk_snapshot": (C.c_int, [C.c_void_p, C.c_char_p, C.c_char_p]),
    "vm_blk_state_read": (C.c_int, [C.c_void_p, C.c_uint64, C.c_void_p, C.c_size_t]),
    "vm_blk_state_write": (C.c_int, [C.c_void_p, C.c_uint64, C.c_void_p, C.c_size_t]),
    "vm_blk_stream": (C.c_void_p, [C.c_void_p]),
    "vm_blk_submit": (C.c_int, [C.c_void_p, C.c_int, C.c_uint64, C.c_void_p, C.c_size_t, C.c_uint32, vm_blk_done, C.c_void_p]),
    "vm_blk_write": (C.c_int, [C.c_void_p, C.c_uint64, C.c_void_p, C.c_size_t, C.c_uint32]),
    "vm_blk_zero": (C.c_int, [C.c_void_p, C.c_uint64, C.c_uint64, C.c_uint32]),
    "vm_buffer_free": (None, [C.c_void_p]),
    "vm_chr_attach": (C.c_int, [C.c_void_p, C.c_char_p, C.POINTER(vm_chr_ops), C.c_void_p, vm_free_fn]),
    "vm_chr_break": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_chr_feed": (C.c_int64, [C.c_void_p, C.c_char_p, C.c_void_p, C.c_size_t]),
    "vm_chr_ready": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_clock_ns": (C.c_uint64, [C.c_void_p]),
    "vm_config_free": (None, [C.c_void_p]),
    "vm_config_get": (C.c_int, [C.c_void_p, C.c_char_p, C.c_char_p, C.POINTER(C.c_size_t)]),
    "vm_config_new": (C.c_void_p, [C.c_void_p, C.c_char_p]),
    "vm_config_set_json": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_config_set_str": (C.c_int, [C.c_void_p, C.c_char_p, C.c_char_p]),
    "vm_config_set_u64": (C.c_int, [C.c_void_p, C.c_char_p, C.c_uint64]),
    "vm_cpu_count": (C.c_uint32, [C.c_void_p]),
    "vm_cpu_get": (C.c_void_p, [C.c_void_p, C.c_uint32]),
    "vm_cpu_insns": (C.c_uint64, [C.c_void_p]),
    "vm_cpu_reg_id": (C.c_int64, [C.c_void_p, C.c_char_p]),
    "vm_cpu_reg_read": (C.c_int, [C.c_void_p, C.c_uint32, C.c_void_p, C.c_size_t]),
    "vm_cpu_reg_write": (C.c_int, [C.c_void_p, C.c_uint32, C.c_void_p, C.c_size_t]),
    "vm_cpu_translate": (C.c_int, [C.c_void_p, C.c_uint64, C.c_int, C.POINTER(C.c_uint64)]),
    "vm_ctx_create": (C.c_void_p, [C.c_uint32, C.POINTER(vm_host_ops)]),
    "vm_ctx_unref": (None, [C.c_void_p]),
    "vm_debug_break_add": (C.c_int, [C.c_void_p, C.c_uint64]),
    "vm_debug_break_del": (C.c_int, [C.c_void_p, C.c_uint64]),
    "vm_debug_clear": (C.c_int, [C.c_void_p]),
    "vm_debug_hold": (C.c_int, [C.c_void_p, C.c_int]),
    "vm_debug_step": (C.c_int, [C.c_void_p, C.c_int]),
    "vm_debug_watch_add": (C.c_int, [C.c_void_p, C.c_uint64, C.c_uint64, C.c_uint32]),
    "vm_debug_watch_del": (C.c_int, [C.c_void_p, C.c_uint64, C.c_uint64, C.c_uint32]),
    "vm_debug_why": (C.c_int, [C.c_void_p, C.POINTER(vm_debug_stop)]),
    "vm_dev_add": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_dev_del": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_dev_fields": (C.c_int, [C.c_void_p, vm_list_fn, C.c_void_p]),
    "vm_dev_find": (C.c_void_p, [C.c_void_p, C.c_char_p]),
    "vm_dev_list": (C.c_int, [C.c_void_p, vm_list_fn, C.c_void_p]),
    "vm_display_attach": (C.c_int, [C.c_void_p, C.c_uint32, C.POINTER(vm_display_ops), C.c_void_p, vm_free_fn]),
    "vm_display_cells": (C.c_int, [C.c_void_p, C.c_uint32, C.POINTER(vm_text_cell), C.POINTER(C.c_size_t), C.POINTER(C.c_uint32)]),
    "vm_display_grab": (C.c_int, [C.c_void_p, C.c_uint32, C.c_void_p, C.POINTER(C.c_size_t), C.POINTER(C.c_uint32), C.POINTER(C.c_uint32)]),
    "vm_display_refresh": (C.c_int, [C.c_void_p, C.c_uint32]),
    "vm_display_text": (C.c_int, [C.c_void_p, C.c_uint32, C.c_char_p, C.POINTER(C.c_size_t)]),
    "vm_fuse_add": (C.c_int, [C.c_void_p, C.c_char_p, C.c_void_p, C.c_uint32]),
    "vm_fuse_fd": (C.c_int, [C.c_void_p]),
    "vm_fuse_free": (None, [C.c_void_p]),
    "vm_fuse_mount": (C.c_int, [C.c_void_p, C.c_char_p, C.c_char_p, C.c_int]),
    "vm_fuse_new": (C.c_void_p, [C.c_void_p]),
    "vm_gdb_feed": (C.c_int, [C.c_void_p, C.c_void_p, C.c_size_t]),
    "vm_gdb_free": (None, [C.c_void_p]),
    "vm_gdb_new": (C.c_void_p, [C.c_void_p, C.POINTER(vm_gdb_ops), C.c_void_p]),
    "vm_gdb_print": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_hook_add": (C.c_int64, [C.c_void_p, C.c_uint32, C.c_uint64, C.c_uint64, vm_hook_fn, C.c_void_p, vm_free_fn]),
    "vm_hook_del": (C.c_int, [C.c_void_p, C.c_int64]),
    "vm_input_key": (C.c_int, [C.c_void_p, C.c_uint32, C.c_int]),
    "vm_input_pointer": (C.c_int, [C.c_void_p, C.c_int, C.c_int32, C.c_int32, C.c_int32, C.c_uint32]),
    "vm_input_text": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_irq_set": (C.c_int, [C.c_void_p, C.c_uint32, C.c_int]),
    "vm_job_cancel": (C.c_int, [C.c_void_p]),
    "vm_job_progress": (C.c_int, [C.c_void_p, C.POINTER(C.c_uint64), C.POINTER(C.c_uint64)]),
    "vm_job_unref": (None, [C.c_void_p]),
    "vm_job_wait": (C.c_int, [C.c_void_p, C.c_int64]),
    "vm_kick": (C.c_int, [C.c_void_p]),
    "vm_last_error": (C.POINTER(vm_error), []),
    "vm_list": (C.c_int, [C.c_void_p, C.c_int, vm_list_fn, C.c_void_p]),
    "vm_list_props": (C.c_int, [C.c_void_p, C.c_char_p, vm_list_fn, C.c_void_p]),
    "vm_lockstep": (C.c_int, [C.c_void_p, C.c_void_p, C.c_uint64, C.c_uint64, vm_lockstep_fn, C.c_void_p]),
    "vm_machine_build": (C.c_void_p, [C.c_void_p]),
    "vm_machine_destroy": (None, [C.c_void_p]),
    "vm_machine_dispatch": (C.c_int, [C.c_void_p, C.c_uint32]),
    "vm_machine_engine": (C.c_char_p, [C.c_void_p]),
    "vm_machine_fd": (C.c_int, [C.c_void_p]),
    "vm_machine_load": (C.c_int, [C.c_void_p, C.c_void_p, C.c_size_t]),
    "vm_machine_on_event": (C.c_int, [C.c_void_p, C.c_uint32, C.CFUNCTYPE(None, C.c_void_p, C.POINTER(vm_event)), C.c_void_p, vm_free_fn]),
    "vm_machine_pause": (C.c_int, [C.c_void_p]),
    "vm_machine_power_button": (C.c_int, [C.c_void_p]),
    "vm_machine_reset": (C.c_int, [C.c_void_p, C.c_int]),
    "vm_machine_resume": (C.c_int, [C.c_void_p]),
    "vm_machine_save": (C.c_int, [C.c_void_p, C.POINTER(C.c_void_p), C.POINTER(C.c_size_t)]),
    "vm_machine_set_engine": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_machine_start": (C.c_int, [C.c_void_p]),
    "vm_machine_state": (C.c_int, [C.c_void_p]),
    "vm_machine_stop": (C.c_int, [C.c_void_p]),
    "vm_machine_wait": (C.c_int, [C.c_void_p, C.c_uint32, C.c_int64, C.POINTER(C.c_int)]),
    "vm_mem_read": (C.c_int, [C.c_void_p, C.c_uint64, C.c_void_p, C.c_size_t]),
    "vm_mem_write": (C.c_int, [C.c_void_p, C.c_uint64, C.c_void_p, C.c_size_t]),
    "vm_mmio_add": (C.c_void_p, [C.c_void_p, C.c_char_p, C.c_uint64, C.c_uint64, C.POINTER(vm_io_ops), C.c_void_p, vm_free_fn]),
    "vm_monitor": (C.c_int, [C.c_void_p, C.c_char_p, vm_text_fn, C.c_void_p]),
    "vm_monitor_add": (C.c_int, [C.c_void_p, C.c_char_p, C.c_char_p, C.c_char_p, vm_monitor_fn, C.c_void_p, vm_free_fn]),
    "vm_monitor_complete": (C.c_int, [C.c_void_p, C.c_char_p, vm_list_fn, C.c_void_p]),
    "vm_msi_send": (C.c_int, [C.c_void_p, C.c_uint64, C.c_uint32]),
    "vm_nbd_add": (C.c_int, [C.c_void_p, C.c_void_p, C.c_char_p, C.c_char_p, C.c_uint32]),
    "vm_nbd_clients": (C.c_int, [C.c_void_p, C.POINTER(C.c_uint32), C.POINTER(C.c_uint64)]),
    "vm_nbd_fd": (C.c_int, [C.c_void_p]),
    "vm_nbd_free": (None, [C.c_void_p]),
    "vm_nbd_listen": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_nbd_listen_fd": (C.c_int, [C.c_void_p, C.c_int]),
    "vm_nbd_new": (C.c_void_p, [C.c_void_p, C.c_char_p]),
    "vm_net_add": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_net_attach": (C.c_int, [C.c_void_p, C.c_char_p, C.POINTER(vm_net_ops), C.c_void_p, vm_free_fn]),
    "vm_net_feed": (C.c_int, [C.c_void_p, C.c_char_p, C.c_void_p, C.c_size_t]),
    "vm_net_ready": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_net_remove": (C.c_int, [C.c_void_p, C.c_char_p]),
    "vm_net_set_link": (C.c_int, [C.c_void_p, C.c_char_p, C.c_int]),
    "vm_nmi": (C.c_int, [C.c_void_p]),
    "vm_part_list": (C.c_int, [C.c_void_p, vm_part_fn, C.c_void_p]),
    "vm_part_open": (C.c_void_p, [C.c_void_p, C.c_uint32, C.c_uint32]),
    "vm_pio_add": (C.c_void_p, [C.c_void_p, C.c_char_p, C.c_uint16, C.c_uint32, C.POINTER(vm_io_ops), C.c_void_p, vm_free_fn]),
    "vm_ram_add": (C.c_void_p, [C.c_void_p, C.c_char_p, C.c_uint64, C.c_uint64]),
    "vm_ram_add_ptr": (C.c_void_p, [C.c_void_p, C.c_char_p, C.c_uint64, C.c_void_p, C.c_uint64, vm_free_fn, C.c_void_p]),
    "vm_region_enable": (C.c_int, [C.c_void_p, C.c_int]),
    "vm_region_move": (C.c_int, [C.c_void_p, C.c_uint64]),
    "vm_region_remove": (C.c_int, [C.c_void_p]),
    "vm_rom_add": (C.c_void_p, [C.c_void_p, C.c_char_p, C.c_uint64, C.c_void_p, C.c_uint64]),
    "vm_run": (C.c_int, [C.c_void_p, C.c_uint64, C.c_int64, C.POINTER(vm_exit)]),
    "vm_secret_add": (C.c_int, [C.c_void_p, C.c_char_p, C.c_void_p, C.c_size_t]),
    "vm_strerror": (C.c_char_p, [C.c_int]),
    "vm_tls_add": (C.c_int, [C.c_void_p, C.c_char_p, C.c_char_p]),
    "vm_version": (C.c_uint32, []),
    "vm_version_string": (C.c_char_p, []),
    "vm_vmem_read": (C.c_int, [C.c_void_p, C.c_uint64, C.c_void_p, C.c_size_t]),
    "vm_vmem_write": (C.c_int, [C.c_void_p, C.c_uint64, C.c_void_p, C.c_size_t]),
    "vm_volume_list": (C.c_int, [C.c_void_p, vm_volume_fn, C.c_void_p]),
    "vm_volume_open": (C.c_void_p, [C.POINTER(C.c_void_p), C.c_uint32, C.c_char_p, C.c_uint32]),
}
