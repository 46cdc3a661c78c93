"""A model's configuration, tokenizer and processor: enough to build prompts without its weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
from transformers.utils import logging as transformers_logging

from worker.engine.faults import Fault, FaultCode
from worker.engine.model.loading import (
    gguf_in,
    load_processor,
    loading_errors_as_faults,
    processor_errors_as_faults,
    reads_images,
    require_safe_config,
    require_safe_files,
)
from worker.engine.model.vision import Vision


@dataclass(frozen=True, slots=True)
class ModelAssets:
    """A model's files without its weights."""

    config: Any
    tokenizer: Any
    processor: Any | None
    """None for a text-only model."""
    load_kwargs: dict[str, str]
    """`from_pretrained` arguments that name the model's .gguf file; empty without one."""

    @property
    def model_class(self) -> Any:
        """Auto class that loads the weights."""
        return AutoModelForCausalLM if self.processor is None else AutoModelForImageTextToText

    @property
    def max_positions(self) -> int:
        """Longest sequence that the model supports."""
        return max_positions_of(self.config)

    def vision(self) -> Vision | None:
        """Return the vision part of a model without weights: it can build prompts, not encode images."""
        if self.processor is None:
            return None
        with torch.device("meta"):
            return Vision.of(self.model_class.from_config(self.config), self.processor)


def load_assets(model: str, *, allow_remote_code: bool) -> ModelAssets:
    """Load from a hub id or folder. Fault when the model cannot be used."""
    gguf_file = gguf_in(model)
    with loading_errors_as_faults(), without_progress_bars():
        require_safe_files(model)
        load_kwargs = {"gguf_file": gguf_file} if gguf_file else {}
        config = AutoConfig.from_pretrained(model, trust_remote_code=allow_remote_code, **load_kwargs)
        require_safe_config(config)
        tokenizer = AutoTokenizer.from_pretrained(
            model,
            trust_remote_code=allow_remote_code,
            **({} if (Path(model) / "tokenizer.json").exists() else load_kwargs),
        )
        with processor_errors_as_faults():
            processor = load_processor(model, config=config) if reads_images(config) else None
    return ModelAssets(config, tokenizer if processor is None else processor.tokenizer, processor, load_kwargs)


def require_chat_template(tokenizer: Any) -> None:
    """Raise a Fault where the tokenizer has no chat template."""
    if not tokenizer.chat_template:
        raise Fault(
            FaultCode.NO_CHAT_TEMPLATE,
            "the model's tokenizer has no chat template, so messages cannot be turned into prompts: choose an "
            "instruction-tuned model, or add a chat_template.jinja to its folder",
            param="model",
        )


def max_positions_of(config: Any) -> int:
    """Return the longest sequence that the configuration supports; 2^31 where it has no limit."""
    return int(getattr(config.get_text_config(decoder=True), "max_position_embeddings", None) or 2**31)


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Disable transformers' progress bars inside the block: runs report to their observer, bars only fill the logs."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()
