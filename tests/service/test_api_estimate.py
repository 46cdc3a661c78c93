"""The estimate over HTTP: empty without known steps, otherwise from earlier steps."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from backend import workers
from backend.checks import request_check
from backend.core.settings.spec import RlsdSettings
from backend.db.base import utc_now
from backend.db.checks import CheckStatus
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.projects import DEFAULT_PROJECT
from backend.db.training import Step
from backend.settings import settings
from tests.service.conftest import Api, answered, create_job, job_body, refused

ESTIMATE = "/v1/fine_tuning/jobs/estimate"


def test_nothing_is_made_up(api: Api) -> None:
    found = answered(api.http.post(ESTIMATE, json=job_body(api.dataset())))
    assert found["steps"] == 0
    assert found["total_s"] is None
    assert answered(api.http.get("/v1/fine_tuning/jobs"))["data"] == []


RESULT = {"verdict": "ok", "summary": "Ready to train."}
METRICS = {"step_s": 5.0, "rollout_s": 3.0, "update_s": 1.0, "peak_memory_bytes": 1e9}


def record_training(job: dict[str, Any], device: str, *, step_s: float = 5.0, **spec: Any) -> None:
    """Store the state of a job after three steps on this device."""
    settings_then = job["method"]["reinforcement"]["x_rlsd"] | spec
    tokens = settings_then["batch_size"] * settings_then["num_generations"] * 10.0
    metrics = METRICS | {"step_s": step_s, "rollout_tokens": tokens}
    with transaction() as session:
        for step in (1, 2, 3):
            session.add(Step(job_id=job["id"], step=step, created_at=utc_now(), metrics=metrics))
        now = {"step": 3, "device_name": device, "spec": settings_then}
        session.execute(update(Job).where(Job.id == job["id"]).values(now))


def request_body(file: str, **x_rlsd: Any) -> dict[str, Any]:
    return job_body(file, x_rlsd=x_rlsd)


@pytest.fixture
def priced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RLSD_GPU_HOUR_PRICE", "3.6")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def test_the_estimate_uses_earlier_steps_of_the_model(api: Api, priced: None) -> None:
    job = api.job()
    record_training(job, "NVIDIA T4")
    found = answered(api.http.post(ESTIMATE, json=request_body(job["training_file"], max_steps=100)))
    assert (found["jobs"], found["steps"], found["max_steps"]) == (1, 2, 100)
    assert (found["device_name"], found["preflight"]) == ("NVIDIA T4", None)
    assert found["total_s"]["median"] >= 100 * found["step_s"]["median"] > 400
    assert found["peak_memory_bytes"] == {"low": 1e9, "median": 1e9, "high": 1e9}
    assert found["cost"]["median"] == pytest.approx(found["total_s"]["median"] / 1000)
    assert found["currency"] == "USD"


def test_steps_on_another_kind_of_device_do_not_count(api: Api) -> None:
    slow = api.job()
    fast = answered(api.http.post("/v1/fine_tuning/jobs", json=request_body(slow["training_file"])))
    record_training(slow, "NVIDIA T4", step_s=50.0)
    record_training(fast, "NVIDIA H100 80GB HBM3")
    body = request_body(slow["training_file"])
    found = answered(api.http.post(ESTIMATE, json=body))
    assert (found["jobs"], found["device_name"]) == (1, "NVIDIA H100 80GB HBM3")
    with transaction() as session:
        devices = [{"name": "NVIDIA T4", "memory_bytes": 16 * 2**30}]
        workers.report(session, workers.WorkerFacts("w", "host", ["train"], devices, sandbox_level=2, version="1"))
    found = answered(api.http.post(ESTIMATE, json=body))
    assert (found["jobs"], found["device_name"]) == (1, "NVIDIA T4"), "only such a device is here to train on"
    assert found["step_s"]["median"] > 40
    found = answered(api.http.post(ESTIMATE, json=request_body(slow["training_file"], device="cpu")))
    assert found["steps"] == 0


@pytest.mark.parametrize(
    "other", [{"devices": 2}, {"dtype": "bfloat16"}, {"gradient_checkpointing": True}, {"generator": "vllm"}]
)
def test_steps_with_other_settings_of_pace_do_not_count(api: Api, other: dict[str, Any]) -> None:
    job = api.job()
    record_training(job, "cpu", **other)
    assert answered(api.http.post(ESTIMATE, json=request_body(job["training_file"])))["steps"] == 0
    found = answered(api.http.post(ESTIMATE, json=request_body(job["training_file"], **other)))
    assert found["steps"] == 2


def record_preflight(body: dict[str, Any], *, of_file: str, step_s: float) -> str:
    """Store a pre-flight with two steps of this duration and return its id."""
    spec = RlsdSettings.model_validate(body["method"]["reinforcement"]["x_rlsd"])
    tokens = spec.batch_size * spec.num_generations * 10.0
    steps = [METRICS | {"step_s": step_s, "rollout_tokens": tokens, "peak_memory_bytes": held} for held in (1e9, 2e9)]
    request = {"model": body["model"], "settings": spec.model_dump(mode="json", by_alias=True)}
    with transaction(project="proj-default") as session:
        check = request_check(session, project=DEFAULT_PROJECT, kind="preflight", request=request, file_id=of_file)
        check.status, check.result = CheckStatus.DONE, RESULT | {"time": {"rehearsed": steps, "device_name": "cpu"}}
        return check.id


def test_without_jobs_the_estimate_uses_the_newest_pre_flight_of_the_file(api: Api, priced: None) -> None:
    file, other = api.dataset(), api.dataset()
    body = request_body(file, max_steps=100)
    checks = {
        s: record_preflight(body, of_file=of_file, step_s=s) for s, of_file in ((9.0, file), (5.0, file), (1.0, other))
    }
    found = answered(api.http.post(ESTIMATE, json=body))
    assert (found["jobs"], found["steps"], found["same_file"]) == (0, 2, True)
    assert (found["preflight"], found["device_name"]) == (checks[5.0], "cpu")
    assert found["step_s"]["median"] == pytest.approx(5.0)
    spec = RlsdSettings.model_validate(body["method"]["reinforcement"]["x_rlsd"])
    assert found["total_tokens"]["median"] == pytest.approx(100 * spec.batch_size * spec.num_generations * 10.0)
    assert found["peak_memory_bytes"] == {"low": 1e9, "median": 1.5e9, "high": 2e9}
    assert found["cost"]["median"] == pytest.approx(found["total_s"]["median"] / 1000)
    for changed in (
        request_body(file, dtype="bfloat16"),
        request_body(file, devices=2),
        request_body(file) | {"model": "org/other"},
    ):
        assert answered(api.http.post(ESTIMATE, json=changed))["steps"] == 0


def test_the_newest_pre_flight_or_job_of_the_file_counts(api: Api) -> None:
    elsewhere = api.job()
    record_training(elsewhere, "cpu", step_s=5.0)
    file = api.dataset()
    body = request_body(file)

    def estimated() -> tuple[float, bool, str | None]:
        found = answered(api.http.post(ESTIMATE, json=body))
        return found["step_s"]["median"], found["same_file"], found["preflight"]

    assert estimated() == (pytest.approx(5.0), False, None), "without steps on these rows, those of other files count"
    check = record_preflight(body, of_file=file, step_s=6.0)
    assert estimated() == (pytest.approx(6.0), True, check)
    job = answered(api.http.post("/v1/fine_tuning/jobs", json=body))
    record_training(job, "cpu", step_s=7.0)
    assert estimated() == (pytest.approx(7.0), True, None)
    check = record_preflight(body, of_file=file, step_s=8.0)
    assert estimated() == (pytest.approx(8.0), True, check)


def test_a_body_that_is_no_job_is_refused(api: Api) -> None:
    refused(api.http.post(ESTIMATE, json=job_body("file-none")), status=400, code="file_not_found")


def test_validation_rows_that_are_trained_on_are_left_out_and_counted_before_and_in_the_job(api: Api) -> None:
    body = job_body(api.dataset(20), validation_file=api.dataset(10, first=15))
    told = [notice for notice in answered(api.http.post(ESTIMATE, json=body))["notices"] if "also" in notice]
    assert len(told) == 1
    assert told[0].startswith("5 of the 10 rows of the validation file")
    job_id = create_job(api, body)["id"]
    events = answered(api.http.get(f"/v1/fine_tuning/jobs/{job_id}/events"))["data"]
    assert [(event["level"], event["message"]) for event in events if event["message"] in told] == [("warn", told[0])]
