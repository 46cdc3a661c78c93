"""The self-check in the real sandbox: good verifiers pass, and each kind of bad one fails with its finding."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from backend.datasets.rows.rows import answer_of, read_rows
from backend.verifiers.ready_made import READY_MADE
from backend.verifiers.selfcheck import ProbeRow, self_check
from backend.verifiers.specs import parse_spec
from worker.checks.self_check import spread_rows

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
WORDS = ("orange", "quince", "medlar", "cherry", "damson", "bilberry")
ROWS = [
    ProbeRow(
        number=number,
        item={"question": f"Which fruit is number {number}?", "answer": word},
        answer=word,
        solution=f"I look it up in the list of fruit.\nAnswer: {word}",
        messages=({"role": "user", "content": f"Which fruit is number {number}?"},),
    )
    for number, word in enumerate(WORDS)
]


def checked(sandbox, grader, rows=ROWS, **options):
    spec = parse_spec(grader)
    return self_check(rows, spec=spec, grade=lambda samples: sandbox.grade(spec, samples), read=sandbox.read, **options)


def python(body, head="", **options):
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return {"type": "python", "source": f"{head}\ndef grade(item, output_text):\n{lines}"} | options


def codes(result, level):
    return {finding["code"] for finding in result["findings"] if finding["level"] == level}


@pytest.mark.parametrize("verifier", READY_MADE, ids=[verifier.id for verifier in READY_MADE])
def test_every_ready_made_verifier_passes_on_its_own_rows(sandbox, verifier):
    items = [item for n, item in enumerate(e.item for e in verifier.examples)]
    items = [item for n, item in enumerate(items) if item not in items[:n]]
    rows = [ProbeRow(number=number, item=item, answer=answer_of(item)) for number, item in enumerate(items)]
    result = checked(sandbox, verifier.grader, rows)
    assert result["verdict"] == "pass", result["findings"]
    assert result["rows_checked"] == len(rows)


@pytest.mark.parametrize("example", ["starter", "reasoning_gym", "vision"])
def test_the_verifiers_of_the_examples_pass_on_their_data(sandbox, example):
    folder = EXAMPLES / example
    with (folder / "train.jsonl").open("rb") as file:
        rows = spread_rows(read_rows(file), count=8)
    grader = {"type": "python", "source": (folder / "verifier.py").read_text()}
    assert checked(sandbox, grader, rows)["verdict"] == "pass"


RIGHT = "right = item['answer'] == output_text.strip()\n"
FINE = {
    "0 to 5": python(RIGHT + "return 5 * right", range=[0, 5]),
    "-1 to 1": python(RIGHT + "return 1 if right else -1", range=[-1, 1]),
    "-1 to 0": python(RIGHT + "return 0 if right else -1", range=[-1, 0]),
    "a little more for short texts": python(
        RIGHT + "return right + 0.05 / (1 + len(output_text)) if output_text.strip() else 0", range=[0, 1.1]
    ),
    "half for the form": {
        "type": "multi",
        "graders": {
            "form": {"type": "regex", "pattern": r"\A<answer>[^<]*</answer>\Z"},
            "right": {"type": "regex", "pattern": r"\A<answer>(?P<answer>[^<]*)</answer>\Z"},
        },
        "calculate_output": "0.5 * form + 0.5 * right",
    },
    "another column": {
        "type": "string_check",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}!",
        "operation": "eq",
    },
    "nested JSON": {
        "type": "string_check",
        "input": "{{sample.output_json.found.fruit}}",
        "reference": "{{item.answer}}",
        "operation": "eq",
    },
}


@pytest.mark.parametrize("grader", FINE.values(), ids=FINE)
def test_scores_of_any_range_and_form_are_understood(sandbox, grader):
    result = checked(sandbox, grader)
    assert result["verdict"] == "pass", result["findings"]


FAILING = {
    "always 1": (python("return 1.0"), "constant"),
    "always 1, though it reads": (python("return float(len(item) + len(output_text) >= 0)"), "constant"),
    "always 0": (python("return 0.0"), "ignores_text"),
    "always 0, though it reads": (python("return 0.0 * len(item['answer']) * len(output_text)"), "constant"),
    "anything that is there": (python("return float(len(output_text.strip()) > 0)"), "noise_full"),
    "any text of the right kind": (
        python("words = output_text.split()\nreturn float(bool(words) and len(words[-1]) > 4 < len(item['answer']))"),
        "other_answer_full",
    ),
    "empty text": (python("return float(output_text.strip() in item['answer'])"), "empty_full"),
    "the wrong way round": (python("return float(item['answer'] not in output_text)"), "right_not_full"),
    "beyond its range": (python(RIGHT + "return 5 * right"), "out_of_range"),
    "crashes": (python("return item['absent']"), "errors"),
    "crashes on anything but JSON": (
        python("return float(json.loads(output_text) == item['answer'])", head="import json"),
        "errors",
    ),
    "abstains": (python("len(output_text), item['answer']\nreturn None"), "no_scores"),
    "a pattern that never matches": ({"type": "regex", "pattern": r"RESULT=(?P<answer>\d+)"}, "constant"),
}


@pytest.mark.parametrize(("grader", "code"), FAILING.values(), ids=FAILING)
def test_a_verifier_that_would_waste_the_training_fails_and_says_why(sandbox, grader, code):
    result = checked(sandbox, grader)
    assert result["verdict"] == "fail"
    assert code in codes(result, "fail")
    assert result["summary"]


LETTERS = [
    ProbeRow(number=n, item={"question": "Which?", "answer": letter}, answer=letter)
    for n, letter in enumerate("ABCDTS")
]
READS_A_LETTER = {
    "the first": "return float(output_text.strip()[:1].upper() == item['answer'])",
    "the first one": "return float(output_text.lstrip('*( ')[:1] == item['answer'])",
    "the first that may be meant": "return float(re.findall('[A-Z]', output_text)[:1] == [item['answer']])",
    "any": "return float(item['answer'] in output_text)",
}


@pytest.mark.parametrize("body", READS_A_LETTER.values(), ids=READS_A_LETTER)
def test_a_verifier_that_reads_a_letter_of_the_words_around_an_answer_is_warned_of(sandbox, body):
    result = checked(sandbox, python(body, "import re"), LETTERS)
    assert "other_in_words_full" in codes(result, "warn") | codes(result, "fail"), result["findings"]


@pytest.mark.parametrize("letters", [["A", "B", "C", "D"], ["S", "T", "A"]])
def test_a_choice_is_not_read_from_the_words_around_it(sandbox, letters):
    rows = [row for row in LETTERS if row.answer in letters]
    result = checked(sandbox, {"type": "choice", "choices": letters}, rows)
    assert "other_in_words_full" not in codes(result, "warn") | codes(result, "fail"), result["findings"]


SUMS = [
    ProbeRow(
        number=n,
        item={"question": f"{n} + {n}?", "answer": f"Take {n} twice.\n#### {n + n + 1000:,}"},
        answer=f"{n + n + 1000:,}",
        solution=f"Take {n} twice.",
    )
    for n in range(6)
]


def test_a_verifier_that_compares_with_the_working_fails(sandbox):
    grader = python("return float(output_text.strip() == item['answer'].split('####')[0].strip())")
    result = checked(sandbox, grader, SUMS)
    assert finding(result, "working_only")["level"] == "fail"
    worked = [replace(row, solution=f"{row.solution} That is {row.answer}.") for row in SUMS]
    worked = [replace(row, item={"answer": row.solution}) for row in worked]
    result = checked(sandbox, python("return float(output_text.strip() == item['answer'])"), worked)
    assert finding(result, "working_only")["level"] == "warn"
    result = checked(sandbox, python("return float(item['answer'].endswith('#### ' + output_text))"), SUMS)
    assert "working_only" not in {found["code"] for found in result["findings"]}


TRL = "def reward(completions, **kwargs):\n    return [float(c == s) for c, s in zip(completions, {})]"
COMPARE = "    return float(output_text == {})\n"
ABSENT = {
    "a default of a list": (TRL.format("kwargs.get('gt', [None] * 99)"), ["gt"]),
    "no default": (TRL.format("kwargs.get('labels') or [''] * 99"), ["labels"]),
    "a look-up": (TRL.format("kwargs['gt']"), ["gt"]),
    "two of which none is there": (TRL.format("kwargs.get('gt') or kwargs.get('label') or [''] * 99"), ["gt", "label"]),
    "of the row": ("def grade(item, output_text):\n" + COMPARE.format("item.get('gt')"), ["gt"]),
    "another name of the reference in the row": (
        "def grade(item, output_text):\n" + COMPARE.format("item.get('solution')"),
        ["solution"],
    ),
    "next to one that is there": (TRL.format("map(max, kwargs['answer'], kwargs['gt'])"), ["gt"]),
    "the reference": (TRL.format("kwargs.get('solution', [None] * 99)"), []),
    "one of two": (TRL.format("kwargs.get('gt') or kwargs.get('answer')"), []),
    "as a default": ("def grade(item, output_text):\n" + COMPARE.format("item.get('gt', item.get('answer'))"), []),
    "asked for": (TRL.format("kwargs['gt'] if 'gt' in kwargs else kwargs['answer']"), []),
    "where another is missing": (
        (
            "def grade(item, output_text):\n    right = item.get('answer')\n    if right is None:\n"
            "        right = item.get('gt')\n    return float(output_text == right)"
        ),
        [],
    ),
    "a setting": (TRL.format("kwargs.get('answer') if kwargs.get('strict', True) else ['']"), []),
    "a trainer's": (TRL.format("(kwargs.get('trainer_state'), kwargs['answer'])[1]"), []),
    "of something else": (
        "def grade(item, output_text):\n    a = {'gt': output_text}\n    return float(a['gt'] == item['answer'])",
        [],
    ),
}


@pytest.mark.parametrize(("source", "names"), ABSENT.values(), ids=ABSENT)
def test_a_column_that_no_row_has_is_named(sandbox, source, names):
    result = checked(sandbox, {"type": "python", "source": source})
    told = [found["message"] for found in result["findings"] if found["code"] == "absent_column"]
    assert [message.split("'")[1] for message in told] == names
    if not names:
        assert result["verdict"] == "pass", result["findings"]


LISTS = {"options_full", "options_as_answers_full", "denied_full"}
WARNING = {
    "contains": (python("return float(item['answer'] in output_text)"), LISTS),
    "ilike": (next(v.grader for v in READY_MADE if v.id == "contains"), LISTS),
    "the form alone": ({"type": "regex", "pattern": r"\A<answer>\w+</answer>\Z"}, {"form_only"}),
    "a form that was not tried": ({"type": "regex", "pattern": r"<summary>.+</summary>"}, {"form_only", "constant"}),
    "no two calls alike": (
        python("return os.urandom(1)[0] / 255 if item['answer'] in output_text else 0", head="import os"),
        {"not_repeatable"},
    ),
    "never more than a tenth": (python(RIGHT + "return right / 10"), {"below_one"}),
    "fails on long texts": (python(RIGHT + "assert len(output_text) < 9999\nreturn right"), {"errors"}),
}


@pytest.mark.parametrize(("grader", "expected"), WARNING.values(), ids=WARNING)
def test_a_verifier_that_can_be_fooled_is_warned_of(sandbox, grader, expected):
    result = checked(sandbox, grader)
    assert result["verdict"] == "warn", result["findings"]
    assert expected <= codes(result, "warn")


def test_without_a_reference_only_what_must_not_score_is_tried(sandbox):
    rows = [ProbeRow(number=n, item={"task": f"write poem {n}"}, answer=None) for n in range(3)]
    result = checked(sandbox, python("return float('rose' in output_text and 'poem' in item['task'])"), rows[:1])
    assert result["verdict"] == "warn"
    assert "no_reference" in codes(result, "warn")
    fooled = checked(sandbox, python("return float('e' in output_text or 'verse' in item['task'])"), rows)
    assert "noise_full" in codes(fooled, "fail")
    judged = python("return float(item['task'][:5] in output_text)")
    assert "no_reference" not in codes(checked(sandbox, judged, rows), "warn"), "the column that it reads may be it"


def test_a_reference_that_only_the_source_names_is_found(sandbox):
    rows = [ProbeRow(number=n, item={"question": "?", "label": word}, answer=None) for n, word in enumerate(WORDS)]
    result = checked(sandbox, python("return float(output_text.strip() == item['label'])"), rows)
    assert result["verdict"] == "pass"


def test_a_verifier_that_hangs_is_abandoned_after_one_row(sandbox):
    result = checked(sandbox, python("while output_text is not item: pass"))
    assert result["verdict"] == "fail"
    assert "timeouts" in codes(result, "fail")
    assert result["rows_checked"] == 1


def test_a_slow_verifier_is_tried_on_fewer_rows_and_says_so(sandbox):
    result = checked(sandbox, python(RIGHT + "return right"), budget_s=0.0)
    assert (result["rows_checked"], result["rows_asked"]) == (1, len(ROWS))
    assert "cut_short" in codes(result, "warn")


def test_the_matrix_has_a_cell_for_each_row_and_text(sandbox):
    progress = []
    result = checked(
        sandbox, python(RIGHT + "return right"), progress=lambda done, total: progress.append((done, total))
    )
    assert progress == [(n + 1, len(ROWS)) for n in range(len(ROWS))]
    names = [probe["name"] for probe in result["probes"]]
    assert [row["row"] for row in result["rows"]] == list(range(len(ROWS)))
    for row, word in zip(result["rows"], WORDS, strict=True):
        cells = dict(zip(names, row["cells"], strict=True))
        assert (cells["bare"]["score"], cells["bare"]["full"], cells["bare"]["text"]) == (1.0, True, word)
        assert (cells["empty"]["score"], cells["empty"]["full"], cells["empty"]["text"]) == (0.0, False, "")
        assert cells["other_answer"]["text"] in set(WORDS) - {word}
        assert cells["long"]["text"].endswith("…")
    assert len(json.dumps(result)) < 40_000


def test_the_same_verifier_on_the_same_rows_gets_the_same_matrix(sandbox):
    first, second = (checked(sandbox, python(RIGHT + "return right")) for _ in range(2))
    assert first["rows"] == second["rows"]


# -- readers: how references are read, and altered right answers ------------------------------------------------------

NUMBERS = ("12,000", "-7", "350", "1,234.5", "0.25", "48", "9500")
QUANTITIES = ("5 km/h", "12 kg", "30 min", "7 m")
EXPRESSIONS = (r"3\sqrt{13}", "x=1 or x=-4", "(1, 2)", "2k", "-5 < x < 3")
CHOICES = ("A", "B", "C", "D", "B")
LISTS = ("1, 2, 3", "red, green, blue", "4 and 5")
DECIMALS = ("12.25", "7.8", "31.4", "-18.35")
ONE_WORD = ("increasing", "orange", "positive", "position", "Friday")
PHRASES = ("New York", "New Jersey", "Albert Einstein", "the Eiffel Tower", "a moderately strong acid")


def rows_of(*answers):
    asked = ({"role": "user", "content": "What is it?"},)
    return [
        ProbeRow(number=number, item={"answer": answer}, answer=answer, messages=asked)
        for number, answer in enumerate(answers)
    ]


def finding(result, code):
    return next(finding for finding in result["findings"] if finding["code"] == code)


def numeric(pattern, test, head="import math, re"):
    """Build a verifier that compares the last number of the text, found by a pattern, with the row's."""
    read = "def read(text): return float(re.findall(PATTERN, text)[-1].replace(',', ''))"
    source = f"{head}\nPATTERN = r'{pattern}'\n{read}\n"
    return python(f"if not re.search(PATTERN, output_text): return 0.0\n{test}", head=source)


