"""Every log line is one JSON object, from any library, with the id of its request."""

import json
import subprocess
import sys

import pytest

LOG_LINES = """
import logging
import structlog
from backend.stack.logs import configure_logs
configure_logs()
configure_logs()
with structlog.contextvars.bound_contextvars(request_id="req-1"):
    structlog.get_logger().info("ours", job="ftjob-1")
    logging.getLogger("celery.worker").info("of %s", "celery")
    logging.getLogger("httpx").info("GET https://example.org/?key=secret")
    try:
        hidden = "secret"
        raise ValueError("why")
    except ValueError:
        logging.getLogger("some.library").exception("failed")
"""
SEND_REQUESTS = """
from starlette.testclient import TestClient
from backend.app import create_app
from backend.db.engine import transaction
from backend.db.keys import create_key
with transaction() as session:
    _, key = create_key(session, name="logs")
with TestClient(create_app(), headers={"authorization": f"Bearer {key}"}) as client:
    for path in ("/v1/fine_tuning/jobs/ftjob-1?search=secret", "/healthz"):
        print(client.get(path).headers["x-request-id"])
"""


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)


def test_log_lines_of_libraries_have_the_same_format() -> None:
    output = run_program(LOG_LINES).stderr
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["event"] for line in lines] == ["ours", "of celery", "failed"]
    assert {line["request_id"] for line in lines} == {"req-1"}
    assert (lines[0]["job"], lines[2]["level"]) == ("ftjob-1", "error")
    assert "ValueError: why" in lines[2]["exception"]
    assert "secret" not in output


@pytest.mark.usefixtures("clean_database")
def test_a_request_is_logged_with_its_id_and_without_its_query() -> None:
    result = run_program(SEND_REQUESTS)
    [line] = [json.loads(line) for line in result.stderr.splitlines() if '"event": "request"' in line]
    assert line["request_id"] == result.stdout.splitlines()[0]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/fine_tuning/jobs/ftjob-1", 404)
    assert line["job"] == "ftjob-1"
    assert "secret" not in result.stderr
