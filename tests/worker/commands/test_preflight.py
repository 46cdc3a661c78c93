"""`rlsd preflight` from the command line, and `rlsd train` with a pre-flight before its first step."""

import json
from pathlib import Path

import pytest

from tests.commands import rlsd
from tests.worker.commands.test_train import job_file
from tests.worker.engine.tiny import save_tiny_model

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


def test_it_prints_the_rates_and_the_verdict_and_writes_the_report(tmp_path: Path, model: str) -> None:
    arguments = (job_file(tmp_path), "--data", tmp_path / "rows.jsonl", "--model", model)
    process = rlsd("preflight", *arguments, "--rows", "3", "--samples", "4", "--output", tmp_path / "report.json")
    assert process.returncode == 0, process.stderr
    assert "12/24 completions" in process.stdout
    assert "solve rate by row (3 of" in process.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert f"{report['verdict']}: {report['summary']}" in process.stdout
    assert [entry["rows"] for entry in report["histogram"]] == [
        int(line.split()[-1]) for line in process.stdout.splitlines()[5:12]
    ]
    again = rlsd("preflight", *arguments, "--rows", "3", "--samples", "4", "--output", tmp_path / "again.json")
    assert again.returncode == 0
    second = json.loads((tmp_path / "again.json").read_text())
    assert {**second, "time": None} == {**report, "time": None}


def test_it_ends_with_1_where_nothing_can_be_learned(tmp_path: Path, model: str) -> None:
    verifier = tmp_path / "never.py"
    verifier.write_text("def grade(sample, item):\n    return 0.0\n")
    process = rlsd(
        "preflight",
        job_file(tmp_path),
        "--data",
        tmp_path / "rows.jsonl",
        "--model",
        model,
        "--verifier",
        verifier,
        "--rows",
        "2",
    )
    assert process.returncode == 1
    assert "fail: None of 16 completions of 2 rows was right" in process.stdout


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"lambda": 2}, "x_rlsd.lambda"), ({"max_completion_tokens": 600}, "leaves no room for a prompt")],
)
def test_a_job_that_cannot_run_is_one_sentence(
    tmp_path: Path, model: str, change: dict[str, object], sentence: str
) -> None:
    job = job_file(tmp_path, **change)
    process = rlsd("preflight", job, "--data", tmp_path / "rows.jsonl", "--model", model)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith("rlsd: ")
    assert sentence in process.stderr.splitlines()[-1]


def test_training_in_the_foreground_may_begin_with_it_and_ends_the_same(tmp_path: Path, model: str) -> None:
    outputs = [tmp_path / "plain", tmp_path / "looked"]
    for output, rows in zip(outputs, (0, 3), strict=True):
        job = job_file(tmp_path, preflight_rows=rows, preflight_samples=4, max_steps=2)
        process = rlsd(
            "train", job, "--data", tmp_path / "rows.jsonl", "--output", output, "--model", model, "--ignore-checks"
        )
        assert process.returncode == 0, process.stderr
    assert "pre-flight: 24/24 completions" in process.stdout
    plain, looked = (json.loads((output / "checks.json").read_text()) for output in outputs)
    assert plain["preflight"] is None
    assert looked["preflight"]["rows"] == 3
    assert looked["self_check"] is not None
    first, second = ((output / "checkpoint.safetensors").read_bytes() for output in outputs)
    assert first == second


def test_two_devices_share_the_pre_flight_and_find_what_one_finds(tmp_path: Path, model: str) -> None:
    found = []
    for devices in (1, 2):
        job = job_file(tmp_path, preflight_rows=3, preflight_samples=4, max_steps=1, devices=devices)
        output = tmp_path / str(devices)
        process = rlsd(
            "train", job, "--data", tmp_path / "rows.jsonl", "--output", output, "--model", model, "--ignore-checks"
        )
        assert process.returncode == 0, process.stderr
        assert process.stdout.count("24/24 completions") == 1
        found.append(json.loads((output / "checks.json").read_text())["preflight"])
    one, two = found
    assert [row["completion"] for row in two["per_row"]] == [row["completion"] for row in one["per_row"]]
    assert {**two, "time": None} == {**one, "time": None}
