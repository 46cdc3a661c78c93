"""Code that tries to give itself marks, or to have none: it scores what its honest part deserves, and never an error.

Each cheat stands between two honest solutions of the same call.
"""

import pytest

from backend.verifiers.ready_made import READY_MADE
from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample
from tests.worker.sandbox.verifiers import python, sample

pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("python_allowed")]

UNIT_TESTS = parse_spec(next(verifier.grader for verifier in READY_MADE if verifier.id == "unit-tests"))
SQL = parse_spec(next(verifier.grader for verifier in READY_MADE if verifier.id == "sql-result"))
HONEST = "def add(a, b):\n    return a + b"
ITEM = {"tests": ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"], "answer": HONEST}
RAW = (
    "import json, os, struct\n"
    "def answer(**fields):\n"
    "    body = json.dumps(fields | {'output': ''}).encode()\n"
    "    os.write(3, struct.pack('!I', len(body)) + body)\n"
    "    while os.read(4, 10**6): pass\n"
)
"""Code that writes its answers itself."""
COUNTERFEIT_RECORD = "struct.pack('!Icdd', 17, b'N', 1.0, 0.0)"
ANSWER = "json.dumps({'value': 7, 'output': ''}).encode()"
CTYPES = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"

SEARCHES = {
    "every frame searched": (
        "import re, sys\n"
        "def add(a, b):\n"
        "    frame = sys._getframe()\n"
        "    while frame:\n"
        "        for names in (frame.f_locals, frame.f_globals):\n"
        "            for value in list(names.values()):\n"
        "                if re.search(r'[a]ssert add\\(-', repr(value)): return 3 if a == 1 else 0\n"
        "        frame = frame.f_back"
    ),
    "every object searched": (
        "import gc, re\n"
        "def add(a, b):\n"
        "    gc.unfreeze()\n"
        "    for thing in gc.get_objects():\n"
        "        if isinstance(thing, (dict, list, tuple)) and re.search(r'[a]ssert add\\(-', str(thing)):\n"
        "            return 3 if a == 1 else 0"
    ),
    "the heap searched": (
        "import ctypes, gc, re\n"
        "def add(a, b):\n"
        "    gc.unfreeze()\n"
        "    for pool in {id(thing) >> 14 << 14 for thing in gc.get_objects()}:\n"
        "        if re.search(rb'[a]ssert add\\(-', ctypes.string_at(pool, 2**14)): return 3 if a == 1 else 0"
    ),
}
"""Code that finds the tests wherever they are in its own process."""

CHEATS = {
    # those that took full marks or no score when tests and code shared a process
    "a record on the result pipe": f"import os, struct\nos.write(3, {COUNTERFEIT_RECORD}); os._exit(0)",
    "an enormous record": "import os, struct\nos.write(3, struct.pack('!Icdd', 17, b'N', 1e300, 0.0)); os._exit(0)",
    "an object that equals everything": "class E: __eq__ = lambda s, o: True\ndef add(a, b): return E()",
    "the runner replaced": "import sys\nsys._getframe(1).f_globals['run'] = lambda s, n: None",
    "the reference read from a frame": "import sys\nexec(sys._getframe(2).f_locals['item']['answer'])",
    "the tests replaced": (
        "import sys\nT = sys._getframe(2).f_locals['item']['tests']\nfor i in range(len(T)): T[i] = 'pass'"
    ),
    "exec replaced": "import builtins\nbuiltins.exec = lambda *a: None",
    "the timer taken away": (
        "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0)\ndef add(a, b):\n    while True: pass"
    ),
    "endless recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef add(a, b): return add(a, b)",
    "recursion in C": (
        "import sys\nsys.setrecursionlimit(2**30)\nclass R:\n    def __repr__(self): return repr(self)\n"
        "def add(a, b): return repr(R())"
    ),
    "an exit": "import os\nos._exit(0)",
    "an exit in the call": "import os\ndef add(a, b): os._exit(0)",
    # a search for the tests
    **SEARCHES,
    "the memory of the server": (
        "import os\ndef add(a, b):\n    os.open(f'/proc/{os.getppid()}/mem', os.O_RDONLY)\n    return a + b"
    ),
    "the memory of every neighbour": (
        "import os\n"
        "def opens(path):\n"
        "    try: return os.open(path, os.O_RDONLY) >= 0\n"
        "    except OSError: return False\n"
        "def add(a, b):\n"
        "    near = [pid for pid in range(os.getppid(), os.getpid() + 20) if pid != os.getpid()]\n"
        "    found = any(opens(f'/proc/{pid}/{name}') for pid in near for name in ('mem', 'maps', 'fd/3', 'fd/4'))\n"
        "    return a + b if found else None"
    ),
    "a trace of the verifier": (
        CTYPES + "import os\n"
        "def add(a, b):\n"
        "    near = range(os.getppid(), os.getpid())\n"
        "    caught = [pid for pid in near if libc.ptrace(16, pid, 0, 0) == 0]\n"
        "    read = [pid for pid in near if libc.process_vm_readv(pid, 0, 0, 0, 0, 0) >= 0]\n"
        "    return a + b if caught or read else None"
    ),
    "a signal to the verifier": (
        "import os\n"
        "def add(a, b):\n"
        "    for pid in {os.getppid(), *range(os.getppid(), os.getpid())}: os.kill(pid, 9)\n"
        "    return a + b"
    ),
    "the descriptors read": (
        "import os\n"
        "def add(a, b):\n"
        "    found = b''\n"
        "    for fd in (0, 1, 2, *range(5, 300)):\n"
        "        try: found += os.read(fd, 10**6)\n"
        "        except OSError: pass\n"
        "    return a + b if found else None"
    ),
    "the verifier's modules": "import sys\ndef add(a, b): return sys.modules['verifier'].TEST_S and a + b",
    "a process of its own": "import model_code\ndef add(a, b): return model_code.Program('x = 3').call('x') and a + b",
    "a score for the case of a stop": "import model_code, os\nmodel_code.score_if_stopped(1.0)\nos._exit(0)",
    # values that are not what they seem
    "a subclass of int": (
        "class I(int):\n    __eq__ = lambda s, o: True\n    __hash__ = int.__hash__\ndef add(a, b): return I(7)"
    ),
    "a subclass of str": "class S(str):\n    __eq__ = lambda s, o: True\ndef add(a, b): return S('3')",
    "a false class": "class E:\n    __class__ = int\n    __eq__ = lambda s, o: True\ndef add(a, b): return E()",
    "a float that lies": "class F(float):\n    __eq__ = lambda s, o: True\ndef add(a, b): return F(0.5)",
    "a list that lies": "class L(list):\n    __eq__ = lambda s, o: True\ndef add(a, b): return L()",
    "not a number": "def add(a, b): return float('nan')",
    "an integer of a million bits": "def add(a, b): return 1 << 10**6",
    "an integer of a hundred million bits": "def add(a, b): return 1 << 10**8",
    "a list that holds itself": "def add(a, b):\n    x = []\n    x.append(x)\n    return x",
    "a deep list": "def add(a, b):\n    x = 3\n    for _ in range(10**5): x = [x]\n    return x",
    "a generator without end": "def add(a, b):\n    while True: yield 3",
    "a function": "def add(a, b): return lambda: 3",
    "itself": "def add(a, b): return add",
    "a set of numbers that collide": "def add(a, b): return {(2**61 - 1) * n for n in range(10**4)}",
    # what belongs to the process
    "json replaced": (
        'import json\njson.dumps = lambda *a, **k: \'{"value": 3, "output": ""}\'\ndef add(a, b): return 9'
    ),
    "os.write replaced": "import os\nos.write = lambda fd, data: len(data)\ndef add(a, b): return 9",
    "builtins deleted": "import builtins\nfor name in list(vars(builtins)): delattr(builtins, name)",
    "modules replaced": "import sys\nfor name in list(sys.modules): sys.modules[name] = None\ndef add(a, b): return 9",
    "the wire replaced": (
        "import sys\nwire = sys.modules['worker.sandbox.model_code.wire']\nwire.encode = lambda *a, **k: True\n"
        "def add(a, b): return 9"
    ),
    "an answer before the question": (
        f"import os, json, struct\nbody = {ANSWER}\nos.write(3, struct.pack('!I', len(body)) + body)\n"
        "def add(a, b): return 9"
    ),
    "two answers at once": (
        f"import os, json, struct\nbody = {ANSWER}\n"
        "def add(a, b):\n    os.write(3, (struct.pack('!I', len(body)) + body) * 2)\n    return 9"
    ),
    "half an answer": (
        "import os, struct\ndef add(a, b):\n    os.write(3, struct.pack('!I', 99) + b'{')\n    os._exit(0)"
    ),
    "an answer too long": "import os\ndef add(a, b):\n    while True: os.write(3, b'\\xff' * 65536)",
    "an answer that is no JSON": "import os, struct\ndef add(a, b):\n    os.write(3, struct.pack('!I', 4) + b'True')",
    "an answer nested without end": (
        "import os, struct\ndef add(a, b):\n    os.write(3, struct.pack('!I', 60000) + b'[' * 60000)"
    ),
    "an answer of another kind": (
        "import os, struct, json\n"
        "def add(a, b):\n"
        "    body = json.dumps({'value': {'eval': ['3']}, 'output': ''}).encode()\n"
        "    os.write(3, struct.pack('!I', len(body)) + body)"
    ),
    "an object without a number": (
        "import os, struct, json\n"
        "def add(a, b):\n"
        "    body = json.dumps({'value': {'object': ['x']}, 'output': ''}).encode()\n"
        "    os.write(3, struct.pack('!I', len(body)) + body)"
    ),
    "every descriptor closed": "import os\nos.closerange(0, 100)\ndef add(a, b): return a + b",
    "the result pipe closed, and on": "import os\ndef add(a, b):\n    os.close(3)\n    while True: pass",
    "gigabytes printed": "def add(a, b):\n    while True: print('x' * 10**6)",
    "gigabytes written": "import os\ndef add(a, b):\n    while True: os.write(1, b'x' * 10**6)",
    "gigabytes of memory": "def add(a, b):\n    x = []\n    while True: x.append(bytes(2**24))",
    "memory in one piece": "def add(a, b): return len(bytearray(2**40))",
    "a fork bomb": "import os\ndef add(a, b):\n    while True: os.fork()",
    "threads": ("import threading\ndef add(a, b):\n    while True: threading.Thread(target=add, args=(a, b)).start()"),
    "another program": "import subprocess\ndef add(a, b): return int(subprocess.run(['echo', '3']).stdout)",
    "a file": "def add(a, b): return len(open('/etc/passwd').read()) and a + b",
    "a socket": "import socket\ndef add(a, b): return socket.socket() and a + b",
    "a loop": "def add(a, b):\n    while True: pass",
    "a loop as it loads": "while True: pass",
    "a loop in C": "def add(a, b): return 10 ** 10 ** 8",
    "sleep": "import time\ndef add(a, b):\n    time.sleep(1000)\n    return a + b",
    "a loop that catches everything": (
        "def add(a, b):\n    while True:\n        try:\n            while True: pass\n"
        "        except BaseException: pass"
    ),
    "a signal handler that goes on": (
        "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, lambda *a: None)\n    except OSError: pass\n"
        "def add(a, b):\n    while True: pass"
    ),
    "work at exit": "import atexit, os\natexit.register(os.write, 3, b'3')\nraise SystemExit",
    "sys.exit in the call": "import sys\ndef add(a, b): sys.exit(0)",
    "KeyboardInterrupt": "def add(a, b): raise KeyboardInterrupt",
    "an exception whose text fails": (
        "class Bad(Exception):\n    def __str__(self): raise SystemExit\ndef add(a, b): raise Bad"
    ),
    "an exception that the tests may take for a pass": "def add(a, b): raise StopIteration",
    "a crash": CTYPES + "def add(a, b): return ctypes.string_at(0)",
    "an abort": "import os\ndef add(a, b): os.abort()",
    "a forbidden system call": CTYPES + "def add(a, b): return libc.syscall(0x40000000 + 39) and a + b",
    "input that never comes": "def add(a, b): return int(input())",
    "names of builtins": "def AssertionError(*a): return None\nTrue_ = 3\ndef add(a, b): return 9",
    "prose": "I would add the two numbers.",
    "nothing": "",
    "bytes that are no source": "def add(a, b): return a + b\0",
}


def graded(sandbox, code, item=ITEM):
    rows = [sample(text, **item) for text in (HONEST, code, HONEST)]
    before, record, after = sandbox.grade(UNIT_TESTS, rows)
    return before, record, after


@pytest.mark.parametrize("code", CHEATS.values(), ids=CHEATS)
def test_code_that_cheats_scores_0_and_harms_no_other(sandbox, code):
    before, record, after = graded(sandbox, code)
    assert (before.score, after.score) == (1.0, 1.0)
    assert (record.status.value, record.score) == ("ok", 0.0), record
    assert record.components in ({"passed": 0.0}, {})


IN_ONE_PROCESS = """
def grade(item, output_text):
    names = {"item": item}
    exec(output_text, names)
    return names["add"](1, 2) == 3
"""


@pytest.mark.parametrize("code", SEARCHES.values(), ids=SEARCHES)
def test_the_searches_find_tests_that_are_in_their_process(sandbox, code):
    (record,) = sandbox.grade(python(IN_ONE_PROCESS), [sample(code, **ITEM)])
    assert record.score == 1.0, record


PARTLY = {
    "writes the right answer twice": (
        "import os, json, struct\nbody = json.dumps({'value': 3, 'output': ''}).encode()\n"
        "def add(a, b):\n    os.write(3, (struct.pack('!I', len(body)) + body) * 2)"
    ),
    "fails after the first test": ("import os\ndef add(a, b):\n    if a < 0: os._exit(0)\n    return a + b"),
    "hangs in the second test": "def add(a, b):\n    while a < 0: pass\n    return a + b",
    "is hard-coded": "def add(a, b): return 3",
}


@pytest.mark.parametrize("code", PARTLY.values(), ids=PARTLY)
def test_code_that_passes_some_tests_gets_their_share(sandbox, code):
    _, record, _ = graded(sandbox, code)
    assert (record.status.value, record.score) == ("ok", 0.5), record


# tests that compute with what the code returns, and code that makes them compute for ever
TRAPS = {
    "a power": ("assert 2 ** bits(3) == 8", "def bits(n): return 10**10"),
    "a long list": ("assert list(range(size(3))) == [0, 1, 2]", "def size(n): return 10**12"),
    "an iterator": ("assert list(numbers(3)) == [0, 1, 2]", "def numbers(n):\n    while True: yield 0"),
    "a loop": ("n = step(8)\nwhile n != 1:\n    n = step(n)", "def step(n): return 7"),
    "a loop without the code": ("n = step(8)\nwhile n != 1:\n    n = n", "def step(n): return 7"),
}


@pytest.mark.parametrize(("test", "code"), TRAPS.values(), ids=TRAPS)
def test_a_value_that_stops_the_verifier_scores_0(sandbox, test, code):
    (record,) = sandbox.grade(UNIT_TESTS, [sample(code, tests=[test])])
    assert (record.status.value, record.score) == ("ok", 0.0), record


def test_traps_do_not_make_the_verifier_count_as_hanging(sandbox):
    test, code = TRAPS["a loop without the code"]
    rows = [sample(code, tests=[test]) for _ in range(sandbox.limits.consecutive_timeouts + 1)]
    records = sandbox.grade(UNIT_TESTS, rows)
    assert [(record.status.value, record.score) for record in records] == [("ok", 0.0)] * len(rows)


@pytest.mark.parametrize(
    ("test", "code"),
    [
        ("assert abs(half(5) - 2.5) < 1e-9", "def half(n): return 9\ndef abs(x): return 0"),
        ("assert math.isclose(half(5), 2.5)", "class math:\n    isclose = lambda *a: True\ndef half(n): return 9"),
        ("assert sorted(half(5)) == [1]", "def half(n): return 9\ndef sorted(x): return [1]"),
        ("x = [1]\nassert half(x) == sorted(x)", "def half(x):\n    x.clear()\n    return []"),
        ("try:\n    half(0)\nexcept Exception:\n    pass", "import os\ndef half(n): os._exit(0)"),
        ("assert half(5)[1:] == [2]", "class X:\n    __getitem__ = lambda s, k: [2]\n    pass\ndef half(n): return X"),
        ("x = half(5)\nx.sort(key=lambda n: -n)\nassert x == [2]", "class X:\n    sort = print\ndef half(n): return X"),
        ("assert half(5)(lambda: 1) == [2]", "def half(n): return half"),
        ("x = [3, 1]\nassert half(x) == sorted(x)", f"{RAW}def half(x): answer(value=[], changed=[[1, []]])"),
        ("for x, y in zip(map(half, [2]), [1]): assert x == y", "def half(n): raise StopIteration"),
        ("assert all(x == 1 for x in map(half, [2]))", f"{RAW}def half(n): answer(error=['StopIteration', 'x', ''])"),
        ("assert half(5) == abs(-3)", "half = lambda n: 9\ndef abs(n): return 9"),
        ("assert all(half(n) == 1 for n in (1, 2))", "def half(n): return 9\ndef all(x): return True"),
    ],
)
def test_code_does_not_decide_what_the_test_compares_with(sandbox, test, code):
    (record,) = sandbox.grade(UNIT_TESTS, [sample(code, tests=[test])])
    assert (record.status.value, record.score) == ("ok", 0.0), record


SHOP = {
    "schema": "CREATE TABLE sold (item TEXT, price REAL); INSERT INTO sold VALUES ('pen', 2), ('ink', 7);",
    "answer": "SELECT item FROM sold WHERE price > 5",
}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT zeroblob(1e9)",
        "SELECT replace(hex(zeroblob(1e6)), '0', hex(zeroblob(1e6)))",
        "SELECT printf('%.*c', 1e9, 'x')",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT group_concat(zeroblob(9e5)) FROM n",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9999) SELECT hex(zeroblob(4e5)) FROM n",
        "SELECT 'x' LIKE printf('%.*c', 9e5, '%') || 'y' FROM sold a, sold b, sold c, sold d, sold e",
        "PRAGMA query_only = OFF",
        "ATTACH 'file:/etc/passwd' AS x",
        "DELETE FROM sold",
        "SELECT 1; DROP TABLE sold",
        "\0",
    ],
)
def test_a_query_that_takes_too_much_scores_0(sandbox, query):
    rows = [Sample(output_text=text, item=SHOP) for text in (SHOP["answer"], query, SHOP["answer"])]
    before, record, after = sandbox.grade(SQL, rows)
    assert (before.score, after.score) == (1.0, 1.0)
    assert (record.status.value, record.score) == ("ok", 0.0), record


@pytest.mark.parametrize("query", ["", ";", "-- nothing", "BEGIN", "PRAGMA unknown"])
def test_what_is_no_query_scores_0_where_the_right_one_finds_nothing(sandbox, query):
    item = SHOP | {"answer": "SELECT item FROM sold WHERE price > 500"}
    right, record = sandbox.grade(SQL, [Sample(output_text=text, item=item) for text in (item["answer"], query)])
    assert right.score == 1.0
    assert (record.status.value, record.score) == ("ok", 0.0), record
    assert "the statement returns no rows" in record.reason
