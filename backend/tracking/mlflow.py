"""MLflow: a run in an experiment, identified by a tag with the job's id."""

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunStatus
from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY

from backend.tracking.run import Figures, TrackedRun

JOB = "rlsd.job"
STEP, EVALUATED = "step", "evaluation/step"
"""Metrics with the step itself as value: their latest values show how far the run was logged before."""
MAX_PARAMS = 100
MAX_CHARACTERS = 500
"""Limit of older servers for a parameter's value."""

MLFLOW_DISABLE_TELEMETRY.set(True)  # the library would report its usage to its developers


class MLflow:
    """A run of `experiment` at the tracking server or store `uri`."""

    def __init__(self, uri: str, *, experiment: str) -> None:
        self._uri = uri
        self._experiment = experiment
        self._run_id = ""
        self._logged: dict[str, float] = {}

    def begin(self, run: TrackedRun) -> None:
        self._client = MlflowClient(tracking_uri=self._uri)
        known = self._client.get_experiment_by_name(self._experiment)
        experiment = self._client.create_experiment(self._experiment) if known is None else known.experiment_id
        found: list[Run] = self._client.search_runs([experiment], filter_string=f"tags.`{JOB}` = '{run.id}'")
        if found:
            self._run_id, self._logged = found[0].info.run_id, found[0].data.metrics
            self._client.update_run(self._run_id, status=RunStatus.to_string(RunStatus.RUNNING))
            return
        self._run_id = self._client.create_run(experiment, run_name=run.name, tags={JOB: run.id}).info.run_id
        params = [Param(name, str(value)[:MAX_CHARACTERS]) for name, value in run.settings.items()]
        for start in range(0, len(params), MAX_PARAMS):
            self._client.log_batch(self._run_id, params=params[start : start + MAX_PARAMS])

    def log(self, figures: Figures) -> None:
        """Log the metrics unless the run already has them: MLflow would keep both."""
        counter = EVALUATED if figures.of_evaluation else STEP
        if figures.step <= self._logged.get(counter, -1):
            return
        at_ms = int(figures.at * 1000)
        values = {**figures.values, counter: figures.step}
        self._client.log_batch(
            self._run_id, metrics=[Metric(name, value, at_ms, figures.step) for name, value in values.items()]
        )

    def end(self, *, finished: bool) -> None:
        if self._run_id:
            status = RunStatus.FINISHED if finished else RunStatus.KILLED
            self._client.set_terminated(self._run_id, status=RunStatus.to_string(status))
