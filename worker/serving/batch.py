"""Continuous batching: sequences are added to and removed from one batch between two tokens.

Per token: `add` new sequences, `sample` one token per row, `remove` the finished ones, and run `forward` over the
sampled tokens. Rows are left-padded, each with its own positions, random numbers and settings, so a completion does
not depend on the other rows, except for rounding.

A model with sliding windows or recurrent states accepts new sequences only while its batch is empty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from worker.engine.faults import not_a_probability
from worker.engine.rollouts.kv_cache import concat_rows, drop_left_columns, keep_rows, reserve, supports_concat
from worker.engine.rollouts.prompts import Context
from worker.engine.rollouts.transformers_sampler import inverse_cdf_sample, prefill
from worker.serving.adapters import AdaptedBase

CACHE_BLOCK = 128
"""Columns by which the KV cache grows at a time."""
MIN_TRIM = 64
"""Padding columns below which trimming is not worth its cost."""
PREFILL_TOKENS = 8192
"""Tokens per prefill pass, padding included."""


@dataclass(frozen=True, slots=True, eq=False)
class SequenceSlot:
    """One completion to generate. Completions of one prompt share the context object, so it is prefilled once."""

    context: Context
    adapter: str | None
    temperature: float
    """0 is greedy."""
    top_p: float
    """Nucleus: the cumulative probability of the tokens that are sampled from."""
    top_logprobs: int | None
    """Number of alternatives to report per token; None for no log-probabilities."""
    rng: Random
    """Yields one uniform number per token."""


@dataclass(frozen=True, slots=True)
class SampledToken:
    """The next token of a sequence."""

    slot: SequenceSlot
    token: int
    ends: bool
    """Whether it is an end of sequence."""
    logprob: float | None
    """At temperature 1, over the whole vocabulary; None unless requested."""
    alternatives: tuple[tuple[int, float], ...] = ()
    """Most likely tokens and their log-probabilities."""


@dataclass(slots=True)
class _Rows:
    """The state of the batch, row by row."""

    slots: list[SequenceSlot]
    cache: DynamicCache
    attention_BL: Tensor
    positions_B: Tensor
    """Of the next token."""
    logits_BV: Tensor
    """Of the next token."""
    tokens_B: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    """The last sampled tokens."""
    free_columns: int = 0


class Batch:
    """The completions being generated on one base model."""

    def __init__(self, base: AdaptedBase) -> None:
        self.base = base
        self._rows: _Rows | None = None

    @property
    def slots(self) -> list[SequenceSlot]:
        return [] if self._rows is None else list(self._rows.slots)

    @property
    def can_add(self) -> bool:
        """Whether new sequences are accepted now."""
        return self._rows is None or supports_concat(self._rows.cache)

    @torch.inference_mode()
    def add(self, slots: Sequence[SequenceSlot]) -> None:
        """Prefill the contexts of new sequences."""
        assert self.can_add
        for part in _prefill_batches(slots):
            new = self._prefill(part)
            if self._rows is None:
                self._rows = new
            elif not supports_concat(new.cache):
                raise ValueError("this model cannot add sequences to a running batch")
            else:
                _append_rows(self._rows, new)

    @torch.inference_mode()
    def sample(self) -> list[SampledToken]:
        """Sample the next token of every row, in order. Raises Fault on logits that are not finite."""
        rows = self._rows
        if rows is None:
            return []
        finite_B = rows.logits_BV.float().logsumexp(-1).isfinite().tolist()
        if not all(finite_B):
            broken = [slot for slot, finite in zip(rows.slots, finite_B, strict=True) if not finite]
            raise not_a_probability(trained=all(slot.adapter for slot in broken))
        rows.tokens_B = sample_next(rows.logits_BV, rows.slots)
        logprobs = _logprobs(rows)
        eos = self.base.policy.eos_ids
        return [
            SampledToken(slot, token, token in eos, *logprobs.get(row, (None, ())))
            for row, (slot, token) in enumerate(zip(rows.slots, rows.tokens_B.tolist(), strict=True))
        ]

    @torch.inference_mode()
    def remove(self, removed: set[SequenceSlot]) -> None:
        """Drop these sequences."""
        rows = self._rows
        if rows is None or not removed:
            return
        kept = [row for row, slot in enumerate(rows.slots) if slot not in removed]
        if not kept:
            self._rows = None
            return
        if len(kept) == len(rows.slots):
            return
        _select(rows, torch.tensor(kept, device=rows.logits_BV.device))
        padding = int(rows.attention_BL.any(0).int().argmax())
        if padding >= MIN_TRIM and supports_concat(rows.cache):
            drop_left_columns(rows.cache, columns=padding)
            rows.attention_BL, rows.free_columns = rows.attention_BL[:, padding:], 0

    @torch.inference_mode()
    def forward(self) -> None:
        """Run the model over the last sampled tokens."""
        rows, policy = self._rows, self.base.policy
        if rows is None:
            return
        if rows.free_columns == 0:
            reserve(rows.cache, extra_tokens=CACHE_BLOCK)
            rows.free_columns = CACHE_BLOCK
        rows.attention_BL = torch.nn.functional.pad(rows.attention_BL, (0, 1), value=True)
        self.base.use([slot.adapter for slot in rows.slots])
        rows.logits_BV = policy.model(
            input_ids=policy.as_input(rows.tokens_B[:, None]),
            attention_mask=rows.attention_BL,
            position_ids=rows.positions_B[:, None],
            past_key_values=rows.cache,
            use_cache=True,
        ).logits[:, -1]
        rows.positions_B = rows.positions_B + 1
        rows.free_columns -= 1

    def _prefill(self, slots: Sequence[SequenceSlot]) -> _Rows:
        """Prefill these sequences; the rows are ready for their first token."""
        first_of = {(slot.context, slot.adapter): slot for slot in reversed(slots)}
        shared = list(reversed(first_of.values()))
        place = {(slot.context, slot.adapter): index for index, slot in enumerate(shared)}
        self.base.use([slot.adapter for slot in shared])
        logits_PV, cache, attention_PL, positions_P = prefill(self.base.policy, [slot.context for slot in shared])
        rows = _Rows(list(shared), cache, attention_PL, positions_P, logits_PV)
        if len(slots) > len(shared):
            _select(rows, torch.tensor([place[slot.context, slot.adapter] for slot in slots], device=logits_PV.device))
        rows.slots = list(slots)
        return rows


def sample_next(logits_BV: Tensor, slots: Sequence[SequenceSlot]) -> Tensor:
    """Sample one token per row: greedy at temperature 0, else from the nucleus of `top_p`."""
    if all(slot.temperature == 0 for slot in slots):
        return logits_BV.argmax(-1)
    device = logits_BV.device
    temperatures_B = torch.tensor([slot.temperature for slot in slots], device=device)
    scaled_BV = logits_BV.float() / temperatures_B.clamp(min=1e-6)[:, None]
    if any(slot.top_p < 1 for slot in slots):
        scaled_BV = _nucleus(scaled_BV, torch.tensor([slot.top_p for slot in slots], device=device))
    uniforms_B = torch.tensor([slot.rng.random() if slot.temperature else 0.0 for slot in slots], device=device)
    sampled_B, _ = inverse_cdf_sample(scaled_BV, uniforms_B, temperature=1.0)
    return torch.where(temperatures_B == 0, logits_BV.argmax(-1), sampled_B)


def _nucleus(scaled_BV: Tensor, top_p_B: Tensor) -> Tensor:
    """Set logits outside the nucleus to minus infinity; the most likely token always stays."""
    ordered_BV, order_BV = scaled_BV.sort(-1, descending=True)
    probabilities_BV = ordered_BV.softmax(-1)
    before_BV = probabilities_BV.cumsum(-1) - probabilities_BV
    outside_BV = before_BV >= top_p_B[:, None]
    outside_BV[:, 0] = False
    outside_BV[top_p_B >= 1] = False  # rounding may lift the sum before the last tokens to 1
    return scaled_BV.masked_fill(outside_BV.scatter(-1, order_BV, outside_BV), -torch.inf)


def _logprobs(rows: _Rows) -> dict[int, tuple[float, tuple[tuple[int, float], ...]]]:
    """Log-probabilities of the rows that request them: of the sampled token, and of the most likely ones."""
    wanted = {row: slot.top_logprobs for row, slot in enumerate(rows.slots) if slot.top_logprobs is not None}
    if not wanted:
        return {}
    chosen = torch.tensor(list(wanted), device=rows.logits_BV.device)
    logps_WV = rows.logits_BV[chosen].float().log_softmax(-1)
    own_W = logps_WV.gather(1, rows.tokens_B[chosen][:, None]).squeeze(1).tolist()
    best = logps_WV.topk(max(wanted.values()), -1)
    values, ids = best.values.tolist(), best.indices.tolist()
    return {
        row: (own_W[place], tuple(zip(ids[place][:count], values[place][:count], strict=True)))
        for place, (row, count) in enumerate(wanted.items())
    }


def _prefill_batches(slots: Sequence[SequenceSlot]) -> Iterator[list[SequenceSlot]]:
    """Split sequences into prefill passes; those of one context stay together."""
    part: list[SequenceSlot] = []
    for slot in sorted(slots, key=lambda slot: len(slot.context.ids)):
        contexts = len({id(other.context) for other in (*part, slot)})
        if part and contexts * len(slot.context.ids) > PREFILL_TOKENS and slot.context is not part[-1].context:
            yield part
            part = []
        part.append(slot)
    if part:
        yield part


def _select(rows: _Rows, chosen: Tensor) -> None:
    """Keep or repeat these rows."""
    keep_rows(rows.cache, rows=chosen)
    rows.slots = [rows.slots[row] for row in chosen.tolist()]
    rows.attention_BL, rows.positions_B = rows.attention_BL[chosen], rows.positions_B[chosen]
    rows.logits_BV = rows.logits_BV[chosen]
    if len(rows.tokens_B):
        rows.tokens_B = rows.tokens_B[chosen]


def _append_rows(rows: _Rows, new: _Rows) -> None:
    """Append the new rows; all rows are then ready for their next token."""
    width = max(rows.attention_BL.shape[1], new.attention_BL.shape[1])
    concat_rows(rows.cache, new.cache)
    rows.attention_BL = torch.cat(
        [torch.nn.functional.pad(part, (width - part.shape[1], 0)) for part in (rows.attention_BL, new.attention_BL)]
    )
    rows.positions_B = torch.cat([rows.positions_B, new.positions_B])
    rows.logits_BV = torch.cat([rows.logits_BV, new.logits_BV])
    rows.slots, rows.free_columns = rows.slots + new.slots, 0
    rows.tokens_B = torch.empty(0, dtype=torch.long)
