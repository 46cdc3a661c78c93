"""The policy model: one base with the trainable adapter "default" and the frozen adapter "snapshot"."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from backend.core.settings.choices import TeacherWeights
from worker.engine.model.assets import (
    max_positions_of,
)
from worker.engine.model.completion_text import CompletionDecoder, is_word
from worker.engine.model.policy_cache import PolicyCache
from worker.engine.model.vision import ImageSpans, Vision

LIVE_ADAPTER = "default"
SNAPSHOT_ADAPTER = "snapshot"
ZERO_INITIALISED = re.compile(r"\.lora_(B|embedding_A)(?=\.|$)")
"""Names of adapter parameters that PEFT initialises with zeros."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A causal language model with its tokenizer and two adapters."""

    model: Any
    """The `PeftModel`."""
    tokenizer: Any
    device: torch.device
    pad_id: int
    eos_ids: tuple[int, ...]
    """All tokens that end a completion."""
    vision: Vision | None = None
    """Image input; None for a text-only model."""
    sharded: bool = False
    """Whether the base's layers are sharded over processes (`sharding.py`), which rules out compiled passes."""
    allows_remote_code: bool = False
    """Whether code from the model's repository was allowed to run."""
    skip_special_tokens: bool = False
    """Whether special tokens are left out of the text of completions."""
    cache: PolicyCache = field(default_factory=PolicyCache, repr=False, compare=False)

    @property
    def decoder(self) -> CompletionDecoder:
        """How completions become text: without what ends, pads or begins a sequence, and without image tokens, which
        the model reads as padding.
        """
        vision, bos = self.vision, self.tokenizer.bos_token_id
        pad = None if is_word(self.tokenizer, self.pad_id) else self.pad_id
        silent = {pad, *self.eos_ids, bos, None if vision is None else vision.image_token_id} - {None}
        return CompletionDecoder.of(self.tokenizer, silent_ids=silent, skip_special_tokens=self.skip_special_tokens)

    @property
    def max_positions(self) -> int:
        """Longest sequence that the model supports."""
        return max_positions_of(self.model.config)

    def as_input(self, ids: Tensor) -> Tensor:
        """Convert sampled ids to model input."""
        return ids if self.vision is None else self.vision.as_input(ids, pad_id=self.pad_id)

    def image_inputs(self, spans: Sequence[ImageSpans | None], *, starts: Sequence[int], width: int) -> dict[str, Any]:
        """Return the model inputs that accompany `[B, width]` ids for contexts that begin at the columns `starts`."""
        if self.vision is None:
            assert not any(spans)  # a text-only prompt builder makes no such contexts
            return {}
        return self.vision.inputs(spans, starts=starts, width=width)

    def adapter(self, name: str) -> dict[str, nn.Parameter]:
        """Return the adapter's parameters by name in the model, in a fixed order."""
        # `lora_A.default.weight` on most layers, `lora_embedding_A.default` on embeddings.
        part = re.compile(rf"(\.lora_\w+)\.{re.escape(name)}(?=\.|$)")
        named = ((key, value) for key, value in self.model.named_parameters() if part.search(key))
        return {part.sub(r"\1", key): value for key, value in sorted(named)}

    @property
    def is_trained(self) -> bool:
        """Whether the live adapter has any effect: one factor of each pair is 0 until the first update."""
        adapter = self.adapter(LIVE_ADAPTER)
        return any(bool(values.any()) for name, values in adapter.items() if ZERO_INITIALISED.search(name))

    def sync_snapshot(self) -> None:
        """Copy the live adapter into the snapshot."""
        live, snapshot = self.adapter(LIVE_ADAPTER), self.adapter(SNAPSHOT_ADAPTER)
        with torch.no_grad():
            for name, parameter in snapshot.items():
                parameter.copy_(live[name])

    @contextmanager
    def weights(self, which: TeacherWeights) -> Iterator[None]:
        """Use these weights inside the block. Must not be entered between a forward pass and its backward pass."""
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


def eos_mask(completion_ids_BT: Tensor, *, eos_ids: tuple[int, ...]) -> Tensor:
    """Return a mask of the end-of-sequence tokens, `[B, T]`."""
    return torch.isin(completion_ids_BT, torch.tensor(eos_ids, device=completion_ids_BT.device))
