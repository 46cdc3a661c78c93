"""From a model's name to a host of it, and from a reference to an adapter. The first import of the engine."""

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
from worker.training.prepare import load_to_serve, load_words, use_threads

NOT_FOUND = 404
MISSING = ("model_not_found",)


def open_host(base: str) -> ModelRunner:
    """Raises AppError where the model cannot be used."""
    use_threads(processes=1)
    limits = RunnerLimits(
        sequences=settings().serve_sequences,
        tokens=settings().serve_tokens,
        default_tokens=settings().serve_max_tokens,
        adapters=settings().serve_adapters,
    )
    with _said_of_the_model():
        policy = load_to_serve(base, dtype=settings().serve_dtype)
    return ModelRunner(policy, limits=limits, fetch=fetch_adapter)


def look_at(base: str) -> None:
    """Raises AppError where there is no such model, or its files but for the weights cannot be used."""
    with _said_of_the_model():
        load_words(base)


@contextmanager
def _said_of_the_model() -> Iterator[None]:
    try:
        yield
    except AppError as error:
        status = NOT_FOUND if error.code in MISSING else error.status
        raise AppError(error.message, status=status, code=error.code, param="model") from error


def fetch_adapter(reference: AdapterRef) -> Adapter:
    """Raises AppError where it has been deleted, ValueError where it cannot be read."""
    with transaction() as session:
        found = session.get(Blob, reference.sha256) is not None
        data = blobs.read(session, reference.sha256) if found else b""
    if not found:
        raise AppError("The adapter has been deleted.", status=NOT_FOUND, code="model_not_found", param="model")
    if reference.kind == "archive":
        return adapter_from_archive(data)
    return adapter_from_checkpoint(data, r=reference.r, alpha=reference.alpha)
