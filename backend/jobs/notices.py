"""Notices about how a job request was interpreted: the job's first events, and part of its estimate."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from backend.core.control import EventLevel
from backend.core.settings.idle import idle_settings
from backend.core.settings.spec import RlsdSettings
from backend.core.verdict import Finding, Level
from backend.verifiers.decimal_marks import ColumnReading
from backend.verifiers.reading import remarks
from backend.verifiers.specs import Spec


@dataclass(frozen=True, slots=True)
class Notice:
    """A default that was chosen, or a setting without effect here. `code` and `level` are those of an event."""

    code: str
    level: EventLevel
    message: str

    def as_finding(self) -> Finding:
        return Finding(self.code, Level.WARN if self.level == "warn" else Level.PASS, self.message)


def setting_notices(settings: RlsdSettings, *, given: Collection[str]) -> tuple[Notice, ...]:
    """Say what the settings do to the prompts, and which of those that were given do nothing."""
    idle = "; ".join(idle_settings(settings, given=given))
    found = [Notice("idle_settings", "info", f"Settings without effect on this job: {idle}.")] if idle else []
    return (*prompt_notices(settings), *found)


def prompt_notices(settings: RlsdSettings) -> tuple[Notice, ...]:
    """How the prompts differ from the rows."""
    told = "The model gets the job's instruction with every question (instruction)."
    folded = "System messages are put into the user message after them (fold_system)."
    return (
        *([Notice("instruction", "info", told)] if settings.instruction else ()),
        *([Notice("system_folded", "info", folded)] if settings.fold_system else ()),
    )


def grader_notices(spec: Spec) -> tuple[Notice, ...]:
    return tuple(Notice("grader_remark", "info", remark) for remark in remarks(spec))


def number_notices(columns: Iterable[ColumnReading]) -> tuple[Notice, ...]:
    """How the numbers of references were read, where that could have been otherwise."""
    return tuple(notice for column in columns if (notice := _number_notice(column)) is not None)


def _number_notice(column: ColumnReading) -> Notice | None:
    name = {".": "point", ",": "comma"}[column.decimal_mark]
    set_it = "If that is wrong, set 'decimal_mark' of the number grader."
    if not column.certain and column.with_comma is not None:
        message = (
            f"Some references are written with a decimal point ('{column.with_point:.40}') and some with a decimal "
            f"comma ('{column.with_comma:.40}'): those that can be read both ways, such as '1,234', are read with a "
            f"decimal {name}. {set_it}"
        )
        return Notice("decimal_mark", "warn", message)
    if not column.certain:
        message = (
            f"References such as '{column.either:.40}' can be read with a decimal point or a decimal comma, and the "
            f"column does not decide: they are read with a decimal {name}. {set_it}"
        )
        return Notice("decimal_mark", "warn", message)
    if column.decimal_mark == ".":
        return None
    message = f"The references are written with a decimal comma ('{column.with_comma:.40}') and are read so."
    return Notice("decimal_mark", "info", message)
