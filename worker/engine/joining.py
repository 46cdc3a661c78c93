"""Owns how completions that several processes sampled and scored, each its share of the prompts, become one batch."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from worker.engine.prompts import Prompt
from worker.engine.reward import Scored, all_scored
from worker.engine.rollout import Rollouts, together
from worker.engine.world import World


def joined(
    rollouts: Rollouts, scored: Scored, *, prompts: Sequence[Prompt], pad_id: int, world: World
) -> tuple[Rollouts, Scored]:
    """The completions of all prompts in their order, and their scores, in every process; padded to the longest."""
    if world.size == 1:
        return rollouts, scored
    device = rollouts.mask_BT.device
    own = replace(rollouts, prompts=())  # every process knows the prompts, and their images would be heavy
    parts = world.all_of((_moved(own, torch.device("cpu")), scored))
    whole = together(
        [part for part, _ in parts], prompts=prompts, num_generations=rollouts.num_generations, pad_id=pad_id
    )
    return _moved(whole, device), all_scored([scores for _, scores in parts])


def _moved(rollouts: Rollouts, device: torch.device) -> Rollouts:
    return replace(
        rollouts,
        completion_ids_BT=rollouts.completion_ids_BT.to(device),
        mask_BT=rollouts.mask_BT.to(device),
        sampling_logps_BT=rollouts.sampling_logps_BT.to(device),
        truncated_B=rollouts.truncated_B.to(device),
    )
