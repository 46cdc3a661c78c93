"""`/v1/fine_tuning/alpha/graders`: validate a grader, and run it on a text. In OpenAI's format.

User code never runs in this process: a worker of the `check` queue grades in its sandbox and replies via the database.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database
from backend.api.http.operations import stores_nothing
from backend.api.http.rights import VerifiersWrite
from backend.checks import request_check, wait_for_check
from backend.core.checks import CheckKind
from backend.datasets.rows.references import right_answer_of
from backend.db.engine import transaction
from backend.settings import settings
from backend.verifiers.reading import remarks
from backend.verifiers.record import FORMULA_FAULT, ScoreRecord, ScoreStatus
from backend.verifiers.saved import resolve_grader
from backend.verifiers.specs import Python, Spec, spec_json
from backend.verifiers.templates import Sample

router = APIRouter(prefix="/fine_tuning/alpha/graders", tags=["graders"])


class ValidateRequest(RequestBody):
    grader: dict[str, Any] = Field(
        description='OpenAI\'s grader object, one of this server\'s types, or {"type": "saved", "id"}.'
    )


class SignatureObject(BaseModel):
    """The function of a Python verifier that is called, and its signature."""

    function: str
    line: int
    signature: str
    title: str
    shown: str


class ValidateResponse(BaseModel):
    """OpenAI's response; `x_signature` is set for Python verifiers if the source shows it. `x_remarks`: sentences on
    what has no effect, is unsafe or is easily overlooked.
    """

    grader: dict[str, Any]
    x_remarks: list[str]
    x_signature: SignatureObject | None = None


class RunRequest(ValidateRequest):
    model_sample: str
    item: dict[str, Any] = Field(default_factory=dict)


class ScoreRecordObject(BaseModel):
    """The outcome of one grading; only `ok` has a score."""

    score: float | None
    status: ScoreStatus
    reason: str | None
    components: dict[str, float]
    ms: float
    stdout: str = ""


class RunErrors(BaseModel):
    """OpenAI's error flags; those that cannot occur here are always false."""

    formula_parse_error: bool = False
    sample_parse_error: bool = False
    truncated_observation_error: bool = False
    unresponsive_reward_error: bool = False
    invalid_variable_error: bool = False
    other_error: bool = False
    python_grader_server_error: bool = False
    python_grader_server_error_type: str | None = None
    python_grader_runtime_error: bool = False
    python_grader_runtime_error_details: str | None = None
    model_grader_server_error: bool = False
    model_grader_refusal_error: bool = False
    model_grader_parse_error: bool = False
    model_grader_server_error_details: str | None = None


class RunMetadata(BaseModel):
    name: str
    type: str
    errors: RunErrors
    execution_time: float
    scores: dict[str, float]
    token_usage: int | None = None
    sampled_model_name: str | None = None


class RunResponse(BaseModel):
    """OpenAI's response. A grading without a score also has the reward 0; `x_record` distinguishes the two."""

    reward: float
    sub_rewards: dict[str, float]
    metadata: RunMetadata
    model_grader_token_usage_per_model: dict[str, Any]
    x_record: ScoreRecordObject


@router.post("/validate", dependencies=[Depends(stores_nothing)])
def validate_grader(body: ValidateRequest, caller: VerifiersWrite, session: Database) -> ValidateResponse:
    """Validate a grader."""
    spec, _verifier = resolve_grader(session, body.grader, project=caller.project, param="grader")
    return ValidateResponse(grader=spec_json(spec), x_remarks=remarks(spec), x_signature=_signature(spec))


def _signature(spec: Spec) -> SignatureObject | None:
    if not isinstance(spec, Python):
        return None
    entry = spec.entry_point
    if entry.signature is None:
        return None
    return SignatureObject(
        function=entry.function,
        line=entry.line,
        signature=entry.signature.name,
        title=entry.signature.title,
        shown=entry.signature.shown,
    )


@router.post("/run")
def run_grader(body: RunRequest, caller: VerifiersWrite) -> RunResponse:
    """Score a text with a grader that need not be saved."""
    with transaction(project=caller.project) as session:
        spec, _verifier = resolve_grader(session, body.grader, project=caller.project, param="grader")
    sample = Sample(output_text=body.model_sample, item=body.item, answer=right_answer_of(body.item))
    record = grade(spec, [sample], project=caller.project)[0]
    return RunResponse(
        reward=record.score or 0.0,
        sub_rewards=record.components,
        metadata=RunMetadata(
            name=spec.name,
            type=spec.type,
            errors=_errors(spec, record),
            execution_time=record.ms / 1000,
            scores=record.components,
        ),
        model_grader_token_usage_per_model={},
        x_record=record_object(record),
    )


def grade(spec: Spec, samples: Sequence[Sample], *, project: str) -> list[ScoreRecord]:
    """Have a worker grade the samples, and wait. The request is committed first, so that a worker can find it."""
    request = {
        "grader": spec_json(spec),
        "samples": [{"output_text": s.output_text, "item": s.item, "answer": s.answer} for s in samples],
    }
    with transaction(project=project) as session:
        check_id = request_check(session, project=project, kind=CheckKind.GRADER_RUN, request=request).id
    result = wait_for_check(check_id, project=project, timeout_s=settings().check_timeout_s)
    return [ScoreRecord.from_json(record) for record in result["records"]]


def record_object(record: ScoreRecord) -> ScoreRecordObject:
    return ScoreRecordObject.model_validate(record.to_json())


def _errors(spec: Spec, record: ScoreRecord) -> RunErrors:
    if record.status is ScoreStatus.TIMEOUT:
        return RunErrors(unresponsive_reward_error=True)
    if record.status is not ScoreStatus.ERROR:
        return RunErrors()
    if spec.type == "python":
        return RunErrors(python_grader_runtime_error=True, python_grader_runtime_error_details=record.reason)
    if spec.type == "multi" and (record.reason or "").startswith(FORMULA_FAULT):
        return RunErrors(formula_parse_error=True)
    if spec.type in ("score_model", "label_model"):
        return RunErrors(model_grader_server_error=True, model_grader_server_error_details=record.reason)
    return RunErrors(other_error=True)
