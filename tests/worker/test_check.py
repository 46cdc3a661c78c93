"""`rlsd check` as its user runs it: a verdict to read, and an exit code to act on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STARTER = Path(__file__).resolve().parents[2] / "examples" / "starter"


def rlsd_check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backend.cli", "check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("verifier", ["verifier.py", "verifier_regex.json"])
def test_a_good_verifier_passes(verifier: str) -> None:
    process = rlsd_check("--data", STARTER / "train.jsonl", "--verifier", STARTER / verifier, "--rows", "3")
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[0].startswith("pass: Right answers get full marks on all 3 rows")


def test_a_bad_one_fails_with_what_is_wrong_and_exit_code_1(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def grade(item, output_text):\n    return 1.0\n")
    process = rlsd_check("--data", STARTER / "train.jsonl", "--verifier", bad)
    assert process.returncode == 1
    assert process.stdout.startswith("fail: ")
    assert "Every text scored 1" in process.stdout
    assert "Traceback" not in process.stderr
    as_json = rlsd_check("--data", STARTER / "train.jsonl", "--verifier", bad, "--json")
    result = json.loads(as_json.stdout)
    assert (as_json.returncode, result["verdict"], result["rows_checked"]) == (1, "fail", 16)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("{", "neither Python source"), ("[]", "an object with a 'type'"), ('{"type": "regex"}', "grader.pattern")],
)
def test_what_is_no_verifier_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "grader.json"
    path.write_text(content)
    process = rlsd_check("--data", STARTER / "train.jsonl", "--verifier", path)
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith("rlsd: ")
    assert sentence in line
