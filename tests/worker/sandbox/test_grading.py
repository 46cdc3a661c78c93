"""Results of each type of grader: every status, of every type."""

import random

import pytest

from tests.worker.sandbox.verifiers import body, outcomes, python, regex, sample, string_check

pytestmark = pytest.mark.usefixtures("python_allowed")


def one(sandbox, spec, text="", *, answer=None, **item):
    return sandbox.grade(spec, [sample(text, answer=answer, **item)])[0]


@pytest.mark.parametrize(
    ("operation", "text", "score"),
    [
        ("eq", "Paris", 1.0),
        ("eq", "paris", 0.0),
        ("eq", "Paris ", 0.0),
        ("ne", "Rome", 1.0),
        ("ne", "Paris", 0.0),
        ("neq", "Rome", 1.0),
        ("like", "It is Paris.", 1.0),
        ("like", "It is PARIS.", 0.0),
        ("ilike", "It is PARIS.", 1.0),
        ("ilike", "Rome", 0.0),
    ],
)
def test_string_check_has_openais_meaning(sandbox, operation, text, score):
    record = sandbox.grade(string_check(operation, reference="{{item.city}}"), [sample(text, city="Paris")])[0]
    assert record.score == score


def test_an_empty_reference_is_an_error_where_every_text_would_contain_it(sandbox):
    record = sandbox.grade(string_check("like", reference="{{item.city}}"), [sample("x", city="")])[0]
    assert (record.status, record.score) == ("error", None)
    assert "empty" in record.reason


@pytest.mark.parametrize(
    ("pattern", "text", "score"),
    [
        (r"\d+", "about 5", 1.0),
        (r"\d+", "about five", 0.0),
        (r"Answer: (?P<answer>.*)$", "Answer:  42 ", 1.0),
        (r"Answer: (?P<answer>.*)$", "Answer: 41", 0.0),
        (r"Answer: (?P<answer>\d+)?", "Answer: none", 0.0),
        (r"(?P<answer>\d+)", "42 or 43", 1.0),
        (r"(?P<answer>\d+)", "43 or 42", 0.0),
    ],
)
def test_regex_compares_its_answer_group_or_counts_a_match(sandbox, pattern, text, score):
    assert one(sandbox, regex(pattern), text, answer="42").score == score


def test_regex_takes_a_reference_of_its_own_and_flags(sandbox):
    spec = regex("ANSWER (?P<answer>.*)", reference="{{item.truth}}", input="{{item.said}}", flags="i")
    assert one(sandbox, spec, "", said="answer yes", truth="yes").score == 1.0


def test_regex_without_a_reference_answer_in_the_row_is_an_error(sandbox):
    record = one(sandbox, regex("(?P<answer>x)"), "x", answer=None)
    assert record.status == "error"
    assert "no reference answer" in record.reason


def test_a_path_that_the_item_lacks_is_that_rows_error_alone(sandbox):
    spec = string_check("eq", reference="{{item.city}}")
    records = sandbox.grade(spec, [sample("Rome", city="Rome"), sample("Rome", town="Rome"), sample("x", city="Rome")])
    assert outcomes(records) == [(1.0, "ok"), (None, "error"), (0.0, "ok")]
    assert "item.city" in records[1].reason


def test_output_that_is_not_the_json_asked_for_scores_zero_with_a_reason(sandbox):
    spec = string_check("eq", given="{{sample.output_json.city}}", reference="Paris")
    records = sandbox.grade(spec, [sample('{"city": "Paris"}'), sample("Paris")])
    assert outcomes(records) == [(1.0, "ok"), (0.0, "ok")]
    assert "not JSON" in records[1].reason


@pytest.mark.parametrize(
    ("result", "score", "status"),
    [
        ("0.25", 0.25, "ok"),
        ("-3", -3.0, "ok"),
        ("True", 1.0, "ok"),
        ("False", 0.0, "ok"),
        ("None", None, "abstain"),
        ("float('nan')", None, "error"),
        ("float('-inf')", None, "error"),
        ("10**400", None, "error"),
        ("'1.0'", None, "error"),
        ("[1.0]", None, "error"),
        ("1j", None, "error"),
        ("{'score': 0.5, 'components': {'form': 1, 'value': 0.0}, 'reason': 'half'}", 0.5, "ok"),
        ("{'score': None}", None, "abstain"),
        ("{'score': 1.0, 'extra': 2}", None, "error"),
        ("{'reward': 1.0}", None, "error"),
        ("{'score': 1.0, 'components': {'a': 'b'}}", None, "error"),
        ("{'score': 1.0, 'components': {str(i): i for i in range(99)}}", None, "error"),
    ],
)
def test_what_a_python_verifier_returns_becomes_a_record(sandbox, result, score, status):
    record = one(sandbox, python(body(f"return {result}")))
    assert (record.score, record.status) == (score, status)
    assert (record.reason is not None) == (status == "error" or "reason" in result)


