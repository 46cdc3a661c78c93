"""Each tracker writes what its own library can read, and resumes a run that it knows."""

from pathlib import Path
from typing import Any

import pytest

from backend.errors import AppError
from backend.settings import Settings
from backend.tracking.choice import enabled_trackers, error_summary, tracker_factory
from backend.tracking.run import Figures, TrackedRun, evaluation_figures, flat, step_figures
from backend.tracking.whole import figures_of, log_run
from tests.backend.tracking.reading import mlflow_run, tensorboard_curves, wandb_curves, wandb_records

RUN = TrackedRun(id="ftjob-1", name="first", settings=flat({"model": "starter", "lora": {"r": 4}}))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RLSD_TENSORBOARD_DIR", str(tmp_path / "boards"))
    monkeypatch.setenv("RLSD_MLFLOW_EXPERIMENT", "rlsd")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("RLSD_WANDB_PROJECT", "rlsd")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    return Settings()


def steps(first: int, last: int, *, reward: float) -> list[Figures]:
    return [step_figures(step, {"reward_mean": reward, "loss": None}, at=1000.0 + step) for step in range(first, last)]


def evaluation(step: int) -> Figures:
    return evaluation_figures({"step": step, "mean": 0.5, "low": 0.25, "high": 0.75, "n": 8}, at=1000.0 + step)


def log_interrupted_run(name: str, settings: Settings) -> None:
    """Log three steps; then resume from the checkpoint of step 2: log its steps, step 3 again, and two more."""
    log_run(tracker_factory(name, settings)(), RUN, [evaluation(0), *steps(1, 4, reward=0.25)], finished=False)
    log_run(
        tracker_factory(name, settings)(),
        RUN,
        [evaluation(0), *steps(1, 3, reward=0.25), *steps(3, 6, reward=0.5), evaluation(5)],
        finished=True,
    )


def test_tensorboard_shows_the_steps_of_the_resumed_run(settings: Settings, tmp_path: Path) -> None:
    log_interrupted_run("tensorboard", settings)
    curves = tensorboard_curves(tmp_path / "boards" / "ftjob-1")
    assert curves["reward_mean"] == [(1, 0.25), (2, 0.25), (3, 0.5), (4, 0.5), (5, 0.5)]
    assert curves["evaluation/mean"] == [(0, 0.5), (5, 0.5)]
    assert "loss" not in curves


def test_mlflow_keeps_one_run_and_each_step_once(settings: Settings, tmp_path: Path) -> None:
    log_interrupted_run("mlflow", settings)
    run, curves = mlflow_run(f"sqlite:///{tmp_path}/mlflow.db", "rlsd")
    assert (run.info.status, run.info.run_name, run.data.tags["rlsd.job"]) == ("FINISHED", "first", "ftjob-1")
    assert run.data.params == {"model": "starter", "lora.r": "4"}
    assert curves["reward_mean"] == [(1, 0.25), (2, 0.25), (3, 0.25), (4, 0.5), (5, 0.5)]
    assert curves["evaluation/high"] == [(0, 0.75), (5, 0.75)]


def test_weights_and_biases_resumes_by_the_jobs_id_and_collects_nothing_else(
    settings: Settings, tmp_path: Path
) -> None:
    log_interrupted_run("wandb", settings)
    curves = wandb_curves(tmp_path)
    first, resumed = [(1, 0.25), (2, 0.25), (3, 0.25)], [(1, 0.25), (2, 0.25), (3, 0.5), (4, 0.5), (5, 0.5)]
    assert curves["reward_mean"] == [*first, *resumed]  # `wandb sync` merges both
    assert curves["evaluation/low"] == [(0, 0.25), (0, 0.25), (5, 0.25)]
    records = wandb_records(tmp_path)
    assert {(r.run.run_id, r.run.project, r.run.display_name) for r in records if r.HasField("run")} == {
        ("ftjob-1", "rlsd", "first")
    }
    assert not [r for r in records if r.HasField("output_raw") or r.HasField("stats")]
    assert not list(tmp_path.glob("wandb/offline-run-*/files/*"))


def test_no_tracker_is_enabled_without_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert enabled_trackers(Settings()) == {}
    monkeypatch.setenv("RLSD_WANDB_PROJECT", "p")
    assert list(enabled_trackers(Settings())) == ["wandb"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tensorboard", "RLSD_TENSORBOARD_DIR"),
        ("mlflow", "MLFLOW_TRACKING_URI"),
        ("wandb", "RLSD_WANDB_PROJECT"),
        ("elsewhere", "There is no tracker 'elsewhere': use tensorboard, mlflow, wandb"),
    ],
)
def test_an_unconfigured_tracker_names_the_missing_setting(name: str, sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        tracker_factory(name, Settings())()


def test_error_messages_of_libraries_are_reported_without_secrets() -> None:
    summary = error_summary(
        OSError(f"no answer from https://ada:secret@mlflow.local/api with key {'0123456789abcdef' * 3}")
    )
    assert summary == "OSError: no answer from https://…@mlflow.local/api with key …"


def test_an_unwritable_folder_is_reported(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "boards").write_text("a file")
    with pytest.raises(AppError, match=r"could not be logged to the tracker\. \w*Error: "):
        log_run(tracker_factory("tensorboard", settings)(), RUN, steps(1, 2, reward=1.0), finished=True)


def test_figures_are_in_the_order_in_which_they_were_measured() -> None:
    metrics = [{"step": step, "values": {"loss": 1.0}, "created_at": 5} for step in (1, 2)]
    results: list[dict[str, Any]] = [
        {"step": step, "mean": 1.0, "p_value": None, "created_at": 5} for step in (0, 1, 2)
    ]
    found = figures_of(metrics, results)
    assert [(each.step, each.of_evaluation) for each in found] == [
        (0, True),
        (1, False),
        (1, True),
        (2, False),
        (2, True),
    ]
    assert found[0].values == {"evaluation/mean": 1.0}
