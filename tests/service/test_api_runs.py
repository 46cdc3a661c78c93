"""Results of a run over HTTP: metrics, rollouts, rows, evaluations, checkpoints, adapter, and the stream."""

import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text, update

from backend import blobs
from backend.db import search
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Checkpoint, Evaluation, Rollout, Step
from backend.ids import new_id
from backend.jobs import events
from backend.jobs.lifecycle import JobState
from tests.service.conftest import Api, answered, refused

SCORES = [1.0, 0.0, 0.5, None]


def take_steps(job_id: str, *, first: int = 1, last: int, begun: datetime | None = None) -> None:
    """Store steps as a trainer does: two rows, two samples each, one of four without a score; 2 s per step."""
    begun = begun or utc_now()
    with transaction() as session:
        for step in range(first, last + 1):
            at = begun + timedelta(seconds=2 * step)
            metrics = {"reward_mean": step / 10, "loss": None, "step_s": 2.0}
            session.add(Step(job_id=job_id, step=step, created_at=at, metrics=metrics))
            session.add_all(rollout(job_id, step=step, number=number) for number in range(4))
        session.execute(update(Job).where(Job.id == job_id).values(step=last, progress_at=utc_now()))
        events.announce(session, job_id)


def rollout(job_id: str, *, step: int, number: int) -> Rollout:
    score = SCORES[number]
    record = {
        "score": score,
        "status": "error" if score is None else "ok",
        "reason": "KeyError" if score is None else None,
        "components": {},
        "ms": 0.1,
    }
    tokens = {
        "ids": [1, 2],
        "text": ["a", "b"],
        "logp_student": [-1.0, -2.0],
        "logp_teacher": None if step == 2 else [-0.5, -2.5],
        **({} if step == 2 else {"logp_contrast": None, "delta": [0.5, -0.5]}),
        "weight": [1.0, 1.0],
        "advantage": [0.5, 0.5],
    }
    return Rollout(
        job_id=job_id,
        step=step,
        number=number,
        row=number // 2,
        sample=number % 2,
        completion="ab",
        record=record,
        advantage=0.5,
        truncated=False,
        has_tokens=number == 0,
        tokens=tokens if number == 0 else None,
    )


def store_evaluation(job_id: str, *, step: int, phase: str, **more: Any) -> None:
    result = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 2, "k": 4, "per_question": [{"row": 0, "scores": [1.0, None]}]}
    with transaction() as session:
        evaluation = Evaluation(job_id=job_id, step=step, phase=phase, created_at=utc_now(), result={**result, **more})
        session.add(evaluation)
        events.announce(session, job_id)


@pytest.fixture
def job_path(api: Api) -> str:
    return f"/v1/fine_tuning/jobs/{api.job()['id']}"


def id_in(job_path: str) -> str:
    return job_path.rpartition("/")[2]


def test_metrics_are_listed_by_step_and_paged_from_the_last_one(api: Api, job_path: str) -> None:
    take_steps(id_in(job_path), last=25)
    steps = answered(api.http.get(f"{job_path}/metrics"))["data"]
    assert [step["step"] for step in steps] == list(range(1, 26))
    assert steps[3]["values"] == {"reward_mean": 0.4, "loss": None, "step_s": 2.0}
    page = answered(api.http.get(f"{job_path}/metrics", params={"after": "20", "limit": 3}))
    assert ([step["step"] for step in page["data"]], page["has_more"], page["last_id"]) == ([21, 22, 23], True, "23")
    assert answered(api.http.get(f"{job_path}/metrics", params={"after": "0"}))["data"] == steps
    assert answered(api.http.get(f"{job_path}/metrics", params={"after": "25"}))["data"] == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, 12),
        ({"step": 2}, 4),
        ({"row": 1}, 6),
        ({"row": 1, "step": 3}, 2),
        ({"status": "error"}, 3),
        ({"min_score": 0.5}, 6),
        ({"max_score": 0.5}, 6),
        ({"min_score": 0.1, "max_score": 0.9}, 3),
        ({"step": 9}, 0),
        ({"outcome": "right"}, 3),
        ({"outcome": ["right", "fault"]}, 6),
        ({"outcome": "wrong", "step": 2}, 2),
        ({"outcome": "abstain"}, 0),
        ({"mixed": True}, 6),
        ({"mixed": True, "outcome": "wrong", "row": 0}, 3),
        ({"with_tokens": True}, 3),
        ({"search": "B"}, 12),
        ({"search": "%"}, 0),
    ],
)
def test_rollouts_are_found_by_step_row_status_and_score(
    api: Api, job_path: str, query: dict[str, Any], expected: int
) -> None:
    take_steps(id_in(job_path), last=3)
    received: list[dict[str, Any]] = []
    more, after = True, {}
    while more:
        page = answered(api.http.get(f"{job_path}/rollouts", params={**query, "limit": 5, **after}))
        received += page["data"]
        more, after = page["has_more"], {"after": page["last_id"]}
    assert len({rollout["id"] for rollout in received}) == len(received) == expected


