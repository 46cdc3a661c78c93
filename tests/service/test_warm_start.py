"""Jobs that imitate, over HTTP: refused without texts, trained, measured three times, judged in a sentence."""

import io
import zipfile
from typing import Any

import pytest

from tests.service.conftest import Api, answered, create_job, job_body, refused
from tests.service.training import ended

SMALL: dict[str, Any] = {
    "num_generations": 4,
    "batch_size": 2,
    "max_completion_tokens": 8,
    "max_steps": 3,
    "eval_samples": 2,
    "held_out_share": 0.25,
    "lora": {"r": 4, "alpha": 8},
    "device": "cpu",
    "on_failed_check": "go_on",
}
WARM = {"rows": 5, "epochs": 2, "learning_rate": 0.01}
VOWELS = {
    "type": "python",
    "source": "def grade(sample, item):\n    text = sample['output_text']\n"
    "    return sum(c < 'n' for c in text) / (len(text) + 1)\n",
}


def file_of(api: Api, *, solved: int, count: int = 12) -> str:
    """Upload rows, the first of which have a worked solution."""
    rows = [
        {"question": f"q{n}", "answer": str(n)} | ({"solution": f"so {n}"} if n < solved else {}) for n in range(count)
    ]
    return str(answered(api.upload(*rows))["id"])


def body(file: str, **x_rlsd: Any) -> dict[str, Any]:
    return {**job_body(file, x_rlsd=SMALL | x_rlsd, grader=VOWELS, seed=3), "model": "tests/tiny"}


def of_job(api: Api, job_id: str, what: str) -> list[dict[str, Any]]:
    return list(answered(api.http.get(f"/v1/fine_tuning/jobs/{job_id}/{what}"))["data"])


@pytest.mark.usefixtures("train_worker")
def test_a_job_imitates_then_trains_and_says_what_training_added(api: Api) -> None:
    made = create_job(api, body(file_of(api, solved=12), warm_start=WARM))
    assert made["x_progress"] | {"max_steps": 9, "warm_steps": 6} == made["x_progress"]
    job = ended(made["id"])
    assert job.state == "succeeded", job.error
    assert (job.step, job.max_steps, job.warm_steps) == (9, 9, 6)
    steps = [step["values"] for step in of_job(api, job.id, "metrics")]
    assert ["target_tokens" in values for values in steps] == [True] * 6 + [False] * 3
    assert ["reward_mean" in values for values in steps] == [False] * 6 + [True] * 3
    assert job.trained_tokens == sum(int(values["update_tokens"]) for values in steps)
    baseline, warm, trained = of_job(api, job.id, "evaluations")
    assert [(e["step"], e["phase"]) for e in (baseline, warm, trained)] == [
        (0, "baseline"),
        (6, "warm"),
        (9, "trained"),
    ]
    assert baseline["since_warm_start"] is None
    assert warm["since_warm_start"] is None
    since = trained["since_warm_start"]
    assert since["difference"]["mean"] == pytest.approx(trained["mean"] - warm["mean"])
    assert 0 <= since["p_value"] <= 1
    assert since["sentence"].startswith("Imitation took the held-out score from ")
    messages = {event["code"]: event["message"] for event in of_job(api, job.id, "events")}
    assert messages["imitation"] == "Warm start of 6 steps. The worked solutions of 5 rows are imitated."
    assert messages["beyond_imitation"] == since["sentence"]
    [model] = [m for m in answered(api.http.get("/v1/models"))["data"] if m["x_job"] == job.id]
    assert model["x_held_out"] == {"before": baseline["mean"], "warm": warm["mean"], "after": trained["mean"]}
    adapter = api.http.get(f"/v1/fine_tuning/jobs/{job.id}/adapter").content
    assert since["sentence"] in zipfile.ZipFile(io.BytesIO(adapter)).read("README.md").decode()


@pytest.mark.usefixtures("train_worker")
def test_imitation_alone_trains_without_completions_and_leaves_out_rows_without_a_solution(api: Api) -> None:
    job = ended(create_job(api, body(file_of(api, solved=8), method="sft"))["id"])
    assert job.state == "succeeded", job.error
    assert (job.step, job.warm_steps) == (3, 0)
    assert job.trained_tokens > 0
    assert of_job(api, job.id, "rollouts") == []
    assert [e["phase"] for e in of_job(api, job.id, "evaluations")] == ["baseline", "trained"]
    [said] = [event for event in of_job(api, job.id, "events") if event["code"] == "imitation"]
    assert said["level"] == "warn"
    assert "without worked solution" in said["message"]


@pytest.mark.parametrize("x_rlsd", [{"method": "sft"}, {"warm_start": {"rows": 4}}])
def test_a_file_without_solutions_is_refused_with_the_count(api: Api, x_rlsd: dict[str, Any]) -> None:
    file = file_of(api, solved=0)
    for route in ("jobs", "jobs/estimate"):
        error = refused(
            api.http.post(f"/v1/fine_tuning/{route}", json=body(file, **x_rlsd)), status=400, code="nothing_to_imitate"
        )
        assert error["param"] == "method.reinforcement.x_rlsd.warm_start.target"
        assert "0 of the 9 training rows" in error["message"]
    answers = x_rlsd | {"warm_start": x_rlsd.get("warm_start", {}) | {"target": "answer"}}
    create_job(api, body(file, **answers))
    assert len(answered(api.http.get("/v1/fine_tuning/jobs"))["data"]) == 1


def test_solutions_of_held_out_rows_do_not_count(api: Api) -> None:
    held_out = file_of(api, solved=12)
    refused(
        api.http.post(
            "/v1/fine_tuning/jobs",
            json=body(file_of(api, solved=0, count=20), method="sft") | {"validation_file": held_out},
        ),
        status=400,
        code="nothing_to_imitate",
    )


def test_the_estimate_counts_the_warm_start(api: Api) -> None:
    file = file_of(api, solved=3)
    found = answered(api.http.post("/v1/fine_tuning/jobs/estimate", json=body(file, warm_start=WARM | {"rows": 64})))
    created = create_job(api, body(file, warm_start=WARM | {"rows": 64}))
    assert found["max_steps"] == created["x_progress"]["max_steps"]
    assert 3 + 2 <= found["max_steps"] <= 3 + 4, "two passes over up to three rows in batches of two"
