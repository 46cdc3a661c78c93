"""Owns decoding with transformers: one prefill a prompt, `G` continuations, a token a forward pass.

Each token is drawn by inverting the cumulative distribution at one uniform number. The numbers of a completion are
drawn beforehand, so they do not depend on the order in which sequences end, on the device, or on the policy: before
and after training the same numbers meet the same prompts.

On a CPU a pass costs what its rows cost, so ended sequences leave the batch. On a GPU it costs what its launches cost,
so shapes stay as they are, and the pass is compiled into one graph of launches.
"""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from worker.engine.faults import not_a_probability
from worker.engine.model.policy import Policy
from worker.engine.rollouts.kv_cache import can_be_static, keep_rows, make_static, reserve
from worker.engine.rollouts.prompts import Context, Prompt

COMPACT_BELOW = 0.75
"""Ended sequences leave the batch once the share of running ones falls below this."""
STATIC_MULTIPLE = 128
"""Widths of static caches are multiples of this, so that few of them, and so few compilations, come up."""
LOOK_EVERY = 16
"""Tokens between two looks at a GPU for whether all sequences have ended, or one is broken; each look waits for it."""

_COMPILED: WeakKeyDictionary[Any, Callable[..., Any]] = WeakKeyDictionary()


def decode(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    num_generations: int,
    uniforms_TB: Tensor,
    temperature: float,
    static: bool,
) -> tuple[Tensor, Tensor]:
    """Ids and log-probabilities `[B, T]`, T cut to the longest completion; what follows an end of sequence is noise.

    `static` keeps all shapes from the first token to the last, where the model's attention allows it.
    """
    device = policy.device
    max_tokens, num_sequences = uniforms_TB.shape
    ids_BT = torch.full((num_sequences, max_tokens), policy.eos_ids[0], device=device)
    logps_BT = torch.zeros(num_sequences, max_tokens, device=device)
    uniforms_TB = uniforms_TB.to(device)
    eos = torch.tensor(policy.eos_ids, device=device)

    logits_PV, cache, attention_PL, positions_P = prefill(policy, [prompt.student for prompt in prompts])
    prompt_length = attention_PL.shape[1]
    width = prompt_length + max_tokens
    # Flash attention knows no static caches.
    static = static and can_be_static(cache) and policy.model.config._attn_implementation == "sdpa"
    if static:
        width += -width % STATIC_MULTIPLE
        make_static(cache, width=width, copies=num_generations)
    else:
        cache.batch_repeat_interleave(num_generations)
        reserve(cache, room=max_tokens)
    forward = _forward(policy, static=static)
    logits_BV = logits_PV.repeat_interleave(num_generations, 0)
    attention_BL = torch.ones(num_sequences, width, dtype=torch.bool, device=device)
    attention_BL[:, :prompt_length] = attention_PL.repeat_interleave(num_generations, 0)
    positions_B = positions_P.repeat_interleave(num_generations)
    running_B = torch.ones(num_sequences, dtype=torch.bool, device=device)
    rows = torch.arange(num_sequences, device=device)  # the sequences that are still in the batch
    broken = torch.zeros((), dtype=torch.bool, device=device)  # whether a token was drawn from what is no number

    for t in range(max_tokens):
        tokens_B, token_logps_B = draw(logits_BV, uniforms_TB[t, rows], temperature=temperature)
        ids_BT[rows, t] = tokens_B
        logps_BT[rows, t] = token_logps_B
        broken |= (running_B & token_logps_B.isnan()).any()
        running_B &= ~torch.isin(tokens_B, eos)
        if t + 1 == max_tokens:
            break
        if device.type == "cpu" or (t + 1) % LOOK_EVERY == 0:
            _require_numbers(policy, broken)
            num_running = int(running_B.sum())
            if num_running == 0:
                return ids_BT[:, : t + 1], logps_BT[:, : t + 1]
            if num_running < COMPACT_BELOW * len(rows) and not static:
                kept = running_B.nonzero().squeeze(1)
                keep_rows(cache, rows=kept)
                rows, tokens_B, running_B = rows[kept], tokens_B[kept], running_B[kept]
                attention_BL, positions_B = attention_BL[kept], positions_B[kept]
        logits_BV = forward(
            input_ids=policy.as_input(tokens_B[:, None]),
            attention_mask=attention_BL if static else attention_BL[:, : prompt_length + t + 1],
            position_ids=positions_B[:, None] + t,
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
    _require_numbers(policy, broken)
    return ids_BT, logps_BT


def _require_numbers(policy: Policy, broken: Tensor) -> None:
    """Fault where a token was drawn from what is no distribution."""
    if bool(broken):
        raise not_a_probability(trained=policy.is_trained)


def _forward(policy: Policy, *, static: bool) -> Callable[..., Any]:
    """A forward pass of the model; on CUDA, where shapes are static, compiled at its first call."""
    if not static or policy.device.type != "cuda":
        forward: Callable[..., Any] = policy.model
        return forward
    if policy.model not in _COMPILED:
        # "reduce-overhead" records CUDA graphs: a token then costs one launch instead of thousands.
        _COMPILED[policy.model] = torch.compile(policy.model.forward, mode="reduce-overhead", dynamic=False)
    compiled = _COMPILED[policy.model]

    def one_token(**inputs: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # the last token's logits have been read
        return compiled(**inputs)

    return one_token


def prefill(policy: Policy, contexts: Sequence[Context]) -> tuple[Tensor, DynamicCache, Tensor, Tensor]:
    """Run each context once, padded on the left.

    Returns last logits `[P, V]`, cache, attention mask `[P, L]` and the position of the first completion token `[P]`.
    """
    lengths_P = torch.tensor([len(context.ids) for context in contexts], device=policy.device)
    longest = int(lengths_P.max())
    padded = [[policy.pad_id] * (longest - len(context.ids)) + list(context.ids) for context in contexts]
    columns_L = torch.arange(longest, device=policy.device)
    attention_PL = columns_L[None] >= (longest - lengths_P)[:, None]
    cache = DynamicCache(config=policy.model.config)
    inputs = {"position_ids": (columns_L[None] - (longest - lengths_P)[:, None]).clamp(min=0)}
    sights = [context.sight for context in contexts]
    inputs |= policy.image_inputs(sights, starts=(longest - lengths_P).tolist(), width=longest)
    logits_PV = policy.model(
        input_ids=torch.tensor(padded, device=policy.device),
        attention_mask=attention_PL,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        **inputs,
    ).logits[:, -1]
    shifts_P = torch.tensor([context.shift for context in contexts], device=policy.device)
    return logits_PV, cache, attention_PL, lengths_P + shifts_P


def draw(logits_BV: Tensor, uniforms_B: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """One token a row, by inverting its cumulative distribution at a uniform number in [0, 1), and its log-prob.

    Where the logits make no distribution (NaN, infinity) it is some token, and its log-prob NaN.
    """
    probabilities_BV = torch.softmax(logits_BV.float() / temperature, -1)
    cumulative_BV = probabilities_BV.cumsum(-1)
    total_B = cumulative_BV[:, -1]
    # Rounding may lift the product to the total itself, behind which there is no token.
    target_B = torch.minimum(uniforms_B * total_B, torch.nextafter(total_B, torch.zeros_like(total_B)))
    tokens_B = torch.searchsorted(cumulative_BV, target_B[:, None], right=True).squeeze(1)
    tokens_B = tokens_B.clamp(max=logits_BV.shape[1] - 1)  # what is no number lies behind all: no index for a GPU
    return tokens_B, probabilities_BV.gather(1, tokens_B[:, None]).squeeze(1).log()


class TransformersSampler:
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
