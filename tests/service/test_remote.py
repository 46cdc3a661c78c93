"""`rlsd files` and `rlsd jobs` against a server, as a shell script uses them."""

import os
import subprocess
import sys

from tests.service.conftest import Api


def test_the_command_line_lists_changes_and_deletes(api: Api) -> None:
    def rlsd(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"RLSD_API_URL": api.url, "RLSD_API_KEY": api.key}
        command = [sys.executable, "-m", "backend.cli", *arguments]
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
