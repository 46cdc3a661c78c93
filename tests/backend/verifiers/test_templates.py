import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import AppError
from backend.verifiers.templates import OutputPathError, parse, render

ITEM = {"answer": "42", "n": 7, "ok": True, "a": {"b": [{"c": "deep"}], "0": "zero"}, "none": None}


def rendered(template, *, output="text", item=ITEM):
    return render(template, item=item, sample={"output_text": output})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("no placeholder }} { }", "no placeholder }} { }"),
        ("{{item.answer}}", "42"),
        ("{{ item . answer }}!", "42!"),
        ("{{item.a.b.0.c}} and {{item.a.0}}", "deep and zero"),
        ("{{item.n}} {{item.ok}} {{item.none}}", "7 true null"),
        ("{{item.a.b}}", '[{"c": "deep"}]'),
        ("<{{sample.output_text}}>", "<text>"),
    ],
)
def test_placeholders_are_filled(template, text):
    assert rendered(template) == text


def test_paths_into_the_outputs_json_are_rendered():
    assert rendered("{{sample.output_json.x.1}}", output='{"x": [1, {"y": 2}]}') == '{"y": 2}'


def test_an_item_without_the_path_is_an_error_that_names_it():
    with pytest.raises(AppError) as caught:
        rendered("{{item.a.missing.c}}")
    assert caught.value.param == "item.a.missing.c"
    assert "'missing' is not in item.a (found: 0, b)" in caught.value.message


@pytest.mark.parametrize("output", ["not json", '{"y": 1}', "[" * 100_000])
def test_output_without_the_path_is_the_outputs_fault(output):
    with pytest.raises(OutputPathError):
        rendered("{{sample.output_json.x}}", output=output)


@pytest.mark.parametrize(
    "template",
    [
        "{{}}",
        "{{item}}",
        "{{item.}}",
        "{{row.x}}",
        "{{sample.text}}",
        "{{sample.output_text.x}}",
        "{{item.x",
        "x" * 10_001,
    ],
)
def test_a_template_that_no_row_could_fill_is_refused_when_parsed(template):
    with pytest.raises(AppError):
        parse(template)


@given(output=st.text(), answer=st.text())
def test_inserted_text_is_not_rendered_again(output, answer):
    text = rendered("{{sample.output_text}}|{{item.answer}}", output=output, item={"answer": answer})
    assert text == f"{output}|{answer}"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_json_value_is_inserted_unchanged(value):
    text = rendered("{{item.v}}", item={"v": value})
    assert (text if isinstance(value, str) else json.loads(text)) == value


@given(st.text(alphabet="{} .itemsaplx0", max_size=30))
def test_any_text_is_parsed_or_refused(template):
    try:
        parsed = parse(template)
    except AppError as error:
        assert error.status == 400  # noqa: PT017 - either outcome is right
    else:
        assert len(parsed.literals) == len(parsed.paths) + 1
