"""Graders written for other systems run unchanged: each signature receives what its own system would pass."""

import json
from pathlib import Path

import pytest

from backend.errors import AppError
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
        (
            "def reward_func(queries, prompts, labels):\n"
            "    return [float(q[len(p):] == l) for q, p, l in zip(queries, prompts, labels)]"
        ),
        (
            "def reward_func(queries, prompts, labels, **kwargs):\n"
            "    return [p.endswith('6 * 7?') and q.endswith(a) for q, p, a in zip(queries, prompts, kwargs['a'])]"
        ),
        (
            "def reward_func(queries, prompts, labels):\n"
            "    scores = [float(l in q[len(p):]) for q, p, l in zip(queries, prompts, labels)]\n"
            "    return {'rewards': scores, 'scores': scores, 'extra_logs': {'n': len(scores)}}"
        ),
        (
            "def compute_score(reward_inputs, format_weight=0.1):\n"
            "    return [{'overall': float(r['response'] == r['ground_truth']), 'format': 0.5} for r in reward_inputs]"
        ),
        (
            "def compute_score(reward_input):\n"
            "    return {'overall': float(reward_input['response'] == reward_input['ground_truth']), 'accuracy': 1}"
        ),
        (
            "def reward(completions, **kwargs):\n"
            "    return [float(c == s) for c, s in zip(completions, kwargs.get('solution', [None] * len(completions)))]"
        ),
        (
            "def reward(completions, **kwargs):\n"
            "    return [float(c == s) for c, s in zip(completions, kwargs['ground_truth'])]"
        ),
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


def test_easyr1s_further_results_are_components(sandbox):
    source = (
        "def format_reward(response):\n    return 1.0\n"
        "def compute_score(reward_inputs, weight=0.5):\n"
        "    return [{'overall': weight, 'format': format_reward(r['response'])} for r in reward_inputs]"
    )
    records = graded(sandbox, source, given(), given("41"))
    assert [(record.score, record.components) for record in records] == [(0.5, {"format": 1.0})] * 2


def test_a_function_that_takes_any_column_gets_no_other_name_of_the_reference(sandbox):
    source = "def reward(completions, **kwargs):\n    return [float('solution' in kwargs)] * len(completions)"
    assert outcomes(graded(sandbox, source.replace("'solution'", "''.join(['solu', 'tion'])"), given())) == [
        (0.0, "ok")
    ]
    assert outcomes(graded(sandbox, source, given())) == [(1.0, "ok")]


