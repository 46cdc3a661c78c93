"""Ready-made verifiers: every example of each gets its expected score in the real sandbox."""

import pytest

from backend.verifiers.ready_made import READY_MADE
from backend.verifiers.specs import parse_spec, spec_json
from backend.verifiers.templates import Sample
from worker.sandbox.pool import Sandbox

pytestmark = pytest.mark.usefixtures("python_allowed")


@pytest.mark.parametrize("verifier", READY_MADE, ids=lambda verifier: verifier.id)
def test_its_examples_are_its_tests(sandbox, verifier):
    spec = parse_spec(verifier.grader)
    assert spec_json(spec) == verifier.grader
    answers = [example.item.get("answer") for example in verifier.examples]
    rows = [
        Sample(output_text=e.text, item=e.item, answer=a if isinstance(a, str) else None)
        for e, a in zip(verifier.examples, answers, strict=True)
    ]
    records = sandbox.grade(spec, rows)
    assert [record.score for record in records] == pytest.approx([e.score for e in verifier.examples]), records
    scores = [example.score for example in verifier.examples]
    assert min(scores) == 0.0
    assert max(scores) == 1.0


@pytest.mark.parametrize("id", ["unit-tests", "sql-result"])
def test_those_that_run_code_work_without_landlock_too(id):
    verifier = next(verifier for verifier in READY_MADE if verifier.id == id)
    rows = [Sample(output_text=e.text, item=e.item) for e in verifier.examples]
    with Sandbox(max_level=1) as own_sandbox:
        records = own_sandbox.grade(parse_spec(verifier.grader), rows)
    assert [record.score for record in records] == [e.score for e in verifier.examples], records


@pytest.mark.parametrize("id", ["exact", "partial-number", "date"])
def test_the_reference_is_found_whatever_its_column_is_called(sandbox, id):
    verifier = next(verifier for verifier in READY_MADE if verifier.id == id)
    texts = [example for example in verifier.examples if set(example.item) == {"answer"}]
    rows = [Sample(output_text=e.text, item={"What we say": 0}, answer=str(e.item["answer"])) for e in texts]
    records = sandbox.grade(parse_spec(verifier.grader), rows)
    assert [record.score for record in records] == pytest.approx([e.score for e in texts]), records


def test_there_is_one_for_every_common_task():
    assert len(READY_MADE) >= 10
    assert len({verifier.id for verifier in READY_MADE}) == len({v.name for v in READY_MADE}) == len(READY_MADE)


CHEATS = {
    "takes the timer away": "import signal\nsignal.setitimer = lambda *a: None\ndef add(a, b):\n    while True: pass",
    "leaves by the back door": "import os\nos._exit(0)",
    "fills the memory": "def add(a, b):\n    return len(bytearray(2**33))",
    "recurses": "def add(a, b):\n    return add(a, b)",
    "opens a file": "def add(a, b):\n    return open('/etc/passwd').read()",
}


@pytest.mark.parametrize("code", CHEATS.values(), ids=CHEATS)
def test_code_of_the_model_does_not_harm_the_code_of_others(sandbox, code):
    verifier = next(verifier for verifier in READY_MADE if verifier.id == "unit-tests")
    good, *_ = verifier.examples
    rows = [Sample(output_text=text, item=good.item) for text in (good.text, code, good.text)]
    first, bad, last = sandbox.grade(parse_spec(verifier.grader), rows)
    assert first.score == last.score == 1.0
    assert not bad.score
