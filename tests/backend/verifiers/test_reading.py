import pytest

from backend.verifiers.reading import remarks
from backend.verifiers.ready_made import READY_MADE
from backend.verifiers.specs import parse_spec


def python(line):
    return parse_spec({"type": "python", "source": f"def grade(item, output_text):\n    return {line}\n"})


@pytest.mark.parametrize("name", ["exec", "eval"])
def test_source_that_executes_texts_is_remarked_on(name):
    (remark,) = remarks(python(f"{name}(output_text) or {name}(output_text)"))
    assert f"calls `{name}`" in remark
    assert "`import model_code`" in remark


@pytest.mark.parametrize("line", ["len(output_text)", "item.eval(1)", "item['exec']", "re.compile(output_text)"])
def test_other_source_is_not(line):
    assert remarks(python(line)) == []


def test_no_ready_made_verifier_needs_a_remark():
    assert [remarks(parse_spec(verifier.grader)) for verifier in READY_MADE] == [[]] * len(READY_MADE)
