"""Owns the completions of a step: their tokens, where they end, and what the reward reads of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worker.engine.distributed import ProcessGroup
from worker.engine.model.policy import Policy, eos_mask
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import Scored, all_scored
from worker.engine.types import Completion


@dataclass(frozen=True, slots=True)
class Rollouts:
    """The completions of one step, prompt-major: sequence `b` is sample `b % G` of prompt `b // G`."""

    prompts: tuple[Prompt, ...]
    num_generations: int
    completion_ids_BT: Tensor
    """Sampled ids; the pad id outside the mask."""
    mask_BT: Tensor
    """True up to and including the first end-of-sequence token."""
    sampling_logps_BT: Tensor
    """log-probability of each token when it was sampled, float32; 0 outside the mask."""
    truncated_B: Tensor
    """True where no end-of-sequence token came in time."""
    texts: tuple[str, ...]
    """What the reward reads: the completions without special tokens."""

    @property
    def num_sequences(self) -> int:
        """`B`."""
        return self.completion_ids_BT.shape[0]

    @property
    def lengths_B(self) -> Tensor:
        """Completion tokens a sequence, the end-of-sequence token included."""
        return self.mask_BT.sum(1)

    def prompt_of(self, sequence: int) -> Prompt:
        """The prompt of a sequence."""
        return self.prompts[sequence // self.num_generations]

    @property
    def completions(self) -> list[Completion]:
        """What the reward sees, `[B]`."""
        return [Completion(self.prompt_of(b).task, text) for b, text in enumerate(self.texts)]


def rollouts_from(
    policy: Policy, prompts: Sequence[Prompt], *, num_generations: int, ids_BT: Tensor, logps_BT: Tensor
) -> Rollouts:
    """The rollouts of sampled tokens, whatever follows their first end of sequence."""
    mask_BT = completion_mask(ids_BT, eos_ids=policy.eos_ids)
    ended_B = (eos_mask(ids_BT, eos_ids=policy.eos_ids) & mask_BT).any(1)
    written_B = (mask_BT.sum(1) - ended_B.long()).tolist()  # the end of sequence is no text, special or not
    written = [row[:count] for row, count in zip(ids_BT.tolist(), written_B, strict=True)]
    return Rollouts(
        prompts=tuple(prompts),
        num_generations=num_generations,
        completion_ids_BT=ids_BT.masked_fill(~mask_BT, policy.pad_id),
        mask_BT=mask_BT,
        sampling_logps_BT=logps_BT.masked_fill(~mask_BT, 0.0),
        truncated_B=~ended_B,
        texts=tuple(policy.tokenizer.batch_decode(written, skip_special_tokens=True)),
    )


def together(parts: Sequence[Rollouts], *, prompts: Sequence[Prompt], num_generations: int, pad_id: int) -> Rollouts:
    """Parts of a batch, in order, as one; `T` is that of the longest part."""
    width = max(part.mask_BT.shape[1] for part in parts)

    def wide(tensors: Sequence[Tensor], *, filler: float = 0) -> Tensor:
        padded = [torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]), value=filler) for tensor in tensors]
        return torch.cat(padded)

    return Rollouts(
        prompts=tuple(prompts),
        num_generations=num_generations,
        completion_ids_BT=wide([part.completion_ids_BT for part in parts], filler=pad_id),
        mask_BT=wide([part.mask_BT for part in parts]),
        sampling_logps_BT=wide([part.sampling_logps_BT for part in parts]),
        truncated_B=torch.cat([part.truncated_B for part in parts]),
        texts=tuple(text for part in parts for text in part.texts),
    )


def no_rollouts(policy: Policy, *, num_generations: int) -> Rollouts:
    """The completions of no prompts."""
    empty_BT = torch.zeros(0, 0, device=policy.device)
    ids_BT, mask_BT, truncated_B = empty_BT.long(), empty_BT.bool(), empty_BT[:, :0].flatten().bool()
    return Rollouts((), num_generations, ids_BT, mask_BT, empty_BT, truncated_B, ())


def with_groups_replaced(rollouts: Rollouts, others: Rollouts, *, places: Sequence[int], pad_id: int) -> Rollouts:
    """The rollouts with the groups at `places` replaced by the others' groups, in order; `T` is the longer one's."""
    count = rollouts.num_generations
    width = max(rollouts.mask_BT.shape[1], others.mask_BT.shape[1])
    rows = torch.tensor([place * count + sample for place in places for sample in range(count)])
    prompts, texts = list(rollouts.prompts), list(rollouts.texts)
    for source, place in enumerate(places):
        prompts[place] = others.prompts[source]
        texts[place * count : (place + 1) * count] = others.texts[source * count : (source + 1) * count]

    def replaced(here: Tensor, there: Tensor, *, filler: int = 0) -> Tensor:
        if here.dim() == 2:
            here = torch.nn.functional.pad(here, (0, width - here.shape[1]), value=filler)
            there = torch.nn.functional.pad(there, (0, width - there.shape[1]), value=filler)
        return here.index_copy(0, rows.to(here.device), there[: len(rows)])

    mask_BT = replaced(rollouts.mask_BT, others.mask_BT)
    return Rollouts(
        prompts=tuple(prompts),
        num_generations=count,
        completion_ids_BT=replaced(rollouts.completion_ids_BT, others.completion_ids_BT, filler=pad_id),
        mask_BT=mask_BT,
        sampling_logps_BT=replaced(rollouts.sampling_logps_BT, others.sampling_logps_BT),
        truncated_B=replaced(rollouts.truncated_B, others.truncated_B),
        texts=tuple(texts),
    )


def completion_mask(completion_ids_BT: Tensor, *, eos_ids: tuple[int, ...]) -> Tensor:
    """True up to and including the first end-of-sequence token, whatever stands behind it."""
    is_eos_BT = eos_mask(completion_ids_BT, eos_ids=eos_ids)
    ended_before_BT = (is_eos_BT.cumsum(1) - is_eos_BT.long()) > 0
    return ~ended_before_BT


def joined(
    rollouts: Rollouts, scored: Scored, *, prompts: Sequence[Prompt], pad_id: int, world: ProcessGroup
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
