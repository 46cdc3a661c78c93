"""`/v1/verifiers/check`: self-check of a verifier on rows of a file, in a worker's sandbox."""

from typing import Any

import pytest

from backend.api.jobs.job_object import SelfCheckResult
from tests.processes import wait_for
from tests.service.conftest import EXACT, Api, answered, refused

CONSTANT = {"type": "python", "source": "def grade(item, output_text):\n    return len(output_text) * 0 + 1\n"}


def request_self_check(api: Api, **body: Any) -> dict[str, Any]:
    return answered(api.http.post("/v1/verifiers/check", json=body))


def finished(api: Api, check_id: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        check = answered(api.http.get(f"/v1/checks/{check_id}"))
        return check if check["status"] in ("done", "failed") else None

    found: dict[str, Any] = wait_for(ended, timeout_s=60, what=f"the end of {check_id}")
    assert SelfCheckResult.model_validate(found["result"]).model_dump(mode="json") == found["result"]
    return found


@pytest.mark.usefixtures("check_worker")
def test_a_verifier_is_tried_on_rows_of_the_file_and_found_again_by_it(api: Api) -> None:
    file = api.dataset(40)
    grader = {"type": "regex", "pattern": r"####\s*(?P<answer>\S+)"}
    check = request_self_check(api, grader=grader, file=file, rows=4)
    assert (check["object"], check["kind"], check["file_id"]) == ("check", "self_check", file)
    result = finished(api, check["id"])["result"]
    assert result["verdict"] == "pass", result["findings"]
    assert [row["row"] for row in result["rows"]] == [0, 10, 20, 30]
    assert all(len(row["cells"]) == len(result["probes"]) for row in result["rows"])
    listed = answered(api.http.get("/v1/checks", params={"file": file, "kind": "self_check"}))["data"]
    assert [one["id"] for one in listed] == [check["id"]]


@pytest.mark.usefixtures("check_worker")
def test_how_the_numbers_of_the_file_are_read_is_a_finding(api: Api) -> None:
    rows = [{"question": f"{n}?", "answer": f"{n},5"} for n in range(3)]
    check = request_self_check(api, grader={"type": "number"}, file=answered(api.upload(*rows))["id"], rows=3)
    result = finished(api, check["id"])["result"]
    assert result["readings"][0] == {"grader": "", "reference": "0,5", "read": "0.5", "lost": ""}
    assert {altered["tolerated"] for altered in result["altered"]} == {False}
    (found,) = [finding for finding in result["findings"] if finding["code"] == "decimal_mark"]
    assert "written with a decimal comma" in found["message"]


@pytest.mark.usefixtures("check_worker")
def test_a_saved_verifier_that_gives_everything_full_marks_fails(api: Api) -> None:
    saved = answered(api.http.post("/v1/verifiers", json={"name": "constant", "grader": CONSTANT}))
    check = request_self_check(api, grader={"type": "saved", "id": saved["id"]}, file=api.dataset(3))
    result = finished(api, check["id"])["result"]
    assert result["verdict"] == "fail"
    assert result["rows_checked"] == 3
    assert "constant" in {finding["code"] for finding in result["findings"]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"file": "file-none"}, "file"),
        ({"grader": {"type": "regex", "pattern": "["}}, "grader.pattern"),
        ({"grader": {**EXACT, "reference": "{{item.label}}"}}, "grader.reference"),
        ({"rows": 0}, "rows"),
        ({"rows": 65}, "rows"),
        ({"row": 1}, "row"),
    ],
)
def test_what_cannot_be_checked_is_refused_by_field(api: Api, change: dict[str, Any], param: str) -> None:
    body = {"grader": EXACT, "file": api.dataset(3)} | change
    assert refused(api.http.post("/v1/verifiers/check", json=body), status=400)["param"] == param
    assert answered(api.http.get("/v1/checks"))["data"] == []
