import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sandbox import confine, syscalls

NUMBERS = st.sets(st.integers(0, 600), max_size=40)
ROOT = str(Path(__file__).parents[3])


def run_filter(program, *, number, arch, arguments=(0, 0, 0, 0, 0, 0)):
    """Interpret a BPF program of the five instructions used."""
    instructions = [struct.unpack("=HBBI", program[i : i + 8]) for i in range(0, len(program), 8)]
    halves = {16 + 8 * at: value & 0xFFFFFFFF for at, value in enumerate(arguments)}
    data, accumulator, at = {0: number, 4: arch} | halves, 0, 0
    jumps = {0x15: lambda k: accumulator == k, 0x35: lambda k: accumulator >= k, 0x45: lambda k: accumulator & k}
    while True:
        code, if_true, if_false, k = instructions[at]
        at += 1
        if code == 0x20:
            accumulator = data[k]
        elif code == 0x06:
            return k
        else:
            at += if_true if jumps[code](k) else if_false


@given(NUMBERS, st.integers(0, 700), st.sampled_from(["x86_64", "aarch64"]))
def test_the_filter_allows_what_is_listed_and_nothing_else(allowed, number, machine):
    program = confine.assemble(allowed, opening={}, machine=machine)
    verdict = run_filter(program, number=number, arch=syscalls.AUDIT_ARCH[machine])
    assert verdict == (0x7FFF0000 if number in allowed else 0x00050001)


@given(st.integers(0, 600), st.integers(0, 2**32 - 1))
def test_another_architecture_and_x32_are_killed(number, arch):
    program = confine.assemble({number}, opening=syscalls.opening(machine="x86_64"), machine="x86_64")
    if arch != syscalls.AUDIT_ARCH["x86_64"]:
        assert run_filter(program, number=number, arch=arch) == 0x80000000
    assert run_filter(program, number=number | 0x40000000, arch=syscalls.AUDIT_ARCH["x86_64"]) == 0x80000000


# name of the flag -> its bit on (x86_64, aarch64), from the kernel's asm/fcntl.h
READING_FLAGS = {
    "O_RDONLY": (0, 0),
    "O_CLOEXEC": (0o2000000, 0o2000000),
    "O_NONBLOCK": (0o4000, 0o4000),
    "O_DIRECTORY": (0o200000, 0o40000),
    "O_NOFOLLOW": (0o400000, 0o100000),
    "O_LARGEFILE": (0o100000, 0o400000),
}
WRITING_FLAGS = {
    "O_WRONLY": (1, 1),
    "O_RDWR": (2, 2),
    "O_CREAT": (0o100, 0o100),
    "O_TRUNC": (0o1000, 0o1000),
    "O_APPEND": (0o2000, 0o2000),
    "O_TMPFILE": (0o20200000, 0o20040000),
    "unknown": (1 << 31, 1 << 31),
}
OPEN = {"x86_64": {2: 1, 257: 2}, "aarch64": {56: 2}}


@pytest.mark.parametrize("machine", OPEN)
@given(
    reading=st.sets(st.sampled_from(sorted(READING_FLAGS))),
    writing=st.sets(st.sampled_from(sorted(WRITING_FLAGS))),
    others=st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6),
)
def test_a_file_is_opened_to_read_or_not_at_all(machine, reading, writing, others):
    column = list(OPEN).index(machine)
    flags = sum(READING_FLAGS[name][column] for name in reading)
    for name in writing:
        flags |= WRITING_FLAGS[name][column]
    allowed = syscalls.numbers(syscalls.COMPUTING, syscalls.READING, machine=machine)
    program = confine.assemble(allowed, opening=syscalls.opening(machine=machine), machine=machine)
    for number, argument in OPEN[machine].items():
        arguments = [*others[:argument], flags, *others[argument + 1 :]]
        verdict = run_filter(program, number=number, arch=syscalls.AUDIT_ARCH[machine], arguments=arguments)
        assert verdict == (0x00050001 if writing else 0x7FFF0000)