def test_components_and_reason_of_a_verifier_are_kept(sandbox):
    record = one(sandbox, python(body("return {'score': 1, 'components': {'form': True, 'n': 2}, 'reason': 'fine'}")))
    assert (record.components, record.reason) == ({"form": 1.0, "n": 2.0}, "fine")


def test_a_long_reason_is_truncated_with_a_note(sandbox):
    record = one(sandbox, python(body("raise ValueError('z' * 10**5)")))
    assert len(record.reason) <= 3000
    assert "truncated: more than" in record.reason
    assert record.reason.splitlines()[-1].strip().startswith("line 3, in grade: raise ValueError")


def test_both_signatures_receive_what_they_name(sandbox):
    openai = body("return float(sample['output_text'] == 'a' and sample['output_json'] is None and item['x'] == [1])")
    short = "def check(item, output_text):\n    return float(output_text == 'a' and item['x'] == [1])"
    for source in (openai, short):
        assert one(sandbox, python(source), "a", x=[1]).score == 1.0


def test_output_json_and_choices_are_there_as_in_openais_sample(sandbox):
    source = body(
        "return sample['output_json']['v'] + float(sample['choices'][0]['message']['content'] == '{\"v\": 2}')"
    )
    assert one(sandbox, python(source), '{"v": 2}').score == 3.0


def test_an_exception_is_an_error_with_the_authors_lines_only(sandbox):
    source = "def half(x):\n    return 1 / x\n\ndef grade(sample, item):\n    return half(item['n'])\n"
    record = one(sandbox, python(source), n=0)
    assert record.status == "error"
    assert record.reason.splitlines() == [
        "ZeroDivisionError: division by zero",
        "  line 5, in grade: return half(item['n'])",
        "  line 2, in half: return 1 / x",
    ]


def test_an_endless_loop_is_a_timeout_and_the_rows_around_it_keep_their_scores(sandbox):
    spec = python(body("while item['x'] == 1:\n    pass\nreturn item['x']"))
    records = sandbox.grade(spec, [sample(x=x) for x in (0, 1, 2, 3)])
    assert outcomes(records) == [(0.0, "ok"), (None, "timeout"), (2.0, "ok"), (3.0, "ok")]
    assert "after 1 s" in records[1].reason


def test_a_verifier_that_always_hangs_is_abandoned(sandbox):
    records = sandbox.grade(python(body("while True:\n    pass")), [sample() for _ in range(40)])
    assert {record.status.value for record in records} == {"timeout"}
    assert "not graded" in records[-1].reason


def test_error_counts_as_zero_is_a_choice_of_the_spec(sandbox):
    record = one(sandbox, python(body("return 1 / 0"), error_counts_as_zero=True))
    assert (record.score, record.status) == (0.0, "ok")
    assert "ZeroDivisionError" in record.reason


def test_printed_output_is_truncated(sandbox):
    record = one(sandbox, python(body("print('seen', item['x'])\nprint('y' * 10**6)\nreturn 1"), isolation="call"), x=3)
    assert record.score == 1.0
    assert record.stdout.startswith("seen 3\nyyy")
    assert len(record.stdout) == 2000
    assert record.stdout.endswith("truncated: more than 998008 characters are missing")


def test_source_that_does_not_compile_inside_is_an_error_of_each_row(sandbox):
    """Which another version of Python outside can have accepted."""
    spec = python(body("return 1")).model_copy(update={"source": "return 1\n" + body("return 1")})
    records = sandbox.grade(spec, [sample(), sample()])
    assert outcomes(records) == [(None, "error")] * 2
    assert "outside function" in records[0].reason


@pytest.mark.parametrize("isolation", ["auto", "call"])
def test_nothing_a_row_leaves_behind_is_there_for_the_next(sandbox, isolation):
    spec = python("seen = []\n" + body("seen.append(1)\nreturn len(seen)"), isolation=isolation)
    assert [record.score for record in sandbox.grade(spec, [sample() for _ in range(5)])] == [1.0] * 5


