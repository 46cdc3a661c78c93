"""A job written for OpenAI says nothing of a teacher: it gets one with a hint from its rows, or is told why not."""

import json
import zipfile
from io import BytesIO
from typing import Any

import pytest

from tests.processes import wait_for
from tests.service.conftest import Api, answered, refused
from tests.service.openai_bodies import FORM_ALONE, MULTI, PYTHON, ROWS, SAYS, body
from tests.service.training import ended, told


@pytest.fixture
def rows(api: Api) -> str:
    return str(answered(api.upload(*ROWS))["id"])


def shown(job: dict[str, Any]) -> tuple[str, str]:
    of = job["method"]["reinforcement"]["x_rlsd"]
    return of["method"], of["hint"]


def events(api: Api, job_id: str) -> dict[str, tuple[str, str]]:
    data = answered(api.http.get(f"/v1/fine_tuning/jobs/{job_id}/events"))["data"]
    return {event["code"]: (event["level"], event["message"]) for event in data}


@pytest.mark.usefixtures("train_worker")
def test_a_job_of_openais_with_several_keys_beside_the_messages_runs_to_its_end(api: Api) -> None:
    content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    file = api.openai.files.create(file=("rows.jsonl", content), purpose="fine-tune")
    made = api.openai.fine_tuning.jobs.create(**body(file.id))
    job = ended(made.id)
    assert job.state == "succeeded", [(event.code, event.message, event.data) for event in told(made.id)]
    assert (job.step, job.spec["method"], job.spec["hint"]) == (3, "rlsd", "grader")
    assert job.manifest is not None
    assert job.manifest["settings"]["hint"] == "grader"
    assert events(api, made.id)["hint_from_grader"][0] == "info"
    adapter = api.http.get(f"/v1/fine_tuning/jobs/{made.id}/adapter").content
    assert "adapter_config.json" in "".join(zipfile.ZipFile(BytesIO(adapter)).namelist())
    taught = answered(api.http.get(f"/v1/fine_tuning/jobs/{made.id}/metrics"))["data"]
    assert any(step["values"].get("teacher_tokens") for step in taught), "the teacher was asked"


@pytest.mark.parametrize("grader", [MULTI, PYTHON, SAYS])
def test_the_hint_is_what_the_grader_looks_up_and_the_estimate_says_so(
    api: Api, rows: str, grader: dict[str, Any]
) -> None:
    asked = body(rows, grader=grader)
    estimate = answered(api.http.post("/v1/fine_tuning/jobs/estimate", json=asked))
    job = answered(api.http.post("/v1/fine_tuning/jobs", json=asked))
    assert shown(job) == (estimate["method"], estimate["hint"]) == ("rlsd", "grader")
    messages = {code: message for code, (_, message) in events(api, job["id"]).items()}
    assert {*estimate["notices"], messages["job.created"]} == set(messages.values())


def test_where_the_grader_looks_nothing_up_the_job_is_trained_without_a_teacher_and_says_so(
    api: Api, rows: str
) -> None:
    asked = body(rows, grader=FORM_ALONE)
    estimate = answered(api.http.post("/v1/fine_tuning/jobs/estimate", json=asked))
    assert (estimate["method"], estimate["hint"]) == ("grpo", None)
    job = answered(api.http.post("/v1/fine_tuning/jobs", json=asked))
    assert shown(job)[0] == "grpo"
    level, message = events(api, job["id"])["no_teacher"]
    assert level == "warn"
    assert "line 1 " in message
    assert estimate["notices"] == [message]


def test_a_method_that_was_asked_for_by_name_is_not_replaced(api: Api, rows: str) -> None:
    asked = body(rows, grader=FORM_ALONE)
    asked["method"]["reinforcement"]["x_rlsd"] = {"method": "opsd"}
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=asked), status=400, code="missing_hint")
    assert error["param"] == "method.reinforcement.x_rlsd.method"


def test_what_the_rows_say_to_a_teacher_comes_before_what_the_grader_looks_up(api: Api) -> None:
    file_id = answered(api.upload(*({**row, "teacher_prompt": "Think of the limit."} for row in ROWS)))["id"]
    job = answered(api.http.post("/v1/fine_tuning/jobs", json=body(file_id)))
    assert shown(job) == ("rlsd", "privileged")
    assert "hint_from_rows" in events(api, job["id"])


def test_an_image_of_libraries_is_taken_and_its_meaning_told(api: Api, rows: str) -> None:
    validated = answered(api.http.post("/v1/fine_tuning/alpha/graders/validate", json={"grader": PYTHON}))
    (remark,) = validated["x_remarks"]
    assert "image_tag '2025-05-08'" in remark
    job = answered(api.http.post("/v1/fine_tuning/jobs", json=body(rows, grader=PYTHON)))
    assert events(api, job["id"])["grader_remark"] == ("info", remark)


@pytest.mark.usefixtures("sample_worker")
def test_the_preview_of_such_a_hint_needs_the_grader_that_gives_it(api: Api, rows: str) -> None:
    asked = {"model": "starter", "training_file": rows, "row": 0}
    error = refused(api.http.post("/v1/fine_tuning/teacher-preview", json=asked), status=400, code="missing_grader")
    assert error["param"] == "grader"
    check = answered(api.http.post("/v1/fine_tuning/teacher-preview", json={**asked, "grader": MULTI}))
    path = f"/v1/checks/{check['id']}"
    found = wait_for(lambda: answered(api.http.get(path))["result"], timeout_s=120, what="the preview")
    (teacher,) = found["teachers"]
    told = teacher["text"][teacher["hint_start"] : teacher["hint_end"]]
    assert told == "compliant: yes\nexplanation: The limit is 0 records."
