"""Graders written for other systems run unchanged: each signature receives what its own system would pass."""

import pytest

from tests.worker.sandbox.verifiers import outcomes, python
from worker.sandbox.pool import Sample

pytestmark = pytest.mark.usefixtures("python_allowed")

MESSAGES = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "6 * 7?"})

VERL = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    return solution_str == ground_truth and data_source == 'openai/gsm8k' and extra_info['index'] == 7
"""


def graded(sandbox, source, *samples, **options):
    return sandbox.grade(python(source, **options), list(samples))


def given(text="42", *, answer="42", messages=MESSAGES, **item):
    return Sample(output_text=text, item=item, answer=answer, messages=messages)


@pytest.mark.parametrize(
    "source",
    [
        "def grade(sample, item):\n    return sample['output_text'] == item['a']",
        "def grade(item, output_text):\n    return output_text == item['a']",
        "def score(prompt, completion, example):\n    return prompt.endswith('6 * 7?') and completion == example['a']",
        "def score(prediction, target):\n    return prediction == target",
        "def exact(completion, answer):\n    return completion == answer",
        "def exact(completion, answer):\n    return completion[-1]['content'] == answer",
        "def exact(prompt, completion, answer, info):\n    return prompt[0]['role'] == 'system' and info['level'] == 2",
        "def exact(prompt, completion):\n    return prompt == 'Be brief.\\n\\n6 * 7?'",
        "def exact(info):\n    return info == {'level': 2}",
        VERL,
        "def reward(completions, **kwargs):\n    return [float(c == a) for c, a in zip(completions, kwargs['a'])]",
        "def reward(prompts, completions, a):\n    return [float(p[-1]['content'] == '6 * 7?') for p in prompts]",
        "def reward(completions, answer):\n    return [c[0]['content'] == a for c, a in zip(completions, answer)]",
    ],
)
def test_each_signature_gets_what_it_names(sandbox, source):
    row = given(
        a="42",
        info={"level": 2},
        data_source="openai/gsm8k",
        reward_model={"style": "rule", "ground_truth": "42"},
        extra_info={"index": 7},
    )
    assert outcomes(graded(sandbox, source, row)) == [(1.0, "ok")]


def test_the_prompt_is_found_in_the_item_where_it_is_not_given(sandbox):
    source = "def exact(prompt, completion):\n    return prompt == 'why?'"
    rows = [given(messages=None, question="why?"), given(messages=None, prompt=[{"role": "user", "content": "why?"}])]
    assert outcomes(graded(sandbox, source, *rows, given(messages=None))) == [(1.0, "ok")] * 2 + [(None, "error")]


def test_a_missing_value_is_named_in_the_error(sandbox):
    (record,) = graded(sandbox, "def f(completions, level):\n    return [1.0]", given(other=1))
    assert record.status == "error"
    assert "'level'" in record.reason
    assert "other" in record.reason
    (record,) = graded(sandbox, "def f(prediction, target):\n    return 1.0", given(answer=None))
    assert "reference answer" in record.reason


def test_verls_further_results_are_components(sandbox):
    source = (
        "def compute_score(data_source, solution_str, ground_truth, extra_info):\n"
        "    return {'score': 0.5, 'acc': True, 'n': 3, 'pred': solution_str}"
    )
    (record,) = graded(sandbox, source, given())
    assert (record.score, record.components) == (0.5, {"acc": 1.0, "n": 3.0})


BATCH = "def reward(completions, **kwargs):\n    return [len(completions) + 0.0 for _ in completions]"


def test_a_batch_function_is_called_once_for_many_rows(sandbox):
    rows = sandbox.limits.batch_rows
    records = graded(sandbox, BATCH, *[given(str(n)) for n in range(rows + 3)])
    assert [record.score for record in records] == [float(rows)] * rows + [3.0] * 3
    alone = graded(sandbox, BATCH, *[given(str(n)) for n in range(3)], isolation="call")
    assert [record.score for record in alone] == [1.0] * 3


def test_a_batch_function_that_is_not_plain_gets_batches_too(sandbox):
    records = graded(sandbox, "import os\n" + BATCH, *[given(str(n)) for n in range(5)])
    assert [record.score for record in records] == [5.0] * 5


def test_scores_of_a_batch_keep_their_order_and_none_abstains(sandbox):
    source = "def reward(completions, x):\n    return [None if c == 'none' else v for c, v in zip(completions, x)]"
    records = graded(sandbox, source, given("a", x=0.25), given("none", x=1.0), given("c", x=0.75))
    assert outcomes(records) == [(0.25, "ok"), (None, "abstain"), (0.75, "ok")]


@pytest.mark.parametrize(
    ("harm", "status", "reason"),
    [
        ("raise ValueError('no')", "error", "ValueError: no"),
        ("while True: pass", "timeout", "stopped after"),
        ("import os; os._exit(4)", "error", "exited its process"),
    ],
)
def test_a_failing_row_does_not_fail_its_batch(sandbox, harm, status, reason):
    source = f"def reward(completions, x):\n    if 1 in x:\n        {harm}\n    return [0.5 for c in completions]"
    records = graded(sandbox, source, *[given(x=x) for x in (0, 1, 0, 0)])
    assert [record.status.value for record in records] == ["ok", status, "ok", "ok"]
    assert [record.score for record in records] == [0.5, None, 0.5, 0.5]
    assert reason in records[1].reason


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("[1.0]", "1 scores for 4 completions"),
        ("[1.0] * 9", "9 scores for 4 completions"),
        ("1.0", "a value of type float for 4 completions"),
        ("(1.0 for _ in range(9))", "5 scores for 4 completions"),
    ],
)
def test_another_number_of_scores_than_completions_is_an_error_of_all(sandbox, returned, reason):
    """Called again with one completion, the same list would look right."""
    records = graded(sandbox, f"def reward(completions, **columns):\n    return {returned}\n", *[given()] * 4)
    assert [record.status.value for record in records] == ["error"] * 4
    assert reason in records[0].reason


@pytest.mark.parametrize(
    "returned",
    [
        "[0.5 for c in completions]",
        "tuple(0.5 for c in completions)",
        "(0.5 for c in completions)",
        "map(lambda c: 0.5, completions)",
        "np.full(len(completions), 0.5)",
        "np.full(len(completions), 0.5, dtype=np.float32)",
        "[np.float64(0.5) for c in completions]",
        "[Decimal('0.5') for c in completions]",
        "[Fraction(1, 2) for c in completions]",
    ],
)
def test_scores_come_in_any_sequence_and_any_kind_of_number(sandbox, returned):
    head = "from decimal import Decimal\nfrom fractions import Fraction\nimport numpy as np\n"
    records = graded(sandbox, f"{head}def reward(completions, **columns):\n    return {returned}\n", *[given()] * 3)
    assert outcomes(records) == [(0.5, "ok")] * 3


CALLABLES = {
    "a function": "def grade(item, output_text):\n    return output_text == item['right']",
    "an alias": "def same(item, output_text):\n    return output_text == item['right']\ngrade = same",
    "a lambda": "grade = lambda item, output_text: output_text == item['right']",
    "partial": "from functools import partial\ndef same(item, output_text, whole):\n"
    "    return whole and output_text == item['right']\ngrade = partial(same, whole=True)",
    "partial by position": "import functools\ndef same(whole, item, output_text):\n"
    "    return whole and output_text == item['right']\ngrade = functools.partial(same, True)",
    "an instance": "class Same:\n    def __call__(self, item, output_text):\n"
    "        return output_text == item['right']\ngrade = Same()",
    "an inherited call": "class Base:\n    def __call__(self, item, output_text):\n"
    "        return output_text == item['right']\n"
    "class Same(Base):\n    pass\ngrade = Same()",
    "a method": "class Same:\n    def check(self, item, output_text):\n"
    "        return output_text == item['right']\ngrade = Same().check",
    "a class": "class Same:\n    def __call__(self, completions, answer, **kwargs):\n"
    "        return [c == a for c, a in zip(completions, answer)]",
    "what a factory returns": "def made(strict):\n    def inner(item, output_text):\n"
    "        return output_text == item['right']\n    return inner\ngrade = made(True)",
    "a coroutine": "async def grade(item, output_text):\n    return output_text == item['right']",
    "a coroutine that sleeps": "import asyncio\nasync def grade(item, output_text):\n    await asyncio.sleep(0.01)\n"
    "    return output_text == item['right']",
    "asyncio.run": "import asyncio\nasync def same(item, output_text):\n    return output_text == item['right']\n"
    "def grade(item, output_text):\n    return asyncio.run(same(item, output_text))",
    "gathered tasks": "import asyncio\nasync def part(value):\n    await asyncio.sleep(0)\n    return value\n"
    "async def grade(item, output_text):\n    a, b = await asyncio.gather(part(output_text), part(item['right']))\n"
    "    return a == b",
    "defined under if": "if True:\n    def grade(item, output_text):\n        return output_text == item['right']",
    "a helper beside compute_score": "def extract(text):\n    return text.strip()\n"
    "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n"
    "    return float(extract(solution_str) == ground_truth)",
    "verl for a batch": "def compute_score(data_sources, solution_strs, ground_truths, extra_infos):\n"
    "    return [float(s == g) for s, g in zip(solution_strs, ground_truths)]",
    "a helper with a known signature": "def same(completion, answer):\n    return completion == answer\n"
    "def reward(completions, answer, **kwargs):\n    return [same(c, a) for c, a in zip(completions, answer)]",
    "two of TRL's, summed": "def same(completions, answer, **kwargs):\n"
    "    return [0.75 * (c == a) for c, a in zip(completions, answer)]\n"
    "def short(completions, answer, **kwargs):\n    return [0.25 * (c == a) for c, a in zip(completions, answer)]",
}


@pytest.mark.parametrize("source", CALLABLES.values(), ids=CALLABLES)
def test_whatever_can_be_called_is_called(sandbox, source):
    records = graded(sandbox, source, *[given(text, right="42") for text in ("42", "41", "42 is it")])
    assert outcomes(records) == [(1.0, "ok"), (0.0, "ok"), (0.0, "ok")], records


def test_of_several_functions_one_may_abstain(sandbox):
    source = (
        "def first(completions, **kwargs):\n    return [None, 1.0, None]\n"
        "def second(completions, **kwargs):\n    return [0.5, 0.5, None]\n"
    )
    assert outcomes(graded(sandbox, source, *[given()] * 3)) == [(0.5, "ok"), (1.5, "ok"), (None, "abstain")]


def test_what_never_comes_is_an_error_of_its_row(sandbox):
    source = "import asyncio\nasync def grade(item, output_text):\n    await asyncio.Event().wait()\n"
    (record,) = graded(sandbox, source, given())
    assert record.status.value == "error"
    assert "nothing here will finish" in record.reason


def test_replaced_builtins_do_not_change_a_record(sandbox):
    source = "import builtins\nbuiltins.float = lambda value: 1.0\ndef grade(item, output_text):\n    return 0\n"
    assert outcomes(graded(sandbox, source, given())) == [(0.0, "ok")]
