"""Comparisons over HTTP: jobs for every arm and seed, and the analysis of their evaluations."""

from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.training import Evaluation, Step
from backend.settings import settings
from tests.service.conftest import Api, answered, job_body, refused

ARMS = [{"name": "grpo", "x_rlsd": {"method": "grpo"}}, {"name": "rlsd", "x_rlsd": {"method": "rlsd"}}]


def body(api: Api, **changes: Any) -> dict[str, Any]:
    return {"name": "which one", "job": job_body(api.dataset()), "arms": ARMS, "seeds": [0, 1, 2], **changes}


def evaluate(job_id: str, *, step: int, share: float, seed: int) -> None:
    """Store an evaluation as a trainer does: 40 questions, 4 samples each."""
    rng = np.random.default_rng([seed, step])
    questions = [{"row": row, "scores": [float(rng.random() < share) for _ in range(4)]} for row in range(40)]
    with transaction() as session:
        session.add(
            Evaluation(
                job_id=job_id,
                step=step,
                phase="baseline" if step == 0 else "trained",
                created_at=utc_now(),
                result={"per_question": questions},
            )
        )
        if step:
            metrics = {"step_s": 2.0, "rollout_tokens": 100.0}
            session.add(Step(job_id=job_id, step=step, created_at=utc_now(), metrics=metrics))


def test_every_arm_gets_a_job_for_every_seed_and_nothing_else_differs(api: Api) -> None:
    made = answered(api.http.post("/v1/comparisons", json=body(api)))
    assert [(run["arm"], run["seed"]) for run in made["runs"]] == [
        (arm, seed) for seed in (0, 1, 2) for arm in ("grpo", "rlsd")
    ]
    jobs = [answered(api.http.get(f"/v1/fine_tuning/jobs/{run['job']}")) for run in made["runs"]]
    specs = [job["method"]["reinforcement"]["x_rlsd"] for job in jobs]
    assert [spec.pop("method") for spec in specs] == ["grpo", "rlsd"] * 3
    assert all(spec == specs[0] for spec in specs)
    assert [job["seed"] for job in jobs] == [0, 0, 1, 1, 2, 2]
    assert made["status"] == "running"
    assert answered(api.http.get("/v1/comparisons"))["data"][0]["id"] == made["id"]


def test_the_result_names_the_better_arm(api: Api) -> None:
    made = answered(api.http.post("/v1/comparisons", json=body(api)))
    path = f"/v1/comparisons/{made['id']}/result"
    assert answered(api.http.get(path))["verdict"].startswith("Nothing can be compared yet")
    for run in made["runs"]:
        evaluate(run["job"], step=0, share=0.2, seed=run["seed"])
        evaluate(run["job"], step=3, share=0.4 if run["arm"] == "grpo" else 0.8, seed=run["seed"])
    found = answered(api.http.get(path))
    assert "better than grpo (n = 40" in found["verdict"]
    first, better = found["arms"]
    assert first["difference"] is None
    assert better["p_adjusted"] < 0.01
    assert better["difference"]["low"] > 0
    assert [point["step"] for point in better["curve"]] == [0, 3]
    assert list(better["pass_at_k"]) == ["1", "2", "4"]
    assert better["seconds"] == 2.0


