"""Owns what may sample completions: anything that answers prompts with tokens and the log-probabilities it drew at."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from worker.engine.decoding import decode
from worker.engine.policy import Policy
from worker.engine.prompts import Prompt
from worker.engine.settings import Settings


class Generator(Protocol):
    """Samples from the live adapter's policy, from the whole vocabulary."""

    def sample(
        self, prompts: Sequence[Prompt], *, num_generations: int, uniforms_TB: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """`num_generations` completions a prompt, prompt-major: ids and their log-probabilities, `[B, T]` each.

        All chance comes from `uniforms_TB`, numbers in [0, 1): as many tokens as it has rows, a column a completion.
        What follows a completion's first end of sequence means nothing. Log-probabilities are float32, at the
        temperature.
        """


class TransformersGenerator:
    """The model itself: each token inverts its distribution at its uniform number (`decoding.py`)."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def sample(
        self, prompts: Sequence[Prompt], *, num_generations: int, uniforms_TB: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        on_cpu = self.policy.device.type == "cpu"
        # Compiled graphs keep what they are given, and a tensor of inference mode could not be used elsewhere.
        with torch.inference_mode() if on_cpu else torch.no_grad():
            ids_BT, logps_BT = decode(
                self.policy,
                prompts,
                num_generations=num_generations,
                uniforms_TB=uniforms_TB,
                temperature=temperature,
                static=not on_cpu and not self.policy.sharded,
            )
        # An inference tensor may not be saved for a backward pass; its clone may.
        return ids_BT.clone(), logps_BT.clone()


def make_generator(policy: Policy, *, settings: Settings) -> Generator:
    """What the settings want completions from. ValueError naming `generator` where it cannot be had."""
    if settings.generator == "vllm":
        # vLLM is an optional extra, and heavy.
        from worker.engine.vllm_generator import VllmGenerator

        return VllmGenerator(policy, settings=settings)
    return TransformersGenerator(policy)
