"""The types of grader that look for an answer: number, choice, math, json_schema, text_similarity, multi."""

import json
import random
import subprocess
import sys

import pytest

from backend.verifiers import libraries
from backend.verifiers.specs import parse_spec
from tests.worker.sandbox.verifiers import outcomes, sample

WORDS = "the cat sat on a mat and dogs ran over hills while 3 birds sang . , The CAT running hill".split()  # noqa: SIM905


def one(sandbox, spec, text, *, answer=None, **item):
    return sandbox.grade(parse_spec(spec), [sample(text, answer=answer, **item)])[0]


@pytest.mark.parametrize(
    ("options", "answer", "text", "score"),
    [
        ({}, "42", "It is 42.", 1.0),
        ({}, "42", "First 41, then 42", 1.0),
        ({}, "42", "First 42, then 41", 0.0),
        ({}, "1,234.5", "1234.50", 1.0),
        ({}, "-3", "the answer is −3", 1.0),
        ({}, "4", "from 3-4", 0.0),
        ({}, "0.3", "3e-1", 1.0),
        ({}, ".5", "0.5", 1.0),
        ({}, "5", "five", 1.0),
        ({}, "0.3", "0.30000000000000004", 0.0),
        ({"tolerance": 0.01}, "3.14", "3.15", 1.0),
        ({"tolerance": 0.01}, "3.14", "3.1501", 0.0),
        ({"tolerance": "2%"}, "200", "204", 1.0),
        ({"tolerance": "2%"}, "-200", "-204.1", 0.0),
        ({"units": {"km": 1000, "m": 1}}, "5 km", "5000 m", 1.0),
        ({"units": {"km": 1000, "m": 1}}, "5 km", "5 m", 0.0),
        ({"units": {"km": 1000, "m": 1}}, "5 km", "5", 0.0),
        ({"units": {"km": 1000, "m": 1}}, "5 km", "5 mm", 0.0),
        ({"units": {"km": 1000, "m": 1}}, "5 km", "about 5km, as 2 of 3 say", 1.0),
        ({"units": ["EUR", "€"]}, "5 EUR", "€5", 1.0),
        ({"units": ["EUR", "€"]}, "5", "5 €", 1.0),
        ({"units": {"%": 0.01}}, "0.5", "50 %", 1.0),
    ],
)
def test_number(sandbox, options, answer, text, score):
    assert one(sandbox, {"type": "number"} | options, text, answer=answer).score == score


def test_a_reference_without_a_number_is_the_rows_error(sandbox):
    assert "contains no number" in one(sandbox, {"type": "number"}, "5", answer="none").reason
    assert "no reference answer" in one(sandbox, {"type": "number"}, "5").reason


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("B", 1.0),
        ("(b)", 1.0),
        ("**B**", 1.0),
        (r"so \boxed{B}", 1.0),
        (r"so \boxed{\text{B}}", 1.0),
        ("The answer is B.", 1.0),
        ("The answer is (B) because of A", 1.0),
        ("Answer: B) Paris", 1.0),
        ("Thinking about A and C.\nB", 1.0),
        ("Not sure.\nB. Paris", 1.0),
        ("The answer is A. No: the answer is B.", 1.0),
        ("A", 0.0),
        ("The answer is C", 0.0),
        ("The answer is a big city", 0.0),
        ("A) London\nC) Rome\nD) Oslo\nB) Paris", 0.0),
        ("The answer is A or B", 0.0),
        ("Answer: A, B", 0.0),
        ("Because", 0.0),
        ("", 0.0),
    ],
)
def test_choice(sandbox, text, score):
    assert one(sandbox, {"type": "choice"}, text, answer="B").score == score


def test_choices_may_be_words(sandbox):
    spec = {"type": "choice", "choices": ["approve", "reject", "reject in part"]}
    assert one(sandbox, spec, "My answer: Reject in part.", answer="reject in part").score == 1.0
    assert one(sandbox, spec, "My answer: Reject.", answer="reject in part").score == 0.0
    assert one(sandbox, spec, "approve", answer="maybe").status == "error"


