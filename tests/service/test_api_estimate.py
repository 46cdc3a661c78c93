"""The estimate over HTTP: nothing where nothing is known, and from earlier steps where there are some."""

import pytest
from sqlalchemy import update

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Step
from backend.settings import settings
from tests.service.conftest import Api, answered, job_body, refused

ESTIMATE = "/v1/fine_tuning/jobs/estimate"


def test_nothing_is_made_up(api: Api) -> None:
    found = answered(api.http.post(ESTIMATE, json=job_body(api.dataset())))
    assert found["steps"] == 0
    assert found["total_s"] is None
    assert answered(api.http.get("/v1/fine_tuning/jobs"))["data"] == []


def test_earlier_steps_of_the_model_say_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLSD_GPU_HOUR_PRICE", "3.6")
    settings.cache_clear()
    job = api.job()
    spec = job["method"]["reinforcement"]["x_rlsd"]
    tokens = spec["batch_size"] * spec["num_generations"] * 10.0
    metrics = {"step_s": 5.0, "rollout_s": 3.0, "update_s": 1.0, "rollout_tokens": tokens, "peak_memory_bytes": 1e9}
    with transaction() as session:
        for step in (1, 2, 3):
            session.add(Step(job_id=job["id"], step=step, created_at=utc_now(), metrics=metrics))
        session.execute(update(Job).where(Job.id == job["id"]).values(step=3))
    body = job_body(job["training_file"])
    body["method"]["reinforcement"]["x_rlsd"]["max_steps"] = 100
    found = answered(api.http.post(ESTIMATE, json=body))
    monkeypatch.undo()
    settings.cache_clear()
    assert (found["jobs"], found["steps"], found["max_steps"]) == (1, 2, 100)
    assert found["total_s"]["median"] >= 100 * found["step_s"]["median"] > 400
    assert found["cost"]["median"] == pytest.approx(found["total_s"]["median"] / 1000)
    assert found["currency"] == "USD"


def test_a_body_that_is_no_job_is_refused(api: Api) -> None:
    refused(api.http.post(ESTIMATE, json=job_body("file-none")), status=400, code="file_not_found")