EQUAL = "return float(read(output_text) == read(item['answer']))"
READERS = {
    "the first digits": (
        python(
            "found, right = (re.findall(r'-?\\d+', text) for text in (output_text, item['answer']))\n"
            "return float(bool(found) and found[0] == right[0])",
            head="import re",
        ),
        NUMBERS,
        {"factor_full": "`12` for `12,000` (row 0) scores 1"},
    ),
    "without the sign": (numeric(r"[\d,.]*\d", EQUAL), NUMBERS, {"sign_full": "`7` for `-7` (row 1) scores 1"}),
    "any unit": (
        numeric(r"-?[\d,.]*\d", EQUAL),
        QUANTITIES,
        {"unit_full": "for `5 km/h` (row 0) scores 1"},
    ),
    "the last number of an expression": (
        numeric(r"-?\d+", EQUAL),
        EXPRESSIONS,
        {
            "part_full": "`-4` for `x=1 or x=-4`",
            "digit_full": "for `(1, 2)`",
            "element_full": "`(2)` for `(1, 2)`",
        },
    ),
    "contained in the text": (
        {"type": "string_check", "input": "{{sample.output_json.answer}}", "reference": "{{item.answer}}"}
        | {"operation": "like"},
        NUMBERS,
        {"sign_full": "`-350` for `350`", "factor_full": "`350000` for `350`"},
    ),
    "digits at the end, by pattern": (
        {"type": "regex", "pattern": r"(?P<answer>\d[\d,.]*)\s*$"},
        NUMBERS,
        {"sign_full": "`-350` for `350`"},
    ),
    "any choice": (
        python("return float(output_text.strip() in 'ABCD' and item['answer'] in 'ABCD')"),
        CHOICES,
        {"choice_full": "for `A` (row 0) scores 1"},
    ),
    "rounded": (
        numeric(r"-?\d[\d.]*", "return float(round(read(output_text)) == round(read(item['answer'])))"),
        DECIMALS,
        {"near_full": "`11.75` for `12.25` (row 0) scores 1"},
    ),
    "cut off": (
        numeric(r"-?\d[\d.]*", "return float(int(read(output_text)) == int(read(item['answer'])))"),
        DECIMALS,
        {"near_full": "`12.75` for `12.25` (row 0) scores 1"},
    ),
    "rounded, where a tenth is more than rounding": (
        numeric(r"-?\d[\d.]*", "return float(round(read(output_text)) == round(read(item['answer'])))"),
        ("1.25", "2.8"),
        {"near_full": "`0.75` for `1.25` (row 0) scores 1"},
    ),
    "the first word": (
        python("return float(output_text.split()[:1] == item['answer'].split()[:1])"),
        PHRASES,
        {"part_full": "`New` for `New York` (row 0) scores 1", "word_full": "`New Jersey` for `New York`"},
    ),
    "the last word": (
        python("return float(output_text.split()[-1:] == item['answer'].split()[-1:])"),
        PHRASES,
        {"word_full": "York` for `New York`"},
    ),
    "four fifths of the letters, wherever they are": (
        python(
            "short, long = sorted((output_text.strip(), item['answer']), key=len)\n"
            "parts = [long[at : at + len(short)] for at in range(len(long) - len(short) + 1)]\n"
            "return float(short > '' and max(SequenceMatcher(None, short, part).ratio() for part in parts) >= 0.8)",
            head="from difflib import SequenceMatcher",
        ),
        PHRASES,
        {"part_full": "`New` for `New York` (row 0) scores 1"},
    ),
    "the first letters of a word": (
        python("return float(output_text.strip()[:3] == item['answer'][:3])"),
        ONE_WORD,
        {
            "part_full": "`incre` for `increasing` (row 0) scores 1",
            "word_full": "`orangq` for `orange` (row 1) scores 1",
        },
    ),
    "four fifths of the letters of a word": (
        python(
            "return float(SequenceMatcher(None, output_text.strip(), item['answer']).ratio() >= 0.8)",
            head="from difflib import SequenceMatcher",
        ),
        ONE_WORD,
        {"word_full": "`increasiqq` for `increasing` (row 0) scores 1"},
    ),
    "contained in the word": (
        python("return float(len(output_text) > 2 and output_text.strip() in item['answer'])"),
        ONE_WORD,
        {"part_full": "`incre` for `increasing` (row 0) scores 1"},
    ),
    "some elements": (
        python("return float(output_text > '' and all(w in item['answer'] for w in output_text.split(', ')))"),
        LISTS,
        {"element_full": "`red, green` for `red, green, blue` (row 1) scores 1"},
    ),
}


