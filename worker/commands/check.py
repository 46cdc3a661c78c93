"""`rlsd check`: a verifier tried on rows of a file, in the sandbox of this machine, without any service.

The exit code is 1 where the verdict is `fail`.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.standalone import run_standalone
from backend.datasets.rows.rows import read_rows
from backend.errors import AppError
from backend.verdict import Level, told
from backend.verifiers.specs import parse_spec
from worker.checks.self_check import check_verifier, evenly, grader_in
from worker.sandbox.pool import Sandbox


def check(
    data: Annotated[Path, typer.Option(help="Rows to try it on.", exists=True, dir_okay=False)],
    verifier: Annotated[Path, typer.Option(help="A .py file or a grader's JSON.", exists=True, dir_okay=False)],
    rows: Annotated[int, typer.Option(help="How many rows are tried.", min=1, max=64)] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as one JSON object.")] = False,
) -> None:
    """Right answers must get full marks; silence, noise and other rows' answers must not."""
    grader = parse_spec(grader_in(verifier))
    with data.open("rb") as file:
        chosen = evenly(read_rows(file, name=data.name), count=rows)
    with Sandbox() as sandbox:
        result = check_verifier(grader, chosen, sandbox=sandbox)
    print(json.dumps(result) if as_json else "\n".join(told(result)))
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
