"""Weights & Biases: a run with the job's id, so that a resumed job resumes its run.

The library reads its own variables (WANDB_API_KEY, WANDB_MODE, WANDB_BASE_URL, WANDB_ENTITY, WANDB_DIR). What it would
collect by itself (console, code, packages, machine) is turned off.
"""

import os

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read on import: turns off error reports to the developers

import wandb

from backend.tracking.run import Figures, TrackedRun

FINISH_S = 10.0
BEGIN_S = 60.0


class WeightsAndBiases:
    """A run in `project`."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._run: wandb.Run | None = None

    def begin(self, run: TrackedRun) -> None:
        self._run = wandb.init(
            project=self._project,
            id=run.id,
            name=run.name,
            config=run.settings,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                init_timeout=BEGIN_S,
                finish_timeout=FINISH_S,
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )

    def log(self, figures: Figures) -> None:
        """Log the metrics; the library skips steps that the run already has."""
        assert self._run is not None
        self._run.log(figures.values, step=figures.step)

    def end(self, *, finished: bool) -> None:
        if self._run is not None:
            exit_code = 0 if finished else 1
            self._run.finish(exit_code=exit_code)
            wandb.teardown(exit_code=exit_code)  # waits until the library's service process has written everything