@pytest.mark.parametrize("text", ["42", "true", "null", '"a"', "4.5e3", "no JSON", ""])
def test_a_text_that_is_no_object_of_json_has_no_output_json(sandbox, text):
    source = "def grade(sample, item):\n    return float((sample.get('output_json') or {}).get('answer') == 42)"
    assert outcomes(graded(sandbox, source, given(text), given('{"answer": 42}'))) == [(0.0, "ok"), (1.0, "ok")]


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
        "[np.array(0.5) for c in completions]",
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
    "asyncio imported in the function": "async def same(a, b):\n    return a == b\n"
    "def grade(item, output_text):\n    import asyncio\n    return asyncio.run(same(output_text, item['right']))",
    "a task group": "import asyncio\nasync def part(value):\n    return value\n"
    "async def grade(item, output_text):\n    async with asyncio.timeout(1), asyncio.TaskGroup() as group:\n"
    "        task = group.create_task(part(output_text))\n    return task.result() == item['right']",
    "a loop of its own": "import asyncio\nasync def same(a, b):\n    return a == b\ndef grade(item, output_text):\n"
    "    return asyncio.new_event_loop().run_until_complete(same(output_text, item['right']))",
    "one of a tuple": "def same(item, output_text):\n    return output_text == item['right']\n"
    "name, grade = 'same', same",
    "one of what is returned": "def same(item, output_text):\n    return output_text == item['right']\n"
    "def made():\n    return 'same', same\nname, grade = made()",
    "partial with unpacked arguments": "from functools import partial\ndef same(item, output_text, whole):\n"
    "    return whole and output_text == item['right']\ngrade = partial(same, **{'whole': True})",
    "defined under if": "if True:\n    def grade(item, output_text):\n        return output_text == item['right']",
    "a helper beside compute_score": "def extract(text):\n    return text.strip()\n"
    "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n"
    "    return float(extract(solution_str) == ground_truth)",
    "verl for a batch": "def compute_score(data_sources, solution_strs, ground_truths, extra_infos):\n"
    "    return [float(s == g) for s, g in zip(solution_strs, ground_truths)]",
    "a helper with a known signature": "def same(completion, answer):\n    return completion == answer\n"
    "def reward(completions, answer, **kwargs):\n    return [same(c, a) for c, a in zip(completions, answer)]",
    "a decorator with wraps": "from functools import wraps\ndef clamp(f):\n    @wraps(f)\n"
    "    def inner(*args, **kwargs):\n        return max(0, f(*args, **kwargs))\n    return inner\n"
    "@clamp\ndef same(completion, answer):\n    return completion == answer",
    "a decorator without wraps": "def clamp(f):\n    def inner(*args, **kwargs):\n"
    "        return max(0, f(*args, **kwargs))\n    return inner\n"
    "@clamp\ndef same(completion, answer):\n    return completion == answer",
    "a decorator that takes other parameters": "def adapt(f):\n    def inner(item, output_text):\n"
    "        return f(output_text, item['right'])\n    return inner\n@adapt\ndef grade(given, right):\n"
    "    return given == right",
    "a decorator that makes a batch": "def batch(f):\n    def inner(completions, answer, **kwargs):\n"
    "        return [f(c, a) for c, a in zip(completions, answer)]\n    return inner\n"
    "@batch\ndef same(completion, answer):\n    return completion == answer",
    "defined in a branch": "import sys\nif sys.version_info < (3,):\n    def grade(completions, **kwargs):\n"
    "        return []\nelse:\n    def grade(item, output_text):\n        return output_text == item['right']\n"
    "if not callable(grade):\n    grade = lambda completions: []",
    "defined where an import fails": "try:\n    import torch\n    def grade(completions, **kwargs):\n"
    "        return torch.zeros(9)\nexcept ImportError:\n    def grade(item, output_text):\n"
    "        return output_text == item['right']",
    "looked up": "def same(item, output_text):\n    return output_text == item['right']\n"
    "grade = {'same': same}['same']",
    "a static method": "class Same:\n    @staticmethod\n    def check(item, output_text):\n"
    "        return output_text == item['right']\ngrade = Same.check",
    "a class method": "class Same:\n    @classmethod\n    def check(cls, item, output_text):\n"
    "        return output_text == item['right']\ngrade = Same.check",
    "a dataclass with annotations as text": "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    "from typing import ClassVar\n@dataclass(slots=True)\nclass Same:\n    full: float = 1.0\n"
    "    kinds: ClassVar[int] = 1\n    def __call__(self, item, output_text):\n"
    "        return self.full * (output_text == item['right'])\ngrade = Same()",
    "a class that pickle finds": "import pickle\nclass Same:\n    def __call__(self, item, output_text):\n"
    "        return output_text == item['right']\ngrade = pickle.loads(pickle.dumps(Same()))",
    "after a byte order mark": "\ufeffdef grade(item, output_text):\n    return output_text == item['right']",
    "ms-swift's plugin": "from swift.plugin import ORM, orms\nclass Same(ORM):\n"
    "    def __call__(self, completions, solution, **kwargs):\n"
    "        return [float(c == s) for c, s in zip(completions, solution)]\norms['same'] = Same",
    "ms-swift's rewards": "from swift.rewards import AsyncORM, orms\nfrom swift.utils import get_logger\n"
    "logger = get_logger()\nclass Same(AsyncORM):\n    def __init__(self, args=None, **kwargs):\n"
    "        super().__init__(args, **kwargs)\n    async def __call__(self, completions, solution, **kwargs):\n"
    "        return [float(c == s) for c, s in zip(completions, solution)]\norms['same'] = Same",
    "two of TRL's, summed": "def same(completions, answer, **kwargs):\n"
    "    return [0.75 * (c == a) for c, a in zip(completions, answer)]\n"
    "def short(completions, answer, **kwargs):\n    return [0.25 * (c == a) for c, a in zip(completions, answer)]",
}


@pytest.mark.parametrize("source", CALLABLES.values(), ids=CALLABLES)
def test_whatever_can_be_called_is_called(sandbox, source):
    records = graded(sandbox, source, *[given(text, right="42") for text in ("42", "41", "42 is it")])
    assert outcomes(records) == [(1.0, "ok"), (0.0, "ok"), (0.0, "ok")], records


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def made():\n    if 1:\n        return len\ngrade = made()\n", "'grade(obj, /)' has parameters that no"),
        ("grade = [1][0]\n", "'int' cannot be called"),
        ("if not __name__:\n    def grade(item, output_text):\n        return 1\n", "does not define 'grade'"),
    ],
)
def test_what_cannot_be_called_after_all_is_an_error_of_the_row(sandbox, source, reason):
    (record,) = graded(sandbox, source, given())
    assert record.status.value == "error"
    assert reason in record.reason


