"""Jobs written for OpenAI, without teacher settings: the hint comes from the rows, or a notice reports why not."""

import json
import zipfile
from io import BytesIO
from typing import Any

import pytest

from tests.processes import wait_for
from tests.service.conftest import Api, answered, refused
from tests.service.openai_bodies import CONTAINS, FORM_ONLY, MULTI, PYTHON, ROWS, body
from tests.service.training import ended, job_events


@pytest.fixture
def rows(api: Api) -> str:
    return str(answered(api.upload(*ROWS))["id"])


def method_and_hint(job: dict[str, Any]) -> tuple[str, str]:
    of = job["method"]["reinforcement"]["x_rlsd"]
    return of["method"], of["hint"]


def events(api: Api, job_id: str) -> dict[str, tuple[str, str]]:
    data = answered(api.http.get(f"/v1/fine_tuning/jobs/{job_id}/events"))["data"]
    return {event["code"]: (event["level"], event["message"]) for event in data}


@pytest.mark.usefixtures("train_worker")
def test_an_openai_job_with_keys_in_addition_to_the_messages_finishes(api: Api) -> None:
    content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    file = api.openai.files.create(file=("rows.jsonl", content), purpose="fine-tune")
    made = api.openai.fine_tuning.jobs.create(**body(file.id))
    job = ended(made.id)
    assert job.state == "succeeded", [(event.code, event.message, event.data) for event in job_events(made.id)]
    assert (job.step, job.spec["method"], job.spec["hint"]) == (3, "rlsd", "grader")
    assert job.manifest is not None
    assert job.manifest["settings"]["hint"] == "grader"
    assert events(api, made.id)["hint_from_grader"][0] == "info"
    adapter = api.http.get(f"/v1/fine_tuning/jobs/{made.id}/adapter").content
    assert "adapter_config.json" in "".join(zipfile.ZipFile(BytesIO(adapter)).namelist())
    taught = answered(api.http.get(f"/v1/fine_tuning/jobs/{made.id}/metrics"))["data"]
    assert any(step["values"].get("teacher_tokens") for step in taught), "the teacher was used"


@pytest.mark.parametrize("grader", [MULTI, PYTHON, CONTAINS])
def test_the_hint_is_what_the_grader_looks_up_and_the_estimate_reports_it(
    api: Api, rows: str, grader: dict[str, Any]
) -> None:
    request = body(rows, grader=grader)
    estimate = answered(api.http.post("/v1/fine_tuning/jobs/estimate", json=request))
    job = answered(api.http.post("/v1/fine_tuning/jobs", json=request))
    assert method_and_hint(job) == (estimate["method"], estimate["hint"]) == ("rlsd", "grader")
    messages = {code: message for code, (_, message) in events(api, job["id"]).items()}
    assert {*estimate["notices"], messages["job.created"]} == set(messages.values())


def test_without_values_for_a_hint_the_job_has_no_teacher_and_reports_it(api: Api, rows: str) -> None:
    request = body(rows, grader=FORM_ONLY)
    estimate = answered(api.http.post("/v1/fine_tuning/jobs/estimate", json=request))
    assert (estimate["method"], estimate["hint"]) == ("grpo", None)
    job = answered(api.http.post("/v1/fine_tuning/jobs", json=request))
    assert method_and_hint(job)[0] == "grpo"
    level, message = events(api, job["id"])["no_teacher"]
    assert level == "warn"
    assert "line 1 " in message
    assert estimate["notices"] == [message]


def test_an_explicit_method_is_not_replaced(api: Api, rows: str) -> None:
    request = body(rows, grader=FORM_ONLY)
    request["method"]["reinforcement"]["x_rlsd"] = {"method": "opsd"}
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=request), status=400, code="missing_hint")
    assert error["param"] == "method.reinforcement.x_rlsd.method"


def test_texts_for_the_teacher_precede_values_of_the_grader(api: Api) -> None:
    file_id = answered(api.upload(*({**row, "teacher_prompt": "Think of the limit."} for row in ROWS)))["id"]
    job = answered(api.http.post("/v1/fine_tuning/jobs", json=body(file_id)))
    assert method_and_hint(job) == ("rlsd", "privileged")
    assert "hint_from_rows" in events(api, job["id"])


def test_a_library_image_is_accepted_with_a_notice(api: Api, rows: str) -> None:
    validated = answered(api.http.post("/v1/fine_tuning/alpha/graders/validate", json={"grader": PYTHON}))
    (remark,) = validated["x_remarks"]
    assert "image_tag '2025-05-08'" in remark
    job = answered(api.http.post("/v1/fine_tuning/jobs", json=body(rows, grader=PYTHON)))
    assert events(api, job["id"])["grader_remark"] == ("info", remark)


@pytest.mark.usefixtures("sample_worker")
def test_the_preview_of_such_a_hint_needs_the_grader_that_gives_it(api: Api, rows: str) -> None:
    request = {"model": "starter", "training_file": rows, "row": 0}
    error = refused(api.http.post("/v1/fine_tuning/teacher-preview", json=request), status=400, code="missing_grader")
    assert error["param"] == "grader"
    check = answered(api.http.post("/v1/fine_tuning/teacher-preview", json={**request, "grader": MULTI}))
    path = f"/v1/checks/{check['id']}"
    found = wait_for(lambda: answered(api.http.get(path))["result"], timeout_s=120, what="the preview")
    (teacher,) = found["teachers"]
    hint = teacher["text"][teacher["hint_start"] : teacher["hint_end"]]
    assert hint == "compliant: yes\nexplanation: The limit is 0 records."
