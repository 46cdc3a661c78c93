"""Safe loading of model files, with errors that tell the user what to do.

Weights are read from safetensors, or from one .gguf file in a folder. A pickle is never opened: reading one can run
code. Code from a model's repository runs only where the caller allows it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError
from transformers import AutoProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import is_torchvision_available
from transformers.utils.peft_utils import find_adapter_config_file

from worker.engine.faults import Fault, FaultCode, memory_errors_as_faults

HUB_TRIES = 3
HUB_TIMEOUT_S = 5.0
HUB_PAUSE_S = 1.0
UNREACHABLE = (
    "the model hub could not be reached, and the model is not in this machine's cache: try again later, or ask the "
    "administrator to put the model into a folder and list it in RLSD_MODELS"
)
PICKLE_PATTERNS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
SAFE_PATTERNS = ("*.safetensors", "*.gguf")
SAFE_WEIGHTS_REMEDY = (
    "choose a copy with safetensors, or, if you trust the file, convert it once (from_pretrained, then save_pretrained "
    "into a new folder), or provide one .gguf file in a folder"
)
REMOTE_CODE = (
    "it needs custom code from its repository, which is not run unless the administrator sets "
    "RLSD_ALLOW_REMOTE_CODE=1: choose a model with an architecture built into transformers"
)
KNOWN_ERRORS = (
    ("trust_remote_code", FaultCode.REMOTE_CODE, REMOTE_CODE),
    (
        "use_safetensors",
        FaultCode.UNSAFE_WEIGHTS,
        f"it has no safetensors weights, and a pickle (pytorch_model.bin) is never opened: {SAFE_WEIGHTS_REMEDY}",
    ),
    ("Error no file named", FaultCode.MISSING_WEIGHTS, "its folder contains no weights (model.safetensors)"),
    (
        "does not recognize this architecture",
        FaultCode.MODEL_NOT_LOADED,
        "its architecture is not supported by the installed transformers: choose another model or upgrade transformers",
    ),
    (
        "Unrecognized configuration class",
        FaultCode.MODEL_NOT_LOADED,
        "it is not a causal language model, so it cannot generate completions: choose an instruction-tuned model",
    ),
    (
        "Unrecognized model in",
        FaultCode.MODEL_NOT_LOADED,
        "it has no config.json with a model_type: check that this is a model folder",
    ),
    ("backend tokenizer", FaultCode.MODEL_NOT_LOADED, "it has no tokenizer files (tokenizer.json)"),
    (
        "ignore_mismatched_sizes",
        FaultCode.MODEL_NOT_LOADED,
        "the shapes of its weights do not match its config.json: the two belong to different models",
    ),
)
"""(text in an error of transformers, code, message); the first match is used."""


@contextmanager
def loading_errors_as_faults() -> Iterator[None]:
    """Turn errors of loading a model inside the block into Faults with advice."""
    try:
        with memory_errors_as_faults("loading"):
            yield
    except Fault:
        raise
    except SafetensorError as error:
        raise _fault(FaultCode.MODEL_NOT_LOADED, f"a weights file is damaged or truncated: {error}") from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise (_hub_fault(error) or _loading_fault(error)) from error


@contextmanager
def processor_errors_as_faults() -> Iterator[None]:
    """Turn errors of loading an image processor inside the block into Faults."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        detail = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise _hub_fault(error) or _fault(
            FaultCode.NO_PROCESSOR,
            "it reads images, but its image processor could not be loaded: add preprocessor_config.json, and "
            f"processor_config.json if the model has one, to its folder ({detail:.200})",
        ) from error


def require_safe_files(model: str) -> None:
    """Raise a Fault where a hub id or folder is an adapter, or where a folder only has pickled weights."""
    folder = Path(model)
    if folder.is_dir() and not any(any(folder.glob(pattern)) for pattern in SAFE_PATTERNS):
        pickles = sorted(path.name for pattern in PICKLE_PATTERNS for path in folder.glob(pattern))
        if pickles:
            raise _fault(
                FaultCode.UNSAFE_WEIGHTS,
                f"its weights are only available as a pickle ({', '.join(pickles[:3])}), which is never opened because "
                f"it can run code: {SAFE_WEIGHTS_REMEDY}",
            )
    _require_reachable(model)
    if find_adapter_config_file(model) is not None:
        raise _fault(
            FaultCode.MODEL_NOT_LOADED, "it is or contains an adapter: enter the base model of the adapter instead"
        )


