"""Side-by-side runs over HTTP: curves of an arm over its seeds, and jobs created separately."""

from typing import Any

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.training import Step
from tests.service.conftest import EXACT, Api, answered, job_body, refused
from tests.service.test_api_comparisons import body, evaluate

RESULT, CURVES = "/v1/compared-jobs/result", "/v1/compared-jobs/curves"


def take_steps(job_id: str, *rewards: float | None) -> None:
    with transaction() as session:
        for number, reward in enumerate(rewards, start=1):
            metrics = {} if reward is None else {"reward_mean": reward}
            session.add(Step(job_id=job_id, step=number, created_at=utc_now(), metrics=metrics))


def two_jobs(api: Api, **second: Any) -> tuple[str, str]:
    file = api.dataset()
    bodies = (job_body(file, seed=1, suffix="before"), job_body(file, seed=1, suffix="after") | second)
    first, other = (answered(api.http.post("/v1/fine_tuning/jobs", json=each))["id"] for each in bodies)
    return first, other


def test_an_arm_s_curve_is_the_mean_of_its_seeds_between_the_lowest_and_the_highest(api: Api) -> None:
    made = answered(api.http.post("/v1/comparisons", json=body(api, seeds=[0, 1])))
    runs = {(run["arm"], run["seed"]): run for run in made["runs"]}
    assert runs["grpo", 0]["max_steps"] == 200
    take_steps(runs["grpo", 0]["job"], 0.1, 0.2, None)
    take_steps(runs["grpo", 1]["job"], 0.3)
    curves = answered(api.http.get(f"/v1/comparisons/{made['id']}/curves"))
    [grpo] = curves["data"]
    assert grpo["name"] == "grpo"
    assert [(p["step"], p["runs"]) for p in grpo["points"]] == [(1, 2), (2, 1)]
    assert [grpo["points"][0][name] for name in ("mean", "low", "high")] == [0.2, 0.1, 0.3]
    assert answered(api.http.get(f"/v1/comparisons/{made['id']}/curves?metric=entropy"))["data"] == []
    refused(api.http.get(f"/v1/comparisons/{made['id']}/curves?metric=a'b"), status=400)


def test_jobs_made_apart_get_a_verdict_where_they_answered_the_same_questions(api: Api) -> None:
    first, second = two_jobs(api)
    for job_id, share in ((first, 0.2), (second, 0.9)):
        evaluate(job_id, step=0, share=0.2, seed=1)
        evaluate(job_id, step=3, share=share, seed=2)
    found = answered(api.http.get(RESULT, params={"job": [first, second]}))
    assert [arm["name"] for arm in found["arms"]] == ["before", "after"]
    assert "after is" in found["verdict"]
    assert "better than before (only 1 seed, n = 40" in found["verdict"]
    assert "With 1 seed" in found["verdict"]
    assert [len(point["by_seed"]) for point in found["arms"][1]["curve"]] == [1, 1]


def test_scores_that_are_not_comparable_get_no_verdict(api: Api) -> None:
    first, second = two_jobs(api, training_file=api.dataset(30))
    other = answered(
        api.http.post(
            "/v1/fine_tuning/jobs",
            json=job_body(
                answered(api.http.get(f"/v1/fine_tuning/jobs/{first}"))["training_file"],
                grader={**EXACT, "operation": "like"},
            ),
        )
    )["id"]
    for job_id in (first, second, other):
        evaluate(job_id, step=3, share=0.2, seed=1)
    for pair, reason in (((first, second), "different held-out data"), ((first, other), "different verifiers")):
        found = answered(api.http.get(RESULT, params={"job": pair}))
        assert reason in found["verdict"]
        assert [arm["difference"] for arm in found["arms"]] == [None, None]
        assert all(arm["score"]["mean"] > 0 for arm in found["arms"])


def test_jobs_have_a_curve_each_and_are_named_once(api: Api) -> None:
    first, second = two_jobs(api)
    take_steps(second, 0.5)
    [curve] = answered(api.http.get(CURVES, params={"job": [first, second]}))["data"]
    assert (curve["name"], curve["points"][0]["runs"]) == (second, 1)
    refused(api.http.get(CURVES, params={"job": [first, first]}), status=400)
    refused(api.http.get(RESULT, params={"job": [first, "ftjob-none"]}), status=404)
    refused(api.http.get(RESULT), status=400)
