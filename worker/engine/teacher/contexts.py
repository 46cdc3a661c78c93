"""The teachers' contexts in a step: hints, inserted into the prompts of the sequences they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import or_

import torch
from torch import Tensor

from backend.core.hints import GROUP_HINTS, ROW_HINTS, Hint
from backend.core.methods import Method, TeacherKind
from worker.engine.methods.advantages import mixed_sequences
from worker.engine.rollouts.prompts import Context, PromptBuilder
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.seeds import derive, torch_generator
from worker.engine.settings import Settings
from worker.engine.teacher.hints import other_rows_hints, placebo_hint, row_hint, sibling_hints
from worker.engine.types import Task

SequenceContexts = tuple[Context | None, ...]
"""One teacher's context for each sequence, `[B]`; None where it has no hint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherContexts:
    """The contexts of all teachers in one step."""

    teacher_B: SequenceContexts
    contrasts_KB: tuple[SequenceContexts, ...]
    """Contexts with the contrast hint, if the method has one; a sequence may have fewer than `K`."""
    no_hint_B: tuple[bool, ...]
    """True where the group has no completion that could serve as a hint the method needs."""
    routed_out_B: tuple[bool, ...]
    """True where the method does not ask the teacher: the group is not mixed, or one of practice."""

    @property
    def all_contexts(self) -> tuple[SequenceContexts, ...]:
        """The teacher's contexts, then those of each contrast."""
        return (self.teacher_B, *self.contrasts_KB)

    @property
    def teacher_mask_B(self) -> Tensor:
        """True where every hint the method needs is available."""
        available = [context is not None for context in self.teacher_B]
        if self.contrasts_KB:
            available = [a and b is not None for a, b in zip(available, self.contrasts_KB[0], strict=True)]
        return torch.tensor(available)

    @property
    def too_long_B(self) -> Tensor:
        """True where there were hints, but none fit into the context with the prompt."""
        return ~self.teacher_mask_B & ~torch.tensor(self.no_hint_B) & ~torch.tensor(self.routed_out_B)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlContexts:
    """Contexts of the placebo control, which separates a hint's content from its presence. Both or neither are set."""

    hinted_B: SequenceContexts
    """With the sequence's own hint."""
    placebo_B: SequenceContexts
    """With another row's hint of the same kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherContextBuilder:
    """Builds the teachers' contexts of each step. Those that depend only on the row are built and checked upfront."""

    prompt_builder: PromptBuilder
    method: Method
    settings: Settings
    row_contexts: dict[Hint, dict[int, Context]]
    """By kind of hint and row."""
    placebos: dict[int, Context | None] | None
    """The placebo control's contexts by row; None if the rows provide no placebo."""

    def build(self, rollouts: Rollouts, rewards_B: Tensor, *, step: int) -> TeacherContexts:
        """Build the contexts for one step's sequences."""
        nowhere_B = routed_out_B = (False,) * rollouts.num_sequences
        if self.method.teacher is TeacherKind.EXTERNAL:
            students_B = tuple(rollouts.prompt_of(b).student for b in range(rollouts.num_sequences))
            return TeacherContexts(teacher_B=students_B, contrasts_KB=(), no_hint_B=nowhere_B, routed_out_B=nowhere_B)
        hint = teacher_hint(self.method, self.settings)
        (teacher_B,), no_hint_B = self._contexts(rollouts, rewards_B, kind=hint, count=1, step=step)
        contrasts_KB: tuple[SequenceContexts, ...] = ()
        if self.method.contrast is not None:
            contrasts_KB, no_contrast_B = self._contexts(
                rollouts, rewards_B, kind=self.method.contrast, count=self.settings.contrast_samples, step=step
            )
            # A sequence that lacks one of the hints is not compared, so it needs no teacher pass.
            contrasts_KB = tuple(_only_where(teacher_B, contexts_B) for contexts_B in contrasts_KB)
            teacher_B = _only_where(contrasts_KB[0], teacher_B)
            no_hint_B = tuple(map(or_, no_hint_B, no_contrast_B))
        taught_B = ~rollouts.practised_B
        if self.method.weighs_by_divergence or (self.method.fades and self.settings.route_mixed):
            taught_B &= mixed_sequences(
                rewards_B, num_generations=rollouts.num_generations, success_above=self.settings.success_above
            )
        if not taught_B.all():
            routed_B = tuple(context if taught else None for context, taught in zip(teacher_B, taught_B, strict=True))
            teacher_B, contrasts_KB = routed_B, tuple(_only_where(routed_B, contexts_B) for contexts_B in contrasts_KB)
            routed_out_B = tuple(not taught for taught in taught_B.tolist())
        return TeacherContexts(
            teacher_B=teacher_B, contrasts_KB=contrasts_KB, no_hint_B=no_hint_B, routed_out_B=routed_out_B
        )

    def control(self, rollouts: Rollouts, rewards_B: Tensor, *, step: int) -> ControlContexts | None:
        """Build the contexts of the placebo control; None if the hint or the data provide no placebo."""
        if self.method.teacher is TeacherKind.EXTERNAL:
            return None
        rows_B = [rollouts.prompt_of(b).task.row for b in range(rollouts.num_sequences)]
        hint = teacher_hint(self.method, self.settings)
        if hint is Hint.SIBLING:
            hints_B = self._group_hints(rollouts, rewards_B, kind=hint, step=step)
            others_B = other_rows_hints(hints_B, rows_B=rows_B, num_generations=rollouts.num_generations)
            (hinted_B,), (placebo_B,) = (self._with_hints(rollouts, hints, count=1) for hints in (hints_B, others_B))
        elif self.placebos is not None:
            hinted_B = tuple(self.row_contexts[hint][row] for row in rows_B)
            placebo_B = tuple(self.placebos[row] for row in rows_B)
        else:
            return None
        return ControlContexts(hinted_B=_only_where(placebo_B, hinted_B), placebo_B=_only_where(hinted_B, placebo_B))

    def _contexts(
        self, rollouts: Rollouts, rewards_B: Tensor, *, kind: Hint, count: int, step: int
    ) -> tuple[tuple[SequenceContexts, ...], tuple[bool, ...]]:
        """Build up to `count` contexts per sequence; also return where there was no hint at all."""
        if kind not in GROUP_HINTS:
            by_row = self.row_contexts[kind]
            contexts_B = tuple(by_row[rollouts.prompt_of(b).task.row] for b in range(rollouts.num_sequences))
            return (contexts_B,), (False,) * rollouts.num_sequences
        hints_B = self._group_hints(rollouts, rewards_B, kind=kind, step=step)
        return self._with_hints(rollouts, hints_B, count=count), tuple(not hints for hints in hints_B)

    def _group_hints(self, rollouts: Rollouts, rewards_B: Tensor, *, kind: Hint, step: int) -> list[tuple[str, ...]]:
        """Collect all hints of a kind that each sequence's group provides."""
        return sibling_hints(
            rollouts.texts,
            rewards_B,
            num_generations=rollouts.num_generations,
            success_above=self.settings.success_above,
            kind=kind,
            count=rollouts.num_generations,
            generator=torch_generator(self.settings.seed, step=step, purpose=f"hint {kind}"),
        )

    def _with_hints(
        self, rollouts: Rollouts, hints_B: Sequence[tuple[str, ...]], *, count: int
    ) -> tuple[SequenceContexts, ...]:
        """Build contexts with the first `count` hints of each sequence that fit."""
        known: dict[tuple[int, str], Context | None] = {}

        def context(b: int, hint: str) -> Context | None:
            task = rollouts.prompt_of(b).task
            if (task.row, hint) not in known:
                known[task.row, hint] = self.prompt_builder.try_with_hint(task, hint=hint)
            return known[task.row, hint]

        contexts_B = [
            list(islice((c for hint in hints if (c := context(b, hint))), count)) for b, hints in enumerate(hints_B)
        ]
        return tuple(tuple(found[k] if k < len(found) else None for found in contexts_B) for k in range(count))


