"""Tables from the API's comparison results: scores, curves with bands, differing settings. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from frontend.api.types import ArmObject, ComparisonResult, CurveObject, IntervalObject, JobObject, Json
from frontend.components.charts import Table
from frontend.words import units, verifiers
from frontend.words.job_settings import label_of

METRICS = {
    "reward_mean": ("Reward in training", "mean score of a step's completions"),
    "completion_tokens_mean": ("Completion length", "tokens"),
    "groups_mixed": ("Questions with a signal", "answered both right and wrong, per step"),
    "entropy": ("Entropy", "nats per token"),
    "kl_to_start": ("Distance to the base model", "KL, nats per token"),
    "step_s": ("Time per step", "seconds"),
}
"""Title and unit by the API's metric name."""
FEW_SEEDS = 3
"""With fewer seeds, a difference may be due to a single lucky run."""


def score_table(result: ComparisonResult) -> Table:
    """Build `arm, when, mean, low, high`, before and after training."""
    return [
        {"arm": arm["name"], "when": when, **_span(interval)}
        for arm in result["arms"]
        for when, interval in (("before training", arm["baseline"]), ("after training", arm["score"]))
        if interval is not None
    ]


def held_out_table(result: ComparisonResult) -> Table:
    """Build `series, step, mean, low, high`: the range over seeds, or the interval if there is one seed."""
    table = []
    for arm in result["arms"]:
        for point in arm["curve"]:
            seeds = point["by_seed"]
            span = _span(point["score"])
            if len(seeds) > 1:
                span |= {"low": min(seeds), "high": max(seeds)}
            table.append({"series": arm["name"], "step": point["step"], **span})
    return table


def curve_table(curves: Sequence[CurveObject], *, names: Mapping[str, str]) -> Table:
    """Build the same table for a training metric. `names`: titles of curves by job id."""
    return [
        {
            "series": names.get(curve["name"], curve["name"]),
            **{name: p[name] for name in ("step", "mean", "low", "high")},
        }
        for curve in curves
        for p in curve["points"]
    ]


def figures(result: ComparisonResult) -> Table:
    """Build the table of results: one line per figure, one column per arm; a dash if not measured."""
    lines: dict[str, Callable[[ArmObject], str]] = {
        "Evaluated runs": lambda arm: str(arm["seeds"]),
        "Score before": lambda arm: _score(arm["baseline"]),
        "Score after": lambda arm: _score(arm["score"]),
        "Difference": lambda arm: _difference(arm["difference"]),
        "p-value": _p_value,
        "Pass@k": lambda arm: ", ".join(f"{share:.2f} of {k}" for k, share in arm["pass_at_k"].items()) or "–",
        "Answers without a score": _unscored,
        "Device time per run": lambda arm: units.duration(arm["seconds"]) if arm["seconds"] else "–",
        "Tokens per run, all passes": _tokens,
        "Cost of +0.01 score": lambda arm: _cost(arm, result["currency"]),
    }
    return [{"figure": name} | {arm["name"]: value(arm) for arm in result["arms"]} for name, value in lines.items()]


def tone(result: ComparisonResult) -> str:
    """Return `better`, `worse` or `both` by the significant differences; `open` if there is none."""
    known = [arm for arm in result["arms"] if arm["difference"] and (arm["p_adjusted"] or 0) < 0.05]
    signs = {
        arm["difference"]["mean"] > 0 for arm in known if arm["difference"] and arm["difference"]["low"] is not None
    }
    if not signs:
        return "open"
    return "both" if len(signs) > 1 else "better" if signs == {True} else "worse"


def title(result: ComparisonResult) -> str:
    """Return the title of the verdict, with the number of seeds if there are few."""
    titles = {"open": "No difference was shown", "both": "Differences were shown"}
    shown = tone(result)
    fewest = min((arm["seeds"] for arm in result["arms"] if arm["seeds"]), default=0)
    by_few = "" if shown == "open" or fewest >= FEW_SEEDS else f" by {units.count(fewest, 'seed')} only"
    return titles.get(shown, "A difference was shown") + by_few


def differing(jobs: Mapping[str, JobObject], *, names: Mapping[str, str], with_seeds: bool) -> Table:
    """Build a table of the settings that differ: `setting` and a column per job.

    `names`: of datasets, by id. `with_seeds`: compare the seeds too, for jobs that were not planned together.
    """
    of_job = {title: _settings(job, names=names, with_seeds=with_seeds) for title, job in jobs.items()}
    every = list(dict.fromkeys(setting for settings in of_job.values() for setting in settings))
    table = []
    for setting in every:
        values = {title: settings.get(setting) for title, settings in of_job.items()}
        if len({repr(value) for value in values.values()}) > 1:
            shown = {title: _value(value) for title, value in values.items()}
            table.append({"setting": label_of(setting) or setting.replace("_", " "), **shown})
    return table


def _settings(job: JobObject, *, names: Mapping[str, str], with_seeds: bool) -> dict[str, Any]:
    reinforcement = job["method"]["reinforcement"]
    validation = job["validation_file"]
    settings: dict[str, Any] = {
        "base model": job["model"],
        "dataset": names.get(job["training_file"], job["training_file"]),
        "held-out dataset": "a share of the dataset" if validation is None else names.get(validation, validation),
        "verifier": verifiers.of_job(job),
    }
    if with_seeds:
        settings["seed"] = job["seed"]
    return settings | dict(_flat(reinforcement["x_rlsd"]))


def _flat(settings: Json, prefix: str = "") -> Sequence[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        found.extend(_flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)])
    return found


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _span(interval: IntervalObject) -> dict[str, float | None]:
    mean, low, high = interval["mean"], interval["low"], interval["high"]
    return {"mean": mean, "low": mean if low is None else low, "high": mean if high is None else high}


def _score(interval: IntervalObject | None) -> str:
    if interval is None:
        return "–"
    low, high = interval["low"], interval["high"]
    return f"{interval['mean']:.3f}" + ("" if low is None or high is None else f" ({low:.3f} to {high:.3f})")


def _difference(interval: IntervalObject | None) -> str:
    if interval is None:
        return "–"
    low, high = interval["low"], interval["high"]
    span = "" if low is None or high is None else f" ({low:+.3f} to {high:+.3f})"
    return f"{interval['mean']:+.3f}{span}"


def _p_value(arm: ArmObject) -> str:
    return "–" if arm["p_adjusted"] is None else units.small_probability(arm["p_adjusted"])


def _unscored(arm: ArmObject) -> str:
    return f"{arm['unscored']} of {arm['completions']}" if arm["completions"] else "–"


def _tokens(arm: ArmObject) -> str:
    used = arm["curve"][-1]["tokens"] if arm["curve"] else 0
    return f"{used:,.0f}" if used else "–"


def _cost(arm: ArmObject, currency: str | None) -> str:
    if arm["cost_per_point_s"] is None:
        return "–"
    price = "" if arm["cost_per_point"] is None else f", {arm['cost_per_point']:,.2f} {currency}"
    return units.duration(arm["cost_per_point_s"]) + price
