"""The interface of samplers: from prompts to completion tokens and the log-probabilities they were sampled with."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from worker.engine.rollouts.prompts import Prompt


class Sampler(Protocol):
    """Samples completions from the policy with its live adapter, over the whole vocabulary."""

    def sample(
        self, prompts: Sequence[Prompt], *, num_generations: int, uniforms_TB: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """Sample `num_generations` completions per prompt, prompt-major: ids and log-probabilities, `[B, T]` each.

        All randomness comes from `uniforms_TB`, numbers in [0, 1): one row per token, one column per completion.
        Values after a completion's first end of sequence are undefined. Log-probabilities are float32, at the
        temperature.
        """
