"""The self-check on the verifier page, and what a job's checks found on the job page."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from backend import checks
from backend.db.engine import transaction
from backend.db.jobs import Job
from frontend.api import Client
from frontend.api.types import AlteredAnswer, Json, ReferenceReading
from frontend.components import check_matrix, check_references
from tests.frontend.api.test_api import new_job
from tests.frontend.test_pages import api_address, opened, words
from worker.checks.registry import HANDLERS
from worker.sandbox.environment import install

__all__ = ["api_address"]

CONTAINS = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.answer}}"}
PROBES = [
    {"name": "bare", "kind": "right", "label": "the answer alone"},
    {"name": "empty", "kind": "wrong", "label": "empty"},
]
FOUND: dict[str, Any] = {
    "verdict": "fail",
    "summary": "Empty text gets full marks in 2 of 2 rows.",
    "findings": [
        {"code": "empty_full", "level": "fail", "message": "Empty text gets full marks in 2 of 2 rows."},
        {"code": "slow", "level": "warn", "message": "A call takes 900 ms."},
    ],
    "full_marks": 1.0,
    "probes": PROBES,
    "rows": [
        {
            "row": row,
            "answer": "x",
            "cells": [
                {"score": 1.0, "full": True, "status": "ok", "text": "x", "reason": None},
                {"score": 1.0, "full": True, "status": "ok", "text": "", "reason": None},
            ],
        }
        for row in (0, 7)
    ],
}


@pytest.mark.parametrize(
    ("cell", "kind", "meaning"),
    [
        ({"score": 1.0, "full": True, "status": "ok"}, "right", check_matrix.FULL),
        ({"score": 0.5, "full": False, "status": "ok"}, "right", check_matrix.LESS),
        ({"score": 1.0, "full": True, "status": "ok"}, "doubtful", check_matrix.FOOLED),
        ({"score": 0.0, "full": False, "status": "ok"}, "wrong", check_matrix.SAFE),
        ({"score": None, "full": False, "status": "timeout"}, "right", check_matrix.FAULT),
        ({"score": None, "full": False, "status": "abstain"}, "wrong", check_matrix.SILENT),
    ],
)
def test_a_score_is_classified_by_the_kind_of_its_text(cell: dict[str, Any], kind: str, meaning: str) -> None:
    assert check_matrix.outcome(cell, kind) == meaning


def test_the_matrix_leaves_out_texts_that_a_row_did_not_have() -> None:
    rows = [FOUND["rows"][0], FOUND["rows"][1] | {"cells": [None, FOUND["rows"][1]["cells"][1]]}]
    table = check_matrix.table_of(FOUND | {"rows": rows})
    assert [(line["row"], line["text"]) for line in table] == [
        ("0", "the answer alone"),
        ("0", "empty"),
        ("7", "empty"),
    ]


def test_references_and_altered_answers_are_tables_with_what_each_means() -> None:
    read: list[ReferenceReading] = [
        {"grader": "", "reference": "12,000", "read": "12000", "lost": ""},
        {"grader": "", "reference": "5 km/h", "read": "5", "lost": "km/h"},
        {"grader": "", "reference": "none", "read": None, "lost": ""},
    ]
    lines = check_references.readings_table(read)
    assert lines[1] == {"reference": "5 km/h", "read as": "5", "left out": "km/h"}
    assert lines[2]["read as"] == "cannot be read"
    altered: AlteredAnswer = {
        "row": 3,
        "change": "factor",
        "label": "1000 times",
        "reference": "12,000",
        "altered": "12",
        "text": "12",  # type: ignore[typeddict-item]
        "score": 1.0,
        "status": "ok",
        "full": True,
    }
    cases: list[AlteredAnswer] = [
        altered,
        {**altered, "score": 0.0, "full": False},
        {**altered, "score": None, "full": False, "status": "abstain"},
        {**altered, "score": None, "full": False, "status": "error"},
    ]
    assert [line["meaning"] for line in check_references.altered_table(cases)] == [
        check_matrix.FOOLED,
        check_matrix.SAFE,
        check_matrix.SILENT,
        check_matrix.FAULT,
    ]


def test_a_verifier_that_reads_too_little_is_shown_with_the_answers_that_fool_it(
    client: Client, key: str, tmp_path: Path
) -> None:
    install()
    path = tmp_path / "speeds.jsonl"
    rows = [{"question": f"How fast is car {car}?", "answer": f"{speed} km/h"} for car, speed in (("a", 5), ("b", 70))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with path.open("rb") as content:
        file = client.upload(content, filename="speeds.jsonl", mapping=None)
    source = (
        "import re\n\ndef grade(item, output_text):\n"
        "    found = re.findall(r'\\d+', output_text)\n"
        "    return float(bool(found) and found[-1] == re.findall(r'\\d+', item['answer'])[-1])\n"
    )
    number: Json = {"type": "number"}
    for grader in (number, {"type": "python", "source": source}):
        saved = client.create_verifier(name=f"speed {grader['type']}", grader=grader)
        app = opened("verifiers", key=key, verifier=saved["id"])
        app.button(key="check_go").click().run()
        [check] = client.checks(kind="self_check", file=file["id"], limit=1)
        checks.carry_out(check["id"], handlers=HANDLERS)
        app.run()
        assert not app.exception
        tables = [frame.value for frame in app.dataframe]
        if grader is number:
            read = next(table for table in tables if "read as" in table)
            assert set(read["left out"]) == {"km/h"}
        else:
            altered = next(table for table in tables if "altered" in table)
            fooled = altered[altered["meaning"] == check_matrix.FOOLED]
            assert "another unit" in set(fooled["change"])


def test_a_draft_is_checked_on_rows_of_a_dataset(client: Client, key: str, rows_file: Path) -> None:
    install()
    with rows_file.open("rb") as content:
        file = client.upload(content, filename="rows.jsonl", mapping=None)
    saved = client.create_verifier(name="contains", grader={**CONTAINS, "operation": "ilike"})
    app = opened("verifiers", key=key, verifier=saved["id"])
    assert "Is it ready for training?" in words(app)
    app.number_input(key="check_rows").set_value(6).run()
    app.button(key="check_go").click().run()
    assert not app.exception
    assert app.button(key="check_go").disabled
    [check] = client.checks(kind="self_check", file=file["id"])
    checks.carry_out(check["id"], handlers=HANDLERS)
    app.run()
    assert not app.exception
    assert not app.button(key="check_go").disabled
    assert any("lists all answers" in text.value or "denies the right answer" in text.value for text in app.text)
    tested = next(frame.value for frame in app.dataframe if "tested" in frame.value)
    assert {"the answer alone", "empty text", "noise"} <= set(tested["tested"])
    assert tested.set_index("tested").loc["the answer alone", "meaning"] == check_matrix.FULL


def test_after_a_refresh_a_check_is_shown_again_and_never_that_of_another_verifier(
    client: Client, key: str, rows_file: Path
) -> None:
    install()
    with rows_file.open("rb") as content:
        file = client.upload(content, filename="rows.jsonl", mapping=None)
    saved = client.create_verifier(name="contains", grader={**CONTAINS, "operation": "ilike"})
    other = client.create_verifier(name="equal", grader={**CONTAINS, "operation": "eq"})
    app = opened("verifiers", key=key, verifier=saved["id"])
    app.button(key="check_go").click().run()
    client.self_check(other["grader"], file=file["id"], rows=2)

    refreshed = opened("verifiers", key=key, verifier=saved["id"])
    assert not refreshed.exception
    assert refreshed.button(key="check_go").disabled
    assert "by you or another member of your project" in words(refreshed)
    for check in client.checks(kind="self_check", file=file["id"], limit=2):
        checks.carry_out(check["id"], handlers=HANDLERS)
    finished = opened("verifiers", key=key, verifier=saved["id"])
    assert finished.dataframe
    assert "earlier draft" not in words(finished)
    client.add_verifier_version(saved["id"], name="contains", grader={**CONTAINS, "operation": "like"})
    assert not opened("verifiers", key=key, verifier=saved["id"]).dataframe


def test_without_a_dataset_the_check_explains_what_it_needs(key: str) -> None:
    app = opened("verifiers", key=key, verifier="new")
    assert "Upload one first" in words(app)
    assert all(button.key != "check_go" for button in app.button)


def test_a_refused_check_is_reported(client: Client, key: str, rows_file: Path) -> None:
    with rows_file.open("rb") as content:
        client.upload(content, filename="rows.jsonl", mapping=None)
    grader = {**CONTAINS, "reference": "{{item.label}}", "operation": "eq"}
    saved = client.create_verifier(name="elsewhere", grader=grader)
    app = opened("verifiers", key=key, verifier=saved["id"])
    app.button(key="check_go").click().run()
    assert not app.exception
    assert any("{{item.label}}" in error.value for error in app.error)


def test_a_job_shows_its_failed_check_and_that_it_was_overridden(client: Client, key: str, rows_file: Path) -> None:
    job_id = new_job(client, rows_file)
    error = {"code": "check_failed", "message": "Paused before training: it failed.", "param": None}
    kept = {"self_check": FOUND, "preflight": None, "overridden_at": None}
    with transaction() as session:
        session.execute(update(Job).values(state="paused", control_signal="pause", error=error, checks=kept))
    app = opened("job", key=key, job=job_id)
    assert not app.exception
    assert "Paused before training" in app.warning[0].value
    assert any("Verifier self-check" in expander.label for expander in app.expander)
    assert FOUND["summary"] in [text.value for text in app.text]
    assert any(shown.value.endswith(" A call takes 900 ms.") for shown in app.markdown)
    app.toggle(key="job_self_check_texts").set_value(True).run()
    assert not app.exception
    assert list(app.selectbox(key="job_self_check_matrix_row").options) == ["0", "7"]
    app.button(key="resume").click().run()
    assert client.job(job_id)["x_checks"]["overridden_at"] is not None
    assert "Trained anyway" in words(opened("job", key=key, job=job_id))


def test_a_job_without_checks_shows_none(client: Client, key: str, rows_file: Path) -> None:
    app = opened("job", key=key, job=new_job(client, rows_file))
    assert not app.exception
    assert not [expander for expander in app.expander if "self-check" in expander.label.lower()]