@pytest.mark.parametrize(("grader", "answers", "found"), READERS.values(), ids=READERS)
def test_a_verifier_that_reads_a_part_or_reads_wrongly_fails_with_the_answer_that_shows_it(
    sandbox, grader, answers, found
):
    result = checked(sandbox, grader, rows_of(*answers))
    assert result["verdict"] == "fail"
    assert found.keys() <= codes(result, "fail"), result["findings"]
    for code, example in found.items():
        assert example in finding(result, code)["message"]
    assert [one["full"] for one in result["altered"]] == sorted(
        (one["full"] for one in result["altered"]), reverse=True
    )


SOUND = {
    "5 % off in Python": (
        numeric(r"-?[\d,.]*\d", "return float(math.isclose(read(output_text), read(item['answer']), rel_tol=0.05))"),
        NUMBERS,
    ),
    "60 % off": ({"type": "number", "tolerance": "60%"}, NUMBERS),
    "units": (
        {
            "type": "number",
            "tolerance": "2%",
            "units": {"km/h": 1, "m/s": 3.6, "kg": 1, "g": 0.001, "min": 60, "h": 3600, "m": 1, "km": 1000, "meter": 1},
        },
        QUANTITIES,
    ),
    "mathematics": ({"type": "math"}, EXPRESSIONS),
    "mathematics of pairs": ({"type": "math"}, ("(3,4)", "(2,-5)", "(1,7)")),
    "mathematics of pairs, intervals and numbers": (
        {"type": "math"},
        (r"\left( 3, \frac{\pi}{2} \right)", "9", "[-2,7]", "12"),
    ),
    "a pattern": (
        {"type": "regex", "pattern": r"####\s*(?P<answer>.+)"},
        (*NUMBERS, *EXPRESSIONS, *LISTS, *DECIMALS, *PHRASES),
    ),
    "a word": (python("return float(output_text.strip().casefold() == item['answer'].casefold())"), ONE_WORD),
    "mathematics of words": ({"type": "math"}, ONE_WORD),
    "JSON": (
        {"type": "string_check", "input": "{{sample.output_json.answer}}", "reference": "{{item.answer}}"}
        | {"operation": "eq"},
        (*NUMBERS, *QUANTITIES),
    ),
    "choice": ({"type": "choice", "choices": ["A", "B", "C", "D"]}, CHOICES),
    "several": (
        {
            "type": "multi",
            "graders": {"number": {"type": "number"}, "form": {"type": "regex", "pattern": "<answer>"}},
            "calculate_output": "0.9 * number + 0.1 * form",
        },
        NUMBERS,
    ),
}


