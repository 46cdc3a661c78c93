"""Instructions are suggested for a verifier, with rows of a file as examples; such rows are not trained on."""

from tests.service.conftest import EXACT, Api, job_body
from tests.service.test_preflight import answered

PATH = "/v1/verifiers/instructions"


def test_the_instruction_that_fits_comes_first(api: Api) -> None:
    body = {"grader": {"type": "choice", "name": "c", "reference": "{{item.answer}}", "choices": ["yes", "no"]}}
    found = answered(api.http.post(PATH, json=body))
    assert [each["fits"] for each in found["data"]] == [True, False, False, False, False]
    assert found["data"][0]["code"] == "choice"
    assert found["data"][0]["text"].endswith("on the last line: yes, no.")
    assert (found["examples"], found["example_rows"]) == ("", [])


def test_examples_are_different_rows_whose_numbers_a_job_takes(api: Api) -> None:
    rows = [{"question": f"What is {n % 8}?", "answer": str(n % 8)} for n in range(16)]
    file = answered(api.upload(*rows))["id"]
    found = answered(api.http.post(PATH, json={"grader": EXACT, "training_file": file, "examples": 3}))
    shown = [rows[number] for number in found["example_rows"]]
    assert len({row["question"] for row in shown}) == 3
    assert found["examples"] == "Examples:\n\n" + "\n\n".join(
        f"Question: {row['question']}\nAnswer: {row['answer']}" for row in shown
    )
    again = answered(api.http.post(PATH, json={"grader": EXACT, "training_file": file, "examples": 3}))
    assert again == found
    settings = {"instruction": found["examples"], "example_rows": found["example_rows"]}
    job = answered(api.http.post("/v1/fine_tuning/jobs", json=job_body(file, x_rlsd=settings)))
    assert job["method"]["reinforcement"]["x_rlsd"]["example_rows"] == found["example_rows"]


def test_more_examples_than_rows_are_all_rows_and_then_refused(api: Api) -> None:
    file = answered(api.upload({"question": "a", "answer": "1"}, {"question": "b", "answer": "2"}))["id"]
    found = answered(api.http.post(PATH, json={"grader": EXACT, "training_file": file, "examples": 8}))
    assert sorted(found["example_rows"]) == [0, 1]
    refused = api.http.post("/v1/fine_tuning/jobs", json=job_body(file, x_rlsd={"example_rows": [0, 1]}))
    assert refused.status_code == 400
    assert "none is left to train on" in refused.json()["error"]["message"]
