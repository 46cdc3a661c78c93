from frontend.components import token_view
from frontend.shapes import Tokens


def tokens(teacher: list[float] | None) -> Tokens:
    return {
        "ids": [1, 2],
        "text": ["<b>", " ok"],
        "logp_student": [-1.0, -2.0],
        "logp_teacher": teacher,
        "weight": [2.0, 0.5],
        "advantage": [1.0, 0.25],
    }


def test_what_the_model_wrote_is_shown_and_never_becomes_markup() -> None:
    shown = token_view.coloured(tokens([-0.5, -3.0]), [1.0, -1.0])
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown


def test_raised_tokens_are_green_and_lowered_ones_red() -> None:
    shown = token_view.coloured(tokens([-0.5, -3.0]), [1.0, -1.0])
    raised, lowered = shown.split("</span>")[:2]
    assert token_view.MORE in raised
    assert token_view.LESS in lowered


def test_a_weight_of_one_is_neutral() -> None:
    neutral = tokens(None) | {"weight": [1.0, 1.0]}
    assert token_view.values_of(neutral, "weight") == [0.0, 0.0]


def test_evidence_is_teacher_minus_student_and_missing_without_a_teacher() -> None:
    assert token_view.values_of(tokens([-0.5, -3.0]), "evidence") == [0.5, -1.0]
    assert token_view.values_of(tokens(None), "evidence") is None
