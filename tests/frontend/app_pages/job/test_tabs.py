"""The tabs of the job page for a recorded run, and Home."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from backend.core.settings.spec import RlsdSettings
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Rollout, Step
from frontend.api import Client
from frontend.api.types import StepMetrics, Verdict
from frontend.app_pages.job import rollouts as rollouts_part
from frontend.components import charts, tour
from frontend.components.job_feed import JobFeed
from frontend.words import starter
from frontend.words.rollouts import RolloutQuery, outcome_of, success_above
from tests.frontend.api.test_api import new_job
from tests.frontend.test_pages import opened, words

SCORES = {0: (1.0, 0.0), 1: (0.0, 0.0), 2: (1.0, 1.0), 3: (None, 0.0)}
"""Scores by dataset row, of two samples each."""
WITH_TEACHER: dict[str, Any] = {"delta": [0.0, 1.5], "logp_contrast": None}
EVIDENCE: dict[int, dict[str, Any]] = {
    0: WITH_TEACHER,
    1: {},
    2: WITH_TEACHER | {"logp_contrast": [-1.0, -2.0]},
    3: WITH_TEACHER,
}
"""Token values by dataset row; row 1 has none, as from an earlier release."""


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


@pytest.fixture
def job_id(client: Client, rows_file: Path) -> Iterator[str]:
    made = new_job(client, rows_file)
    take_steps(made, 2)
    return made


def take_steps(job_id: str, last: int, *, first: int = 1, **changes: Any) -> None:
    """Record steps with completions for every row of `SCORES`, and set the job's state."""
    values = {"reward_mean": 0.5, "hint_delta_abs_mean": 0.4, "placebo_delta_abs_mean": 0.1, "leakage": 0.0}
    with transaction() as session:
        for step in range(first, last + 1):
            session.add(Step(job_id=job_id, step=step, created_at=utc_now(), metrics=values))
            session.add_all(rollouts(job_id, step))
        session.execute(update(Job).values({"step": last, "state": "running", **changes}))


def rollouts(job_id: str, step: int) -> Iterator[Rollout]:
    number = 0
    for row, scores in SCORES.items():
        for sample, score in enumerate(scores):
            status = "error" if score is None else "ok"
            tokens = {
                "ids": [1, 2],
                "text": ["The ", "clerk"],
                "logp_student": [-1.0, -2.0],
                "logp_teacher": [-1.0, -0.5],
                **EVIDENCE[row],
                "weight": [1.0, 4.0],
                "advantage": [0.5, 2.0],
            }
            yield Rollout(
                job_id=job_id,
                step=step,
                number=number,
                row=row,
                sample=sample,
                completion=f"The clerk, {row}-{sample}",
                record={"score": score, "status": status, "reason": None, "components": {}, "ms": 0.1},
                advantage=0.5,
                truncated=False,
                has_tokens=sample == 0,
                tokens=tokens if sample == 0 else None,
            )
            number += 1


def part(key: str, job_id: str, view: str, **address: str) -> AppTest:
    app = opened("job", key=key, job=job_id, **address)
    app.segmented_control(key="view").set_value(view).run()
    assert not app.exception
    return app


def shown_texts(app: AppTest) -> list[str]:
    return [code.value for code in app.code]


def test_completions_are_cards_that_can_be_filtered_and_searched(key: str, job_id: str) -> None:
    app = part(key, job_id, "Completions")
    assert "Step 2: 8 completions." in words(app)
    app.pills(key="verdict").set_value(["right"]).run()
    assert shown_texts(app) == ["The clerk, 0-0", "The clerk, 2-0", "The clerk, 2-1"]
    app.toggle(key="mixed").set_value(True).run()
    assert shown_texts(app) == ["The clerk, 0-0"]
    app.segmented_control(key="scope").set_value("all").run()
    assert shown_texts(app) == ["The clerk, 0-0"] * 2
    app.text_input(key="text").input("no such words").run()
    assert "No completion matches" in words(app)