@pytest.mark.parametrize(
    "query",
    ["status=maybe", "min_score=nan", "min_score=inf", "step=-1", "row=x", "after=rollout-1", "limit=501"]
    + ["outcome=good", "mixed=perhaps", "search=", "search=%00"],
)
def test_a_filter_that_means_nothing_is_refused(api: Api, job_path: str, query: str) -> None:
    error = refused(api.http.get(f"{job_path}/rollouts?{query}"), status=400)
    assert error["param"].partition(".")[0] == query.partition("=")[0]


def test_tokens_are_had_where_they_were_kept(api: Api, job_path: str) -> None:
    take_steps(id_in(job_path), last=1)
    kept, not_kept, *_ = answered(api.http.get(f"{job_path}/rollouts"))["data"]
    tokens = answered(api.http.get(f"{job_path}/rollouts/{kept['id']}/tokens"))
    expected = "advantage delta ids logp_contrast logp_student logp_teacher text weight"
    assert sorted(tokens) == expected.split()
    assert tokens["text"] == ["a", "b"]
    assert tokens["delta"] == [0.5, -0.5]
    assert (kept["has_tokens"], not_kept["has_tokens"]) == (True, False)
    refused(api.http.get(f"{job_path}/rollouts/{not_kept['id']}/tokens"), status=404, code="tokens_not_kept")
    for absent in ("rollout-9-9", "rollout-x", "other"):
        refused(api.http.get(f"{job_path}/rollouts/{absent}/tokens"), status=404, code="not_found")


def test_tokens_of_an_earlier_release_are_had_without_what_it_did_not_keep(api: Api, job_path: str) -> None:
    take_steps(id_in(job_path), last=2)
    tokens = answered(api.http.get(f"{job_path}/rollouts/rollout-2-0/tokens"))
    assert (tokens["delta"], tokens["logp_contrast"]) == (None, None)
    assert tokens["weight"] == [1.0, 1.0]


def test_one_completion_is_found_by_its_id(api: Api, job_path: str) -> None:
    take_steps(id_in(job_path), last=2)
    listed = answered(api.http.get(f"{job_path}/rollouts", params={"order": "desc"}))["data"]
    assert answered(api.http.get(f"{job_path}/rollouts/{listed[0]['id']}")) == listed[0]
    for absent in ("rollout-9-9", "other"):
        refused(api.http.get(f"{job_path}/rollouts/{absent}"), status=404, code="not_found")


