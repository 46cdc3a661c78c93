import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import AppError
from backend.verifiers.entry_points import entry_point


@pytest.mark.parametrize(
    ("source", "function", "signature"),
    [
        ("def grade(sample, item): return 1", "grade", "openai"),
        ("def grade(item, sample): return 1", "grade", "openai"),
        ("def grade(sample: dict, item: dict, strict=True) -> float: return 1", "grade", "openai"),
        ("def grade(*, sample, item, **more): return 1", "grade", "openai"),
        ("def check(item, output_text): return 1", "check", "short"),
        ("def helper(x): return x\ndef grade(item, output_text): return 1", "grade", "short"),
        ("def grade(x): return x\ndef grade(sample, item): return 1", "grade", "openai"),
        ("def compute_score(data_source, solution_str, ground_truth, extra_info=None): pass", "compute_score", "verl"),
        ("def compute_score(solution_str, ground_truth, method='strict', **kw): pass", "compute_score", "verl"),
        ("def reward(completions, **kwargs): pass", "reward", "trl"),
        ("def reward(prompts, completions, answer, level=3): pass", "reward", "trl"),
        ("def score(prompt: str, completion: str, example: dict) -> float: pass", "score", "predibase"),
        ("def score(prediction, target): pass", "score", "together"),
        ("def exact(completion, answer): pass", "exact", "verifiers"),
        ("def exact(prompt, completion, answer, info): pass", "exact", "verifiers"),
        ("def form(completion, **kwargs): pass", "form", "verifiers"),
        ("def level(info): pass", "level", "verifiers"),
        ("def reward(completions, state, **kwargs): pass", "reward", "trl"),
    ],
)
def test_the_function_and_its_signature_are_recognised(source, function, signature):
    found = entry_point(source)
    assert (found.function, found.signature.name) == (function, signature)


TWO = "def score(completions, **kw): return [0]\ndef fmt(completions, **kw):\n    {body}\n"


@pytest.mark.parametrize(
    "source",
    [
        TWO.format(body="return [1]") + "REWARDS = [score, fmt]",
        TWO.format(body="return [1]") + "if __name__ == '__main__':\n    out = score(['a'])",
        TWO.format(body="score = 0.5\n    return [score]"),
    ],
)
def test_a_function_counts_as_a_helper_only_where_another_definition_reads_it(source):
    assert entry_point(source).function == "score + fmt"


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("x = 1", "no function"),
        ("x = max", "no function"),
        ("from json import loads as grade", "the parameters of 'grade' cannot be read"),
        ("grade = 1", "Line 1: the parameters of 'grade' cannot be read"),
        (
            "def reward(completions, trainer_state, **more): pass",
            "asks for 'trainer_state', the state of TRL's trainer",
        ),
        ("def reward(completion, answer, parser): pass", "asks for 'parser'"),
        ("def reward(completions, completion_ids): pass", "asks for 'completion_ids', token ids"),
        ("class A:\n    def grade(self): pass", "no function"),
        ("def a(item, output_text): pass\ndef b(item, output_text): pass", "a (line 1), b (line 2)"),
        ("\n\ndef grade(question, truth): pass", "Line 3: 'grade(question, truth)'"),
        ("def grade(completion, /): pass", "'grade(completion, /)' has parameters that no known signature"),
        ("def grade(): pass", "no known signature"),
        ("def grade(prompt, completion, threshold): pass", "no known signature"),
        ("def grade(sample, item, threshold): pass", "no known signature"),
        ("def grade(sample, item, /): pass", "no known signature"),
        ("def grade(**columns): pass", "no known signature"),
        ("def compute_score(x): pass\ndef clean(y): pass", "'compute_score(x)'"),
        ("def clean(y): pass\ndef reward(completions, trainer_state): pass", "asks for 'trainer_state'"),
        (
            "class Near:\n    def __init__(self, by): pass\n    def __call__(self, item, output_text): pass",
            "needs 'by'",
        ),
        (
            (
                "from dataclasses import dataclass\n@dataclass\nclass Near:\n    by: float\n"
                "    def __call__(self, item, output_text): pass"
            ),
            "Line 3: 'Near' needs 'by' when it is created",
        ),
        (
            "class Same:\n    def check(self, item, output_text): pass\ngrade = Same.check",
            "grade = Class().method",
        ),
    ],
)
def test_what_is_not_recognised_is_refused_with_the_place(source, part):
    with pytest.raises(AppError) as caught:
        entry_point(source)
    assert part in caught.value.message


