"""Probes of the self-check: right answers where the verifier expects them, and no right answer among the wrong."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.verifiers.probe_json import json_completion
from backend.verifiers.probes import FORMS, LONG_CHARS, ProbeRow, probe_labels, right_probes, wrong_probes
from backend.verifiers.reading import reads_row, reads_text, references
from backend.verifiers.selfcheck import spread
from backend.verifiers.specs import parse_spec

EXACT = parse_spec({"type": "regex", "pattern": r"(?s)\A(?P<answer>.*)\Z"})
ANSWERS = st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=8)


def python(body: str, parameters: str = "item, output_text") -> Any:
    return parse_spec({"type": "python", "source": f"def grade({parameters}):\n    {body}\n"})


def rows_of(answers: list[str], **more: Any) -> list[ProbeRow]:
    return [ProbeRow(number=number, item={"answer": text}, answer=text, **more) for number, text in enumerate(answers)]


@given(ANSWERS)
def test_no_wrong_probe_is_the_right_answer(answers: list[str]) -> None:
    rows = rows_of(answers)
    for row in rows:
        right = {probe.text.strip().casefold() for probe in right_probes(row, spec=EXACT)}
        wrong = wrong_probes(row, rows=rows, form="bare", spec=EXACT)
        assert {probe.name for probe in wrong} <= set(probe_labels(EXACT))
        assert not right & {probe.text.strip().casefold() for probe in wrong if probe.text.strip()}
        assert all(len(probe.text) <= LONG_CHARS + 80 * 30 * 2 for probe in wrong)


@given(ANSWERS)
def test_noise_and_filler_never_contain_the_answer(answers: list[str]) -> None:
    rows = rows_of(answers)
    for row in rows:
        answer = " ".join((row.answer or "").split()).casefold()
        for probe in wrong_probes(row, rows=rows, form="bare", spec=EXACT):
            if answer and probe.name in ("noise", "long"):
                assert all(answer not in word.casefold() for word in probe.text.split())


def test_the_right_answer_is_between_the_others_in_a_list() -> None:
    rows = rows_of(["ash", "birch", "cedar", "elm"])
    texts = {probe.name: probe.text for probe in wrong_probes(rows[0], rows=rows, form="boxed", spec=EXACT)}
    assert texts["options"] == "birch, ash, cedar, elm"
    assert texts["options_as_answers"].count("\\boxed{") == 4
    assert "\\boxed{birch}" in texts["other_answer"]
    assert "\\boxed{cedar}" in texts["another_answer"]
    assert texts["denied"].startswith("It is not ash.\n")
    assert "\\boxed{birch}" in texts["denied"]


def test_answers_that_may_be_the_same_are_no_other_answers() -> None:
    rows = rows_of(["red, blue", "Blue and red".replace(" and", ","), " RED,  blue "])
    names = {probe.name for probe in wrong_probes(rows[0], rows=rows, form="bare", spec=EXACT)}
    assert names == {"empty", "blank", "noise", "long"}


def test_the_question_is_repeated_and_images_are_left_out_of_it() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "What is shown?"}]
    (row,) = rows_of(["x"], messages=({"role": "system", "content": "s"}, {"role": "user", "content": parts}))
    texts = {probe.name: probe.text for probe in wrong_probes(row, rows=[row], form="bare", spec=EXACT)}
    assert texts["question"] == "What is shown?"


def test_a_solution_adds_probes_and_an_empty_row_has_none() -> None:
    (row,) = rows_of(["7"], solution="Three and four.")
    texts = {probe.name: probe.text for probe in right_probes(row, spec=EXACT)}
    assert set(texts) == set(FORMS)
    assert texts["solution_hashes"] == "Three and four.\n#### 7"
    assert right_probes(ProbeRow(number=0, item={}, answer=None), spec=EXACT) == []


@pytest.mark.parametrize(
    ("grader", "answer"),
    [
        ({"type": "regex", "pattern": "(?P<answer>.*)", "reference": "{{item.label}}"}, ["cat", "dog"]),
        ({"type": "string_check", "input": "x", "reference": "{{item.label}}", "operation": "eq"}, ["cat", "dog"]),
        ({"type": "string_check", "input": "x", "reference": "{{item.label}}", "operation": "ne"}, ["dog"]),
        ({"type": "string_check", "input": "x", "reference": "yes", "operation": "eq"}, ["dog"]),
        ({"type": "number", "reference": "{{item.absent}}"}, ["dog"]),
        ({"type": "number"}, ["dog"]),
    ],
)
def test_the_reference_is_what_the_verifier_compares_with_then_the_rows_answer(
    grader: dict[str, Any], answer: list[str]
) -> None:
    assert references(parse_spec(grader), item={"label": "cat"}, answer="dog") == answer


def test_columns_that_the_source_looks_up_are_references_only_without_known_ones() -> None:
    spec = python("return float(item['label'] == output_text or item.get('count') == 3)")
    item = {"label": "cat", "count": 3, "other": "no"}
    assert references(spec, item=item, answer=None) == ["cat", "3"]
    assert references(spec, item=item, answer="dog") == ["dog"]


@pytest.mark.parametrize(
    ("spec", "row", "text"),
    [
        (python("return float(item['a'] in output_text)"), True, True),
        (python("return float(len(output_text) > 3)"), False, True),
        (python("return len(item)"), True, False),
        (python("return [0.0 for c in completions]", "completions, **columns"), True, True),
        (python("return float(prediction == target)", "prediction, target"), True, True),
        (parse_spec({"type": "regex", "pattern": "x"}), False, True),
        (parse_spec({"type": "regex", "pattern": "(?P<answer>x)"}), True, True),
        (parse_spec({"type": "json_schema", "schema": {}}), False, True),
    ],
)
def test_inputs_of_a_verifier_are_read_from_its_spec(spec: Any, row: bool, text: bool) -> None:
    assert (reads_row(spec), reads_text(spec)) == (row, text)


SCHEMA = {
    "type": "object",
    "properties": {
        "fruit": {"type": "string"},
        "sure": {"type": "boolean"},
        "tags": {"type": "array"},
        "size": {"type": "object", "properties": {"kg": {"type": "number", "minimum": 2}}, "required": ["kg"]},
        "kind": {"enum": ["stone", "pome"]},
    },
    "required": ["fruit", "sure", "tags", "size", "kind"],
    "additionalProperties": False,
}


def test_json_matches_the_schema_and_the_paths() -> None:
    spec = parse_spec({"type": "json_schema", "schema": SCHEMA})
    written = json.loads(json_completion(spec, answer="plum", item={}))
    jsonschema.validate(written, SCHEMA)
    assert written["fruit"] == "plum"
    nested = {
        "type": "string_check",
        "input": "{{sample.output_json.a.b}}",
        "reference": "{{item.x}}",
        "operation": "eq",
    }
    assert json.loads(json_completion(parse_spec(nested), answer="plum", item={"x": "fig"})) == {"a": {"b": "fig"}}
    assert json.loads(json_completion(EXACT, answer="plum", item={})) == {"answer": "plum"}


@given(st.integers(1, 64), st.integers(0, 10_000))
def test_rows_are_spread_evenly_without_repetition(count: int, over: int) -> None:
    places = spread(count, over=over)
    assert len(places) == min(count, over)
    assert places == sorted(set(places))
    assert all(0 <= place < over for place in places)
