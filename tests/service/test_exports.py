"""Exports over HTTP: made by a worker of `sample`, compared, downloaded, deleted."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from backend import blobs, checks
from backend.cli.main import app
from backend.db.base import utc_now
from backend.db.blobs import Blob
from backend.db.checks import Check
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.projects import Project
from backend.db.training import Checkpoint, Step
from backend.errors import AppError
from backend.jobs.lifecycle import JobState
from backend.settings import STARTER_MODEL, settings
from tests.processes import wait_for
from tests.service.adapters import MANIFEST, random_adapter
from tests.service.conftest import Api, answered, refused
from tests.service.training import ended, queued_job
from worker.checks.registry import HANDLERS

pytestmark = pytest.mark.slow

STARTER = STARTER_MODEL.parent
ROWS = b"".join((STARTER / "train.jsonl").read_bytes().splitlines(keepends=True)[:24])
TELL_SECRETS = "import os; raise SystemExit(sorted({'DATABASE_URL', 'BROKER_URL'} & set(os.environ)))"
BROKEN = Path(__file__).with_name("broken_converter.py")


def trained(*, model: str = "starter", **settings: Any) -> str:
    """Train a job; the starter gets a high learning rate, so that few steps change the adapter enough to export."""
    room = {"max_prompt_tokens": 256, "max_completion_tokens": 24, "learning_rate": 0.02, "temperature": 1.5}
    with transaction() as session:
        data = ROWS if model == "starter" else None
        job_id = queued_job(session, model=model, data=data, **(room if model == "starter" else {}) | settings)
    job = ended(job_id)
    assert job.state == JobState.SUCCEEDED, job.error
    return job_id


def exports(job_id: str) -> str:
    return f"/v1/fine_tuning/jobs/{job_id}/exports"


def wait_for_export(api: Api, job_id: str, *, timeout_s: float = 120, **body: Any) -> dict[str, Any]:
    export = answered(api.http.post(exports(job_id), json=body))
    at = f"{exports(job_id)}/{export['id']}"

    def over() -> Any:
        export = answered(api.http.get(at))
        return export if export["status"] in ("succeeded", "failed") else None

    found: dict[str, Any] = wait_for(over, timeout_s=timeout_s, what=f"the export {export['id']}")
    return found


def content(api: Api, export: dict[str, Any]) -> bytes:
    response = api.http.get(f"{exports(export['job_id'])}/{export['id']}/content")
    assert response.status_code == 200, response.text
    assert response.headers["etag"] == f'"{export["sha256"]}"'
    assert len(response.content) == export["size_bytes"]
    return response.content


def unpacked(data: bytes, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)
    return folder


def blobs_stored() -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(Blob)) or 0


def test_a_trained_starter_goes_home_merged_and_as_gguf(
    api: Api, sample_worker: int, train_worker: Path, tmp_path: Path
) -> None:
    job_id = trained()
    merged = wait_for_export(api, job_id, format="merged")
    gguf = wait_for_export(api, job_id, format="gguf", dtype="bfloat16")
    for export in (merged, gguf):
        assert export["status"] == "succeeded", (export["error"], export["comparison"])
        compared = export["comparison"]
        assert compared["agrees"]
        assert compared["mean_difference"] < compared["tolerance"]["mean"] < compared["effect"]
        assert compared["read_alike"] == compared["prompts"] == 8
    assert gguf["comparison"] == merged["comparison"]  # the same numbers in another file
    assert merged["comparison"]["dtype"] == "bfloat16"

    listed = answered(api.http.get(exports(job_id)))["data"]
    assert [export["id"] for export in listed] == [gguf["id"], merged["id"]]
    assert answered(api.http.post(exports(job_id), json={"format": "merged"})) == merged

    data = content(api, merged)
    folder = unpacked(data, tmp_path / "merged")
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "generation_config.json"} < {
        path.name for path in folder.iterdir()
    }
    card = (folder / "README.md").read_text()
    assert "vllm serve" in card
    assert "Compared with the adapter" in card
    assert json.loads((folder / "manifest.json").read_text())["export"]["comparison"] == merged["comparison"]
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert str(plain.dtype) == "torch.bfloat16"

    packed = unpacked(content(api, gguf), tmp_path / "gguf")
    assert {path.name for path in packed.iterdir()} == {"README.md", "manifest.json", "model.gguf"}
    assert "ollama create" in (packed / "README.md").read_text()
    words = AutoTokenizer.from_pretrained(packed, gguf_file="model.gguf")
    assert words.chat_template == AutoTokenizer.from_pretrained(STARTER_MODEL).chat_template

    known = {"if-none-match": f'"{merged["sha256"]}"'}
    assert api.http.get(f"{exports(job_id)}/{merged['id']}/content", headers=known).status_code == 304

    before = blobs_stored()
    assert answered(api.http.delete(f"{exports(job_id)}/{merged['id']}"))["deleted"]
    refused(api.http.get(f"{exports(job_id)}/{merged['id']}"), status=404)
    assert blobs_stored() == before - 1
    again = wait_for_export(api, job_id, format="merged")
    assert again["id"] != merged["id"]
    assert content(api, again) == data


def test_checkpoints_are_exported_separately_and_errors_are_reported(
    api: Api, sample_worker: int, train_worker: Path, tmp_path: Path
) -> None:
    job_id = trained(model="tiny")
    with transaction() as session:
        first = session.scalar(select(Checkpoint.id).where(Checkpoint.job_id == job_id, Checkpoint.step == 2))
    final, early = (
        wait_for_export(api, job_id, format="merged"),
        wait_for_export(api, job_id, format="merged", checkpoint=first),
    )
    assert (final["status"], early["status"]) == ("succeeded", "succeeded")
    assert final["sha256"] != early["sha256"]
    assert early["checkpoint"] == first
    folder = unpacked(content(api, early), tmp_path / "early")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["steps"] == 2
    with transaction() as session:
        tokens = dict(session.execute(select(Step.step, Step.metrics["update_tokens"].as_float())).tuples().all())
        whole = session.get_one(Job, job_id).manifest
    assert manifest["trained_tokens"] == tokens[1] + tokens[2] < sum(tokens.values())
    assert whole is not None
    assert whole["trained_tokens"] == sum(tokens.values())
    assert [found["phase"] for found in manifest["evaluations"]] == ["baseline"]

    export = wait_for_export(api, job_id, format="gguf")  # one token per byte, no merges: not a tokenizer of llama.cpp
    assert export["status"] == "failed"
    assert export["error"]["code"] == "gguf_not_known"
    assert "RLSD_GGUF_CONVERTER" in export["error"]["message"]
    assert export["comparison"] is None
    refused(api.http.get(f"{exports(job_id)}/{export['id']}/content"), status=404, code="not_ready")


def finish_job(job_id: str, *, strength: float = 0.2) -> str:
    """Finish the job without training: a random adapter, and a checkpoint with another one."""
    archive, checkpoint = random_adapter(3, strength=strength)
    with transaction() as session:
        job = session.get_one(Job, job_id)
        job.state, job.step, job.adapter_sha256 = JobState.SUCCEEDED, 4, blobs.put(session, [archive]).sha256
        job.spec = job.spec | {"lora": job.spec["lora"] | {"r": 4, "alpha": 8.0}}
        saved = blobs.put(session, [checkpoint]).sha256
        session.add(
            Checkpoint(id=f"ftckpt-{job_id}", job_id=job_id, step=2, created_at=utc_now(), sha256=saved, score=None)
        )
    return job_id


def finished_job(*, strength: float = 0.2) -> str:
    """A job of the starter, finished by `finish_job`."""
    with transaction() as session:
        job_id = queued_job(session, model="starter", data=ROWS, max_completion_tokens=24)
    return finish_job(job_id, strength=strength)


def carry_out_exports(api: Api) -> None:
    """Make the exports in this process, as a worker would."""
    for check in answered(api.http.get("/v1/checks", params={"kind": "export"}))["data"]:
        checks.carry_out(check["id"], handlers=HANDLERS)


@contextmanager
def converter(path: Path) -> Iterator[None]:
    """Configure this GGUF converter within the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLSD_GGUF_CONVERTER", str(path))
        settings.cache_clear()
        yield
    settings.cache_clear()


