"""Owns the model: one base, the trainable adapter "default" on it and the frozen adapter "snapshot" beside it.

Models come from a hub id or a folder, as safetensors or as one .gguf file in the folder. Code that comes with a model
is never run.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from worker.engine.seeds import derive
from worker.engine.settings import Settings
from worker.engine.types import TeacherWeights

LIVE_ADAPTER = "default"
SNAPSHOT_ADAPTER = "snapshot"


@dataclass(frozen=True, slots=True)
class Policy:
    """A causal language model with its tokenizer and two adapters."""

    model: Any
    """The `PeftModel`."""
    tokenizer: Any
    device: torch.device
    pad_id: int
    eos_ids: tuple[int, ...]
    """Every token that ends a completion."""

    @property
    def max_positions(self) -> int:
        """Longest sequence the model was built for."""
        config = self.model.config.get_text_config(decoder=True)
        return int(getattr(config, "max_position_embeddings", None) or 2**31)

    def adapter(self, name: str) -> dict[str, nn.Parameter]:
        """The adapter's parameters by their place in the model, in a fixed order."""
        # `lora_A.default.weight` on most layers, `lora_embedding_A.default` on embeddings.
        part = re.compile(rf"(\.lora_\w+)\.{re.escape(name)}(?=\.|$)")
        named = ((key, value) for key, value in self.model.named_parameters() if part.search(key))
        return {part.sub(r"\1", key): value for key, value in sorted(named)}

    def sync_snapshot(self) -> None:
        """Copy the live adapter into the snapshot."""
        live, snapshot = self.adapter(LIVE_ADAPTER), self.adapter(SNAPSHOT_ADAPTER)
        with torch.no_grad():
            for name, parameter in snapshot.items():
                parameter.copy_(live[name])

    @contextmanager
    def weights(self, which: TeacherWeights) -> Iterator[None]:
        """Run the model with these weights inside the block. Never enter it between a forward and its backward."""
        if which is TeacherWeights.BASE:
            with self.model.disable_adapter():
                yield
        elif which is TeacherWeights.SNAPSHOT:
            self.model.base_model.set_adapter(SNAPSHOT_ADAPTER, inference_mode=True)
            try:
                yield
            finally:
                self.model.base_model.set_adapter(LIVE_ADAPTER)
        else:
            yield


def load_policy(model: str, *, settings: Settings) -> Policy:
    """Load a causal model and put the two adapters on it; the snapshot starts as the live adapter, that is as the base.

    `model` is a hub id or a folder. ValueError when weights are missing, when the tokenizer has no chat template, when
    nothing is known to end a sequence, or when CUDA is asked for and there is none.
    """
    device = _device(settings.device)
    base, tokenizer = _load(model, dtype=settings.dtype)
    return build_policy(base.to(device), tokenizer=tokenizer, settings=settings)


def _load(model: str, *, dtype: str) -> tuple[Any, Any]:
    """A base model, on the CPU, and its tokenizer. ValueError when weights are missing."""
    gguf_file = _gguf_in(model)
    tokenizer = AutoTokenizer.from_pretrained(model, **_tokenizer_source(model, gguf_file=gguf_file))
    with _without_progress_bars():
        base, loading = AutoModelForCausalLM.from_pretrained(
            model,
            dtype=getattr(torch, dtype),
            trust_remote_code=False,
            output_loading_info=True,
            **({"gguf_file": gguf_file} if gguf_file else {}),
        )
    if loading["missing_keys"]:  # transformers would go on with random numbers in their place
        raise ValueError(f"the model {model} lacks weights: {', '.join(sorted(loading['missing_keys'])[:5])}")
    return base, tokenizer


def build_policy(base: Any, *, tokenizer: Any, settings: Settings) -> Policy:
    """A policy from a model and a tokenizer that are loaded already."""
    if not tokenizer.chat_template:
        raise ValueError("the model's tokenizer has no chat template; choose an instruction-tuned model")
    eos_ids = _eos_ids(base, tokenizer=tokenizer)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos_ids[0]
    targets = settings.lora_target_modules
    config = LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT asks transformers by a name that transformers is about to drop.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        torch.manual_seed(derive(settings.seed, step=0, purpose="adapter"))
        model: PeftModel = get_peft_model(base, config, adapter_name=LIVE_ADAPTER)
        model.add_adapter(SNAPSHOT_ADAPTER, config)
    model.base_model.set_adapter(LIVE_ADAPTER)
    model.eval()
    policy = Policy(model=model, tokenizer=tokenizer, device=base.device, pad_id=pad_id, eos_ids=eos_ids)
    policy.sync_snapshot()
    return policy


def load_external_teacher(settings: Settings, *, student: Policy) -> Policy:
    """The larger model of `opd`, in its own dtype and on its own device, without adapters.

    ValueError when none is named, or when its tokenizer would read the student's tokens as something else.
    """
    if settings.teacher_model is None:
        raise ValueError("the method opd needs teacher_model: a hub id or folder of a model with the same tokenizer")
    base, tokenizer = _load(settings.teacher_model, dtype=settings.teacher_dtype)
    if tokenizer.get_vocab() != student.tokenizer.get_vocab():
        raise ValueError(
            f"the tokenizer of teacher_model {settings.teacher_model} is not the student's: choose a larger model of "
            "the same family"
        )
    base = base.to(_device(settings.teacher_device)).eval().requires_grad_(False)
    return Policy(base, tokenizer, base.device, student.pad_id, student.eos_ids)


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """A run speaks through its observer; bars only fill the logs."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def eos_mask(completion_ids_BT: Tensor, *, eos_ids: tuple[int, ...]) -> Tensor:
    """True at end-of-sequence tokens, `[B, T]`."""
    return torch.isin(completion_ids_BT, torch.tensor(eos_ids, device=completion_ids_BT.device))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is cuda, but no CUDA device is visible")
    return torch.device(name)


def _gguf_in(model: str) -> str | None:
    folder = Path(model)
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return None
    found = sorted(folder.glob("*.gguf"))
    if len(found) > 1:
        raise ValueError(f"the folder {model} holds {len(found)} .gguf files; there must be one")
    return found[0].name if found else None


def _tokenizer_source(model: str, *, gguf_file: str | None) -> dict[str, Any]:
    source: dict[str, Any] = {"trust_remote_code": False}
    if gguf_file and not (Path(model) / "tokenizer.json").exists():
        source["gguf_file"] = gguf_file
    return source


def _eos_ids(base: Any, *, tokenizer: Any) -> tuple[int, ...]:
    ids: set[int] = set()
    generation = getattr(base, "generation_config", None)
    for declared in (getattr(generation, "eos_token_id", None), tokenizer.eos_token_id):
        if isinstance(declared, int):
            ids.add(declared)
        elif declared is not None:
            ids.update(int(value) for value in declared)
    if not ids:
        raise ValueError("neither the model nor its tokenizer knows an end-of-sequence token")
    return tuple(sorted(ids))