def _require_reachable(model: str) -> None:
    """Raise a Fault where a hub id is neither cached nor reachable; transformers would need a minute per file."""
    if Path(model).is_dir() or constants.HF_HUB_OFFLINE or try_to_load_from_cache(model, "config.json") is not None:
        return
    for retries_left in reversed(range(HUB_TRIES)):
        try:
            with suppress(EntryNotFoundError):
                get_hf_file_metadata(hf_hub_url(model, "config.json"), timeout=HUB_TIMEOUT_S)
            return
        except httpx2.TransportError as error:
            if retries_left == 0:
                raise _fault(FaultCode.HUB_UNREACHABLE, UNREACHABLE) from error
            time.sleep(HUB_PAUSE_S)


def gguf_in(model: str) -> str | None:
    """Return the name of the .gguf file in a folder without safetensors, or None. Fault where there are several."""
    folder = Path(model)
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return None
    names = sorted(path.name for path in folder.glob("*.gguf"))
    if len(names) > 1:
        raise _fault(
            FaultCode.MODEL_NOT_LOADED,
            f"its folder contains {len(names)} .gguf files ({', '.join(names[:3])}) instead of one: put each into its "
            "own folder",
        )
    return names[0] if names else None


def require_safe_config(config: object) -> None:
    """Raise a Fault where a model's configuration names a weights file that is not safetensors."""
    weights = getattr(config, "transformers_weights", None)
    if weights is not None and not str(weights).endswith((".safetensors", ".safetensors.index.json")):
        raise _fault(
            FaultCode.UNSAFE_WEIGHTS,
            f"its config.json names the weights file {weights}, which is not safetensors: {SAFE_WEIGHTS_REMEDY}",
        )


def require_all_weights(missing: set[str] | list[str]) -> None:
    """Raise a Fault naming missing weights, which transformers would replace by random numbers."""
    if missing:
        raise _fault(
            FaultCode.MISSING_WEIGHTS,
            f"weights are missing: {', '.join(sorted(missing)[:5])}; the files are incomplete or belong to another "
            "model",
        )


def _fault(code: FaultCode, message: str) -> Fault:
    return Fault(code, message, param="model")


def _loading_fault(error: Exception) -> Fault:
    text = str(error)
    for pattern, code, message in KNOWN_ERRORS:
        if pattern in text:
            return _fault(code, message)
    first_line = next(iter(text.strip().splitlines()), "")
    return _fault(FaultCode.MODEL_NOT_LOADED, first_line or type(error).__name__)


def _hub_fault(error: BaseException) -> Fault | None:
    """Return the fault for a hub error among an error's causes; None where there is none."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GatedRepoError):
            return _fault(
                FaultCode.MODEL_NOT_FOUND,
                "access on the hub requires accepting the model's terms: accept them there and set HF_TOKEN for the "
                "worker",
            )
        if isinstance(cause, RepositoryNotFoundError | HFValidationError):
            return _fault(
                FaultCode.MODEL_NOT_FOUND,
                "no folder or hub model has this name; a private model needs HF_TOKEN to be set for the worker",
            )
        if isinstance(cause, LocalEntryNotFoundError | OfflineModeIsEnabled | HfHubHTTPError | ConnectionError):
            return _fault(FaultCode.HUB_UNREACHABLE, UNREACHABLE)
        cause = cause.__cause__ or cause.__context__
    return None


VISION_MODEL_TYPES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""`model_type` of the supported vision-language models."""


VIDEO_PART = "video_processor"


def reads_images(config: Any) -> bool:
    """Check whether the configuration is of a supported vision-language model."""
    return getattr(config, "model_type", None) in VISION_MODEL_TYPES


def load_processor(model: str, *, config: Any) -> Any:
    """Load the processor of a hub id or folder and share its chat template. OSError when files are missing."""
    if is_torchvision_available():
        processor = AutoProcessor.from_pretrained(model, trust_remote_code=False)
    else:
        processor = without_videos(PROCESSOR_MAPPING[type(config)]).from_pretrained(model)
    if processor.chat_template:  # in older repositories only the processor has it
        processor.tokenizer.chat_template = processor.chat_template
    return processor


def without_videos(processor_class: Any) -> Any:
    """Return a subclass of the processor that does not load the video processor."""

    class ImagesOnly(processor_class):  # type: ignore[misc]
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in super().get_attributes() if name != VIDEO_PART]

    # Saved under the usual class name, so that others can load it.
    ImagesOnly.__name__ = ImagesOnly.__qualname__ = processor_class.__name__
    return ImagesOnly
