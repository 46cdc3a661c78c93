"""The API's objects. Generated from its OpenAPI document: `make generated` writes those that are imported."""

from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

Json = dict[str, Any]
Item = TypeVar("Item")


ScoreStatus = Literal["ok", "abstain", "error", "timeout"]


class AlteredAnswer(TypedDict):
    """An altered right answer: the `text` that gave it, its score, and whether that is the full score.

    `tolerated`: the full score went to a number nearby, which a tolerance may accept; then it is not `full`.
    """

    row: int
    change: str
    label: str
    reference: str
    altered: str
    text: str
    score: float | None
    status: ScoreStatus
    full: bool
    tolerated: NotRequired[bool]


class IntervalObject(TypedDict):
    """A mean with its 95 % interval over questions; on curves a t interval."""

    mean: float
    low: float | None
    high: float | None


class PointObject(TypedDict):
    """The mean score over seeds and per seed at a step, with the tokens and seconds used so far (as in `ArmObject`)."""

    step: int
    score: IntervalObject
    by_seed: list[float]
    tokens: float
    seconds: float


Verdict = Literal["better", "undecided", "worse", "nothing_learned", "imitation_enough"]
"""The verdict on held-out questions."""


class ArmObject(TypedDict):
    """The result of one arm. `score` is avg@k at `steps`, the last evaluation of each seed after a step that started
    within the budget; None if there is none. `difference`, `p_value` and `p_adjusted` (Holm) are against the first arm,
    paired by question, and `outcome` is whether the arm is better, worse or undecided; `by_seed` is the difference of
    each seed. `seconds` is step time times devices; `cost_per_point_s` is the cost of a gain of 0.01 over the base in
    such seconds, None if no gain was shown, `cost_per_point` in money if the server has a price. `unscored` of the
    `completions` at `steps` have no score (abstentions, errors, timeouts), and are left out.
    """

    name: str
    seeds: int
    steps: list[int]
    score: IntervalObject | None
    baseline: IntervalObject | None
    pass_at_k: dict[str, float]
    curve: list[PointObject]
    seconds: float
    cost_per_point_s: float | None
    cost_per_point: float | None
    completions: int
    unscored: int
    difference: IntervalObject | None
    by_seed: list[float]
    p_value: float | None
    p_adjusted: float | None
    outcome: Verdict | None


class AuditObject(TypedDict):
    id: str
    object: NotRequired[Literal["audit.entry"]]
    created_at: int
    actor: str
    actor_name: str
    action: str
    objects: list[str]
    request_id: str
    address: str | None


class CheckProgress(TypedDict):
    done: int
    total: int
    unit: str


class CheckProblem(TypedDict):
    message: str
    code: str | None
    param: NotRequired[str | None]


class CheckObject(TypedDict):
    """A check. `result` is set when `status` is done, `error` when it is failed. `asked` is the body of the request
    that created it, if any.
    """

    id: str
    object: NotRequired[Literal["check"]]
    kind: str
    status: Literal["queued", "running", "done", "failed"]
    created_at: int
    finished_at: int | None
    file_id: str | None
    job_id: str | None
    asked: Json | None
    progress: CheckProgress | None
    result: Json | None
    error: CheckProblem | None


Level = Literal["pass", "warn", "fail"]
"""Severity of a finding."""


class Remedy(TypedDict):
    """What may cure a finding, ready to be tried. `changes`: fields of the same request, with nested ones merged."""

    code: str
    title: str
    changes: Json


class Finding(TypedDict):
    """A single result of a check. `code` is stable and documented; `message` is one or two sentences for people."""

    code: str
    level: Level
    message: str
    remedies: NotRequired[list[Remedy]]


class CheckVerdict(TypedDict):
    """The outcome of a check before training; details are at `/checks` of the job."""

    verdict: Level
    summary: str
    findings: list[Finding]


class CheckpointMetrics(TypedDict):
    """`x_score` is the mean score on held-out questions, if it was measured at this step; of a job that keeps the best
    step, on those that choose it.
    """

    step: int
    x_score: float | None


class CheckpointObject(TypedDict):
    """OpenAI's checkpoint object. `x_size_bytes`: size of the adapter and the training state."""

    id: str
    object: NotRequired[Literal["fine_tuning.job.checkpoint"]]
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: CheckpointMetrics
    x_size_bytes: int


