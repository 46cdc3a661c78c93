"""`/v1/files/{id}/report`, the analysis of a file, and `/tokens`, the token lengths of its rows for a model."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from backend.api.checks import CheckObject, check_object, request_json
from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database, ObjectId
from backend.api.http.rights import DatasetsRead, DatasetsWrite
from backend.base_models import base_models
from backend.checks import request_check
from backend.core.checks import CheckKind
from backend.core.settings.measuring import MAX_INSTRUCTION
from backend.datasets.analysis.overlap import overlap
from backend.datasets.reading.store import OnBadRows, processed_file
from backend.db.checks import done_checks
from backend.db.files import File
from backend.jobs.create import require_model

MAX_MODELS = 20
MAX_TOKENS = 10_000_000

router = APIRouter(prefix="/files", tags=["files"])


class FileProblem(BaseModel):
    """A problem of one row. `line` counts from 1; a table without lines has `row` instead. `number`: of an accepted
    row, from 0.

    `read`: the rejected row as it was read, as JSON if possible. Null if it is not text or too long to be stored, or if
    the file was read by a release that did not store it: the original (`.../content`) has it.
    """

    line: int | None = None
    row: int | None = None
    number: int | None = None
    code: str
    message: str
    read: str | None = None


class FileReport(BaseModel):
    """The report of a file. `columns`: where question, answer, solution and hint were found. `with_…`: number of rows
    that have one; `null` if the file was read by a release that did not count them. `with_privileged`: rows with
    privileged information for the teacher.

    `notes`: what was read otherwise than it is written, such as a text that is a list of messages.
    `sheet` and `header_row`: the sheet and the line of the column names, in workbooks and CSV.

    `problems` are of rejected rows, `warnings` of accepted ones: all are counted, the first thousand listed. `lengths`:
    distribution of question, answer and solution lengths in characters, with a histogram. `tokens`: the same for each
    model whose tokens were counted (`POST .../tokens`). `answers`: how often each short answer occurs. `languages`: of
    a sample of the questions, by ISO 639 code, `und` if undetermined.
    `duplicates`: rows equal to an earlier one. `near_duplicates`: rows whose question is similar to an earlier one, out
    of `checked` rows. `overlap`: rows shared with the file `against`, by whole row and by question.
    In these lists lines count from 1, `number` rows from 0, and `question` is the beginning of the row's question.
    """

    rows: int
    good: int
    bad: int
    shape: str | None
    columns: dict[str, str | None]
    with_answer: int
    with_solution: int
    with_trajectory: int | None = None
    with_privileged: int | None = None
    with_images: int | None = None
    problems: list[FileProblem]
    warned: int = 0
    warnings: list[FileProblem] = []
    notes: list[str] = []
    format: str | None = None
    packing: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    header_row: int | None = None
    on_bad_rows: OnBadRows = OnBadRows.REJECT
    lengths: dict[str, Any] | None = None
    answers: dict[str, Any] | None = None
    languages: dict[str, Any] | None = None
    tokens: list[dict[str, Any]] = []
    duplicates: dict[str, Any] | None = None
    near_duplicates: dict[str, Any] | None = None
    images: dict[str, int] | None = None
    overlap: dict[str, Any] | None = None


class TokensRequest(RequestBody):
    """A model's name, limits on prompt and completion length (rows above them are counted), and the job's settings
    of the same names.
    """

    model_config = ConfigDict(strict=True)

    model: Annotated[str, Field(min_length=1, max_length=400)]
    max_prompt_tokens: Annotated[int | None, Field(ge=1, le=MAX_TOKENS)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=MAX_TOKENS)] = None
    fold_system: bool = False
    instruction: Annotated[str, Field(max_length=MAX_INSTRUCTION)] = ""


@router.get("/{file_id}/report")
def get_report(
    file_id: ObjectId,
    caller: DatasetsRead,
    session: Database,
    against: Annotated[str | None, Query(max_length=100, description="Another file to compare with.")] = None,
) -> FileReport:
    """Return the report of a file: problems, statistics, overlap with another file."""
    file = processed_file(session, file_id, project=caller.project)
    report = FileReport.model_validate(file.report)
    report.tokens = _token_lengths(session, file)
    if against is not None:
        other = processed_file(session, against, project=caller.project)
        report.overlap = overlap(session, file, against=other)
    return report


@router.post("/{file_id}/tokens")
def measure_tokens(file_id: ObjectId, request: TokensRequest, caller: DatasetsWrite, session: Database) -> CheckObject:
    """Count the tokens of questions (in the model's chat template), answers and solutions, on a worker.

    Returns a check to poll (`/v1/checks/{id}`); its result becomes part of the file's report.
    """
    require_model(request.model, models=base_models(), param="model")
    processed_file(session, file_id, project=caller.project)
    arguments = {"file_id": file_id, **request.model_dump()}
    return check_object(
        request_check(
            session,
            project=caller.project,
            kind=CheckKind.TOKEN_LENGTHS,
            request=arguments,
            body=request_json(request),
            file_id=file_id,
        )
    )


def _token_lengths(session: Session, file: File) -> list[dict[str, Any]]:
    """Return the newest result for each model, newest first."""
    newest: dict[str, dict[str, Any]] = {}
    for check in done_checks(session, file, kind=CheckKind.TOKEN_LENGTHS, limit=MAX_MODELS):
        newest.setdefault(check.request["model"], check.result or {})
    return list(newest.values())
