"""The official `openai` client for JavaScript, from npm, with only `baseURL` and `apiKey` changed."""

import json
from pathlib import Path

import pytest

from tests.node import install, needs_node, run
from tests.service.conftest import Api, answered

HERE = Path(__file__).resolve().parents[1] / "javascript"

pytestmark = needs_node


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script with its dependencies, installed from the lock file."""
    folder = tmp_path_factory.mktemp("javascript")
    install(HERE, folder)
    return folder


def test_files_jobs_lists_uploads_and_errors(api: Api, project: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"question": f"{n}?", "answer": str(n)}) + "\n" for n in range(12)))
    ran = run(["node", "client.mjs", api.url, api.key, str(rows)], cwd=project, timeout_s=120)
    assert ran.returncode == 0, ran.stderr
    output = json.loads(ran.stdout)
    assert {name: (error["type"], error["status"]) for name, error in output["errors"].items()} == {
        "missing": ("NotFoundError", 404),
        "ended": ("ConflictError", 409),
        "wrong": ("BadRequestError", 400),
        "stranger": ("AuthenticationError", 401),
    }
    assert (output["errors"]["wrong"]["code"], output["errors"]["wrong"]["param"]) == (
        "missing_required_parameter",
        "method",
    )
    stored = answered(api.http.get("/v1/fine_tuning/jobs"))["data"]
    assert [job["id"] for job in stored] == output["jobs"][::-1]
    assert {file["id"] for file in answered(api.http.get("/v1/files"))["data"]} == {output["file"], output["whole"]}