@pytest.mark.parametrize(("grader", "answers"), SOUND.values(), ids=SOUND)
def test_altered_answers_are_no_reproach_to_a_verifier_that_keeps_its_promise(sandbox, grader, answers):
    result = checked(sandbox, grader, rows_of(*answers))
    assert not codes(result, "fail")
    assert "altered" in codes(result, "pass"), result["findings"]
    assert result["altered"]
    assert not any(one["full"] for one in result["altered"])


TOLERANT = {
    "1 off": "return float(abs(read(output_text) - read(item['answer'])) <= 1)",
    "2 off": "return float(abs(read(output_text) - read(item['answer'])) < 2)",
    "5 % off": "return float(math.isclose(read(output_text), read(item['answer']), rel_tol=0.05))",
    "10 % off": "return float(math.isclose(read(output_text), read(item['answer']), rel_tol=0.1))",
    "tens": "return float(round(read(output_text), -1) == round(read(item['answer']), -1))",
}


@pytest.mark.parametrize("test", TOLERANT.values(), ids=TOLERANT)
def test_a_whole_number_nearby_with_full_marks_is_told_and_may_be_a_tolerance(sandbox, test):
    result = checked(sandbox, numeric(r"-?[\d,.]*\d", test), rows_of("1009", "350", "96", "2048", "731"))
    assert "fail" not in {finding["level"] for finding in result["findings"]}, result["findings"]
    told = finding(result, "tolerance")
    assert told["level"] == "warn"
    assert "scores 1" in told["message"]
    assert any(one["tolerated"] and not one["full"] for one in result["altered"])


