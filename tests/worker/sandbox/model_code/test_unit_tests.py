"""Tests that the row is at fault for are errors, which name them; no completion is scored by them."""

import json

import pytest

from backend.verifiers.ready_made import READY_MADE
from backend.verifiers.specs import parse_spec
from tests.worker.sandbox.verifiers import sample

pytestmark = pytest.mark.usefixtures("python_allowed")

UNIT_TESTS = parse_spec(next(verifier.grader for verifier in READY_MADE if verifier.id == "unit-tests"))
CODE = "def add(a, b):\n    return a + b\n\ndef apply(f, x):\n    return f(x)"


def record_of(sandbox, tests, *, text=CODE, **item):
    (record,) = sandbox.grade(UNIT_TESTS, [sample(text, tests=tests, **item)])
    return record


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ([], "at least one test"),
        ({}, "at least one test"),
        (None, "at least one test"),
        ("[]", "at least one test"),
        ([7], "a test must be Python"),
        ([{"input": "1"}], "a test must be Python"),
        ([{"input": 1, "output": "1"}], "a test must be Python"),
        (["assert add(1, 2) =="], "the test is not Python"),
        (["assert add(1, 2) == 3", "return 1"], "the test is not Python"),
        (["def check(candidate):\n    assert candidate(1, 2) == 3"], "the test never uses the code"),
        (["def test_add():\n    assert 3 == 3"], "the test never uses the code"),
        (["def test_add(given):\n    assert add(*given) == 3"], "'test_add' has parameters"),
        (["import pytest\ndef test_add():\n    assert add(1, 2) == 3"], "imports 'pytest', which is not installed"),
        (["from pandas.testing import assert_frame_equal\nassert add(1, 2)"], "imports 'pandas.testing'"),
        ({"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}, "'fn_name': 'add'"),
        ({"inputs": ["1\n"], "outputs": []}, "1 inputs and 0 outputs"),
        ([{"input": "1\n2", "output": "3", "testtype": "functional"}], "a test of a function must be Python"),
        (["import unittest\nclass T(unittest.TestCase):\n    def test(self): pass"], "the test never uses the code"),
        (["assert True"], "the test never uses the code"),
        (["assert apply(lambda x: x + 1, 2) == 3"], "passes a function to the code"),
        (["assert apply(print, 2) is None"], "passes a function to the code"),
        (["def g(x):\n    return x\n\nassert apply(x=2, f=g) == 2"], "passes a function to the code"),
    ],
)
def test_a_row_with_a_test_at_fault_is_an_error_that_names_it(sandbox, tests, words):
    record = record_of(sandbox, tests)
    assert record.status.value == "error", record
    assert words in record.reason


@pytest.mark.parametrize("text", ["", "import os; os._exit(0)", "def add(a, b):\n    while True: pass"])
def test_such_a_row_is_an_error_whatever_the_code_is(sandbox, text):
    record = record_of(sandbox, ["assert add(1, 2) =="], text=text)
    assert record.status.value == "error", record


@pytest.mark.parametrize(
    "tests",
    [
        "assert add(1, 2) == 3",
        json.dumps(["assert add(1, 2) == 3", "assert add(0, 0) == 0"]),
        ["x = [1, 2]\n\ndef total():\n    return add(*x)\n\nassert total() == 3"],
        ["import operator as o\nfor a in range(3):\n    assert add(a, 1) == o.add(a, 1)"],
    ],
)
def test_the_column_may_be_a_list_json_or_one_test(sandbox, tests):
    assert record_of(sandbox, tests).score == 1.0


SUM_CLASS = "class Solution:\n    def add(self, a, b):\n        return a + b"
CHECK = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(a=0, b=5) == 5"
CASES = "import unittest\nclass T(unittest.TestCase):\n"
ADDS = "    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n"


@pytest.mark.parametrize("text", [SUM_CLASS, SUM_CLASS.replace("a, b):", "a: int, b: int) -> int:")])
@pytest.mark.parametrize("entry_point", ["Solution().add", "add"])
@pytest.mark.parametrize("test", [CHECK, "assert candidate(1, 2) == 3"])
def test_an_entry_point_may_be_a_method_of_a_solution(sandbox, text, entry_point, test):
    assert record_of(sandbox, [test], text=text, entry_point=entry_point).score == 1.0
    assert record_of(sandbox, [test], text=text.replace("a + b", "a - b"), entry_point=entry_point).score == 0.0
    assert record_of(sandbox, [test], text="class Solution: pass", entry_point=entry_point).score == 0.0
    assert record_of(sandbox, [test], text="x = 1", entry_point=entry_point).score == 0.0


@pytest.mark.parametrize(
    "test",
    [
        "def test_add():\n    assert add(1, 2) == 3",
        "def test_a():\n    assert add(0, 0) == 0\n\ndef test_b():\n    assert add(1, 2) == 3",
        "class TestAdd:\n    def test_add(self):\n        assert add(1, 2) == 3",
        CASES + ADDS,
        CASES + ADDS + "unittest.main(argv=['x'], exit=False)",
        CASES + ADDS + "if __name__ == '__main__':\n    unittest.main()",
        CASES + "    def setUp(self):\n        self.right = 3\n" + ADDS.replace(", 3)", ", self.right)"),
        "from unittest import TestCase\nclass T(TestCase):\n" + ADDS,
        CASES
        + "    def test_it(self):\n        for a in (1, 2):\n            with self.subTest(a):\n"
        + "                self.assertEqual(add(a, 2), a + 2)\n",
        "from solution import add\nassert add(1, 2) == 3",
        "from add import add\n\ndef test_add():\n    assert add(1, 2) == 3",
        "from solution import *\n" + CASES + ADDS + "unittest.main()",
    ],
)
def test_functions_and_cases_that_a_test_only_defines_are_run(sandbox, test):
    assert record_of(sandbox, [test]).score == 1.0
    assert record_of(sandbox, [test], text="def add(a, b):\n    return 0").score == 0.0