def test_cancelling_ends_all_of_them(api: Api) -> None:
    made = answered(api.http.post("/v1/comparisons", json=body(api)))
    ended = answered(api.http.post(f"/v1/comparisons/{made['id']}/cancel"))
    assert ended["status"] == "ended"
    assert {run["status"] for run in ended["runs"]} == {"cancelled"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ARMS[:1]}, "at least 2"),
        ({"arms": [ARMS[0], ARMS[0]]}, "must differ"),
        ({"seeds": [1, 1]}, "Seeds must differ"),
        ({"budget": {"unit": "tokens", "limit": 0}}, "greater than 0"),
        ({"arms": [ARMS[0], {"name": "odd", "x_rlsd": {"method": "ppo"}}]}, "Arm 'odd'"),
        ({"arms": [ARMS[0], {"name": "odd", "x_rlsd": {"batch_size": -1}}]}, "Arm 'odd'"),
        ({"budget": {"unit": "hours", "limit": 1}}, "'steps', 'tokens' or 'seconds'"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_nothing_is_kept(
    api: Api, changes: dict[str, Any], message: str
) -> None:
    response = api.http.post("/v1/comparisons", json=body(api, **changes))
    assert message in refused(response, status=400)["message"]
    assert answered(api.http.get("/v1/comparisons"))["data"] == []
    assert answered(api.http.get("/v1/fine_tuning/jobs"))["data"] == []


@pytest.mark.parametrize(
    "name", ["max_steps", "eval_interval", "eval_samples", "eval_rows", "held_out_share", "success_above", "budget"]
)
def test_an_arm_that_would_learn_longer_or_be_measured_otherwise_is_refused_by_name(api: Api, name: str) -> None:
    arms = [ARMS[0], {"name": "odd", "x_rlsd": {name: 0.5}}]
    error = refused(api.http.post("/v1/comparisons", json=body(api, arms=arms)), status=400, code="not_equal")
    assert error["param"] == f"arms.1.x_rlsd.{name}"
    assert f"Arm 'odd': {name} must be equal for all arms" in error["message"]


def test_the_budget_of_a_comparison_ends_its_runs_and_is_set_once(api: Api) -> None:
    limited = body(api, budget={"unit": "tokens", "limit": 5000})
    made = answered(api.http.post("/v1/comparisons", json=limited))
    for run in made["runs"]:
        spec = answered(api.http.get(f"/v1/fine_tuning/jobs/{run['job']}"))["method"]["reinforcement"]["x_rlsd"]
        assert (spec["budget"], spec["budget_unit"]) == (5000, "tokens")
    limited["job"]["method"]["reinforcement"]["x_rlsd"]["budget"] = 10
    error = refused(api.http.post("/v1/comparisons", json=limited), status=400, code="not_equal")
    assert error["param"] == "job.method.reinforcement.x_rlsd.budget"


def test_seconds_are_those_of_all_devices_and_so_is_the_price(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLSD_GPU_HOUR_PRICE", "3.6")
    settings.cache_clear()
    request = body(api, seeds=[0])
    request["arms"][1] = {"name": "wide", "x_rlsd": {"devices": 2}}
    made = answered(api.http.post("/v1/comparisons", json=request))
    for run in made["runs"]:
        evaluate(run["job"], step=0, share=0.2, seed=0)
        evaluate(run["job"], step=1, share=0.8, seed=0)
    single, wide = answered(api.http.get(f"/v1/comparisons/{made['id']}/result"))["arms"]
    monkeypatch.undo()
    settings.cache_clear()
    assert (single["seconds"], wide["seconds"]) == (2.0, 4.0)
    assert wide["curve"][-1]["seconds"] == 4.0
    assert wide["cost_per_point_s"] == pytest.approx(2 * single["cost_per_point_s"])
    assert wide["cost_per_point"] == pytest.approx(wide["cost_per_point_s"] / 1000)


def test_a_result_is_worked_out_once_until_something_is_measured(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made = answered(api.http.post("/v1/comparisons", json=body(api, seeds=[0])))
    first, second = made["runs"]
    path = f"/v1/comparisons/{made['id']}/result"
    evaluate(first["job"], step=3, share=0.2, seed=0)
    evaluate(second["job"], step=3, share=0.8, seed=0)
    found = answered(api.http.get(path))
    with transaction() as session:
        session.execute(update(Evaluation).values(result={"per_question": []}))
    assert answered(api.http.get(path)) == found
    evaluate(second["job"], step=5, share=0.8, seed=0)
    assert answered(api.http.get(path))["questions"] == 0


def test_a_seed_of_the_job_itself_is_refused(api: Api) -> None:
    request = body(api)
    request["job"]["seed"] = 3
    assert (
        "set the seeds of all arms in `seeds`"
        in refused(api.http.post("/v1/comparisons", json=request), status=400)["message"]
    )
