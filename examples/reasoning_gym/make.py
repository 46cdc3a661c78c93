"""Script that generates the data: `python -m examples.reasoning_gym.make`, from the repository's root.

Needs the package reasoning-gym. Rows are in its form (`question`, `answer`, `metadata`). Repeated questions are left
out, and those that contain their answer, so that copying is never rewarded.
"""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
TRAIN_ROWS: Final = 200
HELD_OUT_ROWS: Final = 100


def sums(*, seed: int) -> Iterator[dict[str, Any]]:
    """Generate sums of two or three numbers below 100, each question once."""
    import reasoning_gym  # here, since the rows are used without it

    seen = set()
    dataset = reasoning_gym.create_dataset("chain_sum", min_terms=2, max_terms=3, max_digits=2, size=10_000, seed=seed)
    for row in dataset:
        numbers = re.findall(r"\d+", row["question"])
        if row["question"] not in seen and row["answer"].lstrip("-") not in numbers:
            seen.add(row["question"])
            yield {"question": row["question"], "answer": row["answer"], "metadata": row["metadata"]}


def make(folder: Path, *, train_rows: int, held_out_rows: int, seed: int) -> None:
    """Write `train.jsonl` and `held_out.jsonl`, with no question in both."""
    rows = sums(seed=seed)
    for name, count in (("train.jsonl", train_rows), ("held_out.jsonl", held_out_rows)):
        lines = [json.dumps(next(rows)) + "\n" for _ in range(count)]
        (folder / name).write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Generate short sums with reasoning-gym.")
    parser.add_argument("--folder", type=Path, default=HERE, help="output folder (default: this script's folder)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    make(arguments.folder, train_rows=TRAIN_ROWS, held_out_rows=HELD_OUT_ROWS, seed=arguments.seed)


if __name__ == "__main__":
    main()
