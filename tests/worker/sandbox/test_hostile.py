"""Hostile verifiers: none escapes, none changes another row's score, each ends in a record with its reason.

Each is graded between two honest rows of the same call.
"""

import time
from pathlib import Path

import pytest

from tests.worker.sandbox.verifiers import body, outcomes, python, regex, sample

pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("python_allowed")]

# On x86_64: socket, socketpair, clone, fork, execve, ptrace, prctl, process_vm_readv, memfd_create, io_uring, clone3
DENIED = (41, 53, 56, 57, 59, 101, 157, 310, 319, 425, 435)
CTYPES = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"

# name -> (head, lines run for the attacking row, expected status, expected score or part of the reason)
HOSTILE = {
    "fork bomb": ("import os", "while True:\n    getattr(os, 'fork')()", "error", "Operation not permitted"),
    "memory bomb": ("", "x = []\nwhile True:\n    x.append(bytes(2**24))", "error", "MemoryError"),
    "memory bomb in one piece": ("", "return len([0] * 2**33)", "error", "MemoryError"),
    "endless loop": ("", "while True:\n    pass", "timeout", "stopped after"),
    "endless loop in C": ("", "return 10 ** 10 ** 8", "timeout", "stopped after"),
    "endless loop that catches everything": (
        "",
        "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass",
        "timeout",
        "stopped after",
    ),
    "regex backtracking": ("import re", "return re.match(r'(a+)+$', 'a' * 60 + 'b') is None", "timeout", "stopped"),
    "sleep": ("import time", "time.sleep(1000)", "timeout", "stopped after"),
    "read /etc/passwd": ("", "return len(open('/etc/passwd').read())", "error", "/etc/passwd"),
    "read by a descriptor": ("import os", "return os.open('/etc/hostname', 0)", "error", "/etc/hostname"),
    "read its own maps": ("", "return len(open('/proc/self/maps').read())", "error", "/proc/self/maps"),
    "write to /tmp": ("import os", "return os.open('/tmp/rlsd-hostile', 0o101)", "error", "/tmp/rlsd-hostile"),
    "write to /dev/shm": ("import os", "return os.open('/dev/shm/rlsd-hostile', 0o101)", "error", "/dev/shm"),
    "unlink": ("import os", "os.unlink('/tmp/x')\nreturn 1", "error", "Operation not permitted"),
    "change folder": ("import os", "os.chdir('/tmp')\nreturn 1", "error", "Operation not permitted"),
    "TCP socket": ("import socket", "socket.socket()\nreturn 1", "error", "Operation not permitted"),
    "unix socket": ("import socket", "socket.socket(socket.AF_UNIX)\nreturn 1", "error", "Operation not permitted"),
    "socket pair": ("import socket", "socket.socketpair()\nreturn 1", "error", "Operation not permitted"),
    "kill the server": ("import os", "os.kill(os.getppid(), 9)\nreturn 1", "error", "Operation not permitted"),
    "kill every process": ("import os", "os.kill(-1, 9)\nreturn 1", "error", "Operation not permitted"),
    "run a program": ("", "__import__('subprocess').run(['id'])\nreturn 1", "error", "Operation not permitted"),
    "shell": ("import os", "return getattr(os, 'system')('true') == 0", "ok", 0.0),
    "multiprocessing": (
        "",
        "p = __import__('multiprocessing').Process(target=print)\np.start()\nreturn 1",
        "error",
        "",
    ),
    "thread left running": (
        "import time",
        "__import__('threading').Thread(target=time.sleep, args=(99,)).start()\nreturn 1",
        "error",
        "can't start new thread",
    ),
    "ptrace by ctypes": (CTYPES, "return libc.ptrace(0, 0, 0, 0) == 0", "ok", 0.0),
    "raw system calls": (
        CTYPES,
        f"return sum(libc.syscall(n, 0, 0, 0, 0, 0, 0) >= 0 for n in {DENIED})",
        "ok",
        0.0,
    ),
    "system calls of another architecture": (CTYPES, "libc.syscall(0x40000000 + 39)\nreturn 1", "error", "SIGSYS"),
    "a crash in C": (CTYPES, "ctypes.string_at(0)", "error", "SIGSEGV"),
    "memfd": ("import os", "return os.memfd_create('x')", "error", "Operation not permitted"),
    "pipe and descriptors": ("import os", "return os.pipe()[0]", "error", "Operation not permitted"),
    "new privileges": (CTYPES, "return libc.prctl(38, 0, 0, 0, 0) == 0 or libc.prctl(1, 0, 0, 0, 0) == 0", "ok", 0.0),
    "unlimited memory": (
        "import resource",
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nreturn 1",
        "error",
        "not allowed",
    ),
    "garbage on the result pipe": ("import os", "os.write(3, b'x' * 1000)\nreturn 1", "error", "result pipe"),
    "a forged number and its own": (
        "import os, struct",
        "os.write(3, struct.pack('!Icdd', 17, b'N', 99.0, 0.0))\nreturn 1",
        "error",
        "more results than rows",
    ),
    "forged records for every row": (
        "import os, struct",
        "os.write(3, struct.pack('!Icdd', 17, b'N', 99.0, 0.0) * 50)\nreturn 1",
        "error",
        "more results than rows",
    ),
    "a forged infinity": (
        "import os, struct",
        "os.write(3, struct.pack('!Icdd', 17, b'N', float('inf'), 0.0))\nos._exit(0)",
        "error",
        "not a finite number",
    ),
    "a forged timeout with a score": (
        "import os, struct, json",
        (
            "b = b'J' + json.dumps({'score': 9, 'status': 'timeout'}).encode()\n"
            "os.write(3, struct.pack('!I', len(b)) + b)\nos._exit(0)"
        ),
        "error",
        "cannot be read",
    ),
    "a forged number, then sleep": (
        "import os, struct, time",
        "os.write(3, struct.pack('!Icdd', 17, b'N', 99.0, 0.0))\ntime.sleep(1000)",
        "timeout",
        "stopped after",
    ),
    "a forged number, then a crash": (
        "import os, struct",
        "os.write(3, struct.pack('!Icdd', 17, b'N', 99.0, 0.0))\nos.abort()",
        "error",
        "killed by",
    ),
    "a forged number, then the result pipe closed": (
        "import os, struct, time",
        "os.write(3, struct.pack('!Icdd', 17, b'N', 99.0, 0.0))\nos.close(3)\ntime.sleep(1000)",
        "error",
        "closed the result pipe",
    ),
    "a frame in drips": (
        "import os, struct, time",
        "os.write(3, struct.pack('!I', 60000))\nwhile True:\n    os.write(3, b'J')\n    time.sleep(0.3)",
        "timeout",
        "stopped after 1 s",
    ),
    "half a frame": ("import os", "os.write(3, b'\\0\\0\\0\\x11N12')\nos._exit(0)", "error", "exited its process"),
    "an endless frame": ("import os", "while True:\n    os.write(3, b'\\xff' * 65536)", "error", "result pipe"),
    "the result pipe closed": ("import os", "os.close(3)\nreturn 1", "error", "exited its process"),
    "every descriptor written to": (
        "import os",
        (
            "for fd in (0, 1, 2, *range(4, 300)):\n    try:\n        os.write(fd, b'N' * 99)\n    except OSError:\n"
            "        pass\nreturn 0.5"
        ),
        "ok",
        0.5,
    ),
    "the host patched to give 1": (
        "import sys",
        (
            "host = sys.modules['worker.sandbox.grading']\nhost.finite = lambda *a, **k: 1.0\n"
            "host.frames.number = lambda *a, **k: b''\nreturn 0"
        ),
        "error",
        "",
    ),
    "builtins patched": (
        "import builtins, json, random",
        "builtins.float = builtins.len = lambda *a: 1\njson.loads = random.seed = None\nreturn 0.5",
        "ok",
        0.5,
    ),
    "frames walked to the host": (
        "import sys",
        (
            "frame = sys._getframe()\nwhile frame.f_back:\n    frame = frame.f_back\n"
            "    frame.f_locals.clear()\n    frame.f_globals.clear()\nreturn 0.5"
        ),
        "error",
        "",
    ),
    "gc walked to the host": (
        "import gc",
        "gc.unfreeze()\n[x.clear() for x in gc.get_objects() if type(x) is dict and 'NUMBER_BODY' in x]\nreturn 0.5",
        "error",
        "",
    ),
    "sys.exit": ("import sys", "sys.exit(0)", "error", "SystemExit"),
    "SystemExit without an import": ("", "raise SystemExit(0)", "error", "SystemExit"),
    "os._exit": ("import os", "os._exit(0)", "error", "exit status 0"),
    "os._exit as if after a faulty row": ("import os", "os._exit(3)", "error", "exit status 3"),
    "abort": ("import os", "os.abort()", "error", "killed by"),
    "an alarm for the next row": (
        "import signal",
        "signal.signal(signal.SIGALRM, lambda *a: print(a))\nsignal.alarm(1)\nreturn 0.5",
        "ok",
        0.5,
    ),
    "a signal to itself": ("import signal", "signal.raise_signal(signal.SIGKILL)\nreturn 1", "error", "not permitted"),
    "recursion": ("", "def f(n):\n    return f(n + 1)\nreturn f(0)", "error", "RecursionError"),
    "recursion without a limit": (
        "import sys\nclass R:\n    def __repr__(self):\n        return repr(self)",
        "sys.setrecursionlimit(2**30)\nrepr(R())",
        "error",
        "SIGSEGV",
    ),
    "huge output": ("", "for i in range(2000):\n    print('x' * 100000)\nreturn 0.5", "ok", 0.5),
    "huge exception": ("", "raise ValueError('x' * 10**7)", "error", "ValueError: xxx"),
    "an exception that cannot be shown": (
        "class Bad(Exception):\n    def __str__(self):\n        raise SystemExit(1)",
        "raise Bad()",
        "error",
        "cannot be shown",
    ),
    "an exception whose text is a lie": (
        (
            "class S(str):\n    def __getitem__(self, i):\n        return 7\nclass Bad(Exception):\n"
            "    def __str__(self):\n        return S('x')"
        ),
        "raise Bad()",
        "error",
        "cannot be shown",
    ),
    "a float that lies": (
        (
            "class F(float):\n    def __float__(self):\n        return 1.0\n"
            "    def __eq__(self, o):\n        return True\n"
            "    def __class__(self):\n        return float"
        ),
        "return F(0.125)",
        "ok",
        0.125,
    ),
    "an object that says it is a float": (
        "class F:\n    __class__ = float\n    def __float__(self):\n        return 1.0",
        "return F()",
        "error",
        "a value of type F",
    ),
    "a type with a lying name": (
        "class M(type):\n    __name__ = property(lambda c: 1 / 0)\nclass F(metaclass=M):\n    pass",
        "return F()",
        "error",
        "a value of type F",
    ),
    "import tricks": (
        "import importlib",
        "return len(importlib.import_module('torch').__name__)",
        "error",
        "No module named 'torch'",
    ),
    "site-packages by path": (
        "import sys",
        f"sys.path.append({str(Path(pytest.__file__).parents[1])!r})\n__import__('pytest')\nreturn 1",
        "error",
        "",
    ),
    "code made from text": ("", "return eval('__imp' + 'ort__')('os').getpid() < 0", "ok", 0.0),
    "NUL and surrogates in the reason": ("", "raise ValueError('a\\0b\\ud800c')", "error", "a\ufffdb?c"),
    "an endless __del__": (
        "class D:\n    def __del__(self):\n        while True:\n            pass",
        "x = D()\nreturn 0.5",
        "timeout",
        "stopped after",
    ),
    "an endless loop in a C library": (
        "import itertools",
        "return sum(itertools.count())",
        "timeout",
        "stopped after",
    ),
    "an endless search in C": ("", "return any(iter(int, 1))", "timeout", "stopped after"),
    "a regex bomb over many lines": (
        "import re",
        "return len(re.findall(r'(.*)*\\d$', ('x' * 40 + '\\n') * 3, re.M))",
        "timeout",
        "stopped after",
    ),
    "a number with too many digits to print": ("", "return len(str(10 ** 10 ** 5))", "error", "ValueError"),
    "a compressed bomb": (
        "import zlib",
        "return len(zlib.decompress(zlib.compress(bytes(2**26)) * 1 , bufsize=2**31))",
        "error",
        "MemoryError",
    ),
    "reading its own environment block": (
        "import os",
        "return len(open('/proc/self/environ', 'rb').read()) + len(os.environ.get('PATH', ''))",
        "error",
        "/proc/self/environ",
    ),
    "reading the parent's environment": (
        "import os",
        "return len(open(f'/proc/{os.getppid()}/environ', 'rb').read())",
        "error",
        "/environ",
    ),
    "reading the parent's memory": (
        "import os",
        "return len(open(f'/proc/{os.getppid()}/mem', 'rb').read(1))",
        "error",
        "/mem",
    ),
    "listing the parent's descriptors": (
        "import os",
        "return len(os.listdir(f'/proc/{os.getppid()}/fd'))",
        "error",
        "/fd",
    ),
    "listing processes": ("import os", "return len(os.listdir('/proc'))", "error", "/proc"),
    "opening a descriptor of the parent": (
        "import os",
        "return os.open(f'/proc/{os.getppid()}/fd/0', os.O_RDWR)",
        "error",
        "/fd/0",
    ),
    "taking a descriptor of the parent": (
        CTYPES + "import os",
        "pid = libc.syscall(434, os.getppid(), 0)\nreturn libc.syscall(438, pid, 0, 0) >= 0 or pid >= 0",
        "ok",
        0.0,
    ),
    "writing into the parent": (
        CTYPES + "import os",
        "return libc.process_vm_writev(os.getppid(), 0, 0, 0, 0, 0) >= 0",
        "ok",
        0.0,
    ),
    "a signal to its own group": ("import os", "os.killpg(0, 9)\nreturn 1", "error", "Operation not permitted"),
    "another priority and another core": (
        "import os",
        "return os.nice(-5)",
        "error",
        "Operation not permitted",
    ),
    "a module planted for the next row": (
        "import sys, types",
        (
            "fake = types.ModuleType('json')\nfake.loads = lambda text: {'attack': False, 'honest': 1.0}\n"
            "sys.modules['json'] = fake\nsys.modules['verifier'] = fake\nreturn 0.5"
        ),
        "ok",
        0.5,
    ),
    "an importer planted for the next row": (
        "import importlib.abc, sys",
        (
            "class All(importlib.abc.MetaPathFinder):\n    def find_spec(self, *a):\n        sys.exit(7)\n"
            "sys.meta_path.insert(0, All())\nsys.path_hooks.insert(0, lambda path: sys.exit(7))\n"
            "sys.path_importer_cache.clear()\nreturn 0.5"
        ),
        "ok",
        0.5,
    ),
    "modules loaded again": (
        "import importlib, sys",
        "importlib.reload(sys.modules['worker.sandbox.grading'])\nreturn 1",
        "error",
        "",
    ),
    "a library of C loaded by path": (
        CTYPES,
        "return ctypes.CDLL('/tmp/evil.so') is not None",
        "error",
        "/tmp/evil.so",
    ),
    "code written as machine code": (
        CTYPES + "import mmap",
        (
            "page = mmap.mmap(-1, 4096, prot=7)\npage.write(b'\\x0f\\x0b')\n"
            "ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()\nreturn 1"
        ),
        "error",
        "",
    ),
    "work left for the end of the process": (
        "import atexit, sys, weakref\nclass Last:\n    pass\nlast = Last()",
        (
            "atexit.register(print, 'late')\nweakref.finalize(last, sys.exit, 9)\n"
            "sys.setprofile(lambda *a: None)\nsys.settrace(lambda *a: None)\nreturn 0.5"
        ),
        "ok",
        0.5,
    ),
    "a hook on every import and exec": (
        "import sys",
        "sys.addaudithook(lambda name, args: sys.exit(3) if name in ('exec', 'import') else None)\nreturn 0.5",
        "ok",
        0.5,
    ),
    "a record with a huge component": (
        "",
        "return {'score': 0.5, 'components': {'x': 10 ** 400}}",
        "error",
        "too large",
    ),
    "a record with endless components": (
        "",
        "return {'score': 0.5, 'components': {str(n): n for n in range(10 ** 5)}}",
        "error",
        "at most",
    ),
    "a huge reason": ("", "return {'score': 0.5, 'reason': 'x' * 10 ** 7}", "ok", 0.5),
    "an exception that nests without end": (
        "",
        (
            "error = None\nfor n in range(5000):\n    new = ValueError(n)\n    new.__cause__ = error\n"
            "    error = new\nraise ExceptionGroup('all', [error] * 1000)"
        ),
        "error",
        "all (1000 sub-exceptions)",
    ),
    "a hash that never ends": (
        "class H:\n    def __hash__(self):\n        while True:\n            pass",
        "return {H(): 1}",
        "timeout",
        "stopped after",
    ),
    "a clock set back": (
        "import time",
        "time.clock_settime(time.CLOCK_REALTIME, 0)\nreturn 1",
        "error",
        "not permitted",
    ),
}


