"""A random Llama of a few thousand parameters with a byte-level chat tokenizer, built in memory; and test helpers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from backend.core.control import ControlSignal
from backend.core.methods import TeacherKind, method_named
from backend.core.settings.choices import Combine
from worker.engine.distributed import ProcessGroup
from worker.engine.model.policy import Policy
from worker.engine.model.policy_loading import build_policy, load_external_teacher
from worker.engine.observer import Checkpoint, EvaluationReport, StepReport
from worker.engine.rollouts.prompts import LengthLimits, Prompt, PromptBuilder
from worker.engine.rollouts.rollouts import Rollouts, concat_rollouts
from worker.engine.rollouts.sampler import Sampler
from worker.engine.rollouts.sampling import RolloutContext, sample_chunks
from worker.engine.rollouts.transformers_sampler import TransformersSampler
from worker.engine.settings import Settings
from worker.engine.teacher.contexts import SequenceContexts
from worker.engine.training.update import StepTensors
from worker.engine.types import Completion, Task

torch.set_num_threads(1)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>")


def tiny_tokenizer(
    *, pad: str | None = "<|pad|>", chat_template: str | None = CHAT_TEMPLATE
) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per byte, and chat markers. Accepts any text."""
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token=pad, additional_special_tokens=list(SPECIAL[2:])
    )
    fast.chat_template = chat_template
    return fast


def tiny_model(
    *,
    seed: int = 0,
    hidden: int = 32,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    vocab: int = 261,
    tied: bool = True,
) -> LlamaForCausalLM:
    """Return a random Llama with larger initial weights than usual, so that its distributions are far from flat.

    Its norms keep the model's precision: Llama's own are float32 even in a float64 model, whose gradients would then
    depend on the order of sums.
    """
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=512,
        initializer_range=0.15,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    norms = {name: module for name, module in model.named_modules() if isinstance(module, LlamaRMSNorm)}
    for name, norm in norms.items():
        model.set_submodule(name, nn.RMSNorm(hidden, eps=norm.variance_epsilon))
    return model


def tiny_settings(**changes: object) -> Settings:
    """Return the settings of a short run with changes, of which those of LoRA begin with `lora_`."""
    values = {
        "max_steps": 4,
        "batch_size": 3,
        "num_generations": 4,
        "max_completion_tokens": 8,
        "max_prompt_tokens": 200,
        "micro_batch_tokens": 256,
        "rollout_sequences": 64,
        "learning_rate": 1e-2,
        "lora": {"r": 4, "alpha": 8.0},
        "lambda_decay_steps": 0,
        "contrast_samples": 2,
        "teacher_sync_steps": 2,
        "teacher_device": "cpu",
        "device": "cpu",
        "eval_samples": 2,
        "checkpoint_interval": 2,
        "diagnostic_interval": 1,
        "max_dead_steps": 0,
        "seed": 7,
    }
    values |= {name: value for name, value in changes.items() if not name.startswith("lora_")}
    values["lora"] |= {name.removeprefix("lora_"): changes[name] for name in changes.keys() - values.keys()}
    return Settings(**values)


def tiny_policy(settings: Settings | None = None, *, random_adapters: bool = False, **model: int) -> Policy:
    """Return a policy on the tiny model, optionally with different random weights in both adapters."""
    policy = build_policy(tiny_model(**model), tokenizer=tiny_tokenizer(), settings=settings or tiny_settings())
    if random_adapters:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name in ("default", "snapshot"):
                for parameter in policy.adapter(name).values():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return policy


def load_teacher(settings: Settings, policy: Policy) -> Policy | None:
    """Load the external teacher of a run with these settings; None where its method has none."""
    external = method_named(settings.method).teacher is TeacherKind.EXTERNAL
    return load_external_teacher(settings, student=policy) if external else None


def tiny_tasks(count: int, *, first_row: int = 1) -> list[Task]:
    """Return questions of different lengths with an answer and a solution."""
    return [
        Task(
            row=row,
            messages=({"role": "system", "content": "Be brief."}, {"role": "user", "content": "q" * (row % 5 + 1)}),
            answer=f"answer {row}",
            solution=f"first this, then that, hence answer {row}",
            trajectory=f"someone wrote: answer {row}",
            privileged=f"for the teacher: answer {row}",
            item={"row": row},
            looked_up=f"the verifier reads: answer {row}",
        )
        for row in range(first_row, first_row + count)
    ]


def tiny_prompt_builder(policy: Policy, *, max_tokens: int = 400) -> PromptBuilder:
    """Return a builder of contexts of up to `max_tokens` tokens."""
    return PromptBuilder(policy.tokenizer, LengthLimits(max_tokens, max_tokens), policy.vision)