def test_a_model_that_differs_from_the_adapter_is_not_offered(api: Api) -> None:
    before = blobs_stored()
    job_id = finished_job()
    answered(api.http.post(exports(job_id), json={"format": "gguf"}))
    with converter(BROKEN):
        carry_out_exports(api)
    [export] = answered(api.http.get(exports(job_id)))["data"]
    assert export["status"] == "failed", export["comparison"]
    assert export["error"]["code"] == "export_disagrees"
    assert "differs from the adapter" in export["error"]["message"]
    compared = export["comparison"]
    assert not compared["agrees"]
    assert [tried["dtype"] for tried in compared["tried"]] == ["q8_0", "bfloat16"]  # rounding is not the cause
    assert compared["mean_difference"] > compared["tolerance"]["mean"]
    assert compared["greedy_equal"] < compared["tolerance"]["greedy"]
    assert export["sha256"] is None
    assert blobs_stored() == before + 3  # the job's file, adapter and checkpoint
    refused(api.http.get(f"{exports(job_id)}/{export['id']}/content"), status=404, code="not_ready")


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        (None, "converter_missing", "which does not exist"),
        ("raise SystemExit('this architecture is new')", "converter_failed", "this architecture is new"),
        ("import sys; open(sys.argv[3], 'w').write('GGUF')", "not_comparable", "cannot be loaded"),
        (TELL_SECRETS, "converter_failed", "[]"),
    ],
)
def test_a_converter_that_fails_is_quoted_and_knows_no_secrets(
    api: Api, source: str | None, code: str, message: str, tmp_path: Path
) -> None:
    job_id, path = finished_job(), tmp_path / "convert_hf_to_gguf.py"
    if source is not None:
        path.write_text(source)
    answered(api.http.post(exports(job_id), json={"format": "gguf"}))
    with converter(path):
        carry_out_exports(api)
    [export] = answered(api.http.get(exports(job_id)))["data"]
    assert (export["status"], export["error"]["code"]) == ("failed", code), export["error"]
    assert message in export["error"]["message"]
    assert str(tmp_path) not in export["error"]["message"]