def test_a_number_grader_with_a_tolerance_is_not_told_of_it(sandbox):
    for grader in ({"type": "number"}, {"type": "number", "tolerance": 1}, {"type": "number", "tolerance": "10%"}):
        result = checked(sandbox, grader, rows_of("1009", "350", "96", "2048", "731"))
        assert result["verdict"] == "pass", result["findings"]


LAST_NUMBER = "return float(re.findall('[0-9]+', output_text)[-1:] == re.findall('[0-9]+', item['answer'])[-1:])"


def test_a_verifier_that_reads_the_last_number_of_a_date_is_found(sandbox):
    result = checked(
        sandbox, python(LAST_NUMBER, "import re"), rows_of("March 15, 2024", "July 4, 1776", "May 1, 2023")
    )
    assert finding(result, "date_full")["level"] == "fail"
    assert "`March 16, 2024` for `March 15, 2024`" in finding(result, "date_full")["message"]


@pytest.mark.parametrize(("answers", "level"), [(["12", "7", "105"], "warn"), (["12", "-7", "105"], "fail")])
def test_a_sign_that_is_overlooked_counts_less_where_no_reference_has_one(sandbox, answers, level):
    result = checked(sandbox, python(LAST_NUMBER, "import re"), rows_of(*answers))
    assert finding(result, "sign_full")["level"] == level


