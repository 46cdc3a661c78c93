"""System calls that the seccomp filters allow, by number, for the two supported architectures.

Numbers: the kernel's asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64); None if there is none. Deliberately
left out: clone, execve, socket, kill, ptrace, memfd_create, io_uring, prctl, prlimit64 (root could raise its limits),
fcntl (F_SETOWN sends signals), readlink, pidfd_getfd, process_vm_readv, openat2 (its flags are behind a pointer, which
a filter cannot read), and all calls of later kernels.
"""

Numbers = dict[str, tuple[int | None, int | None]]

COMPUTING: Numbers = {
    "read": (0, 63),
    "readv": (19, 65),
    "pread64": (17, 67),
    "write": (1, 64),
    "writev": (20, 66),
    "close": (3, 57),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getcwd": (79, 17),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "setitimer": (38, 103),  # its own alarm timer: math-verify sets one, as do verifiers that time model code
    "alarm": (37, None),
    "getrusage": (98, 165),
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "restart_syscall": (219, 128),
    "getrandom": (318, 278),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "exit": (60, 93),
    "exit_group": (231, 94),
}

# For imports. Landlock decides which files; without it (level 1) these are left out too.
READING: Numbers = {
    "getdents64": (217, 61),
    "stat": (4, None),
    "lstat": (6, None),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
}

# Allowed only to read, independently of Landlock, which before ABI 3 allows truncating a readable file. The second
# table: the argument with the flags.
OPENING: Numbers = {"open": (2, None), "openat": (257, 56)}
_FLAGS_ARGUMENT = {"open": 1, "openat": 2}
# Close-on-exec, not blocking, no controlling terminal; directory, no links, large file and direct, whose bits the two
# architectures give different meanings. Not among them: write, create, truncate, append, temporary file, path only.
READING_FLAGS = 0o2000000 | 0o4000 | 0o400 | 0o740000

# For a verifier that runs model code: to wait for that process, and to get the descriptors that lead to it.
ASKING: Numbers = {"poll": (7, None), "ppoll": (271, 73), "recvmsg": (47, 212)}

# Needed by the server only, with those above: to fork, confine and kill its children, and to talk to its owner.
SERVING: Numbers = {
    "clone": (56, 220),
    "fork": (57, None),
    "wait4": (61, 260),
    "kill": (62, 129),
    "pidfd_open": (434, 434),
    "recvfrom": (45, 207),
    "sendto": (44, 206),
    "socketpair": (53, 199),
    "pipe2": (293, 59),
    "memfd_create": (319, 279),
    "landlock_restrict_self": (446, 446),
    "sendmsg": (46, 211),
    "setsid": (112, 157),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "close_range": (436, 436),
    "prctl": (157, 167),
    "setrlimit": (160, 164),
    "getrlimit": (97, 163),
    "prlimit64": (302, 261),
    "ioctl": (16, 29),
    "fcntl": (72, 25),
}

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}


def numbers(*tables: Numbers, machine: str) -> tuple[int, ...]:
    """Return the numbers in these tables, sorted and unique. Raises KeyError for an unsupported architecture."""
    column = _COLUMN[machine]
    found = (row[column] for table in tables for row in table.values())
    return tuple(sorted({number for number in found if number is not None}))


def opening(*, machine: str) -> dict[int, int]:
    """Map the number of each call that opens a file to the index (from 0) of its flags argument."""
    column = _COLUMN[machine]
    found = ((row[column], _FLAGS_ARGUMENT[name]) for name, row in OPENING.items())
    return {number: argument for number, argument in found if number is not None}
