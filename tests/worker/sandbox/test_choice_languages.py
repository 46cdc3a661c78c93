"""Each language of the table states an answer, and denies one."""

import pytest

from worker.sandbox.choice import finder
from worker.sandbox.choice_languages import LANGUAGES

FIND = finder("ABCD")


def first(words):
    return words.partition("|")[0].replace(r"\w{0,2}", "").replace("e?", "e")


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_states_an_answer(code):
    language = LANGUAGES[code]
    answer, right, verb, ends = map(first, (language.answer, language.right, language.verb, language.ends))
    assert FIND(f"{answer.capitalize()}: **C**") == "C"
    assert FIND(" ".join(part for part in (right, answer, verb, "(C)", ends) if part)) == "C"
    assert FIND(" ".join(part for part in (answer, right, verb, "C", ends) if part)) == "C"


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_denies_an_answer(code):
    language = LANGUAGES[code]
    answer, right, verb, wrong = map(first, (language.answer, language.right, language.verb, language.wrong))
    assert FIND(f"{wrong} {answer} {verb}: C") is None
    assert FIND(f"{right} {answer} {verb} {wrong} C") is None
    assert FIND(f"{right} {answer} {verb} C {wrong}") is None
    assert FIND(f"{right} {answer} {verb} C / B") is None
