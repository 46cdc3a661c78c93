"""Owns whether a model made of an adapter still says what the adapter says: both are asked about the same tokens.

The tokens are completions that the adapter itself sampled, at temperature 1, on real prompts. Both models compute in
float32 on the same device, so what differs is what the making of the model did to it, and not the rounding of a pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.model.policy import Policy
from worker.engine.model.traits import project
from worker.engine.rollouts.logprobs import completion_states
from worker.engine.rollouts.prompts import LengthLimits, Prompt, PromptBuilder
from worker.engine.rollouts.rollouts import rollouts_from
from worker.engine.rollouts.transformers_sampler import TransformersSampler
from worker.engine.seeds import torch_generator
from worker.engine.types import Task, TeacherWeights

PROMPTS = 8
TOKENS = 64
"""Of a completion, at most."""
KEPT_EFFECT = 0.5
"""Rounding may take at most this share of what the adapter changes."""
SILENT_EFFECT = 1e-4
"""An adapter that changes log-probabilities by less has nothing that rounding could take."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two models may lie apart: log-probabilities in nats, greedy tokens as the share that is equal."""

    max: float
    mean: float
    greedy: float


TOLERANCES = {
    torch.float32: Tolerance(max=0.01, mean=0.0005, greedy=0.99),
    torch.float16: Tolerance(max=0.2, mean=0.005, greedy=0.98),
    torch.bfloat16: Tolerance(max=0.5, mean=0.03, greedy=0.95),
}
"""By the dtype that weights are stored in; bfloat16 keeps eight bits of a number, float16 eleven."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A prompt, a completion `[T]` and what the adapter, and the base alone, make of it."""

    prompt: Prompt
    ids_T: Tensor
    text: str
    """Prompt and completion, special tokens and all."""
    logps_T: Tensor
    greedy_T: Tensor
    base_logps_T: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What was compared, and how far apart it lay."""

    prompts: int
    tokens: int
    max_difference: float
    mean_difference: float
    greedy_equal: float
    effect: float
    """Mean difference between the adapter and its base on the same tokens: the yardstick."""
    read_alike: int
    """Prompts that the model's own tokenizer turns into the same tokens."""
    spelled_alike: int
    """Prompts whose tokens it turns into the same text."""
    tolerance: Tolerance

    def faults(self, *, words_are_copied: bool) -> list[str]:
        """Why it does not agree; empty where it does. Whatever is not a number is a fault."""
        allowed, found = self.tolerance, []
        if not self.mean_difference <= allowed.mean:
            found.append(
                f"its log-probabilities differ by {self.mean_difference:.2g} on average, {allowed.mean:g} may be"
            )
        if not self.max_difference <= allowed.max:
            found.append(f"a log-probability differs by {self.max_difference:.2g}, {allowed.max:g} may be")
        if not self.greedy_equal >= allowed.greedy:
            found.append(
                f"{self.greedy_equal:.1%} of the most likely tokens are the same, {allowed.greedy:.0%} must be"
            )
        if not (self.effect <= SILENT_EFFECT or self.mean_difference <= KEPT_EFFECT * self.effect):
            found.append(
                f"it lies {self.mean_difference:.2g} from the adapter, which lies but {self.effect:.2g} from its base: "
                "more than half of what was learned is lost"
            )
        if self.spelled_alike < self.prompts:
            found.append("its tokens stand for other texts")
        if words_are_copied and self.read_alike < self.prompts:
            found.append("its tokenizer reads prompts as other tokens")
        return found


def fitting_prompts(tasks: Sequence[Task], *, policy: Policy, tokens: int) -> list[Prompt]:
    """The first prompts that leave room for a completion of so many tokens."""
    reader = _reader(policy)
    found: list[Prompt] = []
    for task in tasks:
        prompt = reader.prompt(task)
        if len(prompt.student.ids) + tokens <= policy.max_positions:
            found.append(prompt)
        if len(found) == PROMPTS:
            break
    return found


def passages(policy: Policy, prompts: Sequence[Prompt], *, tokens: int, seed: int) -> list[Passage]:
    """A completion a prompt, sampled by the live adapter, and what adapter and base make of it."""
    policy.model.eval()
    chance = torch_generator(seed, step=0, purpose="agreement")
    source, found = TransformersSampler(policy), []
    for prompt in prompts:
        uniforms_TB = torch.rand(tokens, 1, generator=chance)
        ids_BT, logps_BT = source.sample([prompt], num_generations=1, uniforms_TB=uniforms_TB, temperature=1.0)
        mask_BT = rollouts_from(policy, [prompt], num_generations=1, ids_BT=ids_BT, logps_BT=logps_BT).mask_BT
        ids_T = ids_BT[mask_BT]
        logps_T, greedy_T = _read(policy, prompt, ids_T)
        with policy.weights(TeacherWeights.BASE):
            base_logps_T, _ = _read(policy, prompt, ids_T)
        found.append(Passage(prompt, ids_T, _text(policy, prompt, ids_T), logps_T, greedy_T, base_logps_T))
    return found


def agreement(policy: Policy, written: Sequence[Passage], *, dtype: torch.dtype) -> Agreement:
    """How far this model, its weights stored in `dtype`, lies from the one that wrote the passages."""
    policy.model.eval()
    differences, effects, equal, read_alike, spelled_alike = [], [], [], 0, 0
    reader = _reader(policy)
    for passage in written:
        logps_T, greedy_T = _read(policy, passage.prompt, passage.ids_T)
        differences.append((logps_T - passage.logps_T).abs())
        effects.append((passage.base_logps_T - passage.logps_T).abs())
        equal.append(greedy_T == passage.greedy_T)
        read_alike += reader.prompt(passage.prompt.task).student.ids == passage.prompt.student.ids
        spelled_alike += _text(policy, passage.prompt, passage.ids_T) == passage.text
    difference = torch.cat(differences).double()
    return Agreement(
        prompts=len(written),
        tokens=difference.numel(),
        max_difference=difference.max().item(),
        mean_difference=difference.mean().item(),
        greedy_equal=torch.cat(equal).double().mean().item(),
        effect=torch.cat(effects).double().mean().item(),
        read_alike=read_alike,
        spelled_alike=spelled_alike,
        tolerance=TOLERANCES[dtype],
    )


def _read(policy: Policy, prompt: Prompt, ids_T: Tensor) -> tuple[Tensor, Tensor]:
    """log-probabilities `[T]` of the tokens after the prompt, and the most likely ones in their places."""
    with torch.no_grad():
        states_TH = completion_states(policy, [prompt.student], ids_T[None])[0]
        logps_TV = project(policy, states_TH).float().log_softmax(-1)
    return logps_TV.gather(1, ids_T[:, None])[:, 0], logps_TV.argmax(-1)


def _reader(policy: Policy) -> PromptBuilder:
    return PromptBuilder(policy.tokenizer, LengthLimits(2**31, 2**31), policy.vision)


def _text(policy: Policy, prompt: Prompt, ids_T: Tensor) -> str:
    text: str = policy.tokenizer.decode([*prompt.student.ids, *ids_T.tolist()], skip_special_tokens=False)
    return text