EQUAL = "class Equal:\n    __eq__ = lambda a, b: True\n    __bool__ = lambda a: True\n"
CHEATS = {
    "an object that equals everything": EQUAL + "def add(a, b): return Equal()",
    "a method that returns one": EQUAL + "class Solution:\n    def add(self, a, b): return Equal()",
    "any attribute": "class Solution:\n    def __getattr__(self, name): return lambda *a, **k: None",
    "a skipped test": "import unittest\ndef add(a, b): raise unittest.SkipTest('no')",
    "a test case of its own": "import unittest\nclass T(unittest.TestCase): pass\ndef add(a, b): return 0",
    "a check of its own": "def check(candidate): pass\ndef add(a, b): return 0",
    "an exit": "import sys\ndef add(a, b): sys.exit(0)",
}


@pytest.mark.parametrize("text", CHEATS.values(), ids=CHEATS)
@pytest.mark.parametrize("test", [CHECK, CASES + ADDS, "def test_add():\n    assert add(1, 2) == 3"])
def test_code_does_not_pass_a_test_that_is_only_defined_by_other_means(sandbox, text, test):
    assert record_of(sandbox, [test], text=text, entry_point="Solution().add").score == 0.0
    assert record_of(sandbox, [test], text=text, entry_point="add").score == 0.0


def test_an_error_that_a_case_expects_is_the_code_s(sandbox):
    test = CASES + "    def test_it(self):\n        with self.assertRaises(ValueError):\n            f(-1)\n"
    assert record_of(sandbox, [test], text="def f(x):\n    raise ValueError(x)").score == 1.0
    assert record_of(sandbox, [test], text="def f(x):\n    raise KeyError(x)").score == 0.0
    assert record_of(sandbox, [test], text="def f(x):\n    return x").score == 0.0


@pytest.mark.parametrize("written", [json.dumps, repr], ids=["JSON", "Python"])
def test_a_cell_may_hold_the_tests_as_text(sandbox, written):
    tests = written(["assert add(1, 2) == 3", "assert add('a', \"b\") == 'ab'", "assert add(1, 1) == 3"])
    assert record_of(sandbox, tests).score == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "tests",
    [
        {"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]},
        json.dumps({"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}),
        {"inputs": [["1 2"], "3 4"], "outputs": [["3"], "7"]},
        {"input": ["1 2\n", "3 4\n"], "output": ["3\n", "7\n"]},
        [{"input": "1 2", "output": "3", "testtype": "stdin"}, {"input": "3 4", "output": "7", "testtype": "stdin"}],
    ],
)
def test_lists_of_inputs_and_outputs_are_tests_of_a_program(sandbox, tests):
    assert record_of(sandbox, tests, text="print(sum(map(int, input().split())))").score == 1.0
    assert record_of(sandbox, tests, text="print(3)").score == 0.5


def test_a_constant_of_the_code_is_compared_with_what_the_test_computes(sandbox):
    assert record_of(sandbox, ["assert X == abs(-3)"], text="X = 3\ndef abs(n): return 9").score == 1.0


@pytest.mark.parametrize(
    "test",
    [
        "assert sorted([add(2, 0), add(1, 0)], key=lambda x: x) == [1, 2]",
        "input = 1\nfor max in (1, 2):\n    assert add(input, max) == 1 + max",
        "def g(x):\n    return x\n\nassert add(g(1), g(2)) == 3",
    ],
)
def test_functions_and_names_of_functions_do_no_harm_elsewhere(sandbox, test):
    assert record_of(sandbox, [test]).score == 1.0


def test_check_gets_the_function_that_the_row_names(sandbox):
    check = "def check(candidate):\n    assert candidate(1, 2) == 3"
    assert record_of(sandbox, [check], entry_point="add").score == 1.0
    assert record_of(sandbox, [check], entry_point="subtract").score == 0.0
    assert record_of(sandbox, [check], entry_point="sum", text="def sum(a, b): return a + b").score == 1.0


def test_the_reason_names_the_first_test_that_fails(sandbox):
    record = record_of(sandbox, ["assert add(1, 2) == 3", "assert add(1, 2) == 4", "assert mul(1, 2) == 2"])
    assert record.score == pytest.approx(1 / 3)
    assert record.reason == "assert add(1, 2) == 4: AssertionError"
    record = record_of(sandbox, [{"input": "", "output": "5"}], text="print(4)")
    assert "it printed '4\\n', not '5'" in record.reason


def test_what_the_code_prints_is_in_the_record(sandbox):
    record = record_of(sandbox, ["assert f() is None"], text="def f(): print('hello')")
    assert (record.score, record.stdout) == (1.0, "hello\n")


def test_the_same_row_gets_the_same_score(sandbox):
    text = "import random\nX = random.random()\ndef f(): return X + random.random()"
    probe = record_of(sandbox, ["assert print(f())"], text=text)
    assert probe.stdout
    assert {record_of(sandbox, ["assert print(f())"], text=text).stdout for _ in range(3)} == {probe.stdout}