def test_a_similarity_that_overlooks_a_difference_is_only_warned_of(sandbox):
    grader = {
        "type": "text_similarity",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "evaluation_metric": "rouge_l",
    }
    result = checked(sandbox, grader, rows_of(*NUMBERS))
    assert (result["verdict"], finding(result, "sign_full")["level"]) == ("warn", "warn")


def test_it_says_how_references_of_each_form_are_read(sandbox):
    answers = ["12,000", "12", "5 km/h", *(str(number) for number in range(100, 130))]
    result = checked(sandbox, {"type": "number"}, rows_of(*answers[:3]), more_rows=rows_of(*answers))
    read = {one["reference"]: (one["read"], one["lost"]) for one in result["readings"]}
    assert read["12,000"] == ("12000", "")
    assert read["5 km/h"] == ("5", "km/h")
    assert len(read) == 4, "two of each form"
    assert "`12,000` as 12000" in finding(result, "references_read")["message"]
    assert "`5 km/h` as 5 without `km/h`" in finding(result, "references_cut")["message"]
    assert finding(result, "references_cut")["level"] == "warn"


@pytest.mark.parametrize(
    ("grader", "answers", "message"),
    [
        ({"type": "number", "decimal_mark": ","}, ["12,000", "12", "3,5"], "`12,000` and `12` both as 12"),
        ({"type": "number"}, ["5 km/h", "7", "5 mph"], "`5 km/h` and `5 mph` both as 5"),
    ],
)
def test_references_that_differ_but_are_read_alike_are_found(sandbox, grader, answers, message):
    result = checked(sandbox, grader, rows_of(*answers))
    assert message in finding(result, "references_alike")["message"]
    assert finding(result, "references_alike")["level"] == "warn"


