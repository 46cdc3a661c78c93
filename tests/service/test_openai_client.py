"""The official `openai` client with only `base_url` and `api_key` changed: objects parse, errors are mapped."""

import io
import json
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types import FileObject
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from openai.types.graders import MultiGrader, PythonGrader, StringCheckGrader

from backend import blobs
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.keys import Role, create_key
from backend.db.training import Checkpoint
from backend.ids import new_id
from tests.service.conftest import EXACT, Api, answered

ROWS = b"".join(
    json.dumps({"messages": [{"role": "user", "content": f"{n}?"}], "reference_answer": str(n)}).encode() + b"\n"
    for n in range(12)
)
GRADER: Any = {**EXACT, "reference": "{{item.reference_answer}}"}
METHOD: Any = {
    "type": "reinforcement",
    "reinforcement": {"grader": GRADER, "hyperparameters": {"n_epochs": 2, "batch_size": 2}},
}


def uploaded(client: OpenAI) -> FileObject:
    return client.files.create(file=("rows.jsonl", ROWS), purpose="fine-tune")


def job(client: OpenAI, **more: Any) -> FineTuningJob:
    return client.fine_tuning.jobs.create(
        model="starter", training_file=uploaded(client).id, method=METHOD, seed=3, **more
    )


def test_files_go_up_and_come_back(api: Api, tmp_path: Path) -> None:
    client = api.openai
    path = tmp_path / "train.jsonl"
    path.write_bytes(ROWS)
    by_path = client.files.create(file=path, purpose="fine-tune")
    by_stream = client.files.create(file=io.BytesIO(ROWS), purpose="fine-tune", extra_body={"mapping": MAPPING})
    assert isinstance(by_path, FileObject)
    assert (by_path.object, by_path.bytes, by_path.filename) == ("file", len(ROWS), "train.jsonl")
    assert (by_path.purpose, by_path.status) == ("fine-tune", "processed")
    assert client.files.retrieve(by_path.id) == by_path
    assert client.files.content(by_stream.id).read() == ROWS
    assert client.files.wait_for_processing(by_path.id).id == by_path.id
    assert [file.id for file in client.files.list(order="asc", limit=1)] == [by_path.id, by_stream.id]
    deleted = client.files.delete(by_path.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (by_path.id, True, "file")
    assert [file.id for file in client.files.list(purpose="fine-tune")] == [by_stream.id]


MAPPING = '{"question": "messages", "answer": "reference_answer"}'


def test_a_job_is_made_looked_at_paused_resumed_and_cancelled(api: Api) -> None:
    client = api.openai
    made = job(client, suffix="mine", metadata={"team": "a"})
    assert isinstance(made, FineTuningJob)
    assert (made.object, made.status, made.seed, made.model) == ("fine_tuning.job", "queued", 3, "starter")
    assert (made.metadata, made.result_files, made.error) == ({"team": "a"}, [], None)
    assert made.method is not None
    assert made.method.type == "reinforcement"
    assert made.method.reinforcement is not None
    assert isinstance(made.method.reinforcement.grader, StringCheckGrader)
    assert made.method.reinforcement.hyperparameters is not None
    assert made.method.reinforcement.hyperparameters.batch_size == made.hyperparameters.batch_size == 2
    jobs = client.fine_tuning.jobs
    assert jobs.retrieve(made.id) == made
    assert jobs.pause(made.id).status == "paused"  # type: ignore[comparison-overlap]
    assert jobs.resume(made.id).status == "queued"
    assert jobs.cancel(made.id).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        jobs.cancel(made.id)


def test_lists_iterate_over_their_pages(api: Api) -> None:
    client = api.openai
    ids = [job(client, metadata={"n": str(n)}).id for n in range(5)]
    assert [found.id for found in client.fine_tuning.jobs.list(limit=2)] == ids[::-1]
    assert [found.id for found in client.fine_tuning.jobs.list(metadata={"n": "3"})] == [ids[3]]
    for _ in range(2):
        client.fine_tuning.jobs.pause(ids[0])
        client.fine_tuning.jobs.resume(ids[0])
    events = list(client.fine_tuning.jobs.list_events(ids[0], limit=2))
    assert len(events) == 5
    assert all(isinstance(event, FineTuningJobEvent) and event.level == "info" for event in events)
    assert events[-1].message.startswith("The job was created")
    with transaction() as session:
        for step in (10, 20, 30):
            blob = blobs.put(session, [str(step).encode()])
            session.add(
                Checkpoint(
                    id=new_id("ftckpt"), job_id=ids[0], step=step, created_at=utc_now(), sha256=blob.sha256, score=0.5
                )
            )
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(ids[0], limit=2))
    assert all(isinstance(checkpoint, FineTuningJobCheckpoint) for checkpoint in checkpoints)
    assert [checkpoint.step_number for checkpoint in checkpoints] == [30, 20, 10]
    assert checkpoints[0].metrics.step == 30


