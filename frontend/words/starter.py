"""The starter that the tour uploads: the rows, the verifier and the job in `examples/starter`.

The folder is missing if only the UI was installed; the tour is then not offered.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from frontend.api.types import JobObject, Json

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "starter"
MODEL = "starter"
TRAINING, HELD_OUT = "starter-train.jsonl", "starter-held-out.jsonl"
FILES = (TRAINING, HELD_OUT)
VERIFIER = "Starter: the answer on the last line"
STEPS = 60
"""Half of the steps in `job.json`: the difference is clear by then, and a slow laptop needs only a few minutes."""
LEARNING_RATE = 0.0015
"""That of `job.json`."""
MARK = {"tour": "starter"}
"""Job metadata that marks the tour's job."""


@dataclass(frozen=True, slots=True)
class Starter:
    """The starter's content, as bytes and JSON."""

    training: bytes
    held_out: bytes
    grader: Json
    job: Json


def read(folder: Path = FOLDER) -> Starter | None:
    """Read the starter; None if it was not installed with the UI."""
    try:
        return Starter(
            training=(folder / "train.jsonl").read_bytes(),
            held_out=(folder / "held_out.jsonl").read_bytes(),
            grader=json.loads((folder / "verifier_regex.json").read_text()),
            job=json.loads((folder / "job.json").read_text()),
        )
    except FileNotFoundError:
        return None


def job_body(starter: Starter, *, training: str, held_out: str, verifier: str) -> Json:
    """Build the body that creates the tour's job, from the ids of its files and verifier."""
    body = cast("Json", json.loads(json.dumps(starter.job)))
    reinforcement = body["method"]["reinforcement"]
    reinforcement["grader"] = {"type": "saved", "id": verifier}
    reinforcement["x_rlsd"]["max_steps"] = STEPS
    return body | {"training_file": training, "validation_file": held_out, "suffix": "starter-tour", "metadata": MARK}


def is_starter_file(filename: str) -> bool:
    """Report whether a file name is one of the starter's, whether the tour or a person uploaded it."""
    return filename in (*FILES, "train.jsonl", "held_out.jsonl")


def usual_settings(model: str | None) -> dict[str, float]:
    """Return the defaults of the starter, which is too small to learn at the usual learning rate; none for others."""
    return {"learning_rate": LEARNING_RATE} if model == MODEL else {}


def is_tour(job: JobObject) -> bool:
    return (job["metadata"] or {}).get("tour") == MARK["tour"]
