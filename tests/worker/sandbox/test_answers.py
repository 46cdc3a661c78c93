"""Answers are read as people write them, or refused by name: the cases of `answers/`, in the real sandbox.

`answers/number.json`, `math.json` and `choice.json` hold forms that are common in public data sets and in what models
write: `[reference, text, score]`, and references that are refused.
"""

import json
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.verifiers.specs import parse_spec
from tests.worker.sandbox.verifiers import sample
from worker.sandbox.choice import finder
from worker.sandbox.policy import SandboxLimits
from worker.sandbox.pool import Sandbox

ANSWERS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "answers").glob("*.json")}
NUMBER, MATH, CHOICE = ({"type": kind} for kind in ("number", "math", "choice"))
LETTERS = CHOICE | {"choices": ["A", "B", "C", "D"]}


@pytest.fixture(scope="module")
def unhurried(libraries):
    """A sandbox that waits for sympy on a busy machine too."""
    with Sandbox(SandboxLimits(row_timeout_s=20.0)) as sandbox:
        yield sandbox


def wrong(sandbox, spec, cases):
    """Return the cases with another score than theirs, with the record."""
    records = sandbox.grade(parse_spec(spec), [sample(text, answer=reference) for reference, text, _ in cases])
    return [
        (case, record.score, record.reason)
        for case, record in zip(cases, records, strict=True)
        if record.score != case[2] or record.status.value != "ok"
    ]


def accepted(sandbox, spec, references):
    """Return the references that are not refused as an error of their row that names them."""
    records = sandbox.grade(parse_spec(spec), [sample("5", answer=reference) for reference in references])
    return [
        (reference, record.reason)
        for reference, record in zip(references, records, strict=True)
        if record.status.value != "error" or f"the reference '{reference:.80}'" not in record.reason
    ]


def test_numbers(sandbox):
    assert not wrong(sandbox, NUMBER, ANSWERS["number"]["plain"])


def test_numbers_with_a_decimal_comma(sandbox):
    assert not wrong(sandbox, NUMBER | {"decimal_mark": ","}, ANSWERS["number"]["decimal comma"])


@pytest.mark.parametrize("option", ["units", "tolerance"])
def test_numbers_with_units_and_tolerances(sandbox, option):
    mistakes = [
        found
        for given, *case in ANSWERS["number"][option]
        for found in wrong(sandbox, NUMBER | {option: given}, [case])
    ]
    assert not mistakes


def test_references_that_are_not_one_number_are_refused_by_name(sandbox):
    assert not accepted(sandbox, NUMBER, ANSWERS["number"]["refused"])
    for units, reference in ANSWERS["number"]["refused with units"]:
        assert not accepted(sandbox, NUMBER | {"units": units}, [reference])


def test_mathematics(unhurried):
    assert not wrong(unhurried, MATH, ANSWERS["math"]["cases"])


def test_references_that_are_not_one_expression_are_refused_by_name(sandbox):
    assert not accepted(sandbox, MATH, ANSWERS["math"]["refused"])


def test_choices_among_letters(sandbox):
    assert not wrong(sandbox, LETTERS, ANSWERS["choice"]["letters A to D"])


def test_choices_among_words_and_numbers(sandbox):
    by_choices: dict[tuple[str, ...], list[list[str | int]]] = defaultdict(list)
    for choices, *case in ANSWERS["choice"]["choices"]:
        by_choices[tuple(choices)].append(case)
    mistakes = [
        found
        for choices, cases in by_choices.items()
        for found in wrong(sandbox, CHOICE | {"choices": list(choices)}, cases)
    ]
    assert not mistakes


def test_references_that_are_none_of_the_choices_are_refused_by_name(sandbox):
    assert not accepted(sandbox, LETTERS, ANSWERS["choice"]["refused"])


ROOTS = (r"{a}\sqrt{{{b}}}", "{a}√{b}", "{a} sqrt({b})", "{a}*sqrt({b})")
SUMS = ("{a}x + {b}", "{b}+{a}x", r"{a} \cdot x + {b}", "{a}*x+{b}")
PAIRS = ("({a}, {b})", r"\left({a},{b}\right)")
POWERS = ("{a} x^{{{b}}}", "{a}*x**{b}", "{a}x^{b}")
FRACTIONS = (r"\frac{{{a}}}{{{b}}}", "{a}/{b}", r"\dfrac{{{a}}}{{{b}}}")
STATED = ("{}", r"\boxed{{{}}}", "The answer is {}.", "so we get\n{}", "**{}**", "<answer>{}</answer>", "#### {}")


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([ROOTS, SUMS, PAIRS, POWERS, FRACTIONS]).flatmap(
        lambda forms: st.tuples(st.sampled_from(forms), st.sampled_from(forms))
    ),
    st.sampled_from(STATED),
    st.integers(2, 99),
    st.sampled_from([2, 3, 5, 7, 11, 13, 17, 19]),
    st.integers(1, 9),
)
def test_an_expression_is_read_in_any_form_and_another_one_never_scores(unhurried, forms, stated, a, b, shift):
    """The second number is a prime, so that no other pair of numbers makes the same root or pair."""
    reference, text = forms
    right, other = text.format(a=a, b=b), text.format(a=a + shift, b=b)
    cases = [[reference.format(a=a, b=b), stated.format(said), score] for said, score in ((right, 1), (other, 0))]
    assert not wrong(unhurried, MATH, cases)


