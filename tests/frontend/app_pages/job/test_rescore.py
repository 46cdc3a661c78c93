"""The Re-score tab of the job page, from the choice of a verifier to the result."""

from pathlib import Path

import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from backend import checks
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Rollout
from frontend.api import Client
from frontend.app_pages.job import rescore
from frontend.app_pages.job.rescore import transition_table
from tests.frontend.api.test_api import GRADER, new_job
from tests.frontend.test_pages import opened, words
from worker.checks.registry import HANDLERS

GROUP = 8


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


def a_job_that_wrote(client: Client, rows_file: Path) -> str:
    """Record one step: half of the completions end with the answer, the others start with it."""
    job_id = new_job(client, rows_file)
    with transaction() as session:
        session.add_all(rollout(job_id, number=number) for number in range(2 * GROUP))
        session.execute(update(Job).values(step=1))
    return job_id


def rollout(job_id: str, *, number: int) -> Rollout:
    answer = ("clerk", "warden")[number // GROUP]
    right = number % 2 == 0
    return Rollout(
        job_id=job_id,
        step=1,
        number=number,
        row=number // GROUP,
        sample=number % GROUP,
        completion=f"It is the {answer}" if right else f"The {answer}, I think",
        record={"score": float(right), "status": "ok", "reason": None, "components": {}, "ms": 0.1},
        advantage=1.0 if right else -1.0,
        truncated=False,
        has_tokens=False,
    )


def at_rescore(job_id: str, *, key: str) -> AppTest:
    app = opened("job", key=key, job=job_id)
    app.segmented_control(key="view").set_value("Re-score").run()
    assert not app.exception
    return app


def test_another_verifier_is_chosen_run_and_compared(client: Client, key: str, rows_file: Path) -> None:
    job_id = a_job_that_wrote(client, rows_file)
    client.create_verifier(name="anywhere", grader={"type": "regex", "pattern": r"(?P<answer>clerk|warden)"})
    app = at_rescore(job_id, key=key)
    verifier = app.selectbox(key="rescore_verifier")
    assert verifier.options == ["anywhere", "last word (this job's)"]
    verifier.select_index(0).run()
    app.button(key="rescore_go").click().run()
    assert not app.exception
    [check] = client.checks(kind="rescore", job=job_id)
    checks.carry_out(check["id"], handlers=HANDLERS)

    app = at_rescore(job_id, key=key)
    assert "8 of 16 completions (50.0%) change score" in "\n".join(info.value for info in app.info)
    tables = [list(frame.value.columns) for frame in app.dataframe]
    assert ["before", "now right"] in tables
    assert "16 advantages change their sign" in words(app)
    assert [metric.value for metric in app.metric][-2:] == ["0", "1"]
    assert any(code.value == "The warden, I think" for code in app.code)


def test_a_refreshed_page_finds_the_result_again_and_names_its_verifier(
    client: Client, key: str, rows_file: Path
) -> None:
    job_id = a_job_that_wrote(client, rows_file)
    other = client.create_verifier(name="anywhere", grader={"type": "regex", "pattern": r"(?P<answer>clerk|warden)"})
    grader = {"type": "saved", "id": other["id"], "version": 1}
    check = client.rescore(job_id, grader=grader, first=None, last=None, limit=10)
    assert at_rescore(job_id, key=key).button(key="rescore_go").disabled
    checks.carry_out(check["id"], handlers=HANDLERS)
    app = at_rescore(job_id, key=key)
    assert app.metric
    assert "by you or another member of your project" in words(app)
    assert "below is of another verifier" in words(app)
    app.selectbox(key="rescore_verifier").select_index(0).run()
    assert "below is of another verifier" not in words(app)


def test_the_jobs_own_verifier_is_offered_in_every_version(client: Client, key: str, rows_file: Path) -> None:
    job_id = a_job_that_wrote(client, rows_file)
    [saved] = client.verifiers()["data"]
    client.add_verifier_version(saved["id"], name="last word", grader={**GRADER, "flags": "i"})
    app = at_rescore(job_id, key=key)
    version = next(box for box in app.selectbox if box.label == "Version")
    assert version.options == ["2 (newest)", "1, used in training"]
    app.button(key="rescore_go").click().run()
    [check] = client.checks(kind="rescore", job=job_id)
    checks.carry_out(check["id"], handlers=HANDLERS)
    assert "All 16 completions keep their score." in "\n".join(
        shown.value for shown in at_rescore(job_id, key=key).success
    )


def test_a_job_without_completions_has_nothing_to_choose(client: Client, key: str, rows_file: Path) -> None:
    app = at_rescore(new_job(client, rows_file), key=key)
    assert "appear after the first step" in words(app)
    assert not any(button.key == "rescore_go" for button in app.button)


def test_an_error_of_the_worker_is_shown(client: Client, key: str, rows_file: Path) -> None:
    job_id = a_job_that_wrote(client, rows_file)
    [saved] = client.verifiers()["data"]
    check = client.rescore(job_id, grader={"type": "saved", "id": saved["id"]}, first=None, last=None, limit=10)
    checks.give_up(check["id"], why="The process that worked on it was killed.")
    assert "was killed" in at_rescore(job_id, key=key).error[0].value


def test_unused_verdicts_are_left_out_of_the_table() -> None:
    counted = [{"before": "wrong", "after": "right", "count": 3}, {"before": "error", "after": "wrong", "count": 1}]
    assert transition_table(counted) == [
        {"before": "wrong", "now right": 3, "now wrong": 0},
        {"before": "error", "now right": 0, "now wrong": 1},
    ]


def test_changed_signs_are_counted_in_plain_words() -> None:
    assert rescore.changed_signs(0, reversed_=0, of=2000) == "None of 2,000 advantages changes its sign."
    assert rescore.changed_signs(16, reversed_=0, of=16) == "16 of 16 advantages change their sign."
    assert "change their sign, 2 of them" in rescore.changed_signs(3, reversed_=2, of=9)
