"""Fields of the API in sentences of the service, called as the forms call them. Pure."""

import re
from collections.abc import Mapping

from frontend.words.job_settings import NESTED, OFFERED

SETTINGS = {setting.name: setting.label for section in (OFFERED.values(), *NESTED.values()) for setting in section} | {
    "suffix": "Name"
}
GRADER = {
    "source": "Python source",
    "pattern": "Pattern",
    "range": "Range of scores",
    "reference": "Reference",
    "model": "Judge model",
    "calculate_output": "Formula",
    "schema": "JSON schema",
    "units": "Units",
}
"""Fields of a verifier -> what its form calls them."""
_GRADER = re.compile(r"'?\bgrader((?:\.\w+)+)'?")
_SETTING = re.compile(r"'?\b(?:method|hyperparameters|x_rlsd)(?:\.\w+)*\.(\w+)'?")
_SUFFIX = re.compile(r"(?<=Invalid )'(suffix)'")
_BARE = re.compile(r"(?<![\w'.`])([a-z]+(?:_[a-z]+)+)(?![\w'`(]|\.\w)")


def in_form_words(sentence: str) -> str:
    """Put labels in place of the names of settings and of verifiers' fields. Quoted names may be columns: they stay."""
    for pattern in (_SETTING, _SUFFIX, _BARE):
        sentence = pattern.sub(lambda found: _called(found[0], found[1], labels=SETTINGS), sentence)
    return _GRADER.sub(_of_grader, sentence)


def _of_grader(found: re.Match[str]) -> str:
    *above, name = found[1].removeprefix(".").split(".")
    part = f" of '{above[1]}'" if above[:1] == ["graders"] and len(above) > 1 else ""
    called = _called("", name, labels=GRADER)
    return called + part if called else found[0]


def _called(written: str, name: str, *, labels: Mapping[str, str]) -> str:
    return f"“{labels[name]}”" if name in labels else written
