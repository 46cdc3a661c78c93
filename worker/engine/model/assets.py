"""Owns what comes with a model beside its weights: configuration, tokenizer, processor. Enough to make prompts."""

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
    processor_told,
    reads_images,
    require_safe_config,
    require_safe_files,
    told_plainly,
)
from worker.engine.model.vision import Vision


@dataclass(frozen=True, slots=True)
class ModelAssets:
    """A model's files without its weights."""

    config: Any
    tokenizer: Any
    processor: Any | None
    """None for a model of text."""
    source: dict[str, str]
    """Where transformers finds everything in one .gguf file; else empty."""

    @property
    def model_class(self) -> Any:
        """What loads the weights."""
        return AutoModelForCausalLM if self.processor is None else AutoModelForImageTextToText

    @property
    def max_positions(self) -> int:
        """Longest sequence the model was built for."""
        return max_positions_of(self.config)

    def vision(self) -> Vision | None:
        """What reads images, on a model without numbers: it can lay out prompts, not look at pictures."""
        if self.processor is None:
            return None
        with torch.device("meta"):
            return Vision.of(self.model_class.from_config(self.config), self.processor)


def load_kit(model: str, *, allow_remote_code: bool) -> ModelAssets:
    """From a hub id or folder. Fault when it cannot be used."""
    gguf_file = gguf_in(model)
    with told_plainly(), without_progress_bars():
        require_safe_files(model)
        source = {"gguf_file": gguf_file} if gguf_file else {}
        config = AutoConfig.from_pretrained(model, trust_remote_code=allow_remote_code, **source)
        require_safe_config(config)
        tokenizer = AutoTokenizer.from_pretrained(
            model,
            trust_remote_code=allow_remote_code,
            **({} if (Path(model) / "tokenizer.json").exists() else source),
        )
        with processor_told():
            processor = load_processor(model, config=config) if reads_images(config) else None
    return ModelAssets(config, tokenizer if processor is None else processor.tokenizer, processor, source)


def require_chat_template(tokenizer: Any) -> None:
    """Fault where messages cannot become a prompt."""
    if not tokenizer.chat_template:
        raise Fault(
            FaultCode.NO_CHAT_TEMPLATE,
            "the model's tokenizer has no chat template, so questions cannot become prompts: choose an "
            "instruction-tuned model, or put a chat_template.jinja into its folder",
            param="model",
        )


def max_positions_of(config: Any) -> int:
    """Longest sequence a model of this configuration was built for; as good as any where it does not say."""
    return int(getattr(config.get_text_config(decoder=True), "max_position_embeddings", None) or 2**31)


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """A run speaks through its observer; bars only fill the logs."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