def test_the_same_request_gives_the_same_export_and_deleting_it_stops_it(api: Api) -> None:
    job_id = finished_job()
    bodies = [{"format": "merged"}, {"format": "gguf"}, {"format": "gguf", "checkpoint": f"ftckpt-{job_id}"}]
    bodies.append({"format": "gguf", "dtype": "float16"})
    with ThreadPoolExecutor(6) as threads:
        given = list(threads.map(lambda body: api.http.post(exports(job_id), json=body), bodies * 3))
    ids = {answered(response)["id"] for response in given}
    assert len(ids) == 4
    before = blobs_stored()
    [check] = [found for found in _checks() if found.request["export_id"] == min(ids)]
    answered(api.http.delete(f"{exports(job_id)}/{min(ids)}"))
    with pytest.raises(AppError, match="was deleted before it was finished"):
        HANDLERS["export"](check.request, lambda _done, _total, _unit: None)
    assert blobs_stored() == before
    assert len(answered(api.http.get(exports(job_id)))["data"]) == len(_checks()) == 3


def test_the_requested_dtype_is_stored_and_the_smallest_one_otherwise(api: Api, tmp_path: Path) -> None:
    job_id = finished_job(strength=0.05)
    for dtype in ("float16", None):
        answered(api.http.post(exports(job_id), json={"format": "gguf", "dtype": dtype}))
    carry_out_exports(api)
    smallest, requested = answered(api.http.get(exports(job_id)))["data"]
    assert (requested["dtype"], requested["comparison"]["dtype"]) == ("float16", "float16")
    assert (smallest["dtype"], smallest["comparison"]["dtype"]) == (None, "q8_0")
    assert requested["comparison"]["mean_difference"] < smallest["comparison"]["mean_difference"]
    assert smallest["size_bytes"] < requested["size_bytes"]
    folder = unpacked(content(api, requested), tmp_path)
    assert json.loads((folder / "manifest.json").read_text())["export"]["dtype"] == "float16"


def test_a_dtype_that_loses_what_was_learned_is_passed_over_or_refused_with_the_one_to_request(api: Api) -> None:
    """A weak adapter, as of a short job, whose changes are smaller than what eight bits round away."""
    job_id = finished_job(strength=0.01)
    for dtype in ("q8_0", None):
        answered(api.http.post(exports(job_id), json={"format": "gguf", "dtype": dtype}))
    carry_out_exports(api)
    found, refusal = answered(api.http.get(exports(job_id)))["data"]
    assert (found["status"], found["comparison"]["dtype"]) == ("succeeded", "bfloat16"), found
    assert [(tried["dtype"], tried["agrees"]) for tried in found["comparison"]["tried"]] == [
        ("q8_0", False),
        ("bfloat16", True),
    ]
    assert (refusal["status"], refusal["error"]["code"]) == ("failed", "export_disagrees")
    assert "Stored as bfloat16, it agrees: request this dtype." in refusal["error"]["message"]


