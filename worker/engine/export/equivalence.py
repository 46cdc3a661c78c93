"""Equivalence test of an exported model: do it and the adapter assign the same log-probabilities to the same tokens?

The tokens are completions sampled from the adapter at temperature 1, on real prompts. Both models compute in float32 on
the same device, so differences come from the export and not from the rounding of a forward pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.core.settings.choices import TeacherWeights
from worker.engine.model.completion_text import verbatim
from worker.engine.model.policy import Policy
from worker.engine.model.traits import project
from worker.engine.rollouts.logprobs import completion_states
from worker.engine.rollouts.prompts import LengthLimits, Prompt, PromptBuilder
from worker.engine.rollouts.rollouts import rollouts_from
from worker.engine.rollouts.transformers_sampler import TransformersSampler
from worker.engine.seeds import torch_generator
from worker.engine.types import Task

MAX_PROMPTS = 8
MAX_TOKENS = 64
"""Per completion."""
NEGLIGIBLE_EFFECT = 1e-4
"""An adapter that changes log-probabilities by less is exempt from `Tolerance.lost`."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest accepted difference: log-probabilities in nats, and the share of greedy tokens that must be equal.

    `lost`: the mean difference as a share of the adapter's own effect.
    """

    max: float
    mean: float
    greedy: float
    lost: float


TOLERANCES = {
    "q8_0": Tolerance(max=0.5, mean=0.03, greedy=0.95, lost=0.1),
    "bfloat16": Tolerance(max=0.5, mean=0.03, greedy=0.95, lost=0.5),
    "float16": Tolerance(max=0.2, mean=0.005, greedy=0.98, lost=0.5),
    "float32": Tolerance(max=0.01, mean=0.0005, greedy=0.99, lost=0.5),
}
"""By the dtype of the stored weights, from the coarsest to the finest: GGUF's q8_0 keeps eight bits, of a block of 32
weights with one scale, bfloat16 eight significant bits, float16 eleven. q8_0 is tried without being requested, and
may lose least."""


@dataclass(frozen=True, slots=True)
class ReferenceCompletion:
    """A prompt with a completion `[T]`, and its log-probabilities under the adapter and under the base model."""

    prompt: Prompt
    ids_T: Tensor
    text: str
    """Prompt and completion, with special tokens."""
    logps_T: Tensor
    greedy_T: Tensor
    base_logps_T: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Differences between an exported model and its adapter."""

    prompts: int
    tokens: int
    max_difference: float
    mean_difference: float
    greedy_equal: float
    effect: float
    """Mean difference between the adapter and its base model on the same tokens, for comparison."""
    read_alike: int
    """Prompts that the model's own tokenizer encodes to the same tokens."""
    spelled_alike: int
    """Prompts whose tokens it decodes to the same text."""
    tolerance: Tolerance

    def faults(self, *, tokenizer_is_copied: bool) -> list[str]:
        """List the reasons why the models do not agree; empty if they do. NaN is a fault."""
        allowed, found = self.tolerance, []
        if not self.mean_difference <= allowed.mean:
            found.append(
                f"its log-probabilities differ by {self.mean_difference:.2g} on average (at most {allowed.mean:g} is "
                "allowed)"
            )
        if not self.max_difference <= allowed.max:
            found.append(f"a log-probability differs by {self.max_difference:.2g} (at most {allowed.max:g} is allowed)")
        if not self.greedy_equal >= allowed.greedy:
            found.append(
                f"{self.greedy_equal:.1%} of the most likely tokens are the same (at least {allowed.greedy:.0%} must "
                "be)"
            )
        if not (self.effect <= NEGLIGIBLE_EFFECT or self.mean_difference <= allowed.lost * self.effect):
            found.append(
                f"it differs by {self.mean_difference:.2g} from the adapter, which differs by only {self.effect:.2g} "
                f"from its base model: more than {allowed.lost:.0%} of what was learned is lost"
            )
        return found + self.tokenizer_faults(tokenizer_is_copied=tokenizer_is_copied)

    def tokenizer_faults(self, *, tokenizer_is_copied: bool) -> list[str]:
        """List the faults of the tokenizer, which no other dtype mends."""
        found = []
        if self.spelled_alike < self.prompts:
            found.append("its tokenizer decodes the tokens to different text")
        if tokenizer_is_copied and self.read_alike < self.prompts:
            found.append("its tokenizer encodes prompts to different tokens")
        return found


