"""`rlsd check`: the self-check of a verifier on rows of a file, in the local sandbox, without any service.

The exit code is 1 if the verdict is `fail`.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.standalone import Mapping, run_standalone
from backend.core.verdict import Level, verdict_lines, with_findings
from backend.datasets.rows.rows import items_and_answers, read_rows_and_notes
from backend.datasets.rows.shape import parse_mapping
from backend.errors import AppError
from backend.jobs.notices import grader_notices, number_notices
from backend.verifiers.reading import with_decimal_marks
from backend.verifiers.specs import parse_spec
from worker.checks.self_check import MAX_SAMPLED_ROWS, check_verifier, read_grader, spread_rows
from worker.sandbox.pool import Sandbox


def check(
    data: Annotated[Path, typer.Option(help="File with rows to check the verifier on.", exists=True, dir_okay=False)],
    verifier: Annotated[Path, typer.Option(help="Python file, or JSON file of a grader.", exists=True, dir_okay=False)],
    score_range: Annotated[
        tuple[float, float] | None,
        typer.Option("--range", metavar="LOWEST HIGHEST", help="Lowest and highest score, as the grader's `range`."),
    ] = None,
    mapping: Mapping = None,
    rows: Annotated[int, typer.Option(help="Number of rows to use.", min=1, max=64)] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as one JSON object.")] = False,
) -> None:
    """Check that a verifier gives full marks to right answers, and not to empty text, noise, other rows' answers or
    slightly altered right ones; show how it reads references.
    """
    with data.open("rb") as file:
        all_rows, notes = read_rows_and_notes(
            file, name=data.name, mapping=None if mapping is None else parse_mapping(mapping)
        )
    own = {} if score_range is None else {"range": list(score_range)}
    grader, columns = with_decimal_marks(parse_spec(read_grader(verifier) | own), items_and_answers(all_rows))
    for note in notes:
        print(f"{data.name}: {note}", file=sys.stderr)
    notices = (*grader_notices(grader), *number_notices(columns.values()))
    chosen, more = (spread_rows(all_rows, count=count) for count in (rows, MAX_SAMPLED_ROWS))
    with Sandbox() as sandbox:
        checked = check_verifier(grader, chosen, sandbox=sandbox, more_rows=more)
    result = with_findings(checked, [notice.as_finding() for notice in notices])
    print(json.dumps(result) if as_json else "\n".join(verdict_lines(result)))
    if result["verdict"] == Level.FAIL:
        sys.exit(1)


def main() -> None:
    try:
        run_standalone(check, name="check")
    except AppError as error:
        print(f"rlsd: {error.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