def test_models_are_listed_and_retrieved(api: Api) -> None:
    assert [model.id for model in api.openai.models.list()] == ["starter"]
    model = api.openai.models.retrieve("starter")
    assert (model.id, model.object) == ("starter", "model")
    with pytest.raises(openai.NotFoundError):
        api.openai.models.retrieve("organisation/none")


def test_a_grader_is_validated(api: Api) -> None:
    validated = api.openai.fine_tuning.alpha.graders.validate(grader=GRADER)
    assert isinstance(validated.grader, StringCheckGrader)
    assert validated.grader.reference == "{{item.reference_answer}}"


@pytest.mark.usefixtures("check_worker")
def test_a_grader_is_run(api: Api) -> None:
    source = "def grade(sample, item):\n    return {'score': 0.5, 'components': {'style': 1.0}}\n"
    grader: Any = {"type": "python", "name": "half", "source": source}
    validated = api.openai.fine_tuning.alpha.graders.validate(grader=grader)
    assert isinstance(validated.grader, PythonGrader)
    run = api.openai.fine_tuning.alpha.graders.run(grader=grader, model_sample="x", item={"a": 1})
    assert (run.reward, run.sub_rewards, run.metadata.name) == (0.5, {"style": 1.0}, "half")
    assert not run.metadata.errors.python_grader_runtime_error
    assert run.metadata.execution_time >= 0
    failing: Any = {"type": "python", "name": "bad", "source": "def grade(sample, item):\n    return item['x']\n"}
    failed = api.openai.fine_tuning.alpha.graders.run(grader=failing, model_sample="x", item={})
    assert failed.reward == 0.0
    assert "KeyError" in (failed.metadata.errors.python_grader_runtime_error_details or "")


def test_its_exceptions_come_out_right(api: Api) -> None:
    client = api.openai
    with pytest.raises(openai.BadRequestError) as bad:
        client.files.create(file=("rows.jsonl", b'{"question": 1}\noops\n'), purpose="fine-tune")
    assert (bad.value.status_code, bad.value.param, bad.value.code) == (400, "file", "unknown_shape")
    with pytest.raises(openai.BadRequestError) as line:
        client.files.create(file=("rows.jsonl", ROWS + b"oops\n"), purpose="fine-tune")
    assert (line.value.code, "line 13" in line.value.message) == ("invalid_json", True)
    with pytest.raises(openai.NotFoundError) as absent:
        client.fine_tuning.jobs.retrieve("ftjob-none")
    assert absent.value.request_id is not None
    assert absent.value.request_id.startswith("req-")
    made = job(client)
    with pytest.raises(openai.ConflictError):
        client.files.delete(made.training_file)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="rlsd-wrong").models.list()


