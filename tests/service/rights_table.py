"""Access rights by route: the request, the least role, and the expected status, also for another project's admin.

`ROUTES` uses ids of one project; `FOREIGN_REFERENCES` refers to resources of another project.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.db.keys import Role
from backend.ids import new_id
from backend.jobs.lifecycle import JobState
from tests.service.conftest import EXACT, job_body
from tests.service.project_resources import ROW, ProjectResources

RequestBuilder = Callable[[ProjectResources], dict[str, Any]]
"""(resources) -> keyword arguments of an httpx request."""
VIEWER, EDITOR, ADMIN = Role.VIEWER, Role.EDITOR, Role.ADMIN
ARMS = [{"name": "a"}, {"name": "b"}]


@dataclass(frozen=True, slots=True)
class Case:
    """`ids` maps path parameters to other resources; `elsewhere` is the status for another project.

    `timeout_s`: how long the API waits for a worker; only workers of the queue `check` are running.
    """

    least: Role
    sent: RequestBuilder = lambda _: {}
    status: int = 200
    elsewhere: int = 200
    ids: Mapping[str, str] = field(default_factory=dict)
    state: JobState = JobState.SUCCEEDED
    timeout_s: float = 60
    for_administrators: bool = False


def body(make: Callable[[ProjectResources], dict[str, Any]]) -> RequestBuilder:
    return lambda own: {"json": make(own)}


def file_form(_: ProjectResources) -> dict[str, Any]:
    return {"data": {"purpose": "fine-tune"}, "files": {"file": ("rows.jsonl", ROW)}}


def compared_jobs(own: ProjectResources) -> dict[str, Any]:
    return {"params": {"job": [own.job_id, own.other_job_id]}}


def preflight_body(own: ProjectResources) -> dict[str, Any]:
    return {"model": "starter", "training_file": own.file_id}


JOB, RUN, FILE = "/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs/{job_id}", "/v1/files/{file_id}"
UPLOAD, EXPORT = "/v1/uploads/{upload_id}", "/v1/fine_tuning/jobs/{job_id}/exports/{export_id}"
GRADERS = "/v1/fine_tuning/alpha/graders"
VERIFIER, COMPARISON = "/v1/verifiers/{verifier_id}", "/v1/comparisons/{comparison_id}"
UPLOAD_BODY = {"filename": "x.jsonl", "bytes": 9, "mime_type": "application/jsonl", "purpose": "fine-tune"}
CHAT = [{"role": "user", "content": "x"}]

ROUTES: dict[str, Case] = {
    "GET /v1/whoami": Case(VIEWER),
    "GET /v1/usage": Case(VIEWER),
    "GET /v1/workers": Case(VIEWER),
    # files
    "POST /v1/files": Case(EDITOR, file_form),
    "POST /v1/files/preview": Case(EDITOR, file_form),
    "GET /v1/files": Case(VIEWER),
    f"GET {FILE}": Case(VIEWER, elsewhere=404),
    f"DELETE {FILE}": Case(EDITOR, elsewhere=404),
    f"GET {FILE}/content": Case(VIEWER, elsewhere=404),
    f"GET {FILE}/export": Case(VIEWER, elsewhere=404),
    f"GET {FILE}/images/{{sha256}}": Case(VIEWER, elsewhere=404, ids={"file_id": "pictured_file_id"}),
    f"GET {FILE}/rows": Case(VIEWER, elsewhere=404),
    f"GET {FILE}/report": Case(VIEWER, lambda own: {"params": {"against": own.other_file_id}}, elsewhere=404),
    f"POST {FILE}/tokens": Case(EDITOR, body(lambda _: {"model": "starter"}), elsewhere=404),
    f"POST {FILE}/versions": Case(EDITOR, body(lambda _: {"edits": [{"op": "delete", "row": 0}]}), elsewhere=404),
    f"GET {FILE}/versions": Case(VIEWER, elsewhere=404),
    f"POST {FILE}/split": Case(EDITOR, body(lambda _: {"share": 0.5, "seed": 1}), elsewhere=404),
    f"GET {FILE}/difference": Case(VIEWER, lambda own: {"params": {"to": own.other_file_id}}, elsewhere=404),
    f"GET {FILE}/history": Case(VIEWER, elsewhere=404),
    # uploads
    "POST /v1/uploads": Case(EDITOR, body(lambda _: UPLOAD_BODY)),
    f"GET {UPLOAD}": Case(VIEWER, elsewhere=404),
    f"POST {UPLOAD}/parts": Case(EDITOR, lambda _: {"files": {"data": ("part", ROW)}}, elsewhere=404),
    f"POST {UPLOAD}/complete": Case(EDITOR, body(lambda own: {"part_ids": [own.part_id]}), elsewhere=404),
    f"POST {UPLOAD}/cancel": Case(EDITOR, elsewhere=404),
    # verifiers
    "POST /v1/verifiers": Case(EDITOR, body(lambda _: {"name": "x", "grader": EXACT})),
    "GET /v1/verifiers": Case(VIEWER),
    "GET /v1/verifiers/ready-made": Case(VIEWER),
    f"GET {VERIFIER}": Case(VIEWER, elsewhere=404),
    f"DELETE {VERIFIER}": Case(EDITOR, elsewhere=404),
    f"GET {VERIFIER}/versions": Case(VIEWER, elsewhere=404),
    f"POST {VERIFIER}/versions": Case(EDITOR, body(lambda _: {"grader": EXACT}), elsewhere=404),
    "POST /v1/verifiers/instructions": Case(
        VIEWER, body(lambda own: {"grader": EXACT, "training_file": own.file_id}), elsewhere=400
    ),
    "POST /v1/verifiers/check": Case(
        EDITOR, body(lambda own: {"grader": own.grader, "file": own.file_id}), elsewhere=400
    ),
    "POST /v1/verifiers/test": Case(
        EDITOR, body(lambda own: {"grader": own.grader, "samples": [{"output_text": "2"}]}), elsewhere=400
    ),
    f"POST {GRADERS}/validate": Case(EDITOR, body(lambda own: {"grader": own.grader}), elsewhere=400),
    f"POST {GRADERS}/run": Case(
        EDITOR,
        body(lambda own: {"grader": own.grader, "model_sample": "2", "item": {"answer": "2"}}),
        elsewhere=400,
    ),
    # jobs
    f"POST {JOB}": Case(EDITOR, body(lambda own: job_body(own.file_id, grader=own.grader)), elsewhere=400),
    f"POST {JOB}/estimate": Case(EDITOR, body(lambda own: job_body(own.file_id)), elsewhere=400),
    "POST /v1/fine_tuning/preflight": Case(
        EDITOR, body(lambda own: {**preflight_body(own), "grader": own.grader, "rows": 1, "samples": 1}), elsewhere=400
    ),
    "POST /v1/fine_tuning/teacher-preview": Case(
        EDITOR, body(lambda own: {**preflight_body(own), "row": 0}), elsewhere=400, timeout_s=0.1
    ),
    f"GET {JOB}": Case(VIEWER),
    f"GET {RUN}": Case(VIEWER, elsewhere=404),
    f"DELETE {RUN}": Case(EDITOR, elsewhere=404),
    f"POST {RUN}/cancel": Case(EDITOR, elsewhere=404, state=JobState.QUEUED),
    f"POST {RUN}/pause": Case(EDITOR, elsewhere=404, state=JobState.QUEUED),
    f"POST {RUN}/resume": Case(EDITOR, elsewhere=404, state=JobState.PAUSED),
    f"POST {RUN}/rescore": Case(EDITOR, body(lambda own: {"grader": own.grader}), elsewhere=404),
    f"GET {RUN}/stream": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/rollouts/{{rollout_id}}": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/rollouts/{{rollout_id}}/tokens": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/events": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/checkpoints": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/checks": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/metrics": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/rows": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/rollouts": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/evaluations": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/manifest": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/adapter": Case(VIEWER, elsewhere=404),
    f"GET {RUN}/exports": Case(VIEWER, elsewhere=404),
    f"POST {RUN}/exports": Case(EDITOR, body(lambda _: {"format": "gguf"}), elsewhere=404),
    f"GET {EXPORT}": Case(VIEWER, elsewhere=404),
    f"GET {EXPORT}/content": Case(VIEWER, elsewhere=404),
    f"DELETE {EXPORT}": Case(EDITOR, elsewhere=404),
    "GET /v1/checks": Case(VIEWER),
    "GET /v1/checks/{check_id}": Case(VIEWER, elsewhere=404),
    "POST /v1/checks/{check_id}/cancel": Case(EDITOR, elsewhere=404),
    # comparisons
    "POST /v1/comparisons": Case(
        EDITOR,
        body(lambda own: {"name": "c", "job": job_body(own.file_id), "arms": ARMS, "seeds": [0]}),
        elsewhere=400,
    ),
    "GET /v1/comparisons": Case(VIEWER),
    f"GET {COMPARISON}": Case(VIEWER, elsewhere=404),
    f"DELETE {COMPARISON}": Case(EDITOR, elsewhere=404),
    f"POST {COMPARISON}/cancel": Case(EDITOR, elsewhere=404),
    f"GET {COMPARISON}/result": Case(VIEWER, elsewhere=404),
    f"GET {COMPARISON}/curves": Case(VIEWER, elsewhere=404),
    "GET /v1/compared-jobs/result": Case(VIEWER, compared_jobs, elsewhere=404),
    "GET /v1/compared-jobs/curves": Case(VIEWER, compared_jobs, elsewhere=404),
    # models; no chat server is running, which only permitted callers learn
    "GET /v1/models": Case(VIEWER),
    "POST /v1/models/fetch": Case(ADMIN, body(lambda _: {}), for_administrators=True),
    "GET /v1/models/{model}": Case(VIEWER, elsewhere=404),
    "DELETE /v1/models/{model}": Case(EDITOR, elsewhere=404),
    "POST /v1/chat/completions": Case(
        VIEWER, body(lambda own: {"model": own.model, "messages": CHAT}), status=503, elsewhere=404
    ),
    # people
    "POST /v1/keys": Case(ADMIN, body(lambda _: {"name": "k", "role": "viewer"})),
    "GET /v1/keys": Case(ADMIN),
    "DELETE /v1/keys/{key_id}": Case(ADMIN, elsewhere=404),
    "POST /v1/members": Case(ADMIN, body(lambda _: {"email": f"{new_id('bob')}@example.org", "role": "viewer"})),
    "GET /v1/members": Case(ADMIN),
    "DELETE /v1/members/{email}": Case(ADMIN, elsewhere=404),
    "GET /v1/audit": Case(ADMIN),
    "POST /v1/webhooks": Case(ADMIN, body(lambda _: {"url": "https://hooks.invalid"})),
    "GET /v1/webhooks": Case(ADMIN),
    "DELETE /v1/webhooks/{webhook_id}": Case(ADMIN, elsewhere=404),
    "POST /v1/webhooks/{webhook_id}/test": Case(ADMIN, elsewhere=404),
    "GET /v1/webhooks/{webhook_id}/deliveries": Case(ADMIN, elsewhere=404),
    # the server
    "GET /metrics": Case(ADMIN, for_administrators=True),
    "GET /v1/projects": Case(ADMIN, for_administrators=True),
    "POST /v1/projects": Case(ADMIN, body(lambda _: {"name": new_id("p")}), for_administrators=True),
    "POST /v1/projects/{project_id}": Case(ADMIN, body(lambda _: {"quotas": {}}), for_administrators=True),
    "POST /v1/projects/{project_id}/keys": Case(ADMIN, body(lambda _: {"name": "k"}), for_administrators=True),
}


@dataclass(frozen=True, slots=True)
class ForeignReference:
    """A request of one project's admin; `foreign_ids` are path parameters that belong to the other project."""

    route: str
    sent: Callable[[ProjectResources, ProjectResources], dict[str, Any]] = lambda _own, _theirs: {}
    status: int = 400
    code: str | None = None
    foreign_ids: tuple[str, ...] = ()


