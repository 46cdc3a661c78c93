"""The table of commands with their routes and fields. A test compares it with the API's OpenAPI document."""

from dataclasses import dataclass

PAGE = " after limit order"
JOB = "/v1/fine_tuning/jobs/{job}"
FILE = "/v1/files/{file}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command for one route: `path` has the positional arguments, `fields` those given as NAME=VALUE."""

    name: str
    method: str
    path: str
    description: str
    fields: str = ""


FAMILIES: dict[str, str] = {
    "files": "Datasets on a server.",
    "uploads": "Large files in parts.",
    "jobs": "Training runs on a server.",
    "checks": "Background checks, such as pre-flights.",
    "graders": "Graders that are not saved.",
    "verifiers": "Saved verifiers and their versions.",
    "models": "Base models and fine-tuned models.",
    "comparisons": "Training methods compared over seeds.",
    "members": "People who may sign in through the identity provider.",
    "projects": "Projects and their quotas.",
    "audit": "The audit log of the project.",
    "webhooks": "URLs that are notified when a job has ended.",
    "server": "The server and its usage.",
}

ROUTES: dict[str, tuple[Command, ...]] = {
    "files": (
        Command("list", "GET", "/v1/files", "List all files, newest first.", "purpose" + PAGE),
        Command("show", "GET", FILE, "Show a file."),
        Command("delete", "DELETE", FILE, "Delete a file that no job uses."),
        Command("content", "GET", FILE + "/content", "Download a file as uploaded."),
        Command("export", "GET", FILE + "/export", "Download its accepted rows as JSONL."),
        Command("image", "GET", FILE + "/images/{sha256}", "Download an image of its rows."),
        Command("rows", "GET", FILE + "/rows", "List its rows in normal form.", "number search" + PAGE),
        Command("report", "GET", FILE + "/report", "Show its report: problems, statistics, overlap.", "against"),
        Command(
            "tokens",
            "POST",
            FILE + "/tokens",
            "Count its tokens for a model.",
            "model max_prompt_tokens max_completion_tokens fold_system",
        ),
        Command("change", "POST", FILE + "/versions", "Create a changed version of it.", "edits filters filename"),
        Command("versions", "GET", FILE + "/versions", "List its ancestors and versions."),
        Command(
            "split", "POST", FILE + "/split", "Split it for training and validation.", "share rows seed stratify_by"
        ),
        Command(
            "difference", "GET", FILE + "/difference", "List the rows that differ from another file.", "to after limit"
        ),
        Command("history", "GET", FILE + "/history", "List how often each of its rows was solved.", PAGE),
    ),
    "uploads": (
        Command(
            "create",
            "POST",
            "/v1/uploads",
            "Create an upload.",
            "filename purpose bytes mime_type mapping on_bad_rows",
        ),
        Command("show", "GET", "/v1/uploads/{upload}", "Show an upload."),
        Command("add-part", "POST", "/v1/uploads/{upload}/parts", "Add a part: data@FILE.", "data"),
        Command("complete", "POST", "/v1/uploads/{upload}/complete", "Join the parts to a file.", "part_ids md5"),
        Command("cancel", "POST", "/v1/uploads/{upload}/cancel", "Cancel an upload."),
    ),
    "jobs": (
        Command("list", "GET", "/v1/fine_tuning/jobs", "List all jobs, newest first.", "metadata status name" + PAGE),
        Command("show", "GET", JOB, "Show a job."),
        Command("delete", "DELETE", JOB, "Delete a job that has ended, with its adapter."),
        Command("cancel", "POST", JOB + "/cancel", "Cancel a job at its next step."),
        Command("pause", "POST", JOB + "/pause", "Pause a job at its next step, with a checkpoint."),
        Command("resume", "POST", JOB + "/resume", "Resume a paused job from its last checkpoint."),
        Command("events", "GET", JOB + "/events", "List its events.", PAGE),
        Command("stream", "GET", JOB + "/stream", "Follow it as server-sent events until it ends."),
        Command("checkpoints", "GET", JOB + "/checkpoints", "List its checkpoints.", PAGE),
        Command("checks", "GET", JOB + "/checks", "Show its checks before training in full."),
        Command("metrics", "GET", JOB + "/metrics", "List its metrics by step.", PAGE),
        Command("rows", "GET", JOB + "/rows", "List how often each row was solved.", "solved after limit"),
        Command("evaluations", "GET", JOB + "/evaluations", "List its scores on held-out questions."),
        Command("manifest", "GET", JOB + "/manifest", "Show its manifest, for reproducing the training."),
        Command("adapter", "GET", JOB + "/adapter", "Download its adapter; `rlsd export` also prints the checksum."),
        Command(
            "rollouts",
            "GET",
            JOB + "/rollouts",
            "List its completions.",
            "step row status outcome min_score max_score mixed with_tokens search" + PAGE,
        ),
        Command("rollout", "GET", JOB + "/rollouts/{rollout}", "Show one completion."),
        Command("tokens", "GET", JOB + "/rollouts/{rollout}/tokens", "Show its tokens and their credit."),
        Command(
            "rescore", "POST", JOB + "/rescore", "Score its completions with another grader.", "grader steps limit"
        ),
        Command("make-export", "POST", JOB + "/exports", "Create an export of its adapter.", "format dtype checkpoint"),
        Command("exports", "GET", JOB + "/exports", "List its exports."),
        Command("show-export", "GET", JOB + "/exports/{export}", "Show an export."),
        Command("delete-export", "DELETE", JOB + "/exports/{export}", "Delete an export."),
        Command("export-content", "GET", JOB + "/exports/{export}/content", "Download an export."),
    ),
    "checks": (
        Command("list", "GET", "/v1/checks", "List all checks, newest first.", "kind file job" + PAGE),
        Command("show", "GET", "/v1/checks/{check}", "Show a check and its result."),
        Command("cancel", "POST", "/v1/checks/{check}/cancel", "Cancel a check."),
        Command(
            "preflight",
            "POST",
            "/v1/fine_tuning/preflight",
            "Sample from the base model to see what to expect of a job.",
            "model training_file x_rlsd seed grader rows samples",
        ),
        Command(
            "teacher-preview",
            "POST",
            "/v1/fine_tuning/teacher-preview",
            "Show the prompts of student and teacher for a row.",
            "model training_file grader x_rlsd seed row",
        ),
    ),
    "graders": (
        Command("validate", "POST", "/v1/fine_tuning/alpha/graders/validate", "Validate a grader.", "grader"),
        Command("run", "POST", "/v1/fine_tuning/alpha/graders/run", "Score a text.", "grader model_sample item"),
    ),
    "verifiers": (
        Command("list", "GET", "/v1/verifiers", "List all verifiers.", PAGE),
        Command("ready-made", "GET", "/v1/verifiers/ready-made", "List the verifiers that come with the server."),
        Command("create", "POST", "/v1/verifiers", "Save a verifier.", "name grader"),
        Command("show", "GET", "/v1/verifiers/{verifier}", "Show a verifier.", "version"),
        Command("delete", "DELETE", "/v1/verifiers/{verifier}", "Delete a verifier."),
        Command("versions", "GET", "/v1/verifiers/{verifier}/versions", "List its versions.", PAGE),
        Command("change", "POST", "/v1/verifiers/{verifier}/versions", "Save a new version of it.", "name grader"),
        Command("test", "POST", "/v1/verifiers/test", "Score several texts.", "grader samples"),
        Command("check", "POST", "/v1/verifiers/check", "Check whether it is fit for training.", "grader file rows"),
    ),
    "models": (
        Command("list", "GET", "/v1/models", "List all models."),
        Command("show", "GET", "/v1/models/{model}", "Show a model."),
        Command("delete", "DELETE", "/v1/models/{model}", "Delete an adapter."),
    ),
    "comparisons": (
        Command("create", "POST", "/v1/comparisons", "Start a comparison.", "name job arms seeds budget"),
        Command("list", "GET", "/v1/comparisons", "List all comparisons.", PAGE),
        Command("show", "GET", "/v1/comparisons/{comparison}", "Show a comparison and its runs."),
        Command("cancel", "POST", "/v1/comparisons/{comparison}/cancel", "Cancel its runs."),
        Command("delete", "DELETE", "/v1/comparisons/{comparison}", "Delete a comparison."),
        Command("result", "GET", "/v1/comparisons/{comparison}/result", "Show its result, with intervals."),
        Command(
            "curves", "GET", "/v1/comparisons/{comparison}/curves", "Show a metric by step for each arm.", "metric"
        ),
        Command("jobs-result", "GET", "/v1/compared-jobs/result", "Compare jobs: job=A job=B.", "job"),
        Command("jobs-curves", "GET", "/v1/compared-jobs/curves", "Show a metric by step for each job.", "job metric"),
    ),
    "members": (
        Command("list", "GET", "/v1/members", "List all members.", PAGE),
        Command("add", "POST", "/v1/members", "Add a member, or change their role.", "email role"),
        Command("remove", "DELETE", "/v1/members/{email}", "Remove a member."),
    ),
    "projects": (
        Command("list", "GET", "/v1/projects", "List all projects with their usage.", PAGE),
        Command("create", "POST", "/v1/projects", "Create a project.", "name quotas"),
        Command("change", "POST", "/v1/projects/{project}", "Change a project's name or quotas.", "name quotas"),
    ),
    "audit": (
        Command("list", "GET", "/v1/audit", "List all changes, newest first.", "actor action about since until" + PAGE),
    ),
    "webhooks": (
        Command("list", "GET", "/v1/webhooks", "List all webhooks.", PAGE),
        Command("create", "POST", "/v1/webhooks", "Create a webhook; its secret is shown only once.", "url events"),
        Command("delete", "DELETE", "/v1/webhooks/{webhook}", "Delete a webhook."),
        Command("test", "POST", "/v1/webhooks/{webhook}/test", "Send a test event."),
        Command("deliveries", "GET", "/v1/webhooks/{webhook}/deliveries", "List its deliveries.", PAGE),
    ),
    "server": (
        Command("whoami", "GET", "/v1/whoami", "Show the caller, and the usage of its project."),
        Command("workers", "GET", "/v1/workers", "List the running workers."),
        Command("usage", "GET", "/v1/usage", "List chat requests and tokens by day and model.", "days"),
        Command("metrics", "GET", "/metrics", "Show the metrics for Prometheus."),
        Command("health", "GET", "/healthz", "Show whether the API is running."),
        Command("ready", "GET", "/readyz", "Show whether the service is ready."),
    ),
}
