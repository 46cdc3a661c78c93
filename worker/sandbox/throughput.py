"""How many verifications a second the real box does, confinement, pipes and processes included; for benchmarks.

One server, one batch at a time: reader and verifier hand over to each other, so a rate is that of about one core.
"""

import resource
import time
from collections.abc import Sequence

from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample
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


def verifications_per_cpu_s(spec: Spec, *, rows: int, calls: int) -> float:
    """The same per second of processor time, of reader, server and verifiers together: steady on a busy machine.

    The server's start counts, so `calls` should take a second or more.
    """
    samples = _samples(rows)
    start = _cpu_s()
    with Sandbox() as sandbox:
        for _ in range(calls):
            _grade(sandbox, spec=spec, samples=samples)
    return rows * calls / (_cpu_s() - start)


def _samples(rows: int) -> list[Sample]:
    return [Sample(f"Let me see. The answer is {i}.", {"answer": str(i)}, str(i)) for i in range(rows)]


def _cpu_s() -> float:
    """Of this process and of those it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _grade(sandbox: Sandbox, *, spec: Spec, samples: Sequence[Sample]) -> None:
    assert all(record.score == 1.0 for record in sandbox.grade(spec, samples))
