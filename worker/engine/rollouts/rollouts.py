"""The completions of a step: tokens, masks, and the texts that the reward scores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worker.engine.distributed import ProcessGroup
from worker.engine.model.policy import Policy, eos_mask
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import Scored, concat_scored, rows_of_groups
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
    """True where no end-of-sequence token was sampled within the limit."""
    texts: tuple[str, ...]
    """Input of the reward: the completions as the policy's decoder reads them."""

    @property
    def num_sequences(self) -> int:
        """`B`."""
        return self.completion_ids_BT.shape[0]

    @property
    def lengths_B(self) -> Tensor:
        """Completion tokens per sequence, the end-of-sequence token included."""
        return self.mask_BT.sum(1)

    def in_loss_B(self, *, mask_truncated: bool) -> Tensor:
        """Return which sequences the loss is over: all, or those that ended (DAPO, arXiv 2503.14476)."""
        return ~self.truncated_B if mask_truncated else torch.ones_like(self.truncated_B)

    @property
    def practised_B(self) -> Tensor:
        """True where the prompt has a hint: practice."""
        hinted_P = torch.tensor([prompt.hint is not None for prompt in self.prompts], dtype=torch.bool)
        return hinted_P.repeat_interleave(self.num_generations)

    def prompt_of(self, sequence: int) -> Prompt:
        """Return the prompt of a sequence."""
        return self.prompts[sequence // self.num_generations]

    def groups(self, chosen: Sequence[int]) -> "Rollouts":
        """Return the rollouts of these groups, in this order."""
        rows = rows_of_groups(chosen, num_generations=self.num_generations)
        return replace(
            self,
            prompts=tuple(self.prompts[group] for group in chosen),
            completion_ids_BT=self.completion_ids_BT[rows],
            mask_BT=self.mask_BT[rows],
            sampling_logps_BT=self.sampling_logps_BT[rows],
            truncated_B=self.truncated_B[rows],
            texts=tuple(self.texts[b] for b in rows),
        )

    @property
    def completions(self) -> list[Completion]:
        """Input of the reward, `[B]`."""
        return [Completion(self.prompt_of(b).task, text) for b, text in enumerate(self.texts)]


def rollouts_from(
    policy: Policy, prompts: Sequence[Prompt], *, num_generations: int, ids_BT: Tensor, logps_BT: Tensor
) -> Rollouts:
    """Build rollouts from sampled tokens, ignoring those after the first end of sequence."""
    mask_BT = completion_mask(ids_BT, eos_ids=policy.eos_ids)
    ended_B = (eos_mask(ids_BT, eos_ids=policy.eos_ids) & mask_BT).any(1)
    # The end of sequence is not part of the text, whether or not it is a special token.
    text_lengths = (mask_BT.sum(1) - ended_B.long()).tolist()
    decoder, rows = policy.decoder, zip(ids_BT.tolist(), text_lengths, strict=True)
    return Rollouts(
        prompts=tuple(prompts),
        num_generations=num_generations,
        completion_ids_BT=ids_BT.masked_fill(~mask_BT, policy.pad_id),
        mask_BT=mask_BT,
        sampling_logps_BT=logps_BT.masked_fill(~mask_BT, 0.0),
        truncated_B=~ended_B,
        texts=tuple(decoder.text(row[:length]) for row, length in rows),
    )


def concat_rollouts(
    parts: Sequence[Rollouts], *, prompts: Sequence[Prompt], num_generations: int, pad_id: int
) -> Rollouts:
    """Concatenate the parts of a batch, in order; `T` is that of the longest part."""
    width = max(part.mask_BT.shape[1] for part in parts)

    def concat(tensors: Sequence[Tensor], *, filler: float = 0) -> Tensor:
        padded = [torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]), value=filler) for tensor in tensors]
        return torch.cat(padded)

    return Rollouts(
        prompts=tuple(prompts),
        num_generations=num_generations,
        completion_ids_BT=concat([part.completion_ids_BT for part in parts], filler=pad_id),
        mask_BT=concat([part.mask_BT for part in parts]),
        sampling_logps_BT=concat([part.sampling_logps_BT for part in parts]),
        truncated_B=torch.cat([part.truncated_B for part in parts]),
        texts=tuple(text for part in parts for text in part.texts),
    )


def empty_rollouts(policy: Policy, *, num_generations: int) -> Rollouts:
    """Build the rollouts of zero prompts."""
    empty_BT = torch.zeros(0, 0, device=policy.device)
    ids_BT, mask_BT, truncated_B = empty_BT.long(), empty_BT.bool(), empty_BT[:, :0].flatten().bool()
    return Rollouts((), num_generations, ids_BT, mask_BT, empty_BT, truncated_B, ())


def completion_mask(completion_ids_BT: Tensor, *, eos_ids: tuple[int, ...]) -> Tensor:
    """Return a mask that is True up to and including the first end-of-sequence token, `[B, T]`."""
    is_eos_BT = eos_mask(completion_ids_BT, eos_ids=eos_ids)
    ended_before_BT = (is_eos_BT.cumsum(1) - is_eos_BT.long()) > 0
    return ~ended_before_BT


def all_gather_rollouts(
    rollouts: Rollouts, scored: Scored, *, prompts: Sequence[Prompt], pad_id: int, world: ProcessGroup
) -> tuple[Rollouts, Scored]:
    """Gather the completions of all prompts, in order, and their scores in every process, padded to the longest."""
    if world.size == 1:
        return rollouts, scored
    device = rollouts.mask_BT.device
    own = replace(rollouts, prompts=())  # every process has the prompts, and images are large to send
    parts = world.all_gather((_to_device(own, torch.device("cpu")), scored))
    whole = concat_rollouts(
        [part for part, _ in parts], prompts=prompts, num_generations=rollouts.num_generations, pad_id=pad_id
    )
    return _to_device(whole, device), concat_scored([scores for _, scores in parts])


def _to_device(rollouts: Rollouts, device: torch.device) -> Rollouts:
    return replace(
        rollouts,
        completion_ids_BT=rollouts.completion_ids_BT.to(device),
        mask_BT=rollouts.mask_BT.to(device),
        sampling_logps_BT=rollouts.sampling_logps_BT.to(device),
        truncated_B=rollouts.truncated_B.to(device),
    )