class Delta(TypedDict):
    role: NotRequired[Literal["assistant"] | None]
    content: NotRequired[str | None]


class Alternative(TypedDict):
    """A likely token; `bytes` is null where the token is part of a character."""

    token: str
    logprob: float
    bytes: list[int] | None


class LogprobToken(TypedDict):
    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[Alternative]


class Logprobs(TypedDict):
    content: list[LogprobToken] | None
    refusal: NotRequired[None]


class ChunkChoice(TypedDict):
    index: int
    delta: Delta
    logprobs: NotRequired[Logprobs | None]
    finish_reason: NotRequired[Literal["stop", "length"] | None]


class CompletionUsage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Chunk(TypedDict):
    id: str
    object: NotRequired[Literal["chat.completion.chunk"]]
    created: int
    model: str
    choices: list[ChunkChoice]
    system_fingerprint: NotRequired[None]
    usage: NotRequired[CompletionUsage | None]


JobState = Literal["queued", "validating_files", "running", "pausing", "paused", "succeeded", "failed", "cancelled"]


class RunObject(TypedDict):
    job: str
    arm: str
    seed: int
    status: JobState
    step: int
    max_steps: int
    fine_tuned_model: str | None


class ComparisonObject(TypedDict):
    """A comparison; `status` is running until every job has ended. `plan` is the original request."""

    id: str
    object: NotRequired[Literal["comparison"]]
    name: str
    created_at: int
    status: Literal["running", "ended"]
    plan: Json
    runs: list[RunObject]


class ComparisonResult(TypedDict):
    object: NotRequired[Literal["comparison.result"]]
    questions: int
    verdict: str
    currency: str | None
    arms: list[ArmObject]


class CurvePointObject(TypedDict):
    """Mean, minimum and maximum over the `runs` that have the metric at this step."""

    step: int
    mean: float
    low: float
    high: float
    runs: int


class CurveObject(TypedDict):
    """The curve of an arm or a job."""

    name: str
    points: list[CurvePointObject]


class RowInJob(TypedDict):
    """The results of one job on a row. `file`: the job's training file; `graded` completions have a score, `solved` of
    them one above the job's `success_above`.
    """

    job: str
    file: str
    completions: int
    graded: int
    solved: int
    solve_rate: float | None
    mean_score: float | None
    last_step: int


class DatasetRowHistory(TypedDict):
    """A row and the jobs trained on an equal row of any file, oldest first."""

    id: str
    row: int
    row_hash: str
    jobs: list[RowInJob]


DeliveryStatus = Literal["pending", "delivered", "failed"]
"""State of a delivery."""


class DeliveryObject(TypedDict):
    """A delivery; `response_status` and `error` are those of the latest attempt."""

    id: str
    object: NotRequired[Literal["webhook.delivery"]]
    type: str
    about: str
    status: DeliveryStatus
    attempts: int
    created_at: int
    next_at: int | None
    response_status: int | None
    error: str | None


class Device(TypedDict):
    name: str
    memory_bytes: int


RowChange = Literal["added", "removed", "changed"]


class DifferingRow(TypedDict):
    """A row that differs: `row` and `item` in this file, `to_row` and `to_item` in the other, without image bytes."""

    id: str
    change: RowChange
    row: int | None
    to_row: int | None
    item: Json | None
    to_item: Json | None


class DifferencePage(TypedDict):
    """The difference from this file to the other: counts of all rows, and the differing ones in `data`."""

    object: NotRequired[Literal["list"]]
    data: list[DifferingRow]
    first_id: str | None
    last_id: str | None
    has_more: bool
    same: int
    added: int
    removed: int
    changed: int


class TriedDtype(TypedDict):
    """A dtype that was tried, and the mean difference of log-probabilities (nats) from the adapter."""

    dtype: str
    agrees: bool
    mean_difference: float | None


class ToleranceObject(TypedDict):
    """The allowed largest and mean difference of log-probabilities (nats), and least share of equal greedy tokens.

    `lost`: the allowed mean difference as a share of `effect`.
    """

    max: float
    mean: float
    greedy: float
    lost: NotRequired[float]


class EquivalenceObject(TypedDict):
    """Base with adapter against the exported model on the same `tokens` completion tokens of `prompts` prompts.

    The figures are those of `dtype`; `tried` lists all dtypes in the order in which they were tried. `effect` is the
    difference between the adapter and its base; `read_alike` counts prompts that the exported tokenizer encodes
    identically. NaN is reported as null.
    """

    agrees: bool
    summary: str
    dtype: str
    tried: NotRequired[list[TriedDtype]]
    prompts: int
    tokens: int
    max_difference: float | None
    mean_difference: float | None
    greedy_equal: float | None
    effect: float | None
    read_alike: int
    tolerance: ToleranceObject


