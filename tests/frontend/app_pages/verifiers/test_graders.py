"""The forms of verifiers: they return the grader they were filled from, and validate input at once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from frontend.api import Client
from frontend.app_pages.verifiers.graders.answers import units_of, units_text
from frontend.app_pages.verifiers.graders.forms import FORMS, named
from frontend.app_pages.verifiers.graders.judge import text_of
from frontend.app_pages.verifiers.pattern_matches import marked
from frontend.app_pages.verifiers.validation import marked_lines, value_at
from frontend.words.verifier_kinds import KIND_HELP, KINDS
from tests.frontend.code_fields import code_field, typed
from tests.frontend.test_pages import opened, words

TEXTS = {"input": "{{item.said}}", "reference": "{{item.answer}}"}
ASKED = {
    "model": "judge",
    "input": [{"role": "system", "content": "Be fair."}, {"role": "user", "content": "{{item.q}}"}],
}
FULL: dict[str, dict[str, Any]] = {
    "python": {
        "source": "def grade(item, output_text):\n    return 1\n",
        "isolation": "call",
        "range": [-1.0, 2.0],
        "image_tag": "2025-05-08",
    },
    "regex": {"pattern": "(?P<answer>a+)", "flags": "im", **TEXTS},
    "string_check": {"operation": "ne", **TEXTS},
    "number": {"tolerance": "2%", "units": {"km": 1000.0, "m": 1.0}, "decimal_mark": ",", **TEXTS},
    "math": TEXTS,
    "choice": {"choices": ["yes", "no", "perhaps"], **TEXTS},
    "json_schema": {"schema": {"type": "array"}, "input": "{{sample.output_text}}"},
    "text_similarity": {"evaluation_metric": "rouge_l", **TEXTS},
    "score_model": {**ASKED, "range": [1.0, 5.0], "sampling_params": {"seed": 1}},
    "label_model": {**ASKED, "labels": ["good", "fair", "bad"], "passing_labels": ["good", "fair"]},
    "multi": {
        "graders": {
            "close": {"type": "number", "tolerance": 0.5, "name": "n"},
            "code": {"type": "python", "source": "def grade(item, output_text):\n    return 0\n"},
            "judged": {"type": "score_model", **ASKED, "range": [0.0, 1.0]},
        },
        "calculate_output": "0.5 * close + 0.3 * code + 0.2 * judged",
        "range": [0.0, 1.5],
    },
}


@pytest.fixture
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


def form_page(grader: dict[str, Any]) -> AppTest:
    """Script of a page with only the form, whose result it shows as JSON."""

    def page(grader: dict) -> None:
        import streamlit

        from frontend.app_pages.verifiers.graders.forms import FORMS

        streamlit.json(FORMS[grader["type"]].edited(grader, "form"))

    return AppTest.from_function(page, kwargs={"grader": grader}, default_timeout=30).run()


def given_by(app: AppTest) -> Any:
    import json

    assert not app.exception
    return json.loads(app.json[0].value)


def test_every_kind_has_a_name_a_help_and_a_form() -> None:
    assert set(KINDS) == set(KIND_HELP) == set(FORMS) == set(FULL)


@pytest.mark.parametrize("kind", FULL)
def test_a_form_returns_the_grader_it_was_filled_from(kind: str) -> None:
    grader = {"type": kind, "name": "kept", **FULL[kind]}
    assert {"type": kind, **given_by(form_page(grader))} == grader


@pytest.mark.parametrize("kind", [kind for kind in FULL if not kind.endswith("_model")])
def test_an_unchanged_form_is_valid(client: Client, kind: str) -> None:
    client.validate_grader({"type": kind, **given_by(form_page({"type": kind}))})


def test_parts_of_a_multi_are_added_named_chosen_and_removed() -> None:
    app = form_page({"type": "multi"})
    next(button for button in app.button if button.label == "Add a grader").click().run()
    assert "has no name" in app.warning[0].value
    called = [field for field in app.text_input if field.label == "Name in the formula"]
    assert [field.value for field in called] == ["form", "right", ""]
    called[2].input("form").run()
    assert "Two graders have the name 'form'" in app.warning[0].value
    [field for field in app.text_input if field.label == "Name in the formula"][2].input("size").run()
    [box for box in app.selectbox if box.label == "Grader kind"][2].select("number").run()
    next(button for button in app.button if button.label == "Remove this grader").click().run()
    edited = given_by(app)
    assert list(edited["graders"]) == ["right", "size"]
    assert edited["graders"]["size"]["type"] == "number"


def test_tolerance_is_absolute_or_a_share() -> None:
    app = form_page({"type": "number"})
    app.number_input[0].set_value(1.5).run()
    assert given_by(app)["tolerance"] == 1.5
    app.selectbox[0].select_index(1).run()
    assert given_by(app)["tolerance"] == "1.5%"


units = st.dictionaries(st.text("abcdefghij°/²", min_size=1, max_size=8), st.integers(1, 10**6).map(float), max_size=6)


@given(units)
def test_units_are_parsed_from_the_lines_they_are_shown_as(units: dict[str, float]) -> None:
    assert {unit: float(f"{worth:g}") for unit, worth in units.items()} == units_of(units_text(units))[0]


def test_units_without_a_value_are_one_and_an_invalid_one_is_named() -> None:
    assert units_of("EUR\n\n euro = 1\ncent=0.01") == ({"EUR": 1.0, "euro": 1.0, "cent": 0.01}, None)
    assert units_text(["EUR", "euro"]) == "EUR\neuro"
    found, problem = units_of("m = 1\nkm = many")
    assert found == {"m": 1.0}
    assert problem is not None
    assert problem.startswith("Line 2")


def test_a_message_of_parts_is_shown_as_one_text() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    assert (text_of(parts), text_of(parts[0]), text_of("c")) == ("a\nb", "a", "c")


def test_a_single_grader_in_place_of_several_keeps_its_own_name() -> None:
    assert named({"type": "math", "name": "m"}) == [("m", {"type": "math", "name": "m"})]


def kind_of(app: AppTest) -> Any:
    return next(box for box in app.selectbox if box.label == "Kind")


# -- validation while typing ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("api_address")
def test_a_program_is_checked_when_it_changes_and_its_line_is_marked(key: str) -> None:
    app = opened("verifiers", key=key, verifier="new")
    app.selectbox(key="start_from").select("#### at the end (GSM8K)").run()
    kind_of(app).select("python").run()
    assert "`grade` is called with those of these values that its parameters name" in words(app)

    typed(app, "Python source", "def reward(completions, answer, **kwargs):\n    return [1.0 for _ in completions]\n")
    assert "`reward` is called with TRL's signature" in words(app)
    assert code_field(app, "Python source")["faults"] == []
    typed(app, "Python source", "".join(f"def {n}(completions, **kwargs):\n    return [1]\n" for n in ("one", "two")))
    assert "'one', 'two' are added up with equal weights" in words(app)
    typed(app, "Python source", "def grade(sample, item):\n    x = 1\n    return (x +\n")
    assert "Line 3" in app.warning[0].value
    assert any(code.value.splitlines()[2].startswith("→ 3     return (x +") for code in app.code)
    [fault] = code_field(app, "Python source")["faults"]
    assert (fault["line"], fault["column"]) == (3, 12)
    typed(app, "Python source", "def grade(a, b):\n    return 1\n")
    assert "no known signature" in app.warning[0].value
    assert any("→ 1 def grade(a, b):" in code.value for code in app.code)


@pytest.mark.usefixtures("api_address")
def test_a_formula_with_an_unknown_name_is_reported(key: str) -> None:
    app = opened("verifiers", key=key, verifier="new")
    app.selectbox(key="start_from").select("Format plus answer").run()
    assert not app.warning
    next(field for field in app.text_input if field.label == "Formula").input("0.5 * rigth").run()
    assert "'rigth' is not one of the graders" in app.warning[0].value


@pytest.mark.usefixtures("api_address")
def test_a_missing_judge_is_reported_when_the_kind_is_chosen(key: str) -> None:
    app = opened("verifiers", key=key, verifier="new")
    kind_of(app).select("score_model").run()
    assert not app.exception
    assert "RLSD_JUDGE_URL" in app.warning[0].value


def test_the_line_at_fault_is_shown_with_its_neighbours() -> None:
    source = "\n".join(f"line {n}" for n in range(1, 13))
    assert marked_lines(source, line=10, column=3).splitlines() == [
        "   8 line 8",
        "   9 line 9",
        "→ 10 line 10",
        "       ^",
        "  11 line 11",
        "  12 line 12",
    ]
    assert marked_lines("a", line=9, column=None) == ""


def test_the_field_that_the_api_names_is_found() -> None:
    grader = {"graders": {"a": {"source": "x"}}}
    assert value_at(grader, "graders.a.source") == "x"
    assert value_at(grader, "graders.b.source") is None


def test_matches_are_marked_and_their_text_is_escaped() -> None:
    shown = marked("<a> 1, 2", [(4, 5, 4, 5), (7, 8, -1, -1)])
    assert shown == (
        '<div class="matches">&lt;a&gt; <mark class="first"><u>1</u></mark>, <mark class="later">2</mark></div>'
    )


@pytest.mark.parametrize("kind", ["python", "multi"])
def test_a_range_is_written_down_once_it_is_not_0_to_1(kind: str) -> None:
    app = form_page({"type": kind})
    assert "range" not in given_by(app)
    next(field for field in app.number_input if field.label == "Highest score").set_value(5.0).run()
    assert given_by(app)["range"] == [0, 5]
