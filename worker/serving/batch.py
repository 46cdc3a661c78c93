"""Owns answering: one batch of completions that others may join, and leave, between two tokens.

Between two tokens the batch is asked to `join` newcomers, `draw` a token for every row, let those that ended `leave`,
and `advance` over the tokens drawn. Rows are padded on the left, and each has positions, chance and settings of its
own, so what it writes does not depend on who else is there, but for the rounding of sums.

A model whose layers forget (sliding windows, recurrent states) is joined only while nobody is there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from worker.engine.faults import not_a_probability
from worker.engine.rollouts.kv_cache import can_be_joined, cut_left, join, keep_rows, make_room
from worker.engine.rollouts.prompts import Context
from worker.engine.rollouts.transformers_sampler import draw, prefill
from worker.serving.adapters import AdaptedBase

ROOM = 128
"""Tokens of room made at a time."""
LEAST_CUT = 64
"""Columns of padding that are worth being cut away."""
PREFILL_TOKENS = 8192
"""Tokens, with padding, read in one pass."""


@dataclass(frozen=True, slots=True, eq=False)
class SequenceSlot:
    """One completion to be written. Those of one prompt share the context object, which is then read once."""

    context: Context
    adapter: str | None
    temperature: float
    """0 takes the likeliest token."""
    top_p: float
    """Share of the probability, likeliest tokens first, that is sampled from."""
    top_logprobs: int | None
    """How many alternatives to tell with each token; None for no log-probabilities at all."""
    chance: Random
    """A number is taken from it for each token."""


@dataclass(frozen=True, slots=True)
class SampledToken:
    """A token of a turn."""

    turn: SequenceSlot
    token: int
    ends: bool
    """Whether it is an end of sequence."""
    logprob: float | None
    """At temperature 1, from the whole vocabulary; None where not asked for."""
    alternatives: tuple[tuple[int, float], ...] = ()
    """Likeliest tokens and their log-probabilities."""


@dataclass(slots=True)
class _Rows:
    """What the batch knows of its rows, in order."""

    turns: list[SequenceSlot]
    cache: DynamicCache
    attention_BL: Tensor
    positions_B: Tensor
    """Of the next token."""
    logits_BV: Tensor
    """Of the next token."""
    tokens_B: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    """Those drawn last."""
    room: int = 0


class Batch:
    """The completions being written on one base."""

    def __init__(self, base: AdaptedBase) -> None:
        self.base = base
        self._rows: _Rows | None = None

    @property
    def turns(self) -> list[SequenceSlot]:
        return [] if self._rows is None else list(self._rows.turns)

    @property
    def is_open(self) -> bool:
        """Whether others may join now."""
        return self._rows is None or can_be_joined(self._rows.cache)

    @torch.inference_mode()
    def join(self, newcomers: Sequence[SequenceSlot]) -> None:
        """Read the newcomers' contexts."""
        assert self.is_open
        for part in _parts(newcomers):
            read = self._read(part)
            if self._rows is None:
                self._rows = read
            elif not can_be_joined(read.cache):
                raise ValueError("this model answers one batch after the other")
            else:
                _put_under(self._rows, read)

    @torch.inference_mode()
    def draw(self) -> list[SampledToken]:
        """The next token of every turn, in order. Fault where the model answers what is no number."""
        rows = self._rows
        if rows is None:
            return []
        sound_B = rows.logits_BV.float().logsumexp(-1).isfinite().tolist()
        if not all(sound_B):
            broken = [turn for turn, sound in zip(rows.turns, sound_B, strict=True) if not sound]
            raise not_a_probability(trained=all(turn.adapter for turn in broken))
        rows.tokens_B = choose(rows.logits_BV, rows.turns)
        told = _told(rows)
        eos = self.base.policy.eos_ids
        return [
            SampledToken(turn, token, token in eos, *told.get(row, (None, ())))
            for row, (turn, token) in enumerate(zip(rows.turns, rows.tokens_B.tolist(), strict=True))
        ]

    @torch.inference_mode()
    def leave(self, leavers: set[SequenceSlot]) -> None:
        """Go on without these."""
        rows = self._rows
        if rows is None or not leavers:
            return
        kept = [row for row, turn in enumerate(rows.turns) if turn not in leavers]
        if not kept:
            self._rows = None
            return
        if len(kept) == len(rows.turns):
            return
        _select(rows, torch.tensor(kept, device=rows.logits_BV.device))
        padding = int(rows.attention_BL.any(0).int().argmax())
        if padding >= LEAST_CUT and can_be_joined(rows.cache):
            cut_left(rows.cache, columns=padding)
            rows.attention_BL, rows.room = rows.attention_BL[:, padding:], 0

    @torch.inference_mode()
    def advance(self) -> None:
        """Run the model over the tokens drawn last."""
        rows, policy = self._rows, self.base.policy
        if rows is None:
            return
        if rows.room == 0:
            make_room(rows.cache, room=ROOM)
            rows.room = ROOM
        rows.attention_BL = torch.nn.functional.pad(rows.attention_BL, (0, 1), value=True)
        self.base.use([turn.adapter for turn in rows.turns])
        rows.logits_BV = policy.model(
            input_ids=policy.as_input(rows.tokens_B[:, None]),
            attention_mask=rows.attention_BL,
            position_ids=rows.positions_B[:, None],
            past_key_values=rows.cache,
            use_cache=True,
        ).logits[:, -1]
        rows.positions_B = rows.positions_B + 1
        rows.room -= 1

    def _read(self, turns: Sequence[SequenceSlot]) -> _Rows:
        """The rows of these turns, ready for their first token."""
        first_of = {(turn.context, turn.adapter): turn for turn in reversed(turns)}
        shared = list(reversed(first_of.values()))
        place = {(turn.context, turn.adapter): index for index, turn in enumerate(shared)}
        self.base.use([turn.adapter for turn in shared])
        logits_PV, cache, attention_PL, positions_P = prefill(self.base.policy, [turn.context for turn in shared])
        rows = _Rows(list(shared), cache, attention_PL, positions_P, logits_PV)
        if len(turns) > len(shared):
            _select(rows, torch.tensor([place[turn.context, turn.adapter] for turn in turns], device=logits_PV.device))
        rows.turns = list(turns)
        return rows