def test_a_group_is_shown_side_by_side_under_its_question(key: str, job_id: str) -> None:
    app = part(key, job_id, "Completions")
    app.button(key="card_group_rollout-2-0").click().run()
    assert app.query_params["group"] == "2-0"
    assert "Row 0 in step 2: 1 right, 1 wrong" in words(app)
    assert "Who approves a gasket?" in [text.value for text in app.text]
    assert shown_texts(app) == ["The clerk, 0-0", "The clerk, 0-1"]
    app.button(key="rollouts_back").click().run()
    assert len(shown_texts(app)) == 8


def test_practice_is_listed_apart_with_the_hint_that_was_in_its_prompt(key: str, job_id: str) -> None:
    assert "practice" not in {toggle.key for toggle in part(key, job_id, "Completions").toggle}
    with transaction() as session:
        job = session.get_one(Job, job_id)
        job.spec = job.spec | {"practice": {"below": 0.2, "hint": "solution"}}
        for place, practised in enumerate(list(rollouts(job_id, 2))[2:4]):
            practised.number, practised.hint = 8 + place, "valve, planner"
            practised.completion = f"With a hint, {place}"
            session.add(practised)
        for step in (1, 2):
            metrics = {"practice_right_before": 0.0, "practice_right": 0.5, "practice_groups": 1.0}
            stored = session.get_one(Step, (job_id, step))
            stored.metrics = stored.metrics | metrics
    app = part(key, job_id, "Completions")
    assert len(shown_texts(app)) == 8
    app.toggle(key="practice").set_value(True).run()
    assert "Step 2: 2 completions of practice." in words(app)
    assert shown_texts(app) == ["With a hint, 0", "With a hint, 1"]
    assert "Practice: the prompt had the hint “valve, planner”." in words(app)
    app.button(key="card_group_rollout-2-8").click().run()
    assert app.query_params["group"] == "2-1-practice"
    assert "Row 1 in step 2, practice: 2 wrong" in words(app)
    assert "Reference:\nvalve, planner" in [text.value for text in app.text]
    assert shown_texts(app) == ["With a hint, 0", "With a hint, 1"]
    app.button(key="group_credit_rollout-2-8").click().run()
    assert "Row 1, sample 0, step 2, practice" in words(app)
    learning = part(key, job_id, "Learning")
    assert "Practice" in [heading.value for heading in learning.subheader]


def test_filters_survive_an_open_group_and_a_reload(key: str, job_id: str) -> None:
    app = part(key, job_id, "Completions")
    app.segmented_control(key="scope").set_value("all").run()
    app.pills(key="verdict").set_value(["wrong"]).run()
    app.toggle(key="mixed").set_value(True).run()
    app.button(key="card_group_rollout-2-1").click().run()
    assert app.query_params["group"] == "2-0"
    app.button(key="rollouts_back").click().run()
    assert shown_texts(app) == ["The clerk, 0-1"] * 2
    reopened = opened("job", key=key, job=job_id, view="Completions", scope="All steps", verdict="wrong", mixed="true")
    assert shown_texts(reopened) == ["The clerk, 0-1"] * 2


def test_a_card_shows_its_question(key: str, job_id: str) -> None:
    app = part(key, job_id, "Completions")
    shown = words(app)
    assert shown.count("**Who approves a gasket?**") == 2
    assert "Row 0, step 2, sample 1" in shown


def test_all_completions_can_be_reached_page_by_page(key: str, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts_part, "MOST", 6)
    app = part(key, job_id, "Completions", scope="All steps")
    seen = shown_texts(app)
    assert "the newest 6 completions" in words(app)
    while any(button.key == "page_further" for button in app.button):
        app.button(key="page_further").click().run()
        assert not app.exception
        seen += shown_texts(app)
    assert len(seen) == 16
    app.button(key="page_first").click().run()
    assert shown_texts(app) == seen[:6]


