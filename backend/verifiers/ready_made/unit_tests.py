"""Code in the completion must pass the row's unit tests, each within its own time limit."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''import model_code

TEST_S = 0.5  # seconds for each test; the sandbox limits the whole call


def grade(item, output_text):
    """Return the share of item["tests"] that the code passes. A test is Python: assert add(1, 2) == 3

    Or {"input": "1 2", "output": "3"}, for a program that reads and prints. The code runs in another process, which
    gets only the arguments of each call: what it returns comes back as plain values, which the tests compare here.
    """
    tests, faults = model_code.tests_of(item["tests"]), []
    entry_point = item.get("entry_point")
    model_code.score_if_stopped(0.0)  # this process, too, computes with what the model wrote
    source = model_code.program_for(output_text, tests, entry_point=entry_point)
    for fault in model_code.run_tests(source, tests, seconds=TEST_S, entry_point=entry_point):
        faults.append(fault)
        model_code.score_if_stopped(faults.count(None) / len(tests))
    first = next((f"{test}: {fault}" for test, fault in zip(tests, faults) if fault), "all tests pass")
    return {"score": faults.count(None) / len(tests), "components": {"passed": faults.count(None)}, "reason": first}
'''

ROW = {"tests": ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"], "answer": "def add(a, b): return a + b"}
PROGRAM = {"tests": [{"input": "1 2\n", "output": "3\n"}], "answer": "print(sum(map(int, input().split())))"}
LEETCODE = {
    "tests": ["def check(candidate):\n    assert candidate(a=1, b=2) == 3"],
    "entry_point": "Solution().add",
    "answer": "class Solution:\n    def add(self, a, b): return a + b",
}

VERIFIER = ReadyMade(
    id="unit-tests",
    name="Code that passes unit tests",
    use=(
        "Programming tasks with a column “tests”: assertions, test cases, or inputs and outputs of a program. The code "
        "runs in a process of its own and cannot give itself marks. It can still hard-code what the prompt shows of "
        "the tests, and pass a test that accepts many answers: keep some tests out of the prompt."
    ),
    grader={"type": "python", "source": SOURCE, "isolation": "call"},
    examples=(
        Example(ROW, "Here:\n```python\ndef add(a, b):\n    return a + b\n```", 1.0),
        Example(ROW, "```python\ndef add(a, b): return a + b\n```\nIt prints:\n```\n3\n```", 1.0),
        Example(
            ROW, "```python\ndef add(a, b): return a + b\n```\nFor example:\n```python\nprint(add(1, 2))\n```", 1.0
        ),
        Example(
            ROW, "```python\ndef add(a, b): return a - b\n```\nNo:\n```python\ndef add(a, b): return a + b\n```", 1.0
        ),
        Example(ROW, "```python\ndef add(a, b) return a\n```\nNo:\n```python\ndef add(a, b): return a + b\n```", 1.0),
        Example(ROW, "```python\ndef add(a, b): return a + b\n```\n```python\n>>> add(1, 2)\n3\n```", 1.0),
        Example(
            ROW,
            "```python\ndef add(a, b): return a + b\n```\nUsage:\n```python\nfrom solution import add\nadd(1, 2)\n```",
            1.0,
        ),
        Example(ROW, "```\ndef add(a, b): return a + b\n```\nIt prints:\n```\n3\n```", 1.0),
        Example(ROW, "<think>\n```python\ndef add(a, b): return a + b\n```\n</think>\nI give up.", 0.0),
        Example(ROW, "<reasoning>\n```python\ndef add(a, b): return a + b\n```\n</reasoning>\nI give up.", 0.0),
        Example(ROW, "1. Add them:\n   ```python\n   def add(a, b):\n       return a + b\n   ```\n2. Done.", 1.0),
        Example(ROW, "~~~python\ndef add(a, b): return a + b\n~~~", 1.0),
        Example(ROW, "    def add(a, b):\n        return a + b\n", 1.0),
        Example(ROW, "[PYTHON]\ndef add(a, b):\n    return a + b\n[/PYTHON]", 1.0),
        Example(ROW, "def add(a, b): return 3", 0.5),
        Example(ROW, "def add(a, b):\n    while a < 0: pass\n    return a + b", 0.5),
        Example(ROW, "class Equal:\n    __eq__ = lambda a, b: True\ndef add(a, b): return Equal()", 0.0),
        Example(ROW, "import os\nos._exit(0)", 0.0),
        Example(ROW, "add the numbers", 0.0),
        Example(PROGRAM, "a, b = map(int, input().split())\nprint(a + b)", 1.0),
        Example(
            PROGRAM,
            "```python\nprint(int(input()))\n```\nNo:\n```python\nprint(sum(map(int, input().split())))\n```",
            1.0,
        ),
        Example(
            PROGRAM, "```python\nimport sys\n```\n```python\nprint(sum(map(int, sys.stdin.read().split())))\n```", 1.0
        ),
        Example(PROGRAM, "print(input())", 0.0),
        Example(LEETCODE, "```python\nclass Solution:\n    def add(self, a, b):\n        return a + b\n```", 1.0),
        Example(LEETCODE, "```python\nclass Solution:\n    def add(self, a, b):\n        return a - b\n```", 0.0),
    ),
)
