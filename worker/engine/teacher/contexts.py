"""Owns which contexts the teachers of a step read: hints, put into the prompts of the sequences they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import or_

import torch
from torch import Tensor

from worker.engine.methods.base import Method, TeacherKind
from worker.engine.rollouts.prompts import Context, PromptBuilder
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.seeds import derive, torch_generator
from worker.engine.settings import Settings
from worker.engine.teacher.hints import FROM_GROUP, ROW_HINTS, placebo_hint, row_hint, sibling_hints, strangers_hints
from worker.engine.types import Hint, Task

Reading = tuple[Context | None, ...]
"""What one teacher reads before each sequence's completion, `[B]`; None where there is nothing to tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherContexts:
    """What the teachers of one step read."""

    teacher_B: Reading
    contrasts_KB: tuple[Reading, ...]
    """The second hint's readings, where the method has one; a sequence may have fewer than `K`."""
    absent_B: tuple[bool, ...]
    """True where the group holds no completion that could be a hint the method needs."""

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Every reading of the step."""
        return (self.teacher_B, *self.contrasts_KB)

    @property
    def teacher_mask_B(self) -> Tensor:
        """True where every hint the method needs is there."""
        told = [context is not None for context in self.teacher_B]
        if self.contrasts_KB:
            told = [a and b is not None for a, b in zip(told, self.contrasts_KB[0], strict=True)]
        return torch.tensor(told)

    @property
    def too_long_B(self) -> Tensor:
        """True where there were hints, and none left room for the rest of what a teacher reads."""
        return ~self.teacher_mask_B & ~torch.tensor(self.absent_B)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlContexts:
    """What a teacher reads to tell what its hint says from its being there; a sequence has both readings or neither."""

    own_B: Reading
    """The hint that is meant for it."""
    placebo_B: Reading
    """Another row's hint of the same kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherContextBuilder:
    """Makes the briefing of each step. Contexts that depend on the row alone are made, and so checked, beforehand."""

    reader: PromptBuilder
    method: Method
    settings: Settings
    fixed: dict[Hint, dict[int, Context]]
    """By kind of hint and row."""
    placebos: dict[int, Context | None] | None
    """What the placebo control reads, by row; None where the rows cannot give one."""

    def brief(self, rollouts: Rollouts, rewards_B: Tensor, *, step: int) -> TeacherContexts:
        """The readings of one step's sequences."""
        if self.method.teacher is TeacherKind.EXTERNAL:
            students_B = tuple(rollouts.prompt_of(b).student for b in range(rollouts.num_sequences))
            return TeacherContexts(teacher_B=students_B, contrasts_KB=(), absent_B=(False,) * rollouts.num_sequences)
        hint = hint_of(self.method, self.settings)
        (teacher_B,), absent_B = self._readings(rollouts, rewards_B, kind=hint, count=1, step=step)
        contrasts_KB: tuple[Reading, ...] = ()
        if self.method.contrast is not None:
            contrasts_KB, absent_too_B = self._readings(
                rollouts, rewards_B, kind=self.method.contrast, count=self.settings.contrast_samples, step=step
            )
            # Where one hint is missing nothing is compared, so nothing needs to be read.
            contrasts_KB = tuple(_where(teacher_B, reading) for reading in contrasts_KB)
            teacher_B = _where(contrasts_KB[0], teacher_B)
            absent_B = tuple(map(or_, absent_B, absent_too_B))
        return TeacherContexts(teacher_B=teacher_B, contrasts_KB=contrasts_KB, absent_B=absent_B)

    def control(self, rollouts: Rollouts, rewards_B: Tensor, *, step: int) -> ControlContexts | None:
        """The readings of the placebo control; None where hint or data cannot give one."""
        if self.method.teacher is TeacherKind.EXTERNAL:
            return None
        rows_B = [rollouts.prompt_of(b).task.row for b in range(rollouts.num_sequences)]
        hint = hint_of(self.method, self.settings)
        if hint is Hint.SIBLING:
            hints_B = self._from_group(rollouts, rewards_B, kind=hint, step=step)
            strange_B = strangers_hints(hints_B, rows_B=rows_B, num_generations=rollouts.num_generations)
            (own_B,), (placebo_B,) = (self._told(rollouts, hints, count=1) for hints in (hints_B, strange_B))
        elif self.placebos is not None:
            own_B = tuple(self.fixed[hint][row] for row in rows_B)
            placebo_B = tuple(self.placebos[row] for row in rows_B)
        else:
            return None
        return ControlContexts(own_B=_where(placebo_B, own_B), placebo_B=_where(own_B, placebo_B))

    def _readings(
        self, rollouts: Rollouts, rewards_B: Tensor, *, kind: Hint, count: int, step: int
    ) -> tuple[tuple[Reading, ...], tuple[bool, ...]]:
        """Up to `count` readings, and where there was no hint at all."""
        if kind not in FROM_GROUP:
            fixed = self.fixed[kind]
            reading = tuple(fixed[rollouts.prompt_of(b).task.row] for b in range(rollouts.num_sequences))
            return (reading,), (False,) * rollouts.num_sequences
        hints_B = self._from_group(rollouts, rewards_B, kind=kind, step=step)
        return self._told(rollouts, hints_B, count=count), tuple(not hints for hints in hints_B)

    def _from_group(self, rollouts: Rollouts, rewards_B: Tensor, *, kind: Hint, step: int) -> list[tuple[str, ...]]:
        """All hints of a kind that their groups offer the sequences."""
        return sibling_hints(
            rollouts.texts,
            rewards_B,
            num_generations=rollouts.num_generations,
            success_above=self.settings.success_above,
            wanted=kind,
            count=rollouts.num_generations,
            generator=torch_generator(self.settings.seed, step=step, purpose=f"hint {kind}"),
        )

    def _told(self, rollouts: Rollouts, hints_B: Sequence[tuple[str, ...]], *, count: int) -> tuple[Reading, ...]:
        """Readings with the first `count` hints of each sequence that fit."""
        known: dict[tuple[int, str], Context | None] = {}

        def context(b: int, hint: str) -> Context | None:
            task = rollouts.prompt_of(b).task
            if (task.row, hint) not in known:
                known[task.row, hint] = self.reader.with_hint_that_fits(task, hint=hint)
            return known[task.row, hint]

        contexts_B = [
            list(islice((c for hint in hints if (c := context(b, hint))), count)) for b, hints in enumerate(hints_B)
        ]
        return tuple(tuple(found[k] if k < len(found) else None for found in contexts_B) for k in range(count))


