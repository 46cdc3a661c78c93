"""The verifier's self-check (backend/verifiers/selfcheck.py) in a sandbox, on rows of a file."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from backend.checks import Progress
from backend.core.verdict import with_findings
from backend.datasets.rows.rows import NormalRow
from backend.db.base import Json
from backend.db.engine import transaction
from backend.db.files import DatasetRow
from backend.errors import AppError, not_found
from backend.jobs.notices import Notice
from backend.verifiers.selfcheck import ProbeRow, self_check, spread
from backend.verifiers.specs import Spec, parse_spec
from worker.sandbox.pool import Sandbox

UNIT = "rows"
MAX_SAMPLED_ROWS = 512
"""Rows, evenly spaced, from which references are sampled by their form."""


def check_verifier(
    verifier: Spec,
    rows: Sequence[ProbeRow],
    *,
    sandbox: Sandbox,
    more_rows: Sequence[ProbeRow] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Json:
    """Check the verifier on these rows and return the verdict. Raises AppError(503) if the sandbox does not work."""
    return self_check(
        rows,
        spec=verifier,
        grade=lambda samples: sandbox.grade(verifier, samples),
        read=sandbox.read,
        more_rows=more_rows,
        progress=progress,
    )


def run_self_check(request: Json, progress: Progress, *, sandbox: Sandbox) -> Json:
    """Run the check `self_check`: `{grader, file_id, rows: [number], notices}` -> the verdict."""
    wanted = set(request["rows"])
    with transaction() as session:
        of_file = DatasetRow.file_id == request["file_id"]
        count = session.scalar(select(func.count()).where(of_file)) or 0
        numbers = wanted.union(spread(MAX_SAMPLED_ROWS, over=count))
        stored = session.execute(
            select(DatasetRow.number, DatasetRow.line, DatasetRow.normal)
            .where(of_file, DatasetRow.number.in_(numbers))
            .order_by(DatasetRow.number)
        )
        rows = [probe_row(NormalRow.from_json(normal, number=number, line=line)) for number, line, normal in stored]
    checked = [row for row in rows if row.number in wanted]
    if not checked:
        raise not_found("file", request["file_id"])
    result = check_verifier(
        parse_spec(request["grader"]),
        checked,
        sandbox=sandbox,
        more_rows=rows,
        progress=lambda done, total: progress(done, total, UNIT),
    )
    return with_findings(result, [Notice(**fields).as_finding() for fields in request["notices"]])


def probe_row(row: NormalRow) -> ProbeRow:
    return ProbeRow(
        number=row.number,
        item=row.item_without_images,
        answer=row.reference.answer,
        accepted=row.reference.accepted,
        solution=row.reference.solution,
        messages=tuple(row.messages),
    )


def spread_rows(rows: Sequence[NormalRow], *, count: int) -> list[ProbeRow]:
    """Choose at most `count` rows, evenly spaced."""
    return [probe_row(rows[place]) for place in spread(count, over=len(rows))]


def read_grader(path: Path, *, settings: object = None) -> dict[str, Any]:
    """Read a grader from a file: Python source (`.py`), else JSON. Raises AppError.

    `settings`: a grader whose other fields, such as `range`, stay if both are in Python.
    """
    try:
        text = path.read_text()
        if path.suffix == ".py":
            kept = settings if isinstance(settings, dict) and settings.get("type") == "python" else {}
            return {**kept, "type": "python", "name": path.stem, "source": text}
        grader = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AppError(f"{path} is neither Python source (.py) nor a grader's JSON: {error}.") from None
    if not isinstance(grader, dict):
        raise AppError(f"{path} does not contain a grader: it must be a JSON object with a 'type'.")
    return grader
