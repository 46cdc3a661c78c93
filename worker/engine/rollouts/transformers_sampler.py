"""Sampling with transformers: one prefill per prompt, `G` continuations, one token per forward pass.

Each token is sampled by inverting the cumulative distribution at one uniform number. A completion's numbers are drawn
in advance, so they do not depend on the order in which sequences end, on the device, or on the policy: before and
after training the same prompts are sampled with the same numbers.

On a CPU the cost of a pass grows with its rows, so ended sequences are removed from the batch. On a GPU kernel
launches dominate, so shapes stay fixed and the pass is compiled into a CUDA graph.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from worker.engine.faults import not_a_probability
from worker.engine.model.policy import Policy
from worker.engine.rollouts.kv_cache import keep_rows, make_static, reserve, supports_static
from worker.engine.rollouts.prompts import Context, Prompt

COMPACT_BELOW = 0.75
"""Ended sequences are removed from the batch once the share of running ones falls below this."""
STATIC_MULTIPLE = 128
"""Widths of static caches are rounded up to multiples of this, which keeps compilations few."""
CHECK_EVERY = 16
"""Tokens between two checks on a GPU for ended sequences and NaN; each check synchronises with the device."""


def decode(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    num_generations: int,
    uniforms_TB: Tensor,
    temperature: float,
    static: bool,
) -> tuple[Tensor, Tensor]:
    """Sample ids and log-probabilities `[B, T]`, T cut to the longest completion; undefined after an end of sequence.

    `static` keeps all shapes fixed from the first token to the last, if the model's attention allows it.
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
    # Flash attention does not support static caches.
    static = static and supports_static(cache) and policy.model.config._attn_implementation == "sdpa"
    if static:
        width += -width % STATIC_MULTIPLE
        make_static(cache, width=width, copies=num_generations)
    else:
        cache.batch_repeat_interleave(num_generations)
        reserve(cache, extra_tokens=max_tokens)
    forward = _forward(policy, static=static)
    logits_BV = logits_PV.repeat_interleave(num_generations, 0)
    attention_BL = torch.ones(num_sequences, width, dtype=torch.bool, device=device)
    attention_BL[:, :prompt_length] = attention_PL.repeat_interleave(num_generations, 0)
    positions_B = positions_P.repeat_interleave(num_generations)
    running_B = torch.ones(num_sequences, dtype=torch.bool, device=device)
    rows = torch.arange(num_sequences, device=device)  # the sequences that are still in the batch
    has_nan = torch.zeros((), dtype=torch.bool, device=device)  # whether a token was sampled from NaN logits

    for t in range(max_tokens):
        tokens_B, token_logps_B = inverse_cdf_sample(logits_BV, uniforms_TB[t, rows], temperature=temperature)
        ids_BT[rows, t] = tokens_B
        logps_BT[rows, t] = token_logps_B
        has_nan |= (running_B & token_logps_B.isnan()).any()
        running_B &= ~torch.isin(tokens_B, eos)
        if t + 1 == max_tokens:
            break
        if device.type == "cpu" or (t + 1) % CHECK_EVERY == 0:
            _require_distribution(policy, has_nan)
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
    _require_distribution(policy, has_nan)
    return ids_BT, logps_BT


def _require_distribution(policy: Policy, has_nan: Tensor) -> None:
    """Raise a Fault if a token was sampled from logits with NaN."""
    if bool(has_nan):
        raise not_a_probability(trained=policy.is_trained)


def _forward(policy: Policy, *, static: bool) -> Callable[..., Any]:
    """Return the model's forward pass; on CUDA with static shapes, compiled at its first call."""
    if not static or policy.device.type != "cuda":
        forward: Callable[..., Any] = policy.model
        return forward
    compiled = policy.cache.compiled_forward
    if compiled is None:
        # "reduce-overhead" records CUDA graphs: one launch per token instead of thousands.
        compiled = torch.compile(policy.model.forward, mode="reduce-overhead", dynamic=False)
        policy.cache.compiled_forward = compiled

    def one_token(**inputs: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # the previous logits may be overwritten
        return compiled(**inputs)

    return one_token


def prefill(policy: Policy, contexts: Sequence[Context]) -> tuple[Tensor, DynamicCache, Tensor, Tensor]:
    """Run each context once, padded on the left.

    Returns the last logits `[P, V]`, cache, attention mask `[P, L]` and position of the first completion token `[P]`.
    """
    lengths_P = torch.tensor([len(context.ids) for context in contexts], device=policy.device)
    longest = int(lengths_P.max())
    padded = [[policy.pad_id] * (longest - len(context.ids)) + list(context.ids) for context in contexts]
    columns_L = torch.arange(longest, device=policy.device)
    attention_PL = columns_L[None] >= (longest - lengths_P)[:, None]
    cache = DynamicCache(config=policy.model.config)
    inputs = {"position_ids": (columns_L[None] - (longest - lengths_P)[:, None]).clamp(min=0)}
    spans = [context.image_spans for context in contexts]
    inputs |= policy.image_inputs(spans, starts=(longest - lengths_P).tolist(), width=longest)
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


def inverse_cdf_sample(logits_BV: Tensor, uniforms_B: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """Sample one token per row by inverting the cumulative distribution at a uniform number in [0, 1).

    Returns tokens and log-probabilities, `[B]` each. Where logits are NaN or infinite, the token is arbitrary and its
    log-probability NaN.
    """
    probabilities_BV = torch.softmax(logits_BV.float() / temperature, -1)
    cumulative_BV = probabilities_BV.cumsum(-1)
    total_B = cumulative_BV[:, -1]
    # Rounding may lift the product to the total itself, beyond which there is no token.
    target_B = torch.minimum(uniforms_B * total_B, torch.nextafter(total_B, torch.zeros_like(total_B)))
    tokens_B = torch.searchsorted(cumulative_BV, target_B[:, None], right=True).squeeze(1)
    tokens_B = tokens_B.clamp(max=logits_BV.shape[1] - 1)  # NaN sorts last: out of range for a GPU
    return tokens_B, probabilities_BV.gather(1, tokens_B[:, None]).squeeze(1).log()


class TransformersSampler:
    """Samples with the trained model itself; see `decode`."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def sample(
        self, prompts: Sequence[Prompt], *, num_generations: int, uniforms_TB: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        on_cpu = self.policy.device.type == "cpu"
        # Compiled graphs keep their inputs, and inference tensors could not be used outside inference mode.
        with torch.inference_mode() if on_cpu else torch.no_grad():
            ids_BT, logps_BT = decode(
                self.policy,
                prompts,
                num_generations=num_generations,
                uniforms_TB=uniforms_TB,
                temperature=temperature,
                static=not on_cpu and not self.policy.sharded,
            )
        # An inference tensor cannot be saved for a backward pass; its clone can.
        return ids_BT.clone(), logps_BT.clone()
