"""The request body of a comparison, from the form's values. Pure."""

from collections.abc import Mapping, Sequence

from frontend.api.types import FileReport, Json, Method, PresetFacts
from frontend.words.job_settings import hint_in_rows, hints, rows_without
from frontend.words.job_settings import methods as described

BUDGETS = {"steps": "steps", "tokens": "tokens", "seconds": "time"}
"""Labels of the API's budget units."""
USUAL = {"max_steps": 100, "eval_interval": 25}
"""Defaults: enough steps to see a difference, with evaluations on the way for curves."""


def arms(methods: Sequence[str], *, facts: Mapping[str, Method], teacher_model: str) -> list[Json]:
    """Build one arm per method, named by its title, with the larger teacher model if the method uses one."""
    return [
        {
            "name": facts[name]["title"],
            "x_rlsd": {"method": name}
            | ({"teacher_model": teacher_model} if facts[name]["teacher"] == "external" else {}),
        }
        for name in methods
    ]


def comparison_body(
    job: Json, *, name: str, arm_bodies: list[Json], seeds: int, unit: str, limit: float | None
) -> Json:
    """Build the comparison of arms that differ from this job's body."""
    budget = {"unit": unit} | ({} if limit is None else {"limit": limit})
    return {"name": name, "job": job, "arms": arm_bodies, "seeds": list(range(seeds)), "budget": budget}


def job_of_arm(body: Json, arm: Json) -> Json:
    """Build the body of one run of this arm, as the service does, for an estimate."""
    job: Json = body["job"]
    reinforcement, budget = job["method"]["reinforcement"], body["budget"]
    bounds = {"budget": budget["limit"], "budget_unit": budget["unit"]} if "limit" in budget else {}
    settings = {**reinforcement["x_rlsd"], **arm["x_rlsd"], **bounds}
    method = {**job["method"], "reinforcement": {**reinforcement, "x_rlsd": settings}}
    return {**job, "method": method, "seed": body["seeds"][0]}


def lacking(methods: Sequence[str], *, schema: Json, preset: PresetFacts, report: FileReport) -> list[str]:
    """Return a sentence for each method that needs texts which the rows do not have: hints, or what it imitates."""
    found, facts = [], described(schema)
    for name in methods:
        if facts[name]["imitates"] and not report["with_solution"]:
            found.append(
                f"{facts[name]['title']} imitates worked solutions, and 0 of {report['good']:,} rows have one. "
                "Remove the method, or choose another dataset."
            )
        hint = hint_in_rows({}, method=facts[name], preset=preset, schema=schema)
        without = rows_without(hint, report, settings={})
        if hint is not None and without:
            found.append(
                f"{facts[name]['title']} needs a hint that {without:,} of {report['good']:,} rows lack: they have no "
                f"{hints(schema)[hint]['lack']}. Remove the method, or choose the other preset or another dataset."
            )
    return found
