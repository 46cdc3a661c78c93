"""Jobs over HTTP: an accepted job is queued, reports all its settings, and can be controlled."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from backend import blobs
from backend.base_models import base_models
from backend.core.settings.choices import Preset
from backend.core.settings.spec import PRESETS, RlsdSettings
from backend.datasets.rows.rows import load_rows
from backend.db.base import utc_now
from backend.db.blobs import Blob
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.projects import Project
from backend.db.training import Checkpoint, Step
from backend.ids import new_id
from backend.jobs.held_out import split_held_out
from backend.jobs.lifecycle import JobState
from backend.queue import TRAIN_QUEUE, queue_length
from tests.service.conftest import EXACT, Api, answered, create_job, job_body, refused


def test_a_job_reports_every_setting_and_a_worker_is_notified(api: Api) -> None:
    body = job_body(api.dataset(), x_rlsd={"lambda": 0.7, "lora": {"r": 4}}, seed=7, suffix="mine", metadata={"k": "v"})
    job = create_job(api, body)
    assert (job["object"], job["status"], job["seed"]) == ("fine_tuning.job", "queued", 7)
    assert (job["metadata"], job["user_provided_suffix"]) == ({"k": "v"}, "mine")
    assert job["x_progress"] == {
        "step": 0,
        "max_steps": 200,
        "warm_steps": 0,
        "eta_s": None,
        "queue_before": 0,
        "started_at": None,
        "progress_at": None,
    }
    reinforcement = job["method"]["reinforcement"]
    assert reinforcement["x_rlsd"] == RlsdSettings.model_validate({"lambda": 0.7, "lora": {"r": 4}}).model_dump(
        mode="json", by_alias=True
    )
    assert reinforcement["grader"] == EXACT
    assert queue_length(TRAIN_QUEUE) == 1
    assert answered(api.http.get(f"/v1/fine_tuning/jobs/{job['id']}")) == job
    (event,) = answered(api.http.get(f"/v1/fine_tuning/jobs/{job['id']}/events"))["data"]
    assert (event["code"], event["level"]) == ("job.created", "info")


def test_jobs_are_narrowed_by_state_and_by_a_part_of_name_model_or_id(api: Api) -> None:
    dataset = api.dataset()
    first, second = (create_job(api, job_body(dataset, suffix=name))["id"] for name in ("night-shift", "day_shift"))
    answered(api.http.post(f"/v1/fine_tuning/jobs/{first}/cancel"))

    def found(**query: Any) -> list[str]:
        return [job["id"] for job in answered(api.http.get("/v1/fine_tuning/jobs", params=query))["data"]]

    assert found(status="cancelled") == [first]
    assert found(status=["queued", "cancelled"]) == found() == [second, first]
    assert found(name="NIGHT") == [first]
    assert found(name="Y_S") == [second]
    assert found(name=second[-8:]) == [second]
    assert found(name="night", status="queued") == []
    for query in ({"status": "asleep"}, {"name": ""}, {"name": "\0"}):
        error = refused(api.http.get("/v1/fine_tuning/jobs", params=query), status=400)
        assert error["param"].partition(".")[0] in query


def test_a_preset_gives_the_rest(api: Api) -> None:
    job = create_job(api, job_body(api.dataset(), x_rlsd={"preset": "steady", "max_steps": 3}))
    reinforcement = job["method"]["reinforcement"]["x_rlsd"]
    expected = RlsdSettings.model_validate({**PRESETS[Preset.STEADY].values, "preset": "steady", "max_steps": 3})
    assert reinforcement == expected.model_dump(mode="json", by_alias=True)


def test_without_a_seed_one_is_drawn_and_reported(api: Api) -> None:
    file_id = api.dataset()
    seeds = {create_job(api, job_body(file_id))["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_passes_over_the_data_count_the_rows_that_are_trained_on(api: Api) -> None:
    file_id = api.dataset(count=40)
    body = job_body(file_id, hyperparameters={"n_epochs": 2, "batch_size": 4}, x_rlsd={"held_out_share": 0.25}, seed=1)
    with transaction() as session:
        train, held_out = split_held_out(load_rows(session, file_id), share=0.25, seed=1, limit=200)
    assert (len(train), len(held_out)) == (30, 10)
    job = create_job(api, body)
    assert job["x_progress"]["max_steps"] == 2 * 30 / 4
    assert job["hyperparameters"] == {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": "auto"}
    with_file = create_job(api, {**body, "validation_file": api.dataset(count=2, first=1000)})
    assert with_file["x_progress"]["max_steps"] == 2 * 40 / 4


def test_a_listed_name_in_other_letters_is_answered_with_the_name(api: Api) -> None:
    error = refused(api.http.post("/v1/fine_tuning/jobs", json={**job_body("file-x"), "model": "Starter"}), status=400)
    assert "did you mean 'starter'?" in error["message"]


@pytest.mark.parametrize("model", ["openai-community/gpt2", "HuggingFaceTB/SmolLM2-135M-Instruct"])
def test_hub_ids_are_taken_as_they_are(api: Api, model: str) -> None:
    assert create_job(api, {**job_body(api.dataset()), "model": model})["model"] == model


def test_the_document_describes_each_method_and_its_settings(api: Api) -> None:
    schemas = answered(api.bare.get("/openapi.json"))["components"]["schemas"]
    methods = schemas["RlsdSettings"]["properties"]["method"]["x-methods"]
    assert set(methods) == set(schemas["MethodName"]["enum"])
    assert {"title", "summary", "source", "teacher", "reads"} <= set(methods["rlsd"])
    hints = schemas["RlsdSettings"]["properties"]["hint"]["x-hints"]
    assert set(hints) == set(schemas["Hint"]["enum"])


def test_a_job_keeps_the_version_of_the_verifier_it_was_made_with(api: Api) -> None:
    verifier = answered(api.http.post("/v1/verifiers", json={"name": "v", "grader": EXACT}))
    body = job_body(api.dataset(), grader={"type": "saved", "id": verifier["id"]})
    before = create_job(api, body)
    changed = {**EXACT, "operation": "ne"}
    answered(api.http.post(f"/v1/verifiers/{verifier['id']}/versions", json={"grader": changed}))
    after = create_job(api, body)
    reinforcement = [job["method"]["reinforcement"] for job in (before, after)]
    assert [s["x_verifier"] for s in reinforcement] == [
        {"id": verifier["id"], "version": n, "name": "v"} for n in (1, 2)
    ]
    assert [s["grader"]["operation"] for s in reinforcement] == ["eq", "ne"]
    pinned = create_job(api, job_body(api.dataset(), grader={"type": "saved", "id": verifier["id"], "version": 1}))
    assert pinned["method"]["reinforcement"]["grader"] == EXACT


def test_a_job_reports_requested_and_resolved_settings_separately(api: Api) -> None:
    given = {"preset": "steady", "max_steps": 3}
    reinforcement = api.job(x_rlsd=given)["method"]["reinforcement"]
    assert reinforcement["x_asked"] == given
    assert reinforcement["x_rlsd"]["max_steps"] == 3
    assert len(reinforcement["x_rlsd"]) > 50


def test_pause_resume_and_cancel_of_a_job_that_waits(api: Api) -> None:
    path = f"/v1/fine_tuning/jobs/{api.job()['id']}"
    refused(api.http.post(f"{path}/resume"), status=409, code="job_not_paused")
    assert answered(api.http.post(f"{path}/pause"))["status"] == "paused"
    assert answered(api.http.post(f"{path}/pause"))["status"] == "paused"
    assert answered(api.http.post(f"{path}/resume"))["status"] == "queued"
    cancelled = answered(api.http.post(f"{path}/cancel"))
    assert cancelled["status"] == "cancelled"
    assert cancelled["finished_at"] is not None
    for signal in ("cancel", "pause", "resume"):
        refused(api.http.post(f"{path}/{signal}"), status=409)
    events = answered(api.http.get(f"{path}/events"))["data"]
    assert [event["code"] for event in events] == ["job.cancelled", "job.queued", "job.paused", "job.created"]


def test_a_failed_job_reports_why(api: Api) -> None:
    job = api.job()
    fault = {"code": "out_of_memory", "message": "Too large.", "param": "x_rlsd.batch_size"}
    with transaction() as session:
        session.execute(update(Job).values(state=JobState.FAILED, error=fault))
    assert answered(api.http.get(f"/v1/fine_tuning/jobs/{job['id']}"))["error"] == fault


def test_a_job_that_paused_by_itself_reports_why_until_resumed(api: Api) -> None:
    path = f"/v1/fine_tuning/jobs/{api.job()['id']}"
    fault = {"code": "no_signal", "message": "Paused: nothing to learn.", "param": "x_rlsd.max_dead_steps"}
    with transaction() as session:
        session.execute(update(Job).values(state=JobState.PAUSED, error=fault))
    paused = answered(api.http.get(path))
    assert (paused["status"], paused["error"]) == ("paused", fault)
    assert answered(api.http.post(f"{path}/resume"))["error"] is None


def test_jobs_are_walked_newest_first_and_found_by_metadata(api: Api) -> None:
    file_id = api.dataset()
    marks = [{"team": "a"}, {"team": "b", "run": ""}, None, {"team": "a", "run": "2"}]
    ids = [create_job(api, job_body(file_id, metadata=mark))["id"] for mark in marks]

    def listed(**query: Any) -> list[str]:
        page = answered(api.http.get("/v1/fine_tuning/jobs", params=query))
        return [job["id"] for job in page["data"]]

    assert listed() == ids[::-1]
    assert listed(limit=2) + listed(limit=2, after=ids[2]) == ids[::-1]
    assert listed(**{"metadata[team]": "a"}) == [ids[3], ids[0]]
    assert listed(**{"metadata[team]": "a", "metadata[run]": "2"}) == [ids[3]]
    assert listed(**{"metadata[run]": ""}) == [ids[1]]
    assert listed(metadata="null") == [ids[2]]
    assert refused(api.http.get("/v1/fine_tuning/jobs", params={"metadata": "x"}), status=400)["param"] == "metadata"


@contextmanager
def api_process(**environment: str) -> Iterator[str]:
    """Run the API in its own process, as `rlsd api` does; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "backend.app:app", "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(command, env={**os.environ, **environment}) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 30
            while not _is_up(url):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_a_broker_that_does_not_answer_loses_no_job(api: Api) -> None:
    body = job_body(api.dataset())
    with api_process(BROKER_URL="redis://127.0.0.1:1/0") as url:
        readiness = httpx.get(f"{url}/readyz", timeout=30)
        api.http.base_url = httpx.URL(url)
        job = create_job(api, body)
        run = {"grader": EXACT, "model_sample": "x", "item": {"answer": "x"}}
        refused(api.http.post("/v1/fine_tuning/alpha/graders/run", json=run), status=503, code="no_broker")
    with transaction() as session:
        assert session.scalars(select(Job.state).where(Job.id == job["id"])).one() == JobState.QUEUED
    assert "broker not reachable" in refused(readiness, status=503, code="not_ready")["message"]
    assert int(readiness.headers["retry-after"]) > 0
    assert (readiness.json()["database"], readiness.json()["status"]) == ("ok", "unavailable")


