"""Owns what may sample completions: anything that answers prompts with tokens and the log-probabilities it drew at."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from worker.engine.rollouts.prompts import Prompt


class Sampler(Protocol):
    """Samples from the live adapter's policy, from the whole vocabulary."""

    def sample(
        self, prompts: Sequence[Prompt], *, num_generations: int, uniforms_TB: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """`num_generations` completions a prompt, prompt-major: ids and their log-probabilities, `[B, T]` each.

        All chance comes from `uniforms_TB`, numbers in [0, 1): as many tokens as it has rows, a column a completion.
        What follows a completion's first end of sequence means nothing. Log-probabilities are float32, at the
        temperature.
        """
