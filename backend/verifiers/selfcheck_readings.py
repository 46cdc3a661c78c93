"""How `number`, `math` and `choice` read the references of the data, in a self-check. Pure."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from backend.core.verdict import Finding, Level, one_line, quoted, truncated
from backend.verifiers import specs
from backend.verifiers.probes import ProbeRow
from backend.verifiers.reading import row_reference
from backend.verifiers.readouts import Readout, ReadReference, lost_choices, lost_text, may_be_grouped, read_alike
from backend.verifiers.reference_forms import sample_of_forms, signature
from backend.verifiers.selfcheck_result import ReferenceReading
from backend.verifiers.specs import Spec

ReadingSpec = specs.Number | specs.Math | specs.ChoiceGrader
Read = Callable[[ReadingSpec, Sequence[str]], Sequence[Readout | None]]
"""A sandbox in which a grader says how it reads references, in order; None for one that it cannot read."""

MAX_REFERENCES = 48
"""References of one grader that are read."""
READ_AT_ONCE = 8
"""References that are read before the time is looked at."""
MAX_EXAMPLES = 2
"""References of one form that are shown."""
MAX_FORMS = 12
SHOWN_IN_A_LINE = 5


def read_references(rows: Sequence[ProbeRow], *, spec: Spec, read: Read, until: float) -> list[ReadReference]:
    """Read references of every form in the rows, with each grader that reads a value from them.

    Once `time.monotonic()` is past `until`, no more than a few of each grader are read.
    """
    graders = spec.graders if isinstance(spec, specs.Multi) else {"": spec}
    found: list[ReadReference] = []
    for name, grader in graders.items():
        if isinstance(grader, ReadingSpec):
            known = (row_reference(grader, item=row.item, answer=row.answer) for row in rows)
            texts = [text for text in known if text and text.strip()]
            chosen = [texts[place] for place in sample_of_forms(texts, count=MAX_REFERENCES)]
            for start in range(0, len(chosen), READ_AT_ONCE):
                if start and time.monotonic() > until:
                    break
                texts = chosen[start : start + READ_AT_ONCE]
                readouts = read(grader, texts)
                found += [_reference(name, grader, *pair) for pair in zip(texts, readouts, strict=True)]
    return found


def reading_findings(references: Sequence[ReadReference]) -> Iterator[Finding]:
    """Report how references are read, which are not, which lose a part, and which read alike though they differ."""
    known = [reference for reference in references if reference.readout is not None]
    unreadable = [reference for reference in references if reference.readout is None]
    if unreadable:
        message = (
            f"{len(unreadable)} of {len(references)} sampled references cannot be read, the first: "
            f"{quoted(unreadable[0].reference)}. Completions of such rows get no score."
        )
        yield Finding("references_unreadable", Level.WARN, message)
    if not known:
        return
    shown = "; ".join(_shown(reference) for reference in _examples(known)[:SHOWN_IN_A_LINE])
    yield Finding("references_read", Level.PASS, f"References are read like this: {shown}.")
    alike = read_alike(known)
    if alike:
        one, other = alike[0]
        message = (
            f"References that differ are read alike: {quoted(one.reference)} and {quoted(other.reference)} both as "
            f"{one_line(one.read)}{_more(len(alike), 'such pair')}. An answer to one gets full marks on the other."
        )
        if may_be_grouped(one) or may_be_grouped(other):
            message += " If the digits after the mark are a group of thousands, set `decimal_mark`."
        yield Finding("references_alike", Level.WARN, message)
    cut = [reference for reference in known if reference.lost]
    if cut:
        message = (
            f"Only a part of {len(cut)} of {len(known)} sampled references is read: "
            f"{'; '.join(_shown(reference) for reference in cut[:3])}. The rest is not compared."
        )
        yield Finding("references_cut", Level.WARN, message)


def readings_json(references: Sequence[ReadReference]) -> list[dict[str, Any]]:
    """Return a few references of each form for the result; `read` is null if the grader cannot read it."""
    shown = [
        ReferenceReading(
            grader=reference.grader,
            reference=truncated(reference.reference),
            read=None if reference.readout is None else truncated(reference.read),
            lost=truncated(reference.lost),
        )
        for reference in _examples(references)
    ]
    return [each.model_dump(mode="json") for each in shown]


def _reference(name: str, grader: ReadingSpec, text: str, readout: Readout | None) -> ReadReference:
    if readout is None:
        return ReadReference(name, text, None)
    if isinstance(grader, specs.ChoiceGrader):
        return ReadReference(name, text, readout, lost_choices(text, readout, choices=grader.choices))
    return ReadReference(name, text, readout, lost_text(text, readout))


def _examples(references: Sequence[ReadReference]) -> list[ReadReference]:
    """Return the first references of each form and grader, those that were cut before the others."""
    of_form: dict[tuple[str, str], list[ReadReference]] = defaultdict(list)
    for reference in sorted(references, key=lambda reference: not reference.lost):
        of_form[reference.grader, signature(reference.reference)].append(reference)
    return [reference for group in list(of_form.values())[:MAX_FORMS] for reference in group[:MAX_EXAMPLES]]


def _shown(reference: ReadReference) -> str:
    lost = f" without {quoted(reference.lost)}" if reference.lost else ""
    return f"{quoted(reference.reference)} as {one_line(reference.read)}{lost}"


def _more(count: int, what: str) -> str:
    return "" if count == 1 else f" ({count} {what}s)"
