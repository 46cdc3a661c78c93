"""`model_code` as verifiers of users use it."""

import re
from pathlib import Path

import pytest

from tests.worker.sandbox.test_lifecycle import children_of, wait_until
from tests.worker.sandbox.verifiers import body, outcomes, python, sample
from worker.sandbox.policy import SandboxLimits
from worker.sandbox.pool import Sandbox

pytestmark = pytest.mark.usefixtures("python_allowed")

HEAD = "import model_code\n"


def record_of(sandbox, lines, *, head=HEAD, text="", **item):
    (record,) = sandbox.grade(python(body(lines, head=head)), [sample(text, **item)])
    return record


# lines of a verifier, each of which must return a true score
WORKS = {
    "a call": "with model_code.Program('def f(a, *, b=1): return a + b') as p:\n    return p.call('f', 2, b=3) == 5",
    "names": "return model_code.Program('def f(): pass\\nx = 1\\n_y = 2').names == {'f', 'x', '_y'}",
    "what a program prints": (
        "p = model_code.Program('print(input() + \"!\")', stdin='hi', main=True)\nreturn p.output == 'hi!\\n'"
    ),
    "an error of the code, as its builtin class": (
        "p = model_code.Program('def f(): return [][1]')\n"
        "try:\n    p.call('f')\nexcept IndexError as error:\n"
        "    return isinstance(error, model_code.CodeError) and p.stopped is None and 'out of range' in str(error)"
    ),
    "an iterator that ends": (
        "p = model_code.Program('def f(): yield 1\\ndef g(): next(iter([]))')\n"
        "try:\n    p.call('g')\nexcept StopIteration:\n    return 0\nexcept model_code.CodeError as error:\n"
        "    return list(p.call('f')) == [1] and 'StopIteration' in str(error)"
    ),
    "an error of a class of the code": (
        "p = model_code.Program('class E(Exception): pass\\ndef f(): raise E(7)')\n"
        "try:\n    p.call('f')\nexcept model_code.CodeError as error:\n    return str(error) == 'E: 7'"
    ),
    "an error of a subclass of a builtin class": (
        "p = model_code.Program('class E(KeyError): pass\\ndef f(): raise E(7)')\n"
        "try:\n    p.call('f')\nexcept KeyError as error:\n    return type(error).__name__ == 'E'"
    ),
    "an error as it loads": (
        "try:\n    model_code.Program('1 / 0')\nexcept ZeroDivisionError as error:\n"
        "    return isinstance(error, model_code.CodeError)"
    ),
    "a process that is gone": (
        "p = model_code.Program('import os\\ndef f(): os._exit(7)')\nfor n in range(2):\n"
        "    try:\n        p.call('f')\n    except model_code.CodeError as error:\n        text = str(error)\n"
        "return p.stopped == text == 'the code ended its process (exit status 7)'"
    ),
    "time that starts again": (
        "source = 'from time import process_time as now\\ndef f():\\n end = now() + 0.1\\n while now() < end: pass'\n"
        "p = model_code.Program(source, seconds=0.15)\n"
        "for n in range(3):\n    p.allow(0.15)\n    p.call('f')\n"
        "try:\n    p.call('f')\nexcept model_code.CodeError as error:\n    return 'time was over' in str(error)"
    ),
    "time that waits for a processor does not count, up to four times the limit": (
        "p = model_code.Program('from time import sleep', seconds=1.0)\np.allow(0.1)\np.call('sleep', 0.2)\n"
        "try:\n    p.call('sleep', 0.3)\n"
        "except model_code.CodeError as error:\n    return 'time was over' in str(error)"
    ),
    "two programs, one after the other": (
        "a = model_code.Program('x = 1')\nb = model_code.Program('x = 2')\n"
        "try:\n    a.module.x\nexcept model_code.CodeError:\n    return b.module.x == 2"
    ),
    "nothing left of the program before": (
        "model_code.Program('import builtins, sys\\nsys.left = builtins.left = 1')\n"
        "p = model_code.Program('import builtins, sys\\nfound = [hasattr(x, \"left\") for x in (sys, builtins)]')\n"
        "return p.module.found == [False, False]"
    ),
    "many programs": "return [model_code.Program(f'x = {n}').module.x for n in range(20)] == list(range(20))",
    "code that says too much": (
        "p = model_code.Program('def f(n): return \"x\" * n')\n"
        "try:\n    p.call('f', 2**23)\nexcept ValueError as error:\n"
        "    return 'cross' in str(error) and p.call('f', 2**20) == 'x' * 2**20"
    ),
    "arguments that are too much": (
        "p = model_code.Program('def f(x): return len(x)')\n"
        "try:\n    p.call('f', 'x' * 2**23)\nexcept model_code.CodeError:\n    return p.call('f', 'x' * 2**20) == 2**20"
    ),
    "an argument that cannot be sent": (
        "p = model_code.Program('def f(x): return x')\n"
        "try:\n    p.call('f', len)\nexcept model_code.CannotSendError as error:\n    return 'function' in str(error)"
    ),
    "an object of another program": (
        "f = model_code.Program('def f(x): return x').module.f\np = model_code.Program('def f(x): return x')\n"
        "try:\n    p.call('f', f)\nexcept model_code.CannotSendError:\n    return True"
    ),
    "names of parameters that are its own": (
        "p = model_code.Program('def f(self, name, operation, target): return [self, name, operation, target]')\n"
        "return p.call('f', self=1, name=2, operation=3, target=4) == [1, 2, 3, 4]"
    ),
    "source that is no text": "try:\n    model_code.Program(b'x = 1')\nexcept TypeError:\n    return True",
    "a signal of the verifier's own": (
        "import signal\nsignal.signal(signal.SIGALRM, lambda *a: None)\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\n"
        "return model_code.Program('import time\\ntime.sleep(0.2)\\nx = 1').module.x"
    ),
}


