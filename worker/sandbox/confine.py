"""Landlock, seccomp and resource limits for the calling process, by system calls through ctypes.

Needs no root, no binary, no daemon. Landlock: what may be read (rights by ABI, kernel documentation
userspace-api/landlock). Seccomp: a classic BPF program, assembled here, that allows the listed system calls, opens
files only for reading, fails all other calls with EPERM, and kills a process of another architecture.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from worker.sandbox import syscalls

PR_SET_PDEATHSIG, PR_GET_SECCOMP, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 21, 22, 38
SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITY_SETS = struct.Struct("=6I")  # effective, permitted, inheritable: their low halves, then the high ones
_CAP_DAC_READ_SEARCH = 1 << 2
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
READ_FILE, READ_DIR = 1 << 2, 1 << 3
# Number of file rights each ABI knows (execute, write ... up to ioctl on devices), then TCP (ABI 4) and scopes (ABI 6).
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP_BIND_CONNECT = 0b11
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, value: int, pointer: ctypes.c_void_p | None = None) -> None:
    _check(
        _libc.prctl(option, ctypes.c_ulong(value), pointer, ctypes.c_ulong(0), ctypes.c_ulong(0)), f"prctl({option})"
    )


def forbid_new_privileges() -> None:
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(parent: int) -> None:
    """Request SIGKILL for when the parent thread ends; kill now if it already has."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def drop_capabilities() -> None:
    """Give up every capability but that of reading files, which a service may need for the standard library itself and
    which Landlock restricts.
    """
    header, held = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), ctypes.create_string_buffer(_CAPABILITY_SETS.size)
    _check(_libc.capget(header, held), "capget")
    kept = _CAPABILITY_SETS.unpack(held.raw)[1] & _CAP_DAC_READ_SEARCH
    _check(_libc.capset(header, _CAPABILITY_SETS.pack(kept, kept, 0, 0, 0, 0)), "capset")


# -- Landlock ---------------------------------------------------------------------------------------------------------


def landlock_abi() -> int:
    """Return the kernel's Landlock ABI; 0 if it has none or Landlock is disabled."""
    abi = _libc.syscall(
        ctypes.c_long(LANDLOCK_CREATE_RULESET),
        None,
        ctypes.c_size_t(0),
        ctypes.c_uint32(LANDLOCK_CREATE_RULESET_VERSION),
    )
    return max(0, int(abi))


def file_rules(readable: Iterable[Path], *, listable: Iterable[Path], abi: int) -> int:
    """Return a descriptor of rules that allow reading beneath `readable` and listing beneath `listable`.

    No other files; no TCP from ABI 4; no abstract sockets or signals to outside processes from ABI 6. Paths that do not
    exist are skipped.
    """
    file_rights = (1 << _FILE_RIGHTS[min(abi, max(_FILE_RIGHTS))]) - 1
    attributes = [file_rights]
    if abi >= 4:
        attributes.append(_TCP_BIND_CONNECT)
    if abi >= 6:
        attributes.append(_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
    packed = struct.pack(f"={len(attributes)}Q", *attributes)
    ruleset = _check(
        _libc.syscall(ctypes.c_long(LANDLOCK_CREATE_RULESET), packed, ctypes.c_size_t(len(packed)), ctypes.c_uint32(0)),
        "landlock_create_ruleset",
    )
    for path in readable:
        _allow_beneath(ruleset, path=path, rights=READ_FILE | READ_DIR)
    for path in listable:
        _allow_beneath(ruleset, path=path, rights=READ_DIR)
    return ruleset


def restrict_files(ruleset: int) -> None:
    """Restrict this process, irrevocably, by these rules, in a Landlock domain within that of its parent."""
    _check(
        _libc.syscall(ctypes.c_long(LANDLOCK_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint32(0)),
        "landlock_restrict_self",
    )


def _allow_beneath(ruleset: int, *, path: Path, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # missing, or not accessible to this user: nothing to allow
        return
    try:
        if not path.is_dir():
            rights &= READ_FILE
        if not rights:
            return
        rule = struct.pack("=Qi", rights, parent)
        _check(
            _libc.syscall(
                ctypes.c_long(LANDLOCK_ADD_RULE),
                ctypes.c_int(ruleset),
                ctypes.c_int(LANDLOCK_RULE_PATH_BENEATH),
                rule,
                ctypes.c_uint32(0),
            ),
            f"landlock_add_rule({path})",
        )
    finally:
        os.close(parent)


# -- seccomp ----------------------------------------------------------------------------------------------------------

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
_REFUSE = 0x00050000 | 1  # SECCOMP_RET_ERRNO with EPERM
_NR_OFFSET, _ARCH_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16  # in struct seccomp_data; arguments are u64, low half first
_X32_BIT = 0x40000000


def seccomp_available() -> bool:
    if platform.machine() not in syscalls.AUDIT_ARCH:
        return False
    return bool(_libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0)


def assemble(allowed: Iterable[int], *, opening: Mapping[int, int], machine: str) -> bytes:
    """Assemble the BPF program (an array of struct sock_filter): checks of architecture, x32 and calls that open files,
    then the allowed numbers as ascending ranges.

    `opening`: number -> argument with the flags (syscalls.opening), allowed if the flags only read. Ranges keep the
    program short: the kernel verifies and compiles it for every process that installs it (0.4 ms for a list).
    """
    program = [
        (_LOAD, 0, 0, _ARCH_OFFSET),
        (_JUMP_EQUAL, 1, 0, syscalls.AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NR_OFFSET),
        (_JUMP_GREATER_EQUAL, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _KILL_PROCESS),
    ]
    for number, argument in opening.items():
        program += [
            (_JUMP_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * argument),  # the kernel takes an int: the upper half has no effect
            (_JUMP_ANY_BIT, 1, 0, ~syscalls.READING_FLAGS & 0xFFFFFFFF),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _REFUSE),
        ]
    for first, last in ranges(allowed):
        program += [
            (_JUMP_GREATER_EQUAL, 3, 0, last + 1),  # above this range: on to the next
            (_JUMP_GREATER_EQUAL, 0, 1, first),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _REFUSE),
        ]
    program.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def ranges(allowed: Iterable[int]) -> list[tuple[int, int]]:
    """Merge numbers into ascending ranges (first, last), both inclusive."""
    runs: list[tuple[int, int]] = []
    for number in sorted(set(allowed)):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def install_filter(program: bytes) -> None:
    """Install a seccomp filter; requires `forbid_new_privileges` first. Filters stack: the strictest result wins."""
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.cast(ctypes.create_string_buffer(header), ctypes.c_void_p))


# -- resource limits --------------------------------------------------------------------------------------------------


def limit_resources(*, memory_bytes: int, cpu_s: int, open_files: int, file_bytes: int) -> None:
    """Set soft and hard limits of a process that runs a verifier or model code. It may not dump core or fork."""
    for which, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, open_files),
    ):
        ceiling = resource.getrlimit(which)[1]
        bounded = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        resource.setrlimit(which, (bounded, bounded))