def test_references_that_cannot_be_read_are_found_among_rows_that_are_not_tried(sandbox):
    result = checked(sandbox, {"type": "number"}, rows_of("7", "8"), more_rows=rows_of("7", "8", "9", "none"))
    assert "1 of 4 sampled references cannot be read" in finding(result, "references_unreadable")["message"]
    assert {"grader": "", "reference": "none", "read": None, "lost": ""} in result["readings"]


def test_references_of_every_form_are_altered_in_one_call_of_bounded_size(sandbox):
    calls = []
    spec = parse_spec({"type": "number"})

    def grade(samples):
        calls.append([sample.output_text for sample in samples])
        return sandbox.grade(spec, samples)

    many = rows_of(*(str(number) for number in range(10, 200)), "12,000", "-5 < x < 3")
    result = self_check(many[:2], spec=spec, grade=grade, read=sandbox.read, more_rows=many)
    assert "12" in calls[-1]
    assert "-5" in calls[-1]
    assert len(calls[-1]) <= 64
    assert len({one["row"] for one in result["altered"]}) <= 8
    assert (
        self_check(many[:2], spec=spec, grade=grade, read=sandbox.read, more_rows=many)["altered"] == result["altered"]
    )


def test_no_answer_is_altered_without_time_or_without_a_right_answer_that_scores(sandbox):
    late = checked(sandbox, {"type": "number"}, rows_of("12", "13"), budget_s=0.0)
    assert late["altered"] == []
    never = checked(sandbox, {"type": "regex", "pattern": r"RESULT=(?P<answer>\d+)"}, rows_of("12", "13"))
    assert never["altered"] == []


