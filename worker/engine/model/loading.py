"""Owns what stands between a model's files and the run: what is never opened, and what failed, in plain words.

Weights are read from safetensors, or from one .gguf file in a folder. A pickle is never opened: reading one can run
code. Code that comes with a model is run only where whoever starts the run allows it.
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

from worker.engine.faults import Fault, FaultCode, memory_named

HUB_TRIES = 3
HUB_TIMEOUT_S = 5.0
HUB_PAUSE_S = 1.0
UNREACHABLE = (
    "the model hub could not be reached, and the model is not in this machine's cache: try again later, or have the "
    "administrator put it into a folder and list it in RLSD_MODELS"
)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
SAFE = ("*.safetensors", "*.gguf")
INSTEAD = (
    "take a copy with safetensors, or convert it once where you trust it (from_pretrained, then save_pretrained into a "
    "new folder), or give one .gguf file in a folder"
)
REMOTE_CODE = (
    "it needs code of its own, which comes with it and is off unless the administrator sets RLSD_ALLOW_REMOTE_CODE=1: "
    "choose a model of an architecture that transformers knows"
)
IN_PLAIN_WORDS = (
    ("trust_remote_code", FaultCode.REMOTE_CODE, REMOTE_CODE),
    (
        "use_safetensors",
        FaultCode.UNSAFE_WEIGHTS,
        f"it has no weights as safetensors, and a pickle (pytorch_model.bin) is never opened: {INSTEAD}",
    ),
    ("Error no file named", FaultCode.MISSING_WEIGHTS, "its folder holds no weights (model.safetensors)"),
    (
        "does not recognize this architecture",
        FaultCode.MODEL_NOT_LOADED,
        "its architecture is not known to the installed transformers: take another model, or a newer transformers",
    ),
    (
        "Unrecognized configuration class",
        FaultCode.MODEL_NOT_LOADED,
        "it is not a causal language model, so it cannot write completions: take an instruction-tuned one",
    ),
    (
        "Unrecognized model in",
        FaultCode.MODEL_NOT_LOADED,
        "it has no config.json that names a model_type: is this a model's folder?",
    ),
    ("backend tokenizer", FaultCode.MODEL_NOT_LOADED, "it comes without tokenizer files (tokenizer.json)"),
    (
        "ignore_mismatched_sizes",
        FaultCode.MODEL_NOT_LOADED,
        "its weights have other shapes than its config.json says: the two are of different models",
    ),
)
"""What transformers says somewhere in its error -> what it means here. The first that fits."""


@contextmanager
def told_plainly() -> Iterator[None]:
    """What goes wrong while a model is loaded inside the block is a Fault that says what to do."""
    try:
        with memory_named("loading"):
            yield
    except Fault:
        raise
    except SafetensorError as error:
        raise _fault(FaultCode.MODEL_NOT_LOADED, f"a weights file is damaged or cut short: {error}") from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise (_hub_fault(error) or _plain(error)) from error


@contextmanager
def processor_told() -> Iterator[None]:
    """What goes wrong while a processor is loaded inside the block is a Fault that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise _hub_fault(error) or _fault(
            FaultCode.NO_PROCESSOR,
            "it reads images, and the processor that prepares them could not be loaded: put preprocessor_config.json, "
            f"and processor_config.json where it has one, beside its weights ({said:.200})",
        ) from error


def require_safe_files(model: str) -> None:
    """Fault where a hub id or folder is an adapter, or where a folder's weights come only as a pickle."""
    folder = Path(model)
    if folder.is_dir() and not any(any(folder.glob(pattern)) for pattern in SAFE):
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        if pickles:
            raise _fault(
                FaultCode.UNSAFE_WEIGHTS,
                f"its weights come only as a pickle ({', '.join(pickles[:3])}), which can run code when it is opened, "
                f"and is not: {INSTEAD}",
            )
    _require_reachable(model)
    if find_adapter_config_file(model) is not None:
        raise _fault(
            FaultCode.MODEL_NOT_LOADED, "it is an adapter, or holds one: name the base model that it was made for"
        )


