"""The teacher preview: a row's exact prompts for student and teachers, and where they differ."""

from collections.abc import Sequence
from typing import Any

from backend.core.hints import GROUP_HINTS, Hint
from backend.core.methods import Method, TeacherKind, method_named
from worker.engine.model.completion_text import verbatim
from worker.engine.preflight.probe import effective_hint
from worker.engine.rollouts.prompts import Context, PromptBuilder
from worker.engine.settings import Settings
from worker.engine.teacher.contexts import hint_texts
from worker.engine.types import Task

Json = dict[str, Any]

STAND_INS = {
    Hint.SIBLING: "(a correct completion of the same question from the same step is inserted here)",
    Hint.WRONG_SIBLING: "(a wrong completion of the same question from the same step is inserted here)",
}
"""Shown for hints that exist only once completions have been sampled."""


def preview(
    settings: Settings, *, prompt_builder: PromptBuilder, allowed: int, tasks: Sequence[Task], task: Task
) -> Json:
    """Describe the prompts of student and teachers for `task`; `tasks` are all rows, from which a placebo is taken.

    `prompt_builder` must accept prompts of any length: long ones are included, and compared with `allowed` tokens.
    ValueError naming the row if a hint is missing or a message is malformed.
    """
    method = method_named(settings.method)
    student = prompt_builder.prompt(task).student
    teachers = [
        _describe_teacher_prompt(
            prompt_builder,
            task,
            student=student,
            role=role,
            kind=kind,
            text=_hint_text(tasks, task, kind, settings),
        )
        for role, kind in _teacher_roles(method, settings)
    ]
    longest = max([len(student.ids), *(teacher["tokens"] for teacher in teachers)])
    return {
        "row": task.row,
        "method": method.name,
        "note": _note(method, hinted=bool(teachers)),
        "student": _describe_prompt(prompt_builder, student),
        "teachers": teachers,
        "allowed_tokens": allowed,
        "too_long": longest > allowed,
    }


def _teacher_roles(method: Method, settings: Settings) -> list[tuple[str, Hint]]:
    """Return each teacher's role and kind of hint."""
    hint = effective_hint(method, settings)
    if hint is None:
        return []
    contrast = [] if method.contrast is None else [("contrast", method.contrast)]
    return [("teacher", hint), *contrast]


def _hint_text(tasks: Sequence[Task], task: Task, kind: Hint, settings: Settings) -> str:
    if kind in GROUP_HINTS:
        return STAND_INS[kind]
    used = tasks if kind is Hint.PLACEBO else [task]
    return hint_texts(used, kind=kind, placebo_of=settings.placebo_of, seed=settings.seed)[task.row]


def _note(method: Method, *, hinted: bool) -> str:
    if hinted:
        return (
            "The teacher gets the student's prompt with one additional block, and scores the same completion after it."
        )
    if method.imitates:
        return f"The method {method.name} has no teacher: after this prompt, the model imitates a text of the row."
    if method.teacher is TeacherKind.EXTERNAL:
        return f"The teacher of the method {method.name} is a larger model, which gets exactly the student's prompt."
    if method.teacher is TeacherKind.NONE:
        return f"The method {method.name} has no teacher: only the verifier's scores are used."
    return f"With these settings the method {method.name} does not use its teacher: its strength is 0."


def _describe_prompt(prompt_builder: PromptBuilder, context: Context) -> Json:
    """Return a prompt as text, with special tokens, and its counts."""
    images = 0 if context.image_spans is None else len(context.image_spans.images.encoded)
    vision = prompt_builder.vision
    image_tokens = 0 if vision is None else context.ids.count(vision.image_token_id)
    return {
        "text": verbatim(prompt_builder.tokenizer, context.ids),
        "tokens": len(context.ids),
        "images": images,
        "image_tokens": image_tokens,
        "completion_position": len(context.ids) + context.shift,
    }


def _describe_teacher_prompt(
    prompt_builder: PromptBuilder, task: Task, *, student: Context, role: str, kind: Hint, text: str
) -> Json:
    """Describe a teacher's prompt, the position of its hint, and what it shares with the student's prompt."""
    context = prompt_builder.with_hint(task, hint=text)
    described, hint = _describe_prompt(prompt_builder, context), text.strip()
    start = described["text"].rfind(hint)
    before = _common_prefix(student.ids, context.ids)
    after = _common_prefix(student.ids[before:][::-1], context.ids[before:][::-1])
    return {
        "role": role,
        "hint": str(kind),
        "from_group": kind in GROUP_HINTS,
        **described,
        "hint_start": start if start >= 0 else None,
        "hint_end": start + len(hint) if start >= 0 else None,
        "cut": start < 0,
        "same_before_tokens": before,
        "same_after_tokens": after,
        "only_the_hint_differs": before + after == len(student.ids),
    }


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Count the tokens that two sequences share from their start."""
    return next(
        (index for index, (one, other) in enumerate(zip(first, second, strict=False)) if one != other),
        min(len(first), len(second)),
    )
