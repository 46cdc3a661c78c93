"""The client commands of `rlsd`, as used in a shell script."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from backend.cli.main import app
from tests.service.conftest import EXACT, Api, job_body

pytestmark = pytest.mark.slow

Rlsd = Callable[..., Result]


@pytest.fixture
def rlsd(api: Api) -> Rlsd:
    """Run a command in this process; an error is the result's exception."""

    def run(*arguments: str, key: str = api.key) -> Result:
        return CliRunner().invoke(app, arguments, env={"RLSD_API_URL": api.url, "RLSD_API_KEY": key})

    return run


def answers(result: Result) -> list[dict[str, Any]]:
    """Parse the output, one JSON object per line."""
    assert result.exit_code == 0, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


def refusal(result: Result) -> str:
    assert result.exit_code != 0
    return str(result.exception)


def test_files_are_looked_at_sent_and_read(api: Api, rlsd: Rlsd, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"asked": f"{n}?", "right": str(n)}) + "\n" for n in range(120)) + "oops\n")
    mapping = '{"question": "asked", "answer": "right"}'
    [preview] = answers(rlsd("files", "preview", str(path), "--mapping", mapping))
    assert (preview["shape"], answers(rlsd("files", "list"))) == ("mapping", [])
    assert "line 121" in refusal(rlsd("files", "upload", str(path), "--mapping", mapping))
    [file] = answers(rlsd("files", "upload", str(path), "--mapping", mapping, "--on-bad-rows", "take_good"))
    assert file["rows"] == 120
    assert len(answers(rlsd("files", "rows", file["id"]))) == 120
    assert len(answers(rlsd("files", "rows", file["id"], "limit=7", "order=desc"))) == 7
    assert rlsd("files", "content", file["id"]).stdout == path.read_text()
    copy = tmp_path / "copy.jsonl"
    assert rlsd("files", "export", file["id"], "--output", str(copy)).exit_code == 0
    assert len(copy.read_text().splitlines()) == 120
    assert "cannot be written" in refusal(rlsd("files", "export", file["id"], "--output", str(tmp_path)))


def test_a_file_goes_in_parts(rlsd: Rlsd, tmp_path: Path) -> None:
    piece = tmp_path / "piece"
    piece.write_text("".join(json.dumps({"question": f"{n}?", "answer": str(n)}) + "\n" for n in range(12)))
    fields = ("filename=rows.jsonl", "purpose=fine-tune", "mime_type=application/jsonl")
    [upload] = answers(rlsd("uploads", "create", *fields, f"bytes:={piece.stat().st_size}"))
    [part] = answers(rlsd("uploads", "add-part", upload["id"], f"data@{piece}"))
    [whole] = answers(rlsd("uploads", "complete", upload["id"], f'part_ids:=["{part["id"]}"]'))
    assert whole["file"]["rows"] == 12


def test_a_job_is_estimated_made_and_followed(api: Api, rlsd: Rlsd, tmp_path: Path) -> None:
    request = tmp_path / "job.json"
    request.write_text(json.dumps(job_body("file-none", metadata={"team": "a"})))
    options = (str(request), "--training-file", api.dataset())
    assert answers(rlsd("jobs", "estimate", *options))[0]["object"] == "fine_tuning.estimate"
    [job] = answers(rlsd("jobs", "create", *options))
    assert [found["id"] for found in answers(rlsd("jobs", "list", "metadata[team]=a"))] == [job["id"]]
    assert answers(rlsd("jobs", "list", "metadata[team]=b")) == []
    assert answers(rlsd("jobs", "cancel", job["id"]))[0]["status"] == "cancelled"
    assert answers(rlsd("jobs", "events", job["id"]))[-1]["message"].startswith("The job was created")
    stream = rlsd("jobs", "stream", job["id"])
    assert (stream.exit_code, stream.stdout.count("event: end")) == (0, 1)
    assert "adapter" in refusal(rlsd("jobs", "adapter", job["id"]))


def test_people_projects_and_what_they_did(api: Api, rlsd: Rlsd) -> None:
    assert answers(rlsd("members", "add", "email=ada@example.org", "role=editor"))[0]["role"] == "editor"
    assert answers(rlsd("members", "remove", "ada@example.org"))[0]["deleted"]
    [project] = answers(rlsd("projects", "create", "name=claims", 'quotas:={"jobs_at_once": 1}'))
    secret = rlsd("keys", "create", "Ada", "--project", project["id"], "--days", "3").stdout.strip()
    [me] = answers(rlsd("server", "whoami", key=secret))
    assert (me["role"], me["project"]["id"]) == ("admin", project["id"])
    ours = rlsd("keys", "create", "pipeline", "--role", "viewer").stdout.strip()
    key_line = next(line for line in rlsd("keys", "list").stdout.splitlines() if "pipeline" in line)
    assert key_line.split()[2:] == ["pipeline", "viewer", "proj-default", "valid"]
    assert rlsd("keys", "revoke", key_line.split()[0]).stdout == "Revoked.\n"
    assert "API key" in refusal(rlsd("models", "list", key=ours))
    changes = answers(rlsd("audit", "list", "action=members"))
    assert [change["action"] for change in changes] == ["DELETE /v1/members/{email}", "POST /v1/members"]


