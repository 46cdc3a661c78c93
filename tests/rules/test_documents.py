"""What README, the guides and docs name exists: variables, commands, make targets, pages, files, names in the code."""

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import typer

from backend.cli.main import app
from backend.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
GUIDES = [ROOT / f"{name}.md" for name in ("ARCHITECTURE", "CONTRIBUTING", "SECURITY", "CHANGELOG")]
PAGES = [ROOT / "README.md", *GUIDES, *sorted((ROOT / "docs").glob("*.md"))]
OF_THE_COMMAND_LINE = {"RLSD_API_KEY"}
FOLDERS = ("backend", "worker", "frontend", "migrations", "tests", "benchmarks", "examples", "docs")
COMMAND = typer.main.get_command(app)


def each_command(text: str) -> Iterator[list[str]]:
    """The words after `rlsd`, where it is written as a command: in a code block or between backticks."""
    code = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    for piece in code:
        for found in re.findall(r"(?:^|[\s($/])rlsd ([a-z][^|;&)\n]*)", piece):
            yield found.split()


def is_known(words: list[str]) -> bool:
    command: Any = COMMAND
    for word in words:
        if not hasattr(command, "commands"):
            return True
        if word not in command.commands:
            return False
        command = command.commands[word]
    return True


@lru_cache(maxsize=1)
def names_in_the_code() -> frozenset[str]:
    """Functions, classes, variables, fields and parameters of the packages."""
    found: set[str] = set()
    for package in ("backend", "worker", "frontend"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    found.add(node.name)
                elif isinstance(node, ast.Name):
                    found.add(node.id)
                elif isinstance(node, ast.Attribute):
                    found.add(node.attr)
                elif isinstance(node, ast.arg | ast.keyword) and node.arg:
                    found.add(node.arg)
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_commands_and_pages_exist(page: Path) -> None:
    text = page.read_text()
    variables = set(re.findall(r"\bRLSD_[A-Z_]+[A-Z]\b", text))
    known = {str(field.alias) for field in Settings.model_fields.values()} | OF_THE_COMMAND_LINE
    assert variables <= known
    assert [words for words in each_command(text) if not is_known(words)] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_into_pages_lead_to_a_heading(page: Path) -> None:
    links = re.findall(r"\]\(([\w./-]*)#([^)]+)\)", page.read_text())
    lost = [
        f"{target}#{place}"
        for target, place in links
        if place not in headings((page.parent / target) if target else page)
    ]
    assert lost == []


def headings(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    """A guide that sends its reader to a file that was moved is worse than none."""
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", GUIDES[:2], ids=lambda page: page.name)
def test_names_of_the_code_that_are_named_exist(page: Path) -> None:
    """In backticks: constants, names with an underscore or a capital inside; in blocks of Python all that is called."""
    text = page.read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    words = set(re.findall(r"`([A-Za-z]\w*(?:_\w+|[a-z][A-Z]\w*)|[A-Z]{4,})`", prose))
    words |= {name for block in blocks for name in re.findall(r"\b([A-Za-z_]\w*)\(", block)}
    known = names_in_the_code() | {"backward", "sum"} | documented_words()
    assert sorted(words - known) == []


def test_functions_that_the_algorithm_names_exist() -> None:
    named = re.findall(r"`(\w+)` in \[`", (ROOT / "docs" / "rlsd.md").read_text())
    assert len(named) >= 3
    assert sorted(set(named) - names_in_the_code()) == []


def documented_words() -> set[str]:
    """Names that are strings in the code (metrics, settings, codes), and functions and constants of the tests."""
    found: set[str] = set()
    for package in ("backend", "worker", "tests"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            found |= set(re.findall(r"[\"'](\w+)[\"'_]", text))
            found |= set(re.findall(r"^(?:def )?(\w+)(?:\(| = )", text, re.MULTILINE))
    return found


def test_the_pages_are_all_found_from_the_first() -> None:
    first = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES[1:] if f"({page.relative_to(ROOT).as_posix()})" not in first] == []


def test_commands_are_seen_where_they_are_written() -> None:
    text = "Say `rlsd jobs wait X`, `.venv/bin/rlsd up`:\n```sh\nx=$(rlsd files lsit | id)\n```\n"
    found = list(each_command(text))
    assert found == [["files", "lsit"], ["jobs", "wait", "X"], ["up"]]
    assert [is_known(words) for words in found] == [False, True, True]
