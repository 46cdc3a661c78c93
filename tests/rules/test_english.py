"""Rules on English: who and nobody are people, machines have verbs of the domain. For the imperative, see ruff D401."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.rules.test_imports import ALL_MODULES

FOR_PEOPLE = re.compile(r"\b(who|whom|whoever|somebody|someone|nobody|everybody|anybody|anyone)\b", re.IGNORECASE)
ABOUT_PEOPLE = (
    *("backend.api.http.dependencies", "backend.api.organisation", "backend.db.audit", "backend.db.keys"),
    *(
        "backend.stack.embedded",
        "frontend.components.rights",
        "frontend.app_pages.settings",
        "frontend.session.identity",
    ),
)
"""Modules that speak of users, members and administrators."""
ODD = re.compile(
    r"^Owns\b|\b(anew|beside|is told|are told|tells? of|wherein|thereof|of no (more )?use)\b", re.IGNORECASE
)


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield docstrings (those of attributes included) and comments, with their lines."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str() as text)):
                yield node.lineno, text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def found(pattern: re.Pattern[str], *, outside: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{path}:{line}: {match.group()!r}"
        for module, path in ALL_MODULES
        if not module.startswith(outside or "-")
        for line, text in prose(path.read_text())
        for match in pattern.finditer(text)
    ]


def test_pronouns_for_people_stand_for_people() -> None:
    """A reader who takes a request for a person looks for a person."""
    assert not found(FOR_PEOPLE, outside=ABOUT_PEOPLE)


def test_no_odd_english_comes_back() -> None:
    assert not found(ODD)


@pytest.mark.parametrize(("pattern", "text"), [(FOR_PEOPLE, "whoever asks"), (ODD, "Owns it"), (ODD, "drawn anew")])
def test_the_rules_find_what_they_name(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)