MethodName = Literal[
    "rlsd",
    "grpo",
    "rlsd_template",
    "cepo",
    "rlcsd",
    "opsd",
    "sdpo",
    "grpo_opsd",
    "opd",
    "good_prefix",
    "sc_grpo",
    "sft",
]


Hint = Literal[
    "answer", "solution", "trajectory", "privileged", "grader", "sibling", "wrong_sibling", "placebo", "empty"
]


class RangeObject(TypedDict):
    """The median, and the 10th and 90th percentiles (`low`, `high`) over known steps."""

    low: float
    median: float
    high: float


class EstimateObject(TypedDict):
    """An estimate from `steps` measured on a device of this name: the last 20 of each of `jobs` earlier jobs, without a
    job's first, or the two of the pre-flight with the id `preflight`. `same_file`: on the same training file; on other
    files completions may be shorter or longer, so that the ranges end where each has `max_completion_tokens`.

    Times and sizes are `null` if nothing was measured yet: run the pre-flight. `peak_memory_bytes` was measured on one
    device in steps of the same size or larger. `method` and `hint` are those that the job will be trained with;
    `notices` are its first events.
    """

    object: NotRequired[Literal["fine_tuning.estimate"]]
    method: MethodName
    hint: Hint | None
    notices: list[str]
    max_steps: int
    jobs: int
    steps: int
    same_file: NotRequired[bool]
    preflight: NotRequired[str | None]
    device_name: NotRequired[str | None]
    step_s: NotRequired[RangeObject | None]
    total_s: NotRequired[RangeObject | None]
    total_tokens: NotRequired[RangeObject | None]
    peak_memory_bytes: NotRequired[RangeObject | None]
    cost: NotRequired[RangeObject | None]
    currency: NotRequired[str | None]


class SinceWarmStart(TypedDict):
    """What the steps after the warm start changed, paired by question. `sentence`: the verdict, after training."""

    difference: dict[str, float]
    p_value: float
    sentence: NotRequired[str | None]


class HeldOutSelection(TypedDict):
    """The mean score on the `n` questions that choose which step is kept."""

    mean: float
    n: int


class EvaluationObject(TypedDict):
    """The mean score with its interval over `n` questions with `k` completions each, without the `unscored` ones of
    all `completions` (abstentions, errors, timeouts); `p_value` and `difference` are against the baseline, `seconds`
    the duration. `since_warm_start` is the difference from the evaluation after the warm start, phase `warm`; None
    before it and without one. Of a job that keeps the best step, `selection` is the other half of the questions, which
    chooses it, and `trained` repeats the evaluation of the step that was kept.
    """

    id: str
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
    p_value: NotRequired[float | None]
    difference: NotRequired[dict[str, float] | None]
    since_warm_start: NotRequired[SinceWarmStart | None]
    selection: NotRequired[HeldOutSelection | None]
    seconds: NotRequired[float | None]


class EventObject(TypedDict):
    """OpenAI's event; `code` is stable, so programs can match on it."""

    id: str
    object: NotRequired[Literal["fine_tuning.job.event"]]
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: NotRequired[Literal["message"]]
    data: Json | None
    code: str


ExportFormat = Literal["merged", "gguf"]
"""Formats of an export. The adapter alone needs none: a succeeded job offers it directly."""


ExportDtype = Literal["float32", "float16", "bfloat16", "q8_0"]
"""Dtypes in which an export can be stored."""


class ExportObject(TypedDict):
    """An export. It fails if its outputs differ from those of its adapter. `dtype` is the requested one; the one in
    which it is stored is part of the `comparison`.
    """

    id: str
    object: NotRequired[Literal["fine_tuning.job.export"]]
    job_id: str
    checkpoint: str | None
    format: ExportFormat
    dtype: ExportDtype | None
    status: Literal["queued", "running", "succeeded", "failed"]
    created_at: int
    finished_at: int | None
    progress: CheckProgress | None
    comparison: EquivalenceObject | None
    size_bytes: int | None
    sha256: str | None
    error: CheckProblem | None


