"""Verifiers over HTTP: immutable versions, grading in a worker's sandbox, responses in OpenAI's format."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.service.conftest import EXACT, Api, answered, refused

PYTHON = {"type": "python", "source": "def grade(sample, item):\n    return sample['output_text'] == item['answer']\n"}

MULTI = {
    "type": "multi",
    "graders": {"a": EXACT, "b": {"type": "number", "tolerance": 1.0}},
    "calculate_output": "0.5 * a + 0.5 * b",
}


def save(api: Api, grader: dict[str, Any] = EXACT, name: str = "exact") -> dict[str, Any]:
    return answered(api.http.post("/v1/verifiers", json={"name": name, "grader": grader}))


def test_a_saved_verifier_comes_back_and_its_versions_stay(api: Api) -> None:
    first = save(api)
    assert (first["object"], first["version"], first["grader"]) == ("verifier", 1, EXACT)
    path = f"/v1/verifiers/{first['id']}"
    second = answered(api.http.post(f"{path}/versions", json={"grader": PYTHON, "name": "better"}))
    third = answered(api.http.post(f"{path}/versions", json={"grader": EXACT}))
    assert [(v["version"], v["name"]) for v in (second, third)] == [(2, "better"), (3, "better")]
    assert answered(api.http.get(path)) == third
    assert answered(api.http.get(path, params={"version": 1})) == first
    assert first["spec_hash"] == third["spec_hash"] != second["spec_hash"]
    refused(api.http.get(path, params={"version": 4}), status=404)
    versions = answered(api.http.get(f"{path}/versions", params={"limit": 2}))
    assert [v["version"] for v in versions["data"]] == [3, 2]
    rest = answered(api.http.get(f"{path}/versions", params={"after": versions["last_id"]}))
    assert [v["version"] for v in rest["data"]] == [1]


def test_versions_saved_at_once_get_numbers_of_their_own(api: Api) -> None:
    path = f"/v1/verifiers/{save(api)['id']}/versions"
    with ThreadPoolExecutor(8) as people:
        answers = list(people.map(lambda _: api.http.post(path, json={"grader": EXACT}), range(8)))
    assert sorted(answered(answer)["version"] for answer in answers) == list(range(2, 10))


def test_the_list_has_the_newest_version_of_each(api: Api) -> None:
    ids = [save(api, name=f"v{n}")["id"] for n in range(3)]
    answered(api.http.post(f"/v1/verifiers/{ids[0]}/versions", json={"grader": PYTHON}))
    page = answered(api.http.get("/v1/verifiers", params={"limit": 2}))
    rest = answered(api.http.get("/v1/verifiers", params={"limit": 2, "after": page["last_id"]}))
    listed = page["data"] + rest["data"]
    assert [(v["id"], v["version"]) for v in listed] == [(ids[0], 2), (ids[2], 1), (ids[1], 1)]


@pytest.mark.parametrize(
    ("grader", "param"),
    [
        ({}, "grader.type"),
        ({"type": "python", "source": "def grade(:"}, "grader.source"),
        ({"type": "python", "source": "x = 1"}, "grader.source"),
        ({"type": "regex", "pattern": "["}, "grader.pattern"),
        ({**EXACT, "operation": "equals"}, "grader.operation"),
        ({**EXACT, "input": "{{row.answer}}"}, "grader.input"),
        ({**EXACT, "threshold": 1}, "grader.threshold"),
        ({"type": "saved", "id": "ver-none"}, "grader.id"),
        ({"type": "python", "source": "import torch\ndef grade(item, output_text): return 1"}, "grader.source"),
        ({**MULTI, "calculate_output": "a + z"}, "grader.calculate_output"),
        ({**MULTI, "graders": {"a": {"type": "regex", "pattern": "["}}}, "grader.graders.a.pattern"),
        ({"type": "score_model", "model": "m", "input": [{"role": "user", "content": "x"}]}, "grader.type"),
    ],
)
def test_a_grader_that_is_not_sound_is_refused_by_field(api: Api, grader: dict[str, Any], param: str) -> None:
    path = "/v1/fine_tuning/alpha/graders/validate"
    assert refused(api.http.post(path, json={"grader": grader}), status=400)["param"] == param


def test_a_saved_grader_is_validated_like_its_spec(api: Api) -> None:
    reference = {"type": "saved", "id": save(api)["id"]}
    body = {"grader": reference}
    validated = answered(api.http.post("/v1/fine_tuning/alpha/graders/validate", json=body))
    assert validated == {"grader": EXACT, "x_remarks": [], "x_signature": None}


def test_validating_python_reports_the_recognised_signature(api: Api) -> None:
    source = "import math\n\ndef reward(completions, answer, **kwargs):\n    return [0.0 for _ in completions]\n"
    body = {"grader": {"type": "python", "name": "r", "source": source}}
    signature = answered(api.http.post("/v1/fine_tuning/alpha/graders/validate", json=body))["x_signature"]
    assert (signature["function"], signature["line"], signature["signature"]) == ("reward", 3, "trl")
    assert signature["shown"] == "(completions, **columns)"


def test_the_gallery_lists_verifiers_that_can_be_saved(api: Api) -> None:
    page = answered(api.http.get("/v1/verifiers/ready-made"))
    assert len(page["data"]) >= 10
    assert (page["object"], page["has_more"]) == ("list", False)
    for ready in page["data"]:
        assert save(api, ready["grader"], ready["name"])["grader"] == ready["grader"]
        assert ready["examples"]


@pytest.mark.usefixtures("check_worker")
class TestInTheSandbox:
    """Tests with a worker of the check queue."""

    @staticmethod
    def run(api: Api, grader: dict[str, Any], text: str, item: dict[str, Any]) -> dict[str, Any]:
        body = {"grader": grader, "model_sample": text, "item": item}
        return answered(api.http.post("/v1/fine_tuning/alpha/graders/run", json=body))

    def test_right_and_wrong_are_told_apart(self, api: Api) -> None:
        for grader in (EXACT, PYTHON, {"type": "regex", "pattern": r"^(?P<answer>\d+)$"}):
            assert self.run(api, grader, "42", {"answer": "42"})["reward"] == 1.0
            assert self.run(api, grader, "41", {"answer": "42"})["reward"] == 0.0

    def test_the_answer_of_a_gsm8k_row_is_what_a_regex_compares_with(self, api: Api) -> None:
        item = {"question": "6 * 7?", "answer": "six times seven\n#### 42"}
        run = self.run(api, {"type": "regex", "pattern": r"(?P<answer>\d+)"}, "It is 42.", item)
        assert run["x_record"]["score"] == 1.0

    def test_an_exception_is_an_error_with_its_traceback_not_a_silent_zero(self, api: Api) -> None:
        source = "def grade(sample, item):\n    print('look')\n    return item['missing']\n"
        run = self.run(api, {"type": "python", "source": source, "name": "broken"}, "x", {"answer": "x"})
        assert (run["reward"], run["metadata"]["name"], run["metadata"]["type"]) == (0.0, "broken", "python")
        assert run["metadata"]["errors"]["python_grader_runtime_error"] is True
        assert "KeyError" in run["metadata"]["errors"]["python_grader_runtime_error_details"]
        assert (run["x_record"]["score"], run["x_record"]["status"]) == (None, "error")
        assert run["x_record"]["stdout"].strip() == "look"

    def test_to_abstain_is_no_error(self, api: Api) -> None:
        run = self.run(api, {"type": "python", "source": "def grade(sample, item):\n    return None\n"}, "x", {})
        assert run["x_record"]["status"] == "abstain"
        assert not any(run["metadata"]["errors"].values())

    def test_a_draft_is_run_on_many_samples_in_order(self, api: Api) -> None:
        samples = [{"output_text": str(n), "item": {"answer": "3"}} for n in range(6)]
        samples.append({"output_text": "3", "item": {}, "answer": "3"})
        body = {"grader": {"type": "regex", "pattern": r"(?P<answer>\d+)"}, "samples": samples}
        records = answered(api.http.post("/v1/verifiers/test", json=body))["records"]
        assert [record["score"] for record in records] == [0, 0, 0, 1, 0, 0, 1]

    def test_a_saved_verifier_can_be_run_by_its_id(self, api: Api) -> None:
        grader = {"type": "saved", "id": save(api, PYTHON)["id"]}
        assert self.run(api, grader, "42", {"answer": "42"})["reward"] == 1.0

    def test_parts_of_a_score_are_openais_sub_rewards(self, api: Api) -> None:
        run = self.run(api, MULTI, "41", {"answer": "42"})
        assert (run["reward"], run["sub_rewards"]) == (0.5, {"a": 0.0, "b": 1.0})

    def test_graders_of_every_kind_run(self, api: Api) -> None:
        for ready in answered(api.http.get("/v1/verifiers/ready-made"))["data"]:
            example = ready["examples"][0]
            answer = example["item"].get("answer")
            sample = {"output_text": example["text"], "item": example["item"], "answer": str(answer)}
            body = {"grader": ready["grader"], "samples": [sample]}
            record = answered(api.http.post("/v1/verifiers/test", json=body))["records"][0]
            assert record["score"] == pytest.approx(example["score"]), (ready["id"], record)

    def test_a_formula_without_a_value_is_openais_formula_error(self, api: Api) -> None:
        run = self.run(api, {**MULTI, "calculate_output": "1 / a"}, "41", {"answer": "42"})
        assert run["reward"] == 0.0
        assert run["metadata"]["errors"]["formula_parse_error"] is True


def test_a_deleted_verifier_is_gone_in_all_versions_and_jobs_keep_theirs(api: Api) -> None:
    saved = answered(api.http.post("/v1/verifiers", json={"name": "v", "grader": EXACT}))
    path = f"/v1/verifiers/{saved['id']}"
    answered(api.http.post(f"{path}/versions", json={"grader": EXACT | {"operation": "ne"}}))
    job = api.job(grader={"type": "saved", "id": saved["id"]})
    assert answered(api.http.delete(path)) == {"id": saved["id"], "object": "verifier", "deleted": True}
    for gone in (path, f"{path}?version=1", f"{path}/versions"):
        refused(api.http.get(gone), status=404)
    refused(api.http.delete(path), status=404)
    kept = answered(api.http.get(f"/v1/fine_tuning/jobs/{job['id']}"))
    assert kept["method"]["reinforcement"]["grader"]["operation"] == "ne"