def test_the_models_are_those_of_the_settings_and_those_that_were_trained(api: Api) -> None:
    job = api.job()
    name = "ft:starter:rlsd::x/y"
    with transaction() as session:
        adapter = blobs.put(session, [b"adapter"]).sha256
        ended = {"state": JobState.SUCCEEDED, "finished_at": utc_now()}
        session.execute(update(Job).values(**ended, fine_tuned_model=name, adapter_sha256=adapter))
    listed = answered(api.http.get("/v1/models"))["data"]
    assert [model["id"] for model in listed] == [*base_models(), name]
    assert answered(api.http.get(f"/v1/models/{name}"))["x_job"] == job["id"]
    assert answered(api.http.get("/v1/models/starter"))["owned_by"] == "base"


def test_the_default_batch_size_is_at_most_the_number_of_rows(api: Api) -> None:
    assert (
        create_job(api, job_body(api.dataset(4), x_rlsd={"held_out_share": 0.5}))["hyperparameters"]["batch_size"] == 2
    )
    assert create_job(api, job_body(api.dataset(40)))["hyperparameters"]["batch_size"] == 8


def left_behind(job_id: str) -> list[str]:
    """Store a checkpoint and an adapter, the latter shared with another job, and return their hashes."""
    with transaction() as session:
        hashes = [blobs.put(session, [content]).sha256 for content in (b"checkpoint", b"shared")]
        session.add(
            Checkpoint(id=new_id("ftckpt"), job_id=job_id, step=1, created_at=utc_now(), sha256=hashes[0], score=None)
        )
        session.execute(update(Job).where(Job.id == job_id).values(adapter_sha256=hashes[1]))
    return hashes


