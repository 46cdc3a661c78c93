"""Owns the teacher preview: the exact prompts of a row as student and teachers read them, and where they differ."""

from collections.abc import Sequence
from typing import Any

from worker.engine.methods import method_named
from worker.engine.methods.base import Method, TeacherKind
from worker.engine.preflight.probe import shown_hint
from worker.engine.rollouts.prompts import Context, PromptBuilder
from worker.engine.settings import Settings
from worker.engine.teacher.contexts import hint_texts
from worker.engine.teacher.hints import FROM_GROUP
from worker.engine.types import Hint, Task

Json = dict[str, Any]

STAND_INS = {
    Hint.SIBLING: "(here stands a completion of the same question and step that was right)",
    Hint.WRONG_SIBLING: "(here stands a completion of the same question and step that was wrong)",
}
"""Shown for hints that exist only once completions have been sampled."""


def preview(settings: Settings, *, reader: PromptBuilder, allowed: int, tasks: Sequence[Task], task: Task) -> Json:
    """What student and teachers read of `task`; `tasks` are all rows, which a placebo is taken from.

    The reader must not refuse long prompts: they are shown, and compared with the `allowed` tokens. ValueError naming
    the row where a hint is missing or a message is malformed.
    """
    method = method_named(settings.method)
    student = reader.prompt(task).student
    teachers = [
        _taught(reader, task, student=student, role=role, kind=kind, text=_hint_text(tasks, task, kind, settings))
        for role, kind in _told(method, settings)
    ]
    longest = max([len(student.ids), *(teacher["tokens"] for teacher in teachers)])
    return {
        "row": task.row,
        "method": method.name,
        "note": _note(method, told=bool(teachers)),
        "student": _shown(reader, student),
        "teachers": teachers,
        "allowed_tokens": allowed,
        "too_long": longest > allowed,
    }


def _told(method: Method, settings: Settings) -> list[tuple[str, Hint]]:
    """Each teacher's role and hint."""
    hint = shown_hint(method, settings)
    if hint is None:
        return []
    contrast = [] if method.contrast is None else [("contrast", method.contrast)]
    return [("teacher", hint), *contrast]


def _hint_text(tasks: Sequence[Task], task: Task, kind: Hint, settings: Settings) -> str:
    if kind in FROM_GROUP:
        return STAND_INS[kind]
    return hint_texts(tasks if kind is Hint.PLACEBO else [task], kind=kind, settings=settings)[task.row]


def _note(method: Method, *, told: bool) -> str:
    if told:
        return (
            "The teacher reads the student's own prompt with one block more, and scores the same completion after it."
        )
    if method.teacher is TeacherKind.EXTERNAL:
        return f"The method {method.name} asks a larger model, which reads exactly what the student reads."
    if method.teacher is TeacherKind.NONE:
        return f"The method {method.name} has no teacher: the verifier alone decides."
    return f"With these settings the method {method.name} never asks its teacher: its strength is 0."


def _shown(reader: PromptBuilder, context: Context) -> Json:
    """A prompt as text, special tokens and all, and its counts."""
    images = 0 if context.sight is None else len(context.sight.pictures.encoded)
    image_tokens = 0 if reader.vision is None else context.ids.count(reader.vision.image_token_id)
    return {
        "text": reader.tokenizer.decode(list(context.ids), skip_special_tokens=False),
        "tokens": len(context.ids),
        "images": images,
        "image_tokens": image_tokens,
        "completion_position": len(context.ids) + context.shift,
    }


def _taught(reader: PromptBuilder, task: Task, *, student: Context, role: str, kind: Hint, text: str) -> Json:
    """A teacher's prompt, where its hint stands in it, and what it shares with the student's."""
    context = reader.with_hint(task, hint=text)
    shown, hint = _shown(reader, context), text.strip()
    start = shown["text"].rfind(hint)
    before = _alike(student.ids, context.ids)
    after = _alike(student.ids[before:][::-1], context.ids[before:][::-1])
    return {
        "role": role,
        "hint": str(kind),
        "from_group": kind in FROM_GROUP,
        **shown,
        "hint_start": start if start >= 0 else None,
        "hint_end": start + len(hint) if start >= 0 else None,
        "cut": start < 0,
        "same_before_tokens": before,
        "same_after_tokens": after,
        "only_the_hint_differs": before + after == len(student.ids),
    }


def _alike(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences share from their beginning on."""
    return next(
        (place for place, (one, other) in enumerate(zip(first, second, strict=False)) if one != other),
        min(len(first), len(second)),
    )
