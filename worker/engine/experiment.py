"""A run's inputs, and what all its steps share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from backend.core.methods import Method, TeacherKind, method_named
from backend.core.settings.choices import Divergence
from worker.engine.distributed import ProcessGroup
from worker.engine.model.policy import Policy
from worker.engine.observer import Observer
from worker.engine.rollouts.practice import practice_prompts
from worker.engine.rollouts.prompts import LengthLimits, Prompt, PromptBuilder
from worker.engine.rollouts.sampling import RolloutContext, make_sampler
from worker.engine.settings import Settings
from worker.engine.teacher.contexts import TeacherContextBuilder, hint_texts, make_context_builder
from worker.engine.teacher.distillation import require_frozen_head
from worker.engine.training.optimizer import make_optimizer
from worker.engine.types import Reward, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Settings, models, data and reward of a run. All its processes have equal ones, but for their rank."""

    settings: Settings
    policy: Policy
    """Its live adapter is trained."""
    teacher: Policy | None = None
    """The external model of a method that needs one (`load_external_teacher`)."""
    tasks: Sequence[Task]
    held_out: Sequence[Task]
    """Never trained on; without any there are no evaluations."""
    reward: Reward
    world: ProcessGroup = field(default_factory=ProcessGroup.single)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainContext(RolloutContext):
    """What all steps of a run share."""

    method: Method
    teacher: Policy
    """The teacher's network: the policy itself, or an external model."""
    optimizer: torch.optim.AdamW
    prompts: Sequence[Prompt]
    eval_prompts: Sequence[Prompt]
    """Held out, never trained on."""
    context_builder: TeacherContextBuilder | None
    """None where the run needs no teacher."""
    practice_prompts: Mapping[int, Prompt] | None
    """The prompts with their hint, by row; None where the run does not practise."""
    observer: Observer


def make_train_context(experiment: Experiment, *, observer: Observer) -> TrainContext:
    """Build the context of an experiment. ValueError where its settings do not match its tasks or models: no tasks, an
    unknown method, a missing hint or too long a prompt, naming the row.
    """
    settings, policy, world = experiment.settings, experiment.policy, experiment.world
    if not experiment.tasks:
        raise ValueError("there are no tasks to train on")
    if settings.batch_size % world.size:
        raise ValueError(
            f"batch_size {settings.batch_size} cannot be divided evenly among {world.size} devices: use a multiple of "
            f"{world.size}"
        )
    method = method_named(settings.method)
    if settings.divergence != Divergence.SAMPLED and not method.distils:
        raise ValueError(f"divergence {settings.divergence} needs a distilling method, got {method.name}")
    if settings.divergence != Divergence.SAMPLED:
        require_frozen_head(policy)
    external = experiment.teacher
    if (method.teacher is TeacherKind.EXTERNAL) != (external is not None):
        raise ValueError(
            f"the method {method.name} {'does not use' if external else 'needs'} an external teacher model"
        )
    teacher = external or policy
    max_positions = min(policy.max_positions, teacher.max_positions)
    prompt_builder = PromptBuilder(
        policy.tokenizer, LengthLimits.of(settings, max_positions=max_positions), policy.vision
    )
    context_builder = None
    if method.needs_teacher(settings.lam, alpha=settings.alpha):
        context_builder = make_context_builder(
            experiment.tasks, prompt_builder=prompt_builder, method=method, settings=settings
        )
    return TrainContext(
        settings=settings,
        method=method,
        policy=policy,
        teacher=teacher,
        optimizer=make_optimizer(policy, settings=settings),
        prompts=[prompt_builder.prompt(task) for task in experiment.tasks],
        sampler=make_sampler(policy, settings=settings),
        eval_prompts=[prompt_builder.prompt(task) for task in experiment.held_out],
        context_builder=context_builder,
        practice_prompts=_practice_prompts(
            experiment.tasks, prompt_builder=prompt_builder, method=method, settings=settings, observer=observer
        ),
        reward=experiment.reward,
        observer=observer,
        world=world,
    )


def _practice_prompts(
    tasks: Sequence[Task], *, prompt_builder: PromptBuilder, method: Method, settings: Settings, observer: Observer
) -> Mapping[int, Prompt] | None:
    """Build the prompts of practice; rows whose prompt is too long are an event. ValueError naming a row without a
    hint, or a method that does not learn from scores.
    """
    practice = settings.practice
    if practice is None:
        return None
    if not method.rewarded:
        raise ValueError(f"practice needs a method that learns from scores, got {method.name}")
    hints = hint_texts(tasks, kind=practice.hint, placebo_of=practice.placebo_of, seed=settings.seed)
    prompts = practice_prompts(tasks, hints=hints, prompt_builder=prompt_builder)
    if len(prompts) < len(tasks):
        observer.event(
            level="warn",
            code="practice_too_long",
            message=f"{len(tasks) - len(prompts)} of {len(tasks)} rows are never practised, because their prompt is "
            "too long with its hint: raise max_prompt_tokens, lower max_completion_tokens, or choose a shorter hint.",
        )
    return prompts
