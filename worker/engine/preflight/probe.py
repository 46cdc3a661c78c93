"""The pre-flight probe: sample and score a few completions per row from the policy before its first step.

Rows and completions depend on the seed alone. With the method's hint in the prompt the same random numbers are used
again, so differences come from the hint. Completions are always sampled with `generator` "transformers".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from backend.core.hints import GROUP_HINTS, Hint
from backend.core.methods import Method, TeacherKind, method_named
from worker.engine.experiment import Experiment
from worker.engine.measure import Stopwatch
from worker.engine.rollouts.prefill import prefill_of
from worker.engine.rollouts.prompts import Context, LengthLimits, Prompt, PromptBuilder
from worker.engine.rollouts.reward import Scored, concat_scored, score_of
from worker.engine.rollouts.sampling import RolloutContext, sample_and_score
from worker.engine.rollouts.transformers_sampler import TransformersSampler
from worker.engine.seeds import numpy_generator, torch_generator
from worker.engine.settings import Settings
from worker.engine.teacher.contexts import hint_texts, teacher_hint
from worker.engine.teacher.hints import sibling_hints
from worker.engine.types import Task

UNBOUNDED = LengthLimits(2**31, 2**31)

Progress = Callable[[int, int, str], None]
"""Called with (done, total, unit)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCompletions:
    """Scored completions of some prompts, `samples` each."""

    samples: int
    texts: tuple[str, ...]
    scored: Scored
    truncated: tuple[bool, ...]
    lengths: tuple[int, ...]
    """Tokens of each completion."""
    sampling_s: float
    """Seconds spent sampling `timed_tokens`; on a GPU without the first batch, which also compiles."""
    timed_tokens: int

    def scores_of(self, prompt: int) -> list[float | None]:
        """Return the scores of one prompt's completions."""
        records = self.scored.records[prompt * self.samples : (prompt + 1) * self.samples]
        return [score_of(record) for record in records]

    def values_of(self, prompt: int, *, weights: Mapping[str, float]) -> list[tuple[float, ...] | None]:
        """Return what the groups of a run are compared by, for one prompt's completions."""
        samples = slice(prompt * self.samples, (prompt + 1) * self.samples)
        values_KS = self.scored.values_KB(weights)[:, samples]
        missing_S = values_KS.isnan().any(0).tolist()
        values = [tuple(values_K) for values_K in values_KS.T.tolist()]
        return [None if missing else value for value, missing in zip(values, missing_S, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLengths:
    """Length in tokens of every prompt, by row, and the limits."""

    student: dict[int, int]
    hinted: dict[int, int]
    """With the row's hint; empty if hints come from groups or there is none."""
    limits: LengthLimits

    @property
    def longest(self) -> int:
        return max([*self.student.values(), *self.hinted.values()])

    @property
    def too_long(self) -> list[int]:
        """Rows whose prompts would stop a run."""
        limit = self.limits.max_tokens
        return sorted(
            {row for lengths in (self.student, self.hinted) for row, length in lengths.items() if length > limit}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The completions of the policy as it is, with and without the hint."""

    prompts: tuple[Prompt, ...]
    """Of the chosen rows that fit."""
    plain: ProbeCompletions | None
    """Without the hint; None if no row fits."""
    hint: Hint | None
    """The teacher's kind of hint; None if it gets none."""
    hinted_prompts: tuple[Prompt, ...]
    """Of the rows that have a hint which fits."""
    hinted: ProbeCompletions | None
    lengths: PromptLengths
    prefill: str
    """What the chat template writes of each completion's turn before the model does."""
    component_weights: Mapping[str, float]
    """Of the run: by which components its groups are compared, if not by their scores."""


def probe(experiment: Experiment, *, rows: int, samples: int, progress: Progress) -> Probe:
    """Sample and score `samples` completions of the policy for each of `rows` of the tasks, without and with hint.

    The policy and a run's random numbers are not affected. Fault or ValueError, naming the row, where a run could not
    start either: no tasks, a missing hint, a context without room. Each process of a group calls this with the same
    arguments, samples its share and gets the whole.
    """
    settings, policy, tasks = experiment.settings, experiment.policy, experiment.tasks
    if not tasks:
        raise ValueError("there are no tasks to train on")
    method = method_named(settings.method)
    hint = effective_hint(method, settings)
    chosen = chosen_tasks(tasks, rows=rows, seed=settings.seed)
    prompt_builder = PromptBuilder(policy.tokenizer, UNBOUNDED, policy.vision)
    # Images are large: for a vision model only the chosen rows are measured.
    measured = list(tasks) if policy.vision is None else chosen
    texts = {}
    if hint is not None and hint not in GROUP_HINTS:
        texts = hint_texts(tasks, kind=hint, placebo_of=settings.placebo_of, seed=settings.seed)
    lengths = PromptLengths(
        student={task.row: len(prompt_builder.prompt(task).student.ids) for task in measured},
        hinted={task.row: len(prompt_builder.with_hint(task, hint=texts[task.row]).ids) for task in measured if texts},
        limits=LengthLimits.of(settings, max_positions=policy.max_positions),
    )
    too_long = set(lengths.too_long)
    prompts = [prompt_builder.prompt(task) for task in chosen if task.row not in too_long]
    sampler = ProbeSampler(
        context=RolloutContext(
            settings=settings,
            policy=policy,
            sampler=TransformersSampler(policy),
            reward=experiment.reward,
            component_weights=experiment.component_weights,
            world=experiment.world,
        ),
        samples=samples,
        progress=ProbeProgress(progress, total=len(prompts) * samples * (1 if hint is None else 2)),
    )
    prefill = prefill_of(policy.tokenizer)
    if not prompts:
        return Probe(
            prompts=(),
            plain=None,
            hint=hint,
            hinted_prompts=(),
            hinted=None,
            lengths=lengths,
            prefill=prefill,
            component_weights=experiment.component_weights,
        )
    plain = sampler.sample(prompts)
    if hint in GROUP_HINTS:
        texts = _group_hint_texts(prompts, plain, kind=hint, settings=settings)
    hinted_prompts = _hinted_prompts(prompts, texts, prompt_builder=prompt_builder, allowed=lengths.limits.max_tokens)
    hinted = sampler.sample(hinted_prompts) if hinted_prompts else None
    return Probe(
        prompts=tuple(prompts),
        plain=plain,
        hint=hint,
        hinted_prompts=tuple(hinted_prompts),
        hinted=hinted,
        lengths=lengths,
        prefill=prefill,
        component_weights=experiment.component_weights,
    )


def chosen_tasks(tasks: Sequence[Task], *, rows: int, seed: int) -> list[Task]:
    """Choose `rows` of the tasks at random, in their order; all if there are no more."""
    order = numpy_generator(seed, step=0, purpose="preflight rows").permutation(len(tasks)).tolist()
    return [tasks[index] for index in sorted(order[:rows])]


def effective_hint(method: Method, settings: Settings) -> Hint | None:
    """Return the teacher's kind of hint in a run; None if no teacher gets one."""
    if method.teacher is not TeacherKind.HINTED or not method.needs_teacher(settings.lam, alpha=settings.alpha):
        return None
    return teacher_hint(method, settings)


@dataclass(slots=True)
class ProbeProgress:
    """Counts the completions that have been sampled and scored, and reports the progress."""

    progress: Progress
    total: int
    done: int = 0

    def add(self, count: int) -> None:
        self.done += count
        self.progress(self.done, self.total, "completions")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSampler:
    """Samples and scores completions, in batches as large as a step's."""

    context: RolloutContext
    samples: int
    progress: ProbeProgress

    def sample(self, prompts: Sequence[Prompt]) -> ProbeCompletions:
        """Sample and score completions for these prompts."""
        policy, settings = self.context.policy, self.context.settings
        policy.model.eval()
        at_once = max(1, settings.batch_size * settings.num_generations // self.samples)
        parts = [self._sample_batch(prompts, start=start, count=at_once) for start in range(0, len(prompts), at_once)]
        timed = parts[1:] if policy.device.type == "cuda" and len(parts) > 1 else parts
        return ProbeCompletions(
            samples=self.samples,
            texts=tuple(text for part in parts for text in part.texts),
            scored=concat_scored([part.scored for part in parts]),
            truncated=tuple(flag for part in parts for flag in part.truncated),
            lengths=tuple(length for part in parts for length in part.lengths),
            sampling_s=sum(part.sampling_s for part in timed),
            timed_tokens=sum(sum(part.lengths) for part in timed),
        )

    def _sample_batch(self, prompts: Sequence[Prompt], *, start: int, count: int) -> ProbeCompletions:
        context = self.context
        watch = Stopwatch(context.policy.device)
        rollouts, scored = sample_and_score(
            context,
            prompts[start : start + count],
            num_generations=self.samples,
            generator=torch_generator(context.settings.seed, step=start, purpose="preflight"),
            phase=watch.phase,
        )
        self.progress.add(rollouts.num_sequences)
        lengths = tuple(rollouts.lengths_B.tolist())
        return ProbeCompletions(
            samples=self.samples,
            texts=rollouts.texts,
            scored=scored,
            truncated=tuple(rollouts.truncated_B.tolist()),
            lengths=lengths,
            sampling_s=context.world.broadcast(watch.seconds["rollout"]),
            timed_tokens=sum(lengths),
        )


def _group_hint_texts(
    prompts: Sequence[Prompt], plain: ProbeCompletions, *, kind: Hint | None, settings: Settings
) -> dict[int, str]:
    """Choose a right completion by row (or a wrong one, depending on the kind); rows without one are left out."""
    assert kind is not None
    rewards_B: torch.Tensor = plain.scored.rewards_B
    hints_B = sibling_hints(
        plain.texts,
        rewards_B,
        num_generations=plain.samples,
        success_above=settings.success_above,
        kind=kind,
        count=1,
        generator=torch_generator(settings.seed, step=0, purpose="preflight siblings"),
    )
    texts: dict[int, str] = {}
    for b, hints in enumerate(hints_B):
        for hint in hints:
            texts.setdefault(prompts[b // plain.samples].task.row, hint)
    return texts


def _hinted_prompts(
    prompts: Sequence[Prompt], texts: dict[int, str], *, prompt_builder: PromptBuilder, allowed: int
) -> list[Prompt]:
    """Build the prompts with their hints; those whose hint is missing or does not fit are left out."""
    hinted = []
    for prompt in prompts:
        if prompt.task.row in texts:
            context: Context | None = prompt_builder.try_with_hint(prompt.task, hint=texts[prompt.task.row])
            if context is not None and len(context.ids) <= allowed:
                hinted.append(Prompt(prompt.task, context))
    return hinted
