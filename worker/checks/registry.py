"""Handlers of the checks that workers run for the API: each takes a request, reports progress, returns a result.

Requests and results are JSON. A handler that needs torch imports it when called, in a forked process (`fork_server`).
"""

from collections.abc import Mapping
from functools import lru_cache

from backend.checks import Handler, Progress
from backend.core.checks import CheckKind
from backend.db.base import Json
from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample
from worker.checks.rescore import rescore
from worker.checks.self_check import run_self_check
from worker.checks.token_lengths import token_lengths
from worker.sandbox.pool import Sandbox


@lru_cache(maxsize=1)
def sandbox() -> Sandbox:
    """Return this process's sandbox, which stays warm and dies with the process.

    It is kept by the process, because Celery calls handlers one by one with nothing between them, and starting a
    sandbox for each would take longer than most checks.
    """
    return Sandbox()


def run_grader(request: Json, _progress: Progress) -> Json:
    """Grade samples: `{grader, samples: [{output_text, item, answer}]}` -> `{records: [score record]}`."""
    samples = [
        Sample(output_text=sample["output_text"], item=sample["item"], answer=_right(sample.get("answer")))
        for sample in request["samples"]
    ]
    records = sandbox().grade(parse_spec(request["grader"]), samples)
    return {"records": [record.to_json() for record in records]}


def _right(answer: str | list[str] | None) -> str | tuple[str, ...] | None:
    return tuple(answer) if isinstance(answer, list) else answer


def self_check(request: Json, progress: Progress) -> Json:
    return run_self_check(request, progress, sandbox=sandbox())


def rescore_job(request: Json, progress: Progress) -> Json:
    return rescore(request, progress, sandbox=sandbox())


def preflight(request: Json, progress: Progress) -> Json:
    from worker.checks.preflight import run_preflight

    return run_preflight(request, progress, sandbox=sandbox())


def teacher_preview(request: Json, progress: Progress) -> Json:
    from worker.checks.preflight import run_teacher_preview

    return run_teacher_preview(request, progress)


def export(request: Json, progress: Progress) -> Json:
    from worker.exports.job import run_export

    return run_export(request, progress)


def fetch_model(request: Json, progress: Progress) -> Json:
    from worker.checks.fetch_model import fetch_model

    return fetch_model(request, progress)


HANDLERS: Mapping[CheckKind, Handler] = {
    CheckKind.GRADER_RUN: run_grader,
    CheckKind.SELF_CHECK: self_check,
    CheckKind.RESCORE: rescore_job,
    CheckKind.PREFLIGHT: preflight,
    CheckKind.TEACHER_PREVIEW: teacher_preview,
    CheckKind.TOKEN_LENGTHS: token_lengths,
    CheckKind.EXPORT: export,
    CheckKind.FETCH_MODEL: fetch_model,
}
