"""The OpenAPI document against the server: no 5xx for any request, and only documented responses.

Each route is tested separately and in scenarios, in which ids from one response go into the next request, with keys of
an admin and of an editor. A check worker is running; chat needs its own server and is covered by test_chat.
`SCHEMA_CASES` multiplies the number of cases: the default, 1, makes several thousand.
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

from backend.app import app
from backend.db.engine import transaction
from backend.db.keys import Role, create_key
from tests.service.conftest import Api

pytestmark = pytest.mark.slow

CASES = float(os.environ.get("SCHEMA_CASES", "1"))
SEEDS, COURSES = 2, 300
"""Number of runs, one with each key, and maximum number of scenarios in each."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
GRADER = {"type": "regex", "pattern": "x"}
MADE_PLAUSIBLE = ("/v1/fine_tuning/jobs", "/v1/fine_tuning/alpha/graders/run", "/v1/verifiers/test")
CHAT = "/v1/chat/completions"

schema = schemathesis.openapi.from_dict(app.openapi())
answering = schema.exclude(path=CHAT).exclude(path_regex="^/(healthz|readyz)$")


@pytest.fixture
def ids(api: Api) -> dict[str, str]:
    """Ids of existing resources, so that generated requests lead to more than 404."""
    job = api.job()
    verifier = api.http.post("/v1/verifiers", json={"name": "v", "grader": GRADER}).json()
    file_id = api.dataset(3)
    return {"job_id": job["id"], "file_id": file_id, "verifier_id": verifier["id"], "model": "starter"}


@pytest.fixture
def keys(api: Api) -> tuple[str, str]:
    """Keys of an admin, who is also an administrator, and of an editor."""
    with transaction() as session:
        return api.key, create_key(session, name="editor", role=Role.EDITOR)[1]


def make_plausible(body: object, ids: dict[str, str]) -> None:
    """Replace random names with existing ones, so that the settings are tested."""
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
def test_the_server_conforms_to_its_document(
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
def test_the_server_conforms_to_its_document_in_scenarios(
    api: Api, ids: dict[str, str], keys: tuple[str, str], tmp_path: Path
) -> None:
    """Use schemathesis' own runner, which supports stateful servers: ids from one response go into the next request,
    and deleted resources stay deleted."""
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(app.openapi()))
    made = 0
    for seed in range(SEEDS):
        ran = subprocess.run(
            [Path(sys.executable).parent / "schemathesis", "run", document, "--url", api.url]
            + ["--header", f"Authorization: Bearer {keys[seed]}", "--phases", "stateful", "--mode", "positive"]
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