def stored_blobs() -> set[str]:
    with transaction() as session:
        return set(session.scalars(select(Blob.sha256)))


def test_an_ended_job_is_deleted_with_everything_unreferenced(api: Api) -> None:
    job, other = api.job(), api.job()
    path = f"/v1/fine_tuning/jobs/{job['id']}"
    checkpoint, adapter = left_behind(job["id"])
    with transaction() as session:
        session.execute(update(Job).where(Job.id == other["id"]).values(adapter_sha256=adapter))
        session.add(Step(job_id=job["id"], step=1, created_at=utc_now(), metrics={}))
    refused(api.http.delete(path), status=409, code="job_not_ended")
    answered(api.http.post(f"{path}/cancel"))
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job["id"]).values(held_s=2 * 3600.0))
    used = answered(api.http.get("/v1/whoami"))["project"]["usage"]["gpu_hours"]
    assert used >= 2
    assert answered(api.http.delete(path)) == {"id": job["id"], "object": "fine_tuning.job", "deleted": True}
    refused(api.http.get(path), status=404)
    assert checkpoint not in stored_blobs()
    assert adapter in stored_blobs()
    assert answered(api.http.get("/v1/whoami"))["project"]["usage"]["gpu_hours"] == pytest.approx(used, abs=0.01)
    answered(api.http.delete(f"/v1/files/{job['training_file']}"))
    with transaction() as session:
        session.execute(update(Project).values(past_gpu_hours=0))