def test_all_steps_of_a_running_job_are_read_again_with_each_new_step(
    key: str, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollouts_part, "FOLLOW_S", 0.0)
    app = part(key, job_id, "Completions", scope="All steps")
    assert "All steps: 16 completions." in words(app)
    take_steps(job_id, 3, first=3)
    for _ in range(6):
        app.run()
    assert "All steps: 24 completions." in words(app)


def test_token_credit_is_shown_by_each_measure_and_compared_with_grpo(key: str, job_id: str) -> None:
    app = part(key, job_id, "Completions", rollout="rollout-1-0")
    assert "green tokens become more likely" in words(app)
    assert {"Who approves a gasket?", "clerk"} <= {text.value for text in app.text}
    app.segmented_control(key="credit_measure").set_value("weight").run()
    assert "positive or negative" in words(app)
    app.segmented_control(key="credit_measure").set_value("evidence").run()
    assert "the hint makes the token" in words(app)
    app.toggle(key="credit_grpo").set_value(True).run()
    assert "every token gets +0.50" in words(app)
    assert "tokens get +0.50 to +2.00" in words(app)
    contrasted = part(key, job_id, "Completions", rollout="rollout-1-4")
    contrasted.segmented_control(key="credit_measure").set_value("evidence").run()
    assert "than with the method's second hint" in words(contrasted)
    without = part(key, job_id, "Completions", rollout="rollout-1-1")
    assert "was not stored" in words(without)
    absent = part(key, job_id, "Completions", rollout="rollout-9-9")
    assert "rollout-9-9" in absent.error[0].value


def test_credit_that_an_earlier_release_kept_is_shown_without_the_evidence(key: str, job_id: str) -> None:
    app = part(key, job_id, "Completions", rollout="rollout-1-2")
    assert "green tokens become more likely" in words(app)
    app.segmented_control(key="credit_measure").set_value("evidence").run()
    assert "This job was trained by an earlier release" in app.info[0].value


def test_rows_without_signal_are_left_out_of_a_new_version(client: Client, key: str, job_id: str) -> None:
    app = part(key, job_id, "Rows")
    assert [metric.value for metric in app.metric][-3:] == ["2 rows", "1 row", "1 row"]
    assert list(app.dataframe[0].value["question"]) == ["Who approves a anvil?", "Who approves a valve1?"]
    assert "mean score" not in app.dataframe[0].value
    app.pills(key="rows_leave_out").set_value(["never", "always"]).run()
    app.button(key="rows_restart").click().run()
    assert not app.error
    newest = client.files()["data"][0]
    assert newest["parent_id"] == client.job(job_id)["training_file"]
    assert newest["rows"] == 7


def test_the_placebo_is_judged_in_plain_words(key: str, job_id: str) -> None:
    app = part(key, job_id, "Leakage")
    assert "4.0 times as much" in words(app)


def test_the_last_steps_are_read_when_the_job_has_ended(api_url: str, client: Client, key: str, job_id: str) -> None:
    sent: list[str] = []
    hooks = {"request": [lambda request: sent.append(request.url.path)]}
    with httpx.Client(base_url=api_url, event_hooks=hooks) as connections:
        watching = Client(connections, key=key)
        feed = JobFeed.open(watching, job_id)
        take_steps(job_id, 4, first=3, state="succeeded", finished_at=utc_now(), max_steps=4)
        while not feed.ended:
            sent.clear()
            feed.tick(watching)
        assert feed.settled
        assert feed.last_step_read == 4
        assert len(sent) <= 5


def test_requests_of_a_tab_replace_ticks(client: Client, job_id: str) -> None:
    feed = JobFeed.open(client, job_id)
    feed.ticks_to_skip = 1
    feed.tick(client)
    assert (feed.ticks, feed.ticks_to_skip) == (0, 0)
    feed.tick(client)
    assert feed.ticks == 1


def test_missing_steps_are_read_first_during_the_last_evaluation(client: Client, job_id: str) -> None:
    feed = JobFeed.open(client, job_id)
    take_steps(job_id, 4, first=3, max_steps=4)
    feed.job = client.job(job_id)
    feed.tick(client)
    assert feed.last_step_read == 4


