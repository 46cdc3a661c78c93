"""`rlsd preflight`: the pre-flight of a job file in the foreground, without database, broker or API."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.cli.standalone import run_standalone
from backend.errors import AppError
from backend.verdict import told
from worker.checks.preflight import judged_and_rehearsed
from worker.commands.train import read_errand
from worker.faults import classified
from worker.sandbox.pool import Sandbox

BAR = 30
NAMED = 40
"""Rows that a line names."""
UNITS = (("h", 3600), ("min", 60), ("s", 1))


def preflight(
    job: Annotated[Path, typer.Argument(help="The job: the API's body as JSON, without file ids.", exists=True)],
    data: Annotated[Path, typer.Option(help="Training rows.", exists=True)],
    verifier: Annotated[
        Path | None, typer.Option(help="A .py file or a grader's JSON, where the job holds no grader.", exists=True)
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows tried, chosen at random by the seed.", min=1)] = 16,
    samples: Annotated[int, typer.Option(help="Completions a row, and as many with the hint.", min=1)] = 8,
    model: Annotated[str | None, typer.Option(help="Name, hub id or folder; replaces the job's model.")] = None,
    output: Annotated[Path | None, typer.Option(help="File for the whole report as JSON.")] = None,
) -> None:
    """What to expect of a job before it is trained. Ends with 1 where the verdict is `fail`."""
    errand = read_errand(job, data=data, verifier=verifier, validation=None, model=model)
    with Sandbox() as sandbox:
        report = judged_and_rehearsed(
            errand.spec,
            model=errand.model,
            tasks=errand.tasks,
            verifier=errand.grader,
            seed=errand.seed,
            rows=rows,
            samples=samples,
            sandbox=sandbox,
            progress=lambda done, total, unit: print(f"{done}/{total} {unit}", flush=True),
        )
    if output is not None:
        output.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    for line in _lines(report):
        print(line)
    sys.exit(1 if report["verdict"] == "fail" else 0)


def _lines(report: dict[str, Any]) -> list[str]:
    """The report for a terminal; the verdict comes last, where eyes are."""
    return [*(_figures(report) if "histogram" in report else []), "", *told(report)]


def _figures(report: dict[str, Any]) -> list[str]:
    lines = [f"solve rate by row ({report['rows']} of {report['of_rows']} rows, {report['samples']} samples each)"]
    most = max(entry["rows"] for entry in report["histogram"]) or 1
    for entry in report["histogram"]:
        low, high = entry["low"], entry["high"]
        name = ("never" if high == 0 else "always") if low == high else f"{low:.0%} to {high:.0%}"
        lines.append(f"  {name:12} {'█' * round(BAR * entry['rows'] / most):{BAR}} {entry['rows']}")
    for name, key in (("never solved", "never_solved"), ("always solved", "always_solved")):
        if report[key]:
            more = " …" if len(report[key]) > NAMED else ""
            lines.append(f"{name}: rows {', '.join(map(str, report[key][:NAMED]))}{more}")
    time = report["time"]
    lines.append(
        f"{time['tokens_per_second']:,.0f} tokens a second; a step {_span(time['step_s'])}, "
        f"{time['steps']:,} steps {_span(time['total_s'])}"
    )
    lines.append(f"  without {time['leaves_out']}")
    return lines


def _span(seconds: dict[str, float]) -> str:
    """The interval in the unit that fits its upper end."""
    name, size = next((unit for unit in UNITS if seconds["high"] >= 2 * unit[1]), UNITS[-1])
    return f"{seconds['low'] / size:.3g} to {seconds['high'] / size:.3g} {name}"


def main() -> None:
    try:
        run_standalone(preflight, name="preflight")
    except (AppError, ValueError, MemoryError) as error:  # anything else is a bug, shown with its traceback
        print(f"rlsd: {classified(error)['message']}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
