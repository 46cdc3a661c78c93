r"""Notation of LaTeX is written in one way: braces of commands go, in pairs, and nothing joins that stood apart."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.verifiers.notation import plain

STYLES = st.sampled_from(
    [r"\text", r"\mathrm", r"\mathbf ", r"\mbox", r"\operatorname", r"\textbf", r"\boxed", r"\fbox"]
)
CONTENTS = st.text("5cm ^,", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"5\text{ cm}", "5 cm"),
        (r"5\,\mathrm{cm}^2", "5 cm^2"),
        (r"\boxed{5\text{ cm}}.", ":5 cm."),
        (r"\boxed{\frac{1}{2}}", ":1/2"),
        (r"\frac{\text{3}}{4}", "3/4"),
        (r"\mathbf{5}7", "5 7"),
        (r"\boxed{12},13", ":12 ,13"),
        (r"\{1, 2\}", "{1, 2}"),
        (r"x_{1}", "x_{1}"),
        (r"5 cm}", "5 cm}"),
        (r"\text{5 cm", "5 cm"),
    ],
)
def test_braces_of_commands_go_and_others_stay(text: str, expected: str) -> None:
    assert " ".join(plain(text).split()) == expected


@given(st.lists(STYLES, max_size=5), CONTENTS)
def test_however_deep_a_text_is_styled_no_brace_is_left(styles: list[str], content: str) -> None:
    styled = "".join(f"{style}{{" for style in styles) + content + "}" * len(styles)
    found = plain(styled)
    assert "{" not in found
    assert "}" not in found
    assert "".join(found.replace(":", "").split()) == "".join(plain(content).split())


@pytest.mark.parametrize("part", [r"\text{", "{", "}", r"\boxed{5}", r"\text{5}5"])
def test_a_text_of_braces_takes_no_longer_than_its_length(part: str) -> None:
    started = time.process_time()
    plain(part * 20_000)
    assert time.process_time() - started < 2.0