def test_keys_that_are_made_and_revoked_on_the_server_are_in_the_log_of_their_project(api: Api, rlsd: Rlsd) -> None:
    [project] = answers(rlsd("projects", "create", "name=claims"))
    secret = rlsd("keys", "create", "Ada", "--project", project["id"], key="").stdout.strip()
    key = rlsd("keys", "create", "Grace", "--project", project["id"], key="").stdout.strip()
    [made] = [line.split()[0] for line in rlsd("keys", "list", key="").stdout.splitlines() if "Grace" in line]
    assert rlsd("keys", "revoke", made, key="").stdout == "Revoked.\n"
    assert "API key" in refusal(rlsd("models", "list", key=key))
    revoked, created, *_ = answers(rlsd("audit", "list", "actor=server", key=secret))
    assert (revoked["action"], created["action"]) == ("rlsd keys revoke", "rlsd keys create")
    assert revoked["objects"] == created["objects"] == [made]


def test_webhooks_verifiers_and_the_server(api: Api, rlsd: Rlsd, tmp_path: Path) -> None:
    [hook] = answers(rlsd("webhooks", "create", "url=https://example.org/x", 'events:=["fine_tuning.job.failed"]'))
    assert answers(rlsd("webhooks", "deliveries", hook["id"])) == []
    spec, body = tmp_path / "spec.json", tmp_path / "body.json"
    spec.write_text(json.dumps(EXACT))
    body.write_text(json.dumps({"name": "replaced", "grader": EXACT}))
    [verifier] = answers(rlsd("verifiers", "create", "name=one", f"grader:=@{spec}"))
    [again] = answers(rlsd("verifiers", "change", verifier["id"], "name=two", "--body", str(body)))
    assert (again["name"], again["version"]) == ("two", 2)
    assert answers(rlsd("graders", "validate", f"grader:=@{spec}"))[0]["grader"]["name"] == "exact"
    assert [model["id"] for model in answers(rlsd("models", "list"))] == ["starter"]
    assert answers(rlsd("server", "ready"))[0]["status"] == "ok"
    assert "rlsd_jobs" in rlsd("server", "metrics").stdout
    assert answers(rlsd("call", "get", "/v1/models/starter"))[0]["id"] == "starter"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("jobs", "show"), "Missing: JOB."),
        (("files", "rows", "file-x", "limt=3"), "no field 'limt': the fields are number, search, after, limit, order"),
        (("jobs", "pause", "ftjob-x", "now=1"), "it has no fields"),
        (("verifiers", "create", "name=x"), "Missing required parameter: 'grader'"),
        (("models", "show", "organisation/none"), "organisation/none"),
    ],
)
def test_an_error_message_names_the_problem(rlsd: Rlsd, arguments: tuple[str, ...], message: str) -> None:
    assert message in refusal(rlsd(*arguments))


def test_the_command_line_lists_changes_and_deletes(api: Api) -> None:
    def rlsd(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"RLSD_API_URL": api.url, "RLSD_API_KEY": api.key}
        command = [sys.executable, "-m", "backend.cli.main", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    job = api.job()
    assert job["id"] in rlsd("jobs", "list").stdout
    assert '"status": "paused"' in rlsd("jobs", "pause", job["id"]).stdout
    assert '"status": "queued"' in rlsd("jobs", "resume", job["id"]).stdout
    refusal = rlsd("jobs", "delete", job["id"])
    assert (refusal.returncode, "cancel it before" in refusal.stderr) == (1, True)
    assert '"status": "cancelled"' in rlsd("jobs", "cancel", job["id"]).stdout
    waited = rlsd("jobs", "wait", job["id"])
    assert (waited.returncode, "cancelled, step 0 of 200" in waited.stderr) == (1, True)
    assert '"deleted": true' in rlsd("jobs", "delete", job["id"]).stdout
    assert job["training_file"] in rlsd("files", "list").stdout
    assert '"deleted": true' in rlsd("files", "delete", job["training_file"]).stdout
    assert "There is no file" in rlsd("files", "upload", "nowhere.jsonl").stderr
    assert "No such fine-tuning job" in rlsd("jobs", "show", "ftjob-none").stderr