SCHEMA = {
    "type": "object",
    "properties": {
        "total": {"type": "number", "minimum": 0},
        "items": {"type": "array", "items": {"$ref": "#/$defs/i"}},
    },
    "required": ["total"],
    "additionalProperties": False,
    "$defs": {"i": {"type": "string", "pattern": "^[a-z]+$"}},
}


@pytest.mark.parametrize(
    ("text", "score", "part"),
    [
        ('{"total": 3, "items": ["a"]}', 1.0, None),
        ('{"total": -3}', 0.0, "minimum"),
        ('{"total": 1, "items": ["A"]}', 0.0, "['items'][0]"),
        ("{}", 0.0, "'total' is a required property"),
        ('{"total": NaN}', 0.0, "not JSON"),
        ("total: 3", 0.0, "not JSON"),
        ('Here: {"total": 3}', 0.0, "not JSON"),
        ("[" * 100_000, 0.0, "not JSON"),
    ],
)
def test_json_schema(sandbox, text, score, part):
    record = one(sandbox, {"type": "json_schema", "schema": SCHEMA}, text)
    assert record.score == score
    assert (record.reason is None) if part is None else part in record.reason


def test_a_pattern_of_a_schema_runs_under_the_deadline_too(sandbox):
    spec = {"type": "json_schema", "schema": {"type": "string", "pattern": "^(a+)+$"}}
    records = sandbox.grade(parse_spec(spec), [sample('"a"'), sample(f'"{"a" * 60}b"'), sample('"aa"')])
    assert outcomes(records) == [(1.0, "ok"), (None, "timeout"), (1.0, "ok")]


def directly(code, cases):
    """Results of the libraries themselves, in a separate process."""
    run = subprocess.run(
        [sys.executable, "-P", "-s", "-S", "-c", code],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(libraries.folder()), "OPENBLAS_NUM_THREADS": "1"},
    )
    return json.loads(run.stdout)


SIMILARITY = """
import json, sys
from nltk.translate.gleu_score import sentence_gleu
from nltk.translate.meteor_score import single_meteor_score
from rapidfuzz import fuzz
from rouge_score.rouge_scorer import RougeScorer
import sacrebleu
class Empty:
    def synsets(self, word): return []
names = ["rouge1", "rouge2", "rouge3", "rouge4", "rouge5", "rougeL"]
rouge = RougeScorer(names)
out = []
for text, right in json.load(sys.stdin):
    r = rouge.score(right, text)
    out.append([fuzz.ratio(text, right) / 100, sacrebleu.sentence_bleu(text, [right]).score / 100,
        sentence_gleu([right.split()], text.split()),
        single_meteor_score(right.split(), text.split(), wordnet=Empty()), *(r[n].fmeasure for n in names)])
print(json.dumps(out))
"""
METRICS = ["fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"]


def test_text_similarity_agrees_with_the_reference_libraries(sandbox):
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 14))) for _ in range(60)]
    cases = [(text, rng.choice([text, rng.choice(texts), text + " more"])) for text in texts] + [
        ("", "a b"),
        ("x", "y"),
    ]
    expected = directly(SIMILARITY, cases)
    rows = [sample(text, right=right) for text, right in cases]
    for place, metric in enumerate(METRICS):
        spec = {
            "type": "text_similarity",
            "input": "{{sample.output_text}}",
            "reference": "{{item.right}}",
            "evaluation_metric": metric,
        }
        scores = [record.score for record in sandbox.grade(parse_spec(spec), rows)]
        assert scores == pytest.approx([row[place] for row in expected]), metric
        assert len(set(scores)) > 5


MATH = """
import json, sys
from math_verify import parse, verify
print(json.dumps([bool(verify(parse(right), parse(text))) for text, right in json.load(sys.stdin)]))
"""