def _only_where(present: SequenceContexts, contexts: SequenceContexts) -> SequenceContexts:
    """Return the contexts of sequences that also have one in `present`; None for the others."""
    return tuple(context if other is not None else None for other, context in zip(present, contexts, strict=True))


def teacher_hint(method: Method, settings: Settings) -> Hint:
    """Return the kind of hint that the teacher gets. ValueError if the method is defined with another hint."""
    chosen = settings.hint
    if method.hint is not None and chosen is not method.hint:
        raise ValueError(f"the method {method.name} is defined with the hint {method.hint}, got {chosen}")
    return chosen


def make_context_builder(
    tasks: Sequence[Task], *, prompt_builder: PromptBuilder, method: Method, settings: Settings
) -> TeacherContextBuilder:
    """Create the context builder for these rows. ValueError naming a row whose hint is missing or too long."""
    if method.teacher is TeacherKind.EXTERNAL:  # it gets the student's contexts
        return TeacherContextBuilder(
            prompt_builder=prompt_builder, method=method, settings=settings, row_contexts={}, placebos=None
        )
    hint = teacher_hint(method, settings)
    kinds = {kind for kind in (hint, method.contrast) if kind is not None and kind not in GROUP_HINTS}
    row_contexts = {
        kind: _row_contexts(tasks, kind=kind, prompt_builder=prompt_builder, settings=settings) for kind in kinds
    }
    placebos = None
    if (
        settings.diagnostic_interval > 0
        and hint in ROW_HINTS
        and len({row_hint(task, kind=hint) for task in tasks}) > 1
    ):
        others = _placebo_hints(tasks, kind=hint, seed=settings.seed)
        placebos = {task.row: prompt_builder.try_with_hint(task, hint=others[task.row]) for task in tasks}
    return TeacherContextBuilder(
        prompt_builder=prompt_builder, method=method, settings=settings, row_contexts=row_contexts, placebos=placebos
    )


def _row_contexts(
    tasks: Sequence[Task], *, kind: Hint, prompt_builder: PromptBuilder, settings: Settings
) -> dict[int, Context]:
    texts = hint_texts(tasks, kind=kind, placebo_of=settings.placebo_of, seed=settings.seed)
    return {task.row: prompt_builder.with_hint(task, hint=texts[task.row]) for task in tasks}


def hint_texts(tasks: Sequence[Task], *, kind: Hint, placebo_of: Hint, seed: int) -> dict[int, str]:
    """Return the hints by row, for a kind that needs no group. ValueError naming a row that has none."""
    if kind is Hint.EMPTY:
        return {task.row: "" for task in tasks}
    if kind is Hint.PLACEBO:
        return _placebo_hints(tasks, kind=placebo_of, seed=seed)
    return {task.row: row_hint(task, kind=kind) for task in tasks}


def _placebo_hints(tasks: Sequence[Task], *, kind: Hint, seed: int) -> dict[int, str]:
    offset = 1 + derive(seed, step=0, purpose="placebo") % max(1, len(tasks) - 1)
    return {task.row: placebo_hint(tasks, index=index, kind=kind, offset=offset) for index, task in enumerate(tasks)}
