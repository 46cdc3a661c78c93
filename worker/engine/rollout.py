"""Owns sampling: `G` completions a prompt from one prefill a prompt, at the temperature, from the whole vocabulary.

Each token is drawn by inverting the cumulative distribution at one uniform number. The numbers of a rollout are drawn
beforehand, so they do not depend on the order in which sequences end, on the device, or on the policy: before and
after training the same numbers meet the same prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from worker.engine.cache import keep_rows, reserve
from worker.engine.policy import Policy, eos_mask
from worker.engine.prompts import Prompt
from worker.engine.types import Completion

COMPACT_BELOW = 0.75
"""Ended sequences leave the batch once the share of running ones falls below this."""


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


def sample_rollouts(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    num_generations: int,
    max_completion_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> Rollouts:
    """Sample `num_generations` completions for each prompt with the weights that are active in the policy."""
    uniforms_TB = torch.rand(max_completion_tokens, len(prompts) * num_generations, generator=generator)
    with torch.inference_mode():
        ids_BT, logps_BT = _sample(
            policy, prompts, num_generations=num_generations, uniforms_TB=uniforms_TB, temperature=temperature
        )
    # An inference tensor may not be saved for a backward pass; its clone may.
    ids_BT, logps_BT = ids_BT.clone(), logps_BT.clone()
    mask_BT = completion_mask(ids_BT, eos_ids=policy.eos_ids)
    ended_B = (eos_mask(ids_BT, eos_ids=policy.eos_ids) & mask_BT).any(1)
    completion_ids_BT = ids_BT.masked_fill(~mask_BT, policy.pad_id)
    written_B = (
        mask_BT.sum(1) - ended_B.long()
    ).tolist()  # the end of sequence is no text, special to the tokenizer or not
    written = [row[:count] for row, count in zip(ids_BT.tolist(), written_B, strict=True)]
    return Rollouts(
        prompts=tuple(prompts),
        num_generations=num_generations,
        completion_ids_BT=completion_ids_BT,
        mask_BT=mask_BT,
        sampling_logps_BT=logps_BT.masked_fill(~mask_BT, 0.0),
        truncated_B=~ended_B,
        texts=tuple(policy.tokenizer.batch_decode(written, skip_special_tokens=True)),
    )


def with_groups_replaced(rollouts: Rollouts, others: Rollouts, *, places: Sequence[int]) -> Rollouts:
    """The rollouts with the groups at `places` replaced by the others' groups, in order; `T` is the longer one's."""
    count = rollouts.num_generations
    width = max(rollouts.mask_BT.shape[1], others.mask_BT.shape[1])
    rows = torch.tensor([place * count + sample for place in places for sample in range(count)])
    prompts, texts = list(rollouts.prompts), list(rollouts.texts)
    for source, place in enumerate(places):
        prompts[place] = others.prompts[source]
        texts[place * count : (place + 1) * count] = others.texts[source * count : (source + 1) * count]

    def replaced(here: Tensor, there: Tensor) -> Tensor:
        if here.dim() == 2:
            here = torch.nn.functional.pad(here, (0, width - here.shape[1]))
            there = torch.nn.functional.pad(there, (0, width - there.shape[1]))
        return here.index_copy(0, rows.to(here.device), there[: len(rows)])

    mask_BT = replaced(rollouts.mask_BT, others.mask_BT)
    return Rollouts(
        prompts=tuple(prompts),
        num_generations=count,
        completion_ids_BT=replaced(rollouts.completion_ids_BT, others.completion_ids_BT),
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


def _sample(
    policy: Policy, prompts: Sequence[Prompt], *, num_generations: int, uniforms_TB: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Ids and log-probabilities `[B, T]`, T cut to the longest completion; what follows an end of sequence is noise."""
    device = policy.device
    max_tokens, num_sequences = uniforms_TB.shape
    ids_BT = torch.full((num_sequences, max_tokens), policy.eos_ids[0], device=device)
    logps_BT = torch.zeros(num_sequences, max_tokens, device=device)
    uniforms_TB = uniforms_TB.to(device)
    eos = torch.tensor(policy.eos_ids, device=device)
    check_every = 1 if device.type == "cpu" else 16  # on a GPU each look waits for the device

    logits_PV, cache, attention_PL, lengths_P = _prefill(policy, prompts)
    cache.batch_repeat_interleave(num_generations)
    reserve(cache, room=max_tokens)
    logits_BV = logits_PV.repeat_interleave(num_generations, 0)
    prompt_length = attention_PL.shape[1]
    attention_BL = torch.ones(num_sequences, prompt_length + max_tokens, dtype=torch.bool, device=device)
    attention_BL[:, :prompt_length] = attention_PL.repeat_interleave(num_generations, 0)
    positions_B = lengths_P.repeat_interleave(num_generations)
    running_B = torch.ones(num_sequences, dtype=torch.bool, device=device)
    rows = torch.arange(num_sequences, device=device)  # the sequences that are still in the batch

    for t in range(max_tokens):
        tokens_B, token_logps_B = draw(logits_BV, uniforms_TB[t, rows], temperature=temperature)
        ids_BT[rows, t] = tokens_B
        logps_BT[rows, t] = token_logps_B
        running_B &= ~torch.isin(tokens_B, eos)
        if t + 1 == max_tokens:
            break
        if (t + 1) % check_every == 0:
            num_running = int(running_B.sum())
            if num_running == 0:
                return ids_BT[:, : t + 1], logps_BT[:, : t + 1]
            if num_running < COMPACT_BELOW * len(rows):
                kept = running_B.nonzero().squeeze(1)
                keep_rows(cache, rows=kept)
                rows, tokens_B, running_B = rows[kept], tokens_B[kept], running_B[kept]
                attention_BL, positions_B = attention_BL[kept], positions_B[kept]
        logits_BV = policy.model(
            input_ids=tokens_B[:, None],
            attention_mask=attention_BL[:, : prompt_length + t + 1],
            position_ids=positions_B[:, None] + t,
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
    return ids_BT, logps_BT


def _prefill(policy: Policy, prompts: Sequence[Prompt]) -> tuple[Tensor, DynamicCache, Tensor, Tensor]:
    """Run each prompt once, padded on the left: last logits `[P, V]`, cache, attention mask `[P, L]`, lengths `[P]`."""
    lengths_P = torch.tensor([len(prompt.student.ids) for prompt in prompts], device=policy.device)
    longest = int(lengths_P.max())
    padded = [[policy.pad_id] * (longest - len(prompt.student.ids)) + list(prompt.student.ids) for prompt in prompts]
    columns_L = torch.arange(longest, device=policy.device)
    attention_PL = columns_L[None] >= (longest - lengths_P)[:, None]
    cache = DynamicCache(config=policy.model.config)
    logits_PV = policy.model(
        input_ids=torch.tensor(padded, device=policy.device),
        attention_mask=attention_PL,
        position_ids=(columns_L[None] - (longest - lengths_P)[:, None]).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]
    return logits_PV, cache, attention_PL, lengths_P


def draw(logits_BV: Tensor, uniforms_B: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """One token a row, by inverting its cumulative distribution at a uniform number in [0, 1), and its log-prob."""
    probabilities_BV = torch.softmax(logits_BV.float() / temperature, -1)
    cumulative_BV = probabilities_BV.cumsum(-1)
    total_B = cumulative_BV[:, -1]
    # Rounding may lift the product to the total itself, behind which there is no token.
    target_B = torch.minimum(uniforms_B * total_B, torch.nextafter(total_B, torch.zeros_like(total_B)))
    tokens_B = torch.searchsorted(cumulative_BV, target_B[:, None], right=True).squeeze(1)
    return tokens_B, probabilities_BV.gather(1, tokens_B[:, None]).squeeze(1).log()
