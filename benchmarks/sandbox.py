"""Verifications per second of the real sandbox, including confinement, pipes and processes.

One server, one batch at a time: reader and verifier alternate, so a rate is that of about one core.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample
from benchmarks.figures import Figure, figure
from worker.sandbox.environment import install
from worker.sandbox.pool import Sandbox, Spec

_SOURCE = """
import re

def grade(sample, item):
    found = re.search(r"answer is (\\d+)", sample["output_text"])
    return float(found is not None and found.group(1) == item["answer"])
"""
PYTHON = parse_spec({"type": "python", "name": "trivial", "source": _SOURCE})
PYTHON_CALL = parse_spec({"type": "python", "name": "a process a call", "source": _SOURCE, "isolation": "call"})
_WITH_LIBRARY = """
import {library}

def grade(sample, item):
    return float({library}.__name__ != "" and item["answer"] in sample["output_text"])
"""
WITH_LIBRARIES = {
    name: parse_spec({"type": "python", "name": name, "source": _WITH_LIBRARY.format(library=name)})
    for name in ("numpy", "sympy")
}
REGEX = parse_spec({"type": "regex", "name": "regex", "pattern": r"answer is (?P<answer>\d+)"})

MATH = parse_spec({"type": "math", "name": "math"})
MATH_ROWS = 256
ROUNDS = 5
_DIRECT_SCRIPT = """
import json, sys, time
from math_verify import parse, verify
for text in ("$1/2$", "{1,2}", "12.5%", "$[0,1)$"):
    verify(parse(text, parsing_timeout=None), parse(text, parsing_timeout=None), timeout_seconds=None)
for line in sys.stdin:
    start = time.perf_counter()
    right = [verify(parse(gold, parsing_timeout=None), parse(text, parsing_timeout=None), timeout_seconds=None)
             for text, gold in json.loads(line)]
    assert all(right)
    print(time.perf_counter() - start, flush=True)
"""

SECONDS = 3.0
"""Duration of each rate measurement."""


LATENCY_BLOCKS, LATENCY_CALLS = 5, 200
RECOVERIES = 5


def run() -> list[Figure]:
    return [
        *mathematics(),
        *latencies(),
        *recoveries(),
        *(
            figure(f"{name}_fork_a_call_per_s", verifications_per_s(spec, rows=64, seconds=SECONDS), unit="1/s")
            for name, spec in WITH_LIBRARIES.items()
        ),
        figure("python_verifications_per_s", verifications_per_s(PYTHON, rows=64, seconds=SECONDS), unit="1/s"),
        figure("python_fork_a_call_per_s", verifications_per_s(PYTHON_CALL, rows=64, seconds=SECONDS), unit="1/s"),
        figure("regex_verifications_per_s", verifications_per_s(REGEX, rows=512, seconds=SECONDS), unit="1/s"),
    ]


def mathematics() -> list[Figure]:
    """Compare math-verify in the sandbox with direct calls in a separate process, alternating on the same new rows."""
    environment = {"PYTHONPATH": str(install()), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-s", "-S", "-c", _DIRECT_SCRIPT]
    rates: list[float] = []
    ratios: list[float] = []
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as direct,
        Sandbox() as sandbox,
    ):
        assert direct.stdin is not None
        assert direct.stdout is not None
        for turn in range(ROUNDS + 1):
            rows = _equalities(turn)
            direct.stdin.write(json.dumps(rows) + "\n")
            direct.stdin.flush()
            directly_s = float(direct.stdout.readline())
            samples = [Sample(text, {}, gold) for text, gold in rows]
            start = time.perf_counter()
            _grade(sandbox, spec=MATH, samples=samples)
            seconds = time.perf_counter() - start
            if turn:  # the first starts the server
                rates.append(len(rows) / seconds)
                ratios.append(seconds / directly_s)
        direct.stdin.close()
    return [
        figure("math_verifications_per_s", rates, unit="1/s"),
        figure("math_over_math_verify", ratios, unit="times"),
    ]


def _equalities(turn: int) -> list[tuple[str, str]]:
    """Return unique pairs (answer, reference) of equal values in different notations."""
    rng = random.Random(turn)
    rows: list[tuple[str, str]] = []
    for _ in range(MATH_ROWS):
        a, b = rng.randint(2, 999), rng.randint(2, 999)
        gold, text = rng.choice(
            [
                (rf"$\frac{{{a}}}{{{b}}}$", rf"So it is \boxed{{{a}/{b}}}."),
                (f"${a}x + {b}$", f"I get ${b} + {a} x$"),
                (f"${a}$", f"The answer is {a}.0"),
                (rf"$\sqrt{{{a * a * b}}}$", rf"$\boxed{{{a}\sqrt{{{b}}}}}$"),
                (f"$(x-{a})(x+{b})$", f"$x^2 + {b}x - {a}x - {a * b}$"),
            ]
        )
        rows.append((text, gold))
    return rows


def verifications_per_s(spec: Spec, *, rows: int, seconds: float) -> list[float]:
    """Return the rate of each `grade` call with `rows` samples, over about `seconds`; asserts that all scores are 1."""
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


def latencies() -> list[Figure]:
    """Measure the latency of scoring one row, as when trying a verifier in the browser, with a warm server."""
    found: list[Figure] = []
    with Sandbox() as sandbox:
        for name, spec in (("python", PYTHON), ("python_fork", PYTHON_CALL), ("regex", REGEX)):
            blocks = [_call_ms(sandbox, spec) for _ in range(LATENCY_BLOCKS + 1)][1:]  # the first starts the server
            for percent in (50, 99):
                runs = [block[len(block) * percent // 100] for block in blocks]
                found.append(figure(f"{name}_call_p{percent}_ms", runs, unit="ms"))
    return found


def _call_ms(sandbox: Sandbox, spec: Spec) -> list[float]:
    """Return the latencies in ascending order."""
    times: list[float] = []
    for sample in _samples(LATENCY_CALLS):
        start = time.perf_counter()
        _grade(sandbox, spec=spec, samples=[sample])
        times.append((time.perf_counter() - start) * 1000)
    return sorted(times)


def recoveries() -> list[Figure]:
    """Measure the time from the SIGKILL of a server to the next score, for the plain server and that of math-verify."""
    with Sandbox() as sandbox:
        return [
            figure("sandbox_recovery_s", _recovery_s(sandbox, PYTHON, _samples(1)), unit="s"),
            figure("sandbox_recovery_math_s", _recovery_s(sandbox, MATH, [Sample("$1/2$", {}, "0.5")]), unit="s"),
        ]


def _recovery_s(sandbox: Sandbox, spec: Spec, samples: Sequence[Sample]) -> list[float]:
    times: list[float] = []
    _grade(sandbox, spec=spec, samples=samples)
    for _ in range(RECOVERIES):
        for pid in sandbox.server_pids:
            os.kill(pid, signal.SIGKILL)
        start = time.perf_counter()
        _grade(sandbox, spec=spec, samples=samples)
        times.append(time.perf_counter() - start)
    return times


def _samples(rows: int) -> list[Sample]:
    return [Sample(f"Let me see. The answer is {i}.", {"answer": str(i)}, str(i)) for i in range(rows)]


def _grade(sandbox: Sandbox, *, spec: Spec, samples: Sequence[Sample]) -> None:
    assert all(record.score == 1.0 for record in sandbox.grade(spec, samples))
