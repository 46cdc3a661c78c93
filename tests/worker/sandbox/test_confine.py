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


def answer(program, *, number, arch):
    """What a BPF machine says: an interpreter of the four instructions used."""
    instructions = [struct.unpack("=HBBI", program[i : i + 8]) for i in range(0, len(program), 8)]
    data, accumulator, at = {0: number, 4: arch}, 0, 0
    while True:
        code, if_true, if_false, k = instructions[at]
        at += 1
        if code == 0x20:
            accumulator = data[k]
        elif code == 0x06:
            return k
        else:
            at += if_true if (accumulator == k if code == 0x15 else accumulator >= k) else if_false


@given(NUMBERS, st.integers(0, 700), st.sampled_from(["x86_64", "aarch64"]))
def test_the_filter_allows_what_is_listed_and_nothing_else(allowed, number, machine):
    program = confine.assemble(allowed, machine=machine)
    said = answer(program, number=number, arch=syscalls.AUDIT_ARCH[machine])
    assert said == (0x7FFF0000 if number in allowed else 0x00050001)


@given(st.integers(0, 600), st.integers(0, 2**32 - 1))
def test_another_architecture_and_x32_are_killed(number, arch):
    program = confine.assemble({number}, machine="x86_64")
    if arch != syscalls.AUDIT_ARCH["x86_64"]:
        assert answer(program, number=number, arch=arch) == 0x80000000
    assert answer(program, number=number | 0x40000000, arch=syscalls.AUDIT_ARCH["x86_64"]) == 0x80000000


@given(NUMBERS)
def test_ranges_hold_exactly_the_numbers(numbers):
    assert {n for first, last in confine.ranges(numbers) for n in range(first, last + 1)} == numbers


def test_the_tables_agree_with_this_kernels_numbers():
    """By doing them: each call of a verifier's process that has an observable effect here."""
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
confine.restrict_files([Path({str(tmp_path / "in")!r}), Path('/not/there')], listable=[], abi=confine.landlock_abi())
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
confine.restrict_files([], listable=[], abi={abi})
try:
    open('/etc/passwd')
except PermissionError:
    print('refused')
""")
    assert run.stdout.strip() == "refused", run.stderr
