"""`rlsd preflight`: runs the pre-flight of a job file in the foreground, without database, broker or API."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.cli.standalone import Mapping
from backend.core.verdict import verdict_lines
from worker.checks.preflight import preflight_with_trial_steps
from worker.commands.foreground import run_in_foreground
from worker.commands.train import prepare_job
from worker.sandbox.pool import Sandbox

BAR_WIDTH = 30
MAX_LISTED_ROWS = 40
"""Row numbers to list in a line."""
UNITS = (("h", 3600), ("min", 60), ("s", 1))


def preflight(
    job: Annotated[
        Path, typer.Argument(help="Job file: the API's request body as JSON, without file ids.", exists=True)
    ],
    data: Annotated[Path, typer.Option(help="File with training rows.", exists=True)],
    verifier: Annotated[
        Path | None, typer.Option(help="Python file, or JSON file of a grader; replaces the job's grader.", exists=True)
    ] = None,
    mapping: Mapping = None,
    rows: Annotated[int, typer.Option(help="Number of rows to sample, chosen at random by the seed.", min=1)] = 16,
    samples: Annotated[int, typer.Option(help="Completions per row, without and with the hint each.", min=1)] = 8,
    model: Annotated[str | None, typer.Option(help="Model name, hub id or folder; replaces the job's model.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the whole report to this file as JSON.")] = None,
) -> None:
    """Estimate what a job can learn before training it. Exits with 1 if the verdict is `fail`."""
    prepared = prepare_job(job, data=data, verifier=verifier, validation=None, mapping=mapping, model=model)
    with Sandbox() as sandbox:
        report = preflight_with_trial_steps(
            prepared,
            rows=rows,
            samples=samples,
            notices=prepared.notices,
            sandbox=sandbox,
            progress=lambda done, total, unit: print(f"{done}/{total} {unit}", flush=True),
            others=None,
        )
    if output is not None:
        output.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    for line in _lines(report):
        print(line)
    sys.exit(1 if report["verdict"] == "fail" else 0)


def _lines(report: dict[str, Any]) -> list[str]:
    """Format the report for a terminal; the verdict comes last."""
    return [*(_figures(report) if "histogram" in report else []), "", *verdict_lines(report)]


def _figures(report: dict[str, Any]) -> list[str]:
    lines = [f"solve rate by row ({report['rows']} of {report['of_rows']} rows, {report['samples']} samples each)"]
    most = max(entry["rows"] for entry in report["histogram"]) or 1
    for entry in report["histogram"]:
        low, high = entry["low"], entry["high"]
        name = ("never" if high == 0 else "always") if low == high else f"{low:.0%} to {high:.0%}"
        lines.append(f"  {name:12} {'█' * round(BAR_WIDTH * entry['rows'] / most):{BAR_WIDTH}} {entry['rows']}")
    for name, key in (("never solved", "never_solved"), ("always solved", "always_solved")):
        if report[key]:
            more = " …" if len(report[key]) > MAX_LISTED_ROWS else ""
            lines.append(f"{name}: rows {', '.join(map(str, report[key][:MAX_LISTED_ROWS]))}{more}")
    time = report["time"]
    lines.append(
        f"{time['tokens_per_second']:,.0f} tokens a second; a step {_interval(time['step_s'])}, "
        f"{time['steps']:,} steps {_interval(time['total_s'])}"
    )
    lines.append(f"  without {time['leaves_out']}")
    return lines


def _interval(seconds: dict[str, float]) -> str:
    """Format the interval in the unit that suits its upper end."""
    name, size = next((unit for unit in UNITS if seconds["high"] >= 2 * unit[1]), UNITS[-1])
    return f"{seconds['low'] / size:.3g} to {seconds['high'] / size:.3g} {name}"


def main() -> None:
    run_in_foreground(preflight, name="preflight")


if __name__ == "__main__":
    main()
