"""The OpenAPI document against the server: whatever is sent, no 5xx, and nothing that the document does not say.

Each route for itself, and in courses in which one answer's ids go into the next request, with the keys of an admin and
of an editor. A check worker is there; chat needs a server beside it and is asked in test_chat. `SCHEMA_CASES`
multiplies the cases: 1, the default, makes some thousands.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    use_after_free,
)

from backend.app import create_app
from backend.db.engine import transaction
from backend.db.keys import Role, create_key
from tests.service.conftest import Api

CASES = float(os.environ.get("SCHEMA_CASES", "1"))
SEEDS, COURSES = 6, 100
"""Runs, and the most courses of each."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
GRADER = {"type": "regex", "pattern": "x"}
MADE_PLAUSIBLE = ("/v1/fine_tuning/jobs", "/v1/fine_tuning/alpha/graders/run", "/v1/verifiers/test")
CHAT = "/v1/chat/completions"

schema = schemathesis.openapi.from_dict(create_app().openapi())
answering = schema.exclude(path=CHAT).exclude(path_regex="^/(healthz|readyz)$")


@pytest.fixture
def ids(api: Api) -> dict[str, str]:
    """Of things that are there, so that what is generated meets more than 404."""
    job = api.job()
    verifier = api.http.post("/v1/verifiers", json={"name": "v", "grader": GRADER}).json()
    file_id = api.dataset(3)
    return {"job_id": job["id"], "file_id": file_id, "verifier_id": verifier["id"], "model": "starter"}


@pytest.fixture
def keys(api: Api) -> tuple[str, str]:
    """An admin's, which is an administrator's, and an editor's."""
    with transaction() as session:
        return api.key, create_key(session, name="editor", role=Role.EDITOR)[1]


def make_plausible(body: object, ids: dict[str, str]) -> None:
    """Things that exist in place of random names, so that the settings are what is looked at."""
    match body:
        case {"method": {"reinforcement": {"grader": _} as reinforcement}}:
            assert isinstance(body, dict)
            body.update(model="starter", training_file=ids["file_id"], validation_file=None)
            reinforcement["grader"] = GRADER
        case {"grader": _}:
            assert isinstance(body, dict)
            body["grader"] = GRADER


@answering.parametrize()
@examples(
    max_examples=max(1, round(25 * CASES)),
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@pytest.mark.usefixtures("check_worker")
def test_the_server_does_what_its_document_says(
    case: schemathesis.Case, api: Api, ids: dict[str, str], keys: tuple[str, str]
) -> None:
    for name in case.path_parameters or {}:
        if name in ids and len(str(case.path_parameters[name])) % 2:
            case.path_parameters[name] = ids[name]
    if case.method == "POST" and case.path in MADE_PLAUSIBLE:
        make_plausible(case.body, ids)
    if case.path.endswith("/stream") and "job_id" in ids:
        api.http.post(f"/v1/fine_tuning/jobs/{ids['job_id']}/cancel")  # so that the stream ends
    key = keys[len(f"{case.path_parameters}{case.query}{case.body}") % 2]
    response = case.call(base_url=api.url, headers={"authorization": f"Bearer {key}"}, timeout=20)
    case.validate_response(response, checks=CHECKS)


@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("check_worker")
def test_whatever_course_the_requests_take_the_server_does_what_its_document_says(
    api: Api, ids: dict[str, str], keys: tuple[str, str], tmp_path: Path
) -> None:
    """One answer's ids go into the next request; what is deleted stays so. By schemathesis' own runner, which bears
    that what a server answers depends on what it was asked before."""
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(create_app().openapi()))
    made = 0
    for seed in range(SEEDS):
        ran = subprocess.run(
            [Path(sys.executable).parent / "schemathesis", "run", document, "--url", api.url]
            + ["--header", f"Authorization: Bearer {keys[seed % 2]}", "--phases", "stateful", "--mode", "positive"]
            + ["--max-examples", str(max(1, round(COURSES * CASES))), "--seed", str(seed), "--no-shrink"]
            + ["--checks", ",".join(check.__name__ for check in [*CHECKS, use_after_free]), "--request-timeout", "30"]
            + ["--exclude-path-regex", f"^({CHAT}|/(healthz|readyz))$|/stream$"]
            + ["--suppress-health-check", "all", "--generation-database", "none", "--no-color"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=1000,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        counted = re.search(r"(\d+) generated", ran.stdout)
        assert counted, ran.stdout
        made += int(counted.group(1))
    print(made, "requests")
    assert made >= SEEDS * COURSES * CASES
