"""The tables of `docs/commands.md`: every route with its command. The text above them is written by hand."""

from pathlib import Path
from typing import Any

import typer

from backend.cli.main import app
from backend.generators.commands import Route, routes

MARK = "<!-- Below is generated: `make generated`. -->\n"
OF_ALL_COMMANDS = {"api_url", "api_key", "help"}


def commands_page(document: dict[str, Any], *, page: Path) -> str:
    """Return the whole page."""
    written, _, _ = page.read_text().partition(MARK)
    all_routes = routes(document)
    return "".join([written, MARK, *(_section(tag["name"], all_routes) for tag in document["tags"])])


def _section(family: str, all_routes: list[Route]) -> str:
    head = f"\n## {family.capitalize()}\n\n| route | | command | fields |\n|---|---|---|---|\n"
    return head + "".join(_row(route) for route in all_routes if route.family == family)


def _row(route: Route) -> str:
    command = route.command
    fields = _parameters(route.words) if route.by_hand else command.fields
    cells = (f"`{command.method} {command.path}`", command.description, f"`rlsd {route.words}`")
    return f"| {' | '.join(cells)} | {' '.join(f'`{name}`' for name in fields)} |\n"


def _parameters(words: str) -> list[str]:
    """Return the arguments and options of a command that is written by hand."""
    command: Any = typer.main.get_command(app)
    for word in words.split():
        command = command.commands[word]
    own = [each for each in command.params if each.name not in OF_ALL_COMMANDS]
    return [each.opts[0] if each.param_type_name == "option" else each.metavar or each.name.upper() for each in own]
