"""What README and docs name exists: variables, commands, make targets, other pages."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from backend.cli.main import app
from backend.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OF_THE_COMMAND_LINE = {"RLSD_API_KEY"}
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


def test_the_pages_are_all_found_from_the_first() -> None:
    first = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES[1:] if f"docs/{page.name}" not in first] == []


def test_commands_are_seen_where_they_are_written() -> None:
    text = "Say `rlsd jobs wait X`, `.venv/bin/rlsd up`:\n```sh\nx=$(rlsd files lsit | id)\n```\n"
    found = list(each_command(text))
    assert found == [["files", "lsit"], ["jobs", "wait", "X"], ["up"]]
    assert [is_known(words) for words in found] == [False, True, True]
