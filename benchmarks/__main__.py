"""`make bench`: runs all, writes `results.json`, prints a table; `make bench ARGS=sandbox` runs one group."""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks import engine, pages, sandbox, service, shapes, trl, upload
from benchmarks.figures import Figure, table
from benchmarks.learning import figures as learning

RESULTS = Path(__file__).parent / "results.json"
GROUPS = {
    "sandbox": sandbox.run,
    "engine": engine.run,
    "shapes": shapes.run,
    "trl": trl.run,
    "service": service.run,
    "upload": upload.run,
    "pages": pages.run,
    "learning": learning.run,
}


def main(wanted: list[str]) -> None:
    unknown = set(wanted) - set(GROUPS)
    if unknown:
        sys.exit(f"Unknown group {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}.")
    figures: list[Figure] = []
    for name, run in GROUPS.items():
        if not wanted or name in wanted:
            print(f"{name} ...", flush=True)
            figures += run()
    kept = [] if not wanted else [f for f in known() if f.name not in {new.name for new in figures}]
    figures = sorted([*kept, *figures], key=lambda figure: figure.name)
    RESULTS.write_text(json.dumps([figure.as_json() for figure in figures], indent=2) + "\n")
    print(f"\n{platform.machine()}, Python {platform.python_version()}, torch {version('torch')}")
    print(table(figures))


def known() -> list[Figure]:
    return [Figure(**values) for values in json.loads(RESULTS.read_text())] if RESULTS.exists() else []


if __name__ == "__main__":
    main(sys.argv[1:])