FileStatus = Literal["uploaded", "processed", "error"]
"""State of a file, in OpenAI's terms."""


class FileProgress(TypedDict):
    """The progress of reading a file, in bytes of the decompressed table."""

    bytes_read: int
    bytes_total: int
    rows: int


class FileObject(TypedDict):
    """OpenAI's file object, extended by `rows`, `shape` (the layout it was read with) and `progress`.

    A version created from another file has its id in `parent_id` and a description of the difference in `change`.
    `status` is `uploaded` while the rows are read, then `processed`, or `error` with the reason in `status_details`.
    """

    id: str
    object: NotRequired[Literal["file"]]
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: FileStatus
    status_details: NotRequired[str | None]
    progress: NotRequired[FileProgress | None]
    expires_at: NotRequired[int | None]
    rows: int
    shape: str | None
    parent_id: NotRequired[str | None]
    change: NotRequired[Json | None]


class Reference(TypedDict):
    """The reference of a row. `answer` is None if only the verifier knows it; `solution` is a worked solution.

    `accepted`: all right answers, `answer` first, where the row has a list of which any one is right.
    """

    answer: str | None
    solution: NotRequired[str | None]
    trajectory: NotRequired[str | None]
    accepted: NotRequired[list[str]]


class HintText(TypedDict):
    """A hint for the teacher, and the column it was taken from."""

    text: str
    source: str


class PreviewedNormal(TypedDict):
    """A row in normal form, with long texts truncated; images as data URLs, null if too large."""

    messages: list[Json]
    tools: list[Json]
    reference: Reference
    hint: HintText | None
    images: list[str | None]


class PreviewedRow(TypedDict):
    """A row as written in the file (`item`) and as it would be read (`normal`)."""

    line: int
    item: Json
    normal: PreviewedNormal | None


class FileProblem(TypedDict):
    """A problem of one row. `line` counts from 1; a table without lines has `row` instead. `number`: of an accepted
    row, from 0.

    `read`: the rejected row as it was read, as JSON if possible. Null if it is not text or too long to be stored, or if
    the file was read by a release that did not store it: the original (`.../content`) has it.
    """

    line: NotRequired[int | None]
    row: NotRequired[int | None]
    number: NotRequired[int | None]
    code: str
    message: str
    read: NotRequired[str | None]


class Refusal(TypedDict):
    message: str
    code: str | None


class FilePreview(TypedDict):
    """A preview. `shape` is the detected format, `made_for` its origin, `read_from` the columns it uses.

    `sheet`, of the visible `sheets` of a workbook, and `header_row`, the line with the column names, say where the
    table begins; `mapping` takes both. `notes`: what is read otherwise than it is written. `bad` of the
    first `looked_at` rows could not be read. `refused`: why the file could not be stored as it is; a
    `mapping` may help.
    """

    object: NotRequired[str]
    format: str
    shape: str | None
    made_for: str | None
    columns: list[str]
    read_from: dict[str, str | None]
    looked_at: int
    bad: int
    rows: list[PreviewedRow]
    problems: list[FileProblem]
    notes: list[str]
    sheet: str | None
    sheets: list[str]
    header_row: int | None
    refused: Refusal | None


OnBadRows = Literal["reject", "take_good"]
"""What to do with a file that has unusable rows."""


class FileReport(TypedDict):
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
    with_trajectory: NotRequired[int | None]
    with_privileged: NotRequired[int | None]
    with_images: NotRequired[int | None]
    problems: list[FileProblem]
    warned: NotRequired[int]
    warnings: NotRequired[list[FileProblem]]
    notes: NotRequired[list[str]]
    format: NotRequired[str | None]
    packing: NotRequired[str | None]
    encoding: NotRequired[str | None]
    sheet: NotRequired[str | None]
    header_row: NotRequired[int | None]
    on_bad_rows: NotRequired[OnBadRows]
    lengths: NotRequired[Json | None]
    answers: NotRequired[Json | None]
    languages: NotRequired[Json | None]
    tokens: NotRequired[list[Json]]
    duplicates: NotRequired[Json | None]
    near_duplicates: NotRequired[Json | None]
    images: NotRequired[dict[str, int] | None]
    overlap: NotRequired[Json | None]


class FileRow(TypedDict):
    """A row in normal form; `item` is the original. `row` counts from 0, `line` from 1."""

    id: str
    row: int
    line: int
    messages: list[Json]
    tools: list[Json]
    images: list[str]
    reference: Reference
    hint: HintText | None
    item: Json
    split: str
    row_hash: str


