"""Owns the pre-flight: what can be known of a run from a few completions a row of the base model (DESIGN 5).

Which rows, which completions: functions of the seed alone. With the method's hint shown to the model the same random
numbers are used again, so what differs is the hint's doing. Completions are always sampled by the model itself, as
`generator` "transformers" does.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from worker.engine.distributed import ProcessGroup
from worker.engine.measure import Stopwatch
from worker.engine.methods import method_named
from worker.engine.methods.base import Method, TeacherKind
from worker.engine.model.policy import LIVE_ADAPTER, Policy
from worker.engine.rollouts.prompts import Context, LengthLimits, Prompt, PromptBuilder
from worker.engine.rollouts.reward import Scored, all_scored
from worker.engine.rollouts.rollouts import joined
from worker.engine.rollouts.sampling import sample_and_score
from worker.engine.rollouts.transformers_sampler import TransformersSampler
from worker.engine.seeds import numpy_generator, torch_generator
from worker.engine.settings import Settings
from worker.engine.teacher.contexts import hint_of, hint_texts
from worker.engine.teacher.hints import FROM_GROUP, sibling_hints
from worker.engine.types import Hint, Reward, Task, TeacherWeights

UNBOUNDED = LengthLimits(2**31, 2**31)

Progress = Callable[[int, int, str], None]
"""Told (done, total, unit)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCompletions:
    """Completions of some prompts, `samples` each, and what the verifier said."""

    samples: int
    texts: tuple[str, ...]
    scored: Scored
    truncated: tuple[bool, ...]
    lengths: tuple[int, ...]
    """Tokens of each completion."""
    sampling_s: float
    """Seconds of sampling the completions that `timed_tokens` counts: on a GPU the first batch also compiles."""
    timed_tokens: int

    def scores_of(self, prompt: int) -> list[float | None]:
        """The scores of one prompt's completions."""
        records = self.scored.records[prompt * self.samples : (prompt + 1) * self.samples]
        return [record.score if record.status == "ok" else None for record in records]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLengths:
    """Tokens of every prompt that was read, by row, and what there is room for."""

    student: dict[int, int]
    hinted: dict[int, int]
    """With the row's hint; empty where hints come from groups or none is shown."""
    room: LengthLimits

    @property
    def longest(self) -> int:
        return max([*self.student.values(), *self.hinted.values()])

    @property
    def too_long(self) -> list[int]:
        """Rows at which a run would stop."""
        rows = {
            row for each in (self.student, self.hinted) for row, length in each.items() if length > self.room.tokens
        }
        return sorted(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What was asked of the base model, and what came back."""

    prompts: tuple[Prompt, ...]
    """Of the chosen rows that fit."""
    plain: ProbeCompletions | None
    """None where no row fits."""
    hint: Hint | None
    """What the method shows its teacher; None where it shows nothing."""
    hinted_prompts: tuple[Prompt, ...]
    """Of those rows that have a hint which fits."""
    hinted: ProbeCompletions | None
    lengths: PromptLengths


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """What is tried: `samples` completions for each of `rows` of the tasks, by this policy and this reward."""

    policy: Policy
    tasks: Sequence[Task]
    reward: Reward
    rows: int
    samples: int
    progress: Progress
    world: ProcessGroup = field(default_factory=ProcessGroup.alone)


def probe(settings: Settings, *, trial: ProbeRequest) -> Probe:
    """Sample and score completions of the base model, plain and with the hint.

    The policy and every random number of a run stay as they are. Fault or ValueError naming the row where a run could
    not begin either: no tasks, a hint that is missing, a context that leaves no room. Each process of a world calls
    this with the same arguments, does its share and gets the whole.
    """
    policy, tasks = trial.policy, trial.tasks
    if not tasks:
        raise ValueError("there are no tasks to train on")
    method = method_named(settings.method)
    hint = shown_hint(method, settings)
    chosen = chosen_tasks(tasks, rows=trial.rows, seed=settings.seed)
    reader = PromptBuilder(policy.tokenizer, UNBOUNDED, policy.vision)
    # Pictures are large: where there are any, only the chosen rows are looked at.
    looked_at = list(tasks) if policy.vision is None else chosen
    texts = {} if hint is None or hint in FROM_GROUP else hint_texts(tasks, kind=hint, settings=settings)
    lengths = PromptLengths(
        student={task.row: len(reader.prompt(task).student.ids) for task in looked_at},
        hinted={task.row: len(reader.with_hint(task, hint=texts[task.row]).ids) for task in looked_at if texts},
        room=LengthLimits.of(settings, max_positions=policy.max_positions),
    )
    unfit = set(lengths.too_long)
    prompts = [reader.prompt(task) for task in chosen if task.row not in unfit]
    asked = ProbeSampler(
        policy=policy,
        reward=trial.reward,
        settings=settings,
        samples=trial.samples,
        tally=ProbeProgress(trial.progress, total=len(prompts) * trial.samples * (1 if hint is None else 2)),
        world=trial.world,
    )
    if not prompts:
        return Probe(prompts=(), plain=None, hint=hint, hinted_prompts=(), hinted=None, lengths=lengths)
    with base_weights(policy):
        plain = asked.answers(prompts)
        if hint in FROM_GROUP:
            texts = _found_in_groups(prompts, plain, kind=hint, settings=settings)
        hinted_prompts = _hinted(prompts, texts, reader=reader, allowed=lengths.room.tokens)
        hinted = asked.answers(hinted_prompts) if hinted_prompts else None
    return Probe(
        prompts=tuple(prompts),
        plain=plain,
        hint=hint,
        hinted_prompts=tuple(hinted_prompts),
        hinted=hinted,
        lengths=lengths,
    )


def chosen_tasks(tasks: Sequence[Task], *, rows: int, seed: int) -> list[Task]:
    """`rows` of the tasks at random, in their order; all where there are no more."""
    order = numpy_generator(seed, step=0, purpose="preflight rows").permutation(len(tasks)).tolist()
    return [tasks[index] for index in sorted(order[:rows])]


def shown_hint(method: Method, settings: Settings) -> Hint | None:
    """What a run's teacher is told; None where no teacher is ever told anything."""
    if method.teacher is not TeacherKind.HINTED or not method.speaks_at(settings.lam, alpha=settings.alpha):
        return None
    return hint_of(method, settings)


@contextmanager
def base_weights(policy: Policy) -> Iterator[None]:
    """The base model inside the block. A fresh adapter adds nothing and stays: so nothing is compiled twice."""
    second_factors = [value for name, value in policy.adapter(LIVE_ADAPTER).items() if "lora_B" in name]
    if second_factors and not any(bool(factor.any()) for factor in second_factors):
        yield
        return
    with policy.weights(TeacherWeights.BASE):
        yield


@dataclass(slots=True)
class ProbeProgress:
    """How many completions have been asked for and scored."""

    progress: Progress
    total: int
    done: int = 0

    def add(self, count: int) -> None:
        self.done += count
        self.progress(self.done, self.total, "completions")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSampler:
    """How completions are asked for: in batches as large as a step's."""

    policy: Policy
    reward: Reward
    settings: Settings
    samples: int
    tally: ProbeProgress
    world: ProcessGroup

    def answers(self, prompts: Sequence[Prompt]) -> ProbeCompletions:
        """Completions of these prompts, scored."""
        self.policy.model.eval()
        at_once = max(1, self.settings.batch_size * self.settings.num_generations // self.samples)
        parts = [self._batch(prompts, start=start, count=at_once) for start in range(0, len(prompts), at_once)]
        timed = parts[1:] if self.policy.device.type == "cuda" and len(parts) > 1 else parts
        return ProbeCompletions(
            samples=self.samples,
            texts=tuple(text for part in parts for text in part.texts),
            scored=all_scored([part.scored for part in parts]),
            truncated=tuple(flag for part in parts for flag in part.truncated),
            lengths=tuple(length for part in parts for length in part.lengths),
            sampling_s=sum(part.sampling_s for part in timed),
            timed_tokens=sum(sum(part.lengths) for part in timed),
        )

    def _batch(self, prompts: Sequence[Prompt], *, start: int, count: int) -> ProbeCompletions:
        batch, settings, world = prompts[start : start + count], self.settings, self.world
        watch = Stopwatch(self.policy.device)
        rollouts, scored = sample_and_score(
            self.policy,
            batch,
            source=TransformersSampler(self.policy),
            reward=self.reward,
            num_generations=self.samples,
            max_completion_tokens=settings.max_completion_tokens,
            temperature=settings.temperature,
            generator=torch_generator(settings.seed, step=start, purpose="preflight"),
            sequences_at_once=settings.rollout_sequences,
            share=world.share(len(batch)),
            phase=watch.phase,
        )
        rollouts, scored = joined(rollouts, scored, prompts=batch, pad_id=self.policy.pad_id, world=world)
        self.tally.add(rollouts.num_sequences)
        lengths = tuple(rollouts.lengths_B.tolist())
        return ProbeCompletions(
            samples=self.samples,
            texts=rollouts.texts,
            scored=scored,
            truncated=tuple(rollouts.truncated_B.tolist()),
            lengths=lengths,
            sampling_s=world.as_leader(watch.seconds["rollout"]),
            timed_tokens=sum(lengths),
        )


def _found_in_groups(
    prompts: Sequence[Prompt], plain: ProbeCompletions, *, kind: Hint | None, settings: Settings
) -> dict[int, str]:
    """By row, a completion that was right (or wrong, as the kind says); rows without one are left out."""
    assert kind is not None
    rewards_B: torch.Tensor = plain.scored.rewards_B
    found_B = sibling_hints(
        plain.texts,
        rewards_B,
        num_generations=plain.samples,
        success_above=settings.success_above,
        wanted=kind,
        count=1,
        generator=torch_generator(settings.seed, step=0, purpose="preflight siblings"),
    )
    texts: dict[int, str] = {}
    for b, hints in enumerate(found_B):
        for hint in hints:
            texts.setdefault(prompts[b // plain.samples].task.row, hint)
    return texts


def _hinted(prompts: Sequence[Prompt], texts: dict[int, str], *, reader: PromptBuilder, allowed: int) -> list[Prompt]:
    """The prompts as a teacher reads them, those left out whose hint is missing or does not fit."""
    found = []
    for prompt in prompts:
        if prompt.task.row in texts:
            context: Context | None = reader.with_hint_that_fits(prompt.task, hint=texts[prompt.task.row])
            if context is not None and len(context.ids) <= allowed:
                found.append(Prompt(prompt.task, context))
    return found
