"""The data of the Compare page, of a comparison or of chosen jobs, updated by at most one request per tick."""

from dataclasses import dataclass, field

from frontend.api import Client
from frontend.api.types import ComparisonObject, ComparisonResult, CurveObject, JobObject, RunObject
from frontend.words.job_states import ENDED

TICK_S = 4.0
RESULT_EVERY, CURVES_EVERY = 4, 2
"""Intervals in ticks: results change only with evaluations, curves with each step."""
REWARD = "reward_mean"


@dataclass(slots=True)
class ComparisonFeed:
    """The feed. `names`: titles of curves by job id; `curves`: of `metric`."""

    comparison: ComparisonObject | None
    job_ids: list[str]
    runs: list[RunObject]
    result: ComparisonResult
    curves: list[CurveObject]
    metric: str = REWARD
    names: dict[str, str] = field(default_factory=dict)
    ticks: int = 0
    pending: list[str] = field(default_factory=list)
    """Final reads that are due after the last run has ended, the next one last."""

    @classmethod
    def of_comparison(cls, client: Client, comparison_id: str) -> "ComparisonFeed":
        comparison = client.comparison(comparison_id)
        return cls(
            comparison=comparison,
            job_ids=[],
            runs=comparison["runs"],
            result=client.comparison_result(comparison_id),
            curves=client.comparison_curves(comparison_id, metric=REWARD),
        )

    @classmethod
    def of_jobs(cls, client: Client, job_ids: list[str]) -> "ComparisonFeed":
        result = client.result_of_jobs(job_ids)
        names = dict(zip(job_ids, (arm["name"] for arm in result["arms"]), strict=True))
        return cls(
            comparison=None,
            job_ids=job_ids,
            runs=[_run(client.job(job_id), arm=names[job_id]) for job_id in job_ids],
            result=result,
            curves=client.curves_of_jobs(job_ids, metric=REWARD),
            names=names,
        )

    @property
    def key(self) -> str:
        return ",".join(self.job_ids) if self.comparison is None else self.comparison["id"]

    @property
    def moving(self) -> bool:
        return any(run["status"] not in ENDED for run in self.runs)

    @property
    def settled(self) -> bool:
        """Whether nothing will change any more, and everything has been read."""
        return not self.moving and not self.pending

    @property
    def arms(self) -> list[str]:
        return [arm["name"] for arm in self.result["arms"]]

    def runs_of(self, arm: str) -> list[RunObject]:
        return [run for run in self.runs if run["arm"] == arm]

    def show_metric(self, client: Client, metric: str) -> None:
        if metric != self.metric:
            self.metric = metric
            self._read_curves(client)

    def tick(self, client: Client) -> None:
        """Make one request, or none once the feed is settled."""
        if self.settled:
            return
        self.ticks += 1
        if not self.moving:
            if self.pending.pop() == "result":
                self._read_result(client)
            else:
                self._read_curves(client)
        elif self.ticks % RESULT_EVERY == 0:
            self._read_result(client)
        elif self.ticks % CURVES_EVERY == 0:
            self._read_curves(client)
        else:
            self._read_runs(client)

    def refresh_runs(self, client: Client) -> None:
        self._read_runs(client)

    def _read_runs(self, client: Client) -> None:
        moving = [place for place, run in enumerate(self.runs) if run["status"] not in ENDED]
        if self.comparison is not None:
            self.comparison = client.comparison(self.comparison["id"])
            self.runs = self.comparison["runs"]
        else:
            place = moving[self.ticks % len(moving)]
            self.runs[place] = _run(client.job(self.runs[place]["job"]), arm=self.runs[place]["arm"])
        if not self.moving:
            self.pending = ["curves", "result"]

    def _read_result(self, client: Client) -> None:
        if self.comparison is not None:
            self.result = client.comparison_result(self.comparison["id"])
        else:
            self.result = client.result_of_jobs(self.job_ids)

    def _read_curves(self, client: Client) -> None:
        if self.comparison is not None:
            self.curves = client.comparison_curves(self.comparison["id"], metric=self.metric)
        else:
            self.curves = client.curves_of_jobs(self.job_ids, metric=self.metric)


def _run(job: JobObject, *, arm: str) -> RunObject:
    return {
        "job": job["id"],
        "arm": arm,
        "seed": job["seed"],
        "status": job["status"],
        "step": job["x_progress"]["step"],
        "max_steps": job["x_progress"]["max_steps"],
        "fine_tuned_model": job["fine_tuned_model"],
    }