class HintFacts(TypedDict):
    """A kind of hint shown to the teacher."""

    title: str
    summary: str
    lack: NotRequired[str]
    control: NotRequired[bool]


class InstructionObject(TypedDict):
    """A template. `fits`: whether it asks for the form that the verifier reads."""

    code: str
    title: str
    text: str
    fits: bool


class InstructionsObject(TypedDict):
    """Templates of instructions, the one that fits first. `examples` is a text to append to an instruction, of the rows
    `example_rows`, which then have to be named in the job's setting of that name.
    """

    object: NotRequired[Literal["verifier.instructions"]]
    data: list[InstructionObject]
    examples: str
    example_rows: list[int]


class ReferenceReading(TypedDict):
    """A reference as a grader (by its name in a `multi`) reads it: `read` is None if it cannot, `lost` left out."""

    grader: str
    reference: str
    read: str | None
    lost: str


class SelfCheckResult(TypedDict):
    """The result of a check of the kind `self_check`. `full_marks` is the best score of a right answer; `errors`,
    `timeouts` and `abstentions` count `calls`. `probes` are the columns of the matrix in `rows`. Results of earlier
    releases lack what is not required.
    """

    verdict: Level
    summary: str
    findings: list[Finding]
    rows_checked: int
    rows_asked: int
    calls: int
    full_marks: float
    errors: int
    timeouts: int
    abstentions: int
    median_ms: float | None
    max_ms: float | None
    probes: list[Json]
    rows: list[Json]
    readings: NotRequired[list[ReferenceReading]]
    altered: NotRequired[list[AlteredAnswer]]


class JobChecksInFull(TypedDict):
    """Full results, `{verdict, summary, findings, ...}` each; None: not run. The job's `x_checks` is the summary."""

    object: NotRequired[Literal["fine_tuning.job.checks"]]
    self_check: SelfCheckResult | None
    preflight: Json | None
    overridden_at: int | None


class JobError(TypedDict):
    code: str
    message: str
    param: str | None


class JobHyperparameters(TypedDict):
    n_epochs: int | Literal["auto"]
    batch_size: int
    learning_rate_multiplier: float | Literal["auto"]


class Progress(TypedDict):
    """The progress of a job. `max_steps` includes the first `warm_steps`, those of a warm start.
    `eta_s`: seconds to the last step at the current pace, evaluations included; None while
    unknown. `queue_before`: how many jobs wait before this one, which waits too; None otherwise. Times are Unix
    seconds.
    """

    step: int
    max_steps: int
    warm_steps: int
    eta_s: float | None
    started_at: int | None
    progress_at: int | None
    queue_before: NotRequired[int | None]


class JobChecks(TypedDict):
    """The checks before training; None: not run. `overridden_at`: when a failed one was overridden, in Unix seconds."""

    self_check: CheckVerdict | None
    preflight: CheckVerdict | None
    overridden_at: int | None


class ScoreObject(TypedDict):
    """The mean score of `n` held-out questions, with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


class DifferenceObject(TypedDict):
    """The mean difference, paired by question, with its 95 % interval and the p-value of a sign-flip test."""

    mean: float
    low: float
    high: float
    p: float


class ResultObject(TypedDict):
    """What training changed on held-out questions: `base` before it, `warm` after a warm start, `trained` after it.
    `difference` is that of `trained` and `base`. What was not measured is None.
    """

    verdict: Verdict
    base: ScoreObject | None
    warm: ScoreObject | None
    trained: ScoreObject | None
    difference: DifferenceObject | None


class JobObject(TypedDict):
    """OpenAI's job object. `method.reinforcement` contains the grader at creation, in `x_rlsd` every resolved setting
    and in `x_asked` those that the request set. `x_result` is None until the held-out questions are measured after
    training.
    """

    id: str
    object: NotRequired[Literal["fine_tuning.job"]]
    created_at: int
    finished_at: int | None
    status: JobState
    model: str
    fine_tuned_model: str | None
    organization_id: NotRequired[str]
    training_file: str
    validation_file: str | None
    result_files: NotRequired[list[str]]
    seed: int
    trained_tokens: int
    estimated_finish: int | None
    error: JobError | None
    hyperparameters: JobHyperparameters
    integrations: NotRequired[list[Any]]
    metadata: dict[str, str] | None
    method: Json
    user_provided_suffix: str | None
    x_progress: Progress
    x_checks: JobChecks
    x_result: NotRequired[ResultObject | None]


Role = Literal["viewer", "editor", "admin"]
"""A role in a project; each includes the rights of those before it."""


class KeyObject(TypedDict):
    """An API key without its secret; `prefix` are the secret's first characters."""

    id: str
    object: NotRequired[Literal["key"]]
    name: str
    prefix: str
    role: Role
    project_id: str
    status: Literal["valid", "expired", "revoked"]
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None


