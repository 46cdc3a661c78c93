"""`make bench`: run all benchmarks, write `results.json`, print a table; `make bench ARGS=sandbox` runs one group."""

import json
import platform
import sys
from importlib.metadata import version

from benchmarks import engine, pages, sandbox, service, shapes, trl, upload
from benchmarks.figures import RESULTS, Figure, read_results, table
from benchmarks.learning import figures as learning

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


def main(groups: list[str]) -> None:
    unknown = set(groups) - set(GROUPS)
    if unknown:
        sys.exit(f"Unknown group {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}.")
    figures: list[Figure] = []
    for name, run in GROUPS.items():
        if not groups or name in groups:
            print(f"{name} ...", flush=True)
            figures += run()
    kept = [] if not groups else [f for f in read_results() if f.name not in {new.name for new in figures}]
    figures = sorted([*kept, *figures], key=lambda figure: figure.name)
    RESULTS.write_text(json.dumps([figure.as_json() for figure in figures], indent=2) + "\n")
    print(f"\n{platform.machine()}, Python {platform.python_version()}, torch {version('torch')}")
    print(table(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
