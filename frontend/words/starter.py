"""The starter as the tour uploads it: the rows, the verifier and the job that stand in `examples/starter`.

Nothing is there where only the UI was installed; the tour is then not offered.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from frontend.api.types import DataFile, Job, Json

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "starter"
MODEL = "starter"
TRAINING, HELD_OUT = "starter-train.jsonl", "starter-held-out.jsonl"
FILES = (TRAINING, HELD_OUT)
VERIFIER = "Starter: the answer on the last line"
STEPS = 60
"""Half of `job.json`'s: the difference is plain by then, and a slow laptop is done in a few minutes."""
MARK = {"tour": "starter"}
"""A job's metadata by which the tour knows its own."""


@dataclass(frozen=True, slots=True)
class Starter:
    """What is uploaded, as bytes and JSON."""

    training: bytes
    held_out: bytes
    grader: Json
    job: Json


def read(folder: Path = FOLDER) -> Starter | None:
    """The starter; None where it was not installed with the UI."""
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
    """The body that creates the tour's job, of what was uploaded and saved under these ids."""
    body = cast("Json", json.loads(json.dumps(starter.job)))
    reinforcement = body["method"]["reinforcement"]
    reinforcement["grader"] = {"type": "saved", "id": verifier}
    reinforcement["x_rlsd"]["max_steps"] = STEPS
    return body | {"training_file": training, "validation_file": held_out, "suffix": "starter-tour", "metadata": MARK}


def is_its_own(filename: str) -> bool:
    """Whether a dataset of this name is taken for the starter's: as the tour or a person uploaded it."""
    return filename in (*FILES, "train.jsonl", "held_out.jsonl")


def offered_first(files: Sequence[DataFile]) -> str:
    """The id of the newest dataset that the tour did not store to measure with; of the newest where there is none."""
    return next((file for file in files if file["filename"] != HELD_OUT), files[0])["id"]


def is_tour(job: Job) -> bool:
    return (job["metadata"] or {}).get("tour") == MARK["tour"]
