"""Code in the completion must pass the row's unit tests, each within its own time limit."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''import re
import signal

TEST_S = 0.5  # seconds for the code itself, and for each test; the sandbox limits the whole call


def too_long(number, frame):
    raise TimeoutError(f"exceeded {TEST_S} s")


def run(source, names):
    """Return the error, or None. Everything the code raises, including exit(), is caught here."""
    signal.setitimer(signal.ITIMER_REAL, TEST_S)
    try:
        exec(compile(source, "<completion>", "exec"), names)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:200]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def grade(item, output_text):
    """Return the share of item["tests"] that the code passes; a test is Python: assert add(1, 2) == 3"""
    blocks = re.findall(r"```(?:python|py)?\\s*\\n(.*?)```", output_text, re.DOTALL)
    signal.signal(signal.SIGALRM, too_long)
    names = {"__name__": "completion"}
    fault = run(blocks[-1] if blocks else output_text, names)
    if fault:
        return {"score": 0.0, "reason": fault}
    faults = [run(test, dict(names)) for test in item["tests"]]
    passed = sum(fault is None for fault in faults)
    first = next((f"{test}: {fault}" for test, fault in zip(item["tests"], faults) if fault), "all tests pass")
    return {"score": passed / len(faults), "components": {"passed": passed}, "reason": first}
'''

ROW = {"tests": ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"], "answer": "def add(a, b): return a + b"}

VERIFIER = ReadyMade(
    id="unit-tests",
    name="Code that passes unit tests",
    use="Programming tasks with a column “tests”, a list of assertions. Each completion runs in its own process.",
    grader={"type": "python", "source": SOURCE, "isolation": "call"},
    examples=(
        Example(ROW, "Here:\n```python\ndef add(a, b):\n    return a + b\n```", 1.0),
        Example(ROW, "def add(a, b): return 3", 0.5),
        Example(ROW, "def add(a, b):\n    while a < 0: pass\n    return a + b", 0.5),
        Example(ROW, "exit()", 0.0),
        Example(ROW, "add the numbers", 0.0),
    ),
)