def test_a_batch_function_declares_its_columns():
    entry = entry_point("def reward(completions, answer, level=3, *, weight, **more): pass")
    assert entry.may_take_batches
    assert dict(entry.arguments) == {"completions": "completion"}
    assert (entry.required_columns, entry.optional_columns, entry.every_column) == (
        ("answer", "weight"),
        ("level",),
        True,
    )


CALLED = {
    "a driver that calls the reward": (
        (
            "def reward(completions, answer, **kw): pass\n"
            "def evaluate(completions, answer): return reward(completions, answer)\n"
            "def test_reward(completion, answer): assert reward([completion], [answer])"
        ),
        "reward",
    ),
    "a driver that calls the reward through another": (
        (
            "def reward(completion, answer): pass\ndef each(x): return reward(*x)\n"
            "def evaluate(completions, answer): return [each(x) for x in zip(completions, answer)]"
        ),
        "reward",
    ),
    "an alias named compute_score": (
        "def one(solution_str, ground_truth): pass\ndef two(completion, answer): pass\ncompute_score = one",
        "compute_score",
    ),
    "not a protocol, nor an abstract class": (
        (
            "class Reward(Protocol):\n    def __call__(self, completion): ...\n"
            "class Base(ABC):\n    @abstractmethod\n    def __call__(self, completion): ...\n"
            "def exact(completion, answer): pass"
        ),
        "exact",
    ),
    "a look-up in kwargs that is asked for": (
        (
            "def reward(completions, **kwargs):\n"
            "    return kwargs['trainer_state'] if 'trainer_state' in kwargs else [0 for c in completions]"
        ),
        "reward",
    ),
    "compute_score as a helper": (
        (
            "def compute_score(solution_str, ground_truth): pass\n"
            "def reward(completions, answer, **kw): return [compute_score(c, a) for c, a in zip(completions, answer)]"
        ),
        "reward",
    ),
    "compute_score among others": (
        "def compute_score(solution_str, ground_truth): pass\ndef exact(completion, answer): pass",
        "compute_score",
    ),
    "a helper used through another": (
        (
            "def same(completion, answer): pass\ndef each(x): return same(*x)\n"
            "def reward(completions, answer, **kw): return [each(x) for x in zip(completions, answer)]"
        ),
        "reward",
    ),
    "an instance beside its class": (
        "class Same:\n    def __call__(self, completions, **kw): pass\nsame = Same()",
        "same",
    ),
    "classes registered with ms-swift": (
        (
            "from swift.plugin import ORM, orms\n"
            "class Base(ORM):\n    def __call__(self, completions, **kw): pass\n"
            "class A(Base): pass\nclass B(Base): pass\n"
            "orms['b'] = B\norms['a'] = A"
        ),
        "B + A",
    ),
    "not what only runs as a program": (
        "def reward(completion, answer): pass\nif __name__ == '__main__':\n    def grade(item, output_text): pass",
        "reward",
    ),
}


@pytest.mark.parametrize(("source", "function"), CALLED.values(), ids=CALLED)
def test_one_of_several_callables_is_chosen_by_who_uses_it(source, function):
    assert entry_point(source).function == function


@pytest.mark.parametrize(
    "source",
    [
        "def exact(item, output_text): pass\ngrade = {'exact': exact}['exact']",
        "def made():\n    if x:\n        return a\n    return b\ngrade = made()",
        "if x:\n    def grade(completions): pass\nelse:\n    def grade(item, output_text): pass",
        "def ten(f):\n    return f\n@ten\ndef grade(question, truth): pass",
    ],
)
def test_what_the_source_does_not_show_is_left_to_the_sandbox(source):
    entry = entry_point(source)
    assert (entry.function, entry.known, entry.may_take_batches) == ("grade", False, True)


