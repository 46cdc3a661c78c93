"""Altered right answers in self-checks: a verifier that accepts one is named with it, a sound one is not reproached."""

import pytest

from backend.verifiers.selfcheck import self_check
from backend.verifiers.specs import parse_spec
from tests.worker.sandbox.selfchecks import checked, codes, finding, python, rows_of

NUMBERS = ("12,000", "-7", "350", "1,234.5", "0.25", "48", "9500")
QUANTITIES = ("5 km/h", "12 kg", "30 min", "7 m")
EXPRESSIONS = (r"3\sqrt{13}", "x=1 or x=-4", "(1, 2)", "2k", "-5 < x < 3")
CHOICES = ("A", "B", "C", "D", "B")
LISTS = ("1, 2, 3", "red, green, blue", "4 and 5")
DECIMALS = ("12.25", "7.8", "31.4", "-18.35")
ONE_WORD = ("increasing", "orange", "positive", "position", "Friday")
PHRASES = ("New York", "New Jersey", "Albert Einstein", "the Eiffel Tower", "a moderately strong acid")


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