def test_a_changed_base_model_is_reported(api: Api) -> None:
    job_id = finished_job()
    with transaction() as session:
        session.get_one(Job, job_id).manifest = MANIFEST
    answered(api.http.post(exports(job_id), json={"format": "merged"}))
    carry_out_exports(api)
    [export] = answered(api.http.get(exports(job_id)))["data"]
    assert (export["status"], export["error"]["code"]) == ("failed", "base_changed")


def test_a_storage_that_is_full_takes_no_export(api: Api) -> None:
    job_id = finished_job()
    _limit({"storage_bytes": 1})
    try:
        refused(api.http.post(exports(job_id), json={"format": "merged"}), status=429)
    finally:
        _limit({})
    assert _checks() == []


@pytest.mark.parametrize("outcome", ["made", "refused"])
def test_the_command_line_waits_for_an_export_and_writes_it(
    api: Api, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = finished_job()
    answered(api.http.post(exports(job_id), json={"format": "gguf"}))
    with converter(BROKEN) if outcome == "refused" else nullcontext():
        carry_out_exports(api)
    monkeypatch.setenv("RLSD_API_URL", api.url)
    monkeypatch.setenv("RLSD_API_KEY", api.key)
    if outcome == "made":
        path = tmp_path / "model.zip"
        result = CliRunner().invoke(app, ["export", job_id, "--format", "gguf", "--output", str(path)])
        assert result.exit_code == 0, result.output
        printed = json.loads(result.output.splitlines()[-1])
        assert printed["comparison"]["agrees"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == printed["sha256"]
    else:
        with ThreadPoolExecutor(1) as threads:  # it requests the export again
            arguments = ["export", job_id, "--format", "gguf", "--output", str(tmp_path / "model.zip")]
            again = threads.submit(lambda: CliRunner().invoke(app, arguments))
            wait_for(lambda: [c for c in _checks() if c.status == "queued"], timeout_s=20, what="the second try")
            with converter(BROKEN):
                carry_out_exports(api)
            assert "differs from the adapter" in str(again.result().exception)
        assert not (tmp_path / "model.zip").exists()


def test_the_command_line_names_the_formats() -> None:
    result = CliRunner().invoke(app, ["export", "ftjob-1", "--format", "onnx"])
    assert "adapter, merged or gguf" in str(result.exception)


def _limit(quotas: dict[str, int]) -> None:
    with transaction() as session:
        session.execute(update(Project).values(quotas=quotas))


def _checks() -> list[Check]:
    with transaction() as session:
        return list(session.scalars(select(Check).where(Check.kind == "export")))


def test_bad_requests_leave_nothing_behind(api: Api) -> None:
    with transaction() as session:
        job_id, other = queued_job(session), queued_job(session)
    refused(api.http.post(exports(job_id), json={"format": "merged"}), status=409, code="not_ready")
    refused(api.http.post(exports(job_id), json={"format": "onnx"}), status=400)
    refused(api.http.post(exports(job_id), json={"format": "gguf", "quantise": "q4"}), status=400)
    error = refused(api.http.post(exports(job_id), json={"format": "merged", "dtype": "q8_0"}), status=400)
    assert error["param"] == "dtype"
    refused(api.http.post(exports(job_id), json={"format": "gguf", "dtype": "q4_0"}), status=400)
    error = refused(api.http.post(exports(job_id), json={"format": "gguf", "checkpoint": "ftckpt-none"}), status=404)
    assert error["param"] == "checkpoint"
    refused(api.http.post(exports("ftjob-none"), json={"format": "gguf"}), status=404)
    refused(api.http.get(f"{exports(other)}/export-none"), status=404)
    refused(api.http.delete(f"{exports(other)}/export-none"), status=404)
    assert answered(api.http.get(exports(job_id)))["data"] == []
    assert answered(api.http.get("/v1/checks", params={"kind": "export"}))["data"] == []