def test_no_other_call_that_could_empty_a_file_is_allowed_to_anyone():
    """openat2, open_by_handle_at, creat, truncate, ftruncate, by either architecture's numbers."""
    everything = (syscalls.COMPUTING, syscalls.READING, syscalls.ASKING, syscalls.SERVING)
    assert {437, 304, 85, 76, 77}.isdisjoint(syscalls.numbers(*everything, machine="x86_64"))
    assert {437, 265, 45, 46}.isdisjoint(syscalls.numbers(*everything, machine="aarch64"))


@given(NUMBERS)
def test_ranges_hold_exactly_the_numbers(numbers):
    assert {n for first, last in confine.ranges(numbers) for n in range(first, last + 1)} == numbers


def test_the_tables_agree_with_this_kernels_numbers():
    """Make each call of a verifier's process that has an observable effect here."""
    if platform.machine() not in syscalls.AUDIT_ARCH:
        pytest.skip("an architecture the sandbox does not know")
    column = list(syscalls.AUDIT_ARCH).index(platform.machine())
    number = syscalls.COMPUTING["getpid"][column]
    assert confine._libc.syscall(number) == os.getpid()
    assert confine._libc.syscall(syscalls.COMPUTING["getppid"][column]) == os.getppid()


def run_confined(lines):
    head = f"import sys\nsys.path.insert(0, {ROOT!r})\nfrom pathlib import Path\nfrom worker.sandbox import confine\n"
    code = head + lines
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)


def test_landlock_leaves_only_what_is_listed(tmp_path):
    if confine.landlock_abi() == 0:
        pytest.skip("no Landlock on this machine")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    run = run_confined(f"""
confine.forbid_new_privileges()
readable = [Path({str(tmp_path / "in")!r}), Path('/not/there')]
confine.restrict_files(confine.file_rules(readable, listable=[], abi=confine.landlock_abi()))
print(open({str(tmp_path / "in" / "a")!r}).read())
for attempt in (lambda: open({str(tmp_path / "b")!r}), lambda: open({str(tmp_path / "in" / "a")!r}, 'w')):
    try:
        attempt()
        print('open')
    except PermissionError:
        print('refused')
""")
    assert run.stdout.split() == ["a", "refused", "refused"], run.stderr


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5, 6, 7])
def test_every_landlock_abi_up_to_the_kernels_own_is_accepted(abi):
    if confine.landlock_abi() < abi:
        pytest.skip(f"this kernel's Landlock ABI is {confine.landlock_abi()}")
    run = run_confined(f"""
confine.forbid_new_privileges()
confine.restrict_files(confine.file_rules([], listable=[], abi={abi}))
try:
    open('/etc/passwd')
except PermissionError:
    print('refused')
""")
    assert run.stdout.strip() == "refused", run.stderr


@pytest.mark.parametrize("abi", [1, 2, 3, 7])
def test_a_readable_file_is_not_emptied_whatever_the_landlock_abi(abi, tmp_path):
    """Landlock knows truncating from ABI 3 on."""
    if confine.landlock_abi() < abi:
        pytest.skip(f"this kernel's Landlock ABI is {confine.landlock_abi()}")
    (tmp_path / "a").write_text("precious")
    run = run_confined(f"""
import os
from worker.sandbox import host
confine.forbid_new_privileges()
confine.restrict_files(confine.file_rules([Path({str(tmp_path)!r})], listable=[], abi={abi}))
confine.install_filter(host.child_filter(2))
print(open({str(tmp_path / "a")!r}).read())
try:
    os.open({str(tmp_path / "a")!r}, os.O_RDONLY | os.O_TRUNC)
    print('open')
except PermissionError:
    print('refused')
""")
    assert run.stdout.split() == ["precious", "refused"], run.stderr
    assert (tmp_path / "a").read_text() == "precious"