Outcome = Literal["right", "wrong", "fault", "abstain"]


Order = Literal["asc", "desc"]


class ListRolloutsQuery(TypedDict):
    """The query of `GET /v1/fine_tuning/jobs/{job_id}/rollouts`."""

    step: NotRequired[int | None]
    row: NotRequired[int | None]
    practice: NotRequired[bool]
    """Only completions of practice, whose prompt had a hint; otherwise only the others."""
    status: NotRequired[ScoreStatus | None]
    outcome: NotRequired[list[Outcome] | None]
    """Any of these; repeat the parameter for several."""
    min_score: NotRequired[float | None]
    max_score: NotRequired[float | None]
    mixed: NotRequired[bool]
    """Only completions of questions answered both right and wrong in the same step, with or without the hint of
    practice."""
    with_tokens: NotRequired[bool]
    """Only completions whose tokens are stored."""
    search: NotRequired[str | None]
    """Part of the text, case-insensitive."""
    after: NotRequired[str | None]
    """Id of the last item of the previous page."""
    limit: NotRequired[int]
    order: NotRequired[Order]


class MemberObject(TypedDict):
    """A member; `id` is the e-mail address."""

    id: str
    object: NotRequired[Literal["member"]]
    role: Role
    created_at: int


TeacherKind = Literal["none", "hinted", "external"]
"""Source of the teacher's log-probabilities."""


class Method(TypedDict):
    """How a method distributes a completion's score over its tokens."""

    title: str
    summary: str
    source: str
    teacher: TeacherKind
    rewarded: bool
    imitates: bool
    fades: bool
    distils: bool
    values_tokens: bool
    weighs_by_divergence: bool
    hint: Hint | None
    contrast: Hint | None
    defaults: Json
    silenced_by: Literal["lambda", "alpha"] | None
    reads: list[str]


class ModelObject(TypedDict):
    """OpenAI's model object. `x_job` trained it from `x_base` with `x_method`, with the result `x_result`; all None for
    a base model. A checkpoint has no result.
    """

    id: str
    object: NotRequired[Literal["model"]]
    created: int
    owned_by: str
    x_job: NotRequired[str | None]
    x_base: NotRequired[str | None]
    x_method: NotRequired[str | None]
    x_seed: NotRequired[int | None]
    x_result: NotRequired[ResultObject | None]


class NewKey(TypedDict):
    """A new API key with its `secret`, which is shown only once."""

    id: str
    object: NotRequired[Literal["key"]]
    name: str
    prefix: str
    role: Role
    project_id: str
    status: Literal["valid", "expired", "revoked"]
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None
    secret: str


class NewWebhook(TypedDict):
    """A new webhook with the `secret` that verifies signatures, which is shown only once."""

    id: str
    object: NotRequired[Literal["webhook"]]
    url: str
    events: list[str]
    created_at: int
    last_delivery: NotRequired[DeliveryObject | None]
    secret: str


class Page(TypedDict, Generic[Item]):
    object: NotRequired[Literal["list"]]
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


class PresetFacts(TypedDict):
    """Defaults that go together."""

    title: str
    summary: str
    values: Json


class Quotas(TypedDict):
    """Limits of a project; None is unlimited."""

    storage_bytes: NotRequired[int | None]
    """Bytes of files, adapters, exports, and uploads as announced."""
    jobs_at_once: NotRequired[int | None]
    """Jobs that are queued or running."""
    gpu_hours: NotRequired[float | None]
    """Hours of all jobs so far, multiplied by their devices."""


class Usage(TypedDict):
    """What a project uses, in the units of `Quotas`."""

    storage_bytes: int
    jobs_at_once: int
    gpu_hours: float


class ProjectObject(TypedDict):
    id: str
    object: NotRequired[Literal["project"]]
    name: str
    created_at: int
    quotas: Quotas
    usage: NotRequired[Usage | None]