def _require_reachable(model: str) -> None:
    """Fault where a hub id is neither in the cache nor to be had: transformers would find out in a minute a file."""
    if Path(model).is_dir() or constants.HF_HUB_OFFLINE or try_to_load_from_cache(model, "config.json") is not None:
        return
    for left in reversed(range(HUB_TRIES)):
        try:
            with suppress(EntryNotFoundError):
                get_hf_file_metadata(hf_hub_url(model, "config.json"), timeout=HUB_TIMEOUT_S)
            return
        except httpx2.TransportError as error:
            if left == 0:
                raise _fault(FaultCode.HUB_UNREACHABLE, UNREACHABLE) from error
            time.sleep(HUB_PAUSE_S)


def gguf_in(model: str) -> str | None:
    """The name of the .gguf file in a folder without safetensors; Fault where there are several."""
    folder = Path(model)
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return None
    names = sorted(path.name for path in folder.glob("*.gguf"))
    if len(names) > 1:
        raise _fault(
            FaultCode.MODEL_NOT_LOADED,
            f"its folder holds {len(names)} .gguf files ({', '.join(names[:3])}), and there must be one: put each into "
            "a folder of its own",
        )
    return names[0] if names else None


def require_safe_config(config: object) -> None:
    """Fault where a model's configuration names a weights file that is not safetensors."""
    named = getattr(config, "transformers_weights", None)
    if named is not None and not str(named).endswith((".safetensors", ".safetensors.index.json")):
        raise _fault(
            FaultCode.UNSAFE_WEIGHTS, f"its config.json names the weights {named}, which are not safetensors: {INSTEAD}"
        )


def require_all_weights(missing: set[str] | list[str]) -> None:
    """Fault naming weights that the files lack: transformers would go on with random numbers in their place."""
    if missing:
        raise _fault(
            FaultCode.MISSING_WEIGHTS,
            f"the model lacks weights: {', '.join(sorted(missing)[:5])}; its files are incomplete or of another model",
        )


def _fault(code: FaultCode, message: str) -> Fault:
    return Fault(code, message, param="model")


def _plain(error: Exception) -> Fault:
    said = str(error)
    for sign, code, words in IN_PLAIN_WORDS:
        if sign in said:
            return _fault(code, words)
    first = next(iter(said.strip().splitlines()), "")
    return _fault(FaultCode.MODEL_NOT_LOADED, first or type(error).__name__)


def _hub_fault(error: BaseException) -> Fault | None:
    """What the hub said, from the errors behind an error; None where the hub was not asked."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GatedRepoError):
            return _fault(
                FaultCode.MODEL_NOT_FOUND,
                "the hub shows it only to those who have accepted its terms: accept them there, and give the worker "
                "an HF_TOKEN",
            )
        if isinstance(cause, RepositoryNotFoundError | HFValidationError):
            return _fault(
                FaultCode.MODEL_NOT_FOUND,
                "there is no such folder here and no such model on the hub; a private one needs an HF_TOKEN",
            )
        if isinstance(cause, LocalEntryNotFoundError | OfflineModeIsEnabled | HfHubHTTPError | ConnectionError):
            return _fault(FaultCode.HUB_UNREACHABLE, UNREACHABLE)
        cause = cause.__cause__ or cause.__context__
    return None


FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""`model_type` of the models that are shown images."""


VIDEO_PART = "video_processor"


def reads_images(config: Any) -> bool:
    """Whether models of this configuration are shown images: those of the families that are known to be read right."""
    return getattr(config, "model_type", None) in FAMILIES


def load_processor(model: str, *, config: Any) -> Any:
    """The processor of a hub id or folder, its chat template also its tokenizer's. OSError when files are missing."""
    if is_torchvision_available():
        processor = AutoProcessor.from_pretrained(model, trust_remote_code=False)
    else:
        processor = without_videos(PROCESSOR_MAPPING[type(config)]).from_pretrained(model)
    if processor.chat_template:  # older repositories keep it where only processors look
        processor.tokenizer.chat_template = processor.chat_template
    return processor


def without_videos(processor_class: Any) -> Any:
    """The processor class without the part that reads videos: it neither asks for it nor loads it."""

    class ImagesOnly(processor_class):  # type: ignore[misc]
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in super().get_attributes() if name != VIDEO_PART]

    # Saved under the name that everyone else loads it by.
    ImagesOnly.__name__ = ImagesOnly.__qualname__ = processor_class.__name__
    return ImagesOnly
