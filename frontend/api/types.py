"""The API's objects, with the fields that the pages read; the API may send more."""

from typing import Any, Literal, NotRequired, TypedDict

Json = dict[str, Any]


class FileProgress(TypedDict):
    bytes_read: int
    bytes_total: int
    rows: int


class DataFile(TypedDict):
    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    rows: int
    shape: str | None
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None
    progress: FileProgress | None
    parent_id: NotRequired[str | None]
    change: NotRequired[Json | None]


class Problem(TypedDict):
    """A problem in a file. `row` replaces `line` in formats without lines. `number`: a good row; `read`: a bad one."""

    line: int | None
    row: NotRequired[int | None]
    number: NotRequired[int | None]
    read: NotRequired[str | None]
    code: str
    message: str


class FileReport(TypedDict):
    rows: int
    good: int
    bad: int
    shape: str | None
    columns: dict[str, str | None]
    with_answer: int
    with_solution: int
    with_trajectory: int | None
    with_privileged: int | None
    problems: list[Problem]
    warned: int
    warnings: list[Problem]
    notes: list[str]
    lengths: Json | None
    answers: Json | None
    languages: Json | None
    duplicates: Json | None
    near_duplicates: Json | None
    overlap: Json | None
    tokens: list[Json]


class DifferingRow(TypedDict):
    """A row that differs: `row` and `item` in one file, `to_row` and `to_item` in the other; None if missing there."""

    change: Literal["added", "removed", "changed"]
    row: int | None
    to_row: int | None
    item: Json | None
    to_item: Json | None


class FileDifference(TypedDict):
    """The difference of two files: counts of all rows, and in `data` the first that differ."""

    same: int
    added: int
    removed: int
    changed: int
    data: list[DifferingRow]
    has_more: bool


class Method(TypedDict):
    """A method as the API's schema describes it (`x-methods`)."""

    title: str
    summary: str
    source: str
    teacher: Literal["none", "hinted", "external"]
    fades: bool
    hint: str | None
    defaults: Json
    reads: list[str]


class Reference(TypedDict):
    answer: str | None
    solution: str | None


class Row(TypedDict):
    """The normal form of a dataset row; `item` is the original, kept verbatim. `row` from 0, `line` from 1."""

    id: str
    row: int
    line: int
    messages: list[Json]
    tools: list[Json]
    images: list[str]
    reference: Reference
    hint: Json | None
    item: Json
    split: str


class Verifier(TypedDict):
    id: str
    name: str
    version: int
    created_at: int
    grader: Json


class ScoreRecord(TypedDict):
    score: float | None
    status: Literal["ok", "abstain", "error", "timeout"]
    reason: str | None
    components: dict[str, float]
    ms: float
    stdout: NotRequired[str]


class Progress(TypedDict):
    step: int
    max_steps: int
    eta_s: float | None
    started_at: int | None


class Finding(TypedDict):
    code: str
    level: Literal["pass", "warn", "fail"]
    message: str


class CheckVerdict(TypedDict):
    """The result that all checks before training share; some add fields."""

    verdict: Literal["pass", "warn", "fail"]
    summary: str
    findings: list[Finding]


class ReadReference(TypedDict):
    """A reference as a grader (by its name in a `multi`) reads it: `read` is None if it cannot, `lost` left out."""

    grader: str
    reference: str
    read: str | None
    lost: str


class AlteredAnswer(TypedDict):
    """An altered right answer: the `text` that gave it, its score, and whether that is the full score."""

    row: int
    change: str
    label: str
    reference: str
    altered: str
    text: str
    score: float | None
    status: Literal["ok", "abstain", "error", "timeout"]
    full: bool


class SelfCheckResult(CheckVerdict):
    """The result of a self-check. Results of earlier releases lack `readings` and `altered`."""

    full_marks: float
    probes: list[Json]
    rows: list[Json]
    readings: NotRequired[list[ReadReference]]
    altered: NotRequired[list[AlteredAnswer]]


class JobChecks(TypedDict):
    self_check: CheckVerdict | None
    preflight: CheckVerdict | None
    overridden_at: int | None


class Job(TypedDict):
    id: str
    status: str
    model: str
    created_at: int
    finished_at: int | None
    training_file: str
    validation_file: str | None
    trained_tokens: int | None
    fine_tuned_model: str | None
    seed: int
    error: Json | None
    method: Json
    user_provided_suffix: str | None
    metadata: dict[str, str] | None
    x_progress: Progress
    x_checks: JobChecks


class Event(TypedDict):
    id: str
    created_at: int
    level: str
    message: str


class Metrics(TypedDict):
    step: int
    created_at: int
    values: dict[str, float | None]


class Evaluation(TypedDict):
    """A held-out evaluation. `n`: questions with a score; `unscored` of the `completions` have none."""

    step: int
    phase: str
    mean: float
    low: float
    high: float
    n: int
    k: int
    completions: int
    unscored: int
    p_value: float | None
    difference: dict[str, float] | None


class Rollout(TypedDict):
    id: str
    step: int
    row: int
    sample: int
    completion: str
    record: ScoreRecord
    advantage: float
    truncated: bool
    has_tokens: bool


class Tokens(TypedDict):
    ids: list[int]
    text: list[str]
    logp_student: list[float]
    logp_teacher: list[float] | None
    logp_contrast: list[float] | None
    delta: list[float] | None
    weight: list[float]
    advantage: list[float]


class CheckProgress(TypedDict):
    done: int
    total: int
    unit: str


class Check(TypedDict):
    """Work other than training. `result` is set when done, `error` when failed; `asked`: the request body."""

    id: str
    kind: str
    status: Literal["queued", "running", "done", "failed"]
    created_at: int
    finished_at: int | None
    asked: Json | None
    job_id: str | None
    progress: CheckProgress | None
    result: Json | None
    error: Json | None


class Export(TypedDict):
    """A model exported from an adapter. `comparison` is set once compared, `sha256` once it can be downloaded.

    `dtype` is the requested one, None for the smallest that agrees.
    """

    id: str
    job_id: str
    checkpoint: str | None
    format: Literal["merged", "gguf"]
    dtype: str | None
    status: Literal["queued", "running", "succeeded", "failed"]
    progress: CheckProgress | None
    comparison: Json | None
    size_bytes: int | None
    sha256: str | None
    error: Json | None


class Page(TypedDict):
    """A page of a list; the next one is requested with `after` = `last_id` while `has_more`."""

    data: list[Any]
    first_id: NotRequired[str | None]
    last_id: NotRequired[str | None]
    has_more: bool
