"""Grader types other than string_check, regex and python: what is accepted, and which field an error names."""

import pytest

from backend.errors import AppError
from backend.settings import settings
from backend.verifiers.specs import TYPES, Multi, parse_spec, spec_hash, spec_json

SIMILAR = {
    "type": "text_similarity",
    "name": "s",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "evaluation_metric": "rouge_l",
}
CHECK = {"type": "string_check", "name": "c", "input": "a", "reference": "b", "operation": "eq"}
MULTI = {"type": "multi", "name": "m", "graders": {"a": CHECK, "b": SIMILAR}, "calculate_output": "0.5 * a + 0.5 * b"}
SCORE_MODEL = {
    "type": "score_model",
    "name": "judge",
    "model": "m",
    "input": [{"role": "user", "content": "Rate: {{sample.output_text}}"}],
}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,", "detail": "low"}
WORDS = {"type": "input_text", "text": "x"}
LABEL_MODEL = SCORE_MODEL | {"type": "label_model", "labels": ["good", "bad"], "passing_labels": ["good"]}


def refused(obj):
    with pytest.raises(AppError) as caught:
        parse_spec(obj)
    assert caught.value.status == 400
    return caught.value


@pytest.fixture
def judge(monkeypatch):
    monkeypatch.setenv("RLSD_JUDGE_URL", "http://127.0.0.1:9/v1")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.parametrize(
    "obj",
    [
        SIMILAR,
        MULTI,
        {"type": "number", "tolerance": 0.5, "units": {"km": 1000.0, "m": 1.0}},
        {"type": "number", "tolerance": "2%"},
        {"type": "math", "reference": "{{item.truth}}"},
        {"type": "choice", "choices": ["yes", "no"]},
        {"type": "json_schema", "schema": {"type": "object", "required": ["a"]}},
    ],
)
def test_a_spec_is_stored_as_given(obj):
    assert spec_json(parse_spec(obj)) == obj
    assert spec_hash(parse_spec(obj)) == spec_hash(parse_spec(spec_json(parse_spec(obj))))


@pytest.mark.parametrize(
    ("obj", "param", "part"),
    [
        (SIMILAR | {"evaluation_metric": "cosine"}, "grader.evaluation_metric", "embeddings"),
        (SIMILAR | {"evaluation_metric": "rouge_9"}, "grader.evaluation_metric", "rouge_l"),
        (SIMILAR | {"reference": "{{row.x}}"}, "grader.reference", "template variable"),
        ({"type": "number", "tolerance": -1}, "grader.tolerance", "not a number of at least 0"),
        ({"type": "number", "tolerance": "some"}, "grader.tolerance", "2%"),
        ({"type": "number", "units": {"km": 0}}, "grader.units", "above 0"),
        ({"type": "number", "units": ["5x"]}, "grader.units", "not a unit"),
        ({"type": "choice", "choices": ["A"]}, "grader.choices", "2"),
        ({"type": "choice", "choices": ["a", "A"]}, "grader.choices", "differ only in"),
        ({"type": "json_schema"}, "grader.schema", "required"),
        ({"type": "json_schema", "schema": {"type": "thing"}}, "grader.schema", "not a JSON schema"),
        ({"type": "json_schema", "schema": {"$ref": "http://example.com/x"}}, "grader.schema", "outside"),
        ({"type": "json_schema", "schema": 3}, "grader.schema", "dictionary"),
        ({"type": "math", "tolerance": 1}, "grader.tolerance", "not a field"),
        (MULTI | {"calculate_output": "a + c"}, "grader.calculate_output", "'c' is not one of the graders"),
        (MULTI | {"graders": {}}, "grader.graders", "at least 1"),
        (MULTI | {"graders": []}, "grader.graders", "dictionary"),
        (MULTI | {"graders": {"a": CHECK | {"operation": "is"}}}, "grader.graders.a.operation", "'eq'"),
        (MULTI | {"graders": {"a b": CHECK}}, "grader.graders", "letters"),
        (MULTI | {"graders": {"a": MULTI}}, "grader.graders.a.type", "cannot contain another"),
        (MULTI | {"graders": {"a": {"type": "what"}}}, "grader.graders.a.type", "not a grader type"),
        (MULTI | {"graders": {"a": 3}}, "grader.graders.a", "must be an object"),
        (MULTI | {"graders": {**CHECK, "name": ""}}, "grader.graders.name", "required"),
        (SCORE_MODEL, "grader.type", "RLSD_JUDGE_URL"),
        (LABEL_MODEL, "grader.type", "RLSD_JUDGE_URL"),
        ({"type": "nonsense"}, "grader.type", "supported are"),
    ],
)
def test_an_error_names_its_field(obj, param, part):
    error = refused(obj)
    assert error.param == param
    assert part in error.message
    assert ".." not in error.message.replace("...", "")


def test_the_sdks_single_grader_is_a_mapping_of_its_name():
    spec = parse_spec({"type": "multi", "name": "m", "graders": CHECK, "calculate_output": "2 * c"})
    assert isinstance(spec, Multi)
    assert list(spec.graders) == ["c"]
    assert parse_spec(spec_json(spec)) == spec


@pytest.mark.usefixtures("judge")
def test_with_a_judge_model_graders_are_accepted_and_checked():
    assert parse_spec(SCORE_MODEL | {"range": [0, 10], "sampling_params": {"temperature": 0}}).type == "score_model"
    assert parse_spec(LABEL_MODEL).type == "label_model"
    assert refused(LABEL_MODEL | {"passing_labels": ["fine"]}).param == "grader.passing_labels"
    assert refused(SCORE_MODEL | {"range": [1, 0]}).param == "grader.range"
    part = [WORDS | {"text": "{{row}}"}]
    assert (
        refused(SCORE_MODEL | {"input": [{"role": "user", "content": part}]}).param == "grader.input.0.content.0.text"
    )


@pytest.mark.usefixtures("judge")
@pytest.mark.parametrize(
    ("changes", "param", "part"),
    [
        ({"sampling_params": {"stream": True}}, "sampling_params.stream", "not a field"),
        ({"sampling_params": {"max_completion_tokens": 3}}, "sampling_params.max_completion_tokens", "not a field"),
        ({"sampling_params": {"temperature": True}}, "sampling_params.temperature", "number"),
        (
            {"input": [{"role": "user", "content": [PICTURE]}]},
            "input.0.content.0.type",
            "'input_image' cannot",
        ),
        ({"input": [{"role": "user", "content": PICTURE}]}, "input.0.content.type", "'input_image' cannot"),
        ({"input": [{"role": "user", "content": {**WORDS, "n": 1}}]}, "input.0.content.n", "not a field"),
        ({"input": [{"role": "user", "content": ["a", {**WORDS, "n": 1}]}]}, "input.0.content.1.n", "not a field"),
    ],
)
def test_unsupported_judge_options_are_refused_by_name(changes, param, part):
    error = refused(SCORE_MODEL | changes)
    assert error.param == f"grader.{param}"
    assert part in error.message


def test_all_types_are_supported():
    openai = {"string_check", "text_similarity", "python", "multi", "score_model", "label_model"}
    assert set(TYPES) == openai | {"regex", "number", "math", "choice", "json_schema"}