def tiny_prompts(policy: Policy, count: int) -> list[Prompt]:
    """Return the student's prompts of the first tiny tasks."""
    return [tiny_prompt_builder(policy).prompt(task) for task in tiny_tasks(count)]


def rollout_context(policy: Policy, *, sampler: Sampler | None = None, **settings: object) -> RolloutContext:
    """Return what sampling from the policy needs, in one process; the reward is `vowel_share`."""
    return RolloutContext(
        settings=tiny_settings(**settings),
        policy=policy,
        sampler=sampler or TransformersSampler(policy),
        reward=vowel_share,
        component_weights={},
        world=ProcessGroup.single(),
    )


def sample_rollouts(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    num_generations: int,
    max_completion_tokens: int,
    temperature: float,
    generator: torch.Generator,
    sequences_at_once: int = 1000,
) -> Rollouts:
    """Sample completions from the model, by default all at once."""
    context = rollout_context(
        policy,
        max_completion_tokens=max_completion_tokens,
        temperature=temperature,
        rollout_sequences=sequences_at_once,
    )
    parts = list(sample_chunks(context, prompts, num_generations=num_generations, generator=generator))
    return concat_rollouts(parts, prompts=prompts, num_generations=num_generations, pad_id=policy.pad_id)


def rollout_contexts(rollouts: Rollouts) -> SequenceContexts:
    """Return the student's context of each sequence."""
    return tuple(rollouts.prompt_of(b).student for b in range(rollouts.num_sequences))


def solution_contexts(policy: Policy, rollouts: Rollouts) -> SequenceContexts:
    """Return the teacher's context of each sequence with the solution as its hint."""
    tasks = [rollouts.prompt_of(b).task for b in range(rollouts.num_sequences)]
    return tuple(tiny_prompt_builder(policy).with_hint(task, hint=task.solution or "") for task in tasks)


def make_step_tensors(rollouts: Rollouts, advantages: torch.Tensor, teacher: torch.Tensor | None = None) -> StepTensors:
    """Return step tensors with advantages and, optionally, a teacher that is used everywhere."""
    return StepTensors(
        advantages_B=advantages,
        teacher_logps_BT=teacher,
        contrast_logps_BT=None,
        teacher_mask_B=torch.full((rollouts.num_sequences,), teacher is not None),
        teacher_mask_BT=torch.ones_like(rollouts.mask_BT),
        rewards_B=advantages,
        baselines_B=None,
        divergences_BT=None,
        divergence_scale=None,
        practised_B=rollouts.practised_B,
    )


def save_tiny_model(folder: Path, *, tied: bool = True) -> str:
    """Save the tiny model and tokenizer; return the path as a model name."""
    tiny_model(tied=tied).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A score record."""

    score: float | None
    status: str = "ok"
    reason: str | None = None
    components: dict[str, float] = field(default_factory=dict)


def vowel_share(completions: Sequence[Completion]) -> list[Verdict]:
    """Score by the share of characters below "n", which differs for almost any two texts."""
    return [Verdict(sum(c < "n" for c in done.text) / (len(done.text) + 1)) for done in completions]


WEIGHTS = {"early": 0.2, "even": -0.8}
"""Of the components of `weighed`."""


def weighed(completions: Sequence[Completion]) -> list[Verdict]:
    """Score by two components that differ in scale: a share, and whether the length is even."""
    parts = [
        {"early": verdict.score or 0.0, "even": 10.0 * (len(done.text) % 2 == 0)}
        for verdict, done in zip(vowel_share(completions), completions, strict=True)
    ]
    return [Verdict(sum(WEIGHTS[name] * each[name] for name in WEIGHTS), components=each) for each in parts]


def component_weights(settings: Settings) -> dict[str, float]:
    """Return the weights of a run with these settings whose reward is `weighed`."""
    return WEIGHTS if settings.combine is Combine.NORMALISE else {}


@dataclass
class Recorder:
    """Observer that records everything, and optionally requests a stop after some steps."""

    stop_after: int | None = None
    signal: ControlSignal = ControlSignal.PAUSE
    steps: list[StepReport] = field(default_factory=list)
    evaluations: list[EvaluationReport] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)

    def control_signal(self) -> ControlSignal:
        stop = self.stop_after is not None and len(self.steps) >= self.stop_after
        return self.signal if stop else ControlSignal.RUN

    def step(self, report: StepReport) -> None:
        self.steps.append(report)

    def evaluation(self, report: EvaluationReport) -> None:
        self.evaluations.append(report)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)

    def event(self, *, level: str, code: str, message: str) -> None:
        self.events.append((level, code, message))
