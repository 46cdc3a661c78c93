"""What is found out about a policy's model once, at the first use, and kept as long as the policy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """Tested properties of a model."""

    plain_head: bool
    """Logits are the output embedding of the state alone, without capping or scaling."""
    supports_packing: bool
    """Completions can share their contexts (`packing.py`)."""


@dataclass(slots=True)
class PolicyCache:
    """Results that copies of a policy with the same model share."""

    traits: ModelTraits | None = None
    """See `traits.model_traits`."""
    compiled_forward: Callable[..., Any] | None = None
    """The model's forward pass on CUDA with static shapes."""