def math_cases():
    rng = random.Random(1)
    forms = ["${}$", r"\boxed{{{}}}", "The answer is ${}$.", "so ${}$", "I get $x = {}$"]
    values = ["1/2", "0.5", r"\frac{1}{2}", "50\\%", "2", "4/2", r"\sqrt{4}", "1,000", "1000", "x+1", "1+x", "(1,2)"]
    values += ["[0, 1)", r"2\pi", "6.283", "x^2-1", "(x-1)(x+1)", "-3", "10^3", "12 cm"]
    pairs = [(rng.choice(values), rng.choice(values)) for _ in range(120)] + [(v, v) for v in values]
    return [(rng.choice(forms).format(said), f"${right}$") for said, right in pairs]


def test_math_agrees_with_math_verify(sandbox):
    cases = math_cases()
    expected = directly(MATH, cases)
    records = sandbox.grade(parse_spec({"type": "math"}), [sample(text, answer=right) for text, right in cases])
    decided = [(record.score, truth) for record, truth in zip(records, expected, strict=True) if record.status == "ok"]
    assert [bool(score) for score, _ in decided] == [truth for _, truth in decided]
    assert len(decided) > 0.9 * len(cases)
    assert 10 < sum(expected) < len(cases) - 10
    assert not any(truth for record, truth in zip(records, expected, strict=True) if record.status != "ok")


def test_a_bare_latex_reference_is_read_as_latex(sandbox):
    assert one(sandbox, {"type": "math"}, r"It is $\frac{2}{4}$", answer=r"\frac{1}{2}").score == 1.0
    assert one(sandbox, {"type": "math"}, "2", answer="").status == "error"


def test_mathematics_that_takes_for_ever_is_a_timeout_of_its_row(sandbox):
    rows = [
        sample("2", answer="2"),
        sample("$2^{3^{4^{5^{6}}}}$", answer="$3^{3^{3^{3^{3}}}}$"),
        sample("3", answer="3"),
    ]
    first, middle, last = sandbox.grade(parse_spec({"type": "math"}), rows)
    assert outcomes([first, last]) == [(1.0, "ok")] * 2
    assert middle.score in (None, 0.0)


CHECK = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.a}}", "operation": "eq"}
FORM = {"type": "regex", "pattern": "^[a-z]+$"}


def multi(formula, **graders):
    return {"type": "multi", "graders": graders, "calculate_output": formula}


def test_multi_combines_scores_and_shows_them(sandbox):
    spec = multi("0.8 * right + 0.2 * form", right=CHECK, form=FORM)
    records = sandbox.grade(parse_spec(spec), [sample("x", a="x"), sample("y", a="x"), sample("1", a="1")])
    assert [record.score for record in records] == pytest.approx([1.0, 0.2, 0.8])
    assert records[1].components == {"right": 0.0, "form": 1.0}


@pytest.mark.parametrize(
    ("result", "status"), [("None", "abstain"), ("1 / 0", "error"), ("sum(iter(int, 1))", "timeout")]
)
def test_multi_without_one_of_its_scores_has_none(sandbox, python_allowed, result, status):
    source = f"def grade(item, output_text):\n    return {result}\n"
    spec = multi("a + b", a=FORM, b={"type": "python", "source": source}) | {"range": [0, 2]}
    record = one(sandbox, spec, "x")
    assert (record.score, record.status) == (None, status)
    assert record.reason.startswith("b: ")
    assert record.components == {"a": 1.0}


def test_an_error_of_a_part_that_counts_as_zero_does_not_spoil_the_whole(sandbox, python_allowed):
    broken = {"type": "python", "source": "def grade(item, output_text): return 1 / 0", "error_counts_as_zero": True}
    assert one(sandbox, multi("a + b", a=FORM, b=broken), "x").score == 1.0


def test_a_formula_without_a_value_is_an_error(sandbox):
    record = one(sandbox, multi("a / b", a=FORM, b=FORM | {"pattern": "never"}), "x")
    assert record.status == "error"
    assert record.reason == "calculate_output: a division by zero"


def test_every_type_can_read_output_json(sandbox):
    spec = {"type": "number", "input": "{{sample.output_json.total}}", "reference": "{{item.total}}"}
    records = sandbox.grade(parse_spec(spec), [sample('{"total": 3}', total=3), sample("3", total=3)])
    assert [record.score for record in records] == [1.0, 0.0]
