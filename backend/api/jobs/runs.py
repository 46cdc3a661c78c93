"""The results of a job, under `/v1/fine_tuning/jobs/{id}`: metrics, rows, evaluations, the adapter."""

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from backend.api.http.dependencies import Database, JobOfPath
from backend.api.http.downloads import download
from backend.api.http.paging import After, ListItem, Order, Page, PageQuery, numbers_in_id, page, page_of
from backend.api.http.rights import JobsRead
from backend.db.base import Json, unix_s
from backend.db.blobs import size_of
from backend.db.training import Evaluation, Step, evaluations_of, steps_of
from backend.errors import AppError
from backend.jobs.imitation import beyond_imitation_of
from backend.jobs.lifecycle import JobState
from backend.jobs.rollouts import Solved, row_results

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["jobs"])


class StepMetrics(ListItem):
    """The metrics of one step; `id` is its number."""

    step: int
    created_at: int
    values: dict[str, float | None]


class RowHistory(ListItem):
    """The results on a row: `graded` completions have a score, `solved` of them one above `success_above`.

    `solve_rate`: the solved share of the graded ones; `null` if none is graded."""

    row: int
    completions: int
    graded: int
    solved: int
    solve_rate: float | None
    mean_score: float | None
    best_score: float | None
    last_step: int


class RowsPage(Page[RowHistory]):
    """A page of rows; `never`, `sometimes`, `always`: number of rows solved that often, among those with a graded
    completion."""

    never: int
    sometimes: int
    always: int


class SinceWarmStart(BaseModel):
    """What the steps after the warm start changed, paired by question. `sentence`: the verdict, after training."""

    difference: dict[str, float]
    p_value: float
    sentence: str | None = None


class HeldOutSelection(BaseModel):
    """The mean score on the `n` questions that choose which step is kept."""

    mean: float
    n: int


class EvaluationObject(ListItem):
    """The mean score with its interval over `n` questions with `k` completions each, without the `unscored` ones of
    all `completions` (abstentions, errors, timeouts); `p_value` and `difference` are against the baseline, `seconds`
    the duration. `since_warm_start` is the difference from the evaluation after the warm start, phase `warm`; None
    before it and without one. Of a job that keeps the best step, `selection` is the other half of the questions, which
    chooses it, and `trained` repeats the evaluation of the step that was kept."""

    model_config = ConfigDict(extra="allow")

    step: int
    phase: str
    created_at: int
    mean: float
    low: float
    high: float
    n: int
    k: int
    completions: int
    unscored: int
    p_value: float | None = None
    difference: dict[str, float] | None = None
    since_warm_start: SinceWarmStart | None = None
    selection: HeldOutSelection | None = None
    seconds: float | None = None


@router.get("/metrics")
def list_metrics(
    job: JobOfPath,
    _: JobsRead,
    session: Database,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    order: Order = Order.ASC,
) -> Page[StepMetrics]:
    """List metrics by step; `after` is a step number, which need not exist yet."""
    query = PageQuery(after, limit, order)
    return page_of(
        session, steps_of(job), query, to_item=step_object, position=partial(numbers_in_id, pattern=r"(\d+)")
    )


@router.get("/rows")
def list_row_histories(
    job: JobOfPath,
    _: JobsRead,
    session: Database,
    solved: Annotated[
        Solved | None, Query(description="Only rows solved this often; excludes rows without a graded completion.")
    ] = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> RowsPage:
    """List the rows trained on so far, by number; the counts cover all of them."""
    reached = None if after is None else numbers_in_id(after, pattern=r"row-(\d+)")[0]
    found, counts = row_results(session, job, solved=solved, after=reached, limit=limit + 1)
    rows = [RowHistory(id=f"row-{each.row}", solve_rate=each.solve_rate, **asdict(each)) for each in found]
    return RowsPage(**dict(page(rows[:limit], has_more=len(rows) > limit)), **counts)


@router.get("/evaluations")
def list_evaluations(job: JobOfPath, _: JobsRead, session: Database) -> Page[EvaluationObject]:
    """List held-out evaluations in order: baseline, warm, interim, trained."""
    sentence = beyond_imitation_of(session, job)
    return page([evaluation_object(evaluation, sentence=sentence) for evaluation in evaluations_of(session, job)])


@router.get("/manifest")
def get_manifest(job: JobOfPath, _: JobsRead) -> dict[str, Any]:
    """Return the manifest: everything that produced the adapter. 404 until the job has succeeded."""
    if job.manifest is None:
        raise _not_ready(job.id, job.state)
    return job.manifest


@router.get(
    "/adapter",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}, 304: {"description": "Not modified."}},
)
def get_adapter(job: JobOfPath, request: Request, _: JobsRead, session: Database) -> Response:
    """Download the trained adapter as a ZIP, with its SHA-256 as ETag. 404 until the job has succeeded."""
    if job.adapter_sha256 is None:
        raise _not_ready(job.id, job.state)
    return download(
        request,
        sha256=job.adapter_sha256,
        size_bytes=size_of(session, job.adapter_sha256),
        filename=f"{job.suffix or job.id}.zip",
        media_type="application/zip",
    )


def step_object(step: Step) -> StepMetrics:
    return StepMetrics(id=str(step.step), step=step.step, created_at=unix_s(step.created_at), values=step.metrics)


def evaluation_object(evaluation: Evaluation, *, sentence: str | None) -> EvaluationObject:
    """Return an evaluation as JSON; `sentence`: the verdict on the steps after a warm start, shown after training."""
    columns = {
        "id": f"{evaluation.step}-{evaluation.phase}",
        "step": evaluation.step,
        "phase": evaluation.phase,
        "created_at": unix_s(evaluation.created_at),
    }
    found = EvaluationObject.model_validate({**_counted(evaluation.result), **evaluation.result, **columns})
    if evaluation.phase == "trained" and found.since_warm_start is not None:
        found.since_warm_start.sentence = sentence
    return found


def _counted(result: Json) -> dict[str, int]:
    """Count the completions and those without a score; results of earlier releases lack both figures."""
    scores = [score for question in result["per_question"] for score in question["scores"]]
    return {"completions": len(scores), "unscored": scores.count(None)}


def _not_ready(job_id: str, state: str) -> AppError:
    if state == JobState.SUCCEEDED:
        return AppError(f"The adapter of job '{job_id}' was deleted.", status=404, code="deleted")
    return AppError(
        f"Job '{job_id}' is {state}: its adapter is available once it has succeeded.", status=404, code="not_ready"
    )