def _where(present: Reading, reading: Reading) -> Reading:
    """The reading where the other one has something to read too."""
    return tuple(context if other is not None else None for other, context in zip(present, reading, strict=True))


def hint_of(method: Method, settings: Settings) -> Hint:
    """What a run's teacher is told. ValueError where the method is defined with another hint than was chosen."""
    chosen = Hint(settings.hint)
    if method.hint is not None and chosen is not method.hint:
        raise ValueError(f"the method {method.name} is defined with the hint {method.hint}, got {chosen}")
    return chosen


def make_briefer(
    tasks: Sequence[Task], *, reader: PromptBuilder, method: Method, settings: Settings
) -> TeacherContextBuilder:
    """A briefer for these rows. ValueError naming the row whose hint is missing or too long."""
    if method.teacher is TeacherKind.EXTERNAL:  # it reads what the student reads
        return TeacherContextBuilder(reader=reader, method=method, settings=settings, fixed={}, placebos=None)
    hint = hint_of(method, settings)
    kinds = {kind for kind in (hint, method.contrast) if kind is not None and kind not in FROM_GROUP}
    fixed = {kind: _fixed(tasks, kind=kind, reader=reader, settings=settings) for kind in kinds}
    placebos = None
    if (
        settings.diagnostic_interval > 0
        and hint in ROW_HINTS
        and len({row_hint(task, kind=hint) for task in tasks}) > 1
    ):
        others = _placebo_hints(tasks, kind=hint, settings=settings)
        placebos = {task.row: reader.with_hint_that_fits(task, hint=others[task.row]) for task in tasks}
    return TeacherContextBuilder(reader=reader, method=method, settings=settings, fixed=fixed, placebos=placebos)


def _fixed(tasks: Sequence[Task], *, kind: Hint, reader: PromptBuilder, settings: Settings) -> dict[int, Context]:
    texts = hint_texts(tasks, kind=kind, settings=settings)
    return {task.row: reader.with_hint(task, hint=texts[task.row]) for task in tasks}


def hint_texts(tasks: Sequence[Task], *, kind: Hint, settings: Settings) -> dict[int, str]:
    """By row, a hint that needs no group. ValueError naming the row that has none."""
    if kind is Hint.EMPTY:
        return {task.row: "" for task in tasks}
    if kind is Hint.PLACEBO:
        return _placebo_hints(tasks, kind=Hint(settings.placebo_of), settings=settings)
    return {task.row: row_hint(task, kind=kind) for task in tasks}


def _placebo_hints(tasks: Sequence[Task], *, kind: Hint, settings: Settings) -> dict[int, str]:
    offset = 1 + derive(settings.seed, step=0, purpose="placebo") % max(1, len(tasks) - 1)
    return {task.row: placebo_hint(tasks, index=index, kind=kind, offset=offset) for index, task in enumerate(tasks)}
