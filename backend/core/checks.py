"""The kinds of work that the API asks of workers, and the checks of a job before its first step."""

from enum import StrEnum
from typing import Literal


class CheckKind(StrEnum):
    """What a check does. The values are stored and part of the API."""

    GRADER_RUN = "grader_run"
    """Grade some texts."""
    SELF_CHECK = "self_check"
    """Try the verifier on right and wrong answers."""
    RESCORE = "rescore"
    """Score a job's completions again, with another verifier."""
    TOKEN_LENGTHS = "token_lengths"  # noqa: S105 - lengths in tokens, not a secret
    """Count the tokens of a dataset."""
    PREFLIGHT = "preflight"
    """Try task, hint and verifier with the base model."""
    TEACHER_PREVIEW = "teacher_preview"
    """Show the prompts of student and teacher."""
    EXPORT = "export"
    """Write a model to files."""
    FETCH_MODEL = "fetch_model"
    """Fetch a base model from the package index."""

    @property
    def needs_model(self) -> bool:
        """Whether it runs where models are, in the queue `sample`."""
        return self in (
            CheckKind.PREFLIGHT,
            CheckKind.TEACHER_PREVIEW,
            CheckKind.EXPORT,
            CheckKind.FETCH_MODEL,
        )


CheckName = Literal[CheckKind.SELF_CHECK, CheckKind.PREFLIGHT]
"""A check before the first step of a job."""