def test_a_slow_search_is_stopped_with_advice_to_narrow_it(
    api: Api, job_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction() as session:
        session.execute(
            text(
                "INSERT INTO rollouts SELECT :job, 1, n, 0, n, repeat('word ', 400),"
                """ '{"score": 1, "status": "ok"}', 0, false, false, NULL FROM generate_series(0, :most) AS n"""
            ),
            {"job": id_in(job_path), "most": 20_000},
        )
    monkeypatch.setattr(search, "SEARCH_S", 0.01)
    error = refused(api.http.get(f"{job_path}/rollouts?search=none+such"), status=400, code="search_too_wide")
    assert "limit it to a step or a row" in error["message"]


def store_practice(job_id: str, *, step: int) -> None:
    """Store the practised group of row 1, whose completions were wrong: both are right with the hint."""
    with transaction() as session:
        for number in (4, 5):
            practised = rollout(job_id, step=step, number=0)
            practised.number, practised.row, practised.sample = number, 1, number - 4
            practised.hint, practised.completion = "so b", "practised"
            session.add(practised)


def test_completions_of_practice_are_listed_apart_with_their_hint(api: Api, job_path: str) -> None:
    take_steps(id_in(job_path), last=3)
    plain = answered(api.http.get(f"{job_path}/rollouts"))["data"]
    results = answered(api.http.get(f"{job_path}/rows"))["data"]
    mixed = answered(api.http.get(f"{job_path}/rollouts", params={"mixed": True}))["data"]
    store_practice(id_in(job_path), step=2)
    assert {rollout["hint"] for rollout in plain} == {None}
    assert answered(api.http.get(f"{job_path}/rollouts"))["data"] == plain
    assert answered(api.http.get(f"{job_path}/rollouts", params={"mixed": True}))["data"] == mixed
    assert answered(api.http.get(f"{job_path}/rows"))["data"] == results, "a row solved with its hint is not solved"
    practised = answered(api.http.get(f"{job_path}/rollouts", params={"practice": True, "step": 2}))["data"]
    assert [(each["row"], each["sample"], each["hint"]) for each in practised] == [(1, 0, "so b"), (1, 1, "so b")]
    assert answered(api.http.get(f"{job_path}/rollouts/{practised[0]['id']}")) == practised[0]
    assert answered(api.http.get(f"{job_path}/rollouts", params={"practice": True, "mixed": True}))["data"] == []


@pytest.mark.parametrize(("solved", "expected"), [("sometimes", [0]), ("never", [1]), ("always", [])])
def test_rows_are_found_by_how_often_they_were_solved_and_counted(
    api: Api, job_path: str, solved: str, expected: list[int]
) -> None:
    take_steps(id_in(job_path), last=3)
    found = answered(api.http.get(f"{job_path}/rows", params={"solved": solved}))
    assert [row["row"] for row in found["data"]] == expected
    assert (found["never"], found["sometimes"], found["always"]) == (1, 1, 0)


def test_the_history_of_rows_leaves_errors_out_of_the_mean(api: Api, job_path: str) -> None:
    take_steps(id_in(job_path), last=3)
    first, second = answered(api.http.get(f"{job_path}/rows"))["data"]
    assert first == {
        "id": "row-0",
        "row": 0,
        "completions": 6,
        "graded": 6,
        "solved": 3,
        "solve_rate": 0.5,
        "mean_score": 0.5,
        "best_score": 1.0,
        "last_step": 3,
    }
    assert (second["completions"], second["graded"], second["solved"], second["mean_score"]) == (6, 3, 0, 0.5)
    page = answered(api.http.get(f"{job_path}/rows", params={"limit": 1}))
    assert page["has_more"] is True
    rest = answered(api.http.get(f"{job_path}/rows", params={"after": page["last_id"]}))
    assert (rest["data"], rest["has_more"]) == ([second], False)


def test_evaluations_come_in_order_with_their_intervals(api: Api, job_path: str) -> None:
    difference = {"mean": 0.1, "low": 0.0, "high": 0.2}
    store_evaluation(id_in(job_path), step=0, phase="baseline")
    store_evaluation(id_in(job_path), step=5, phase="trained", p_value=0.04, difference=difference)
    baseline, trained = answered(api.http.get(f"{job_path}/evaluations"))["data"]
    assert (baseline["phase"], baseline["p_value"], baseline["difference"]) == ("baseline", None, None)
    assert (trained["step"], trained["p_value"], trained["difference"]) == (5, 0.04, difference)
    assert trained["per_question"] == [{"row": 0, "scores": [1.0, None]}]
    assert (trained["completions"], trained["unscored"]) == (2, 1)


def test_checkpoints_are_listed_newest_first(api: Api, job_path: str) -> None:
    with transaction() as session:
        for step in (0, 20, 40):
            blob = blobs.put(session, [f"{step}".encode()])
            session.add(
                Checkpoint(
                    id=new_id("ftckpt"),
                    job_id=id_in(job_path),
                    step=step,
                    created_at=utc_now(),
                    sha256=blob.sha256,
                    score=step / 100,
                )
            )
    first = answered(api.http.get(f"{job_path}/checkpoints", params={"limit": 2}))
    rest = answered(api.http.get(f"{job_path}/checkpoints", params={"after": first["last_id"]}))
    found = first["data"] + rest["data"]
    assert [checkpoint["step_number"] for checkpoint in found] == [40, 20, 0]
    assert found[0]["metrics"] == {"step": 40, "x_score": 0.4}
    assert found[0]["fine_tuned_model_checkpoint"].endswith(":ckpt-step-40")


def test_the_time_left_follows_from_the_pace_and_a_pause_does_not_count(api: Api, job_path: str) -> None:
    job_id = id_in(job_path)
    with transaction() as session:
        session.execute(update(Job).values(state=JobState.RUNNING))
    take_steps(job_id, last=1)
    assert answered(api.http.get(job_path))["x_progress"]["eta_s"] is None
    take_steps(job_id, first=2, last=5)
    take_steps(job_id, first=6, last=10, begun=utc_now() + timedelta(hours=10))
    job = answered(api.http.get(job_path))
    assert job["x_progress"]["eta_s"] == pytest.approx(2 * (200 - 10))
    assert job["estimated_finish"] == pytest.approx(utc_now().timestamp() + 380, abs=10)


def test_the_time_left_counts_the_evaluations_to_come_and_a_budget(api: Api, job_path: str) -> None:
    job_id = id_in(job_path)
    take_steps(job_id, last=10)
    store_evaluation(job_id, step=0, phase="baseline", seconds=30.0)
    store_evaluation(job_id, step=5, phase="interim", seconds=50.0)
    with transaction() as session:
        spec = session.get_one(Job, job_id).spec | {"eval_interval": 50}
        session.execute(update(Job).values(state=JobState.RUNNING, spec=spec))
    left = answered(api.http.get(job_path))["x_progress"]["eta_s"]
    assert left == pytest.approx(2 * (200 - 10) + 4 * 50), "at 50, 100 and 150, and at the end"
    with transaction() as session:
        session.execute(update(Job).values(spec=spec | {"budget": 39.0, "budget_unit": "seconds"}))
    assert answered(api.http.get(job_path))["x_progress"]["eta_s"] == pytest.approx(2 * (20 - 10) + 50)


def test_time_between_steps_that_went_to_an_evaluation_is_no_time_of_steps(api: Api, job_path: str) -> None:
    job_id = id_in(job_path)
    take_steps(job_id, last=10)
    for step in range(1, 11):
        store_evaluation(job_id, step=step, phase="interim", seconds=1.5)
    with transaction() as session:
        spec = session.get_one(Job, job_id).spec | {"eval_interval": 1}
        session.execute(update(Job).values(state=JobState.RUNNING, spec=spec))
    left = answered(api.http.get(job_path))["x_progress"]["eta_s"]
    assert left == pytest.approx(0.5 * 190 + 1.5 * 190)


def test_the_adapter_is_there_once_the_job_has_succeeded(api: Api, job_path: str) -> None:
    for part in ("adapter", "manifest"):
        refused(api.http.get(f"{job_path}/{part}"), status=404, code="not_ready")
    content = b"PK" + bytes(range(256)) * 40_000  # three chunks
    with transaction() as session:
        blob = blobs.put(session, [content])
        session.execute(
            update(Job).values(
                state=JobState.SUCCEEDED, adapter_sha256=blob.sha256, manifest={"format": 1}, suffix="mine"
            )
        )
    response = api.http.get(f"{job_path}/adapter")
    assert response.content == content
    assert response.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert response.headers["content-type"] == "application/zip"
    assert "mine.zip" in response.headers["content-disposition"]
    assert answered(api.http.get(f"{job_path}/manifest")) == {"format": 1}


class Watcher:
    """Reads a stream in a thread; `wait` returns all messages up to and including one of the named event."""

    def __init__(self, api: Api, job_path: str, *, last_event_id: str | None = None) -> None:
        headers = {} if last_event_id is None else {"last-event-id": last_event_id}
        self.messages: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(api, job_path, headers), daemon=True)
        self.thread.start()

    def _read(self, api: Api, job_path: str, headers: dict[str, str]) -> None:
        with api.http.stream("GET", f"{job_path}/stream", headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            for message in parsed(response):
                with self.changed:
                    self.messages.append(message)
                    self.changed.notify_all()

    def wait(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        def received() -> bool:
            return [message["event"] for message in self.messages].count(event) >= count

        with self.changed:
            assert self.changed.wait_for(received, timeout=20), [message["event"] for message in self.messages]
            messages = list(self.messages)
        if event == "end":  # after which the server closes the stream
            self.thread.join(timeout=10)
            assert not self.thread.is_alive()
        return messages


def parsed(response: httpx.Response) -> Iterator[dict[str, Any]]:
    message: dict[str, Any] = {}
    for line in response.iter_lines():
        if not line and message:
            yield message
            message = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            message[name] = json.loads(value) if name == "data" else value


def test_a_watcher_sees_steps_as_they_are_taken_and_the_end(api: Api, job_path: str) -> None:
    job_id = id_in(job_path)
    watcher = Watcher(api, job_path)
    first = watcher.wait("state")
    assert [message["event"] for message in first] == ["event", "state"]
    take_steps(job_id, last=2)
    store_evaluation(job_id, step=0, phase="baseline")
    watcher.wait("evaluation")
    take_steps(job_id, first=3, last=3)
    watcher.wait("metrics", 3)
    answered(api.http.post(f"{job_path}/cancel"))
    messages = watcher.wait("end")
    steps = [message["data"]["step"] for message in messages if message["event"] == "metrics"]
    assert steps == [1, 2, 3]
    states = [message["data"] for message in messages if message["event"] == "state"]
    assert states[0]["status"] == "queued"
    assert (states[-1]["status"], states[-1]["x_progress"]["step"]) == ("cancelled", 3)
    assert messages[-1]["event"] == "end"


def test_a_reconnected_watcher_gets_missed_messages_once(api: Api, job_path: str) -> None:
    take_steps(id_in(job_path), last=5)
    store_evaluation(id_in(job_path), step=0, phase="baseline")
    answered(api.http.post(f"{job_path}/cancel"))
    everything = Watcher(api, job_path).wait("end")
    lists = [message for message in everything if message["event"] not in ("state", "end")]
    assert len(lists) == 2 + 2 * 5 + 1
    rollout_counts = [message["data"] for message in lists if message["event"] == "rollouts"]
    assert rollout_counts == [{"step": step, "count": 4} for step in range(1, 6)]
    for cut in range(len(lists)):
        rest = Watcher(api, job_path, last_event_id=lists[cut]["id"]).wait("end")
        assert [message for message in rest if message["event"] not in ("state", "end")] == lists[cut + 1 :]


def test_a_place_that_is_none_is_refused(api: Api, job_path: str) -> None:
    error = refused(api.http.get(f"{job_path}/stream", headers={"last-event-id": "yesterday"}), status=400)
    assert error["param"] == "last-event-id"


def test_many_watchers_share_one_listening_connection(api: Api, job_path: str) -> None:
    watchers = [Watcher(api, job_path) for _ in range(8)]
    for watcher in watchers:
        watcher.wait("state")
    with transaction() as session:
        listening = session.execute(text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")).scalar()
    assert listening == 1
    answered(api.http.post(f"{job_path}/cancel"))
    for watcher in watchers:
        watcher.wait("end")


def test_a_lost_listening_connection_is_made_again_and_nothing_is_missed(api: Api, job_path: str) -> None:
    watcher = Watcher(api, job_path)
    watcher.wait("state")
    with transaction() as session:
        session.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"),
        )
    take_steps(id_in(job_path), last=1)
    watcher.wait("metrics")
    answered(api.http.post(f"{job_path}/cancel"))
    watcher.wait("end")
