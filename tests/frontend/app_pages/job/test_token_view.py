import html

import pytest

from frontend.api.types import TokensObject
from frontend.app_pages.job import token_view


def tokens(
    teacher: list[float] | None, *, delta: list[float] | None = None, contrast: list[float] | None = None
) -> TokensObject:
    return {
        "ids": [1, 2],
        "text": ["<b>", " ok"],
        "logp_student": [-1.0, -2.0],
        "logp_teacher": teacher,
        "logp_contrast": contrast,
        "delta": delta,
        "weight": [2.0, 0.5],
        "advantage": [1.0, 0.25],
    }


def test_a_completion_is_escaped() -> None:
    shown = token_view.coloured(tokens([-0.5, -3.0]), [1.0, -1.0])
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown


def test_raised_tokens_are_green_and_lowered_ones_red() -> None:
    shown = token_view.coloured(tokens([-0.5, -3.0]), [1.0, -1.0])
    raised, lowered = shown.split("</span>")[:2]
    assert token_view.MORE in raised
    assert token_view.LESS in lowered


def test_weights_are_shades_of_one_neutral_hue() -> None:
    largest, smallest = token_view.shaded(tokens(None)).split("</span>")[:2]
    assert f"rgba({token_view.SHARE}, {token_view.STRONGEST:.2f})" in largest
    assert f"rgba({token_view.SHARE}, 0.00)" in smallest
    even = token_view.shaded(tokens(None) | {"weight": [1.0, 1.0]})
    assert even.count(f"rgba({token_view.SHARE}, 0.00)") == 2


def test_in_a_wrong_answer_the_most_blamed_token_is_the_strongest_red() -> None:
    blamed, spared = token_view.coloured(tokens(None), [-2.0, -0.1]).split("</span>")[:2]
    assert f"rgba({token_view.LESS}, {token_view.STRONGEST:.2f})" in blamed
    assert token_view.LESS in spared
    assert token_view.MORE not in blamed + spared


def test_the_token_that_ends_a_completion_is_a_mark() -> None:
    ended = tokens(None) | {"text": ["ok", ""]}
    shown = token_view.coloured(ended, [1.0, 1.0])
    assert 'class="special"' in shown
    assert shown.count(">end</span>") == 1
    assert [line["text"] for line in token_view.table(ended)] == ["ok", "(end)"]


@pytest.mark.parametrize("text", ["<think>", "<|tool_call|>", "</s>"])
def test_a_special_token_in_the_text_is_shown_as_written(text: str) -> None:
    written = tokens(None) | {"text": [text, text]}
    shown = token_view.coloured(written, [1.0, 1.0])
    assert shown.count(f">{html.escape(text)}</span>") == 2
    assert 'class="special"' not in shown
    assert [line["text"] for line in token_view.table(written)] == [text, text]


def test_a_token_that_begins_a_character_is_no_end() -> None:
    assert ">end</span>" not in token_view.coloured(tokens(None) | {"text": ["", "€"]}, [1.0, 1.0])


def test_evidence_is_missing_if_it_was_not_stored() -> None:
    with_teacher = tokens([-0.5, -3.0], delta=[0.25, -0.75], contrast=[-0.75, -2.25])
    assert token_view.values_of(with_teacher, "evidence") == [0.25, -0.75]
    assert token_view.values_of(tokens(None), "evidence") is None


def test_a_tokens_values_contain_both_hints_and_the_evidence() -> None:
    with_teacher = tokens([-0.5, -3.0], delta=[0.25, -0.75], contrast=[-0.75, -2.25])
    assert "with hint -3, with the other hint -2.25, evidence -0.75" in token_view.numbers_of(with_teacher, 1)
    assert [line["with the other hint"] for line in token_view.table(with_teacher)] == [-0.75, -2.25]
    assert "hint" not in token_view.numbers_of(tokens(None), 0)
    assert token_view.table(tokens(None))[0]["evidence"] is None