SIZED = (
    r"{a} \times 10^{{{e}}}",
    r"x = {a} \cdot 10^{{{e}}}",
    r"({a} \times 10^{{{e}}}, 1)",
    r"{a} \times 10^{{{e}}} x",
)
HALVED = (
    r"\frac{{{a}}}{{2 \cdot 10^{{{e}}}}}",
    r"{a}\pi \times 10^{{-{e}}}",
    r"\{{{a}\sqrt{{2}} \times 10^{{-{e}}}, 7\}}",
)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SIZED + HALVED), st.integers(11, 99), st.integers(1, 9), st.integers(-30, 30))
def test_numbers_of_any_size_are_told_apart(unhurried, form, digits, shift, exponent):
    right, other = (form.format(a=number / 10, e=exponent) for number in (digits, digits + shift))
    assert not wrong(unhurried, MATH, [[right, right, 1], [right, other, 0], [other, right, 0]])


CHOSEN = (
    "{}",
    "({})",
    "**{}**",
    "The answer is {}.",
    "Answer: ({}) Paris",
    r"$\boxed{{\text{{{}}}}}$",
    "{} is correct",
)
CHOSEN += ("<answer>{}</answer>", "<think>Is it {other}?</think>{}", '{{"answer": "{}"}}', "I choose {}, not {other}.")
CHOSEN += ("{}. Paris\n\nIt is the capital.", "A word first.\n\nOption {}", "{other} is wrong. The answer is {}")
CHOSEN += ("Het juiste antwoord is {}.", "Doğru cevap {}.", "Only {} works.", "I and II, i.e. option {}")
UNDECIDED = (
    "{}, {other}",
    "{} or {other}",
    "{}/{other}",
    "<answer>{}. {other}.</answer>",
    "{} and {other} are correct",
)
UNDECIDED += (
    "The answer is {} or {other}.",
    r"\boxed{{{}, {other}}}",
    "{}. x\n{other}. y",
    "The answer is not {}",
    "{}?",
    "Odpowiedź: {} lub {other}.",
    "Rating: {}",
    "Only {} and {other} work.",
)
LETTER = st.sampled_from("ABCD")


@given(LETTER, LETTER, st.sampled_from(CHOSEN))
def test_a_choice_is_found_in_any_form(letter, other, form):
    text = form.format(letter, other=other)
    assert finder("ABCD")(text) == letter or (other == letter and "{other}" in form)


@given(LETTER, LETTER, st.sampled_from(UNDECIDED))
def test_a_list_or_a_denial_is_no_choice(letter, other, form):
    assert finder("ABCD")(form.format(letter, other=other)) is None or other == letter


LONG = 50_000
ENDLESS = (
    *("\u0301\u0327", "\ufdfa", "\uff15"),
    *(
        "1",
        "1,11",
        "1,111",
        "1 ",
        "1.",
        "1/",
        "1^",
        "1_",
        "-",
        "- ",
        "1 x ",
        "(",
        "(5",
        "1:",
        "10^",
        "0 ",
        "minus ",
        "1 k ",
    ),
    *("\u00bd", "\u2070", "\u221a", "\u00a0", "\\,", "\\frac{", "\\frac{1}{", "\\text{", "{", "{}", "x_{", "e"),
    *(
        "*",
        "_",
        "`",
        " ",
        "\n",
        "A",
        "A ",
        "A is ",
        "A, ",
        "A or ",
        "(A) ",
        "A\n",
        "A.\n",
        "A is correct ",
        "A is not ",
    ),
    *(
        "<answer>",
        "</answer>",
        "<answer>A</answer>",
        "\\boxed{",
        "\\boxed{A}",
        "[[A]]",
        "####",
        "#### A\n",
        "answer is ",
    ),
    *("the answer is A ", "I choose A ", "so ", "$", "$1", "$1$", "$$", "\\[", "\\(", "\\(1\\)", "x+", "sqrt(", "and "),
    *("</think>", "[/THINK]", "<thinking>", "</final>", "<final></final>", "</solution>", "<|im_end|>", "</s>", "<|x"),
    *("score is ", "antwoord is C ", "best x is ", "A) wrong.\n", "A) x - ", "x: A\n", "i.e. option ", "only A works "),
    *("&lt;", "<sup>", "<b>", "2分の", "⁰⁄", "-{", "答", "或", ".5", "x<1 or ", "5\\% ", "A-1 ", "mol-1 ", "5' "),
    *("out ", "out leaving ", "\nQ: ", "#### 1\nQ: ", "the answer is 5\nQ1: ", "<|channel>thought", "<channel|>"),
    *("A ✓ ", "A? no ", "A it is ", "A, not B ", "is A. ", "5 to ", "5 > ", "0.333...", "2\\boxed{x}", "\\boxed{x}^2"),
)


@pytest.mark.parametrize("repeated", ENDLESS)
def test_a_model_that_repeats_itself_is_read_within_the_time_of_a_row(sandbox, repeated):
    """Expressions that go back over the text again and again would end the row instead, without a score."""
    text = (repeated * LONG)[:LONG]
    for spec, reference in ((NUMBER, "12,345.5"), (CHOICE, "C"), (MATH, "3\\sqrt{13}")):
        (record,) = sandbox.grade(parse_spec(spec), [sample(text, answer=reference)])
        assert (record.status.value, record.score) == ("ok", 0.0), (spec, record.reason)