def with_foreign(
    make: Callable[[ProjectResources, ProjectResources], dict[str, Any]],
) -> Callable[[ProjectResources, ProjectResources], Any]:
    return lambda own, theirs: {"json": make(own, theirs)}


NO_FILE, NO_VERIFIER, NO_MODEL = "file_not_found", "verifier_not_found", "model_not_found"
JOBS: list[tuple[Callable[[ProjectResources, ProjectResources], dict[str, Any]], str]] = [
    (lambda _, theirs: job_body(theirs.file_id), NO_FILE),
    (lambda own, theirs: job_body(own.file_id, validation_file=theirs.other_file_id), NO_FILE),
    (lambda own, theirs: job_body(own.file_id, grader=theirs.grader), NO_VERIFIER),
]

FOREIGN_REFERENCES = [
    *[
        ForeignReference(route, with_foreign(make), code=code)
        for route in (f"POST {JOB}", f"POST {JOB}/estimate")
        for make, code in JOBS
    ],
    ForeignReference(f"POST {JOB}", with_foreign(lambda own, theirs: job_body(own.file_id) | {"model": theirs.model})),
    ForeignReference(
        "POST /v1/fine_tuning/preflight",
        with_foreign(lambda own, theirs: {**preflight_body(own), "grader": theirs.grader}),
        code=NO_VERIFIER,
    ),
    ForeignReference(
        "POST /v1/fine_tuning/preflight",
        with_foreign(lambda own, theirs: {**preflight_body(theirs), "grader": EXACT}),
        code=NO_FILE,
    ),
    ForeignReference(
        "POST /v1/fine_tuning/teacher-preview",
        with_foreign(lambda _, theirs: {**preflight_body(theirs), "row": 0}),
        code=NO_FILE,
    ),
    ForeignReference(
        "POST /v1/verifiers/instructions",
        with_foreign(lambda own, theirs: {"grader": own.grader, "training_file": theirs.file_id}),
        code=NO_FILE,
    ),
    ForeignReference(
        "POST /v1/verifiers/instructions",
        with_foreign(lambda own, theirs: {"grader": theirs.grader}),
        code=NO_VERIFIER,
    ),
    ForeignReference(
        "POST /v1/verifiers/check",
        with_foreign(lambda own, theirs: {"grader": own.grader, "file": theirs.file_id}),
        code=NO_FILE,
    ),
    ForeignReference(
        "POST /v1/verifiers/check",
        with_foreign(lambda own, theirs: {"grader": theirs.grader, "file": own.file_id}),
        code=NO_VERIFIER,
    ),
    ForeignReference(
        "POST /v1/verifiers/test",
        with_foreign(lambda _, theirs: {"grader": theirs.grader, "samples": [{"output_text": "2"}]}),
        code=NO_VERIFIER,
    ),
    ForeignReference(
        f"POST {GRADERS}/validate", with_foreign(lambda _, theirs: {"grader": theirs.grader}), code=NO_VERIFIER
    ),
    ForeignReference(
        f"POST {GRADERS}/run",
        with_foreign(lambda _, theirs: {"grader": theirs.grader, "model_sample": "2"}),
        code=NO_VERIFIER,
    ),
    ForeignReference(
        f"POST {RUN}/rescore", with_foreign(lambda _, theirs: {"grader": theirs.grader}), code=NO_VERIFIER
    ),
    ForeignReference(
        f"POST {RUN}/exports",
        with_foreign(lambda _, theirs: {"format": "merged", "checkpoint": theirs.checkpoint_id}),
        status=404,
    ),
    ForeignReference(f"GET {EXPORT}", status=404, foreign_ids=("export_id",)),
    ForeignReference(f"GET {EXPORT}/content", status=404, foreign_ids=("export_id",)),
    ForeignReference(f"DELETE {EXPORT}", status=404, foreign_ids=("export_id",)),
    ForeignReference(f"POST {UPLOAD}/complete", with_foreign(lambda _, theirs: {"part_ids": [theirs.part_id]})),
    ForeignReference(f"GET {FILE}/report", lambda _, theirs: {"params": {"against": theirs.file_id}}, status=404),
    ForeignReference(f"GET {FILE}/difference", lambda _, theirs: {"params": {"to": theirs.file_id}}, status=404),
    ForeignReference(
        f"POST {FILE}/versions",
        with_foreign(lambda _, theirs: {"filters": [{"type": "solve_rate", "job": theirs.job_id, "min_rate": 0.5}]}),
        code="job_not_found",
    ),
    ForeignReference(f"GET {FILE}/images/{{sha256}}", status=404, foreign_ids=("sha256",)),
    *[
        ForeignReference(
            f"GET /v1/compared-jobs/{what}",
            lambda own, theirs: {"params": {"job": [own.job_id, theirs.job_id]}},
            status=404,
        )
        for what in ("result", "curves")
    ],
    *[
        ForeignReference(
            "POST /v1/comparisons",
            with_foreign(lambda own, theirs, make=make: {"name": "c", "job": make(own, theirs), "arms": ARMS}),
            code=code,
        )
        for make, code in JOBS
    ],
    *[
        ForeignReference(
            "POST /v1/comparisons",
            with_foreign(
                lambda own, theirs, setting=setting: {
                    "name": "c",
                    "job": job_body(own.file_id),
                    "arms": [{"name": "a"}, {"name": "b", "x_rlsd": {setting: theirs.model}}],
                }
            ),
        )
        for setting in ("teacher_model", "model")
    ],
    *[
        ForeignReference(
            "POST /v1/chat/completions",
            with_foreign(lambda _, theirs, name=name: {"model": getattr(theirs, name), "messages": CHAT}),
            status=404,
            code=NO_MODEL,
        )
        for name in ("model", "checkpoint_model")
    ],
]