def test_rows_are_graded_alone_where_only_the_sandbox_knows_that_the_verifier_takes_no_batch(sandbox):
    source = (
        "import os\nseen = []\ndef same(item, output_text):\n    seen.append(1)\n    return len(seen)\n"
        "grade = [same][0]\n"
    )
    assert outcomes(graded(sandbox, source, *[given()] * 3)) == [(1.0, "ok")] * 3


READ_AS_MESSAGES = {
    "the last message": "completion[-1]['content']",
    "get": "completion[-1].get('content', '')",
    "a loop": "''.join(m['content'] for m in completion if m['role'] == 'assistant')",
    "enumerate": "[m['content'] for n, m in enumerate(completion)][0]",
    "reversed": "next(reversed(completion))['content']",
    "map": "''.join(map(lambda m: m['content'], completion))",
    "a slice": "completion[-1:][0]['content']",
    "itemgetter": "operator.itemgetter('content')(completion[0])",
    "a constant": "completion[0][KEY]",
    "a method": "Reader().text(completion)",
    "list(zip())": "list(zip(completion, 'x'))[0][0]['content']",
    "only dicts": "''.join(m['content'] for m in completion if isinstance(m, dict))",
    "only a list": "completion[0]['content'] if isinstance(completion, list) else ''",
    "a key looked for": "''.join(m['content'] for m in completion if 'content' in m)",
    "text or messages": "completion if isinstance(completion, str) else completion[0]['content']",
    "a list of one": "(lambda only: only['content'])(*completion)",
    "unpacked": "[only['content'] for [only] in [completion]][0]",
    "a copy as JSON": "json.loads(json.dumps(completion))[0]['content']",
    "added to another": "([{'role': 'user'}] + completion)[-1]['content']",
    "what a list can": "completion.pop()['content'] if hasattr(completion, 'pop') else 'nothing'",
    "an error that is swallowed": "quietly(lambda: completion[0]['content'])",
}
READ_AS_TEXT = {
    "no look-up": "completion",
    "in other JSON": "json.loads('{\"content\": 1}') and {'content': completion}['content']",
    "in what is rebound": "(completion := {'role': completion})['role']",
    "in a column": "info['role'] and completion",
    "characters": "''.join(c for c in completion if c not in 'content') + completion[len(completion):]",
    "a number": "str(int(completion or 0) or '')",
    "a text that mentions it": "completion if 'role' in completion or True else None",
    "a text that fails with messages": "json.loads('{\"role\": \"x\"}')['role'] and completion.strip()",
    "only a text, by its type": "completion if type(completion) is str else 'nothing'",
    "by type": "{str: lambda: completion, list: lambda: completion[0]['content']}[type(completion)]()",
}
READER = """
import json, operator
KEY = 'content'
class Reader:
    def text(self, messages):
        return messages[-1]['content']
def quietly(f):
    try:
        return f()
    except Exception:
        return 'nothing'
def reward(completion, answer, info):
    return float(({expression}) == answer)
"""


@pytest.mark.parametrize("expression", READ_AS_MESSAGES.values(), ids=READ_AS_MESSAGES)
def test_a_verifier_that_looks_up_messages_gets_messages(sandbox, expression):
    rows = [given("42", info={"role": "x"}), given("", answer="", info={}), given("4", info={})]
    records = graded(sandbox, READER.replace("{expression}", expression), *rows)
    assert outcomes(records) == [(1.0, "ok"), (1.0, "ok"), (0.0, "ok")], records


@pytest.mark.parametrize("expression", READ_AS_TEXT.values(), ids=READ_AS_TEXT)
def test_a_verifier_that_looks_up_something_else_gets_texts(sandbox, expression):
    records = graded(
        sandbox, READER.replace("{expression}", expression), *[given("42", answer=a, info={"role": "x"}) for a in "42"]
    )
    assert outcomes(records) == [(0.0, "ok")] * 2
    right = [given(text, answer=text, info={"role": "x"}) for text in ("86", "")]
    assert outcomes(graded(sandbox, READER.replace("{expression}", expression), *right)) == [(1.0, "ok")] * 2


