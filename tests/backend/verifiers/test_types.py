"""Grader types other than string_check, regex and python: what is accepted, and which field an error names."""

import pytest

from backend.errors import AppError
from backend.settings import settings
from backend.verifiers.reading import remarks
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
        (MULTI | {"range": [1, 0]}, "grader.range", "the smaller first"),
        (MULTI | {"range": [0, 1e7]}, "grader.range", "from -1000000 to 1000000"),
        (MULTI | {"range": [0, float("inf")]}, "grader.range", "from -1000000 to 1000000"),
        (MULTI | {"range": [0, float("nan")]}, "grader.range", "from -1000000 to 1000000"),
        (MULTI | {"range": [0]}, "grader.range.1", "required"),
        (MULTI | {"range": [False, True]}, "grader.range.0", "number"),
        (CHECK | {"range": [0, 1]}, "grader.range", "not a field"),
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


ONE = "def reward(completions, **kwargs): pass\n"
TWO = ONE + "def form(completions, **kwargs): pass\n"


@pytest.mark.parametrize(
    ("grader", "bounds"),
    [
        (CHECK, (0.0, 1.0)),
        (MULTI, (0.0, 1.0)),
        (MULTI | {"range": [-1, 2]}, (-1.0, 2.0)),
        ({"type": "python", "source": ONE}, (0.0, 1.0)),
        ({"type": "python", "source": TWO}, (0.0, 2.0)),
        ({"type": "python", "source": TWO, "range": [0, 1]}, (0.0, 1.0)),
    ],
)
def test_scores_are_from_0_to_1_or_the_number_of_functions_unless_a_range_says_otherwise(grader, bounds):
    spec = parse_spec(grader)
    assert spec.bounds == bounds
    assert parse_spec(spec_json(spec)).bounds == bounds


def test_a_verifier_saved_without_a_range_keeps_its_hash():
    source = {"type": "python", "source": ONE}
    assert spec_json(parse_spec(source)) == source


@pytest.mark.parametrize(
    ("grader", "parts"),
    [
        (MULTI, ()),
        (MULTI | {"calculate_output": "a + b"}, ("highest", "gives 2", "0 to 1")),
        (MULTI | {"calculate_output": "a + b", "range": [0, 2]}, ()),
        (MULTI | {"calculate_output": "0.7 * a + 0.2 * b + 0.1 * a"}, ()),
        (MULTI | {"calculate_output": "a - 1"}, ("lowest", "gives -1")),
        (MULTI | {"calculate_output": "a / b"}, ()),
        ({"type": "python", "source": TWO}, ("'reward', 'form'", "equal weights", "0 to 2")),
        ({"type": "python", "source": ONE}, ()),
        ({"type": "python", "source": "grade = [max][0]"}, ("which arguments 'grade' takes",)),
    ],
)
def test_remarks_say_what_is_added_up_and_where_a_formula_leaves_its_range(grader, parts):
    found = remarks(parse_spec(grader))
    assert len(found) == bool(parts)
    assert all(part in found[0] for part in parts)


def test_an_empty_code_is_called_empty() -> None:
    with pytest.raises(AppError, match=r"'grader.source': must not be empty\."):
        parse_spec({"type": "python", "source": ""})