def fitting_prompts(tasks: Sequence[Task], *, policy: Policy, tokens: int) -> list[Prompt]:
    """Return the first prompts that leave room for a completion of this many tokens."""
    prompt_builder = _prompt_builder(policy)
    prompts: list[Prompt] = []
    for task in tasks:
        prompt = prompt_builder.prompt(task)
        if len(prompt.student.ids) + tokens <= policy.max_positions:
            prompts.append(prompt)
        if len(prompts) == MAX_PROMPTS:
            break
    return prompts


def reference_completions(
    policy: Policy, prompts: Sequence[Prompt], *, tokens: int, seed: int
) -> list[ReferenceCompletion]:
    """Sample a completion per prompt with the live adapter, and score it with the adapter and the base model."""
    policy.model.eval()
    generator = torch_generator(seed, step=0, purpose="agreement")
    sampler, references = TransformersSampler(policy), []
    for prompt in prompts:
        uniforms_TB = torch.rand(tokens, 1, generator=generator)
        ids_BT, logps_BT = sampler.sample([prompt], num_generations=1, uniforms_TB=uniforms_TB, temperature=1.0)
        mask_BT = rollouts_from(policy, [prompt], num_generations=1, ids_BT=ids_BT, logps_BT=logps_BT).mask_BT
        ids_T = ids_BT[mask_BT]
        logps_T, greedy_T = _score(policy, prompt, ids_T)
        with policy.weights(TeacherWeights.BASE):
            base_logps_T, _ = _score(policy, prompt, ids_T)
        references.append(
            ReferenceCompletion(prompt, ids_T, _text(policy, prompt, ids_T), logps_T, greedy_T, base_logps_T)
        )
    return references


def measure_agreement(policy: Policy, references: Sequence[ReferenceCompletion], *, dtype: str) -> Agreement:
    """Compare this model, its weights stored in `dtype`, with the one that sampled the reference completions."""
    policy.model.eval()
    differences, effects, equal, read_alike, spelled_alike = [], [], [], 0, 0
    prompt_builder = _prompt_builder(policy)
    for reference in references:
        prompt = reference.prompt
        logps_T, greedy_T = _score(policy, prompt, reference.ids_T)
        differences.append((logps_T - reference.logps_T).abs())
        effects.append((reference.base_logps_T - reference.logps_T).abs())
        equal.append(greedy_T == reference.greedy_T)
        read_alike += prompt_builder.prompt(prompt.task).student.ids == prompt.student.ids
        spelled_alike += _text(policy, prompt, reference.ids_T) == reference.text
    difference = torch.cat(differences).double()
    return Agreement(
        prompts=len(references),
        tokens=difference.numel(),
        max_difference=difference.max().item(),
        mean_difference=difference.mean().item(),
        greedy_equal=torch.cat(equal).double().mean().item(),
        effect=torch.cat(effects).double().mean().item(),
        read_alike=read_alike,
        spelled_alike=spelled_alike,
        tolerance=TOLERANCES[dtype],
    )


def _score(policy: Policy, prompt: Prompt, ids_T: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the tokens' log-probabilities `[T]` after the prompt, and the most likely token at each position."""
    with torch.no_grad():
        states_TH = completion_states(policy, [prompt.student], ids_T[None])[0]
        logps_TV = project(policy, states_TH).float().log_softmax(-1)
    return logps_TV.gather(1, ids_T[:, None])[:, 0], logps_TV.argmax(-1)


def _prompt_builder(policy: Policy) -> PromptBuilder:
    return PromptBuilder(policy.tokenizer, LengthLimits(2**31, 2**31), policy.vision)


def _text(policy: Policy, prompt: Prompt, ids_T: Tensor) -> str:
    return verbatim(policy.tokenizer, [*prompt.student.ids, *ids_T.tolist()])
