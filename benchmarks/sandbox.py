"""How many verifications a second the real box does, confinement, pipes and processes included.

One server, one batch at a time: reader and verifier hand over to each other, so a rate is that of about one core.
"""

import time
from collections.abc import Sequence

from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample
from benchmarks.figures import Figure, figure
from worker.sandbox.pool import Sandbox, Spec

_SOURCE = """
import re

def grade(sample, item):
    found = re.search(r"answer is (\\d+)", sample["output_text"])
    return float(found is not None and found.group(1) == item["answer"])
"""
PYTHON = parse_spec({"type": "python", "name": "trivial", "source": _SOURCE})
PYTHON_CALL = parse_spec({"type": "python", "name": "a process a call", "source": _SOURCE, "isolation": "call"})
REGEX = parse_spec({"type": "regex", "name": "regex", "pattern": r"answer is (?P<answer>\d+)"})


SECONDS = 3.0
"""Of each of the figures below."""


def run() -> list[Figure]:
    return [
        figure("python_verifications_per_s", verifications_per_s(PYTHON, rows=64, seconds=SECONDS), unit="1/s"),
        figure("python_fork_a_call_per_s", verifications_per_s(PYTHON_CALL, rows=64, seconds=SECONDS), unit="1/s"),
        figure("regex_verifications_per_s", verifications_per_s(REGEX, rows=512, seconds=SECONDS), unit="1/s"),
    ]


def verifications_per_s(spec: Spec, *, rows: int, seconds: float) -> list[float]:
    """The rate of each `grade` call with `rows` samples, for about `seconds`; asserts that every score is right."""
    samples = _samples(rows)
    rates: list[float] = []
    with Sandbox() as sandbox:
        _grade(sandbox, spec=spec, samples=samples)
        end = time.perf_counter() + seconds
        while not rates or time.perf_counter() < end:
            start = time.perf_counter()
            _grade(sandbox, spec=spec, samples=samples)
            rates.append(rows / (time.perf_counter() - start))
    return rates


def _samples(rows: int) -> list[Sample]:
    return [Sample(f"Let me see. The answer is {i}.", {"answer": str(i)}, str(i)) for i in range(rows)]


def _grade(sandbox: Sandbox, *, spec: Spec, samples: Sequence[Sample]) -> None:
    assert all(record.score == 1.0 for record in sandbox.grade(spec, samples))
