"""The self-check in the real sandbox: good verifiers pass, and each kind of bad one fails with its finding."""

import json
from pathlib import Path

import pytest

from backend.datasets.rows.references import right_answer_of
from backend.datasets.rows.rows import read_rows
from backend.verifiers.ready_made import READY_MADE
from backend.verifiers.selfcheck import ProbeRow
from tests.worker.sandbox.selfchecks import ROWS, WORDS, checked, codes, finding, python
from worker.checks.self_check import spread_rows

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.mark.parametrize("verifier", READY_MADE, ids=[verifier.id for verifier in READY_MADE])
def test_every_ready_made_verifier_passes_on_its_own_rows(sandbox, verifier):
    items = [item for n, item in enumerate(e.item for e in verifier.examples)]
    items = [item for n, item in enumerate(items) if item not in items[:n]]
    rows = [ProbeRow(number=number, item=item, answer=right_answer_of(item)) for number, item in enumerate(items)]
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
