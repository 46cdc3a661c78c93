"""Weights & Biases: a run whose id is the job's, so that a job that goes on goes on there.

The library reads its own variables (WANDB_API_KEY, WANDB_MODE, WANDB_BASE_URL, WANDB_ENTITY, WANDB_DIR). What it would
gather by itself (console, code, packages, machine) is turned off.
"""

import os

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read on import: the library would tell its makers of faults

import wandb

from backend.tracking.run import Figures, TrackedRun

FINISH_S = 10.0
BEGIN_S = 60.0


class WeightsAndBiases:
    """One run in `project`."""

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

    def tell(self, figures: Figures) -> None:
        """Steps that the run holds already are left out by the library."""
        assert self._run is not None
        self._run.log(figures.values, step=figures.step)

    def end(self, *, finished: bool) -> None:
        if self._run is not None:
            exit_code = 0 if finished else 1
            self._run.finish(exit_code=exit_code)
            wandb.teardown(exit_code=exit_code)  # waits until the library's own process has written everything