def test_what_cannot_be_honoured_is_refused_with_the_parameters_name(api: Api) -> None:
    client = api.openai
    file_id = uploaded(client).id
    create = client.fine_tuning.jobs.create
    requests: list[tuple[str, dict[str, Any]]] = [
        ("hyperparameters", {"method": METHOD, "hyperparameters": {"n_epochs": 1}}),
        ("integrations", {"method": METHOD, "integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}),
        ("method", {}),
        ("method.type", {"method": {"type": "supervised", "supervised": {}}}),
    ]
    for param, arguments in requests:
        with pytest.raises(openai.BadRequestError) as refusal:
            create(model="starter", training_file=file_id, **arguments)
        assert refusal.value.param is not None
        assert refusal.value.param.startswith(param)
    with pytest.raises(openai.BadRequestError) as expiry:
        client.files.create(
            file=("rows.jsonl", ROWS), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 3600}
        )
    assert (expiry.value.param or "").startswith("expires_after")
    with pytest.raises(openai.BadRequestError) as purpose:
        client.files.create(file=("rows.jsonl", ROWS), purpose="batch")
    assert purpose.value.param == "purpose"


SDK_MULTI: Any = {"type": "multi", "name": "m", "graders": GRADER, "calculate_output": "1.0 * exact"}


def test_the_sdks_single_multi_grader_is_taken(api: Api) -> None:
    assert MultiGrader.model_validate(SDK_MULTI).type == "multi"
    answer = api.openai.fine_tuning.alpha.graders.validate(grader=SDK_MULTI)
    assert answer.grader is not None
    assert answer.grader.type == "multi"


def test_roles_and_quotas_are_exceptions_of_their_own(api: Api) -> None:
    with transaction() as session:
        _, viewer = create_key(session, name="viewer", role=Role.VIEWER)
    reader = api.openai.with_options(api_key=viewer)
    assert [model.id for model in reader.models.list()] == ["starter"]
    with pytest.raises(openai.PermissionDeniedError) as forbidden:
        uploaded(reader)
    assert (forbidden.value.code, forbidden.value.status_code) == ("permission_denied", 403)
    file_id = uploaded(api.openai).id
    patient = api.openai.with_options(max_retries=2)
    allow = "/v1/projects/proj-default"
    answered(api.http.post(allow, json={"quotas": {"jobs_at_once": 0}}))
    try:
        with pytest.raises(openai.RateLimitError) as exceeded:
            patient.fine_tuning.jobs.create(model="starter", training_file=file_id, method=METHOD)
    finally:
        answered(api.http.post(allow, json={"quotas": {}}))
    assert exceeded.value.code == "insufficient_quota"
    assert exceeded.value.response.headers["retry-after"]
    assert exceeded.value.request.headers["x-stainless-retry-count"] == "0"
    job = patient.fine_tuning.jobs.create(model="starter", training_file=file_id, method=METHOD)
    patient.fine_tuning.jobs.cancel(job.id)
    with pytest.raises(openai.ConflictError) as ended:
        patient.fine_tuning.jobs.cancel(job.id)
    assert ended.value.request.headers["x-stainless-retry-count"] == "0"


def test_uploads_in_parts_have_the_clients_objects_and_exceptions(api: Api) -> None:
    client = api.openai
    upload = client.uploads.create(
        filename="rows.jsonl", bytes=len(ROWS), mime_type="application/jsonl", purpose="fine-tune"
    )
    parts = [client.uploads.parts.create(upload.id, data=piece) for piece in (ROWS[:99], ROWS[99:])]
    with pytest.raises(openai.BadRequestError) as missing:
        client.uploads.complete(upload.id, part_ids=[parts[0].id])
    assert (missing.value.code, missing.value.param) == ("wrong_size", "part_ids")
    done = client.uploads.complete(upload.id, part_ids=[part.id for part in parts])
    assert isinstance(done.file, FileObject)
    assert client.files.retrieve(done.file.id) == done.file
    with pytest.raises(openai.ConflictError):
        client.uploads.cancel(upload.id)
