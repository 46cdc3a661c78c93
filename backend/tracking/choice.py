"""Choice of the trackers by the settings. A tracker's library is imported when the tracker is created."""

import re
from collections.abc import Callable

from backend.errors import AppError
from backend.settings import Settings
from backend.tracking.run import Tracker

CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+(?=@)")
KEYS = re.compile(r"\b[0-9A-Za-z_-]{32,}\b")
MAX_CHARACTERS = 300


def enabled_trackers(settings: Settings) -> dict[str, Callable[[], Tracker]]:
    """Return the factories of the enabled trackers by name; a factory raises AppError if its package is missing."""
    enabled = {
        "tensorboard": settings.tensorboard_dir,
        "mlflow": settings.mlflow_experiment,
        "wandb": settings.wandb_project,
    }
    return {name: tracker_factory(name, settings) for name, setting in enabled.items() if setting is not None}


def tracker_factory(name: str, settings: Settings) -> Callable[[], Tracker]:
    """Return the factory of the tracker with this name. Raises AppError if there is none."""
    factories = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
    if name not in factories:
        raise AppError(f"There is no tracker '{name}': use {', '.join(factories)}.", param="to")

    def create() -> Tracker:
        try:
            return factories[name](settings)
        except ImportError as error:
            raise AppError(
                f"The tracker '{name}' needs a package that is not installed ({error}): pip install '.[{name}]'.",
                code="no_package",
            ) from None

    return create


def _tensorboard(settings: Settings) -> Tracker:
    from backend.tracking.tensorboard import TensorBoard

    if settings.tensorboard_dir is None:
        raise AppError("Set RLSD_TENSORBOARD_DIR to a folder for TensorBoard's event files.")
    return TensorBoard(settings.tensorboard_dir)


def _mlflow(settings: Settings) -> Tracker:
    from backend.tracking.mlflow import MLflow

    if settings.mlflow_experiment is None or settings.mlflow_tracking_uri is None:
        raise AppError(
            "Set RLSD_MLFLOW_EXPERIMENT to the name of an experiment and MLFLOW_TRACKING_URI to the MLflow server."
        )
    return MLflow(settings.mlflow_tracking_uri.get_secret_value(), experiment=settings.mlflow_experiment)


def _wandb(settings: Settings) -> Tracker:
    from backend.tracking.wandb import WeightsAndBiases

    if settings.wandb_project is None:
        raise AppError("Set RLSD_WANDB_PROJECT to a Weights & Biases project.")
    return WeightsAndBiases(settings.wandb_project)


def error_summary(error: Exception) -> str:
    """Summarise an error of a tracker's library, without possible secrets."""
    if isinstance(error, AppError):
        return error.message
    text = " ".join(str(error).split())
    text = KEYS.sub("…", CREDENTIALS.sub("…", text))
    return f"{type(error).__name__}: {text[:MAX_CHARACTERS]}"