def test_the_memory_of_a_row_is_free_for_the_next(sandbox):
    """The limit is 256 MiB. A module and its functions hold each other, so nothing goes by itself."""
    spec = python("TABLE = bytes(100 * 2**20)\n" + body("return len(TABLE) > 0"))
    assert not spec.one_process_per_call
    assert outcomes(sandbox.grade(spec, [sample() for _ in range(5)])) == [(1.0, "ok")] * 5


MODULE_AS_SELF = """
import statistics as self

def patch(self):
    self.finite = lambda *a, **k: 1.0

def grade(sample, item):
    if item['attack']:
        patch(self.sys.modules['worker.sandbox.grading'])
    return item['honest']
"""
TRAP_LEFT_SET = """
import decimal

def grade(sample, item):
    context = decimal.ExtendedContext
    traps = context.traps
    if item['attack']:
        traps[decimal.DivisionByZero] = True
        return 1
    context.divide(1, 0)
    return item['honest']
"""
CLEAN_UP_LATER = """
import random

def late():
    try:
        yield
    finally:
        random.seed(0)
        print('left behind')

def grade(sample, item):
    waiting = late()
    next(waiting)
    loop = [waiting]
    loop.append(loop)
    [[] for _ in range(5000)]
    print(item['honest'])
    return item['honest']
"""


@pytest.mark.parametrize("source", [MODULE_AS_SELF, TRAP_LEFT_SET, CLEAN_UP_LATER])
def test_what_a_row_changes_outside_itself_is_not_there_for_the_next(sandbox, source):
    rows = [sample(attack=attack, honest=0.25) for attack in (False, True, False, False)]
    before, _, *after = sandbox.grade(python(source), rows)
    assert outcomes([before, *after]) == [(0.25, "ok")] * 3
    assert {record.stdout for record in after} == {before.stdout}


def test_random_numbers_follow_the_row_and_not_its_place(sandbox):
    spec = python("import random\n" + body("return random.random()"))
    samples = [sample(str(index)) for index in range(100)]
    scores = {s.output_text: r.score for s, r in zip(samples, sandbox.grade(spec, samples), strict=True)}
    random.Random(0).shuffle(samples)
    again = {s.output_text: r.score for s, r in zip(samples, sandbox.grade(spec, samples[:100]), strict=True)}
    assert again == scores
    assert len(set(scores.values())) == 100


def test_the_order_of_sets_is_the_same_in_every_process(sandbox):
    spec = python(body("return [*{'a', 'b', 'c', 'd', 'e', 'f'}].index('a') * 10 + [*{'x', 'y', 'z'}].index('x')"))
    first = one(sandbox, spec).score
    sandbox.close()
    assert one(sandbox, spec).score == first


REPEATED = {
    "plain": "import random\n" + body("return random.random() + len({*item['x'], 'a'})"),
    "a process a call": "import os, random\n" + body("return random.random() + hash('a') % 7"),
    "for a batch": "import random\n\ndef reward(completions, x, **others):\n    return [random.random() for _ in x]\n",
    "numpy": "import numpy\n" + body("return numpy.random.rand() + numpy.linalg.norm([1.0, 2.0, 3.0]) / 7"),
    "sympy": "import sympy\n" + body("return float(sympy.sqrt(2).evalf(30)) + len(str(sympy.factor('x**4 - 1')))"),
}


@pytest.mark.parametrize("kind", REPEATED)
def test_the_same_rows_get_the_same_scores_again_and_from_another_server(sandbox, kind):
    spec, rows = python(REPEATED[kind]), [sample(str(n), x=[str(n), "a", "b"]) for n in range(70)]
    first = sandbox.grade(spec, rows)
    assert {record.status.value for record in first} == {"ok"}
    assert outcomes(sandbox.grade(spec, rows)) == outcomes(first)
    sandbox.close()
    assert outcomes(sandbox.grade(spec, rows)) == outcomes(first)


def test_an_item_that_is_not_json_is_that_rows_error(sandbox):
    records = sandbox.grade(python(body("return 1")), [sample(x={1, 2}), sample(x=1)])
    assert outcomes(records) == [(None, "error"), (1.0, "ok")]


def test_no_samples_give_no_records(sandbox):
    assert sandbox.grade(python(body("return 1")), []) == []


def test_large_rows_and_odd_characters_arrive_whole(sandbox):
    text = "é\0\ud800\n" * 200_000
    record = one(
        sandbox, python(body("return len(sample['output_text']) + (sample['output_text'][2] == '\\ud800')")), text
    )
    assert record.score == len(text) + 1
