"""The OpenAPI document against the server: whatever is sent, no 5xx, and nothing that the document does not say."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from backend.app import create_app
from tests.service.conftest import Api

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
WAITS_FOR_A_WORKER = ["/v1/fine_tuning/alpha/graders/run", "/v1/verifiers/test", "/v1/chat/completions"]

schema = schemathesis.openapi.from_dict(create_app().openapi())
answering = schema.exclude(path=WAITS_FOR_A_WORKER).exclude(path_regex="^/(healthz|readyz)$")


@pytest.fixture
def ids(api: Api) -> dict[str, str]:
    """Of things that are there, so that what is generated meets more than 404."""
    job = api.job()
    verifier = api.http.post("/v1/verifiers", json={"name": "v", "grader": {"type": "regex", "pattern": "x"}}).json()
    file_id = api.dataset(3)
    return {"job_id": job["id"], "file_id": file_id, "verifier_id": verifier["id"], "model": "starter"}


def make_plausible(body: object, ids: dict[str, str]) -> None:
    """Things that exist in place of random names, so that the settings are what is looked at."""
    match body:
        case {"method": {"reinforcement": {"grader": _} as reinforcement}}:
            assert isinstance(body, dict)
            body.update(model="starter", training_file=ids["file_id"], validation_file=None)
            reinforcement["grader"] = {"type": "regex", "pattern": "x"}


@answering.parametrize()
@examples(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_the_server_does_what_its_document_says(case: schemathesis.Case, api: Api, ids: dict[str, str]) -> None:
    for name in case.path_parameters or {}:
        if name in ids and len(str(case.path_parameters[name])) % 2:
            case.path_parameters[name] = ids[name]
    if case.method == "POST" and case.path == "/v1/fine_tuning/jobs":
        make_plausible(case.body, ids)
    if case.path.endswith("/stream") and "job_id" in ids:
        api.http.post(f"/v1/fine_tuning/jobs/{ids['job_id']}/cancel")  # so that the stream ends
    response = case.call(base_url=api.url, headers={"authorization": f"Bearer {api.key}"}, timeout=20)
    case.validate_response(response, checks=CHECKS)
