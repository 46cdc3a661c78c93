"""How the graders say that they read a reference, in the real sandbox."""

from typing import Any

import pytest

from backend.verifiers.readouts import Readout, lost_text
from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample
from worker.sandbox.pool import Sandbox


@pytest.mark.parametrize(
    ("grader", "reference", "read", "part"),
    [
        ({"type": "number"}, "12,000", "12000", "12,000"),
        ({"type": "number", "decimal_mark": ","}, "12,000", "12", "12,000"),
        ({"type": "number"}, "7 km", "7", "7"),
        ({"type": "number", "units": {"km": 1000}}, "7 km", "7000", "7 km"),
        ({"type": "math"}, r"3\sqrt{13}", r"3\sqrt{13}", r"3\sqrt{13}"),
        ({"type": "math"}, "72 apples", "72", "72 apple"),
        ({"type": "choice", "choices": ["A", "B"]}, "(b)", "B", "B"),
    ],
)
def test_a_grader_says_which_value_it_takes_from_which_part(
    sandbox: Sandbox, grader: dict[str, Any], reference: str, read: str, part: str
) -> None:
    spec: Any = parse_spec(grader)
    assert sandbox.read(spec, [reference]) == [Readout(read, part)]


@pytest.mark.parametrize(
    "reference", ["5 million", "2,500 million", "5 dozen", "0.333...", r"x \in (1,2)", "10:30 a.m."]
)
def test_nothing_of_a_reference_is_lost_that_is_only_rewritten(sandbox: Sandbox, reference: str) -> None:
    (readout,) = sandbox.read(parse_spec({"type": "math"}), [reference])
    assert readout is not None
    assert lost_text(reference, readout) == ""


@pytest.mark.parametrize("kind", ["number", "math", "choice"])
def test_a_reference_that_cannot_be_read_has_no_readout_and_stops_no_other(sandbox: Sandbox, kind: str) -> None:
    spec: Any = parse_spec({"type": kind})
    empty, none, other = sandbox.read(
        spec, ["", "so that 5 < x holds and then 7 < y" if kind == "math" else "none", "B" if kind == "choice" else "7"]
    )
    assert (empty, none) == (None, None)
    assert other is not None
    assert other.read == ("B" if kind == "choice" else "7")


@pytest.mark.parametrize("kind", ["number", "math", "choice"])
def test_what_is_read_is_what_is_scored(sandbox: Sandbox, kind: str) -> None:
    """A readout of its own reader would tell of something else."""
    spec: Any = parse_spec({"type": kind})
    texts = ["B", "(A)"] if kind == "choice" else ["12,000", "1/2", "-7", "5"]
    readouts = sandbox.read(spec, texts)
    samples = [
        Sample(output_text=readout.read, item={}, answer=text)
        for text, readout in zip(texts, readouts, strict=True)
        if readout is not None
    ]
    assert [record.score for record in sandbox.grade(spec, samples)] == [1.0] * len(texts)
