"""`rlsd check` from the command line: a verdict to read, and an exit code."""

import json
from pathlib import Path

import pytest

from tests.commands import rlsd

STARTER = Path(__file__).resolve().parents[3] / "examples" / "starter"


@pytest.mark.parametrize("verifier", ["verifier.py", "verifier_regex.json"])
def test_a_good_verifier_passes(verifier: str) -> None:
    process = rlsd("check", "--data", STARTER / "train.jsonl", "--verifier", STARTER / verifier, "--rows", "3")
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[0].startswith("pass: Right answers get full marks on all 3 rows")


def test_a_bad_one_fails_with_what_is_wrong_and_exit_code_1(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def grade(item, output_text):\n    return 1.0\n")
    process = rlsd("check", "--data", STARTER / "train.jsonl", "--verifier", bad)
    assert process.returncode == 1
    assert process.stdout.startswith("fail: ")
    assert "Every text scored 1" in process.stdout
    assert "Traceback" not in process.stderr
    as_json = rlsd("check", "--data", STARTER / "train.jsonl", "--verifier", bad, "--json")
    result = json.loads(as_json.stdout)
    assert (as_json.returncode, result["verdict"], result["rows_checked"]) == (1, "fail", 16)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("{", "neither Python source"), ("[]", "a JSON object with a 'type'"), ('{"type": "regex"}', "grader.pattern")],
)
def test_what_is_no_verifier_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "grader.json"
    path.write_text(content)
    process = rlsd("check", "--data", STARTER / "train.jsonl", "--verifier", path)
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith("rlsd: ")
    assert sentence in line


def test_numbers_that_can_be_read_in_two_ways_are_named(tmp_path: Path) -> None:
    rows, grader = tmp_path / "rows.jsonl", tmp_path / "grader.json"
    rows.write_text("".join(f'{{"question": "{n}?", "answer": "{n}2,000"}}\n' for n in range(1, 5)))
    grader.write_text('{"type": "number"}')
    process = rlsd("check", "--data", rows, "--verifier", grader)
    assert "References such as '12,000' can be read with a decimal point or a decimal comma" in process.stdout


def test_columns_can_be_mapped_and_how_the_file_was_read_is_told(tmp_path: Path) -> None:
    rows, grader = tmp_path / "rows.jsonl", tmp_path / "grader.json"
    rows.write_text("".join(f'{{"asked": "{chr(54 + n)}?", "names": ["{n}", "no. {n}"]}}\n' for n in range(11, 15)))
    grader.write_text('{"type": "number"}')
    process = rlsd("check", "--data", rows, "--verifier", grader)
    assert "name the columns of question and answer in `mapping`" in process.stderr
    mapping = '{"question": "asked", "answer": "names.*"}'
    process = rlsd("check", "--data", rows, "--verifier", grader, "--mapping", mapping, "--json")
    assert json.loads(process.stdout)["verdict"] == "pass", process.stdout
    assert "rows.jsonl: Any one of the answers in 'names.*' is right" in process.stderr
    process = rlsd("check", "--data", rows, "--verifier", grader, "--mapping", "{")
    assert process.stderr.startswith("rlsd: mapping: ")


def test_the_range_of_scores_can_be_given(tmp_path: Path) -> None:
    verifier = tmp_path / "verifier.py"
    verifier.write_text(
        "def reward(completions, answer, **kwargs):\n"
        "    return [5.0 if text.split()[-1:] == [right] else -1.0 for text, right in zip(completions, answer)]\n"
    )
    asked = ("check", "--data", STARTER / "train.jsonl", "--verifier", verifier, "--rows", "3")
    without, with_range, wrong = (rlsd(*asked, *more) for more in ((), ("--range", "-1", "5"), ("--range", "5", "-1")))
    assert (without.returncode, with_range.returncode) == (1, 0), with_range.stdout
    assert "are beyond the verifier's range" in without.stdout
    assert wrong.stderr.startswith("rlsd: 'grader.range': it must be two numbers")