def test_a_run_of_a_comparison_is_kept_as_long_as_that_is(api: Api) -> None:
    body = {"name": "c", "job": job_body(api.dataset()), "arms": [{"name": "a"}, {"name": "b"}], "seeds": [0]}
    comparison = answered(api.http.post("/v1/comparisons", json=body))
    answered(api.http.post(f"/v1/comparisons/{comparison['id']}/cancel"))
    run = f"/v1/fine_tuning/jobs/{comparison['runs'][0]['job']}"
    assert comparison["id"] in refused(api.http.delete(run), status=409, code="job_in_use")["message"]
    assert answered(api.http.delete(f"/v1/comparisons/{comparison['id']}"))["deleted"]
    refused(api.http.get(f"/v1/comparisons/{comparison['id']}"), status=404)
    answered(api.http.delete(run))


@pytest.mark.parametrize("reference", [{}, {"reference": "{{item.answer}}"}], ids=["of the row", "by a template"])
def test_a_number_grader_gets_the_decimal_mark_of_its_column(api: Api, reference: dict[str, str]) -> None:
    rows = [{"question": f"{n}?", "answer": answer} for n, answer in enumerate(["1.500", "2,25", "1.234,50"] * 4)]
    file = answered(api.upload(*rows))["id"]
    grader = {"type": "number", "name": "price", **reference}
    job = create_job(api, job_body(file, grader=grader))
    assert job["method"]["reinforcement"]["grader"]["decimal_mark"] == ","
    events = answered(api.http.get(f"/v1/fine_tuning/jobs/{job['id']}/events"))["data"]
    assert any("written with a decimal comma ('2,25')" in event["message"] for event in events)
