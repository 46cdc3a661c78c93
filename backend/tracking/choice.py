"""Which trackers a run is told to, by the settings; each library is imported when its tracker is made."""

import re
from collections.abc import Callable

from backend.errors import AppError
from backend.settings import Settings
from backend.tracking.run import Tracker

CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+(?=@)")
KEYS = re.compile(r"\b[0-9A-Za-z_-]{32,}\b")
MAX_CHARACTERS = 300


def wanted(settings: Settings) -> dict[str, Callable[[], Tracker]]:
    """By name, those that are switched on; making one raises AppError where its package is not installed."""
    switched_on = {
        "tensorboard": settings.tensorboard_dir,
        "mlflow": settings.mlflow_experiment,
        "wandb": settings.wandb_project,
    }
    return {name: maker(name, settings) for name, setting in switched_on.items() if setting is not None}


def maker(name: str, settings: Settings) -> Callable[[], Tracker]:
    """What makes the tracker of this name. AppError where there is none."""
    makers = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
    if name not in makers:
        raise AppError(f"There is no tracker '{name}': use {', '.join(makers)}.", param="to")

    def make() -> Tracker:
        try:
            return makers[name](settings)
        except ImportError as error:
            raise AppError(
                f"The tracker '{name}' needs a package that is not installed ({error}): pip install '.[{name}]'.",
                code="no_package",
            ) from None

    return make


def _tensorboard(settings: Settings) -> Tracker:
    from backend.tracking.tensorboard import TensorBoard

    if settings.tensorboard_dir is None:
        raise AppError("Set RLSD_TENSORBOARD_DIR to the folder of TensorBoard's files.")
    return TensorBoard(settings.tensorboard_dir)


def _mlflow(settings: Settings) -> Tracker:
    from backend.tracking.mlflow import MLflow

    if settings.mlflow_experiment is None or settings.mlflow_tracking_uri is None:
        raise AppError("Set RLSD_MLFLOW_EXPERIMENT to an experiment's name and MLFLOW_TRACKING_URI to its server.")
    return MLflow(settings.mlflow_tracking_uri.get_secret_value(), experiment=settings.mlflow_experiment)


def _wandb(settings: Settings) -> Tracker:
    from backend.tracking.wandb import WeightsAndBiases

    if settings.wandb_project is None:
        raise AppError("Set RLSD_WANDB_PROJECT to the project at Weights & Biases.")
    return WeightsAndBiases(settings.wandb_project)


def said_by(error: Exception) -> str:
    """What a tracker's library says went wrong, without what may be a secret."""
    if isinstance(error, AppError):
        return error.message
    words = " ".join(str(error).split())
    words = KEYS.sub("…", CREDENTIALS.sub("…", words))
    return f"{type(error).__name__}: {words[:MAX_CHARACTERS]}"