LARGE = {
    "functions that call the next": "".join(
        f"def f{n}(completion):\n    return f{n + 1}(completion)\n" for n in range(4000)
    ),
    "bases of a class": f"class Base: pass\nclass Same({', '.join(['Base'] * 20000)}): pass\nx = Same()",
    "calls of a large factory": "def made():\n" + "    x = 1\n" * 8000 + "    return max\n" + "y = made()\n" * 8000,
    "instances of a large class": "class A:\n" + "    def f(self): 1\n" * 6000 + "y = A()\n" * 12000,
    "different instances of a large class": (
        "class A:\n" + "    def f(self): 1\n" * 6000 + "".join(f"y{n} = A()\n" for n in range(9000))
    ),
    "partials of many parameters": (
        f"def f({', '.join(f'p{n}' for n in range(5000))}): 1\n" + "".join(f"y{n} = partial(f)\n" for n in range(9000))
    ),
    "names for one value": "".join(f"y{n} = " for n in range(9000)) + "[" + "y1, " * 20000 + "]",
    "names unpacked": ", ".join(f"y{n}" for n in range(9000)) + " = f(" + "y1, " * 20000 + ")",
    "drivers": "def r(completion): 1\n" + "".join(f"def test_{n}(completion): test_{n + 1}(r)\n" for n in range(4000)),
    "branches": "if x:\n" + "    def grade(item, output_text): 1\n" * 6000,
    "classes of classes": "class A0: pass\n" + "".join(f"class A{n + 1}(A{n}): pass\n" for n in range(8000)),
    "classes of a class of many bases": (
        f"class A: pass\nclass B({'A, ' * 50000}): pass\n" + "".join(f"class C{n}(B): pass\n" for n in range(5000))
    ),
    "classes of a large class": (
        "class A:\n    " + "x = 1;" * 20000 + "x\n" + "".join(f"class B{n}(A): pass\n" for n in range(6000))
    ),
    "names of a function with many decorators": (
        "def d(f): return f\n" + "@d\n" * 30000 + "def f(x): 1\n" + "".join(f"y{n} = f\n" for n in range(9000))
    ),
    "names of a partial of many arguments": (
        f"def f(x): 1\np = partial(f, {'1,' * 50000})\n" + "".join(f"y{n} = p\n" for n in range(9000))
    ),
}


@pytest.mark.parametrize("source", LARGE.values(), ids=LARGE)
def test_a_large_source_is_read_in_time_that_grows_with_it(source):
    started = time.process_time()
    with suppress(AppError):
        entry_point(source)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "head",
    [
        "if x:\n    pass\n" + "elif x:\n    pass\n" * 2000,
        "def made():\n    return " + "1 + " * 2000 + "1\nmade = made()\n",
        "def made():\n    return " + "not " * 2000 + "1\nmade = made()\n",
    ],
)
def test_whatever_python_can_parse_is_read_however_deep_it_is(head):
    assert entry_point(head + "def grade(item, output_text): return 1\n").function == "grade"


PARTS = (
    *("def grade(item, output_text): pass", "grade = f", "grade = A", "grade = A.g", "grade = A().g", "grade = f()"),
    *("def f(completion, answer): pass", "def f():\n    def g(item): pass\n    return g", "f = f()", "f, grade = A"),
    *("class A:\n    def __call__(self, completions): pass", "class A(A):\n    def g(self, item): pass"),
    *("class A:\n    def __init__(self, x): pass", "A = A()", "f = partial(f, 1)", "f = partial(grade, answer=1)"),
    *("@f\ndef grade(x): pass", "if f:\n    grade = f\nelse:\n    f = grade", "import f as grade", "orms['a'] = A"),
    *(
        "try:\n    f = A\nexcept E:\n    A = f",
        "grade = (lambda *, answer: 1)",
        "def compute_score(solution_str): pass",
    ),
)


@given(st.lists(st.sampled_from(PARTS), max_size=8))
def test_any_definitions_are_understood_or_refused_with_the_line(parts):
    found = None
    with suppress(AppError):
        found = entry_point("\n".join(parts))
    assert found is None or found.may_take_batches or found.signature is not None


def test_the_error_about_a_missing_function_shows_the_short_signature():
    with pytest.raises(AppError) as caught:
        entry_point("x = 1")
    assert "grade(item, output_text)" in caught.value.message
    assert ":." not in caught.value.message
