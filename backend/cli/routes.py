"""Which command asks which route, and what may be said to it. A test holds this to the API's own description."""

from dataclasses import dataclass

PAGE = " after limit order"
JOB = "/v1/fine_tuning/jobs/{job}"
FILE = "/v1/files/{file}"


@dataclass(frozen=True, slots=True)
class Command:
    """`path` names what is given by place; `fields` what may be given as NAME=VALUE, in the query or the body."""

    name: str
    method: str
    path: str
    about: str
    fields: str = ""


FAMILIES: dict[str, str] = {
    "files": "Datasets on a server.",
    "uploads": "Large files in parts.",
    "jobs": "Training runs on a server.",
    "checks": "What a worker finds out before or beside training.",
    "graders": "Graders that are not saved.",
    "verifiers": "Saved verifiers and their versions.",
    "models": "Base models, and what was trained on them.",
    "comparisons": "Ways of training, compared over seeds.",
    "members": "Who may sign in through the identity provider.",
    "projects": "Projects and their quotas.",
    "audit": "Every change in the project.",
    "webhooks": "Addresses that are told when a job has ended.",
    "server": "The server itself, and what is used of it.",
}

ROUTES: dict[str, tuple[Command, ...]] = {
    "files": (
        Command("list", "GET", "/v1/files", "Show all files, the newest first.", "purpose" + PAGE),
        Command("show", "GET", FILE, "Show a file."),
        Command("delete", "DELETE", FILE, "Delete a file that no job was made from."),
        Command("content", "GET", FILE + "/content", "The bytes as they were uploaded."),
        Command("export", "GET", FILE + "/export", "The rows that were taken, as JSONL."),
        Command("image", "GET", FILE + "/images/{sha256}", "An image that its rows show."),
        Command("rows", "GET", FILE + "/rows", "Its rows in the normal form.", "number search" + PAGE),
        Command("report", "GET", FILE + "/report", "What is good and bad in it.", "against"),
        Command(
            "tokens",
            "POST",
            FILE + "/tokens",
            "How long its prompts are for a model.",
            "model max_prompt_tokens max_completion_tokens",
        ),
        Command("change", "POST", FILE + "/versions", "Make a changed version of it.", "edits filters filename"),
        Command("versions", "GET", FILE + "/versions", "What it was made from, and what from it."),
        Command("split", "POST", FILE + "/split", "Hold rows out for evaluation.", "share rows seed stratify_by"),
        Command("difference", "GET", FILE + "/difference", "Rows that another version changed.", "to after limit"),
        Command("history", "GET", FILE + "/history", "How often each of its rows was solved.", PAGE),
    ),
    "uploads": (
        Command(
            "create",
            "POST",
            "/v1/uploads",
            "Announce a file.",
            "filename purpose bytes mime_type mapping on_bad_rows",
        ),
        Command("show", "GET", "/v1/uploads/{upload}", "How an upload stands."),
        Command("add-part", "POST", "/v1/uploads/{upload}/parts", "Send a part: data@FILE.", "data"),
        Command("complete", "POST", "/v1/uploads/{upload}/complete", "Join the parts.", "part_ids md5"),
        Command("cancel", "POST", "/v1/uploads/{upload}/cancel", "Give it up."),
    ),
    "jobs": (
        Command(
            "list", "GET", "/v1/fine_tuning/jobs", "Show all jobs, the newest first.", "metadata status name" + PAGE
        ),
        Command("show", "GET", JOB, "Show a job."),
        Command("delete", "DELETE", JOB, "Delete a job that has ended, with its adapter."),
        Command("cancel", "POST", JOB + "/cancel", "Stop a job at its next step."),
        Command("pause", "POST", JOB + "/pause", "Pause a job at its next step, with a checkpoint."),
        Command("resume", "POST", JOB + "/resume", "Let a paused job go on from its last checkpoint."),
        Command("events", "GET", JOB + "/events", "What happened to it.", PAGE),
        Command("stream", "GET", JOB + "/stream", "What happens to it, as server-sent events until its end."),
        Command("checkpoints", "GET", JOB + "/checkpoints", "Its checkpoints.", PAGE),
        Command("checks", "GET", JOB + "/checks", "Its checks before training, in full."),
        Command("metrics", "GET", JOB + "/metrics", "Its figures, step by step.", PAGE),
        Command("rows", "GET", JOB + "/rows", "How often each row was solved.", "solved after limit"),
        Command("evaluations", "GET", JOB + "/evaluations", "Its scores on held-out questions."),
        Command("manifest", "GET", JOB + "/manifest", "All that is needed to train the same again."),
        Command("adapter", "GET", JOB + "/adapter", "Its adapter's ZIP; `rlsd export` gives its checksum too."),
        Command(
            "rollouts",
            "GET",
            JOB + "/rollouts",
            "What the model wrote.",
            "step row status outcome min_score max_score mixed with_tokens search" + PAGE,
        ),
        Command("rollout", "GET", JOB + "/rollouts/{rollout}", "One completion."),
        Command("tokens", "GET", JOB + "/rollouts/{rollout}/tokens", "Which tokens of it got the credit."),
        Command("rescore", "POST", JOB + "/rescore", "Score what it wrote with another grader.", "grader steps limit"),
        Command("make-export", "POST", JOB + "/exports", "Have a model made of it.", "format checkpoint"),
        Command("exports", "GET", JOB + "/exports", "Models that were made of it."),
        Command("show-export", "GET", JOB + "/exports/{export}", "How an export stands."),
        Command("delete-export", "DELETE", JOB + "/exports/{export}", "Delete an export."),
        Command("export-content", "GET", JOB + "/exports/{export}/content", "An export's ZIP."),
    ),
    "checks": (
        Command("list", "GET", "/v1/checks", "Show all checks, the newest first.", "kind file job" + PAGE),
        Command("show", "GET", "/v1/checks/{check}", "How a check stands, and what it found."),
        Command("cancel", "POST", "/v1/checks/{check}/cancel", "Stop a check."),
        Command(
            "preflight",
            "POST",
            "/v1/fine_tuning/preflight",
            "Sample from the base model.",
            "model training_file x_rlsd seed grader rows samples",
        ),
        Command(
            "teacher-preview",
            "POST",
            "/v1/fine_tuning/teacher-preview",
            "What student and teacher are asked about a row.",
            "model training_file grader x_rlsd seed row",
        ),
    ),
    "graders": (
        Command("validate", "POST", "/v1/fine_tuning/alpha/graders/validate", "Is it well-formed?", "grader"),
        Command("run", "POST", "/v1/fine_tuning/alpha/graders/run", "Score a text.", "grader model_sample item"),
    ),
    "verifiers": (
        Command("list", "GET", "/v1/verifiers", "Show all verifiers.", PAGE),
        Command("ready-made", "GET", "/v1/verifiers/ready-made", "Show those that come with the server."),
        Command("create", "POST", "/v1/verifiers", "Save a verifier.", "name grader"),
        Command("show", "GET", "/v1/verifiers/{verifier}", "Show a verifier.", "version"),
        Command("delete", "DELETE", "/v1/verifiers/{verifier}", "Delete a verifier."),
        Command("versions", "GET", "/v1/verifiers/{verifier}/versions", "Show its versions.", PAGE),
        Command("change", "POST", "/v1/verifiers/{verifier}/versions", "Save a new version of it.", "name grader"),
        Command("test", "POST", "/v1/verifiers/test", "Score several texts.", "grader samples"),
        Command("check", "POST", "/v1/verifiers/check", "Is it fit to train with? A check.", "grader file rows"),
    ),
    "models": (
        Command("list", "GET", "/v1/models", "Show all models."),
        Command("show", "GET", "/v1/models/{model}", "Show a model."),
        Command("delete", "DELETE", "/v1/models/{model}", "Delete an adapter."),
    ),
    "comparisons": (
        Command("create", "POST", "/v1/comparisons", "Start a comparison.", "name job arms seeds budget"),
        Command("list", "GET", "/v1/comparisons", "Show all comparisons.", PAGE),
        Command("show", "GET", "/v1/comparisons/{comparison}", "Show a comparison and its runs."),
        Command("cancel", "POST", "/v1/comparisons/{comparison}/cancel", "Stop its runs."),
        Command("delete", "DELETE", "/v1/comparisons/{comparison}", "Delete a comparison."),
        Command("result", "GET", "/v1/comparisons/{comparison}/result", "What came out, with intervals."),
        Command("curves", "GET", "/v1/comparisons/{comparison}/curves", "A metric by step for each arm.", "metric"),
        Command("jobs-result", "GET", "/v1/compared-jobs/result", "Compare jobs: job=A job=B.", "job"),
        Command("jobs-curves", "GET", "/v1/compared-jobs/curves", "A metric by step for each job.", "job metric"),
    ),
    "members": (
        Command("list", "GET", "/v1/members", "Show all members.", PAGE),
        Command("add", "POST", "/v1/members", "Let somebody in, or change their role.", "email role"),
        Command("remove", "DELETE", "/v1/members/{email}", "Let somebody in no more."),
    ),
    "projects": (
        Command("list", "GET", "/v1/projects", "Show all projects, and what each uses.", PAGE),
        Command("create", "POST", "/v1/projects", "Make a project.", "name quotas"),
        Command("change", "POST", "/v1/projects/{project}", "Another name, other quotas.", "name quotas"),
    ),
    "audit": (
        Command("list", "GET", "/v1/audit", "The newest change first.", "actor action about since until" + PAGE),
    ),
    "webhooks": (
        Command("list", "GET", "/v1/webhooks", "Show all webhooks.", PAGE),
        Command("create", "POST", "/v1/webhooks", "Have an address told; shows the secret once.", "url events"),
        Command("delete", "DELETE", "/v1/webhooks/{webhook}", "Tell an address no more."),
        Command("test", "POST", "/v1/webhooks/{webhook}/test", "Send a trial."),
        Command("deliveries", "GET", "/v1/webhooks/{webhook}/deliveries", "What was sent, and answered.", PAGE),
    ),
    "server": (
        Command("whoami", "GET", "/v1/whoami", "Whose key this is, and what its project uses."),
        Command("workers", "GET", "/v1/workers", "Which workers are there."),
        Command("usage", "GET", "/v1/usage", "Chat requests and tokens by day and model.", "days"),
        Command("metrics", "GET", "/metrics", "What Prometheus reads."),
        Command("health", "GET", "/healthz", "Is it alive?"),
        Command("ready", "GET", "/readyz", "Can it do its work?"),
    ),
}
