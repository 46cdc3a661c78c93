"""Loads models and adapters for the chat server. Importing it imports the engine and torch."""

from collections.abc import Iterator
from contextlib import contextmanager

from backend import blobs
from backend.chat.protocol import AdapterRef
from backend.db.blobs import Blob
from backend.db.engine import transaction
from backend.errors import AppError
from backend.settings import settings
from worker.engine.model.adapter_files import Adapter, adapter_from_archive
from worker.engine.training.checkpoint import adapter_from_checkpoint
from worker.serving.model_runner import ModelRunner, RunnerLimits
from worker.training.prepare import load_for_serving, load_model_assets, use_threads

NOT_FOUND = 404
MISSING = ("model_not_found",)


def load_runner(base: str) -> ModelRunner:
    """Load the model and return its runner. Raises AppError if the model cannot be used."""
    use_threads(processes=1)
    limits = RunnerLimits(
        sequences=settings().serve_sequences,
        tokens=settings().serve_tokens,
        default_tokens=settings().serve_max_tokens,
        adapters=settings().serve_adapters,
    )
    with _as_model_error():
        policy = load_for_serving(base, dtype=settings().serve_dtype)
    return ModelRunner(policy, limits=limits, fetch=fetch_adapter)


def check_model(base: str) -> None:
    """Raise AppError if the model does not exist, or if its config or tokenizer cannot be used."""
    with _as_model_error():
        load_model_assets(base)


@contextmanager
def _as_model_error() -> Iterator[None]:
    try:
        yield
    except AppError as error:
        status = NOT_FOUND if error.code in MISSING else error.status
        raise AppError(error.message, status=status, code=error.code, param="model") from error


def fetch_adapter(reference: AdapterRef) -> Adapter:
    """Read an adapter from the blobs. Raises AppError if it was deleted, ValueError if it cannot be read."""
    with transaction() as session:
        found = session.get(Blob, reference.sha256) is not None
        data = blobs.read(session, reference.sha256) if found else b""
    if not found:
        raise AppError("The adapter has been deleted.", status=NOT_FOUND, code="model_not_found", param="model")
    if reference.kind == "archive":
        return adapter_from_archive(data)
    return adapter_from_checkpoint(data, r=reference.r, alpha=reference.alpha)