def test_only_a_few_references_are_read_once_the_time_is_over(sandbox):
    many = rows_of(*(str(number) for number in range(10, 90)))
    sizes = []

    def read(grader, references):
        sizes.append(len(references))
        return sandbox.read(grader, references)

    spec = parse_spec({"type": "number"})
    for budget_s in (60.0, 0.0):
        self_check(
            many[:1], spec=spec, grade=lambda samples: sandbox.grade(spec, samples), read=read, more_rows=many,
            budget_s=budget_s,
        )  # fmt: skip
    assert sizes == [8] * 6 + [8]


def test_an_abstention_on_nonsense_is_no_score(sandbox):
    """The reader of the verdict must not believe that nonsense scored."""
    source = "return 1.0 if output_text.rstrip().endswith('Answer: ' + item['answer']) else None"
    result = checked(sandbox, python(source))
    message = finding(result, "constant")["message"]
    assert result["verdict"] == "fail"
    assert "Every text that was scored got 1" in message
    assert "abstained on the other" in message
    assert "empty text" in message
    some = checked(sandbox, python("return float(output_text == item['answer']) if output_text.strip() else None"))
    assert (some["verdict"], finding(some, "abstained")["level"]) == ("pass", "pass")
    most = checked(
        sandbox, python("return float(output_text[8:] == item['answer']) if output_text[:8] == 'Answer: ' else None")
    )
    assert (most["verdict"], finding(most, "abstained")["level"]) == ("warn", "warn")


def test_altered_answers_have_a_form_that_is_scored_where_full_marks_are_zero(sandbox):
    source = (
        "def grade(sample, item):\n"
        "    given = sample['output_text'].strip()\n"
        "    if not given.startswith('<answer>'):\n"
        "        return None\n"
        "    return 0.0 if given == f\"<answer>{item['answer']}</answer>\" else -1.0\n"
    )
    grader = {"type": "python", "name": "below zero", "source": source, "range": [-1, 0]}
    altered = checked(sandbox, grader, rows_of("12", "34", "56"))["altered"]
    assert altered
    assert all(one["text"].startswith("<answer>") for one in altered)