class ReadyMadeExample(TypedDict):
    item: Json
    text: str
    score: float


class ReadyMadeObject(TypedDict):
    """A ready-made verifier, with the examples it was tested with."""

    id: str
    object: NotRequired[Literal["verifier.ready_made"]]
    name: str
    use: str
    grader: Json
    examples: list[ReadyMadeExample]


class ScoreRecordObject(TypedDict):
    """The outcome of one grading; only `ok` has a score."""

    score: float | None
    status: ScoreStatus
    reason: str | None
    components: dict[str, float]
    ms: float
    stdout: NotRequired[str]


class RolloutObject(TypedDict):
    """A completion with its score and advantage; its tokens are available if `has_tokens`.

    `hint` is what its prompt contained besides the question if the completion is one of practice, else None.
    """

    id: str
    step: int
    row: int
    sample: int
    completion: str
    record: ScoreRecordObject
    advantage: float
    truncated: bool
    hint: str | None
    has_tokens: bool


class RowHistory(TypedDict):
    """The results on a row: `graded` completions have a score, `solved` of them one above `success_above`.

    `solve_rate`: the solved share of the graded ones; `null` if none is graded.
    """

    id: str
    row: int
    completions: int
    graded: int
    solved: int
    solve_rate: float | None
    mean_score: float | None
    best_score: float | None
    last_step: int


class RowsPage(TypedDict):
    """A page of rows; `never`, `sometimes`, `always`: number of rows solved that often, among those with a graded
    completion.
    """

    object: NotRequired[Literal["list"]]
    data: list[RowHistory]
    first_id: str | None
    last_id: str | None
    has_more: bool
    never: int
    sometimes: int
    always: int


class SplitObject(TypedDict):
    object: NotRequired[Literal["file.split"]]
    train: FileObject
    validation: FileObject


class StepMetrics(TypedDict):
    """The metrics of one step; `id` is its number."""

    id: str
    step: int
    created_at: int
    values: dict[str, float | None]


class TokensObject(TypedDict):
    """Lists of equal length, with one entry per token.

    `logp_teacher` and `delta`, the log-ratio that the method weights by, are None if there was no teacher;
    `logp_contrast` is None if the method has no second hint. Jobs of earlier releases lack the last two.
    """

    ids: list[int]
    text: list[str]
    logp_student: list[float]
    logp_teacher: list[float] | None
    logp_contrast: NotRequired[list[float] | None]
    delta: NotRequired[list[float] | None]
    weight: list[float]
    advantage: list[float]


class SignatureObject(TypedDict):
    """The function of a Python verifier that is called, and its signature."""

    function: str
    line: int
    signature: str
    title: str
    shown: str


class ValidateResponse(TypedDict):
    """OpenAI's response; `x_signature` is set for Python verifiers if the source shows it. `x_remarks`: sentences on
    what has no effect, is unsafe or is easily overlooked.
    """

    grader: Json
    x_remarks: list[str]
    x_signature: NotRequired[SignatureObject | None]


class VerifierObject(TypedDict):
    id: str
    object: NotRequired[Literal["verifier"]]
    name: str
    version: int
    created_at: int
    grader: Json
    spec_hash: str


class VersionObject(TypedDict):
    """A version; its `id` is a cursor for `after`, the verifier's id is `verifier_id`."""

    id: str
    object: NotRequired[Literal["verifier.version"]]
    verifier_id: str
    name: str
    version: int
    created_at: int
    grader: Json
    spec_hash: str


class WebhookObject(TypedDict):
    """A webhook; `last_delivery` is None before the first."""

    id: str
    object: NotRequired[Literal["webhook"]]
    url: str
    events: list[str]
    created_at: int
    last_delivery: NotRequired[DeliveryObject | None]


class Whoami(TypedDict):
    """The caller, and the project of the caller with its quotas and usage."""

    object: NotRequired[Literal["whoami"]]
    id: str
    name: str
    role: Role
    project: ProjectObject
    identity_provider: str | None
    """Issuer of the ID tokens of members; null if this server accepts API keys only."""


class WorkerObject(TypedDict):
    """A worker; `sandbox_level` as reported by `rlsd sandbox-check`."""

    id: str
    object: NotRequired[Literal["worker"]]
    host: str
    queues: list[str]
    devices: list[Device]
    sandbox_level: int
    version: str
    started_at: int
    seen_at: int