def choose(logits_BV: Tensor, turns: Sequence[SequenceSlot]) -> Tensor:
    """A token a row: the likeliest at temperature 0, else drawn from the likeliest that make up `top_p`."""
    if all(turn.temperature == 0 for turn in turns):
        return logits_BV.argmax(-1)
    device = logits_BV.device
    temperatures_B = torch.tensor([turn.temperature for turn in turns], device=device)
    scaled_BV = logits_BV.float() / temperatures_B.clamp(min=1e-6)[:, None]
    if any(turn.top_p < 1 for turn in turns):
        scaled_BV = _nucleus(scaled_BV, torch.tensor([turn.top_p for turn in turns], device=device))
    uniforms_B = torch.tensor([turn.chance.random() if turn.temperature else 0.0 for turn in turns], device=device)
    drawn_B, _ = draw(scaled_BV, uniforms_B, temperature=1.0)
    return torch.where(temperatures_B == 0, logits_BV.argmax(-1), drawn_B)


def _nucleus(scaled_BV: Tensor, top_p_B: Tensor) -> Tensor:
    """Minus infinity outside of the smallest set of likeliest tokens that makes up `top_p`; one is always left."""
    ordered_BV, order_BV = scaled_BV.sort(-1, descending=True)
    probabilities_BV = ordered_BV.softmax(-1)
    before_BV = probabilities_BV.cumsum(-1) - probabilities_BV
    outside_BV = before_BV >= top_p_B[:, None]
    outside_BV[:, 0] = False
    outside_BV[top_p_B >= 1] = False  # rounding may lift the sum before the last tokens to 1
    return scaled_BV.masked_fill(outside_BV.scatter(-1, order_BV, outside_BV), -torch.inf)


def _told(rows: _Rows) -> dict[int, tuple[float, tuple[tuple[int, float], ...]]]:
    """The log-probabilities of those rows that want them: of the token, and of the likeliest ones."""
    wanted = {row: turn.top_logprobs for row, turn in enumerate(rows.turns) if turn.top_logprobs is not None}
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


def _parts(turns: Sequence[SequenceSlot]) -> Iterator[list[SequenceSlot]]:
    """The turns in parts that are read in one pass each; the turns of one context stay together."""
    part: list[SequenceSlot] = []
    for turn in sorted(turns, key=lambda turn: len(turn.context.ids)):
        contexts = len({id(other.context) for other in (*part, turn)})
        if part and contexts * len(turn.context.ids) > PREFILL_TOKENS and turn.context is not part[-1].context:
            yield part
            part = []
        part.append(turn)
    if part:
        yield part


def _select(rows: _Rows, chosen: Tensor) -> None:
    """Keep these rows, or repeat them."""
    keep_rows(rows.cache, rows=chosen)
    rows.turns = [rows.turns[row] for row in chosen.tolist()]
    rows.attention_BL, rows.positions_B = rows.attention_BL[chosen], rows.positions_B[chosen]
    rows.logits_BV = rows.logits_BV[chosen]
    if len(rows.tokens_B):
        rows.tokens_B = rows.tokens_B[chosen]


def _put_under(rows: _Rows, others: _Rows) -> None:
    """Join the rows of both; a token is due for all of them."""
    width = max(rows.attention_BL.shape[1], others.attention_BL.shape[1])
    join(rows.cache, others.cache)
    rows.attention_BL = torch.cat(
        [torch.nn.functional.pad(part, (width - part.shape[1], 0)) for part in (rows.attention_BL, others.attention_BL)]
    )
    rows.positions_B = torch.cat([rows.positions_B, others.positions_B])
    rows.logits_BV = torch.cat([rows.logits_BV, others.logits_BV])
    rows.turns, rows.room = rows.turns + others.turns, 0
    rows.tokens_B = torch.empty(0, dtype=torch.long)