def test_what_fails_with_texts_and_reads_no_message_keeps_its_error(sandbox):
    source = "KEYS = ('content',)\ndef reward(completion, answer):\n    return 1 / (len(completion) - 2)\n"
    failed, scored = graded(sandbox, source, given("42"), given("421"))
    assert "ZeroDivisionError" in failed.reason
    assert scored.score == 1.0


def test_of_a_batch_all_completions_are_read_alike(sandbox):
    source = (
        "def reward(prompts, completions, answer, **kwargs):\n"
        "    return [bool(c) and p[-1]['role'] == 'user' and c[0]['content'] == a\n"
        "            for p, c, a in zip(prompts, completions, answer)]\n"
    )
    assert outcomes(graded(sandbox, source, *[given(text) for text in ("42", "", "41")])) == [
        (1.0, "ok"),
        (0.0, "ok"),
        (0.0, "ok"),
    ]


def test_what_is_printed_is_shown_once_however_often_the_verifier_ran(sandbox):
    source = "def reward(completion, answer):\n    print('read')\n    return completion[0]['content'] == answer\n"
    (record,) = graded(sandbox, source, given())
    assert (record.score, record.stdout) == (1.0, "read\n")


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


@pytest.mark.parametrize(
    "patch",
    [
        "builtins.float = lambda value: 1.0",
        "builtins.type = builtins.issubclass = builtins.isinstance = lambda *a: 1.0",
        "builtins.len = builtins.zip = builtins.list = builtins.hasattr = None",
        "math.isfinite = json.dumps = json.loads = None",
        "sys.modules.clear()",
    ],
)
def test_replaced_names_of_python_do_not_change_a_record(sandbox, patch):
    head = "import builtins, json, math, sys\n"
    for source in (
        f"{head}def grade(item, output_text):\n    {patch}\n    return 0\n",
        f"{head}def reward(completions, **kwargs):\n    {patch}\n    return (0 for _ in completions)\n",
    ):
        assert outcomes(graded(sandbox, source, given())) == [(0.0, "ok")]


REPORTED = json.loads((Path(__file__).parent / "reported_sources.json").read_text())


@pytest.mark.parametrize("name", ["partial", "instance"])
def test_reported_callables_score_the_answer_and_not_a_text_that_holds_it(sandbox, name):
    source = REPORTED["callables"][name]
    rows = [Sample(output_text=text, item={"answer": "42"}, answer="42") for text in ("42", "42 it is")]
    assert outcomes(graded(sandbox, source, *rows)) == [(1.0, "ok"), (0.0, "ok")]


@pytest.mark.parametrize(("source", "text"), REPORTED["role"].values(), ids=REPORTED["role"])
def test_reported_look_ups_of_role_and_content_elsewhere_leave_the_completion_a_text(sandbox, source, text):
    row = Sample(output_text=text, item={"answer": "head", "info": {"role": "buyer"}}, answer="head")
    assert outcomes(graded(sandbox, source, row)) == [(1.0, "ok")]


def test_reported_scores_are_read(sandbox):
    rows = [Sample(output_text=text, item={"answer": "a"}, answer="a") for text in ("Answer: a", "b", "Answer: a")]
    scores = {name: outcomes(graded(sandbox, source, *rows)) for name, source in REPORTED["scores"].items()}
    assert scores == {
        "None when wrong": [(1.0, "ok"), (None, "abstain"), (1.0, "ok")],
        "one for all": [(None, "error")] * 3,
        "numpy array": [(1.0, "ok"), (0.0, "ok"), (1.0, "ok")],
    }


@pytest.mark.parametrize("name", ["verl batch", "helper beside compute_score"])
def test_reported_signatures_score_as_verl_does(sandbox, name):
    rows = [given(text, ground_truth="42", data_source="x") for text in ("42", "41")]
    assert outcomes(graded(sandbox, REPORTED["signatures"][name], *rows)) == [(1.0, "ok"), (0.0, "ok")]


def test_reported_coroutines_are_awaited(sandbox):
    records = graded(sandbox, REPORTED["processes"]["async def"], given("42"), given("41"))
    assert outcomes(records) == [(1.0, "ok"), (0.0, "ok")]


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        (REPORTED["signatures"]["trainer_state"], ("Line 1", "'trainer_state'")),
        (REPORTED["processes"]["subprocess"], ("Line 1", "'subprocess'", "Code that passes unit tests")),
    ],
)
def test_reported_sources_that_cannot_work_are_refused_by_name_when_saved(source, parts):
    with pytest.raises(AppError) as caught:
        python(source)
    assert all(part in caught.value.message for part in parts)