@pytest.mark.parametrize("lines", WORKS.values(), ids=WORKS)
def test_a_verifier_can_run_code_that_a_model_wrote(sandbox, lines):
    record = record_of(sandbox, lines)
    assert outcomes([record]) == [(1.0, "ok")], record


def test_it_works_without_landlock_too():
    with Sandbox(SandboxLimits(row_timeout_s=2.0), max_level=1) as own_sandbox:
        assert own_sandbox.confinement.level == 1
        record = record_of(own_sandbox, WORKS["a call"])
        assert outcomes([record]) == [(1.0, "ok")], record


def test_a_verifier_that_does_not_import_it_gets_no_process(sandbox):
    record = record_of(sandbox, "return __import__('model_code').Program('x = 1').module.x", head="")
    assert record.status.value == "error"
    assert "must `import model_code`" in record.reason


@pytest.mark.usefixtures("landlock")
def test_code_reaches_neither_its_verifier_nor_the_server(sandbox):
    """The descriptors of a process can be opened by another one of the same user, unless something forbids it."""
    code = """
import os

def opened(pids):
    found = []
    for pid in pids:
        for name in ("fd/0", "fd/3", "fd/4", "fd/5", "mem", "environ"):
            try:
                found.append((pid, name, os.open(f"/proc/{pid}/{name}", os.O_RDONLY)))
            except FileNotFoundError:
                pass
            except PermissionError:
                found.append(pid)
    return found
"""
    lines = (
        "p = model_code.Program(item['code'])\nmine, server = os.getpid(), os.getppid()\n"
        "found = p.call('opened', [mine, server])\nreturn {mine, server} == set(found)"
    )
    record = record_of(sandbox, lines, head=HEAD + "import os\n", code=code)
    assert outcomes([record]) == [(1.0, "ok")], record


LEFT = {
    "the verifier returns": "return 1",
    "the verifier fails": "return 1 / 0",
    "the verifier leaves": "import os\nos._exit(3)",
    "the verifier hangs": "while True:\n    pass",
    "the verifier waits": "p.call('f')",
}


@pytest.mark.parametrize("lines", LEFT.values(), ids=LEFT)
def test_no_process_outlives_its_verifier(sandbox, lines):
    start = "p = model_code.Program('def f():\\n    while True: pass', seconds=99)\n"
    record_of(sandbox, start + lines)
    assert wait_until(lambda: not any(children_of(pid) for pid in sandbox.server_pids))


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ("model_code.score_if_stopped(0.25)\nwhile True:\n    pass", (0.25, "ok")),
        ("model_code.score_if_stopped(0.25)\nos._exit(1)", (0.25, "ok")),
        ("model_code.score_if_stopped(0.25)\nmodel_code.score_if_stopped(0.5)\nos.abort()", (0.5, "ok")),
        ("model_code.score_if_stopped(0.25)\nreturn 1", (1.0, "ok")),
        ("model_code.score_if_stopped(0.25)\nreturn None", (None, "abstain")),
        ("model_code.score_if_stopped(0.25)\nreturn 1 / 0", (None, "error")),
        ("model_code.score_if_stopped(float('nan'))", (None, "error")),
        ("while True:\n    pass", (None, "timeout")),
    ],
)
def test_the_score_of_a_stop_counts_only_if_there_is_one(sandbox, lines, outcome):
    assert outcomes([record_of(sandbox, lines, head=HEAD + "import os\n")]) == [outcome]


def test_the_score_of_a_stop_says_that_it_is_one(sandbox):
    record = record_of(sandbox, "model_code.score_if_stopped(0.0)\nwhile True:\n    pass")
    assert "stopped after 1 s" in record.reason


def test_code_in_the_verifiers_own_process_cannot_set_the_score_of_a_stop(sandbox):
    """Only verifiers that import `model_code` may: others have no reason to, and may execute what a model wrote."""
    forged = "import os, struct\nos.write(3, struct.pack('!Icdd', 17, b'I', 1.0, 0.0))\nos._exit(0)"
    (record,) = sandbox.grade(python(body("exec(sample['output_text'])")), [sample(forged)])
    assert (record.score, record.status.value) == (None, "error")


def test_a_flood_of_requests_ends_in_the_verifiers_own_record(sandbox):
    flood = "import os\nwhile True:\n    os.write(5, b'S')"
    spec = python(body(f"if item['attack']:\n    exec({flood!r})\nreturn 0.5", head=HEAD))
    before, record, after = sandbox.grade(spec, [sample(attack=n == 1) for n in range(3)])
    assert outcomes([before, after]) == [(0.5, "ok")] * 2
    assert record.score is None


def test_the_batch_of_a_verifier_that_scores_many_at_once_is_graded_too(sandbox):
    source = (
        HEAD + "def reward(completions, **columns):\n"
        "    return [model_code.Program(text).call('f') for text in completions]\n"
    )
    rows = [sample(f"def f(): return {n}") for n in range(5)]
    assert outcomes(sandbox.grade(python(source), rows)) == [(float(n), "ok") for n in range(5)]


def test_the_example_of_the_documents_works(sandbox):
    text = (Path(__file__).parents[4] / "docs/verifiers.md").read_text()
    (example,) = re.findall(r"```python\n(import model_code.*?)```", text, re.DOTALL)
    codes = ("def add(a, b): return a + b", "def add(a, b): return 4", "def add(", "while True: pass")
    assert [record.score for record in sandbox.grade(python(example), [sample(code) for code in codes])] == [1, 0, 0, 0]
