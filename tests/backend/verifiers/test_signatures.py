import pytest

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
    ],
)
def test_the_function_and_its_signature_are_recognised(source, function, signature):
    found = entry_point(source)
    assert (found.calls[0].function, found.signature.name) == (function, signature)


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
    assert [call.function for call in entry_point(source).calls] == ["score", "fmt"]


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("x = 1", "no function"),
        ("x = max", "no function"),
        ("from json import loads as grade", "the parameters of 'grade' cannot be read"),
        (
            "def made():\n    if x:\n        return len\n    return max\ngrade = made()",
            "Line 5: the parameters of 'grade'",
        ),
        (
            "def reward(completions, trainer_state, **more): pass",
            "asks for 'trainer_state', the state of TRL's trainer",
        ),
        ("def reward(completion, answer, parser): pass", "asks for 'parser'"),
        ("def reward(completions, completion_ids): pass", "asks for 'completion_ids', token ids"),
        ("class A:\n    def grade(self): pass", "no function"),
        ("def a(item, output_text): pass\ndef b(item, output_text): pass", "a (line 1), b (line 2)"),
        ("\n\ndef grade(question, truth): pass", "Line 3: 'grade(question, truth)'"),
        ("def grade(completion, /): pass", "no known signature"),
        ("def grade(): pass", "no known signature"),
        ("def grade(prompt, completion, threshold): pass", "no known signature"),
        ("def grade(sample, item, threshold): pass", "no known signature"),
        ("def grade(sample, item, /): pass", "no known signature"),
        ("def grade(**columns): pass", "no known signature"),
    ],
)
def test_what_is_not_recognised_is_refused_with_the_place(source, part):
    with pytest.raises(AppError) as caught:
        entry_point(source)
    assert part in caught.value.message


def test_a_batch_function_declares_its_columns():
    entry = entry_point("def reward(completions, answer, level=3, *, weight, **more): pass")
    assert entry.takes_batches
    assert dict(entry.arguments) == {"completions": "completion"}
    assert (entry.required_columns, entry.optional_columns, entry.every_column) == (
        ("answer", "weight"),
        ("level",),
        True,
    )


@pytest.mark.parametrize(
    ("body", "chat"),
    [
        ("import json\n    return json.loads(completion)['content'] == answer", False),
        ("info = {'role': 1}\n    return info['role'] in completion", False),
        ("last = completion[-1]\n    return last['content'] == answer", True),
        ("return any(m['role'] == 'assistant' and answer in m['content'] for m in completion)", True),
        ("return answer in ''.join(map(lambda m: m['content'], completion))", True),
        ("return [m for m in reversed(completion)][0].get('content') == answer", True),
        ("return text_of(completion) == answer\n\ndef text_of(messages):\n    return messages[0]['content']", True),
        ("for n, m in enumerate(completion):\n        return m['content'] == answer", True),
        ("return answer in completion", False),
        ("return completion[-1]['content'] == answer", True),
        ("return completion[-1].get('content', '') == answer", True),
        ("text = completion if isinstance(completion, str) else completion[0]['content']", True),
    ],
)
def test_functions_that_read_messages_get_messages(body, chat):
    assert entry_point(f"def reward(completion, answer):\n    {body}\n").chat is chat


def test_the_error_about_a_missing_function_shows_the_short_signature():
    with pytest.raises(AppError) as caught:
        entry_point("x = 1")
    assert "grade(item, output_text)" in caught.value.message
    assert ":." not in caught.value.message
