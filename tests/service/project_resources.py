"""Resources that a project can own, created on first use."""

import base64
import io
from functools import cached_property
from typing import Any

import httpx
from PIL import Image

from backend import blobs
from backend.db.base import utc_now
from backend.db.checks import Check, CheckStatus
from backend.db.engine import transaction
from backend.db.exports import Export
from backend.db.jobs import Job
from backend.db.projects import DEFAULT_PROJECT
from backend.db.training import Checkpoint, Rollout
from backend.ids import new_id
from backend.jobs.lifecycle import JobState
from tests.service.conftest import EXACT, answered, job_body

ROW = b'{"question": "1 + 1?", "answer": "2"}\n'
TOKENS = {
    "ids": [1],
    "text": ["2"],
    "logp_student": [-1.0],
    "logp_teacher": [-1.0],
    "weight": [1.0],
    "advantage": [0.0],
}


class ProjectResources:
    """Resources of an admin's project, named like path parameters; all runs belong to `job_id`, in `state`."""

    def __init__(
        self, admin: httpx.Client, *, project: str = DEFAULT_PROJECT, state: JobState = JobState.SUCCEEDED
    ) -> None:
        self._admin, self._project, self._state = admin, project, state

    @cached_property
    def file_id(self) -> str:
        return self._file(ROW + b"".join(ROW.replace(b"1?", b"%d?" % n) for n in range(2, 12)))

    @cached_property
    def other_file_id(self) -> str:
        return self._file(b"".join(ROW.replace(b"1 +", b"7 +").replace(b"1?", b"%d?" % n) for n in range(5)))

    @cached_property
    def pictured_file_id(self) -> str:
        url = f"data:image/png;base64,{base64.b64encode(_picture()).decode()}"
        return self._file(b'{"problem": "What is this?", "answer": "red", "images": ["%s"]}\n' % url.encode())

    @cached_property
    def sha256(self) -> str:
        """Hash of the image in `pictured_file_id`."""
        rows = answered(self._admin.get(f"/v1/files/{self.pictured_file_id}/rows"))["data"]
        return str(rows[0]["images"][0])

    @cached_property
    def upload_id(self) -> str:
        announced = {"filename": "x.jsonl", "bytes": len(ROW), "mime_type": "application/jsonl", "purpose": "fine-tune"}
        return self._create("uploads", announced)

    @cached_property
    def part_id(self) -> str:
        sent = self._admin.post(f"/v1/uploads/{self.upload_id}/parts", files={"data": ("part", ROW)})
        return str(answered(sent)["id"])

    @cached_property
    def verifier_id(self) -> str:
        return self._create("verifiers", {"name": "v", "grader": EXACT})

    @property
    def grader(self) -> dict[str, str]:
        return {"type": "saved", "id": self.verifier_id}

    @cached_property
    def job_id(self) -> str:
        """A job with a rollout, a checkpoint and an adapter."""
        job_id = self._create("fine_tuning/jobs", job_body(self.file_id))
        with transaction() as session:
            job = session.get_one(Job, job_id)
            job.state, job.step, job.finished_at = self._state, 1, utc_now()
            job.fine_tuned_model, job.manifest = job.adapter_name, {"job": {"name": "n"}}
            job.adapter_sha256 = blobs.put(session, [job_id.encode()]).sha256
            session.add(
                Rollout(
                    job_id=job_id,
                    step=1,
                    number=0,
                    row=0,
                    sample=0,
                    completion="2",
                    record={"score": 1.0, "status": "ok", "reason": None, "components": {}, "ms": 1.0},
                    advantage=0.0,
                    truncated=False,
                    has_tokens=True,
                    tokens=TOKENS,
                )
            )
        return job_id

    rollout_id = "rollout-1-0"

    @cached_property
    def other_job_id(self) -> str:
        return self._create("fine_tuning/jobs", job_body(self.file_id))

    @cached_property
    def checkpoint_id(self) -> str:
        checkpoint = Checkpoint(
            id=new_id("ftckpt"), job_id=self.job_id, step=1, created_at=utc_now(), sha256=self._blob(), score=None
        )
        with transaction() as session:
            session.add(checkpoint)
        return checkpoint.id

    @cached_property
    def model(self) -> str:
        with transaction() as session:
            return session.get_one(Job, self.job_id).adapter_name

    @property
    def checkpoint_model(self) -> str:
        assert self.checkpoint_id
        return f"{self.model}:ckpt-step-1"

    @cached_property
    def export_id(self) -> str:
        """An export that can be downloaded."""
        check = self._check("export", job_id=self.job_id)
        export = Export(
            id=new_id("export"),
            job_id=self.job_id,
            checkpoint_id=None,
            format="merged",
            created_at=utc_now(),
            check_id=check,
            sha256=self._blob(),
        )
        with transaction() as session:
            session.add(export)
        return export.id

    @cached_property
    def check_id(self) -> str:
        """A check that is not sent to any worker."""
        return self._check("grader_run", file_id=self.file_id)

    @cached_property
    def comparison_id(self) -> str:
        arms = [{"name": "a"}, {"name": "b"}]
        return self._create("comparisons", {"name": "c", "job": job_body(self.file_id), "arms": arms, "seeds": [0]})

    @cached_property
    def webhook_id(self) -> str:
        return self._create("webhooks", {"url": "https://hooks.invalid"})

    @cached_property
    def key_id(self) -> str:
        return self._create("keys", {"name": "spare", "role": "viewer"})

    @cached_property
    def email(self) -> str:
        return self._create("members", {"email": f"{new_id('ada')}@example.org", "role": "viewer"})

    @cached_property
    def project_id(self) -> str:
        return self._project

    def _create(self, path: str, body: dict[str, Any]) -> str:
        return str(answered(self._admin.post(f"/v1/{path}", json=body))["id"])

    def _file(self, content: bytes) -> str:
        form = {"data": {"purpose": "fine-tune"}, "files": {"file": ("rows.jsonl", content)}}
        return str(answered(self._admin.post("/v1/files", **form))["id"])

    def _blob(self) -> str:
        with transaction() as session:
            return blobs.put(session, [new_id("bytes").encode()]).sha256

    def _check(self, kind: str, **about: str) -> str:
        check = Check(
            id=new_id("check"),
            kind=kind,
            status=CheckStatus.QUEUED,
            request={},
            created_at=utc_now(),
            project_id=self._project,
            **about,
        )
        with transaction() as session:
            session.add(check)
        return check.id


def _picture() -> bytes:
    png = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(png, "PNG")
    return png.getvalue()