def test_groups_are_stacked_and_long_runs_share_their_bars() -> None:
    values = {"groups_all_right": 0.25, "groups_mixed": 0.5, "groups_all_wrong": 0.25}
    metrics: list[StepMetrics] = [{"step": n, "created_at": n, "values": dict(values)} for n in range(1, 1001)]
    table = charts.group_table(metrics)
    assert len(table) == 3 * charts.MOST_BARS
    assert (table[0]["first"], table[0]["last"], table[-1]["last"]) == (1, 10, 1000)
    assert [(line["low"], line["high"]) for line in table[:3]] == [(0.0, 0.25), (0.25, 0.75), (0.75, 1.0)]


def test_right_depends_on_the_jobs_own_threshold(client: Client, job_id: str) -> None:
    found = client.rollouts(job_id, filters={"step": 1}, after=None, limit=10)["data"]
    assert [outcome_of(each["record"], above=0.5) for each in found[:2]] == ["right", "wrong"]
    assert outcome_of(found[0]["record"], above=1.0) == "wrong"
    assert outcome_of(found[6]["record"], above=0.5) == "fault"


def test_without_a_job_the_default_threshold_applies() -> None:
    assert success_above(None) == RlsdSettings.model_fields["success_above"].default


def test_the_score_of_a_completion_explains_what_counts_as_right(key: str, job_id: str) -> None:
    with transaction() as session:
        job = session.get_one(Job, job_id)
        job.spec = job.spec | {"success_above": 0.25}
    app = part(key, job_id, "Completions")
    assert {caption.help for caption in app.caption if caption.value.startswith("score ")} == {
        "A score above 0.25 counts as right."
    }


def test_empty_filters_select_everything() -> None:
    none = RolloutQuery(
        scope="all", step=None, row=None, practice=False, outcomes=(), mixed=False, with_tokens=False, search="  "
    )
    assert none.filters == {}
    assert not none.narrowed


def test_one_click_starts_the_tour(client: Client, key: str) -> None:
    app = opened("home", key=key)
    app.button(key="tour_start").click().run()
    assert not app.exception
    assert not app.error
    [job] = client.jobs()["data"]
    assert starter.is_tour(job)
    assert (job["x_progress"]["max_steps"], job["method"]["reinforcement"]["x_rlsd"]["learning_rate"]) == (60, 0.0015)
    assert {file["filename"]: file["rows"] for file in client.files()["data"]} == {
        starter.TRAINING: 400,
        starter.HELD_OUT: 200,
    }
    client.control_job(job["id"], "cancel")
    again = opened("home", key=key)
    again.button(key="tour_start").click().run()
    assert len(client.jobs()["data"]) == 2
    assert len(client.files()["data"]) == 2
    assert len(client.all_verifiers()) == 1


def test_the_tour_has_a_note_for_every_state_of_its_job() -> None:
    states = ("queued", "validating_files", "running", "pausing", "paused", "succeeded", "failed", "cancelled")
    judgements: tuple[Verdict, ...] = ("better", "worse", "undecided", "nothing_learned")
    phases = {
        tour.phase(state, step=step, max_steps=2, judgement=judgement)
        for state in states
        for step in (0, 1, 2)
        for judgement in judgements
    }
    assert phases == set(tour.WORDS)


def test_home_shows_what_needs_attention(client: Client, key: str, job_id: str) -> None:
    client.control_job(job_id, "pause")
    take_steps(job_id, 3, first=3, state="paused", error={"code": "x", "message": "Nothing to learn.", "param": None})
    app = opened("home", key=key)
    assert not app.exception
    assert "Needs attention" in words(app)
    assert "Nothing to learn." in [text.value for text in app.text]
    assert "No training worker" in words(app)


def test_a_viewer_cannot_start_the_tour_and_sees_why(client: Client, key: str) -> None:
    secret = client.create_key(name="guest", role="viewer", expires_in_days=None)["secret"]
    app = opened("home", key=secret)
    assert app.button(key="tour_start").disabled
    assert "editor" in app.button(key="tour_start").help