@pytest.mark.usefixtures("landlock")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_row_ends_in_its_own_record(sandbox, name):
    head, lines, status, evidence = HOSTILE[name]
    attack = "if item['attack']:\n" + "\n".join("    " + line for line in lines.splitlines())
    spec = python(body(attack + "\nreturn item['honest']", head=head))
    rows = [sample(attack=False, honest=0.25), sample(attack=True, honest=1.0), sample(attack=False, honest=0.75)]
    before, record, after = sandbox.grade(spec, rows)
    assert outcomes([before, after]) == [(0.25, "ok"), (0.75, "ok")]
    assert record.status == status, record
    if status == "ok":
        assert record.score == evidence
    else:
        assert evidence in record.reason
    assert len(record.reason or "") <= 3000
    assert len(record.stdout) <= 2000


def test_the_suite_is_as_large_as_it_says():
    assert len(HOSTILE) >= 60


# What one call could leave for the next to read: (head, what leaves it in the first row, what looks for it).
def test_a_regex_that_backtracks_for_ever_times_out_alone(sandbox):
    spec = regex(r"(a|aa)+$")
    records = sandbox.grade(spec, [sample("a"), sample("a" * 100 + "b"), sample("aaa")])
    assert outcomes(records) == [(1.0, "ok"), (None, "timeout"), (1.0, "ok")]


def test_a_hostile_module_level_is_no_different(sandbox):
    spec = python("while True:\n    pass\n" + body("return 1"))
    assert outcomes(sandbox.grade(spec, [sample()])) == [(None, "timeout")]


def test_thirty_abnormal_exits_in_a_row_leave_a_working_sandbox(sandbox):
    start = time.monotonic()
    spec = python("import os\n" + body("os._exit(1)"))
    assert {r.status.value for r in sandbox.grade(spec, [sample() for _ in range(30)])} == {"error"}
    assert outcomes(sandbox.grade(python(body("return 1")), [sample()])) == [(1.0, "ok")]
    assert time.monotonic() - start < 20
